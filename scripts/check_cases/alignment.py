"""Checks of cases/alignment: conversations, templates, rows, resume, numbers."""
import hashlib, os, re, signal, subprocess, sys, time
from common import RLHF, Skip, answers, case, cpu, finite, ids, no_control, read, says, tiny

SFT = ("--epochs", 1, "--batch", 5, "-q")


def sft(folder, *args, data="demos.jsonl", model="base", out="sft", code=0, **how):
    return cpu("sft", "--model", model, "--data", data, "--out", out, *args, cwd=folder, code=code, **how)


def rm(folder, *args, data="pairs.jsonl", model="base", out="rm", code=0):
    return cpu("rm", "--model", model, "--data", data, "--out", out, *args, cwd=folder, code=code)


def ends_of(folder, name="generation_config.json"):
    ends = read(folder / name)["eos_token_id"]
    return sorted(ends) if isinstance(ends, list) else [ends]


def trained(folder, data, model="base"):
    """What `inspect` shows of the first row."""
    return cpu("inspect", data, "--model", model, "--rows", 1, "--json", cwd=folder).json()


@case("alignment/01-end-of-turn-not-saved")
def end_of_turn(folder):
    tiny(folder / "base", "chatml")
    sft(folder, "--epochs", 60, "--batch", 5, "--lr", "3e-3", "-q")
    ask = ("--prompt", "Say 3", "--chat", "--greedy", "--max-new", 30, "--json")
    assert answers(cpu("generate", "--model", "sft", *ask, cwd=folder))[0]["ended"]
    cpu("convert", "sft", "sft.gguf", cwd=folder)
    cpu("convert", "sft.gguf", "back", cwd=folder)
    cpu("sft", "--model", "base", "--data", "demos.jsonl", "--out", "lora", "--lora-rank", 2, *SFT, cwd=folder)
    cpu("merge", "--model", "lora", "--out", "merged", cwd=folder)
    for made in ("sft", "merged", "back"):
        for file in ("generation_config.json", "config.json"):
            got = ends_of(folder / made, file)
            assert got == [256, 258], f"{made}/{file} has eos_token_id {got}"
    assert answers(cpu("generate", "--model", "sft.gguf", *ask, cwd=folder))[0]["ended"]


@case("alignment/02-bos-lost-after-training")
def bos_kept(folder):
    tiny(folder / "base", "bostemplate")
    ask = ("--prompt", "Hi", "--chat")
    before = ids("base", *ask, cwd=folder)
    sft(folder, *SFT)
    assert ids("sft", *ask, cwd=folder) == before, "the prompt is another one after training"
    base, tuned = (read(folder / d / "tokenizer_config.json") for d in ("base", "sft"))
    for key in ("bos_token", "pad_token", "model_max_length"):
        assert tuned.get(key) == base[key], f"{key} is {tuned.get(key)}, was {base[key]}"
    rm(folder, "--epochs", 1, "--batch", 4, "-q")
    score = lambda: cpu("reward", "--model", "rm", "--data", "score.jsonl", cwd=folder).out
    saved = score()
    (folder / "rm/tokenizer_config.json").write_text((folder / "base/tokenizer_config.json").read_text())
    assert score() == saved, "the reward model scores otherwise with the base's tokenizer_config.json"


@case("alignment/03-pad-becomes-end")
def pad_kept(folder):
    tiny(folder / "base", "instruct")
    sft(folder, *SFT)
    rm(folder, "--epochs", 1, "--batch", 4, "-q")
    for made in ("sft", "rm"):
        pad = read(folder / made / "tokenizer_config.json")["pad_token"]
        assert pad == "<|endoftext|>", f"{made}: pad_token is {pad}"
    assert read(folder / "rm/config.json")["pad_token_id"] == 258


