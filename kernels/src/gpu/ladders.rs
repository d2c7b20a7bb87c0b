//! Two lists of all kernels: their shaders, and those that have several rungs.
use super::{ROW_RUNGS, source_of};
use std::fmt::Display;

/// Every shader with every header the tests know, as (name, source): what naga can check without a GPU.
pub fn sources() -> Vec<(String, String)> {
    let all = [
        source_of(&[super::roof::FMA]),
        crate::adamw::gpu::sources(),
        crate::attention::gpu::sources(),
        crate::bf16::gpu::sources(),
        crate::columns::gpu::sources(),
        crate::elementwise::gpu::sources(),
        crate::index_select::gpu::sources(),
        crate::logprob::gpu::sources(),
        crate::matmul::gpu::sources(),
        crate::norm::gpu::sources(),
        crate::random::gpu::sources(),
        crate::reduce::gpu::sources(),
        crate::rope::gpu::sources(),
        crate::sample::gpu::sources(),
        crate::swiglu::gpu::sources(),
    ];
    all.into_iter().flatten().collect()
}

/// Kernels that have several rungs, and the names of these, from the base up.
pub fn ladders() -> Vec<(&'static str, Vec<String>)> {
    fn names(rungs: &[impl Display]) -> Vec<String> {
        rungs.iter().map(ToString::to_string).collect()
    }
    vec![
        ("matmul", names(crate::matmul::gpu::RUNGS)),
        ("matmul_few", names(crate::matmul::gpu::FEW_RUNGS)),
        ("attention", names(crate::attention::gpu::RUNGS)),
        ("attention_back_q", names(crate::attention::gpu::RUNGS)),
        ("attention_back_kv", names(crate::attention::gpu::RUNGS)),
        ("attention_cached", names(crate::attention::gpu::CACHED_RUNGS)),
        ("norm", names(ROW_RUNGS)),
        ("norm_back", names(ROW_RUNGS)),
        ("logprob", names(crate::logprob::gpu::RUNGS)),
        ("entropy", names(ROW_RUNGS)),
        ("adamw", names(crate::adamw::gpu::RUNGS)),
    ]
}
