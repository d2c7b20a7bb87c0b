"""Does PEFT load our adapters, and compute what we do? Needs torch, transformers and peft.

    python scripts/check_peft.py target/debug/rlhf [MODEL_DIR …]

For each language model (without any: a small random one of each architecture): `rlhf sft --lora-rank 4` on a few rows, then the log-probabilities of `rlhf score` against
PEFT's upon the same model. A reward adapter is loaded as its README.md says: the padding that PEFT takes from the
frozen model may be the end token, where scores are read. Then an adapter that PEFT made, read by us, and
`rlhf merge` against both.
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import peft
import tokenizers
import torch
import transformers

TOLERANCE = 1e-4


def rlhf(program, *arguments):
    command = [program, "--device", "cpu", "-q", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def frozen(directory, kind=transformers.AutoModelForCausalLM, **settings):
    """The model that adapters stand on, in the precision of its file."""
    return kind.from_pretrained(directory, dtype=torch.float32, **settings).eval()


def logprobs(model, ids):
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0, :-1]
    return logits.log_softmax(-1)[torch.arange(len(ids) - 1), ids[1:]]


def ours(program, directory, ids, scratch):
    file = scratch / "ids.jsonl"
    file.write_text(json.dumps(ids) + "\n")
    line = json.loads(rlhf(program, "score", "--model", directory, "--ids-file", file))
    return torch.tensor(line["logprobs"][1:])


def rewarded(directory, program, base, scratch):
    """A reward model: our adapter of task SEQ_CLS, read by PEFT, whose score has all but our constant."""
    pairs = [{"prompt": f"Say {i}.", "chosen": f" It is {i}.", "rejected": " No."} for i in range(8)]
    data, adapter = scratch / "pairs.jsonl", scratch / "reward"
    data.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    rlhf(program, "rm", "--model", directory, "--data", data, "--out", adapter, "--lora-rank", 4, "--lr", "1e-2", "--batch", 4, "--holdout", 0)
    rows = json.loads(rlhf(program, "reward", "--model", adapter, "--data", data, "--json"))["rows"]
    settings = json.loads((adapter / "adapter_config.json").read_text())
    model = frozen(directory, transformers.AutoModelForSequenceClassification, num_labels=1)
    said = re.search(r"^model\.config\.pad_token_id = (\w+)$", (adapter / "README.md").read_text(), re.M)[1]
    end = base.config.eos_token_id
    assert model.config.pad_token_id == end and said != str(end), "nothing of padding would be seen"
    model.config.pad_token_id = None if said == "None" else int(said)
    model = peft.PeftModel.from_pretrained(model, adapter).eval()
    tokenizer = tokenizers.Tokenizer.from_file(str(directory / "tokenizer.json"))
    expected = []
    for pair in pairs:
        for answer in [pair["chosen"], pair["rejected"]]:
            ids = [i for text in [pair["prompt"], answer] for i in tokenizer.encode(text, add_special_tokens=False).ids] + [end]
            with torch.no_grad():
                expected.append(model(torch.tensor([ids])).logits.item())
    found = torch.tensor([reward for row in rows for reward in row["rewards"]])
    return found - settings["rlhf_reward_bias"], torch.tensor(expected)


def compare(what, a, b):
    worst = (a - b).abs().max().item()
    print(f"  {what:<36} differs by {worst:.1e}")
    COMPARED.append(what)
    return worst <= TOLERANCE


COMPARED = []
SIZES = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4)
GROUPED = dict(**SIZES, num_key_value_heads=2)
ARCHITECTURES = {
    "gpt2": dict(n_embd=32, n_layer=2, n_head=4),
    "gpt_neox": SIZES,
    "llama": GROUPED,
    "mistral": GROUPED,
    "qwen2": GROUPED,
    "qwen3": dict(**GROUPED, head_dim=8),
}


def small(name, directory):
    """A random model large enough in its numbers to have opinions, and a tokenizer of bytes."""
    tokenizer = tokenizers.ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(["Say it."], vocab_size=260, special_tokens=["<|endoftext|>"])
    directory.mkdir()
    tokenizer.save(str(directory / "tokenizer.json"))
    ends = dict(bos_token_id=0, eos_token_id=0, pad_token_id=0, vocab_size=320)  # padding is the end, as in SmolLM2
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(name, **ARCHITECTURES[name], **ends))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(directory)
    return directory


def check(program, directory, scratch):
    print(directory)
    rows = [{"prompt": f"Say {i}.", "completion": f" It is {i}."} for i in range(8)]
    data = scratch / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    adapter, merged, theirs = scratch / "adapter", scratch / "merged", scratch / "theirs"
    rlhf(program, "sft", "--model", directory, "--data", data, "--out", adapter, "--lora-rank", 4, "--lr", "1e-2", "--batch", 4)
    base = frozen(directory)
    ids = [3 + 7 * i % min(base.config.vocab_size - 3, 250) for i in range(24)]
    good = []
    plain = logprobs(base, ids)
    model = peft.PeftModel.from_pretrained(frozen(directory), adapter).eval()
    expected = logprobs(model, ids)
    assert (expected - plain).abs().max() > 1e-2, "the adapter does nothing: nothing would be compared"
    good.append(compare("our adapter, read by PEFT", ours(program, adapter, ids, scratch), expected))
    good.append(compare("our reward model, read by PEFT", *rewarded(directory, program, base, scratch)))
    rlhf(program, "merge", "--model", adapter, "--out", merged)
    whole = transformers.AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32).eval()
    good.append(compare("merged by us, read by transformers", logprobs(whole, ids), expected))

    torch.manual_seed(1)
    config = peft.LoraConfig(r=3, lora_alpha=5, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    model = peft.get_peft_model(frozen(directory), config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.mul_(0.2)
    model.peft_config["default"].base_model_name_or_path = str(directory)
    model.save_pretrained(theirs)
    good.append(compare("PEFT's adapter, read by us", ours(program, theirs, ids, scratch), logprobs(model, ids)))
    return all(good)


def main():
    program, *directories = sys.argv[1:]
    good = []
    with tempfile.TemporaryDirectory() as models:
        models = pathlib.Path(models)
        for directory in directories or [small(name, models / name) for name in ARCHITECTURES]:
            with tempfile.TemporaryDirectory() as scratch:
                good.append(check(program, pathlib.Path(directory).resolve(), pathlib.Path(scratch)))
    print(f"{len(COMPARED)} comparisons")
    sys.exit("nothing was compared" if not COMPARED else 0 if all(good) else "PEFT and rlhf disagree")


main()
