//! What the `gpu.rs` of a kernel calls: `gpu.run(&KERNEL, groups, &params, &[read(x), write(&y)])`.
use super::{Buffer, Compiled, Gpu, Kernel, compiled};
use crate::{DeviceFault, Tensor};
use std::ops::Range;
use std::panic::panic_any;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Invocations in a workgroup of the kernels that do the same to every element.
pub const FLAT: usize = 256;
/// Workgroups on one axis of a grid, at most.
const MAX_GROUPS: usize = 65_535;
/// A binding starts at a multiple of this many words (256 bytes).
pub const ALIGN: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    /// `read_write` in WGSL: the kernel's result, or what it changes in place.
    Write,
}

/// One storage buffer, or a part of one, as a kernel sees it.
pub struct Arg<'a> {
    buffer: Held<'a>,
    offset: usize,
    words: usize,
    access: Access,
}

enum Held<'a> {
    Borrowed(&'a Buffer),
    Copied(Buffer),
}

impl Arg<'_> {
    fn buffer(&self) -> &Buffer {
        match &self.buffer {
            Held::Borrowed(buffer) => buffer,
            Held::Copied(buffer) => buffer,
        }
    }
}

/// An array that a kernel reads. A view that starts off the grid of 64 words is copied first.
#[track_caller]
pub fn read(x: &Tensor) -> Arg<'_> {
    let (buffer, offset) = x.buffer();
    if offset.is_multiple_of(ALIGN) {
        Arg { buffer: Held::Borrowed(buffer), offset, words: x.len(), access: Access::Read }
    } else {
        let copy = buffer.gpu().copy(buffer, offset, x.len());
        Arg { buffer: Held::Copied(copy), offset: 0, words: x.len(), access: Access::Read }
    }
}

/// A whole buffer that a kernel reads: ids.
pub fn read_buffer(buffer: &Buffer) -> Arg<'_> {
    Arg { buffer: Held::Borrowed(buffer), offset: 0, words: buffer.words(), access: Access::Read }
}

/// A whole buffer that a kernel writes: packed numbers.
pub fn write_buffer(buffer: &Buffer) -> Arg<'_> {
    Arg { access: Access::Write, ..read_buffer(buffer) }
}

/// An array that a kernel writes.
#[track_caller]
pub fn write(y: &Tensor) -> Arg<'_> {
    let (buffer, offset) = y.buffer();
    assert!(
        offset.is_multiple_of(ALIGN),
        "a view that a GPU kernel writes must start at a multiple of {ALIGN} elements, not at {offset}"
    );
    Arg { buffer: Held::Borrowed(buffer), offset, words: y.len(), access: Access::Write }
}

/// A grid of `groups` workgroups, folded over x and y where one axis is too short.
/// In WGSL: `group_of(workgroup_id, num_workgroups)`, which may exceed `groups` by less than a row.
pub fn row_groups(groups: usize) -> [u32; 3] {
    let y = groups.div_ceil(MAX_GROUPS);
    [groups.div_ceil(y.max(1)) as u32, y as u32, 1]
}

/// A grid with one invocation for each of `n` elements, 256 a workgroup.
pub fn flat_groups(n: usize) -> [u32; 3] {
    row_groups(n.div_ceil(FLAT))
}

impl Gpu {
    /// A new array with unspecified contents, for a kernel to fill.
    #[track_caller]
    pub(crate) fn array(self: &Arc<Gpu>, shape: &[usize]) -> Tensor {
        Tensor::on_gpu(self.empty(shape.iter().product()), shape)
    }

    /// Records one dispatch. Parameters are at binding 0, `args` at 1, 2, …
    #[track_caller]
    pub(crate) fn run(&self, kernel: &Kernel, groups: [u32; 3], params: &[u32], args: &[Arg]) {
        compiled(self.try_run(kernel, groups, params, args));
    }

