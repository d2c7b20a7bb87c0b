//! `environment.json`: what a run ran on, so that its figures can be judged later.

use serde_json::{Value, json};

/// Program, processor, memory, operating system and device. Names no user and no path.
pub fn describe(device: &str, threads: usize) -> Value {
    json!({
        "program": concat!("rlhf ", env!("RLHF_VERSION")),
        "build": if cfg!(debug_assertions) { "debug assertions on" } else { "release" },
        "os": std::env::consts::OS,
        "arch": std::env::consts::ARCH,
        "cpu": cpu_model(),
        "cpu_features": cpu_features(),
        "threads": threads,
        "memory_bytes": memory_bytes(),
        "device": device,
    })
}

/// The processor's name as the kernel reports it; "unknown" where it does not.
pub fn cpu_model() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = info.lines().find(|l| l.starts_with("model name"));
    line.and_then(|l| l.split_once(':')).map_or("unknown".into(), |(_, name)| name.trim().to_string())
}

/// The instruction sets that our kernels choose between.
#[cfg(target_arch = "x86_64")]
pub fn cpu_features() -> Vec<&'static str> {
    let mut found = Vec::new();
    if is_x86_feature_detected!("avx2") {
        found.push("avx2");
    }
    if is_x86_feature_detected!("fma") {
        found.push("fma");
    }
    if is_x86_feature_detected!("avx512f") {
        found.push("avx512f");
    }
    if is_x86_feature_detected!("avx512bf16") {
        found.push("avx512bf16");
    }
    if kernels::cpu::simd::Isa::Amx.is_available() {
        found.push("amx-bf16");
    }
    found
}

#[cfg(target_arch = "aarch64")]
pub fn cpu_features() -> Vec<&'static str> {
    vec!["neon"]
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub fn cpu_features() -> Vec<&'static str> {
    Vec::new()
}

/// Main memory in bytes, from /proc/meminfo; `None` on other systems.
pub fn memory_bytes() -> Option<u64> {
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find(|l| l.starts_with("MemTotal:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// The most memory this process has held, in bytes (`VmHWM`).
pub fn peak_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}
