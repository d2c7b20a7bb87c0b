//! Table of contents of the integration tests.

mod answers; // verbs that learn nothing, and PPO's judge: right values, refusals in words
mod cases; // models, adapters and files as people brought them, against transformers, PEFT and llama.cpp
mod chat; // chat templates of real models: what is trained, what text may not become
mod cli; // the binary: good runs, bad input, a kill at a bad moment
mod data; // real files: every kind of row, token ids, cuts, the split by prompt
mod fused; // ragged, cached, accumulated, checkpointed: each equals the plain way
mod golden; // whole models against PyTorch: logits, gradients, AdamW steps, greedy text
mod gpu; // a GPU for the tests that want one
mod gpu_model; // whole models on a GPU
mod gradcheck; // every op against finite differences
mod lora; // adapters: SFT, reward model and PPO upon one frozen model, in the library and by the binary
mod losses; // rewards, GAE, PPO and ranking losses with their gradients: by hand and against PyTorch
mod model_files; // real models through GGUF against transformers; SmolLM2 where RLHF_SMOLLM2 names it
mod numbers; // numbers that cannot be meant, and training that diverges
mod parity; // every kernel: plain loop in f64, CPU, GPU
mod ranks; // two ranks train as one
mod recipes; // recipes that start from models that are there
mod resume; // stopped, killed and gone on with; signals; output that cannot be written
mod rlhf; // SFT, reward model and PPO on tiny models: self-checks, accumulation, learning, resume bit for bit
mod rows; // the binary on data and templates: every kind of file, and bad input
mod saved; // what is written beside the weights: ends, padding, settings, tokens
#[path = "../../model/src/tests/shared.rs"]
mod shared; // files that tests compare with; what is skipped without them
mod support; // what several tests share
mod tidy; // the rules of ARCHITECTURE.md that a test can check
