//! Kernels with a workgroup for each row: how many invocations it has, and how they add up what they found.
use super::{Compiled, Gpu, Kernel, Rungs, ShapeClass, wgsl};
use crate::Tensor;
use std::fmt;
use std::sync::Arc;

/// A workgroup of so many invocations, which add up by halving in workgroup memory (a tree), or with subgroups.
#[derive(Clone, Copy, PartialEq)]
pub struct RowRung {
    pub threads: u32,
    pub subgroups: bool,
}

impl RowRung {
    pub const fn tree(threads: u32) -> RowRung {
        RowRung { threads, subgroups: false }
    }

    const fn subgroups(threads: u32) -> RowRung {
        RowRung { threads, subgroups: true }
    }
}

/// Rungs that all of these kernels have.
pub const ROW_RUNGS: &[RowRung] =
    &[RowRung::tree(64), RowRung::tree(128), RowRung::tree(256), RowRung::subgroups(128), RowRung::subgroups(256)];

impl fmt::Display for RowRung {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} {}", if self.subgroups { "subgroups" } else { "tree" }, self.threads)
    }
}

/// WGSL that uses `total` and `largest` over `THREADS` invocations.
pub struct RowKernel {
    pub name: &'static str,
    pub body: &'static str,
    pub consts: &'static [(&'static str, u32)],
    /// The rung to take where nothing is measured.
    pub default: RowRung,
}

impl RowKernel {
    /// What `with` gets is this kernel on that rung.
    fn on<R>(&self, rung: RowRung, with: impl FnOnce(Kernel) -> R) -> R {
        let RowRung { threads, subgroups } = rung;
        let parts = [wgsl::GRID, if subgroups { wgsl::SUBGROUP } else { wgsl::WORKGROUP }, self.body];
        // two rungs with as many invocations are two pipelines
        let consts: Vec<_> = [("THREADS", threads), ("SUBGROUPS", subgroups as u32)]
            .into_iter()
            .chain(self.consts.iter().copied())
            .collect();
        with(Kernel { name: self.name, parts: &parts, consts: &consts })
    }

    #[track_caller]
    pub fn try_run(
        &self,
        g: &Gpu,
        rung: RowRung,
        groups: [u32; 3],
        params: &[u32],
        args: &[super::Arg],
    ) -> Compiled<()> {
        self.on(rung, |kernel| g.try_run(&kernel, groups, params, args))
    }

    /// `run` on the best rung for rows of such a class.
    #[track_caller]
    pub fn run_best<const N: usize>(
        &self,
        g: &Arc<Gpu>,
        class: ShapeClass,
        run: impl Fn(RowRung) -> Compiled<[Tensor; N]>,
    ) -> [Tensor; N] {
        let shaders = |rung: RowRung| Some(vec![self.on(rung, |kernel| kernel.shader())]);
        let rungs =
            Rungs { kernel: self.name, class, all: ROW_RUNGS, default: self.default, rounds: false, shaders: &shaders };
        g.run_best(&rungs, run)
    }

    pub fn sources(&self) -> Vec<(String, String)> {
        ROW_RUNGS.iter().map(|&rung| self.on(rung, |kernel| (kernel.title(), kernel.source()))).collect()
    }
}
