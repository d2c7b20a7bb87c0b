"""PyTorch on a GPU, beside `rlhf bench --device gpu`: products and training steps in f32, TF32 and bf16.

    gpu_torch.py products --device gpu|cpu
    gpu_torch.py train SIZE --device gpu|cpu [--compile]

One JSON object a line. Times are on the wall with the GPU awaited, medians, after half a second of warming up.
"""
import argparse, time
import torch
import torch.nn.functional as F
from common import SHAPES, emit, stats
from gpt_torch import GPT

PRODUCTS = [(512, 768, 768), (512, 2304, 768), (512, 3072, 768), (512, 768, 3072), (512, 50257, 768), (2048, 2048, 2048), (4096, 4096, 4096), (8192, 3072, 768)]
MODES = {"f32": (torch.float32, False), "tf32": (torch.float32, True), "bf16": (torch.bfloat16, False), "f16": (torch.float16, False)}


def wait(device):
    if device == "cuda":
        torch.cuda.synchronize()


def median(step, device, seconds=0.5, runs=9):
    """Seconds of a call: enough calls at once that the clock of the host does not matter."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        step()
    wait(device)
    begin = time.perf_counter()
    step()
    wait(device)
    calls = max(1, min(50, int(0.02 / (time.perf_counter() - begin))))

    def batch():
        begin = time.perf_counter()
        for _ in range(calls):
            step()
        wait(device)
        return (time.perf_counter() - begin) / calls

    return stats([batch() for _ in range(runs)])[0]


def products(device):
    shapes = PRODUCTS if device == "cuda" else [(64, 96, 32)]
    for mode, (dtype, tf32) in MODES.items():
        torch.backends.cuda.matmul.allow_tf32 = tf32
        for m, n, k in shapes:
            a, b = torch.randn(m, k, device=device, dtype=dtype), torch.randn(n, k, device=device, dtype=dtype)
            dy = torch.randn(m, n, device=device, dtype=dtype)
            for form, step in (("forward", lambda: a @ b.T), ("dx", lambda: dy @ b), ("dw", lambda: dy.T @ a)):
                s = median(step, device, seconds=0.05)
                emit(what="product", form=form, dtype=mode, shape=[m, n, k], ms=s * 1e3, tflops=2e-12 * m * n * k / s)


def train(size, device, compiled):
    _, _, _, T, V, B = SHAPES[size]
    for mode in ("bf16",) if compiled else ("f32", "tf32", "bf16"):    # a minute to compile each
        torch.backends.cuda.matmul.allow_tf32 = mode == "tf32"
        torch.manual_seed(0)
        model = GPT(size).to(device)
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
        forward = torch.compile(model, mode="reduce-overhead" if device == "cuda" else None) if compiled else model
        ids = torch.randint(0, V, (B, T + 1), device=device)

        def step():
            with torch.autocast(device, torch.bfloat16, enabled=mode == "bf16"):
                loss = F.cross_entropy(forward(ids[:, :T]).reshape(-1, V).float(), ids[:, 1:].reshape(-1))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()

        s = median(step, device)
        emit(what="train", size=size, dtype=mode, compiled=compiled, ms=s * 1e3, tok_s=round(B * T / s))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("what", choices=["products", "train"])
    p.add_argument("size", nargs="?", choices=SHAPES, default="tiny")
    p.add_argument("--device", default="gpu")
    p.add_argument("--compile", action="store_true")
    a = p.parse_args()
    device = "cuda" if a.device == "gpu" else "cpu"
    products(device) if a.what == "products" else train(a.size, device, a.compile)


main()
