//! Buffers that are handed round instead of freed.
use super::Gpu;
use crate::DeviceFault;
use std::collections::BTreeMap;
use std::panic::panic_any;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Words (f32 or u32) on a GPU; goes back to the pool when dropped.
pub struct Buffer {
    raw: Option<wgpu::Buffer>,
    words: usize,
    gpu: Arc<Gpu>,
}

impl Buffer {
    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    /// Words asked for; the memory behind may be larger.
    pub fn words(&self) -> usize {
        self.words
    }

    pub(super) fn raw(&self) -> &wgpu::Buffer {
        self.raw.as_ref().expect("taken only by drop")
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(raw) = self.raw.take() {
            let epoch = self.gpu.counters.submissions.load(Relaxed);
            if let Ok(mut pool) = self.gpu.pool.lock() {
                pool.put(raw, epoch);
            }
        }
    }
}

/// Idle buffers by size, each with the number of submissions at the time it came back.
#[derive(Default)]
pub struct Pool {
    idle: BTreeMap<u64, Vec<(wgpu::Buffer, u64)>>,
    used: u64,
    pooled: u64,
    peak: u64,
    created: u64,
}

impl Pool {
    fn take(&mut self, size: u64) -> Option<(wgpu::Buffer, u64)> {
        let taken = self.idle.get_mut(&size)?.pop()?;
        self.pooled -= size;
        self.used += size;
        Some(taken)
    }

    fn put(&mut self, raw: wgpu::Buffer, epoch: u64) {
        self.used -= raw.size();
        self.pooled += raw.size();
        self.idle.entry(raw.size()).or_default().push((raw, epoch));
    }

    pub fn release(&mut self) {
        self.idle.clear();
        self.pooled = 0;
    }

    pub fn used_bytes(&self) -> u64 {
        self.used
    }

    pub fn pooled_bytes(&self) -> u64 {
        self.pooled
    }

    pub fn peak_bytes(&self) -> u64 {
        self.peak
    }

    pub fn allocations(&self) -> u64 {
        self.created
    }

    fn count_new(&mut self, size: u64) {
        self.used += size;
        self.created += 1;
        self.peak = self.peak.max(self.used + self.pooled);
    }
}

/// Sizes come in steps of 2^k and 1.5·2^k bytes, so that few of them fit many needs.
pub fn size_class(bytes: u64) -> u64 {
    let above = bytes.max(256).next_power_of_two();
    let between = above / 4 * 3;
    if bytes <= between && between >= 256 { between.next_multiple_of(256) } else { above }
}

impl Gpu {
    /// A buffer for `words` words with unspecified contents.
    #[track_caller]
    pub(crate) fn empty(self: &Arc<Gpu>, words: usize) -> Buffer {
        self.take(words).0
    }

    /// A buffer, and whether work that is recorded but not yet submitted may still use its memory.
    #[track_caller]
    pub(super) fn take(self: &Arc<Gpu>, words: usize) -> (Buffer, bool) {
        let bytes = words as u64 * 4;
        // the step above may be more than the device allows where the need itself is not
        let size = if size_class(bytes) <= self.max_buffer { size_class(bytes) } else { bytes.next_multiple_of(256) };
        if size > self.max_buffer {
            let (mib, most_mib) = (bytes >> 20, self.max_buffer >> 20);
            panic_any(DeviceFault::ArrayTooLarge { gpu: self.name(), mib, most_mib });
        }
        let mut pool = self.pool.lock().expect("pool");
        let (raw, busy) = match pool.take(size) {
            Some((raw, epoch)) => (raw, epoch >= self.counters.submissions.load(Relaxed)),
            None => {
                let raw = self.create(size, &mut pool);
                pool.count_new(size);
                (raw, false)
            }
        };
        (Buffer { raw: Some(raw), words, gpu: self.clone() }, busy)
    }

    /// A new buffer from the driver. Where it has no room, the pool's idle buffers go back first.
    #[track_caller]
    fn create(&self, size: u64, pool: &mut Pool) -> wgpu::Buffer {
        if let Some(raw) = self.try_create(size) {
            return raw;
        }
        pool.release();
        let _ = self.device.poll(wgpu::PollType::wait_indefinitely());
        let (mib, used_mib) = (size.div_ceil(1 << 20), pool.used >> 20);
        match self.try_create(size) {
            Some(raw) => raw,
            None => panic_any(DeviceFault::NoRoom { gpu: self.name(), mib, used_mib }),
        }
    }

    fn try_create(&self, size: u64) -> Option<wgpu::Buffer> {
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let raw = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        pollster::block_on(scope.pop()).is_none().then_some(raw)
    }
}

#[cfg(test)]
mod tests {
    use super::size_class;

    #[test]
    fn size_classes_waste_at_most_half() {
        assert_eq!([1, 256, 257, 384, 400, 512].map(size_class), [256, 256, 512, 512, 512, 512]);
        assert_eq!([600, 768, 769, 1025, 1536, 1537].map(size_class), [768, 768, 1024, 1536, 1536, 2048]);
        for bytes in (256..1 << 20).step_by(997) {
            let class = size_class(bytes);
            assert!(class >= bytes && class.is_multiple_of(256) && class <= bytes.max(342) * 3 / 2, "{bytes} {class}");
        }
    }
}
