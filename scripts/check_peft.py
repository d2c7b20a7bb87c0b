"""Does PEFT load our adapters, and compute what we do? Needs torch, transformers and peft.

    python scripts/check_peft.py target/debug/rlhf MODEL_DIR [MODEL_DIR …]

For each language model: `rlhf sft --lora-rank 4` on a few rows, then the log-probabilities of `rlhf score` against
PEFT's upon the same model, its matrices rounded to bf16 as ours are. Then an adapter that PEFT made, read by us, and
`rlhf merge` against both.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import peft
import torch
import transformers

TOLERANCE = 1e-4


def rlhf(program, *arguments):
    command = [program, "--device", "cpu", "-q", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def frozen(directory):
    """The model as it is stored by us: matrices in bf16."""
    model = transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.copy_(parameter.bfloat16().float())
    return model.eval()


def logprobs(model, ids):
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0, :-1]
    return logits.log_softmax(-1)[torch.arange(len(ids) - 1), ids[1:]]


def ours(program, directory, ids, scratch):
    file = scratch / "ids.jsonl"
    file.write_text(json.dumps(ids) + "\n")
    line = json.loads(rlhf(program, "score", "--model", directory, "--ids-file", file))
    return torch.tensor(line["logprobs"][1:])


def compare(what, a, b):
    worst = (a - b).abs().max().item()
    print(f"  {what:<36} differs by {worst:.1e}")
    return worst <= TOLERANCE


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
    for directory in directories:
        with tempfile.TemporaryDirectory() as scratch:
            good.append(check(program, pathlib.Path(directory).resolve(), pathlib.Path(scratch)))
    sys.exit(0 if good and all(good) else "PEFT and rlhf disagree")


main()
