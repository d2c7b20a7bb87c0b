//! `rlhf devices`: what there is to compute on, and what `--device` would choose.

use crate::error::Result;
use crate::runlog::environment;
use crate::session;
use crate::session::Common;
use crate::training::room::room;
use kernels::Device;
use kernels::cpu::simd;
use kernels::gpu::{AdapterSummary, adapters};
use serde_json::{Value, json};

pub fn run(common: &Common) -> Result {
    session::check_device(&common.device)?;
    let found = adapters();
    let (chosen, why) = choice(&found);
    if common.json {
        let gpus: Vec<Value> = found.iter().map(describe).collect();
        let cpu = json!({
            "name": environment::cpu_model(),
            "features": environment::cpu_features(),
            "instructions": simd::isa().name(),
            "threads": common.threads(),
            "memory_bytes": environment::memory_bytes(),
            "memory_limit_bytes": may_take(),
        });
        println!("{}", json!({"cpu": cpu, "gpus": gpus, "auto": chosen, "why": why}));
        return Ok(());
    }
    let memory =
        environment::memory_bytes().map_or("unknown".into(), |b| format!("{:.1} GiB", b as f64 / f64::from(1 << 30)));
    let limit = may_take().filter(|&most| environment::memory_bytes().is_some_and(|all| most < all));
    let limit =
        limit.map_or(String::new(), |b| format!(" (of which it may take {:.1})", b as f64 / f64::from(1 << 30)));
    println!("cpu    {}", environment::cpu_model());
    println!("       {} threads, {memory}{limit}; has {}", common.threads(), environment::cpu_features().join(" "));
    println!("       kernels use {} (RLHF_SIMD chooses another)", simd::isa().name());
    for a in &found {
        println!("gpu:{}  {} ({}, {}, driver {})", a.index, a.name, a.kind, a.backend, a.driver);
        println!(
            "       buffers up to {} MiB, {} MiB at once; offers {}",
            a.max_buffer >> 20,
            a.max_binding >> 20,
            if a.features.is_empty() { "nothing beyond the base".into() } else { a.features.join(", ") }
        );
    }
    if found.is_empty() {
        println!("gpu    none found; on Linux it needs a Vulkan driver such as mesa-vulkan-drivers");
    }
    println!("\n--device auto takes {chosen}: {why}");
    Ok(())
}

/// Bytes of memory that the container and the limits of the process leave to us.
fn may_take() -> Option<u64> {
    room().map(|room| room.memory.min(room.addresses) as u64)
}

fn choice(found: &[AdapterSummary]) -> (String, &'static str) {
    match (Device::gpu(None, false), found.iter().any(|a| a.software)) {
        (Ok(gpu), _) => (gpu.name(), "it is a real GPU"),
        (Err(_), true) => {
            ("cpu".into(), "the only GPU is software, which is slower; --device gpu takes it all the same")
        }
        (Err(_), false) => ("cpu".into(), "there is no GPU"),
    }
}

fn describe(a: &AdapterSummary) -> Value {
    json!({
        "index": a.index,
        "name": a.name,
        "kind": a.kind,
        "backend": a.backend,
        "driver": a.driver,
        "software": a.software,
        "max_buffer_bytes": a.max_buffer,
        "max_binding_bytes": a.max_binding,
        "features": a.features,
    })
}
