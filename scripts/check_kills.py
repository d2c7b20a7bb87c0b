#!/usr/bin/env python3
"""Kills, signals and closed pipes at random moments of sft, rm, ppo and run: all must come to the same bits.

    python3 scripts/check_kills.py [ROUNDS] [SEED]      with target/release/rlhf, or RLHF=BINARY; 100 rounds unless told

A round takes one of the four, interrupts it up to three times (SIGKILL, SIGTERM, SIGINT, SIGHUP, or the reader of its
output goes away), goes on by `--resume --out DIR` or by the command that it printed, and compares what comes out with an
undisturbed run: the models byte for byte, the logged steps, and the names of all files. Standard library only.
Exit 1 if a round differs.
"""
import hashlib, json, os, random, shutil, signal, subprocess, sys, tempfile, time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RLHF = os.path.abspath(os.environ.get("RLHF", ROOT / "target/release/rlhf"))
ROUNDS, SEED = (int(a) for a in (sys.argv[1:] + ["100", "1"][len(sys.argv) - 1 :])[:2])
ENV = {**os.environ, "NO_COLOR": "1"}
HOW = ["KILL", "TERM", "INT", "HUP", "pipe"]


def message(role, text):
    return {"role": role, "content": text}


def materials(work):
    """A small base model, demonstrations, pairs and prompts."""
    text = " ".join(f"{a} {b} {c}." for a in ("the", "a", "one") for b in ("cat", "dog", "hat") for c in ("sat", "ran", "was here")) * 20
    (work / "text.txt").write_text(text)
    rows = lambda make: "".join(json.dumps(make(i)) + "\n" for i in range(48))
    say = lambda i: [message("user", f"Say {i % 7}")]
    (work / "demos.jsonl").write_text(rows(lambda i: {"messages": say(i) + [message("assistant", f"It is {i % 7}.")]}))
    (work / "pairs.jsonl").write_text(rows(lambda i: {"prompt": say(i), "chosen": [message("assistant", f"It is {i % 7}.")], "rejected": [message("assistant", f"No {i}.")]}))
    (work / "prompts.jsonl").write_text(rows(lambda i: {"prompt": say(i)}))
    shape = "--layers 2 --channels 64 --heads 4 --vocab 300 --context 64 --steps 20 --batch 8"
    done(f"pretrain --data text.txt --out base {shape}", work)
    done("rm --model base --data pairs.jsonl --out judge --epochs 1 --batch 8 --holdout 0", work)


STAGES = {
    "sft": "sft --model base --data demos.jsonl --epochs 20 --batch 8 --save-every 7",
    "rm": "rm --model base --data pairs.jsonl --epochs 12 --batch 8 --save-every 5",
    "ppo": "ppo --model base --reward judge --data prompts.jsonl --episodes 160 --batch 16 --minibatch 8 --max-new 12 --save-every 2",
    "run": "run mini --set smoke=true",
}


def command(line, out=None):
    return [RLHF, *line.split(), *(["--out", out] if out else []), "--device", "cpu", "--threads", "1"]


def done(line, work, out=None):
    p = subprocess.run(command(line, out), cwd=work, env=ENV, capture_output=True, text=True)
    assert p.returncode == 0, f"rlhf {line}: exit {p.returncode}: {p.stderr[-500:]}"


def picture(folder):
    """What must be the same: models and reports by their bits, the log without its clocks, the names of all files."""
    seen = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = str(path.relative_to(folder))
        if "tfevents" in name or path.name in ("report.html", "environment.json"):
            name, what = name.split("tfevents")[0], "there"
        elif path.suffix in (".safetensors",) or path.name in ("recipe.toml", "samples.jsonl", "tokenizer.json", "config.json"):
            what = hashlib.sha256(path.read_bytes()).hexdigest()
        elif path.name == "metrics.jsonl":
            what = [steady(json.loads(line)) for line in path.read_text().splitlines()]
        else:
            what = "there"
        seen[name] = what
    return seen


def steady(row):
    """A logged step without what a clock says."""
    clocks = ("second", "time", "per_sec", "tok_s", "eta", "memory")
    return {k: v for k, v in row.items() if k != "eps" and not any(c in k for c in clocks)}


