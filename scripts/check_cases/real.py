"""Checks of cases/real: what real models and real use showed."""
import json, re
from common import SHARED, CASES, answers, case, cpu, read, says, tiny


@case("real/adapter-on-gguf-in-peft")
def adapter_on_gguf(folder):
    tiny(folder / "base", "instruct")
    cpu("convert", "base", "base.gguf", cwd=folder)
    (folder / "d.jsonl").write_text('{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}\n' * 4)
    r = cpu("sft", "--model", "base.gguf", "--data", "d.jsonl", "--out", "tuned", "--lora-rank", 2, "--epochs", 1, "--batch", 4, cwd=folder)
    says(r, "rlhf (merge|convert)")


@case("real/check-llama-cpp-on-the-fetched-file")
def check_scripts(folder):
    from common import HERE

    text = (HERE.parent / "check_llama_cpp.py").read_text()
    assert re.search(r"f32", text)
    assert "chat_template.jinja" in (HERE.parent / "check_templates.py").read_text(), "check_templates.py does not read chat_template.jinja"


@case("real/rm-adapter-pad-is-eos")
def adapter_pad(folder):
    tiny(folder / "base", "instruct")
    config = read(folder / "base/config.json")
    config["pad_token_id"] = 256  # the end token, as SmolLM2 has it
    (folder / "base/config.json").write_text(json.dumps(config))
    pair = {"prompt": [{"role": "user", "content": "a"}], "chosen": [{"role": "assistant", "content": "b"}], "rejected": [{"role": "assistant", "content": "c"}]}
    (folder / "p.jsonl").write_text(json.dumps(pair) + "\n")
    r = cpu("rm", "--model", "base", "--data", "p.jsonl", "--out", "rm", "--holdout", 0, "--lora-rank", 2, "--epochs", 1, "--batch", 1, cwd=folder)
    says(r, "pad_token_id")


@case("real/score-truncates-silently")
def score_windows(folder):
    (folder / "t.txt").write_text((SHARED / "data/text/tinyshakespeare.txt").read_text()[:20000])
    shape = ("--layers", 1, "--channels", 32, "--heads", 2, "--vocab", 300, "--context", 64, "--steps", 1, "--batch", 2)
    cpu("pretrain", "--data", "t.txt", "--out", "pt", *shape, "-q", cwd=folder)
    r = cpu("score", "--model", "pt", "--data", "t.txt", "--json", cwd=folder)
    n = sum(len(row["logprobs"]) for row in r.json()["rows"])
    assert n > 5000 or "64" in r.err, f"{n} numbers for 20,000 characters, and not a word"


@case("real/strings-without-template")
def strings(folder):
    tiny(folder / "base", "instruct")
    says(cpu("inspect", "msg.jsonl", "--model", "base", "--rows", 1, cwd=folder), "template|--chat")
    says(cpu("sft", "--model", "base", "--data", "msg.jsonl", "--out", "o", "--epochs", 1, "--batch", 1, cwd=folder), "template|--chat")
    r = cpu("inspect", "msg.jsonl", "--model", "base", "--rows", 1, "--chat", cwd=folder)
    says(r, r"<\|im_start\|>user")


@case("real/top-k-and-top-p-together")
def top_k_and_top_p(folder):
    model = SHARED / "data/weights/stories260K/hf"
    r = cpu("generate", "--model", model, "--ids", 1, "--n", 4000, "--max-new", 1, "--temperature", 1.3, "--top-k", 5, "--top-p", 0.95, "--json", "--seed", 7)
    seen = {a["ids"][0] for a in answers(r)}
    assert len(seen) == 3, f"{len(seen)} different tokens, transformers leaves 3"