@case("alignment/04-ppo-padded-vocabulary")
def padded_vocabulary(folder):
    tiny(folder / "base", "chatml"), tiny(folder / "base259", "chatml", "259"), tiny(folder / "swapped", "swapped")
    rm(folder, "--epochs", 1, "--batch", 4, "-q")
    rm(folder, "--epochs", 1, "--batch", 4, "-q", model="base259", out="rm259")
    rm(folder, "--epochs", 1, "--batch", 4, "-q", model="swapped", out="rm-swapped")
    how = ("--data", "prompts-chat.jsonl", "--episodes", 16, "--batch", 8, "--minibatch", 4, "--max-new", 8)
    ppo = lambda judge, out, code: cpu("ppo", "--model", "base", "--reward", judge, "--out", out, *how, cwd=folder, code=code)
    ppo("rm", "a", 0)
    ppo("rm259", "b", (0, 2, 6))
    ppo("rm-swapped", "c", (2, 6))


@case("alignment/05-parts-of-a-row-dropped")
def parts_of_a_row(folder):
    tiny(folder / "base", "instruct")
    for file, key in (("toolcall-empty", "tool_calls"), ("reasoning", "reasoning_content"), ("tools-col", "tools")):
        r = cpu("inspect", f"{file}.jsonl", "--model", "base", "--rows", 1, cwd=folder, code=None)
        says(r, key)
        r = sft(folder, "--epochs", 1, data=f"{file}.jsonl", out=file, code=None)
        says(r, key)
    r = cpu("inspect", "weight0.jsonl", "--model", "base", "--rows", 1, cwd=folder)
    inside = re.findall(r"⟦(.*?)⟧", r.out, re.S)
    assert any("Right." in t for t in inside) and not any("Wrong." in t for t in inside), f"trained: {inside}"
    says(cpu("inspect", "alpaca-history.jsonl", "--model", "base", "--rows", 1, cwd=folder), r"system\s+Count\..*First\?.*One\..*Second\?.*Two\..*And now\?")


@case("alignment/06-template-refusal-names-no-row")
def refusal_names_the_row(folder):
    tiny(folder / "base", "gemma")
    says(sft(folder, data="system-one-bad.jsonl", out="a", code=3), r"system-one-bad\.jsonl:6", "no system role here")
    says(sft(folder, data="empty-messages.jsonl", out="b", code=3), r"empty-messages\.jsonl:2", "no messages")


@case("alignment/07-prompt-string-chosen-messages")
def ultrafeedback(folder):
    tiny(folder / "base", "chatml")
    r = cpu("inspect", "ultra.jsonl", "--model", "base", cwd=folder)
    says(r, r"user\s+Name a bird 0.*A wren\.")
    assert "Name a bird 0<|im_end|>\n<|im_start|>user\nName a bird 0" not in r.out, "the prompt is there twice"
    rm(folder, "--epochs", 1, "--batch", 2, "-q", data="ultra.jsonl")


@case("alignment/08-none-among-rows-blames-columns")
def none_among_rows(folder):
    tiny(folder / "base", "chatml")
    says(sft(folder, data="too-long.jsonl", out="a", code=3), "128", "context")
    says(rm(folder, "--holdout", 0.5, data="pair2.jsonl", out="b", code=(2, 3)), "hold|held")
    says(sft(folder, "--pretrain-mix", 0.2, out="c", code=2), "--text")


@case("alignment/09-pairs-equal-after-the-cut")
def equal_pairs(folder):
    tiny(folder / "base", "chatml")
    for file in ("pairs-same-after-cut", "pairs-equal"):
        says(rm(folder, "--epochs", 1, "--batch", 4, data=f"{file}.jsonl", out=file, code=3), "equal|same")


@case("alignment/10-jinja-none-is-iterable")
def jinja_tests(folder):
    tiny(folder / "base", "instruct")
    template = folder / "base/chat_template.jinja"
    source = (folder / "template.jinja").read_text()
    for text in (source, source.replace("tools is iterable and ", "").replace("tools | length > 0", "false")):
        template.write_text(text)
        cpu("inspect", "demos.jsonl", "--model", "base", "--rows", 1, cwd=folder)


