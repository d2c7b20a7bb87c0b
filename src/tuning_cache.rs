//! Which kernel variants the GPUs of this machine run best, kept from one process to the next: `rlhf/gpu-rungs.json` in
//! the user's cache folder.
//!
//! `RLHF_TUNE` says `off` (take the default rung), `on` (measure, on a software GPU too), or `half` (measure, and rungs
//! that round to half precision may win). Without it a real GPU measures and a software one does not.

use kernels::gpu::{Gpu, Tuning, TuningEvent};
use serde_json::{Map, Value, json};
use std::fs::{self, File};
use std::io::Error;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Gives `gpu` what earlier processes have measured; what it measures itself is saved at once, however this process ends.
pub fn attach(gpu: &Gpu) {
    match std::env::var("RLHF_TUNE").as_deref() {
        Ok("off") => gpu.set_tuning(Tuning::Off),
        Ok("on") => gpu.set_tuning(Tuning::On),
        Ok("half") => gpu.set_tuning(Tuning::Half),
        _ => {}
    }
    keep_in(cache_folder().map(|folder| folder.join("rlhf").join("gpu-rungs.json")), gpu);
}

fn keep_in(file: Option<PathBuf>, gpu: &Gpu) {
    let (name, adapter) = (gpu.name(), gpu.adapter());
    let earlier = file.as_deref().map_or_else(Map::new, |file| entries(&read(file), &adapter));
    let rung = |(key, entry): (String, Value)| Some((key, entry["rung"].as_str()?.to_string()));
    gpu.remember(earlier.into_iter().filter_map(rung));
    let cache = Mutex::new((file, Map::new()));
    gpu.on_tuning(move |event| match event {
        TuningEvent::Rejected { kernel, rung, why } => {
            eprintln!("{name}: rung {rung:?} of kernel {kernel} is not used here: {why}");
        }
        TuningEvent::Measured { key, rung, seconds } => {
            let mut cache = cache.lock().unwrap_or_else(|e| e.into_inner());
            let (file, measured) = &mut *cache;
            measured.insert(key.clone(), json!({"rung": rung, "microseconds": (seconds * 1e7).round() / 10.0}));
            let Some(path) = file else { return };
            if let Err(error) = save(path, &adapter, measured) {
                let path = path.display();
                eprintln!("{path}: cannot be written ({error}); rungs will be measured again next time");
                *file = None;
            }
        }
    });
}

/// Where the system keeps what can be made again.
fn cache_folder() -> Option<PathBuf> {
    let of = |variable: &str| std::env::var_os(variable).filter(|v| !v.is_empty()).map(PathBuf::from);
    of("XDG_CACHE_HOME").or_else(|| match std::env::consts::OS {
        "windows" => of("LOCALAPPDATA"),
        "macos" => of("HOME").map(|home| home.join("Library/Caches")),
        _ => of("HOME").map(|home| home.join(".cache")),
    })
}

/// By adapter, what each kernel runs for a class of shapes. A file that is damaged is as good as none.
fn read(file: &Path) -> Map<String, Value> {
    serde_json::from_str(&fs::read_to_string(file).unwrap_or_default()).unwrap_or_default()
}

fn entries(all: &Map<String, Value>, adapter: &str) -> Map<String, Value> {
    all.get(adapter).and_then(Value::as_object).cloned().unwrap_or_default()
}

/// Adds what this process has measured to what is in the file by now, one process at a time.
fn save(file: &Path, adapter: &str, measured: &Map<String, Value>) -> Result<(), Error> {
    fs::create_dir_all(file.parent().expect("a file in a folder"))?;
    let lock = File::create(file.with_extension("lock"))?;
    let _ = lock.lock(); // there are file systems that know no locks
    let mut all = read(file);
    let mut merged = entries(&all, adapter);
    merged.extend(measured.clone());
    all.insert(adapter.into(), Value::Object(merged));
    let partial = file.with_extension(format!("{}.partial", std::process::id()));
    fs::write(&partial, serde_json::to_vec_pretty(&all)?)?;
    fs::rename(partial, file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernels::{Device, Tensor, rms_norm};
    use std::sync::Arc;

    /// Several at once, each with a rung of its own, and an adapter that was there before.
    #[test]
    fn nothing_is_lost_between_processes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("new").join("gpu-rungs.json");
        save(&file, "other", &Map::from_iter([("old".to_string(), json!({"rung": "tile"}))])).unwrap();
        std::thread::scope(|threads| {
            for i in 0..8 {
                let file = &file;
                threads.spawn(move || {
                    let measured = Map::from_iter([(format!("kernel {i}"), json!({"rung": i}))]);
                    save(file, "this", &measured).unwrap();
                });
            }
        });
        let all = read(&file);
        assert_eq!((entries(&all, "this").len(), entries(&all, "other").len()), (8, 1));
        fs::write(&file, "{\"this\": 7").unwrap();
        save(&file, "this", &entries(&all, "other")).unwrap();
        assert_eq!(entries(&read(&file), "this")["old"]["rung"], "tile");
    }

    fn norm(file: PathBuf) -> Option<(String, Arc<Gpu>)> {
        let gpu = Gpu::open(None, true).map_err(|why| println!("SKIPPED: {why}")).ok()?;
        gpu.set_tuning(Tuning::On);
        keep_in(Some(file), &gpu);
        let x = Tensor::full(&Device::Gpu(gpu.clone()), &[8, 64], 1.5);
        rms_norm(&x, &x.rows(0..1).reshape(&[64]), 1e-5);
        Some((gpu.choices()[0].rung.clone(), gpu))
    }

    /// What one process has measured the next one takes, also when the file was edited by then.
    #[test]
    fn a_measurement_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gpu-rungs.json");
        let Some((rung, gpu)) = norm(file.clone()) else { return };
        let mut all = read(&file);
        let known = entries(&all, &gpu.adapter());
        let [(key, entry)] = &known.into_iter().collect::<Vec<_>>()[..] else { panic!("{all:?}") };
        assert!(key.starts_with("norm 0 4 7 0 0 0 ") && entry["rung"] == rung && entry["microseconds"].is_f64());
        let other = if rung == "tree 256" { "tree 64" } else { "tree 256" };
        all[&gpu.adapter()][key]["rung"] = other.into();
        fs::write(&file, Value::Object(all).to_string()).unwrap();
        assert_eq!(norm(file).unwrap().0, other);
    }
}
