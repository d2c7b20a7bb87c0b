"""Checks of cases/files: models, tokenizers, adapters and settings as people bring them."""
import json, os, re, shutil, signal, subprocess, time
from common import CASES, RLHF, answers, case, close, cpu, finite, ids, read, rlhf, says, scores, terminal
from alignment import wait_for

CHAT = ("--prompt", "hello", "--chat")
CHATML = [400, 85, 83, 284, 199, 283, 401, 199, 400, 65, 83, 83, 73, 83, 84, 65, 314, 199]


@case(*(f"files/config-{n}" for n in ("bos-minus-one", "pad-minus-one", "distilgpt2", "dolly", "gpt2-medium", "neox-20b")))
def reads_as_transformers(name, folder):
    scores(folder, "model")


@case("files/tied-but-own-lm_head", "files/tied-but-own-lm_head-gpt2", "files/tied-only-lm_head")
def heads(name, folder):
    scores(folder, "model")
    cpu("convert", "model", "model.gguf", cwd=folder)
    scores(folder, "model.gguf")


@case(*(f"files/gguf-{n}" for n in ("padding-id-beyond", "padding-id-none", "pre-default", "tensor_data_layout")))
def neutral_keys(name, folder):
    scores(folder, "model.gguf")
    cpu("generate", "--model", "model.gguf", "--prompt", "hello", "--max-new", 1, cwd=folder)


@case("files/gguf-rope_freqs")
def scaled_rotary(folder):
    scores(folder, "model.gguf")
    cpu("convert", "model.gguf", "directory", cwd=folder)
    scores(folder, "directory")
    cpu("convert", "directory", "again.gguf", cwd=folder)
    scores(folder, "again.gguf")


@case("files/convert-f16-overflows")
def narrowing(folder):
    scores(folder, "model")
    for out in ("half", "half.gguf"):
        says(cpu("convert", "model", out, "--dtype", "f16", cwd=folder, code=(2, 6)), "weight", "f16", "bf16|f32", "100,?000|1e5|99,?840|99,?8")
        assert not (folder / out).exists(), "what overflows is written all the same"


@case("files/gguf-bos-of-config", "files/gguf-bos-without-id", "files/gguf-no-ends")
def gguf_tokens(name, folder):
    cpu("convert", "model", "model.gguf", cwd=folder)
    for model in ("model", "model.gguf"):
        shown = cpu("inspect", "demo.jsonl", "--model", model, "--rows", 1, cwd=folder).out
        assert "<s>hello⟦ world</s>⟧" in shown, f"{model}: {shown[-200:]}"
        assert ids(model, "--prompt", "hello", cwd=folder)[0][0] == 400


@case("files/gguf-loses-third-end")
def third_end(folder):
    r = cpu("convert", "model", "model.gguf", cwd=folder)
    ask = ("--ids", "1,2", "--greedy", "--max-new", 6, "--json")
    if answers(cpu("generate", "--model", "model.gguf", *ask, cwd=folder))[0]["ids"] != [7]:
        says(r, "end", "7")
    else:
        cpu("convert", "model.gguf", "back", cwd=folder)
        assert sorted(read(folder / "back/generation_config.json")["eos_token_id"]) == [0, 5, 7]


def hub(folder):
    """Runs a case's setup.sh with our binary in front."""
    path = folder / "bin"
    path.mkdir()
    os.symlink(RLHF, path / "rlhf")
    subprocess.run(["sh", "setup.sh"], cwd=folder, check=True, capture_output=True, env={**os.environ, "PATH": f"{path}:{os.environ['PATH']}"})
    return lambda model, **env: cpu("score", "--model", model, "--ids-file", "ids.jsonl", cwd=folder, env=env)


@case("files/hub-adapter-by-name")
def adapter_by_name(folder):
    score = hub(folder)
    score("me/adapter", HF_HOME=folder / "hf")
    cpu("merge", "--model", "me/adapter", "--out", "whole", cwd=folder, env={"HF_HOME": folder / "hf"})


