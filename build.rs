//! What `rlhf --version` says: the version, the commit where there is a repository, and the features.
use std::path::Path;
use std::process::Command;

fn main() {
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"]);
    if Path::new(&log).exists() {
        println!("cargo:rerun-if-changed={log}");
    }
    println!("cargo:rerun-if-changed=build.rs");
    let mut about: Vec<String> =
        Vec::from_iter(Some(git(&["rev-parse", "--short=10", "HEAD"])).filter(|c| !c.is_empty()));
    about.extend(["hub", "parquet"].into_iter().filter(|name| feature(name)).map(|name| format!("with {name}")));
    let about = if about.is_empty() { String::new() } else { format!(" ({})", about.join(", ")) };
    println!("cargo:rustc-env=RLHF_VERSION={}{about}", env!("CARGO_PKG_VERSION"));
}

fn feature(name: &str) -> bool {
    std::env::var_os(format!("CARGO_FEATURE_{}", name.to_uppercase())).is_some()
}

/// What git says, or nothing.
fn git(args: &[&str]) -> String {
    let out = Command::new("git").args(args).output().ok().filter(|out| out.status.success());
    out.and_then(|out| String::from_utf8(out.stdout).ok()).unwrap_or_default().trim().to_string()
}
