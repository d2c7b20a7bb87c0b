//! Files that are there whole or not at all, also after a power cut.
use crate::error::{At, ModelError, Result};
use memmap2::Mmap;
use serde_json::Value;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Write beside, flush to the disk, rename over, flush the directory.
pub(crate) fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    rename(&write_beside(path, bytes)?, path)
}

/// The same of JSON, for people to read too.
pub(crate) fn write_json(path: &Path, json: &Value) -> Result<()> {
    write_atomic(path, json_text(json).as_bytes())
}

pub(crate) fn json_text(json: &Value) -> String {
    format!("{json:#}\n")
}

/// Write a file that has yet to be renamed to `path`.
pub(crate) fn write_beside(path: &Path, bytes: &[u8]) -> Result<PathBuf> {
    let beside = beside(path);
    let mut file = File::create(&beside).at("create", &beside)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).at("write", &beside)?;
    Ok(beside)
}

/// Was somebody stopped in `dir` between `write_beside` of this name and its renaming?
pub(crate) fn was_interrupted(dir: &Path, name: &str) -> bool {
    let ends = format!("-{name}");
    let left = |entry: std::io::Result<fs::DirEntry>| {
        entry.is_ok_and(|e| e.file_name().to_str().is_some_and(|n| n.starts_with(".tmp-") && n.ends_with(&ends)))
    };
    fs::read_dir(dir).is_ok_and(|mut entries| entries.any(left))
}

/// A name in the same directory that nobody else writes to, and that `remove_leftovers` knows.
pub(crate) fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".tmp-{}-{name}", std::process::id()))
}

pub(crate) fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).at("rename into place", to)?;
    sync_dir(to.parent().unwrap_or(Path::new(".")))
}

/// Remove what processes that are gone, and this one's earlier attempts, left half written in `dir`.
pub(crate) fn remove_leftovers(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir).at("list", dir)? {
        let path = entry.at("list", dir)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let pid = name.strip_prefix(".tmp-").and_then(|rest| rest.split('-').next()?.parse().ok());
        if pid.is_some_and(|pid| pid == std::process::id() || !is_alive(pid)) {
            match path.is_dir() {
                true => fs::remove_dir_all(&path).at("remove", &path)?,
                false => fs::remove_file(&path).at("remove", &path)?,
            }
        }
    }
    Ok(())
}

/// Where processes cannot be looked up, none is taken for dead.
fn is_alive(pid: u32) -> bool {
    let processes = Path::new("/proc");
    !processes.join("self").exists() || processes.join(pid.to_string()).exists()
}

/// Make the names in a directory durable. Windows has no such call, and needs none.
pub(crate) fn sync_dir(dir: &Path) -> Result<()> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    match cfg!(unix) {
        true => File::open(dir).and_then(|d| d.sync_all()).at("flush", dir),
        false => Ok(()),
    }
}

/// How many bytes a file has. What is no file is refused before it is opened: a pipe may never say anything, and a
/// device never end.
pub fn size_of(path: &Path) -> Result<u64> {
    let data = fs::metadata(path).at("read", path)?;
    let is = match data.is_dir() {
        _ if data.is_file() => return Ok(data.len()),
        true => "is a directory",
        false => "is a pipe or a device",
    };
    Err(ModelError::file(path, format!("{is}, where a file is expected"), "Put the file there."))
}

/// A text file of at most `limit` bytes, without the byte order mark that some editors begin it with.
pub(crate) fn read_text(path: &Path, limit: u64) -> Result<String> {
    let size = size_of(path)?;
    if size > limit {
        let problem = format!("{size} bytes, where at most {limit} are expected");
        return Err(ModelError::file(path, problem, "Is it the file you meant?"));
    }
    let mut text = fs::read_to_string(path).at("read", path)?;
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    Ok(text)
}

/// The bytes of a file, read when they are looked at.
#[allow(unsafe_code)]
pub(crate) fn map(path: &Path) -> Result<Mmap> {
    size_of(path)?;
    let file = File::open(path).at("open", path)?;
    // SAFETY: the map is read only. As everywhere with mapped files, nobody may truncate it meanwhile.
    unsafe { Mmap::map(&file) }.at("map", path)
}
