"""Chat templates here against transformers and jinja2: the same ids and, where a template has generation tags, the same
assistant mask; where transformers refuses a conversation, so must we.

    python scripts/check_templates.py target/debug/rlhf --tokenizer DIR... [--templates DIR_OR_FILE...]

Each tokenizer DIR has a tokenizer.json and a tokenizer_config.json; its own template, in chat_template.jinja or in the
config, is tried if it has one. Nothing tried is a failure. Every
template of --templates is tried with the first tokenizer, to which the names in angle brackets that the template writes
are added as control tokens. Needs transformers and jinja2.
"""

import argparse, json, os, re, subprocess, sys, tempfile
from pathlib import Path

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

U = lambda text: {"role": "user", "content": text}
A = lambda text: {"role": "assistant", "content": text}
S = lambda text: {"role": "system", "content": text}
CONVERSATIONS = [
    [U("Hi"), A("Hello!")],
    [S("Be brief."), U("Hi"), A("Hello!")],
    [U("1 + 1?"), A("2"), U("And 12345 * 2?"), A("24690.")],
    [S("You are\n\na pirate."), U("Where?"), A("At sea."), U("Why?"), A("Because.\n\nReally.")],
    [U("日本語のテキスト"), A("はい、そうです。🙂")],
    [U("  spaces  around "), A("kept or not")],
    [U("code:\n```python\nif x:\n\treturn 1\n```"), A("It's `1`.\n")],
    [U("<b>bold</b> & \"quoted\" 'text' {{ x }} {% y %}"), A("a < b > c & d")],
    [U("Don't"), A("I'll, we've, they're"), U("it's"), A("o'clock")],
    [U("a"), A("b"), U("c"), A("d"), U("e"), A("f")],
    [U("think"), A("<think>\nhm\n</think>\n\nDone.")],
    [U("Zoë naïve café\u0301"), A("Ünï¢ödé")],
    [U("one"), U("two users"), A("x")],
    [A("starts with the assistant"), U("hm"), A("x")],
]


def model(folder, tokenizer, config, template):
    """A model directory as far as `rlhf inspect --model` reads it."""
    vocab = max(list(tokenizer["model"]["vocab"].values()) + [t["id"] for t in tokenizer["added_tokens"]]) + 1
    shape = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "vocab_size": vocab, "n_positions": 65536,
             "n_embd": 16, "n_layer": 1, "n_head": 2}
    files = {"tokenizer.json": tokenizer, "tokenizer_config.json": config, "config.json": shape}
    for name, value in files.items():
        (folder / name).write_text(json.dumps(value))
    (folder / "chat_template.jinja").write_text(template)
    # as many numbers as the config describes, all zero: nothing reads them
    n = 16 * (65536 + vocab) + 10000
    header = json.dumps({"wte.weight": {"dtype": "F32", "shape": [n], "data_offsets": [0, 4 * n]}}).encode()
    with open(folder / "model.safetensors", "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + 4 * n)


def ours(binary, folder, conversations):
    """One list of sequences for all conversations, or the error."""
    rows = folder / "rows.jsonl"
    rows.write_text("".join(json.dumps({"messages": c}) + "\n" for c in conversations))
    run = subprocess.run([binary, "inspect", rows, "--model", folder, "--rows", "1000", "--json"], capture_output=True, text=True)
    return (json.loads(run.stdout)["sequences"], None) if run.returncode == 0 else (None, run.stderr.strip())


def check(name, binary, tokenizer, config, template):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        config = {k: v for k, v in config.items() if k != "chat_template"}
        model(folder, tokenizer, config, template)
        names = {k: v["content"] if isinstance(v, dict) else v for k, v in config.items() if k.endswith("_token") and v}
        names = {k: v for k, v in names.items() if isinstance(v, str)}
        theirs = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_file(str(folder / "tokenizer.json")), **names)
        theirs.chat_template = template
        marks = "generation %}" in re.sub(r"{#.*?#}", "", template, flags=re.S) or "generation -%}" in template
        good, expected, refused = [], [], []
        for conversation in CONVERSATIONS:
            try:
                out = theirs.apply_chat_template(conversation, tokenize=True, return_dict=True, return_assistant_tokens_mask=marks)
                good.append(conversation)
                expected.append((out["input_ids"], out.get("assistant_masks")))
            except Exception:
                refused.append(conversation)
        found, error = ours(binary, folder, good)
        wrong = []
        if error:
            return f"REFUSED {name}: {error[:300]}"
        accepted = sum(ours(binary, folder, [c])[1] is None for c in refused)
        turns = [len(answers_of(c)) for c in good]
        if len(found) == len(good):
            how = "whole"
            for conversation, sequence, (ids, mask) in zip(good, found, expected):
                if sequence["ids"] != ids:
                    wrong.append(("ids", conversation, theirs.decode(sequence["ids"]), theirs.decode(ids)))
                elif marks and [int(t) for t in sequence["trained"]][1:] != mask[1:]:  # nothing predicts the first
                    wrong.append(("mask", conversation, sequence["trained"], mask))
                elif not marks:
                    wrong += unlike_answers(theirs, conversation, sequence)
        elif len(found) == sum(turns):
            how, sequences = "turn by turn", iter(found)
            for conversation in good:
                for at in answers_of(conversation):
                    sequence = next(sequences)["ids"]
                    ids = theirs.apply_chat_template(conversation[: at + 1], tokenize=True, return_dict=True)["input_ids"]
                    if ids[: len(sequence)] != sequence and ids != sequence[:-1]:
                        wrong.append(("ids", conversation, theirs.decode(sequence), theirs.decode(ids)))
        else:
            return f"FAILED {name}: {len(found)} sequences of {len(good)} conversations"
        for kind, conversation, got, want in wrong:
            print("   ", kind, json.dumps(conversation, ensure_ascii=False), "\n      ours  ", repr(got), "\n      theirs", repr(want))
        state = "FAILED" if wrong or accepted else "ok"
        return (f"{state} {name}: {len(good) - len(wrong)} of {len(good)} the same ({how}{', masks too' if marks else ''}), "
                f"{len(refused) - accepted} of {len(refused)} refused by both")


