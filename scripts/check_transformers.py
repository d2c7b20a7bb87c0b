#!/usr/bin/env python3
"""Do model directories that we wrote compute the same in transformers (4 or 5)?

    python scripts/check_transformers.py DIR... [--rlhf target/release/rlhf]

Each DIR is loaded with AutoModelForCausalLM or, if its config says so, AutoModelForSequenceClassification.
DIR/ours.json has what we computed: {"ids": [[...], ...], "logits": [[[...]]]} or {"ids": ..., "scores": [[...]]},
one row a token (DUMP_MODELS=folder cargo test -p model dump writes such directories, of every architecture).
Without that file a language model's log-probabilities are asked of `rlhf score`, for random tokens; so directories
that transformers wrote can be checked too. Exits with 1 if anything is off by more than 1e-4.
"""
import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile

import torch
import transformers

TOLERANCE = 1e-4


def load(directory, config):
    scores = any(name.endswith("ForSequenceClassification") for name in config.architectures or [])
    auto = transformers.AutoModelForSequenceClassification if scores else transformers.AutoModelForCausalLM
    model, info = auto.from_pretrained(directory, output_loading_info=True)
    wrong = {key: list(info[key]) for key in ("missing_keys", "unexpected_keys", "mismatched_keys") if info[key]}
    assert not wrong, f"{directory}: {wrong}"
    return model.float().eval(), scores


def theirs(model, scores, ids, bias):
    """Logits of every token, or the score at every token, as rows of a matrix."""
    with torch.no_grad():
        if not scores:
            return model(torch.tensor([ids])).logits[0]
        # the class reads the last token only: give it every prefix
        return torch.stack([model(torch.tensor([ids[: n + 1]])).logits[0] + bias for n in range(len(ids))])


def off(ours, theirs):
    ours = torch.tensor(ours).reshape(theirs.shape)
    return ((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1.0)).item()


def check_file(model, scores, bias, expected):
    rows = expected["scores" if scores else "logits"]
    return max(off(row, theirs(model, scores, ids, bias)) for ids, row in zip(expected["ids"], rows))


def check_binary(model, scores, directory, rlhf):
    assert not scores, f"{directory}: a reward model, and no ours.json"
    draw = random.Random(1)
    length = min(64, model.config.max_position_embeddings)
    sequences = [[draw.randrange(model.config.vocab_size) for _ in range(n)] for n in (2, length // 2, length)]
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.writelines(f"{ids}\n" for ids in sequences)
        file.flush()
        command = [rlhf, "score", "--device", "cpu", "--model", str(directory), "--ids-file", file.name]
        lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    worst = 0.0
    for ids, line in zip(sequences, lines, strict=True):
        logprobs = theirs(model, scores, ids, 0.0).log_softmax(-1)[:-1]
        expected = logprobs.gather(1, torch.tensor(ids[1:])[:, None])
        worst = max(worst, off(json.loads(line)["logprobs"][1:], expected))
    return worst


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directories", nargs="+", type=pathlib.Path)
    parser.add_argument("--rlhf", help="our binary, for directories without ours.json")
    args = parser.parse_args()
    failed = False
    print(f"transformers {transformers.__version__}, torch {torch.__version__}")
    for directory in args.directories:
        config = transformers.AutoConfig.from_pretrained(directory)
        model, scores = load(directory, config)
        file = directory / "ours.json"
        if file.exists():
            bias = json.loads((directory / "config.json").read_text()).get("rlhf_reward_bias", 0.0)
            worst = check_file(model, scores, bias, json.loads(file.read_text()))
        elif args.rlhf:
            worst = check_binary(model, scores, directory, args.rlhf)
        else:
            parser.error(f"{file} is not there: give --rlhf")
        failed |= not worst <= TOLERANCE
        print(f"{'ok ' if worst <= TOLERANCE else 'OFF'} {worst:.1e}  {type(model).__name__}  {directory}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
