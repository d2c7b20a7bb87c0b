"""Checks of cases/attack: inputs made to break the program."""
import os, re, shutil, tempfile
from pathlib import Path
from common import CASES, SHARED, case, cpu, finite, no_control, rlhf, says, terminal

LIMIT = {"limit": 10, "memory": 8 << 30}


def attack(name, *also):
    """A check in a copy of the whole folder, as its inputs are used beside each other."""

    def register(f):
        def run(_):
            work = Path(tempfile.mkdtemp(prefix="attack-"))
            shutil.copytree(CASES / "attack", work / "attack")
            for d, _, files in os.walk(work):
                os.chmod(d, 0o755)
                [os.chmod(os.path.join(d, f), 0o644) for f in files]
            try:
                f(work / "attack")
            finally:
                shutil.rmtree(work, ignore_errors=True)

        return case(f"attack:{name}")(run)

    return register


for rank in ("adapter-r-1e+06", "adapter-r-1e+09"):

    @attack(rank)
    def rank_of_an_adapter(d, name=rank):
        says(rlhf("inspect", name, cwd=d, code=6, **LIMIT), r"\[2, 32\]|rank|r")
        cpu("generate", "--model", name, "--prompt", "a", cwd=d, code=6, **LIMIT)


@attack("adapter-loop")
def adapter_loop(d):
    cpu("sft", "--model", "adapter-loop", "--data", "demos.jsonl", "--out", "o", cwd=d, code=6, **LIMIT)
    cpu("generate", "--model", "adapter-loop", "--prompt", "a", cwd=d, code=6, **LIMIT)


@attack("config-layers-100000")
def layers(d):
    for how in (("sft", "--data", "demos.jsonl", "--out", "o", "--lora-rank", 4), ("generate", "--prompt", "a")):
        cpu(how[0], "--model", "config-layers-100000", *how[1:], cwd=d, code=6, **LIMIT)
    rlhf("inspect", "config-layers-100000", cwd=d, code=6, **LIMIT)


@attack("tokenizer-bin-long-piece")
def long_piece(d):
    r = rlhf("inspect", "tokenizer-bin-long-piece", cwd=d, code=(0, 6), **LIMIT)
    assert r.seconds < 3, f"{r.seconds:.1f} s"


@attack("unigram-control-in-text")
def unigram_control(d):
    model = "unigram-control-in-text"
    shown = rlhf("inspect", f"{model}/row.jsonl", "--model", model, "--json", cwd=d, **LIMIT).json()
    ids = shown["sequences"][0]["ids"]
    assert not {1, 2} & set(ids[:-1]), f"control ids from text: {ids}"


for template in ("template-plus", "template-minus", "template-dots", "template-tilde", "template-nested-list", "template-doubled-list"):

    @attack(template)
    def template_bomb(d, name=template):
        r = cpu("generate", "--model", name, "--prompt", "hi", "--max-new", 1, cwd=d, code=(0, 3, 6), **LIMIT)
        assert r.seconds < 3, f"{r.seconds:.1f} s"
        cpu("generate", "--model", name, "--prompt", "hi", "--chat", "--max-new", 1, cwd=d, code=(0, 3, 6), **LIMIT)


@attack("escapes")
def escapes(d):
    no_control(cpu("generate", "--model", "template-escape", "--prompt", "hi", "--chat", "--max-new", 1, cwd=d, code=(3, 6)).err)
    no_control(rlhf("inspect", "config-escape", cwd=d, code=6).err)
    seen = terminal(["generate", "--model", "writes-escape", "--prompt", "a", "--greedy", "--max-new", "4", "--device", "cpu"], d)
    no_control(re.sub(r"\r\n", "\n", re.sub(r"\r\x1b\[2K", "", seen)))


@attack("config-negative-eps")
def negative_eps(d):
    for how in (("--top-p", 0.9), ("--top-k", 5), ("--greedy",), ()):
        cpu("generate", "--model", "config-negative-eps", "--prompt", "hi", "--max-new", 1, *how, cwd=d, code=(5, 6), **LIMIT)


@attack("max-new")
def max_new(d):
    cpu("generate", "--model", "base", "--prompt", "a", "--max-new", 18446744073709551615, cwd=d, code=(0, 2), **LIMIT)


@attack("pretrain-larger-than-memory")
def fresh_model(d):
    text = SHARED / "data/text/sherlock_body.txt"
    cpu("pretrain", "--data", text, "--out", "o", "--layers", 48, "--channels", 8192, "--heads", 8, cwd=d, code=4, limit=120, memory=30 << 30)


@attack("lr-inf")
def lr_inf(d):
    cpu("sft", "--model", "base", "--data", "demos.jsonl", "--out", "o", "--epochs", 1, "--batch", 64, "--lr", "inf", cwd=d, code=(2, 5))
    assert not (d / "o/model.safetensors").exists()


@attack("recipe-writes-elsewhere")
def writes_elsewhere(d):
    precious = Path("/tmp/evil-home/S.base/checkpoints/precious")
    precious.parent.mkdir(parents=True, exist_ok=True)
    precious.write_text("mine")
    cpu("run", "recipe-writes-elsewhere.toml", "--out", "o", cwd=d, code=2)
    assert precious.exists(), "files outside of --out are deleted"
    shutil.rmtree("/tmp/evil-home")


for recipe in ("recipe-channels-overflow", "recipe-overflow-estimate.rs-47", "recipe-overflow-estimate.rs-48", "recipe-overflow-memory.rs-120"):

    @attack(recipe)
    def overflow(d, name=recipe):
        rlhf("recipes", "check", f"{name}.toml", cwd=d, code=(2, 4), **LIMIT)


@attack("lines-bomb")
def lines_bomb(d):
    r = rlhf("inspect", "lines-bomb.jsonl.gz", cwd=d, code=3, **LIMIT)
    assert r.seconds < 5, f"{r.seconds:.1f} s"


@attack("one-row-of-20000-answers")
def many_answers(d):
    cpu("rm", "--model", "base", "--data", "one-row-of-20000-answers.jsonl", "--out", "o", "--holdout", 0, cwd=d, code=(3, 4), limit=30, memory=8 << 30)


@attack("config-duplicate-key")
def duplicate_key(d):
    says(rlhf("inspect", "config-duplicate-key", cwd=d, code=6, **LIMIT), "twice|duplicate")
