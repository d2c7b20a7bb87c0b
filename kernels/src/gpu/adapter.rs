//! Which GPUs there are, and opening one.
use super::{Counters, Failure, Features, Gpu, batch, pipeline, tune};
use crate::{DeviceError, DeviceFault};
use std::sync::{Arc, Mutex};

/// One GPU, as `rlhf devices` lists it.
#[derive(Clone, Debug)]
pub struct AdapterSummary {
    /// Its number: best first.
    pub index: usize,
    /// As the driver calls it.
    pub name: String,
    /// discrete, integrated, virtual, software or other
    pub kind: &'static str,
    /// Vulkan, Metal, Dx12
    pub backend: String,
    /// Name and version.
    pub driver: String,
    /// The processor plays the GPU: right, and slow.
    pub software: bool,
    /// Bytes in one buffer.
    pub max_buffer: u64,
    /// The same for one binding, which is what a kernel can see.
    pub max_binding: u64,
    /// Half precision, subgroups, timestamps: what faster kernels could use.
    pub features: Vec<&'static str>,
}

/// Every adapter that wgpu finds, best first: discrete, integrated, virtual, other, software.
pub fn adapters() -> Vec<AdapterSummary> {
    enumerate().iter().enumerate().map(|(index, adapter)| summary(index, adapter)).collect()
}

impl Gpu {
    /// Opens adapter `index` of [`adapters`], or the first that is not software (unless allowed).
    ///
    /// # Errors
    /// If there is none such, or it cannot be opened.
    pub fn open(index: Option<usize>, allow_software: bool) -> Result<Arc<Gpu>, DeviceError> {
        Gpu::open_within(index, allow_software, u64::MAX)
    }

    /// As `open`, with at most so many bytes in what a kernel may bind: a test of how kernels split their work.
    ///
    /// # Errors
    /// As `open`.
    pub fn open_within(index: Option<usize>, allow_software: bool, binding: u64) -> Result<Arc<Gpu>, DeviceError> {
        let found = enumerate();
        let at =
            choose(&found.iter().enumerate().map(|(i, a)| summary(i, a)).collect::<Vec<_>>(), index, allow_software)
                .map_err(DeviceError::None)?;
        open(&found[at], binding).map_err(DeviceError::None)
    }
}

fn enumerate() -> Vec<wgpu::Adapter> {
    let backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
    descriptor.backends = wgpu::Backends::from_env().unwrap_or(backends);
    // indirect dispatches are never used; their checking shader would only cost time
    descriptor.flags.remove(wgpu::InstanceFlags::VALIDATION_INDIRECT_CALL);
    let instance = wgpu::Instance::new(descriptor);
    let mut found = pollster::block_on(instance.enumerate_adapters(backends));
    found.sort_by_key(|adapter| rank(adapter.get_info().device_type));
    found
}

pub(super) fn name(info: &wgpu::AdapterInfo) -> String {
    format!("{} ({:?})", info.name, info.backend).replace("Vulkan", "vulkan")
}

fn rank(kind: wgpu::DeviceType) -> usize {
    use wgpu::DeviceType::*;
    [DiscreteGpu, IntegratedGpu, VirtualGpu, Other, Cpu].iter().position(|k| *k == kind).unwrap_or(3)
}

fn summary(index: usize, adapter: &wgpu::Adapter) -> AdapterSummary {
    let (info, limits, features) = (adapter.get_info(), adapter.limits(), adapter.features());
    let offered = [
        ("f16", wgpu::Features::SHADER_F16),
        ("subgroups", wgpu::Features::SUBGROUP),
        ("timestamps", wgpu::Features::TIMESTAMP_QUERY),
        ("matrix units", wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX),
    ];
    AdapterSummary {
        index,
        name: info.name,
        kind: ["discrete", "integrated", "virtual", "other", "software"][rank(info.device_type)],
        backend: format!("{:?}", info.backend),
        driver: format!("{} {}", info.driver, info.driver_info).trim().to_string(),
        software: info.device_type == wgpu::DeviceType::Cpu,
        max_buffer: limits.max_buffer_size,
        max_binding: limits.max_storage_buffer_binding_size,
        features: offered.iter().filter(|(_, feature)| features.contains(*feature)).map(|(name, _)| *name).collect(),
    }
}