@case("files/hub-cache-variables")
def cache_variables(folder):
    score = hub(folder)
    score("org/tiny", HUGGINGFACE_HUB_CACHE=folder / "hf/hub")
    score("org/tiny", HOME=folder, HF_HOME="~/hf")
    score("org/tiny", HOME=folder, HF_HOME="$HOME/hf")


@case("files/hub-name-of-one-word")
def one_word(folder):
    score = hub(folder)
    score("gpt2", HF_HOME=folder / "hf")
    score("adapter", HF_HOME=folder / "hf")


@case("files/lora-model-path-not-utf8")
def path_not_utf8(folder):
    odd = os.path.join(os.fsencode(folder), b"mod\xe8le")
    shutil.copytree(os.fsencode(folder / "model"), odd)
    how = ("--data", "demo.jsonl", "--out", "tuned", "--lora-rank", 2, "--epochs", 1, "--batch", 4)
    r = cpu("sft", "--model", b"mod\xe8le", *how, cwd=folder, code=(0, 2))
    assert r.code or (folder / "tuned/adapter_config.json").exists(), "the adapter has no config"
    cpu("convert", b"mod\xe8le", b"out\xe8", "--json", cwd=folder)


@case("files/memory-generate", "files/memory-inspect")
def larger_than_memory(name, folder):
    subprocess.run(["python3", "make.py"], cwd=folder, check=True)
    limit = {"memory": 30 << 30, "limit": 20}
    says(rlhf("inspect", "huge", cwd=folder, **limit), "layers +48", "9845")
    for verb in (("generate", "--ids", "1,2", "--max-new", 1), ("score", "--ids-file", "ids.jsonl"), ("generate", "--ids", "1,2", "--precision", "bf16")):
        says(cpu(verb[0], "--model", "huge", *verb[1:], cwd=folder, code=4, **limit), "memory")


@case("files/merge-rounds-base")
def merge_exactly(folder):
    cpu("merge", "--model", "adapter", "--out", "whole", cwd=folder)
    scores(folder, "whole", 1e-5)


@case("files/messages")
def messages(folder):
    says(rlhf("inspect", "q3_k.gguf", cwd=folder, code=6), "Q3_K", "Q4_K_M|Q8_0")
    r = rlhf("inspect", "fp8", cwd=folder, code=6)
    says(r, "FP8|F8_E4M3"), lacks(r, "damaged")
    says(rlhf("inspect", "bin_adapter", cwd=folder, code=6), r"adapter_model\.bin", "pickle")
    rlhf("convert", "model", "new/folder/m.gguf", cwd=folder)
    rlhf("convert", "model", "M.GGUF", cwd=folder)
    assert (folder / "M.GGUF").is_file(), "M.GGUF is a directory"
    cpu("score", "--model", "model", "--ids-file", "ids.jsonl", cwd=folder, env={"RLHF_SIMD": "avx1024"}, code=2)
    text = CASES / "attack/base"
    says(cpu("chat", "--model", text, cwd=folder, stdin=b"h\xe9llo\n", code=None), "UTF-8")
    got = ids(text, "--prompts", "bom.txt", cwd=folder)
    assert got == ids(text, "--prompt", (folder / "bom.txt").read_text("utf-8-sig").splitlines()[0], cwd=folder)


def lacks(result, pattern):
    assert not re.search(pattern, result.said), f"it says /{pattern}/: {result.last()}"


@case("files/nan-weights-pass")
def nan_weights(folder):
    cpu("score", "--model", "model", "--ids-file", "ids.jsonl", cwd=folder, code=(5, 6))
    says(cpu("generate", "--model", "model", "--ids", "1,2,3", "--max-new", 5, "--json", cwd=folder, code=(5, 6)), "not finite|nan|infinit")
    cpu("convert", "model", "m.gguf", cwd=folder, code=(5, 6))


@case("files/peft-exclude_modules", "files/peft-layers_to_transform")
def made_elsewhere(name, folder):
    scores(folder, "adapter")


