//! Recording: one open encoder and compute pass, parameters in one uniform buffer, copies in and out.
use super::profile::Profile;
use super::{Buffer, Gpu};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Bytes of parameters a dispatch may have: the alignment that every WebGPU asks of uniform bindings.
const SLOT: usize = 256;
/// Dispatches in one submission: enough to hide its cost, few enough for drivers that watch the clock.
pub(super) const SLOTS: usize = 64;
/// Bytes that one transfer moves at most; larger ones go in pieces.
const PIECE: usize = 64 << 20;

/// What is recorded and not yet submitted.
pub struct Batch {
    encoder: Option<wgpu::CommandEncoder>,
    /// Belongs to `encoder`; must end before the encoder copies or finishes.
    pass: Option<wgpu::ComputePass<'static>>,
    /// Parameters of the recorded dispatches, one slot each; uploaded at the flush.
    slots: Vec<u8>,
    params: wgpu::Buffer,
    staging: Option<wgpu::Buffer>,
    /// While dispatches are timed.
    pub(super) profile: Option<Profile>,
}

impl Batch {
    pub fn new(device: &wgpu::Device) -> Batch {
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let size = (SLOT * SLOTS) as u64;
        let descriptor = wgpu::BufferDescriptor { label: Some("params"), size, usage, mapped_at_creation: false };
        let (params, slots) = (device.create_buffer(&descriptor), Vec::with_capacity(SLOT * SLOTS));
        Batch { encoder: None, pass: None, slots, params, staging: None, profile: None }
    }

    fn encoder(&mut self, device: &wgpu::Device) -> &mut wgpu::CommandEncoder {
        self.encoder.get_or_insert_with(|| device.create_command_encoder(&Default::default()))
    }

    /// The open pass; while dispatches are timed, one of its own for the dispatch called `name`.
    pub fn pass(&mut self, device: &wgpu::Device, name: impl Fn() -> String) -> &mut wgpu::ComputePass<'static> {
        let mut profile = self.profile.take();
        if profile.is_some() || self.pass.is_none() {
            self.pass = None;
            let timestamp_writes = profile.as_mut().map(|p| p.next(name()));
            let descriptor = wgpu::ComputePassDescriptor { label: None, timestamp_writes };
            self.pass = Some(self.encoder(device).begin_compute_pass(&descriptor).forget_lifetime());
        }
        self.profile = profile;
        self.pass.as_mut().expect("just opened")
    }

    /// The encoder, outside any pass.
    fn copies(&mut self, device: &wgpu::Device) -> &mut wgpu::CommandEncoder {
        self.pass = None;
        self.encoder(device)
    }

    /// Stores the parameters of the next dispatch; the part of the uniform buffer they will be in.
    pub fn store(&mut self, params: &[u32]) -> wgpu::BufferBinding<'_> {
        let bytes: &[u8] = bytemuck::cast_slice(params);
        assert!(bytes.len() <= SLOT, "{} parameters", params.len());
        let offset = self.slots.len();
        self.slots.extend_from_slice(bytes);
        self.slots.resize(offset + SLOT, 0);
        wgpu::BufferBinding { buffer: &self.params, offset: offset as u64, size: wgpu::BufferSize::new(SLOT as u64) }
    }

    pub fn is_full(&self) -> bool {
        self.slots.len() == SLOT * SLOTS
    }

    fn submit(&mut self, device: &wgpu::Device, queue: &wgpu::Queue) -> bool {
        self.pass = None;
        let Some(mut encoder) = self.encoder.take() else { return false };
        if let Some(profile) = &mut self.profile {
            profile.resolve(device, &mut encoder);
        }
        queue.write_buffer(&self.params, 0, &self.slots);
        self.slots.clear();
        queue.submit([encoder.finish()]);
        // lets wgpu free what earlier submissions held
        let _ = device.poll(wgpu::PollType::Poll);
        true
    }
}

impl Gpu {
    /// Hands over what is recorded.
    #[track_caller]
    pub fn flush(&self) {
        self.flush_batch(&mut self.batch.lock().expect("batch"));
        self.check();
    }

    pub(super) fn flush_batch(&self, batch: &mut Batch) {
        if batch.submit(&self.device, &self.queue) {
            self.counters.submissions.fetch_add(1, Relaxed);
        }
    }