const HOW: &str = "Install a Vulkan driver for your GPU (Linux: mesa-vulkan-drivers, or the NVIDIA driver), \
                   or run without one: --device cpu";

/// The place of the adapter to open, or why there is none.
fn choose(found: &[AdapterSummary], index: Option<usize>, allow_software: bool) -> Result<usize, String> {
    let list =
        || found.iter().map(|a| format!("\n  {}: {} ({}, {})", a.index, a.name, a.kind, a.backend)).collect::<String>();
    if found.is_empty() {
        return Err(format!("no GPU found (looked for Vulkan, Metal and Direct3D 12). {HOW}"));
    }
    match index {
        Some(index) if index >= found.len() => Err(format!("there is no GPU {index}; there are:{}", list())),
        Some(index) if found[index].software && !allow_software => Err(format!(
            "GPU {index} is software ({}): slower than the CPU kernels. To use it all the same, allow software adapters",
            found[index].name
        )),
        Some(index) => Ok(index),
        None => found
            .iter()
            .position(|a| allow_software || !a.software)
            .ok_or_else(|| format!("no real GPU found, only software that plays one:{}\n{HOW}", list())),
    }
}

/// What faster rungs use, where it is there. Everything runs without.
fn extras() -> wgpu::Features {
    wgpu::Features::SHADER_F16
        | wgpu::Features::SUBGROUP
        | wgpu::Features::TIMESTAMP_QUERY
        | wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX
}

fn open(adapter: &wgpu::Adapter, binding: u64) -> Result<Arc<Gpu>, String> {
    let (info, most) = (adapter.get_info(), adapter.limits());
    // WebGPU's portable base; sizes of memory and of workgroups are taken as large as they come.
    let required_limits = wgpu::Limits {
        max_buffer_size: most.max_buffer_size,
        max_storage_buffer_binding_size: most.max_storage_buffer_binding_size.min(binding),
        max_compute_workgroup_storage_size: most.max_compute_workgroup_storage_size,
        max_compute_invocations_per_workgroup: most.max_compute_invocations_per_workgroup,
        ..wgpu::Limits::default()
    };
    let descriptor = wgpu::DeviceDescriptor {
        label: Some("rlhf"),
        required_features: adapter.features() & extras(),
        required_limits: compute_only(required_limits, &most),
        // SAFETY: of the experimental features only cooperative matrices are asked for, and only kernels that
        // were checked against their base rung on this adapter use them.
        experimental_features: unsafe { wgpu::ExperimentalFeatures::enabled() },
        ..Default::default()
    };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))
        .map_err(|e| format!("{} cannot be opened: {e}. It may be in use, or its driver too old. {HOW}", info.name))?;
    let limits = device.limits();
    let failure = Arc::new(Mutex::new(None));
    listen(&device, name(&info), &failure);
    Ok(Arc::new(Gpu {
        batch: Mutex::new(batch::Batch::new(&device)),
        pool: Mutex::default(),
        pipelines: Mutex::new(pipeline::Pipelines::default()),
        tuner: Mutex::new(tune::Tuner::new(info.device_type == wgpu::DeviceType::Cpu)),
        awake: Mutex::new(false),
        max_binding: (limits.max_storage_buffer_binding_size / 4) as usize & !63,
        max_buffer: limits.max_buffer_size,
        features: features_of(adapter, &device),
        failure,
        counters: Counters::default(),
        device,
        queue,
        info,
    }))
}

