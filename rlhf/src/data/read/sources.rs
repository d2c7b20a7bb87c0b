//! What a path on the command line names: a file, or a folder with a file for each part of a data set; and how much of
//! it counts.

use std::path::{Path, PathBuf};

use kernels::Rng;

use crate::data::error::DataError;

/// A part of a data set, by the beginning of its files' names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// to learn from
    Train,
    /// What is held out while training: `valid`, `validation`, else `test`.
    HeldOut,
}

impl Part {
    fn names(self) -> &'static [&'static str] {
        match self {
            Part::Train => &["train"],
            Part::HeldOut => &["valid", "validation", "test"],
        }
    }
}

/// A file, and how often each of its rows counts.
pub struct Source {
    pub path: PathBuf,
    weight: f64,
    rng: Rng,
}

impl Source {
    /// How often row `at` counts: the weight, rounded up or down at random; the same for the same file name, whatever
    /// else is read.
    pub fn times(&self, at: usize) -> usize {
        let whole = self.weight.floor();
        whole as usize + usize::from((self.rng.unit_at(at as u64) as f64) < self.weight - whole)
    }
}

pub fn sources<P: AsRef<Path>>(paths: &[P]) -> Result<Vec<Source>, DataError> {
    let mut found = vec![];
    for path in paths {
        let (path, weight) = weighted(path.as_ref())?;
        let files = if path.is_dir() { files_of(&path, Part::Train)? } else { vec![path] };
        found.extend(files.into_iter().map(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Source { path, weight, rng: Rng::new(0).stream(&name) }
        }));
    }
    Ok(found)
}

/// `file.jsonl=0.5`
fn weighted(path: &Path) -> Result<(PathBuf, f64), DataError> {
    let text = path.to_string_lossy();
    let Some((file, weight)) = text.rsplit_once('=').filter(|_| !path.exists()) else { return Ok((path.into(), 1.0)) };
    match weight.parse::<f64>() {
        Ok(weight) if (0.0..=1000.0).contains(&weight) => Ok((file.into(), weight)),
        _ => Err(DataError::Weight { path: file.into(), weight: weight.to_string() }),
    }
}

/// Is this a folder with parts of a data set?
pub fn is_data_folder(dir: &Path) -> bool {
    [Part::Train, Part::HeldOut].into_iter().any(|part| files_of(dir, part).is_ok())
}

/// The files of one part, in the folder or in `data` below it, by name; `train.jsonl` or `train-00000-of-00002.parquet`.
pub fn files_of(dir: &Path, part: Part) -> Result<Vec<PathBuf>, DataError> {
    let is_part = |path: &Path, wanted: &str| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.strip_prefix(wanted).is_some_and(|rest| rest.starts_with(['.', '-', '_'])) && path.is_file()
    };
    for wanted in part.names() {
        for folder in [dir.to_path_buf(), dir.join("data")] {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            let mut files: Vec<PathBuf> =
                entries.map(|entry| entry.path()).filter(|path| is_part(path, wanted)).collect();
            files.sort();
            if !files.is_empty() {
                return Ok(files);
            }
        }
    }
    Err(DataError::Folder { path: dir.to_path_buf(), expected: part.names().join(", ") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_repeat_and_leave_out() {
        let source = |weight| Source { path: "a".into(), weight, rng: Rng::new(0).stream("a") };
        assert_eq!((0..9).map(|at| source(2.0).times(at)).sum::<usize>(), 18);
        assert_eq!((0..9).map(|at| source(0.0).times(at)).sum::<usize>(), 0);
        let half: Vec<usize> = (0..2000).map(|at| source(1.5).times(at)).collect();
        assert!(half.iter().all(|&times| times == 1 || times == 2));
        assert!((2900..3100).contains(&half.iter().sum::<usize>()), "{}", half.iter().sum::<usize>());
    }

    #[test]
    fn a_weight_is_what_follows_the_last_equals_sign_of_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let odd = dir.path().join("lr=1.jsonl");
        std::fs::write(&odd, "").unwrap();
        assert_eq!(weighted(&odd).unwrap(), (odd.clone(), 1.0));
        assert_eq!(weighted(Path::new("a=b.jsonl=0.25")).unwrap(), ("a=b.jsonl".into(), 0.25));
        for wrong in ["a.jsonl=half", "a.jsonl=-1", "a.jsonl=1e9", "a.jsonl="] {
            assert!(weighted(Path::new(wrong)).unwrap_err().to_string().contains("a.jsonl"), "{wrong}");
        }
    }

    #[test]
    fn folders_have_parts() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_data_folder(dir.path()));
        let error = files_of(dir.path(), Part::Train).unwrap_err().to_string();
        assert!(error.contains("train"), "{error}");
        std::fs::create_dir(dir.path().join("data")).unwrap();
        for name in ["data/train-00001-of-2.jsonl", "data/train-00000-of-2.jsonl", "test.jsonl", "training.md"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let names = |part| -> Vec<String> {
            let files = files_of(dir.path(), part).unwrap();
            files.iter().map(|file| file.file_name().unwrap().to_string_lossy().into_owned()).collect()
        };
        assert_eq!(names(Part::Train), ["train-00000-of-2.jsonl", "train-00001-of-2.jsonl"]);
        assert_eq!(names(Part::HeldOut), ["test.jsonl"]);
        assert!(is_data_folder(dir.path()));
    }
}