@case("files/peft-reward-adapter")
def reward_adapter(folder):
    rows = cpu("reward", "--model", "adapter", "--data", "answers.jsonl", "--json", cwd=folder).json()["rows"]
    close([r["rewards"][0] for r in rows], [-0.13134647905826569, -0.06915508955717087], 2e-3)


@case("files/perplexity-skips-null")
def perplexity(folder):
    r = cpu("score", "--model", "model", "--data", "texts.jsonl", "--json", cwd=folder, code=(0, 5, 6))
    assert r.code or (r.json()["perplexity"] is None and r.err), "a perplexity over the rest"


@case("files/ppo-padded-vocab")
def ppo_padded(folder):
    cpu("rm", "--model", "model", "--data", "pairs.jsonl", "--out", "rm", "--holdout", 0, "--epochs", 1, "--batch", 4, cwd=folder)
    how = ("--episodes", 16, "--minibatch", 4, "--batch", 4, "--max-new", 6)
    cpu("ppo", "--model", "model", "--reward", "rm", "--data", "demo.jsonl", "--out", "ppo", *how, cwd=folder)
    finite(folder / "ppo")


@case("files/qwen2-slow-files", "files/tokenizer-null-normalizer", "files/tokenizer-null-normalizer-unigram", "files/unk-dropped")
def encodes(name, folder):
    want = read(folder / "expect.json")["ids"]
    r = cpu("generate", "--model", "model", "--prompts", "prompts.jsonl", "--max-new", 1, "--greedy", "--json", cwd=folder)
    got = [a["prompt_ids"] for a in answers(r)]
    assert got == want, f"{got}, not {want}"
    if (folder / "demo.jsonl").exists():
        cpu("sft", "--model", "model", "--data", "demo.jsonl", "--out", "tuned", "--epochs", 1, "--batch", 4, cwd=folder)
        assert ids("tuned", "--prompts", "prompts.jsonl", cwd=folder) == want, "the tuned model's tokenizer encodes otherwise"
        assert read(folder / "tuned/tokenizer.json")["model"]["unk_token"] == "<unk>"


@case("files/reward-model-pad-token")
def reward_pad(folder):
    cpu("rm", "--model", "model", "--data", "pairs.jsonl", "--out", "rm", "--holdout", 0, "--epochs", 1, "--batch", 4, cwd=folder)
    pad, config = read(folder / "rm/tokenizer_config.json")["pad_token"], read(folder / "rm/config.json")["pad_token_id"]
    assert (pad, config) == ("<pad>", 402), f"pad_token {pad}, pad_token_id {config}"


@case("files/score-cuts-in-silence")
def score_windows(folder):
    r = cpu("score", "--model", "model", "--data", "rows.jsonl", "--json", cwd=folder)
    n = sum(len(row["logprobs"]) for row in r.json()["rows"])
    assert n == 241 or re.search("64", r.err), f"{n} log-probabilities of 241, and not a word"


@case("files/sigterm-loses-steps")
def signals(folder):
    for name in ("INT", "TERM", "HUP"):
        out = folder / f"o_{name}"
        how = ("--epochs", "4000", "--batch", "4", "--save-every", "100000", "--threads", "1", "--device", "cpu", "-q")
        p = subprocess.Popen([RLHF, "sft", "--model", "model", "--data", "demo.jsonl", "--out", out, *how], cwd=folder, stderr=subprocess.PIPE)
        wait_for(out)
        time.sleep(1)
        p.send_signal(getattr(signal, f"SIG{name}"))
        said = p.communicate(timeout=60)[1].decode()
        assert p.returncode == 130, f"SIG{name}: exit {p.returncode}: {said[-200:]}"
        assert any((out / "checkpoints").iterdir()), f"SIG{name}: no checkpoint"


