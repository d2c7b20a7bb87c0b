//! What can be checked of the runtime with a GPU.
mod shaders;

use super::*;
use crate::{Binary, Tensor, Unary, map, zip};
use std::sync::Arc;

/// A GPU for the tests below, software or not; `None` (and why, printed) where there is none.
/// `REQUIRE_GPU=1` makes that a failure.
fn gpu() -> Option<Arc<Gpu>> {
    match Gpu::open(None, true) {
        Ok(gpu) => Some(gpu),
        Err(why) if std::env::var("REQUIRE_GPU").is_ok_and(|v| v == "1") => panic!("{why}"),
        Err(why) => {
            println!("SKIPPED: {why}");
            None
        }
    }
}

fn tensor(gpu: &Arc<Gpu>, data: &[f32]) -> Tensor {
    Tensor::on_gpu(gpu.upload(bytemuck::cast_slice(data)), &[data.len()])
}

/// An upload must not overtake a recorded dispatch that still reads the recycled memory.
#[test]
fn uploads_wait_for_recorded_readers() {
    let Some(gpu) = gpu() else { return };
    let a = tensor(&gpu, &[1.0; 4096]);
    let doubled = map(Unary::Scale, &a, [2.0, 0.0]);
    drop(a);
    let b = tensor(&gpu, &[100.0; 4096]);
    assert_eq!(doubled.to_vec(), [2.0; 4096]);
    assert_eq!(b.to_vec(), [100.0; 4096]);
}

/// A chain of 1000 ops, every temporary dropped at once: two buffers do, and few submissions.
#[test]
fn long_chains_reuse_buffers() {
    let Some(gpu) = gpu() else { return };
    let mut x = tensor(&gpu, &[1.0; 5000]);
    gpu.sync();
    let before = gpu.counts();
    for _ in 0..1000 {
        x = map(Unary::Scale, &x, [1.001, 0.0]);
    }
    let want = (0..1000).fold(1f32, |y, _| y * 1.001);
    assert_eq!(x.to_vec(), vec![want; 5000]);
    let after = gpu.counts();
    assert_eq!(after.dispatches - before.dispatches, 1000);
    assert_eq!(after.submissions - before.submissions, 1000u64.div_ceil(64));
    assert!(after.used_bytes + after.pooled_bytes <= before.used_bytes + before.pooled_bytes + (1 << 15));
}

#[test]
fn buffers_return_to_the_pool_and_are_released_from_it() {
    let Some(gpu) = gpu() else { return };
    drop(gpu.empty(100_000));
    let pooled = gpu.counts().pooled_bytes;
    assert!(pooled >= 400_000);
    let again = gpu.empty(99_000);
    assert!(gpu.counts().pooled_bytes < pooled && gpu.counts().used_bytes >= 400_000);
    drop(again);
    gpu.release_pool();
    assert_eq!(gpu.counts().pooled_bytes, 0);
}

/// 20 million elements are 78,125 workgroups: more than one axis of a grid holds.
#[test]
fn large_grids_fold() {
    let Some(gpu) = gpu() else { return };
    let n = 20_000_003;
    let x = crate::elementwise::gpu::full(&gpu, &[n], 3.0);
    let y = map(Unary::Shift, &x, [0.5, 0.0]);
    let [first, last] = [0..5, n - 5..n].map(|range| gpu.read(&[(&y.buffer().0.clone(), range)]).pop().unwrap());
    assert_eq!(first, vec![3.5f32.to_bits(); 5]);
    assert_eq!(last, vec![3.5f32.to_bits(); 5]);
    assert_eq!(crate::sum(&crate::map(Unary::Shift, &y, [-3.0, 0.0])).item(), n as f32 / 2.0);
}

/// Element-wise kernels take chunks of arrays that one binding cannot cover.
#[test]
fn arrays_beyond_one_binding() {
    let Some(gpu) = gpu() else { return };
    if gpu.max_binding_words() > 1 << 26 {
        return println!("SKIPPED: {} binds more than this test wants to allocate", gpu.name());
    }
    let n = gpu.max_binding_words() + 1000;
    let mut x = crate::elementwise::gpu::full(&gpu, &[n], 1.0);
    crate::scale_in_place(&mut x, 2.0);
    crate::add_at(&mut x, n - 10, 1.0, &tensor(&gpu, &[5.0; 10]));
    let last = gpu.read(&[(&x.buffer().0.clone(), n - 11..n)]).pop().unwrap();
    let last: Vec<f32> = last.into_iter().map(f32::from_bits).collect();
    assert_eq!(last, [2.0, 7.0, 7.0, 7.0, 7.0, 7.0, 7.0, 7.0, 7.0, 7.0, 7.0]);
    assert_eq!(crate::count_non_finite(&x).item(), 0.0);
}

