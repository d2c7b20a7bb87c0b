//! Checkpoints that survive a power cut.
//!
//! ```text
//! DIR/.tmp-PID-STEP/   tensors.safetensors, meta.json    written and flushed
//!                      MANIFEST.json                     size and SHA-256 of each, written last, flushed
//! DIR/step-000123/     the same directory, renamed; then DIR itself is flushed
//! ```
//! There is no pointer to the latest: the newest directory whose manifest holds is it. What a killed process
//! left behind is removed at the next start. At least two are kept, so that one damaged disk block does not
//! end a run.
use crate::error::{At, ModelError, Result};
use crate::files::atomic::{read_text, remove_leftovers, rename, sync_dir, write_atomic};
use crate::files::safetensors::{self, Archive, Array};
use kernels::{Device, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

const FORMAT: u32 = 1;
const TENSORS: &str = "tensors.safetensors";
const META: &str = "meta.json";
const MANIFEST: &str = "MANIFEST.json";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    format: u32,
    step: u64,
    files: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    size: u64,
    sha256: String,
}

/// Checkpoint of a training run: what was saved, on the CPU.
pub struct Checkpoint {
    /// Its directory.
    pub path: PathBuf,
    /// After how many steps it was saved.
    pub step: u64,
    /// Arrays by the names that they were saved under.
    pub tensors: BTreeMap<String, Tensor>,
    /// What else was saved.
    pub meta: Value,
    /// Newer ones that were passed over, and what is wrong with each: to be told to the user.
    pub damaged: Vec<ModelError>,
}

impl Checkpoint {
    /// One of its arrays, by the name it was saved under.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn tensor(&self, name: &str) -> Result<&Tensor> {
        self.tensors.get(name).ok_or_else(|| {
            let remedy = "It was saved by another kind of run: resume with the command that wrote it.";
            ModelError::file(&self.path, format!("has no array `{name}`"), remedy)
        })
    }
}

/// Saves under DIR/step-N; returns that path. Afterwards only the newest `keep` (at least 2) remain.
///
/// # Errors
/// What cannot be written, numbers that are not finite, and a checkpoint of a later step that is whole.
pub fn save(dir: &Path, step: u64, tensors: &[(&str, &Tensor)], meta: Value, keep: usize) -> Result<PathBuf> {
    fs::create_dir_all(dir).at("create", dir)?;
    remove_leftovers(dir)?;
    make_way(dir, step)?;
    let temporary = dir.join(format!(".tmp-{}-{step}", std::process::id()));
    let written = write(&temporary, step, tensors, &meta);
    if written.is_err() {
        let _ = fs::remove_dir_all(&temporary); // a full disk: leave no half
    }
    written?;
    let path = dir.join(format!("step-{step:06}"));
    rename(&temporary, &path)?;
    let mut all = steps(dir)?;
    while all.len() > keep.max(2) {
        let (_, oldest) = all.remove(0);
        fs::remove_dir_all(&oldest).at("remove", &oldest)?;
    }
    Ok(path)
}

fn write(temporary: &Path, step: u64, tensors: &[(&str, &Tensor)], meta: &Value) -> Result<()> {
    fs::create_dir(temporary).at("create", temporary)?;
    let on_cpu: Vec<Tensor> = tensors.iter().map(|(_, tensor)| tensor.to(&Device::Cpu)).collect();
    let arrays: Vec<Array> = tensors
        .iter()
        .zip(&on_cpu)
        .map(|((name, _), t)| Array { name: name.to_string(), shape: t.shape().to_vec(), numbers: t.data().into() })
        .collect();
    safetensors::write(&temporary.join(TENSORS), &arrays)?;
    write_atomic(&temporary.join(META), meta.to_string().as_bytes())?;
    let files = [TENSORS, META].map(|name| {
        let path = temporary.join(name);
        let (size, sha256) = digest(&path).at("read", &path)?;
        Ok(Entry { name: name.into(), size, sha256 })
    });
    let files = files.into_iter().collect::<Result<Vec<_>>>()?;
    let manifest = serde_json::to_string(&Manifest { format: FORMAT, step, files }).expect("plain data");
    write_atomic(&temporary.join(MANIFEST), manifest.as_bytes())?;
    sync_dir(temporary)
}

