//! `Tensor`: f32, contiguous, immutable in spirit, shared by `Arc`, copied when written while shared.
use crate::cpu::pool::{self, Pooled};
use crate::{Device, Shape, gpu};
use std::sync::Arc;

/// An array of f32 with one to four axes, on a device. Cloning shares the memory; the first write copies it.
#[derive(Clone)]
pub struct Tensor {
    storage: Storage,
    offset: usize,
    shape: Shape,
}

#[derive(Clone)]
pub(crate) enum Storage {
    Cpu(Arc<Pooled>),
    Gpu(Arc<gpu::Buffer>),
}

impl Tensor {
    /// An array on the CPU, of numbers that are there.
    ///
    /// # Panics
    /// If the shape does not have that many elements.
    #[track_caller]
    pub fn new(shape: &[usize], data: Vec<f32>) -> Tensor {
        let shape = Shape::new(shape);
        assert_eq!(shape.elements(), data.len(), "shape {shape:?} does not fit {} numbers", data.len());
        Tensor { storage: Storage::Cpu(Arc::new(Pooled::from(data))), offset: 0, shape }
    }

    /// An array on `device`, copied from the host.
    ///
    /// # Panics
    /// If the shape does not have that many elements.
    #[track_caller]
    pub fn from_slice(device: &Device, shape: &[usize], data: &[f32]) -> Tensor {
        match device {
            Device::Cpu => Tensor::new(shape, pool::copy(data)),
            Device::Gpu(gpu) => {
                let shape = Shape::new(shape);
                assert_eq!(shape.elements(), data.len(), "shape {shape:?} does not fit {} numbers", data.len());
                Tensor::on_gpu(gpu.upload(bytemuck::cast_slice(data)), &shape)
            }
        }
    }

    /// An array of zeros.
    pub fn zeros(device: &Device, shape: &[usize]) -> Tensor {
        Tensor::full(device, shape, 0.0)
    }

    /// An array of one value everywhere.
    pub fn full(device: &Device, shape: &[usize], value: f32) -> Tensor {
        match device {
            Device::Cpu => Tensor::new(shape, pool::full(shape.iter().product(), value)),
            Device::Gpu(gpu) => crate::elementwise::gpu::full(gpu, shape, value),
        }
    }

    /// One number, on the CPU. [1]
    pub fn scalar(value: f32) -> Tensor {
        Tensor::new(&[1], vec![value])
    }

    /// What a GPU kernel wrote.
    pub(crate) fn on_gpu(buffer: gpu::Buffer, shape: &[usize]) -> Tensor {
        Tensor { storage: Storage::Gpu(Arc::new(buffer)), offset: 0, shape: Shape::new(shape) }
    }

