"""Does what we save beside the weights say what was trained? Needs torch, transformers and peft.

    python scripts/check_saved.py target/debug/rlhf

For tiny models of several kinds (a base model with a chat template, padding of its own, a start token that only the
template writes, one that the tokenizer writes, a prefix space, a unigram vocabulary, …): sft, rm, ppo, both as
adapters, merge, and convert to GGUF and back. Of each result, with transformers: the same ids of texts and
conversations and the same tokens by what they are for as the base; it stops where `rlhf generate` stops; a padded batch
of a reward model scores as `rlhf reward` does, or is refused for want of a padding token; an adapter as its README.md says.
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import warnings

warnings.filterwarnings("ignore")
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import peft
import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
torch.set_num_threads(1)

CHATML = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
TURNS = "{{ bos_token }}{% for m in messages %}{{ '<turn>' + m.role + '\n' + m.content + '<end>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<turn>assistant\n' }}{% endif %}"
TEXTS = ["Say 3", "  two  spaces, naïve café 12345\n\nand it's <|im_end|> </s> <end>", ""]
TALK = [{"role": "user", "content": "Say 3"}, {"role": "assistant", "content": "It is 3."}]
CORPUS = [f"user assistant Say {i} It is {i}. hello world the cat sat" for i in range(10)]

# each: control tokens (the first is named eos), tokenizer_config.json, generation_config.json, template, and how text is cut
BASES = {
    "base with a template": dict(controls=["<|endoftext|>", "<|im_start|>", "<|im_end|>"], template=CHATML, tokens=dict(pad_token="<|endoftext|>"), generation=dict(eos_token_id=0, temperature=0.6, do_sample=True)),
    "padding of its own": dict(controls=["<|im_end|>", "<|im_start|>", "<pad>"], template=CHATML, tokens=dict(pad_token="<pad>", padding_side="left", model_max_length=77, extra_special_tokens=["<|im_start|>"]), generation=dict(eos_token_id=[0], top_p=0.8)),
    "padding is the end": dict(controls=["<|im_end|>", "<|im_start|>", "<|endoftext|>"], template=CHATML, tokens=dict(pad_token="<|im_end|>", unk_token="<|endoftext|>"), generation=dict(eos_token_id=0)),
    "no padding": dict(controls=["<|im_end|>", "<|im_start|>"], template=CHATML, generation=dict(eos_token_id=0)),
    "start token of the template": dict(controls=["</s>", "<s>", "<turn>", "<end>", "<pad>"], template=TURNS, tokens=dict(bos_token="<s>", pad_token="<pad>", add_bos_token=False), generation=dict(eos_token_id=[0])),
    "start token of the tokenizer": dict(controls=["</s>", "<s>", "<turn>", "<end>"], template=TURNS.replace("{{ bos_token }}", ""), tokens=dict(bos_token="<s>"), post=["<s>", None], generation=dict(eos_token_id=[0])),
    "an end after every text": dict(controls=["</s>", "<s>", "<turn>", "<end>"], template=TURNS, tokens=dict(bos_token="<s>"), post=["<s>", "</s>"], generation=dict(eos_token_id=[0, 3])),
    "a prefix space": dict(controls=["<|im_end|>", "<|im_start|>", "<pad>"], template=CHATML, tokens=dict(pad_token="<pad>"), prefix=True, gguf=False, generation=dict(eos_token_id=0)),
    "unigram": dict(controls=["</s>", "<s>", "<turn>", "<end>", "<unk>", "<pad>"], template=TURNS, tokens=dict(bos_token="<s>", pad_token="<pad>", unk_token="<unk>"), unigram=True, gguf=False, generation=dict(eos_token_id=0)),
    "tokens named beside": dict(controls=["<|endoftext|>", "<|im_start|>", "<|im_end|>"], template=CHATML, unlisted=True, tokens=dict(eos_token="<|im_end|>", pad_token="<|endoftext|>"), generation=dict(eos_token_id=[2, 0])),
}
made = 0
wrong = []


def check(what, good, detail=""):
    global made
    made += 1
    if not good:
        wrong.append(what)
        print("WRONG", what, detail)


def write(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1))


def base(directory, controls, template, generation, tokens={}, post=None, prefix=False, unigram=False, unlisted=False, gguf=True):
    """A small random model with such a tokenizer."""
    directory.mkdir()
    special = [AddedToken(t, special=True, normalized=False) for t in controls]
    if unigram:
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.normalizer = normalizers.NFKC()
        tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
        trainer = trainers.UnigramTrainer(vocab_size=90, special_tokens=special, unk_token="<unk>", show_progress=False)
    else:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=prefix), decoders.ByteLevel()
        trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    if post:
        single = " ".join([t for t in (post[0], "$A", post[1]) if t])
        tokenizer.post_processor = processors.TemplateProcessing(single=single, pair=single + " $B", special_tokens=[(t, tokenizer.token_to_id(t)) for t in post if t])
    text = json.loads(tokenizer.to_str())
    if unlisted:
        text["added_tokens"] = text["added_tokens"][:1]
        tokens = dict(**tokens, additional_special_tokens=controls[1:])
    write(directory / "tokenizer.json", text)
    eos = dict(eos_token=controls[0])
    write(directory / "tokenizer_config.json", dict(tokenizer_class="PreTrainedTokenizerFast", **{**eos, **tokens}))
    (directory / "chat_template.jinja").write_text(template)
    size = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=128)
    pad = tokenizer.token_to_id(tokens["pad_token"]) if "pad_token" in tokens else None
    torch.manual_seed(0)
    config = transformers.LlamaConfig(vocab_size=tokenizer.get_vocab_size(), bos_token_id=None, eos_token_id=generation["eos_token_id"], pad_token_id=pad, **size)
    transformers.LlamaForCausalLM(config).save_pretrained(directory)
    write(directory / "generation_config.json", generation)
    return directory


def names(tokenizer):
    """What tokens are for; padding apart, which a reward model may not have."""
    roles = {key: getattr(tokenizer, key) for key in ("bos_token", "eos_token", "unk_token", "model_max_length", "padding_side")}
    apart = {tokenizer.pad_token} - {tokenizer.bos_token, tokenizer.eos_token, tokenizer.unk_token}
    return {**roles, "special": sorted(set(tokenizer.all_special_tokens) - apart)}


def ids(tokenizer):
    texts = [tokenizer(text)["input_ids"] for text in TEXTS]
    talks = [tokenizer.apply_chat_template(TALK[:n], add_generation_prompt=n == 1, return_dict=True)["input_ids"] for n in (1, 2)]
    return texts + talks


class Program:
    def __init__(self, path):
        self.path = path

    def __call__(self, *arguments):
        command = [self.path, *map(str, arguments), "--device", "cpu", "--threads", "1"]
        run = subprocess.run(command, capture_output=True, text=True)
        if run.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: exit {run.returncode}: {run.stderr[-600:]}")
        return run.stdout


def saved_language_model(what, rlhf, directory, start, ends):
    tokenizer, expected = transformers.AutoTokenizer.from_pretrained(directory), transformers.AutoTokenizer.from_pretrained(start)
    check(f"{what}: ids", ids(tokenizer) == ids(expected))
    check(f"{what}: tokens", names(tokenizer) == names(expected), f"{names(tokenizer)} for {names(expected)}")
    check(f"{what}: pad", tokenizer.pad_token == expected.pad_token, f"{tokenizer.pad_token} for {expected.pad_token}")
    check(f"{what}: template", tokenizer.chat_template == expected.chat_template)
    generation = json.loads((directory / "generation_config.json").read_text())
    theirs = json.loads((start / "generation_config.json").read_text())
    kept = {key: value for key, value in theirs.items() if key not in ("eos_token_id", "transformers_version")}
    check(f"{what}: generation settings", all(generation.get(key) == value for key, value in kept.items()), str(generation))
    listed = generation["eos_token_id"] if isinstance(generation["eos_token_id"], list) else [generation["eos_token_id"]]
    check(f"{what}: end tokens", ends <= set(listed), f"{listed} without {ends}")
    if (directory / "config.json").exists():
        stops(what, rlhf, directory, transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32), tokenizer)


def stops(what, rlhf, directory, model, tokenizer):
    out = json.loads(rlhf("generate", "--model", directory, "--prompt", "Say 3", "--chat", "--greedy", "--max-new", "24", "--json"))["generations"][0]
    prompt = torch.tensor([out["prompt_ids"]])
    model.generation_config.do_sample = False
    theirs = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=24)[0, prompt.shape[1] :].tolist()
    check(f"{what}: stops", theirs == out["ids"], f"{theirs} for {out['ids']}")
    if "sft" in what and "lora" not in what:
        check(f"{what}: an answer ends", out["ended"])


def scores(what, rlhf, directory, rows, model, tokenizer, bias, expected):
    """Alone and in padded batches, as `rlhf reward` scores them."""
    data = directory.parent / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    ours = [r for row in json.loads(rlhf("reward", "--model", directory, "--data", data, "--json"))["rows"] for r in row["rewards"]]
    sequences = []
    for row in rows:
        for answer in ("chosen", "rejected"):
            one = expected.apply_chat_template(row["prompt"] + row[answer], return_dict=True)["input_ids"]
            end = max(at for at, id in enumerate(one) if id in SCORED)
            sequences.append(one[: end + 1])
    with torch.no_grad():
        alone = [model(torch.tensor([s])).logits.item() + bias for s in sequences]
        check(f"{what}: scores alone", max(abs(a - b) for a, b in zip(alone, ours)) < 2e-3, f"{alone} for {ours}")
        pad = model.config.pad_token_id
        check(f"{what}: one padding token", pad == tokenizer.pad_token_id, f"{pad} and {tokenizer.pad_token_id}")
        longest = max(map(len, sequences))
        if pad is None:
            try:
                model(torch.tensor([s[:4] for s in sequences]))
                check(f"{what}: a batch without padding is refused", False)
            except ValueError:
                check(f"{what}: a batch without padding is refused", True)
            return
        batch = torch.tensor([s + [pad] * (longest - len(s)) for s in sequences])
        mask = torch.tensor([[1] * len(s) + [0] * (longest - len(s)) for s in sequences])
        together = (model(batch, attention_mask=mask).logits[:, 0] + bias).tolist()
        check(f"{what}: scores as a batch", max(abs(a - b) for a, b in zip(together, ours)) < 2e-3, f"{together} for {ours}")


SCORED = set()


def saved_reward_model(what, rlhf, directory, start, rows):
    tokenizer, expected = transformers.AutoTokenizer.from_pretrained(directory), transformers.AutoTokenizer.from_pretrained(start)
    check(f"{what}: ids", ids(tokenizer) == ids(expected))
    check(f"{what}: tokens", names(tokenizer) == names(expected), f"{names(tokenizer)} for {names(expected)}")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(directory, dtype=torch.float32).eval()
    bias = json.loads((directory / "config.json").read_text())["rlhf_reward_bias"]
    scores(what, rlhf, directory, rows, model, tokenizer, bias, expected)


def as_the_readme_says(directory):
    """Runs what the README.md of an adapter shows."""
    code = re.search(r"```python\n(.*?)```", (directory / "README.md").read_text(), re.S)[1]
    code = code.replace('"this folder"', repr(str(directory)))
    scope = {}
    exec(code, scope)
    return scope["model"].eval(), scope["tokenizer"]


def check_base(name, rlhf, scratch, gguf=True, **kind):
    global SCORED
    start = base(scratch / "base", gguf=gguf, **kind)
    demos, pairs, prompts = (scratch / f"{n}.jsonl" for n in ("demos", "pairs", "prompts"))
    talks = [[{"role": "user", "content": f"Say {i}"}, {"role": "assistant", "content": f"It is {i}."}] for i in range(5)]
    rows = [dict(prompt=[talk[0]], chosen=[talk[1]], rejected=[{"role": "assistant", "content": "I will not say it, never."}]) for talk in talks]
    demos.write_text("".join(json.dumps({"messages": talk}) + "\n" for talk in talks))
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    prompts.write_text("".join(json.dumps({"prompt": [talk[0]]}) + "\n" for talk in talks))
    tokenizer = Tokenizer.from_file(str(start / "tokenizer.json"))
    turn = tokenizer.token_to_id("<|im_end|>" if "<|im_end|>" in kind["controls"] else "<end>")
    SCORED = {turn}
    ends = {turn, transformers.AutoTokenizer.from_pretrained(start).eos_token_id}
    at = lambda n: scratch / n
    learn = ["--batch", 5, "--lr", "5e-3", "-q"]
    rlhf("sft", "--model", start, "--data", demos, "--out", at("sft"), "--epochs", 60, *learn)
    rlhf("rm", "--model", at("sft"), "--data", pairs, "--out", at("rm"), "--epochs", 8, "--holdout", 0, *learn)
    rlhf("ppo", "--model", at("sft"), "--reward", at("rm"), "--data", prompts, "--out", at("ppo"), "--episodes", 2, "--batch", 2, "--minibatch", 2, "--max-new", 4, "-q")
    rlhf("sft", "--model", start, "--data", demos, "--out", at("sft-lora"), "--epochs", 120, "--lora-rank", 8, "--batch", 5, "--lr", "2e-2", "-q")
    rlhf("rm", "--model", at("sft"), "--data", pairs, "--out", at("rm-lora"), "--epochs", 8, "--holdout", 0, "--lora-rank", 4, *learn)
    rlhf("merge", "--model", at("sft-lora"), "--out", at("merged"), "-q")
    rlhf("merge", "--model", at("rm-lora"), "--out", at("merged-rm"), "-q")
    for kind_of in ("sft", "ppo", "sft-lora", "merged"):
        saved_language_model(f"{name}: {kind_of}", rlhf, at(kind_of), start, ends)
    for kind_of in ("rm", "merged-rm", "ppo/value"):
        saved_reward_model(f"{name}: {kind_of}", rlhf, at(kind_of), start, rows)
    model, tokenizer = as_the_readme_says(at("rm-lora"))
    bias = json.loads((at("rm-lora") / "adapter_config.json").read_text())["rlhf_reward_bias"]
    scores(f"{name}: rm-lora", rlhf, at("rm-lora"), rows, model, tokenizer, bias, transformers.AutoTokenizer.from_pretrained(start))
    model, tokenizer = as_the_readme_says(at("sft-lora"))
    stops(f"{name}: sft-lora in PEFT", rlhf, at("sft-lora"), model, tokenizer)
    if gguf:
        rlhf("convert", at("sft"), at("sft.gguf"))
        rlhf("convert", at("sft.gguf"), at("back"))
        saved_language_model(f"{name}: GGUF and back", rlhf, at("back"), start, ends)


def main():
    rlhf = Program(str(pathlib.Path(sys.argv[1]).resolve()))
    wanted = sys.argv[2:]
    for name, kind in BASES.items():
        if wanted and name not in wanted:
            continue
        before = made, len(wrong)
        with tempfile.TemporaryDirectory() as scratch:
            try:
                check_base(name, rlhf, pathlib.Path(scratch), **kind)
            except RuntimeError as error:
                check(f"{name}: runs", False, str(error))
        print(f"{name}: {made - before[0]} checks, {len(wrong) - before[1]} wrong", flush=True)
    print(f"{made} checks made, {len(wrong)} wrong")
    sys.exit("nothing was checked" if made == 0 else 1 if wrong else 0)


main()
