//! The GPU, through wgpu. Nothing outside this folder names wgpu.
//!
//! `adapter` finds a GPU and opens it, `pool` keeps buffers for reuse, `pipeline` compiles WGSL,
//! `batch` records dispatches and hands them over, `run` is what a kernel's `gpu.rs` calls. `tune` chooses
//! among the rungs of a kernel, `ladders` lists them, `profile` times dispatches.
//!
//! A kernel call only *records*: dispatches go to one open compute pass, which is submitted when there are
//! 64 of them, before an upload that could overtake them, and at a readback. The readback is
//! the only wait. One queue runs everything in the order it was recorded, so a buffer may be used
//! again the moment its last owner lets go of it.
//!
//! The base rung of every kernel stays within what any WebGPU offers: 8 storage buffers, 16 KiB of workgroup
//! memory, 256 invocations, 65,535 workgroups an axis, bindings at multiples of 256 bytes. Faster
//! rungs may want more memory, half precision, subgroups or matrix units, and run where the adapter has them.

mod adapter;
mod batch;
mod ladders;
mod pipeline;
mod pool;
mod profile;
mod roof;
mod rows;
mod run;
#[cfg(test)]
mod tests;
mod tune;

pub use adapter::{AdapterSummary, adapters};
pub use ladders::{ladders, sources};
pub(crate) use pipeline::{Compiled, Kernel, compiled};
pub(crate) use pool::Buffer;
pub use profile::Timing;
pub(crate) use rows::{ROW_RUNGS, RowKernel, RowRung};
pub(crate) use run::{
    ALIGN, Access, Arg, chunks, flat_groups, read, read_buffer, row_chunks, row_groups, source_of, write, write_buffer,
};

pub use tune::{Choice, ShapeClass, Tuning, TuningEvent};
pub(crate) use tune::{Rungs, log2};

use crate::DeviceFault;
use std::fmt;
use std::panic::panic_any;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// An open GPU. Shared as `Arc<Gpu>`; every method takes `&self`.
pub struct Gpu {
    device: wgpu::Device,
    queue: wgpu::Queue,
    info: wgpu::AdapterInfo,
    /// Words that one binding may cover.
    max_binding: usize,
    /// Bytes that one buffer may have.
    max_buffer: u64,
    batch: Mutex<batch::Batch>,
    pool: Mutex<pool::Pool>,
    pipelines: Mutex<pipeline::Pipelines>,
    tuner: Mutex<tune::Tuner>,
    /// Held while rungs are measured. Has the GPU been kept busy until its clock was up?
    awake: Mutex<bool>,
    features: Features,
    failure: Arc<Mutex<Option<Failure>>>,
    counters: Counters,
}

/// What wgpu reported, late and elsewhere.
#[derive(Clone)]
enum Failure {
    Fault(DeviceFault),
    Bug(String),
}

/// What an adapter has beyond WebGPU's base.
#[derive(Clone, Copy, Debug)]
pub struct Features {
    /// Half precision in shaders: `enable f16`.
    pub half: bool,
    /// `subgroupAdd` and the like.
    pub subgroups: bool,
    /// The largest, where drivers may choose.
    pub subgroup_size: u32,
    /// The only one that there is, where drivers may not.
    pub subgroup_fixed: Option<u32>,
    /// Dispatches can be timed by the GPU itself.
    pub timestamps: bool,
    /// Side of the square matrices that its matrix units multiply in f16, adding up in f32.
    pub matrix: Option<u32>,
    /// Bytes of memory that a workgroup may have.
    pub workgroup_bytes: u32,
}

#[derive(Default)]
struct Counters {
    dispatches: AtomicU64,
    submissions: AtomicU64,
    waits: AtomicU64,
    uploaded: AtomicU64,
    read: AtomicU64,
}

/// What a GPU has been asked so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Kernels run.
    pub dispatches: u64,
    /// Batches of dispatches handed over.
    pub submissions: u64,
    /// Times that the host stood still for the GPU.
    pub waits: u64,
    /// Bytes from the host.
    pub uploaded_bytes: u64,
    /// Bytes to the host.
    pub read_bytes: u64,
    /// Kernels compiled.
    pub pipelines: u64,
    /// Bytes in buffers that live now.
    pub used_bytes: u64,
    /// Bytes in buffers that wait in the pool.
    pub pooled_bytes: u64,
    /// The most that both ever were together.
    pub peak_bytes: u64,
    /// How many buffers were asked of the driver.
    pub allocations: u64,
}

impl Gpu {
    /// The adapter and its backend.
    pub fn name(&self) -> String {
        adapter::name(&self.info)
    }

    /// Adapter, backend and driver: what a measurement holds for.
    pub fn adapter(&self) -> String {
        let wgpu::AdapterInfo { name, backend, driver, driver_info, .. } = &self.info;
        format!("{name} | {backend:?} | {driver} {driver_info}")
    }

    /// Does the processor play the GPU here (lavapipe, SwiftShader)?
    pub fn is_software(&self) -> bool {
        self.info.device_type == wgpu::DeviceType::Cpu
    }

    /// Words (f32 or u32) that a kernel may bind at once.
    pub fn max_binding_words(&self) -> usize {
        self.max_binding
    }

    /// Bytes that one array may have.
    pub fn max_buffer_bytes(&self) -> u64 {
        self.max_buffer
    }

    /// What it has beyond the base.
    pub fn features(&self) -> Features {
        self.features
    }

    /// What it has been asked so far.
    pub fn counts(&self) -> Counts {
        let pool = self.pool.lock().expect("pool");
        Counts {
            dispatches: self.counters.dispatches.load(Relaxed),
            submissions: self.counters.submissions.load(Relaxed),
            waits: self.counters.waits.load(Relaxed),
            uploaded_bytes: self.counters.uploaded.load(Relaxed),
            read_bytes: self.counters.read.load(Relaxed),
            pipelines: self.pipelines.lock().expect("pipelines").len() as u64,
            used_bytes: pool.used_bytes(),
            pooled_bytes: pool.pooled_bytes(),
            peak_bytes: pool.peak_bytes(),
            allocations: pool.allocations(),
        }
    }

    /// Give the pool's idle buffers back to the driver, for example between rollout and update.
    pub fn release_pool(&self) {
        self.flush();
        self.pool.lock().expect("pool").release();
    }

    /// wgpu reports errors late and elsewhere; they end the program here, on the caller's thread.
    #[track_caller]
    fn check(&self) {
        let failure = self.failure.lock().expect("failure").clone();
        match failure {
            None => {}
            Some(Failure::Fault(fault)) => panic_any(fault),
            Some(Failure::Bug(what)) => panic!("{}: {what}", self.name()),
        }
    }
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.name())
    }
}

/// WGSL that several kernels start with.
pub(crate) mod wgsl {
    /// `group_of`: the number of a workgroup in a folded grid.
    pub const GRID: &str = include_str!("grid.wgsl");
    /// `total` and `largest` over a workgroup of `THREADS`.
    pub const WORKGROUP: &str = include_str!("workgroup.wgsl");
    /// The same two, with subgroups.
    pub const SUBGROUP: &str = include_str!("subgroup.wgsl");
    /// Philox4x32-10.
    pub const PHILOX: &str = include_str!("philox.wgsl");
}