    /// Sizes of its axes.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.elements()
    }

    /// Has it no element?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sizes of exactly `N` axes: `let [n, c] = x.dims();`
    ///
    /// # Panics
    /// If it has another number of axes.
    #[track_caller]
    pub fn dims<const N: usize>(&self) -> [usize; N] {
        match <[usize; N]>::try_from(self.shape()) {
            Ok(dims) => dims,
            Err(_) => panic!("expected {N} axes, got shape {:?}", self.shape),
        }
    }

    /// All axes but the last as one, and the last.
    pub fn rows_cols(&self) -> (usize, usize) {
        let cols = self.shape[self.shape.len() - 1];
        (self.len().checked_div(cols).unwrap_or(0), cols)
    }

    /// Where it is.
    pub fn device(&self) -> Device {
        match &self.storage {
            Storage::Cpu(_) => Device::Cpu,
            Storage::Gpu(buffer) => Device::Gpu(buffer.gpu().clone()),
        }
    }

    /// The same numbers under other axes. Free.
    ///
    /// # Panics
    /// If the number of elements is another.
    #[track_caller]
    pub fn reshape(&self, shape: &[usize]) -> Tensor {
        let shape = Shape::new(shape);
        assert_eq!(shape.elements(), self.len(), "cannot reshape {:?} to {shape:?}", self.shape);
        Tensor { shape, ..self.clone() }
    }

    /// A view: `shape` worth of elements from element `offset` on; shares memory. What a GPU kernel writes must start
    /// at a multiple of 64 elements (256 bytes) of its buffer; what it reads elsewhere is copied first.
    ///
    /// # Panics
    /// If it leaves the array.
    #[track_caller]
    pub fn view(&self, offset: usize, shape: &[usize]) -> Tensor {
        let shape = Shape::new(shape);
        assert!(
            offset + shape.elements() <= self.len(),
            "a view {offset}+{shape:?} leaves an array of shape {:?}",
            self.shape
        );
        Tensor { storage: self.storage.clone(), offset: self.offset + offset, shape }
    }

    /// Rows `range` of the first axis; shares memory.
    ///
    /// # Panics
    /// If there are not that many.
    #[track_caller]
    pub fn rows(&self, range: std::ops::Range<usize>) -> Tensor {
        assert!(range.end <= self.shape[0], "rows {range:?} of shape {:?}", self.shape);
        let row = self.len() / self.shape[0].max(1);
        let mut shape = self.shape.to_vec();
        shape[0] = range.len();
        self.view(range.start * row, &shape)
    }

    /// The same numbers on `device`: itself where it is there already.
    #[track_caller]
    pub fn to(&self, device: &Device) -> Tensor {
        if self.device() == *device {
            return self.clone();
        }
        match device {
            Device::Cpu => Tensor::new(&self.shape, self.to_vec()),
            Device::Gpu(_) => Tensor::from_slice(device, &self.shape, &self.to_vec()),
        }
    }

    /// A copy on the host. Waits for the device.
    pub fn to_vec(&self) -> Vec<f32> {
        read_all(&[self]).pop().expect("one in, one out")
    }

    /// The only element. Waits for the device.
    ///
    /// # Panics
    /// If there are more, or none.
    #[track_caller]
    pub fn item(&self) -> f32 {
        assert_eq!(self.len(), 1, "item() of shape {:?}", self.shape);
        self.to_vec()[0]
    }

    /// The numbers of an array on the CPU.
    ///
    /// # Panics
    /// If it is on a GPU: `to_vec` reads it back.
    #[track_caller]
    pub fn data(&self) -> &[f32] {
        match &self.storage {
            Storage::Cpu(buffer) => &buffer[self.offset..self.offset + self.len()],
            Storage::Gpu(_) => panic!("data() of an array on a GPU; use to_vec()"),
        }
    }

    /// To write in place; copies first when somebody else looks at the same memory.
    ///
    /// # Panics
    /// If it is on a GPU.
    #[track_caller]
    pub fn data_mut(&mut self) -> &mut [f32] {
        let (offset, len) = (self.offset, self.len());
        if let Storage::Cpu(buffer) = &self.storage
            && self.is_shared()
        {
            let mut copy = pool::take(len);
            copy.copy_from_slice(&buffer[offset..offset + len]);
            *self = Tensor::new(&self.shape, copy);
        }
        let offset = self.offset;
        match &mut self.storage {
            Storage::Cpu(buffer) => {
                let buffer = Arc::get_mut(buffer).expect("unshared by now");
                &mut buffer[offset..offset + len]
            }
            Storage::Gpu(_) => panic!("data_mut() of an array on a GPU"),
        }
    }

    /// Does anybody else hold this memory?
    pub fn is_shared(&self) -> bool {
        match &self.storage {
            Storage::Cpu(buffer) => Arc::strong_count(buffer) > 1,
            Storage::Gpu(buffer) => Arc::strong_count(buffer) > 1,
        }
    }

    /// For kernels that write in place on a GPU: this array's buffer, alone in it.
    pub(crate) fn unshare(&mut self) {
        if let Storage::Gpu(buffer) = &self.storage
            && self.is_shared()
        {
            let copy = buffer.gpu().copy(buffer, self.offset, self.len());
            *self = Tensor::on_gpu(copy, &self.shape);
        }
    }

    /// The buffer on a GPU and where in it this array starts.
    #[track_caller]
    pub(crate) fn buffer(&self) -> (&Arc<gpu::Buffer>, usize) {
        match &self.storage {
            Storage::Gpu(buffer) => (buffer, self.offset),
            Storage::Cpu(_) => panic!("this array is on the CPU, the others on a GPU: move it with to(device)"),
        }
    }
}

/// Copies of several arrays on the host, for one wait.
pub fn read_all(arrays: &[&Tensor]) -> Vec<Vec<f32>> {
    let on_gpu: Vec<_> = arrays.iter().filter(|a| a.device().is_gpu()).collect();
    let mut read = match on_gpu.first() {
        None => Vec::new(),
        Some(first) => {
            let (buffer, _) = first.buffer();
            let parts: Vec<_> = on_gpu
                .iter()
                .map(|a| {
                    let (buffer, offset) = a.buffer();
                    (&**buffer, offset..offset + a.len())
                })
                .collect();
            buffer.gpu().read(&parts)
        }
    }
    .into_iter();
    arrays
        .iter()
        .map(|a| match &a.storage {
            Storage::Cpu(_) => a.data().to_vec(),
            Storage::Gpu(_) => bytemuck::cast_vec(read.next().expect("one for each array on the GPU")),
        })
        .collect()
}

/// All arrays of one kernel call must be on one device; this is that device.
#[track_caller]
pub(crate) fn same_device(arrays: &[&Tensor]) -> Device {
    let device = arrays[0].device();
    for array in &arrays[1..] {
        let other = array.device();
        assert!(other == device, "arrays of one kernel on two devices: {device:?} and {other:?}");
    }
    device
}
