//! Every kernel three times: the plain loop in f64 is right by reading it, the fast CPU code and the
//! WGSL must agree with it on shapes that do not fit tiles. On a GPU each case also runs twice and must
//! give the same bits, the second time in memory that other kernels have used.
use kernels::{Device, Rng, Tensor};

mod attention;
mod linear;
mod rows;
mod rungs;

/// One call of one kernel.
pub struct Case {
    /// The kernel, and the shapes.
    pub kernel: &'static str,
    pub shapes: String,
    /// The kernel's results on some device, back on the host.
    pub run: Box<dyn Fn(&Device) -> Vec<Vec<f32>>>,
    /// The same from the plain loop.
    pub want: Vec<Vec<f64>>,
    /// Largest difference from the plain loop, relative to the largest number of an array (at least 1).
    pub within: f64,
}

/// A case whose inputs are random arrays: `run` gets them on its device, `plain` in f64.
pub fn case(
    kernel: &'static str,
    inputs: Vec<(Vec<usize>, f32)>,
    run: impl Fn(&[Tensor]) -> Vec<Tensor> + 'static,
    plain: impl Fn(&[Vec<f64>]) -> Vec<Vec<f64>>,
) -> Case {
    let shapes = inputs.iter().map(|(shape, _)| format!("{shape:?}")).collect::<Vec<_>>().join(" ");
    let rng = Rng::new(7).stream(kernel);
    let data: Vec<Vec<f32>> =
        inputs.iter().zip(0..).map(|((shape, std), i)| normals(rng.fold(i), shape.iter().product(), *std)).collect();
    let wide: Vec<Vec<f64>> = data.iter().map(|x| x.iter().map(|&x| x as f64).collect()).collect();
    let want = plain(&wide);
    let run = move |device: &Device| {
        let arrays: Vec<Tensor> =
            inputs.iter().zip(&data).map(|((shape, _), x)| Tensor::from_slice(device, shape, x)).collect();
        let outputs = run(&arrays);
        kernels::read_all(&outputs.iter().collect::<Vec<_>>())
    };
    Case { kernel, shapes, run: Box::new(run), want, within: 2e-5 }
}

impl Case {
    pub fn within(self, within: f64) -> Case {
        Case { within, ..self }
    }

    pub fn noting(self, note: &str) -> Case {
        Case { shapes: format!("{} {note}", self.shapes), ..self }
    }
}

pub fn normals(rng: Rng, n: usize, std: f32) -> Vec<f32> {
    (0..n as u64).map(|i| std * rng.normal_at(i)).collect()
}

pub fn all() -> Vec<Case> {
    [attention::cases(), linear::cases(), rows::cases()].into_iter().flatten().collect()
}

/// The largest difference, relative to the largest number of the array (at least 1).
fn error(got: &[Vec<f32>], want: &[Vec<f64>]) -> f64 {
    assert_eq!(got.len(), want.len(), "number of results");
    let mut worst = 0f64;
    for (got, want) in got.iter().zip(want) {
        assert_eq!(got.len(), want.len(), "size of a result");
        let size = want.iter().fold(1f64, |most, x| most.max(x.abs()));
        for (&got, &want) in got.iter().zip(want) {
            let difference = (got as f64 - want).abs() / size;
            worst = if difference.is_finite() { worst.max(difference) } else { f64::INFINITY };
        }
    }
    worst
}

/// Runs all cases on `device`, prints the worst error of each kernel, and fails if one is too large.
fn check(device: &Device) {
    let mut table: Vec<(&str, f64, String)> = Vec::new();
    let mut failures = Vec::new();
    for case in all() {
        let got = (case.run)(device);
        let worst = error(&got, &case.want);
        if worst > case.within || worst.is_nan() {
            failures.push(format!("{} {}: {worst:.1e} > {:.0e}", case.kernel, case.shapes, case.within));
        }
        if device.is_gpu() {
            let bits = |x: &[Vec<f32>]| x.concat().into_iter().map(f32::to_bits).collect::<Vec<_>>();
            if bits(&got) != bits(&(case.run)(device)) {
                failures.push(format!("{} {}: other bits the second time", case.kernel, case.shapes));
            }
        }
        match table.iter_mut().find(|row| row.0 == case.kernel) {
            Some(row) if row.1 >= worst => {}
            Some(row) => *row = (case.kernel, worst, case.shapes),
            None => table.push((case.kernel, worst, case.shapes)),
        }
    }
    println!("worst error against the plain loop in f64, on {}:", device.name());
    for (kernel, worst, shapes) in table {
        println!("  {kernel:<20} {worst:.1e}  {shapes}");
    }
    assert!(failures.is_empty(), "on {}:\n{}", device.name(), failures.join("\n"));
}

#[test]
fn cpu_kernels_match_the_plain_loops() {
    check(&Device::Cpu);
}

#[test]
fn gpu_kernels_match_the_plain_loops() {
    if let Some(device) = crate::gpu::device() {
        check(&device);
    }
}
