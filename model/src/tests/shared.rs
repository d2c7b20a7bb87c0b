//! Files that tests compare with: small ones in tests/golden of the workspace, larger ones that may lie beside it. The
//! integration tests of the workspace use it too.
#![allow(unsafe_code)]
use std::collections::{BTreeMap, BTreeSet};
use std::env::var_os;
use std::ffi::c_int;
use std::io::{Write, stderr};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// What scripts/make_golden.py made.
pub fn golden(path: &str) -> PathBuf {
    workspace().join("tests/golden").join(path)
}

/// A file of ../shared beside the workspace, or of $RLHF_SHARED. Where it is not there the test goes on without, and the
/// last line of the test program says so; with `REQUIRE_SHARED=1` it fails.
pub fn shared(path: &str) -> Option<PathBuf> {
    let folder = var_os("RLHF_SHARED").map_or_else(|| workspace().join("../shared"), PathBuf::from);
    let file = folder.join(path);
    if !file.exists() {
        assert!(
            var_os("REQUIRE_SHARED").is_none_or(|v| v != "1"),
            "REQUIRE_SHARED=1, but there is no {}",
            file.display()
        );
        skipped(path);
        return None;
    }
    Some(file)
}

/// SmolLM2 as scripts/fetch_smollm2.sh gets it: the file that $RLHF_SMOLLM2 names. Nobody has to have it.
pub fn smollm2() -> Option<PathBuf> {
    let file = var_os("RLHF_SMOLLM2").map(PathBuf::from);
    if file.is_none() {
        skipped("$RLHF_SMOLLM2");
    }
    file
}

fn workspace() -> &'static Path {
    let mut above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    above.find(|folder| folder.join("Cargo.lock").exists()).expect("the workspace")
}

/// The tests that did without, and without what.
static SKIPPED: Mutex<BTreeMap<String, BTreeSet<String>>> = Mutex::new(BTreeMap::new());

fn skipped(what: &str) {
    let mut all = SKIPPED.lock().unwrap_or_else(|e| e.into_inner());
    if all.is_empty() {
        // SAFETY: `tell` does not unwind, and uses nothing that is gone by then.
        unsafe { atexit(tell) };
    }
    let thread = std::thread::current(); // has the name of the test that runs in it
    all.entry(thread.name().unwrap_or_default().into()).or_default().insert(what.into());
}

unsafe extern "C" {
    fn atexit(f: extern "C" fn()) -> c_int;
}

extern "C" fn tell() {
    let Ok(all) = SKIPPED.lock() else { return };
    let list = |of: &BTreeSet<String>| of.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let tests = all.iter().map(|(test, what)| format!("{test} ({})", list(what))).collect();
    let (tests, count) = (list(&tests), all.len());
    let _ = writeln!(stderr(), "{count} tests were skipped, or a part of them, for want of ../shared: {tests}");
}
