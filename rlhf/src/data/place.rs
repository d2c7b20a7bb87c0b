//! Where a row was read.

use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a row was read: the file, and its line. No part of what the row says.
#[derive(Clone, Default)]
pub struct Place(Option<Arc<(PathBuf, usize)>>);

impl Place {
    /// Line `line` of the file, from 1.
    pub fn new(path: &Path, line: usize) -> Place {
        Place(Some(Arc::new((path.to_path_buf(), line))))
    }

    /// `file:line`
    pub fn name(&self) -> Option<String> {
        self.0.as_ref().map(|place| format!("{}:{}", place.0.display(), place.1))
    }
}

impl PartialEq for Place {
    fn eq(&self, _: &Place) -> bool {
        true
    }
}

impl Eq for Place {}

impl Hash for Place {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}
