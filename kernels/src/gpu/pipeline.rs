//! WGSL in, compute pipelines out.
use super::{Access, Gpu};
use std::collections::HashMap;
use std::sync::Arc;

/// What any WebGPU offers. wgpu does not check workgroup memory itself.
pub const MAX_STORAGE_BUFFERS: usize = 8;
pub const MAX_WORKGROUP_BYTES: u32 = 16 * 1024;

/// A WGSL program with one entry point, `main`. Its source is the constants as real WGSL
/// (`const D = 64u;`), then the parts one after the other, so that a part may use names that the
/// header or an earlier part defines: no template language. A first part that enables a feature comes before
/// the constants. Binding 0 is its parameters. A constant `BUDGET` says how many bytes of workgroup memory it
/// may take where that is more than any WebGPU has.
#[derive(Clone, Copy)]
pub struct Kernel<'a> {
    /// Together with the constants this names the pipeline.
    pub name: &'static str,
    pub parts: &'a [&'static str],
    pub consts: &'a [(&'static str, u32)],
}

impl Kernel<'_> {
    pub fn source(&self) -> String {
        let header: String = self.consts.iter().map(|(name, value)| format!("const {name} = {value}u;\n")).collect();
        let enables = self.parts.iter().take_while(|part| part.starts_with("enable")).count();
        self.parts[..enables].concat() + &header + &self.parts[enables..].concat()
    }

    /// Bytes of workgroup memory that it takes at most: the shader holds itself to it with a `const_assert`.
    pub fn budget(&self) -> u32 {
        self.consts.iter().find(|(name, _)| *name == "BUDGET").map_or(MAX_WORKGROUP_BYTES, |(_, bytes)| *bytes)
    }

    /// For messages: `matmul TILE=64`.
    pub fn title(&self) -> String {
        self.consts.iter().fold(self.name.to_string(), |title, (name, value)| format!("{title} {name}={value}"))
    }
}

pub struct Pipeline {
    pub compute: wgpu::ComputePipeline,
    pub layout: wgpu::BindGroupLayout,
}

/// Why a kernel has no pipeline, in words.
#[derive(Debug)]
pub struct DoesNotCompile(String);

/// What a kernel made, unless it does not compile: a rung that is tried may not.
pub type Compiled<T> = Result<T, DoesNotCompile>;

/// What a kernel made that must compile.
#[track_caller]
pub fn compiled<T>(result: Compiled<T>) -> T {
    match result {
        Ok(made) => made,
        Err(DoesNotCompile(why)) => panic!("{why}"),
    }
}

type Key = (&'static str, Vec<u32>);

#[derive(Default)]
pub struct Pipelines(HashMap<Key, Arc<Pipeline>>);

impl Pipelines {
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl Gpu {
    /// The pipeline of `kernel`, compiled at its first use.
    pub(super) fn pipeline(&self, kernel: &Kernel, access: impl Iterator<Item = Access>) -> Compiled<Arc<Pipeline>> {
        let key = (kernel.name, kernel.consts.iter().map(|(_, value)| *value).collect());
        let mut pipelines = self.pipelines.lock().expect("pipelines");
        if let Some(pipeline) = pipelines.0.get(&key) {
            return Ok(pipeline.clone());
        }
        let pipeline = Arc::new(self.compile(kernel, access)?);
        pipelines.0.insert(key, pipeline.clone());
        Ok(pipeline)
    }

    fn compile(&self, kernel: &Kernel, access: impl Iterator<Item = Access>) -> Compiled<Pipeline> {
        let title = kernel.title();
        if kernel.budget() > self.features.workgroup_bytes {
            let (want, have) = (kernel.budget(), self.features.workgroup_bytes);
            let why = format!("kernel {title} takes {want} bytes of workgroup memory, {} has {have}", self.name());
            return Err(DoesNotCompile(why));
        }
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let layout = self.layout(&title, access);
        let module = self.shader(&title, kernel.source());
        let pipeline_layout = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(&title),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let compute = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(&title),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: None,
        });
        if let Some(error) = pollster::block_on(scope.pop()) {
            let why = format!("{}: kernel {title} does not compile: {error}", self.name());
            return Err(DoesNotCompile(why));
        }
        Ok(Pipeline { compute, layout })
    }

    fn layout(&self, title: &str, access: impl Iterator<Item = Access>) -> wgpu::BindGroupLayout {
        let entry = |binding, ty| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
            count: None,
        };
        let storage = access.zip(1..).map(|(access, binding)| {
            let read_only = access == Access::Read;
            entry(binding, wgpu::BufferBindingType::Storage { read_only })
        });
        let entries: Vec<_> = std::iter::once(entry(0, wgpu::BufferBindingType::Uniform)).chain(storage).collect();
        assert!(entries.len() <= MAX_STORAGE_BUFFERS + 1, "kernel {title} binds {} buffers", entries.len() - 1);
        self.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(title), entries: &entries })
    }

    fn shader(&self, title: &str, source: String) -> wgpu::ShaderModule {
        let descriptor =
            wgpu::ShaderModuleDescriptor { label: Some(title), source: wgpu::ShaderSource::Wgsl(source.into()) };
        // SAFETY: without loop bounding a shader must not loop for ever; every loop here counts up to a size or down
        // by halves. Bounding costs 2-6x because it keeps drivers from unrolling. Without bounds checks it must keep to
        // its arrays in workgroup memory, whose sizes are constants (buffers the driver guards): they cost products 4 %
        // and more on an H200. Nothing is divided by zero.
        let checks = wgpu::ShaderRuntimeChecks::unchecked();
        unsafe { self.device.create_shader_module_trusted(descriptor, checks) }
    }
}
