//! What can be checked of the shaders without a GPU.
use super::super::pipeline::{MAX_STORAGE_BUFFERS, MAX_WORKGROUP_BYTES};
use super::super::*;
use naga::{AddressSpace, StorageAccess, back, valid};

/// Invocations of a workgroup on any WebGPU.
const MAX_THREADS: u32 = 256;

/// naga accepts every shader with every header and writes it for Vulkan, Metal and Direct3D 12; each keeps to what
/// any WebGPU offers, or says what more it wants. `DUMP_WGSL=folder` writes them out, for other compilers to judge.
#[test]
fn shaders_are_valid_and_portable() {
    let sources = sources();
    if let Ok(folder) = std::env::var("DUMP_WGSL") {
        for (name, source) in &sources {
            std::fs::write(format!("{folder}/{}.wgsl", name.replace(' ', "_")), source).unwrap();
        }
    }
    // the name and the constants choose the pipeline
    let mut names: Vec<&String> = sources.iter().map(|(name, _)| name).collect();
    names.sort();
    assert!(names.windows(2).all(|two| two[0] != two[1]), "one name twice: {names:?}");
    let check = |(name, source): &(String, String)| check(source).err().map(|what| format!("{name}: {what}"));
    let wrong: Vec<String> = sources.iter().filter_map(check).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let with = |word: &str| sources.iter().filter(|(_, source)| source.contains(word)).count();
    println!(
        "{} shaders, {} with subgroups, {} in half precision, {} with matrix units",
        sources.len(),
        with("subgroup"),
        with("enable f16"),
        with("enable wgpu_cooperative_matrix")
    );
    for (kernel, rungs) in ladders() {
        assert!(rungs.len() > 1, "{kernel} has no ladder");
    }
}

/// The features that a shader says it wants.
fn capabilities(source: &str) -> valid::Capabilities {
    use valid::Capabilities as C;
    [
        ("enable f16", C::SHADER_FLOAT16),
        ("subgroup", C::SUBGROUP),
        ("enable wgpu_cooperative_matrix", C::COOPERATIVE_MATRIX),
    ]
    .into_iter()
    .filter(|(word, _)| source.contains(word))
    .fold(C::empty(), |all, (_, capability)| all | capability)
}

/// What `BUDGET` allows, or any WebGPU.
fn budget(source: &str) -> u32 {
    let declared = source.split("const BUDGET = ").nth(1).and_then(|rest| rest.split('u').next());
    declared.map_or(MAX_WORKGROUP_BYTES, |bytes| bytes.parse().expect("a number"))
}

fn check(source: &str) -> Result<(), String> {
    let module = naga::front::wgsl::parse_str(source).map_err(|e| e.emit_to_string(source))?;
    let info = valid::Validator::new(valid::ValidationFlags::all(), capabilities(source))
        .validate(&module)
        .map_err(|e| e.emit_to_string(source))?;
    let [entry] = &module.entry_points[..] else { return Err("not one entry point".into()) };
    let threads: u32 = entry.workgroup_size.iter().product();
    let mut layout = naga::proc::Layouter::default();
    layout.update(module.to_ctx()).map_err(|e| e.to_string())?;
    let (mut storage, mut workgroup) = (0, 0);
    for (_, variable) in module.global_variables.iter() {
        match variable.space {
            AddressSpace::WorkGroup => workgroup += layout[variable.ty].size,
            AddressSpace::Storage { access } => {
                storage += 1;
                if access.contains(StorageAccess::ATOMIC) {
                    return Err("an atomic".into());
                }
            }
            AddressSpace::Uniform if layout[variable.ty].size > 256 => return Err("too many parameters".into()),
            _ => {}
        }
    }
    if threads > MAX_THREADS || storage > MAX_STORAGE_BUFFERS || workgroup > budget(source) {
        return Err(format!("{threads} threads, {storage} storage buffers, {workgroup} bytes of workgroup memory"));
    }
    translate(source, &module, &info)
}

/// As wgpu will translate it on other systems.
fn translate(source: &str, module: &naga::Module, info: &valid::ModuleInfo) -> Result<(), String> {
    let spirv = back::spv::Options { lang_version: (1, 6), ..Default::default() };
    back::spv::write_vec(module, info, &spirv, None).map_err(|e| format!("SPIR-V: {e}"))?;
    let metal = back::msl::Options { lang_version: (3, 0), ..Default::default() };
    back::msl::write_string(module, info, &metal, &Default::default()).map_err(|e| format!("Metal: {e}"))?;
    if source.contains("enable wgpu_cooperative_matrix") {
        return Ok(()); // naga 30 has no words for it in HLSL; wgpu does not offer it on Direct3D 12
    }
    let options = back::hlsl::Options { shader_model: back::hlsl::ShaderModel::V6_2, ..Default::default() };
    let (pipeline, mut text) = (back::hlsl::PipelineOptions { entry_point: None }, String::new());
    back::hlsl::Writer::new(&mut text, &options, &pipeline)
        .write(module, info, None)
        .map(|_| ())
        .map_err(|e| format!("HLSL: {e}"))
}

#[test]
fn the_check_of_shaders_finds_what_is_not_portable() {
    let big = "var<workgroup> t: array<vec4f, 1025>; @compute @workgroup_size(64) fn main() { t[0] = vec4f(); }";
    assert!(check(big).unwrap_err().contains("16400 bytes"));
    assert!(check(&format!("const BUDGET = 32768u; {big}")).is_ok(), "it says so");
    let wide = "@compute @workgroup_size(257) fn main() {}";
    assert!(check(wide).is_err());
    assert!(check("fn main() {").is_err());
}
