#!/usr/bin/env python3
"""Does llama.cpp read a GGUF file as rlhf does? The same prompts, continued greedily by both, token for token.

    pip install xllamacpp gguf   # llama.cpp in a wheel, and the reader of its files
    scripts/check_llama_cpp.py MODEL.gguf [--rlhf target/release/rlhf] [--tokens 40]

The prompts are texts, so the tokenizers are compared too. The file must hold f32 (`rlhf convert IN OUT.gguf
--dtype f32`): with others llama.cpp rounds activations too, and writes other texts. Where two tokens are all but equally likely (within --margin nats), either may come first and the comparison of that text ends.
"""

import argparse
import json
import subprocess
import sys

import gguf
import xllamacpp

TEXTS = [
    "Once upon a time, there was a little girl named Lily.",
    "The capital of France is",
    "I'm 12345 years old,  and\n\nnaïve 日本",
]


def not_f32(path):
    """Types of the matrices that are not f32."""
    tensors = gguf.GGUFReader(path).tensors
    return sorted({t.tensor_type.name for t in tensors if len(t.shape) > 1 and t.tensor_type.name != "F32"})


def ours(options, prompt):
    command = [options.rlhf, "generate", "--model", options.model, "--prompt", prompt, "--max-new", str(options.tokens)]
    output = subprocess.run([*command, "--greedy", "--json", "--device", "cpu", "-q"], stdout=subprocess.PIPE, check=True)
    return json.loads(output.stdout)["generations"][0]


def open_server(path):
    parameters = xllamacpp.CommonParams()
    parameters.model.path = path
    parameters.n_ctx = 512
    parameters.n_parallel = 1
    parameters.warmup = False
    return xllamacpp.Server(parameters)


def theirs(server, prompt, tokens):
    """The answer: its text, how many tokens prompt and answer have, and of each step the token, and the two likeliest with
    their log-probabilities."""
    request = {"prompt": prompt, "max_tokens": tokens, "temperature": 0, "logprobs": 2, "cache_prompt": False}
    answer = server.handle_completions(request)
    if "choices" not in answer:
        sys.exit(f"llama.cpp answers {str(answer)[:2000]}")
    return answer


def compare(made, answer, margin):
    """What differs, or nothing."""
    prompt_tokens, choice = answer["usage"]["prompt_tokens"], answer["choices"][0]
    steps = choice["logprobs"]["content"]
    if len(made["prompt_ids"]) != prompt_tokens:
        return f"the prompt has {len(made['prompt_ids'])} tokens here, {prompt_tokens} there"
    if len(steps) < answer["usage"]["completion_tokens"]:
        # llama.cpp tells no step that ends within a character: the texts are compared, but for such an end
        texts = [text.rstrip("\ufffd") for text in (made["text"], choice["text"])]
        return None if texts[0] == texts[1] else f"{texts[0]!r} here, {texts[1]!r} there"
    expected = [step["id"] for step in steps]
    for at, (a, b) in enumerate(zip(made["ids"], expected)):
        if a != b:
            first, second = steps[at]["top_logprobs"][:2]
            close = second["id"] == a and first["logprob"] - second["logprob"] < margin
            return None if close else f"token {at} is {a} here, {b} there: {made['ids']} and {expected}"
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--rlhf", default="target/release/rlhf")
    parser.add_argument("--tokens", type=int, default=40)
    parser.add_argument("--margin", type=float, default=1e-3)
    options = parser.parse_args()
    if others := not_f32(options.model):
        sys.exit(f"{options.model} holds {', '.join(others)}, with which llama.cpp rounds activations too, so that texts differ "
                 f"without a fault. Compare its f32: rlhf convert {options.model} f32.gguf --dtype f32")
    server = open_server(options.model)
    failed = False
    for prompt in TEXTS:
        made = ours(options, prompt)
        difference = compare(made, theirs(server, prompt, options.tokens), options.margin)
        failed |= difference is not None
        print(f"{prompt!r}: {difference or 'the same'} {made['text'] if difference is None else ''!r}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