def answers_of(conversation):
    """What the assistant says before anyone else answers nothing, and is trained only where the template marks it."""
    return [i for i, m in enumerate(conversation) if i > 0 and m["role"] == "assistant"]


def unlike_answers(theirs, conversation, sequence):
    """Without generation tags: the runs of trained tokens are the answers with their end of turn."""
    runs, before = [], False
    for id, trained in zip(sequence["ids"], sequence["trained"]):
        if trained and not before:
            runs.append([])
        if trained:
            runs[-1].append(id)
        before = trained
    texts, answers = [theirs.decode(run) for run in runs], [conversation[i]["content"].strip() for i in answers_of(conversation)]
    special = {id for id, token in theirs.added_tokens_decoder.items() if token.special}
    same = len(texts) == len(answers) and all(a in t and r[-1] in special for a, t, r in zip(answers, texts, runs))
    return [] if same else [("answers", conversation, texts, answers)]


def with_controls(tokenizer, template):
    """The tokenizer with what a template writes in brackets as control tokens."""
    tokenizer = json.loads(json.dumps(tokenizer))
    there = {t["content"] for t in tokenizer["added_tokens"]}
    names = set(re.findall(r"<[|｜]?[a-zA-Z_▁0-9]+[|｜]?>|\[/?INST\]", re.sub(r"{#.*?#}", "", template, flags=re.S)))
    plain = {"<think>", "<tools>", "<b>", "<tool_call>", "<tool_response>", "<function>", "<parameter>"}
    id = max(list(tokenizer["model"]["vocab"].values()) + [t["id"] for t in tokenizer["added_tokens"]]) + 1
    for name in sorted(names - there - plain):
        tokenizer["added_tokens"].append({"id": id, "content": name, "single_word": False, "lstrip": False, "rstrip": False,
                                          "normalized": False, "special": True})
        id += 1
    return tokenizer


def own_template(folder, config):
    """As transformers looks for it: a file of its own, else the config, where it may be one of several."""
    file, said = folder / "chat_template.jinja", config.get("chat_template")
    if file.exists():
        return file.read_text(encoding="utf-8")
    if isinstance(said, list):
        return next((one["template"] for one in said if one["name"] == "default"), None)
    return said


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rlhf")
    parser.add_argument("--tokenizer", nargs="+", type=Path, required=True)
    parser.add_argument("--templates", nargs="*", type=Path, default=[])
    args = parser.parse_args()
    os.environ["SOURCE_DATE_EPOCH"] = str(int(__import__("time").time()))
    read = lambda folder: [json.loads((folder / n).read_text()) for n in ("tokenizer.json", "tokenizer_config.json")]
    results = []
    for folder in args.tokenizer:
        tokenizer, config = read(folder)
        template = own_template(folder, config)
        if template is None:
            print(f"none    {folder} has no chat template")
            continue
        results.append(check(str(folder), args.rlhf, tokenizer, config, template))
        print(results[-1])
    tokenizer, config = read(args.tokenizer[0])
    files = [f for path in args.templates for f in (sorted(path.glob("*.jinja")) if path.is_dir() else [path])]
    for file in files:
        template = file.read_text()
        results.append(check(file.name, args.rlhf, with_controls(tokenizer, template), config, template))
        print(results[-1], flush=True)
    for state in ("ok", "FAILED", "REFUSED"):
        print(state, sum(r.startswith(state) for r in results))
    if not results:
        sys.exit("no template was tried: give a --tokenizer with one, or --templates")
    sys.exit(any(not r.startswith("ok") for r in results))


main()
