//! No kernel without a case that compares it, or with shaders that nobody checks.

use super::{files, root};
use std::fs;

#[test]
fn every_kernel_has_a_case_and_its_shaders_are_listed() {
    let lines = |folder: &str| -> Vec<String> {
        let texts = files(&root().join(folder), "rs").into_iter().map(|path| fs::read_to_string(path).unwrap());
        texts.flat_map(|text| text.lines().map(String::from).collect::<Vec<_>>()).collect()
    };
    let (cases, gpu) = (lines("tests/it/parity"), lines("kernels/src/gpu"));
    for entry in fs::read_dir(root().join("kernels/src")).unwrap() {
        let folder = entry.unwrap().path();
        if !folder.join("plain.rs").exists() {
            continue;
        }
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let (kernel, listed) = (format!("kernels::{name}::"), format!("crate::{name}::gpu::sources()"));
        let compared = cases.iter().any(|line| line.contains(&kernel) && line.contains("plain"));
        assert!(compared, "no case in tests/it/parity compares {name} with its plain loop");
        assert!(gpu.iter().any(|line| line.contains(&listed)), "the shaders of {name} are not among gpu::sources()");
    }
}