    /// Wait until everything recorded is done.
    #[track_caller]
    pub fn sync(&self) {
        self.flush();
        self.wait();
    }

    #[track_caller]
    pub(super) fn wait(&self) {
        self.counters.waits.fetch_add(1, Relaxed);
        if let Err(error) = self.device.poll(wgpu::PollType::wait_indefinitely()) {
            self.check();
            panic!("{}: waiting for the GPU failed: {error}", self.name());
        }
        self.check();
    }

    /// A buffer with these words.
    #[track_caller]
    pub(crate) fn upload(self: &Arc<Gpu>, words: &[u32]) -> Buffer {
        let (buffer, busy) = self.take(words.len());
        if busy {
            // an upload runs before what is recorded but not submitted, and that may still read this memory
            self.flush();
        }
        for (piece, at) in words.chunks(PIECE / 4).zip((0..).step_by(PIECE)) {
            self.queue.write_buffer(buffer.raw(), at, bytemuck::cast_slice(piece));
        }
        self.counters.uploaded.fetch_add(words.len() as u64 * 4, Relaxed);
        buffer
    }

    /// A new buffer with `words` words of `from`, starting at word `offset`.
    #[track_caller]
    pub(crate) fn copy(self: &Arc<Gpu>, from: &Buffer, offset: usize, words: usize) -> Buffer {
        let to = self.empty(words);
        if words > 0 {
            let mut batch = self.batch.lock().expect("batch");
            let bytes = words as u64 * 4;
            batch.copies(&self.device).copy_buffer_to_buffer(from.raw(), offset as u64 * 4, to.raw(), 0, bytes);
        }
        to
    }

    /// The only way back to the host, and the only wait: parts of several buffers at once.
    #[track_caller]
    pub(crate) fn read(&self, parts: &[(&Buffer, Range<usize>)]) -> Vec<Vec<u32>> {
        let mut words: Vec<Vec<u32>> = parts.iter().map(|(_, range)| Vec::with_capacity(range.len())).collect();
        let mut group: Vec<(usize, Range<usize>)> = Vec::new();
        let mut room = PIECE / 4;
        for (i, (_, range)) in parts.iter().enumerate() {
            let mut start = range.start;
            while start < range.end {
                let end = range.end.min(start + room);
                group.push((i, start..end));
                room -= end - start;
                start = end;
                if room == 0 {
                    self.read_group(parts, &group, &mut words);
                    group.clear();
                    room = PIECE / 4;
                }
            }
        }
        self.read_group(parts, &group, &mut words);
        words
    }

    /// Copies parts that fit in one piece into the staging buffer, waits, and appends each to its words.
    #[track_caller]
    fn read_group(&self, parts: &[(&Buffer, Range<usize>)], group: &[(usize, Range<usize>)], words: &mut [Vec<u32>]) {
        let total = group.iter().map(|(_, range)| range.len() as u64 * 4).sum::<u64>();
        if total == 0 {
            return;
        }
        let mut batch = self.batch.lock().expect("batch");
        let staging = self.staging(&mut batch, total);
        let encoder = batch.copies(&self.device);
        let mut at = 0;
        for (i, range) in group {
            let bytes = range.len() as u64 * 4;
            encoder.copy_buffer_to_buffer(parts[*i].0.raw(), range.start as u64 * 4, &staging, at, bytes);
            at += bytes;
        }
        self.flush_batch(&mut batch);
        staging.map_async(wgpu::MapMode::Read, 0..total, |_| ());
        self.wait();
        let mapped = staging.get_mapped_range(0..total);
        let view = mapped.unwrap_or_else(|e| panic!("{}: reading back failed: {e}", self.name()));
        let all: &[u32] = bytemuck::cast_slice(&view);
        let mut at = 0;
        for (i, range) in group {
            words[*i].extend_from_slice(&all[at..at + range.len()]);
            at += range.len();
        }
        drop(view);
        staging.unmap();
        self.counters.read.fetch_add(total, Relaxed);
    }

    /// The buffer that readbacks go through, grown as needed.
    fn staging(&self, batch: &mut Batch, bytes: u64) -> wgpu::Buffer {
        if batch.staging.as_ref().is_none_or(|b| b.size() < bytes) {
            batch.staging = Some(self.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("staging"),
                size: bytes.next_power_of_two().max(4096),
                usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            }));
        }
        batch.staging.clone().expect("made above")
    }
}
