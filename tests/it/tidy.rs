//! The rules of ARCHITECTURE.md that a test can check: mostly absences.

use std::fs;
use std::path::{Path, PathBuf};

mod adding;
mod functions;
mod imports;

/// Files that may be longer than 500 lines, each with its reason.
const LONG: &[(&str, &str)] = &[];
const LONGEST: usize = 500;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of the project below `dir` with that extension: what is built, fetched or written by runs is left out.
fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !["target", "runs", ".git"].contains(&name.as_str()) {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/")
}

/// The lines of all Rust files for which `wrong` says so, as "file:line: text".
fn lines_where(wrong: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for path in files(root(), "rs") {
        let name = relative(&path);
        for (i, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            if wrong(&name, line) {
                found.push(format!("{name}:{}: {}", i + 1, line.trim()));
            }
        }
    }
    found
}

#[test]
fn only_the_gpu_runtime_names_wgpu() {
    let bad = lines_where(|file, line| {
        let code = line.split("//").next().unwrap_or_default();
        let names = ["wgpu::", "use wgpu", "extern crate wgpu"].iter().any(|n| code.contains(n));
        names && !file.starts_with("kernels/src/gpu") && file != "tests/it/tidy.rs"
    });
    assert!(bad.is_empty(), "wgpu belongs to kernels/src/gpu:\n{}", bad.join("\n"));
    for manifest in files(root(), "toml").iter().filter(|p| p.ends_with("Cargo.toml")) {
        let name = relative(manifest);
        let depends = fs::read_to_string(manifest).unwrap().lines().any(|l| l.starts_with("wgpu"));
        let allowed = ["Cargo.toml", "kernels/Cargo.toml"].contains(&name.as_str());
        assert!(!depends || allowed, "{name} depends on wgpu; only kernels may");
    }
}

/// Files below `kernels` and `autograd` that may, each with its reason.
const DOES_IO: &[(&str, &str)] =
    &[("kernels/src/cpu/wishes.rs", "RLHF_SIMD and RLHF_THREADS, for tests and benches that no command starts")];

#[test]
fn kernels_and_autograd_do_no_io() {
    let words = ["std::fs", "std::io", "std::env", "std::process", "print!(", "println!("];
    let mut bad = Vec::new();
    for path in ["kernels/src", "autograd/src"].iter().flat_map(|folder| files(&root().join(folder), "rs")) {
        let name = relative(&path);
        let is_test = ["/tests/", "/tests.rs", "/test.rs"].iter().any(|part| name.contains(part));
        if is_test || DOES_IO.iter().any(|(file, _)| *file == name) {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for (i, line) in code.lines().enumerate() {
            if words.iter().any(|word| line.split("//").next().unwrap().contains(word)) {
                bad.push(format!("{name}:{}: {}", i + 1, line.trim()));
            }
        }
    }
    assert!(bad.is_empty(), "files, printing and the environment are the command's:\n{}", bad.join("\n"));
    for (file, reason) in DOES_IO {
        assert!(root().join(file).exists() && !reason.is_empty(), "DOES_IO names {file}, which is gone");
    }
}

#[test]
fn crates_that_document_all_they_show_keep_to_it() {
    for lib in ["kernels/src/lib.rs", "autograd/src/lib.rs", "model/src/lib.rs", "rlhf/src/lib.rs"] {
        let text = fs::read_to_string(root().join(lib)).unwrap();
        assert!(text.contains("#![warn(missing_docs)]"), "{lib} no longer asks for documentation");
    }
}

#[test]
fn nothing_is_left_to_do() {
    let stubs = ["todo!(", "unimplemented!(", "dbg!("];
    let bad = lines_where(|file, line| file != "tests/it/tidy.rs" && stubs.iter().any(|s| line.contains(s)));
    assert!(bad.is_empty(), "stubs:\n{}", bad.join("\n"));
}

#[test]
fn files_are_short() {
    for extension in ["rs", "wgsl"] {
        for path in files(root(), extension) {
            let (name, lines) = (relative(&path), fs::read_to_string(&path).unwrap().lines().count());
            let excused = LONG.iter().any(|(file, _)| *file == name);
            assert!(lines <= LONGEST || excused, "{name} has {lines} lines; split it, or give a reason in LONG");
        }
    }
    for (file, reason) in LONG {
        assert!(root().join(file).exists() && !reason.is_empty(), "LONG names {file}, which is gone");
    }
}

#[test]
fn every_kernel_has_its_oracle_its_fast_path_and_its_shader() {
    let listed = fs::read_to_string(root().join("kernels/src/gpu/ladders.rs")).unwrap();
    let cases = files(&root().join("tests/it/parity"), "rs");
    let cases: String = cases.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    for entry in fs::read_dir(root().join("kernels/src")).unwrap() {
        let folder = entry.unwrap().path();
        let name = relative(&folder);
        if !folder.is_dir() || ["kernels/src/cpu", "kernels/src/gpu"].contains(&name.as_str()) {
            continue;
        }
        for file in ["mod.rs", "plain.rs", "cpu.rs", "gpu.rs"] {
            assert!(folder.join(file).exists(), "{name} lacks {file}");
        }
        assert!(!files(&folder, "wgsl").is_empty(), "{name} lacks a .wgsl");
        let kernel = name.rsplit('/').next().unwrap();
        assert!(listed.contains(&format!("crate::{kernel}::gpu::sources()")), "ladders.rs lacks the shaders of {name}");
        assert!(cases.contains(&format!("kernels::{kernel}::")), "tests/it/parity has no case of {name}");
    }
}

#[test]
fn nothing_knows_the_machine_it_was_written_on() {
    let homes = ["/home/", "/root/", "/work/", "/Users/", "C:\\Users"];
    for extension in ["rs", "wgsl", "toml", "md", "sh", "svg"] {
        for path in files(root(), extension) {
            if path.ends_with("tests/it/tidy.rs") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            for home in homes {
                assert!(!text.contains(home), "{} names a path of one machine: {home}", relative(&path));
            }
        }
    }
}

#[test]
fn every_file_says_what_it_is() {
    for path in files(root(), "rs").iter().chain(&files(root(), "wgsl")) {
        let text = fs::read_to_string(path).unwrap();
        let first = text.lines().find(|line| !line.starts_with("enable ")).unwrap_or_default(); // WGSL wants those first
        let allowed = ["cpu.rs", "gpu.rs", "plain.rs"].iter().any(|n| path.ends_with(n)); // the folder's mod.rs says it
        assert!(first.starts_with("//") || allowed, "{} does not say in its first line what it is", relative(path));
    }
}
