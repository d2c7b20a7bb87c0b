//! How long each dispatch takes, by timestamps of the GPU: a compute pass for every dispatch, two queries a pass.
use super::Gpu;
use super::batch::SLOTS;
use std::time::Instant;

/// One dispatch: the kernel with its constants, and how long it took.
#[derive(Clone, Debug)]
pub struct Timing {
    /// The kernel and its constants.
    pub kernel: String,
    /// How long it ran.
    pub seconds: f64,
}

/// Queries of the open batch, and what earlier batches have written.
pub struct Profile {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    names: Vec<String>,
    done: Vec<(Vec<String>, wgpu::Buffer)>,
}

/// Bytes of the queries of a full batch.
const BYTES: u64 = SLOTS as u64 * 2 * 8;

impl Profile {
    fn new(device: &wgpu::Device) -> Profile {
        let (ty, count) = (wgpu::QueryType::Timestamp, 2 * SLOTS as u32);
        let queries = device.create_query_set(&wgpu::QuerySetDescriptor { label: None, ty, count });
        let resolved = buffer(device, wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC);
        Profile { queries, resolved, names: Vec::new(), done: Vec::new() }
    }

    /// Where the pass of the next dispatch writes its two timestamps.
    pub fn next(&mut self, name: String) -> wgpu::ComputePassTimestampWrites<'_> {
        let first = 2 * self.names.len() as u32;
        self.names.push(name);
        wgpu::ComputePassTimestampWrites {
            query_set: &self.queries,
            beginning_of_pass_write_index: Some(first),
            end_of_pass_write_index: Some(first + 1),
        }
    }

    /// At the end of a batch: its timestamps into a buffer that the host can read.
    pub fn resolve(&mut self, device: &wgpu::Device, encoder: &mut wgpu::CommandEncoder) {
        if self.names.is_empty() {
            return;
        }
        encoder.resolve_query_set(&self.queries, 0..2 * self.names.len() as u32, &self.resolved, 0);
        let host = buffer(device, wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST);
        encoder.copy_buffer_to_buffer(&self.resolved, 0, &host, 0, BYTES);
        self.done.push((std::mem::take(&mut self.names), host));
    }
}

fn buffer(device: &wgpu::Device, usage: wgpu::BufferUsages) -> wgpu::Buffer {
    device.create_buffer(&wgpu::BufferDescriptor { label: None, size: BYTES, usage, mapped_at_creation: false })
}

impl Gpu {
    /// Runs `work` and times each of its dispatches; `None` where the adapter has no timestamps.
    #[track_caller]
    pub fn profile(&self, work: impl FnOnce()) -> Option<Vec<Timing>> {
        if !self.features.timestamps {
            return None;
        }
        self.flush();
        self.batch.lock().expect("batch").profile = Some(Profile::new(&self.device));
        work();
        self.flush();
        let profile = self.batch.lock().expect("batch").profile.take().expect("put there above");
        profile.done.iter().for_each(|(_, host)| host.map_async(wgpu::MapMode::Read, .., |_| ()));
        self.wait();
        let period = self.queue.get_timestamp_period() as f64 * 1e-9;
        let batch = |(names, host): (Vec<String>, wgpu::Buffer)| {
            let mapped = host.get_mapped_range(..).unwrap_or_else(|e| panic!("{}: timestamps: {e}", self.name()));
            let ticks: &[u64] = bytemuck::cast_slice(&mapped);
            let seconds = ticks.chunks(2).map(|t| t[1].saturating_sub(t[0]) as f64 * period);
            names.into_iter().zip(seconds).map(|(kernel, seconds)| Timing { kernel, seconds }).collect::<Vec<_>>()
        };
        Some(profile.done.into_iter().flat_map(batch).collect())
    }

    /// Seconds that the GPU spends on `work`: by timestamps, or else by the clock on the wall.
    #[track_caller]
    pub fn seconds(&self, work: impl FnOnce()) -> f64 {
        if self.features.timestamps {
            return self.profile(work).iter().flatten().map(|t| t.seconds).sum();
        }
        self.sync();
        let start = Instant::now();
        work();
        self.sync();
        start.elapsed().as_secs_f64()
    }
}
