//! Where arrays live and kernels run: the processor, or a GPU reached through wgpu.
use crate::gpu::Gpu;
use std::fmt;
use std::sync::Arc;

/// The device of arrays: the processor, or a GPU. Cloning is free; two are equal if they are the same one.
#[derive(Clone)]
pub enum Device {
    /// The processor: all of its threads.
    Cpu,
    /// A GPU through wgpu, or software that plays one.
    Gpu(Arc<Gpu>),
}

/// Why there is no such device, with what to do.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// No adapter, none that was allowed, or one that cannot be opened.
    #[error("{0}")]
    None(String),
}

const SMALLER: &str = "Use a smaller batch (fewer tokens a step), a smaller model, or --device cpu";

/// What a panic carries when the machine is at fault and not the program: kernels return no `Result`. Thrown by
/// [`std::panic::panic_any`], so `catch_unwind` and `downcast` tell it from a bug.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceFault {
    /// The driver has no room for another buffer.
    #[error("{gpu}: out of GPU memory: {mib} MiB more than the {used_mib} MiB in use. {}", SMALLER)]
    NoRoom {
        /// The adapter's name.
        gpu: String,
        /// What was asked for.
        mib: u64,
        /// What is in use.
        used_mib: u64,
    },
    /// The driver ran out of memory while it did something else.
    #[error("{gpu}: out of GPU memory. {}", SMALLER)]
    OutOfMemory {
        /// The adapter's name.
        gpu: String,
    },
    /// The driver gave up, or the GPU is gone.
    #[error("{gpu}: the GPU was lost ({reason}). Training can go on from the last checkpoint: --resume")]
    Lost {
        /// The adapter's name.
        gpu: String,
        /// The driver's words.
        reason: String,
    },
    /// An array is larger than a buffer may be.
    #[error("an array of {mib} MiB: {gpu} allows at most {most_mib} MiB in one buffer. {}", SMALLER)]
    ArrayTooLarge {
        /// The adapter's name.
        gpu: String,
        /// The array.
        mib: u64,
        /// The largest buffer.
        most_mib: u64,
    },
    /// An array is larger than what a kernel may see, and this kernel does not go by parts.
    #[error(
        "kernel {kernel}: an array of {mib} MiB, but {gpu} lets a kernel see at most {most_mib} MiB at once. {}",
        SMALLER
    )]
    BindingTooLarge {
        /// The adapter's name.
        gpu: String,
        /// The kernel and its constants.
        kernel: String,
        /// The array.
        mib: u64,
        /// The largest binding.
        most_mib: u64,
    },
}

impl Device {
    /// The GPU number `index` of [`gpu::adapters`](crate::gpu::adapters), or the best real one. A software adapter
    /// (Mesa's lavapipe, SwiftShader) counts only where `allow_software` says so.
    ///
    /// # Errors
    /// If there is none such, or it cannot be opened.
    pub fn gpu(index: Option<usize>, allow_software: bool) -> Result<Device, DeviceError> {
        Gpu::open(index, allow_software).map(Device::Gpu)
    }

    /// Is it not the processor?
    pub fn is_gpu(&self) -> bool {
        matches!(self, Device::Gpu(_))
    }

    /// `cpu`, or the adapter and its backend.
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