#[test]
fn several_ranges_in_one_read() {
    let Some(gpu) = gpu() else { return };
    let (a, b) = (gpu.upload(&[1, 2, 3, 4]), gpu.upload(&[10, 20]));
    assert_eq!(
        gpu.read(&[(&a, 1..3), (&b, 0..2), (&a, 0..0), (&a, 3..4)]),
        [vec![2, 3], vec![10, 20], vec![], vec![4]]
    );
    assert_eq!(gpu.read(&[(&gpu.copy(&a, 2, 2), 0..2)]), [[3, 4]]);
}

/// A view off the grid of 64 words is copied before it is read.
#[test]
fn views_anywhere_can_be_read() {
    let Some(gpu) = gpu() else { return };
    let x = tensor(&gpu, &(0..300).map(|i| i as f32).collect::<Vec<_>>());
    let (a, b) = (x.view(7, &[5]), x.view(128, &[5]));
    assert_eq!(zip(Binary::Add, &a, &b, [0.0; 2]).to_vec(), [135.0, 137.0, 139.0, 141.0, 143.0]);
}

/// In place means in place unless somebody else looks.
#[test]
fn writing_copies_what_is_shared() {
    let Some(gpu) = gpu() else { return };
    let mut x = tensor(&gpu, &[1.0, 2.0]);
    let kept = x.clone();
    crate::scale_in_place(&mut x, 3.0);
    assert_eq!((x.to_vec(), kept.to_vec()), (vec![3.0, 6.0], vec![1.0, 2.0]));
}

/// What the machine cannot do is told from bugs by its type.
#[test]
fn faults_of_the_device_are_thrown_as_what_they_are() {
    let Some(gpu) = gpu() else { return };
    let words = gpu.max_buffer_bytes() as usize / 4 + 1;
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| gpu.empty(words).words())).unwrap_err();
    let fault = panic.downcast_ref::<crate::DeviceFault>().expect("a fault of the device");
    assert!(matches!(fault, crate::DeviceFault::ArrayTooLarge { .. }), "{fault}");
    let most = gpu.max_buffer_bytes() >> 20;
    assert!(fault.to_string().contains(&format!("allows at most {most} MiB in one buffer. Use a smaller batch")));
}

#[test]
#[should_panic(expected = "reads and writes one buffer")]
fn one_buffer_is_not_read_and_written() {
    let Some(gpu) = gpu() else { panic!("reads and writes one buffer (no GPU to try)") };
    let x = tensor(&gpu, &[1.0; 128]);
    let parts = [wgsl::GRID, "struct P { n: u32 } @group(0) @binding(0) var<uniform> p: P;"];
    gpu.run(&Kernel { name: "alias", parts: &parts, consts: &[] }, [1, 1, 1], &[1], &[read(&x), write(&x)]);
}

#[test]
#[should_panic(expected = "kernel broken does not compile")]
fn a_shader_that_does_not_compile_says_so() {
    let Some(gpu) = gpu() else { panic!("kernel broken does not compile (no GPU to try)") };
    let kernel = Kernel { name: "broken", parts: &["fn main( {"], consts: &[] };
    gpu.run(&kernel, [1, 1, 1], &[1], &[]);
}

/// The reduction of a workgroup without its first barrier: what a validation layer must report.
#[test]
#[ignore = "of use only under a validation layer: tests/gpu/legs race"]
fn a_kernel_without_its_barrier() {
    let Some(gpu) = gpu() else { return };
    let broken: &'static str = wgsl::WORKGROUP.replacen("workgroupBarrier();", "", 1).leak();
    let main = "struct P { n: u32 } @group(0) @binding(0) var<uniform> p: P;
        @group(0) @binding(1) var<storage, read_write> y: array<f32>;
        @compute @workgroup_size(THREADS) fn main(@builtin(local_invocation_index) lane: u32) { y[lane] = total(lane, y[lane]); }";
    let y = tensor(&gpu, &[1.0; 64]);
    let kernel = Kernel { name: "race", parts: &[broken, main], consts: &[("THREADS", 64)] };
    gpu.run(&kernel, [1, 1, 1], &[64], &[write(&y)]);
    println!("{:?}", &y.to_vec()[..4]);
}
