//! Checkpoints: killed at any moment, flipped, truncated; a whole one is always found, and no other.
use crate::checkpoint::{Checkpoint, latest, save, verify};
use kernels::{Rng, Tensor};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

/// Numbers that tell which step they are of.
fn numbers(step: u64, len: usize) -> Tensor {
    let rng = Rng::new(step);
    Tensor::new(&[len], (0..len as u64).map(|i| rng.unit_at(i)).collect())
}

fn put(dir: &Path, step: u64) -> PathBuf {
    let (p, m) = (numbers(step, 100), numbers(step + 1000, 60).reshape(&[6, 10]));
    save(dir, step, &[("p", &p), ("m", &m)], json!({"loss": step as f64 / 3.0}), 3).unwrap()
}

fn get(dir: &Path) -> Checkpoint {
    let found = latest(dir).unwrap().expect("a checkpoint");
    assert_eq!(found.tensor("p").unwrap().to_vec(), numbers(found.step, 100).to_vec());
    assert_eq!(found.tensor("m").unwrap().shape(), [6, 10]);
    assert_eq!(found.meta["loss"].as_f64(), Some(found.step as f64 / 3.0));
    found
}

#[test]
fn the_newest_is_found_and_few_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("new/checkpoints");
    assert!(latest(&dir).unwrap().is_none());
    for step in [5, 10, 15, 20, 1_000_000, 1_000_001] {
        put(&dir, step);
        assert_eq!(get(&dir).step, step);
    }
    let mut names: Vec<_> = fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["step-000020", "step-1000000", "step-1000001"]);
    put(&dir, 1_000_001); // again: replaced
    assert_eq!(get(&dir).step, 1_000_001);
    let error = save(&dir, 7, &[("p", &numbers(7, 1))], json!(null), 3).unwrap_err();
    assert!(error.to_string().contains("later step"), "{error}");
}

#[test]
fn every_flipped_bit_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), 1);
    let path = put(dir.path(), 2);
    let mut draws = Rng::new(6).draws();
    for name in ["tensors.safetensors", "meta.json", "MANIFEST.json"] {
        let (file, whole) = (path.join(name), fs::read(path.join(name)).unwrap());
        let all: Vec<usize> = (0..8 * whole.len()).collect();
        let some: Vec<usize> = (0..400).map(|_| draws.below(8 * whole.len())).collect();
        for bit in if name == "MANIFEST.json" { all } else { some } {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(&file, flipped).unwrap();
            assert!(verify(&path, 2).is_err(), "bit {bit} of {name}");
        }
        let found = get(dir.path());
        assert_eq!((found.step, found.damaged.len()), (1, 1));
        assert!(found.damaged[0].to_string().contains("step-000002"), "{}", found.damaged[0]);
        fs::write(&file, whole).unwrap();
    }
    assert_eq!(get(dir.path()).step, 2);
}

#[test]
fn cut_and_missing_files_are_noticed() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), 1);
    for name in ["tensors.safetensors", "meta.json", "MANIFEST.json"] {
        let path = put(dir.path(), 2);
        let whole = fs::read(path.join(name)).unwrap();
        for length in [0, 1, whole.len() / 2, whole.len() - 1] {
            fs::write(path.join(name), &whole[..length]).unwrap();
            assert_eq!(get(dir.path()).step, 1);
        }
        fs::remove_file(path.join(name)).unwrap();
        assert_eq!(get(dir.path()).step, 1);
    }
    put(dir.path(), 2); // over the damaged one
    assert_eq!(get(dir.path()).step, 2);
    for step in ["step-000001", "step-000002"] {
        fs::remove_file(dir.path().join(step).join("meta.json")).unwrap();
    }
    let error = latest(dir.path()).err().unwrap().to_string();
    assert!(error.contains("no checkpoint here is whole") && error.contains("Remove"), "{error}");
}

/// As a killed process leaves it after any number of its system calls: the temporary directory with the
/// first files of a save, the last of them cut, and never the rename.
#[test]
fn a_kill_leaves_nothing_to_trip_over() {
    let elsewhere = tempfile::tempdir().unwrap();
    let whole = put(elsewhere.path(), 2);
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), 1);
    let files = ["tensors.safetensors", "meta.json", "MANIFEST.json"];
    for written in 0..=files.len() {
        for cut in [0.0, 0.5, 1.0] {
            let temporary = dir.path().join(".tmp-4000000000-2"); // no system has such a process
            fs::create_dir(&temporary).unwrap();
            for (i, name) in files.iter().enumerate().take(written) {
                let bytes = fs::read(whole.join(name)).unwrap();
                let keep = if i + 1 == written { (bytes.len() as f64 * cut) as usize } else { bytes.len() };
                fs::write(temporary.join(name), &bytes[..keep]).unwrap();
            }
            assert_eq!(get(dir.path()).step, 1);
            assert!(!temporary.exists(), "left behind after {written} files");
        }
    }
}

#[test]
fn a_failed_save_keeps_what_was_there() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), 1);
    fs::write(dir.path().join("file"), "").unwrap();
    assert!(save(&dir.path().join("file"), 2, &[], json!(null), 2).is_err());
    assert_eq!(get(dir.path()).step, 1);
}

/// A second process saves in a loop and is killed at random moments; the directory is always in order.
#[test]
fn killed_while_saving() {
    let dir = tempfile::tempdir().unwrap();
    const CHILD: &str = "RLHF_TEST_SAVES_INTO";
    if let Some(dir) = std::env::var_os(CHILD) {
        for step in 1.. {
            let t = numbers(step, 100_000);
            save(Path::new(&dir), step, &[("p", &t)], json!(step), 2).unwrap();
        }
    }
    let mut draws = Rng::new(1).draws();
    let mut best = 0;
    for round in 0..12 {
        let _ = fs::remove_dir_all(dir.path().join("run"));
        let run = dir.path().join("run");
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tests::checkpoints::killed_while_saving"])
            .env(CHILD, &run)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(50 + draws.below(400) as u64));
        child.kill().unwrap();
        child.wait().unwrap();
        if let Some(found) = latest(&run).unwrap() {
            assert!(found.damaged.is_empty(), "round {round}: {}", found.damaged[0]);
            assert_eq!(found.tensor("p").unwrap().to_vec(), numbers(found.step, 100_000).to_vec());
            best = best.max(found.step);
            let hidden = fs::read_dir(&run)
                .unwrap()
                .filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().starts_with('.'));
            assert_eq!(hidden.count(), 0);
        }
    }
    assert!(best > 0, "no child lived long enough to save once");
}
