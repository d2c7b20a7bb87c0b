"""What the checks of cases share: running the program within limits, scratch copies of a case's folder, tiny models."""
import functools, json, math, os, pty, re, resource, select, shutil, subprocess, sys, tempfile, time
from pathlib import Path

HERE = Path(__file__).resolve().parent
SHARED = Path(os.environ.get("SHARED", HERE.parents[2] / "shared"))
CASES, GOLD = SHARED / "cases", SHARED / "golden"
RLHF = os.path.abspath(os.environ.get("RLHF", HERE.parents[1] / "target/release/rlhf"))
CHECKS = {}  # "group/folder" -> function of a scratch folder


class Skip(Exception):
    """Something that this check needs is not on this machine."""


def case(*names):
    """Registers a check of these cases; it is called with a scratch copy of the case's folder, and asserts."""

    def register(f):
        for name in names:
            CHECKS[name] = functools.partial(f, name) if len(names) > 1 else f
        return f

    return register


class Result:
    def __init__(self, code, out, err, seconds):
        self.code, self.out, self.err, self.seconds = code, out, err, seconds
        self.said = out + err

    def json(self):
        return json.loads(self.out)

    def lines(self):
        return [json.loads(line) for line in self.out.splitlines()]

    def last(self):
        """The end of what it said, on one line."""
        return " ".join(self.said.split())[-300:]


def rlhf(*args, cwd=None, env=None, stdin=b"", limit=60, memory=None, code=0):
    """Runs the program; `code` is the exit code that is wanted (None: any, a tuple: one of them). A panic, a signal or
    a run of more than `limit` seconds never is."""
    bounds = (lambda: resource.setrlimit(resource.RLIMIT_AS, (memory, memory))) if memory else None
    environment = {**os.environ, "NO_COLOR": "1", "RUST_BACKTRACE": "0", **{k: str(v) for k, v in (env or {}).items()}}
    start = time.time()
    try:
        p = subprocess.run([RLHF, *(a if isinstance(a, bytes) else str(a) for a in args)], cwd=cwd, env=environment, input=stdin, capture_output=True, timeout=limit, preexec_fn=bounds)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"`{shown(args)}` runs for more than {limit} s") from None
    r = Result(p.returncode, p.stdout.decode("utf8", "replace"), p.stderr.decode("utf8", "replace"), time.time() - start)
    assert r.code >= 0 and r.code not in (101, 134) and "panicked at" not in r.err, f"`{shown(args)}` dies, {r.code}: {r.last()}"
    wanted = code if isinstance(code, tuple) else (code,)
    assert code is None or r.code in wanted, f"`{shown(args)}` exits with {r.code}, not {code}: {r.last()}"
    return r


def cpu(*args, **how):
    return rlhf(*args, "--device", "cpu", **how)


def shown(args):
    return " ".join(a.decode("utf8", "replace") if isinstance(a, bytes) else str(a) for a in ("rlhf", *args))


def says(result, *patterns):
    for p in patterns:
        assert re.search(p, result.said, re.I | re.S), f"it does not say /{p}/: {result.last()}"


def no_control(text):
    raw = re.findall(r"[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f\x80-\x9f]", text)
    assert not raw, f"raw control characters reach the terminal: {raw[:5]}"


def scratch(name):
    """A copy of the case's folder that can be written."""
    out = Path(tempfile.mkdtemp(prefix="case-")) / "case"
    shutil.copytree(CASES / name, out, symlinks=True)
    for d, _, files in os.walk(out):
        os.chmod(d, 0o755)
        for f in files:
            os.chmod(os.path.join(d, f), 0o644)
    return out


def tiny(out, *kind):
    """A tiny model directory, made by the cases' own make_model.py."""
    subprocess.run([sys.executable, CASES / "alignment/make_model.py", out, *kind], check=True, env={**os.environ, "GOLD": str(GOLD)})
    return out


def read(path):
    return json.loads(Path(path).read_text())


def ids(model, *args, cwd=None):
    """Token ids of prompts as `generate` sees them, one list for each."""
    r = cpu("generate", "--model", model, *args, "--max-new", 1, "--greedy", "--json", cwd=cwd)
    return [a["prompt_ids"] for a in answers(r)]


def answers(result):
    return result.json()["generations"]


def close(got, want, tolerance=1e-4):
    assert len(got) == len(want), f"{len(got)} rows for {len(want)}"
    for i, (a, b) in enumerate(zip(got, want)):
        if isinstance(b, list):
            close(a, b, tolerance)
        else:
            assert (a is None) == (b is None) and (b is None or abs(a - b) <= tolerance), f"number {i}: {a}, not {b}"


def scores(folder, model, tolerance=1e-4):
    """`score --ids-file` gives the numbers of expect.json."""
    r = cpu("score", "--model", model, "--ids-file", "ids.jsonl", cwd=folder)
    close([line["logprobs"] for line in r.lines()], read(folder / "expect.json")["logprobs"], tolerance)


def finite(path):
    """That a model directory's numbers are all finite."""
    import array, struct

    data = Path(path, "model.safetensors").read_bytes()
    start = 8 + struct.unpack("<Q", data[:8])[0]
    numbers = array.array("f", data[start : start + (len(data) - start) // 4 * 4])
    assert all(map(math.isfinite, numbers)), f"{path} has numbers that are not finite"


def terminal(args, cwd, columns=80, seconds=60):
    """What the program writes to a terminal of so many columns."""
    import fcntl, struct, termios

    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(cwd)
        os.environ.pop("NO_COLOR", None)
        os.environ["TERM"] = "xterm-256color"
        time.sleep(0.1)
        os.execv(RLHF, [RLHF, *map(str, args)])
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    out, end = b"", time.time() + seconds
    while time.time() < end:
        if not select.select([fd], [], [], 0.5)[0]:
            continue
        try:
            part = os.read(fd, 65536)
        except OSError:
            break
        if not part:
            break
        out += part
    os.close(fd)
    os.waitpid(pid, 0)
    return out.decode("utf8", "replace")