def interrupt(p, how):
    if how == "pipe":
        p.stdout.close(), p.stderr.close()
        return ""
    p.send_signal(getattr(signal, f"SIG{how}"))
    try:
        return p.communicate(timeout=120)[1]
    except ValueError:
        return ""


def go_on(said, line, out):
    """The command that goes on: the printed one if there is one."""
    printed = [l.removeprefix("go on with: ") for l in said.splitlines() if l.startswith("go on with: rlhf")]
    if printed:
        return ["bash", "-c", printed[-1] + ("" if "--threads" in printed[-1] else " --threads 1")]
    verb = line.split()[0]
    resumed = line if verb == "run" else verb
    return command(f"{resumed} --resume", out)


def one_round(work, name, takes, rng, tally):
    line, out = STAGES[name], f"out-{name}"
    shutil.rmtree(work / out, ignore_errors=True)
    next_command, story = command(line, out), []
    for _ in range(rng.randint(1, 3)):
        how, after = rng.choice(HOW), rng.random() * takes
        p = subprocess.Popen(next_command, cwd=work, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(after)
        over = p.poll() is not None
        said = p.communicate()[1] if over else interrupt(p, how)
        code = p.wait(300)
        story.append(f"{how if not over else 'nothing'} at {after:.2f} s: exit {code}")
        tally[how if not over else "too late"] += 1
        if code == 0:
            break
        # what it says into a closed pipe nobody reads
        nothing = "nothing to resume" in said or how == "pipe" and not (work / out / "recipe.toml").exists()
        if code == 2 and nothing:
            next_command = command(line, out)
            continue
        wanted = {"KILL": (-9,), "pipe": (0,)}.get(how, (130,))
        # a signal that comes before the program has asked for it ends it as the system does
        early = not (work / out).exists() or not any((work / out).iterdir())
        if code not in wanted and not (early and code < 0) and not (code < 0 and after < 0.3):
            return story + [f"exit {code}: {said[-300:]}"]
        next_command = go_on(said, line, out)
    if code != 0:
        p = subprocess.run(next_command, cwd=work, env=ENV, capture_output=True, text=True)
        if p.returncode == 2 and "nothing to resume" in p.stderr:
            p = subprocess.run(command(line, out), cwd=work, env=ENV, capture_output=True, text=True)
        story.append(f"`{' '.join(map(str, next_command))[-80:]}`: exit {p.returncode}")
        if p.returncode:
            return story + [p.stderr[-300:]]
    return story if differs(picture(work / f"ref-{name}"), picture(work / out), story) else []


def differs(want, got, story):
    for name in sorted(set(want) | set(got)):
        if want.get(name) != got.get(name):
            a, b = want.get(name), got.get(name)
            what = "missing" if b is None else "left behind" if a is None else "other bits"
            if isinstance(a, list) and isinstance(b, list):
                i = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
                what = f"row {i}: {a[i:i+1]} became {b[i:i+1]} ({len(a)} and {len(b)} rows)"
            story.append(f"{name}: {what}")
            return True
    return False


def main():
    rng, tally, bad = random.Random(SEED), Counter(), 0
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "bin").mkdir()
        (work / "bin/rlhf").symlink_to(RLHF)  # for the commands that it prints
        ENV["PATH"] = f"{work}/bin:{ENV['PATH']}"
        materials(work)
        takes = {}
        for name, line in STAGES.items():
            start = time.time()
            done(line, work, f"ref-{name}")
            takes[name] = time.time() - start
            print(f"{name}: {takes[name]:.1f} s undisturbed", flush=True)
        for i in range(ROUNDS):
            name = list(STAGES)[i % len(STAGES)]
            story = one_round(work, name, takes[name], rng, tally)
            if story:
                bad += 1
                print(f"FAILED round {i}, {name}: {'; '.join(story)}", flush=True)
    print(f"interruptions: {dict(tally)}")
    print(f"kills: {ROUNDS - bad} passed, {bad} failed")
    sys.exit(bool(bad))


main()