@case("alignment/11-prefix-without-normalizer")
def prefix(folder):
    import json

    tiny(folder / "base", "plain")
    path = folder / "base/tokenizer.json"
    whole = read(path)
    whole["pre_tokenizer"]["add_prefix_space"] = True
    for normalizer in (None, {"type": "NFC"}):
        whole["normalizer"] = normalizer
        path.write_text(json.dumps(whole))
        got = ids("base", "--prompt", "hi", cwd=folder)
        assert got == [[32, 104, 105]], f"ids {got} with the normalizer {normalizer}"


@case("alignment/12-unknown-token-counts-as-control")
def unknown_token(folder):
    try:
        import tokenizers
    except ImportError:
        raise Skip("needs the Python package tokenizers") from None
    subprocess.run([sys.executable, folder / "make.py", folder / "base"], check=True)
    r = cpu("inspect", "talk.jsonl", "--model", "base", "--rows", 2, cwd=folder)
    says(r, "unk|unknown|lost")
    t = tokenizers.Tokenizer.from_file(str(folder / "base/tokenizer.json"))
    text = "hello Xy"
    import json

    (folder / "row.jsonl").write_text(json.dumps({"prompt": text, "completion": "it"}) + "\n")
    run = cpu("inspect", "row.jsonl", "--model", "base", "--json", cwd=folder)  # the case has no weights
    wanted = t.encode(text).ids
    assert json.loads(run.out)["sequences"][0]["ids"][: len(wanted)] == wanted