@case("files/stdout-full")
def stdout_full(folder):
    verbs = [("score", "--model", "model", "--ids-file", "ids.jsonl", "--device", "cpu"), ("inspect", "model"), ("devices",), ("recipes", "cat", "mini"), ("--help",), ("generate", "--model", "model", "--ids", "1,2", "--max-new", "2", "--device", "cpu")]
    for verb in verbs:
        with open("/dev/full", "w") as full:
            p = subprocess.run([RLHF, *verb], cwd=folder, stdout=full, stderr=subprocess.PIPE, timeout=60)
        assert p.returncode not in (0, 101, 134), f"rlhf {verb[0]} > /dev/full: exit {p.returncode}"
        assert b"cannot write to standard output" in p.stderr, p.stderr[-200:]
        with open("/dev/full", "w") as full:
            p = subprocess.run([RLHF, *verb], cwd=folder, stderr=full, stdout=subprocess.DEVNULL, timeout=60)
        assert p.returncode == 0, f"rlhf {verb[0]} 2> /dev/full: exit {p.returncode}"


@case("files/template-crlf", "files/template-crlf-in-config", "files/tokens-in-added_tokens.json", "files/tokens-in-added_tokens_decoder", "files/tokens-in-vocab-named-special")
def chat_tokens(name, folder):
    got = ids("model", *CHAT, cwd=folder)
    assert got == [CHATML], f"{got}"
    if (folder / "demo.jsonl").exists():
        shown = cpu("inspect", "demo.jsonl", "--model", "model", "--rows", 1, cwd=folder).out
        assert "<|im_end|>⟧" in shown, f"a text ends otherwise: {shown[-150:]}"
        cpu("convert", "model", "model.gguf", cwd=folder)
        assert ids("model.gguf", *CHAT, cwd=folder) == [CHATML], "the GGUF file encodes otherwise"


@case("files/tokenizer-one-larger")
def one_larger(folder):
    says(cpu("generate", "--model", "model", "--prompt", "hello", "--max-new", 1, cwd=folder), "pad")
    cpu("convert", "model", "model.gguf", cwd=folder)
    cpu("generate", "--model", "model.gguf", "--prompt", "hello", "--max-new", 1, cwd=folder)


@case("files/tokenizer-template-end")
def post_processor_kept(folder):
    r = cpu("sft", "--model", "model", "--data", "demo.jsonl", "--out", "tuned", "--epochs", 1, "--batch", 4, cwd=folder, code=(0, 6))
    if r.code == 0:
        single = [read(folder / d / "tokenizer.json")["post_processor"]["single"] for d in ("model", "tuned")]
        assert single[0] == single[1], f"saved: {single[1]}"
    else:
        says(r, "post")


@case("files/two-in-one-folder")
def one_writer(folder):
    how = ["sft", "--model", "model", "--data", "demo.jsonl", "--device", "cpu", "--batch", "4", "--epochs", "400", "--lr", "1e-3", "--save-every", "50", "--threads", "1", "-q", "--out", "out"]
    first = subprocess.Popen([RLHF, *how], cwd=folder, stderr=subprocess.DEVNULL)
    wait_for(folder / "out/checkpoints")
    second = rlhf(*how, "--resume", cwd=folder, code=(2, 6))
    assert first.poll() is None, "the first had ended before the second began"
    says(second, "process|in use|works in")
    first.send_signal(signal.SIGINT)
    assert first.wait(60) == 130
    rows = [json.loads(line)["step"] for line in open(folder / "out/metrics.jsonl")]
    assert rows == list(range(1, rows[-1] + 1)), "rows of metrics.jsonl are lost"


@case("files/bar-wider-than-terminal")
def bar_width(folder):
    for columns, more in ((80, ["-v"]), (40, []), (20, ["-v"])):
        out = f"out{columns}"
        seen = terminal(["sft", "--model", "model", "--data", "demo.jsonl", "--out", out, "--epochs", 3, "--batch", 4, "--device", "cpu", *more], folder, columns)
        drawn = [re.sub(r"\x1b\[[0-9;]*[mK]", "", d).split("\n")[0].rstrip("\r") for d in re.split(r"\r\x1b\[2K", seen)[1:]]
        assert drawn, "no bar at all"
        wide = [d for d in drawn if len(d) > columns]
        assert not wide, f"{len(wide)} of {len(drawn)} drawings are wider than {columns}: {wide[0]!r}"