    /// As `run`, for a rung that this adapter may be unable to compile.
    #[track_caller]
    pub(crate) fn try_run(&self, kernel: &Kernel, groups: [u32; 3], params: &[u32], args: &[Arg]) -> Compiled<()> {
        if groups.contains(&0) {
            return Ok(());
        }
        self.verify(kernel, groups, args);
        let pipeline = self.pipeline(kernel, args.iter().map(|arg| arg.access))?;
        let mut batch = self.batch.lock().expect("batch");
        let params = wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::Buffer(batch.store(params)) };
        let storage = args.iter().zip(1..).map(|(arg, binding)| {
            let (buffer, offset) = (arg.buffer().raw(), arg.offset as u64 * 4);
            let size = wgpu::BufferSize::new(arg.words.max(4) as u64 * 4);
            let resource = wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset, size });
            wgpu::BindGroupEntry { binding, resource }
        });
        let entries: Vec<_> = std::iter::once(params).chain(storage).collect();
        let (layout, label) = (&pipeline.layout, Some(kernel.name));
        let bind_group = self.device.create_bind_group(&wgpu::BindGroupDescriptor { label, layout, entries: &entries });
        let pass = batch.pass(&self.device, || kernel.title());
        pass.set_pipeline(&pipeline.compute);
        pass.set_bind_group(0, &bind_group, &[]);
        pass.dispatch_workgroups(groups[0], groups[1], groups[2]);
        self.counters.dispatches.fetch_add(1, Relaxed);
        if batch.is_full() {
            self.flush_batch(&mut batch);
            drop(batch);
            self.check();
        }
        Ok(())
    }

    /// Records dispatches that do the same to each of `n` elements: the arrays are taken in chunks that
    /// one binding can cover. The first parameter is the number of elements of the chunk.
    #[track_caller]
    pub(crate) fn run_flat(&self, kernel: &Kernel, n: usize, params: &[u32], args: &[Arg]) {
        for chunk in chunks(n, self.max_binding) {
            let params: Vec<u32> = std::iter::once(chunk.len() as u32).chain(params.iter().copied()).collect();
            let args: Vec<Arg> = args
                .iter()
                .map(|arg| Arg {
                    buffer: Held::Borrowed(arg.buffer()),
                    offset: arg.offset + chunk.start,
                    words: chunk.len(),
                    access: arg.access,
                })
                .collect();
            self.run(kernel, flat_groups(chunk.len()), &params, &args);
        }
    }

    /// What wgpu would only say later, or not at all.
    #[track_caller]
    fn verify(&self, kernel: &Kernel, groups: [u32; 3], args: &[Arg]) {
        for (i, a) in args.iter().enumerate() {
            if a.words > self.max_binding {
                let [mib, most_mib] = [a.words, self.max_binding].map(|words| words as u64 >> 18);
                panic_any(DeviceFault::BindingTooLarge { gpu: self.name(), kernel: kernel.title(), mib, most_mib });
            }
            for b in &args[..i] {
                let same = a.buffer().raw() == b.buffer().raw();
                let both_read = a.access == Access::Read && b.access == Access::Read;
                assert!(!same || both_read, "kernel {} reads and writes one buffer", kernel.title());
            }
        }
        let most = groups.into_iter().max().unwrap_or(0) as usize;
        assert!(most <= MAX_GROUPS, "kernel {}: a grid of {groups:?} workgroups", kernel.title());
    }
}

/// 0..n in chunks of at most `most` elements.
pub fn chunks(n: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    (0..n).step_by(most).map(move |start| start..n.min(start + most))
}

/// The rows of an [n, width] array in chunks that one binding can cover and that start where a binding may.
pub fn row_chunks(g: &Gpu, n: usize, width: usize) -> impl Iterator<Item = Range<usize>> + use<> {
    chunks(n, ((g.max_binding / width.max(1)) & !(ALIGN - 1)).max(ALIGN))
}

/// Name and source of some kernels, as `sources` lists those of all.
pub fn source_of(kernels: &[Kernel]) -> Vec<(String, String)> {
    kernels.iter().map(|kernel| (kernel.title(), kernel.source())).collect()
}
