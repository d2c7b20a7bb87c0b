//! Kernels with a workgroup for each row: how many invocations it has, and how they add up what they found.
use super::{Class, Gpu, Kernel, Rungs, wgsl};
use crate::Tensor;
use std::sync::Arc;

/// Rungs that all of them have: halving in workgroup memory, or subgroups.
pub const ROW_RUNGS: &[&str] = &["tree 64", "tree 128", "tree 256", "subgroups 128", "subgroups 256"];

/// WGSL that uses `total` and `largest` over `THREADS` invocations.
pub struct RowKernel {
    pub name: &'static str,
    pub body: &'static str,
    pub consts: &'static [(&'static str, u32)],
    /// The rung to take where nothing is measured.
    pub usual: usize,
}

impl RowKernel {
    /// What `with` gets is this kernel on that rung.
    fn on<R>(&self, rung: usize, with: impl FnOnce(Kernel) -> R) -> R {
        let (threads, subgroups) = ([64, 128, 256, 128, 256][rung], rung >= 3);
        let parts = [wgsl::GRID, if subgroups { wgsl::SUBGROUP } else { wgsl::WORKGROUP }, self.body];
        // two rungs with as many invocations are two pipelines
        let consts: Vec<_> = [("THREADS", threads), ("SUBGROUPS", subgroups as u32)]
            .into_iter()
            .chain(self.consts.iter().copied())
            .collect();
        with(Kernel { name: self.name, parts: &parts, consts: &consts })
    }

    #[track_caller]
    pub fn run(&self, g: &Gpu, rung: usize, groups: [u32; 3], params: &[u32], args: &[super::Arg]) {
        self.on(rung, |kernel| g.run(&kernel, groups, params, args));
    }

    /// The rung for rows of such a class.
    pub fn choose(&self, g: &Arc<Gpu>, class: Class, trial: &mut dyn FnMut(usize) -> Vec<Tensor>) -> usize {
        g.chosen(self.name, class).unwrap_or_else(|| {
            let sources = |rung: usize| Some(vec![self.on(rung, |kernel| kernel.shader())]);
            g.choose(&Rungs { kernel: self.name, class, names: ROW_RUNGS, usual: self.usual, shaders: &sources }, trial)
        })
    }

    pub fn sources(&self) -> Vec<(String, String)> {
        (0..ROW_RUNGS.len()).map(|rung| self.on(rung, |kernel| (kernel.title(), kernel.source()))).collect()
    }
}
