//! Where arrays live and kernels run: the processor, or a GPU reached through wgpu.
use crate::gpu::Gpu;
use std::fmt;
use std::sync::Arc;

#[derive(Clone)]
pub enum Device {
    Cpu,
    Gpu(Arc<Gpu>),
}

#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    #[error("{0}")]
    None(String),
}

impl Device {
    /// The GPU number `index` of `gpu::adapters()`, or the best real one. A software adapter
    /// (Mesa's lavapipe, SwiftShader) counts only where `allow_software` says so.
    pub fn gpu(index: Option<usize>, allow_software: bool) -> Result<Device, DeviceError> {
        Gpu::open(index, allow_software).map(Device::Gpu)
    }

    pub fn is_gpu(&self) -> bool {
        matches!(self, Device::Gpu(_))
    }

    pub fn name(&self) -> String {
        match self {
            Device::Cpu => "cpu".into(),
            Device::Gpu(gpu) => gpu.name(),
        }
    }

    /// Wait until everything asked of this device is done.
    pub fn sync(&self) {
        if let Device::Gpu(gpu) = self {
            gpu.sync();
        }
    }
}

impl PartialEq for Device {
    fn eq(&self, other: &Device) -> bool {
        match (self, other) {
            (Device::Cpu, Device::Cpu) => true,
            (Device::Gpu(a), Device::Gpu(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.name())
    }
}
