#!/usr/bin/env python3
"""Makes tests/golden: small random models in Hugging Face's layout and what PyTorch computes with them.

    python scripts/make_golden.py [OUT]        (torch, transformers 5, safetensors; tests/golden unless told)

OUT/ARCH/   a model (config.json, model.safetensors), and of a batch padded on the right: logits, loss and all gradients
            (expect.safetensors), greedy continuations and ten steps of AdamW (expect.json)
OUT/reward/ the same for a score head: scores and the loss of a ranking of five, best first (golden.json)
OUT/rlhf/   losses, advantages and gradients of the methods, of random numbers
"""
import json
import math
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from transformers import (GPT2Config, GPT2ForSequenceClassification, GPT2LMHeadModel, GPTNeoXConfig, GPTNeoXForCausalLM,
                          LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM, Qwen2Config, Qwen2ForCausalLM,
                          Qwen3Config, Qwen3ForCausalLM)

OUT = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[1] / "tests/golden"
VOCAB, ENDS = 67, {"bos_token_id": 0, "eos_token_id": 0}
torch.manual_seed(1)
torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)


def models():
    """Sizes are odd where they may be, so that a transposed or dropped axis shows."""
    common = {"vocab_size": VOCAB, "num_hidden_layers": 2, "max_position_embeddings": 64, **ENDS}
    gpt2 = {"vocab_size": VOCAB, "n_positions": 48, "n_embd": 20, "n_layer": 2, "n_head": 2, "resid_pdrop": 0.0,
            "embd_pdrop": 0.0, "attn_pdrop": 0.0, **ENDS}
    scaled = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 4.0, "low_freq_factor": 1.0,
              "high_freq_factor": 4.0, "original_max_position_embeddings": 16}
    yield "gpt2", GPT2LMHeadModel(GPT2Config(**gpt2))
    yield "llama", LlamaForCausalLM(LlamaConfig(
        **common, hidden_size=24, intermediate_size=44, num_attention_heads=4, num_key_value_heads=2,
        tie_word_embeddings=False))
    yield "llama3", LlamaForCausalLM(LlamaConfig(
        **common, hidden_size=24, intermediate_size=36, num_attention_heads=2, num_key_value_heads=1,
        rope_parameters=scaled, tie_word_embeddings=True))
    yield "mistral", MistralForCausalLM(MistralConfig(
        **common, hidden_size=24, intermediate_size=36, num_attention_heads=3, num_key_value_heads=1, sliding_window=5,
        tie_word_embeddings=False))
    yield "qwen2", Qwen2ForCausalLM(Qwen2Config(
        **common, hidden_size=24, intermediate_size=40, num_attention_heads=4, num_key_value_heads=1,
        tie_word_embeddings=True))
    yield "qwen3", Qwen3ForCausalLM(Qwen3Config(
        **common, hidden_size=20, intermediate_size=44, num_attention_heads=4, num_key_value_heads=2, head_dim=8,
        tie_word_embeddings=True))
    yield "gpt_neox", GPTNeoXForCausalLM(GPTNeoXConfig(
        **common, hidden_size=24, intermediate_size=60, num_attention_heads=3, rotary_pct=0.5, hidden_dropout=0.0,
        attention_dropout=0.0, use_parallel_residual=True, tie_word_embeddings=False))
    yield "reward", GPT2ForSequenceClassification(GPT2Config(**gpt2, num_labels=1, pad_token_id=0))