fn features_of(adapter: &wgpu::Adapter, device: &wgpu::Device) -> Features {
    use wgpu::CooperativeScalarType::{F16, F32};
    let (features, info) = (device.features(), adapter.get_info());
    let matrices = if features.contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX) {
        adapter.cooperative_matrix_properties()
    } else {
        Vec::new()
    };
    let square = |size: u32| {
        matrices.iter().any(|m| [m.m_size, m.n_size, m.k_size] == [size; 3] && (m.ab_type, m.cr_type) == (F16, F32))
    };
    Features {
        half: features.contains(wgpu::Features::SHADER_F16),
        subgroups: features.contains(wgpu::Features::SUBGROUP),
        subgroup_size: info.subgroup_max_size,
        subgroup_fixed: Some(info.subgroup_max_size).filter(|&size| size == info.subgroup_min_size),
        timestamps: features.contains(wgpu::Features::TIMESTAMP_QUERY),
        matrix: [16, 8].into_iter().find(|&size| square(size)),
        workgroup_bytes: device.limits().max_compute_workgroup_storage_size,
    }
}

/// Nothing is drawn here: limits on textures and vertices may be as low as the adapter has them.
fn compute_only(mut limits: wgpu::Limits, most: &wgpu::Limits) -> wgpu::Limits {
    limits.max_texture_dimension_1d = limits.max_texture_dimension_1d.min(most.max_texture_dimension_1d);
    limits.max_texture_dimension_2d = limits.max_texture_dimension_2d.min(most.max_texture_dimension_2d);
    limits.max_texture_dimension_3d = limits.max_texture_dimension_3d.min(most.max_texture_dimension_3d);
    limits.max_color_attachment_bytes_per_sample =
        limits.max_color_attachment_bytes_per_sample.min(most.max_color_attachment_bytes_per_sample);
    limits
}

/// The first error stays; `Gpu::check` raises it on the thread that next uses the GPU.
fn listen(device: &wgpu::Device, gpu: String, failure: &Arc<Mutex<Option<Failure>>>) {
    let (errors, lost, name) = (failure.clone(), failure.clone(), gpu.clone());
    device.on_uncaptured_error(Arc::new(move |error| {
        let failure = match &error {
            wgpu::Error::OutOfMemory { .. } => Failure::Fault(DeviceFault::OutOfMemory { gpu: name.clone() }),
            other => Failure::Bug(format!("a bug in a GPU kernel or in wgpu: {other}")),
        };
        errors.lock().expect("failure").get_or_insert(failure);
    }));
    device.set_device_lost_callback(move |why, reason| {
        if why != wgpu::DeviceLostReason::Destroyed {
            let fault = DeviceFault::Lost { gpu: gpu.clone(), reason };
            lost.lock().expect("failure").get_or_insert(Failure::Fault(fault));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapter(index: usize, name: &str, software: bool) -> AdapterSummary {
        let kind = if software { "software" } else { "discrete" };
        let (name, backend, driver) = (name.to_string(), "Vulkan".to_string(), String::new());
        AdapterSummary { index, name, kind, backend, driver, software, max_buffer: 0, max_binding: 0, features: vec![] }
    }

    #[test]
    fn a_real_gpu_comes_before_software_and_refusals_say_what_to_do() {
        let (real, soft) = (adapter(0, "Real", false), adapter(1, "llvmpipe", true));
        let both = [real, soft.clone()];
        assert_eq!(choose(&both, None, false), Ok(0));
        assert_eq!(choose(&both, Some(1), true), Ok(1));
        assert!(choose(&both, Some(1), false).unwrap_err().contains("llvmpipe"));
        assert!(choose(&both, Some(2), true).unwrap_err().contains("0: Real"));
        let only = [AdapterSummary { index: 0, ..soft }];
        assert!(choose(&only, None, false).unwrap_err().contains("--device cpu"));
        assert_eq!(choose(&only, None, true), Ok(0));
        assert!(choose(&[], None, true).unwrap_err().contains("no GPU found"));
    }
}