@case("alignment/13-end-adding-post-processor")
def end_adding(folder):
    import json

    tiny(folder / "base", "plain")
    path = folder / "base/tokenizer.json"
    whole = read(path)
    end, text = {"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}}, lambda n: {"Sequence": {"id": n, "type_id": 0}}
    specials = {"<|endoftext|>": {"id": "<|endoftext|>", "ids": [256], "tokens": ["<|endoftext|>"]}}
    whole["post_processor"] = {"type": "TemplateProcessing", "single": [text("A"), end], "pair": [text("A"), end, text("B"), end], "special_tokens": specials}
    seen = []
    for normalizer in (None, {"type": "NFC"}):
        whole["normalizer"] = normalizer
        path.write_text(json.dumps(whole))
        r = cpu("inspect", "demos-text.jsonl", "--model", "base", "--rows", 1, "--json", cwd=folder, code=None)
        assert r.code == 0 or "post" in r.err, r.last()
        seen.append((r.code, r.out))
    assert seen[0] == seen[1], "read in one case and not in the other"


@case("alignment/14-numbers-out-of-range")
def numbers_out_of_range(folder):
    tiny(folder / "base", "chatml"), tiny(folder / "base259", "chatml", "259")
    bad = ["--lr=nan", "--lr=inf", "--lr=-1", "--epochs=-1", "--epochs=0", "--epochs=nan", "--batch=0", "--dropout=2", "--dropout=1", "--dropout=nan", "--weight-decay=-1", "--max-grad-norm=-1"]
    for flag in bad:
        says(sft(folder, flag, out="bad", code=2), flag[2:].split("=")[0].replace("-", "[-_]"))
    sft(folder, "--pretrain-mix", 1, "--text", "text.txt", out="bad", code=2)
    r = sft(folder, "--lr=1e30", "--epochs", 1, "--batch", 10, out="diverged", code=(2, 5))
    assert not (folder / "diverged/model.safetensors").exists(), "a model that is not finite is written"
    rm(folder, "--epochs", 1, "--batch", 4, "-q", model="base259")
    how = ("--episodes", 8, "--batch", 4, "--minibatch", 4, "--max-new", 4)
    for flag in ("--clip=-1", "--clip=nan", "--value-clip=-1", "--value-clip=nan", "--gamma=2", "--kl-coef=nan", "--temperature=-1"):
        cpu("ppo", "--model", "base259", "--reward", "rm", "--data", "prompts-chat.jsonl", "--out", "p", *how, flag, cwd=folder, code=2)
    for key in ("sft.lr=nan", "sft.batch=0", "sft.epochs=-1", "sft.dropout=2", "ppo.clip=-1", "init.pretrain_mix=1"):
        cpu("recipes", "check", "mini", "--set", key, cwd=folder, code=2)


@case("alignment/15-resume-with-other-things")
def resume(folder):
    import shutil

    tiny(folder / "base", "chatml"), tiny(folder / "other", "gemma")
    how = ("--epochs", 20, "--batch", 10, "--save-every", 10, "-q", "--device", "cpu")
    p = subprocess.Popen([RLHF, "sft", "--model", "base", "--data", "big.jsonl", "--out", "run", *map(str, how)], cwd=folder)
    wait_for(folder / "run/checkpoints")
    p.send_signal(signal.SIGINT)
    assert p.wait(60) == 130

    def again(code, *changed, **how):
        shutil.rmtree(folder / "o", ignore_errors=True)
        shutil.copytree(folder / "run", folder / "o")
        before = (folder / "o/recipe.toml").read_text()
        r = sft(folder, *changed, out="o", code=code, **how)
        if code:
            assert (folder / "o/recipe.toml").read_text() == before, "recipe.toml is overwritten all the same"
        return r

    rest = ("--batch", 10, "--resume")
    says(again(2, "--epochs", 20, *rest, data="other.jsonl"), "data|other")
    says(again(2, "--epochs", 5, *rest, data="big.jsonl"), "epochs")
    says(again(2, "--epochs", 20, *rest, data="big.jsonl", model="other"), "model|other")
    again(0, "--epochs", 5, *rest, "--force", data="big.jsonl")
    shutil.rmtree(folder / "o")
    shutil.copytree(folder / "run", folder / "o")
    cpu("sft", "--out", "o", "--resume", cwd=folder)
    says(sft(folder, "--epochs", 2, "--batch", 5, "--resume", out="typo", code=2), "nothing to resume")


def wait_for(path, seconds=30):
    end = time.time() + seconds
    while not (path.exists() and any(path.iterdir())):
        assert time.time() < end, f"{path} does not come"
        time.sleep(0.02)


@case("alignment/16-prompt-that-ends-with-the-assistant")
def prefill(folder):
    tiny(folder / "base", "instruct")
    ask = ("--model", "base", "--prompts", "prefill.jsonl", "--greedy", "--max-new", 1, "--json")
    r = cpu("generate", *ask, cwd=folder, code=None)
    if r.code == 0:
        prompt = answers(r)[0]["prompt"]
        assert prompt.endswith("<|im_start|>assistant\nIt is"), f"the prompt ends {prompt[-60:]!r}"


@case("alignment/17-bom-in-prompts-txt")
def byte_order_mark(folder):
    tiny(folder / "base", "plain")
    got = ids("base", "--prompts", "prompts-bom.txt", cwd=folder)
    assert got[0][:3] != [239, 187, 191], f"the first prompt begins with the mark: {got[0][:5]}"


@case("alignment/18-seed-not-recorded")
def seed_recorded(folder):
    tiny(folder / "base", "chatml")
    sft(folder, "--epochs", 2, "--batch", 5, "--seed", 7, "-q", out="a")
    assert re.search(r"^seed = 7$", (folder / "a/recipe.toml").read_text(), re.M), "recipe.toml does not name the seed"
    cpu("sft", "--config", "a/recipe.toml", "--out", "b", "-q", cwd=folder)
    bits = [hashlib.sha256((folder / d / "model.safetensors").read_bytes()).hexdigest() for d in "ab"]
    assert bits[0] == bits[1], "doing it again by --config makes other bits"