def spread(model):
    """Every parameter is random, those of norms too, and large enough that answers differ."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            norm = name.endswith("weight") and p.ndim == 1
            p.copy_(0.2 * torch.randn_like(p) + float(norm))
    return model.float().eval()


def batch(lengths):
    """Rows of these lengths, padded on the right; the first third of each is prompt and not a target."""
    shape = (len(lengths), max(lengths))
    ids, mask, labels = torch.randint(1, VOCAB, shape), torch.zeros(shape, dtype=torch.long), torch.full(shape, -100)
    for row, n in enumerate(lengths):
        ids[row, n:] = 0
        mask[row, :n] = 1
        labels[row, n // 3 : n] = ids[row, n // 3 : n]
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def greedy(model, prompt, count):
    """The likeliest token, so many times; what is as good as even is no test."""
    ids = prompt[None]
    for _ in range(count):
        with torch.no_grad():
            best = model(input_ids=ids).logits[0, -1].topk(2)
        assert best.values[0] - best.values[1] > 1e-4, "two tokens are about as likely: another seed"
        ids = torch.cat([ids, best.indices[:1][None]], 1)
    return {"prompt": prompt.tolist(), "continuation": ids[0, len(prompt) :].tolist()}


def adamw(model, inputs):
    """Ten steps: decay of matrices alone, norms clipped to 1, three steps of warm-up, then a cosine to a tenth."""
    groups = [{"params": [p for p in model.parameters() if (p.ndim >= 2) == matrix], "weight_decay": decay}
              for matrix, decay in ((True, 0.1), (False, 0.0))]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), eps=1e-8)
    said = {"losses": [], "grad_norms": [], "lrs": []}
    for step in range(10):
        lr = 1e-3 * ((step + 1) / 3 if step < 3 else 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * (step - 3) / 7)))
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.zero_grad()
        loss = model(**inputs).loss
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        for key, value in zip(said, (loss, norm, lr)):
            said[key].append(float(value))
    return {**said, "betas": [0.9, 0.95], "eps": 1e-8, "weight_decay_on_matrices": 0.1, "clip_norm": 1.0}


def write(folder, arrays, numbers):
    arrays = {k: v.detach().int() if v.dtype == torch.long else v.detach() for k, v in arrays.items()}
    save_file({k: v.contiguous() for k, v in arrays.items()}, folder / "expect.safetensors")
    (folder / "expect.json").write_text(json.dumps(numbers) + "\n")


def language_model(folder, model):
    inputs = batch([17, 14, 11, 4])
    out = model(**inputs)
    out.loss.backward()
    arrays = {**inputs, "logits": out.logits, "loss": out.loss.reshape(1)}
    arrays |= {f"grad.{name}": p.grad.clone() for name, p in model.named_parameters()}
    prompts = [inputs["input_ids"][row, : 5 + 2 * row] for row in range(3)]
    numbers = {"greedy": [greedy(model, prompt, 16) for prompt in prompts]}
    write(folder, arrays, {**numbers, "adamw": adamw(model, inputs)})


def reward_model(folder, model):
    ids = batch([12, 9, 12, 5, 11])["input_ids"]
    scores = model(input_ids=ids, attention_mask=(ids > 0).long()).logits[:, 0]
    pairs = [F.logsigmoid(scores[a] - scores[b]) for a in range(5) for b in range(a + 1, 5)]
    golden = {"ids": ids.tolist(), "scores": scores.tolist(),
              "pairwise_loss_rank0best_mean_over_C_5_2": float(-torch.stack(pairs).mean())}
    (folder / "golden.json").write_text(json.dumps(golden) + "\n")


def parameter(*shape, scale=1.0, shift=0.0):
    return (scale * torch.randn(*shape) + shift).requires_grad_(True)


def rankings():
    """InstructGPT's equation 1: all pairs of a prompt's answers, ranked best first, are one element of the batch."""
    rewards = [parameter(k) for k in (4, 7, 9, 5)]
    right, losses = [], []
    for r in rewards:
        pairs = [r[a] - r[b] for a in range(len(r)) for b in range(a + 1, len(r))]
        losses.append(-F.logsigmoid(torch.stack(pairs)).mean())
        right += [float(p > 0) for p in pairs]
    loss = torch.stack(losses).mean()
    loss.backward()
    arrays = {f"rm.rewards.{i}": r for i, r in enumerate(rewards)} | {f"rm.grad.{i}": r.grad for i, r in enumerate(rewards)}
    return arrays, {"K": [len(r) for r in rewards], "loss": float(loss), "accuracy": sum(right) / len(right)}


def ppo():
    """One rollout, padded on the right: rewards, GAE, whitening, both losses with their gradients."""
    rows, length, vocab = 5, 11, 13
    lengths = torch.tensor([11, 7, 3, 10, 1])
    mask = (torch.arange(length)[None] < lengths[:, None]).float()
    mean = lambda x: (x * mask).sum() / mask.sum()
    said = {"beta": 0.05, "gamma": 1.0, "lambda": 0.95, "clip": 0.2, "value_clip": 0.2, "vf_coef": 0.1}
    logits, actions = parameter(rows, length, vocab), torch.randint(0, vocab, (rows, length))
    logp = torch.log_softmax(logits, -1).gather(-1, actions[..., None])[..., 0]
    old = logp.detach() + 0.25 * torch.randn(rows, length)  # the policy has moved a little since the rollout
    reference = old + 0.4 * torch.randn(rows, length)
    values, score = torch.randn(rows, length), torch.randn(rows)
    kl = (old - reference) * mask
    rewards = -said["beta"] * kl
    rewards[torch.arange(rows), lengths - 1] += score
    advantages, after = torch.zeros(rows, length), torch.zeros(rows)
    for t in reversed(range(length)):
        following = values[:, t + 1] * mask[:, t + 1] if t + 1 < length else torch.zeros(rows)
        delta = rewards[:, t] + said["gamma"] * following - values[:, t]
        after = (delta + said["gamma"] * said["lambda"] * after) * mask[:, t]
        advantages[:, t] = after
    returns = (advantages + values) * mask
    centred = advantages - mean(advantages)
    variance = (centred**2 * mask).sum() / (mask.sum() - 1)
    white = centred * torch.rsqrt(variance + 1e-8) * mask
    ratio = torch.exp((logp - old) * mask)
    policy_loss = mean(torch.max(-white * ratio, -white * ratio.clamp(1 - said["clip"], 1 + said["clip"])))
    new = (values + 0.5 * torch.randn(rows, length)).requires_grad_(True)
    near = values + (new - values).clamp(-said["value_clip"], said["value_clip"])
    value_loss = 0.5 * mean(torch.max((new - returns) ** 2, (near - returns) ** 2))
    total = policy_loss + said["vf_coef"] * value_loss
    total.backward()
    arrays = {"mask": mask, "logp_old": old, "logp_ref": reference, "values": values, "score": score, "rewards": rewards,
              "advantages": advantages * mask, "returns": returns, "whitened_advantages": white, "logits": logits,
              "actions": actions, "logp": logp, "values_new": new, "grad_logits": logits.grad, "grad_values_new": new.grad}
    said |= {"policy_loss": float(policy_loss), "value_loss": float(value_loss), "total": float(total),
             "approx_kl": float(mean(0.5 * (logp - old) ** 2)), "clip_fraction": float(mean(((ratio - 1).abs() > said["clip"]).float())),
             "kl_sum_per_sequence_mean": float(kl.sum(1).mean()),
             "whitening": "masked mean, unbiased variance, eps 1e-8 inside rsqrt"}
    return {f"ppo.{k}": v for k, v in arrays.items()}, said


def adaptive_kl():
    """Ziegler et al. 2019: 10,000 is the horizon, 64 the batch."""
    said = {"init": 0.2, "target": 6.0, "horizon": 10000, "batch": 64, "observed": [1.0, 5.0, 6.0, 9.0, 20.0, 3.0], "coef_after": []}
    coef = said["init"]
    for kl in said["observed"]:
        coef *= 1 + max(-0.2, min(0.2, kl / said["target"] - 1)) * said["batch"] / said["horizon"]
        said["coef_after"].append(coef)
    return {}, said


def dpo():
    """Rafailov et al. 2023, of the log-probabilities of six pairs."""
    beta, shape = 0.1, {"scale": 3.0, "shift": -20.0}
    chosen, rejected = parameter(6, **shape), parameter(6, **shape)
    reference = [parameter(6, **shape).detach() for _ in range(2)]
    margin = (chosen - rejected) - (reference[0] - reference[1])
    loss = -F.logsigmoid(beta * margin).mean()
    loss.backward()
    arrays = {"policy_chosen": chosen, "policy_rejected": rejected, "ref_chosen": reference[0], "ref_rejected": reference[1],
              "grad_chosen": chosen.grad, "grad_rejected": rejected.grad}
    return {f"dpo.{k}": v for k, v in arrays.items()}, {"beta": beta, "loss": float(loss)}


def grpo():
    """Shao et al. 2024: rewards against those of the same prompt."""
    rewards = torch.randn(3, 4)
    advantages = (rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + 1e-4)
    return {"grpo.rewards": rewards, "grpo.advantages": advantages}, {"std": "unbiased, eps 1e-4 added outside"}


for name, model in models():
    folder = OUT / name
    spread(model).save_pretrained(folder, safe_serialization=True)
    (folder / "generation_config.json").unlink(missing_ok=True)
    (reward_model if name == "reward" else language_model)(folder, model)
methods = {"rm": rankings(), "ppo": ppo(), "adaptive_kl": adaptive_kl(), "dpo": dpo(), "grpo": grpo()}
(OUT / "rlhf").mkdir(exist_ok=True)
write(OUT / "rlhf", {k: v for arrays, _ in methods.values() for k, v in arrays.items()}, {k: said for k, (_, said) in methods.items()})
print(OUT, sum(f.stat().st_size for f in OUT.rglob("*") if f.is_file()) // 1024, "KiB")