/// The newest checkpoint that is whole. None where there is none at all.
///
/// # Errors
/// All that there are are damaged.
pub fn latest(dir: &Path) -> Result<Option<Checkpoint>> {
    if !dir.exists() {
        return Ok(None);
    }
    remove_leftovers(dir)?;
    let mut damaged = Vec::new();
    for (step, path) in steps(dir)?.into_iter().rev() {
        match read(&path, step) {
            Ok((tensors, meta)) => return Ok(Some(Checkpoint { path, step, tensors, meta, damaged })),
            Err(error) => damaged.push(error),
        }
    }
    match damaged.into_iter().next() {
        None => Ok(None),
        Some(newest) => {
            let problem = format!("no checkpoint here is whole; of the newest: {newest}");
            Err(ModelError::file(dir, problem, "Remove the directory to start from the beginning."))
        }
    }
}

fn read(path: &Path, step: u64) -> Result<(BTreeMap<String, Tensor>, Value)> {
    verify(path, step)?;
    let archive = Archive::open(&path.join(TENSORS))?;
    let mut tensors = BTreeMap::new();
    for name in archive.names() {
        let shape = archive.shape(&name).expect("named by the archive").to_vec();
        tensors.insert(name.clone(), Tensor::new(&shape, archive.read(&name)?));
    }
    let meta = read_text(&path.join(META), 1 << 30)?;
    let meta = serde_json::from_str(&meta).map_err(|e| damage(path, format!("{META}: {e}")))?;
    Ok((tensors, meta))
}

/// Is every file there, and every bit as it was written?
///
/// # Errors
/// The first that is not.
pub fn verify(path: &Path, step: u64) -> Result<()> {
    let text = read_text(&path.join(MANIFEST), 1 << 20)?;
    let manifest: Manifest = serde_json::from_str(&text).map_err(|e| damage(path, format!("{MANIFEST}: {e}")))?;
    if serde_json::to_string(&manifest).expect("plain data") != text {
        return Err(damage(path, format!("{MANIFEST} is not as it was written")));
    }
    if manifest.format != FORMAT {
        let problem = format!("format {} of checkpoints, {FORMAT} is expected", manifest.format);
        return Err(ModelError::file(path, problem, "Resume with the version of rlhf that wrote it."));
    }
    let names: Vec<&str> = manifest.files.iter().map(|entry| &entry.name[..]).collect();
    if manifest.step != step || names != [TENSORS, META] {
        return Err(damage(path, format!("{MANIFEST} is of step {} with {names:?}", manifest.step)));
    }
    for entry in &manifest.files {
        let file = path.join(&entry.name);
        let size = fs::metadata(&file).at("read", &file)?.len();
        if size != entry.size {
            return Err(damage(&file, format!("{size} bytes, {} were written", entry.size)));
        }
        if digest(&file).at("read", &file)?.1 != entry.sha256 {
            return Err(damage(&file, "its bits are not those that were written"));
        }
    }
    Ok(())
}

fn damage(path: &Path, problem: impl Into<String>) -> ModelError {
    ModelError::file(path, problem, "The checkpoint is damaged; an older one can be resumed from.")
}

fn digest(path: &Path) -> io::Result<(u64, String)> {
    let (mut file, mut hash, mut size) = (File::open(path)?, Sha256::new(), 0);
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n => {
                hash.update(&buffer[..n]);
                size += n as u64;
            }
        }
    }
    Ok((size, hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()))
}

/// All step-N directories, oldest first.
fn steps(dir: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).at("list", dir)? {
        let path = entry.at("list", dir)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(step) = name.strip_prefix("step-").and_then(|n| n.parse().ok()) {
            found.push((step, path));
        }
    }
    found.sort();
    Ok(found)
}

/// A run that resumed from an older checkpoint comes upon the damaged newer ones again: they go. Whole ones
/// that are newer belong to another run, which nobody asked to be ended.
fn make_way(dir: &Path, step: u64) -> Result<()> {
    for (other, path) in steps(dir)?.into_iter().filter(|(other, _)| *other >= step) {
        if other > step && verify(&path, other).is_ok() {
            let problem = format!("a checkpoint of a later step than {step} is already here");
            return Err(ModelError::file(&path, problem, "Resume that run, or write to another directory."));
        }
        let away = dir.join(format!(".tmp-{}-old-{other}", std::process::id()));
        fs::rename(&path, &away).at("move away", &path)?;
        fs::remove_dir_all(&away).at("remove", &away)?;
    }
    Ok(())
}
