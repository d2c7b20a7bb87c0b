//! Tuned kernel variants: a kernel's variants are the rungs of a ladder, and which one an adapter runs best is measured
//! at the first use of the kernel with a class of shapes.
//!
//! The first rung of every kernel is its base: the simplest, and right on any WebGPU. Each other rung is run beside it
//! once; one whose numbers differ is reported and never used. What was measured stays in memory: whoever opened the GPU
//! hears of it ([`Gpu::on_tuning`]), may keep it, and gives it to the next process ([`Gpu::remember`]).
use super::{Compiled, Gpu, Kernel, compiled};
use crate::{Tensor, read_all};
use std::collections::HashMap;
use std::fmt::Display;
use std::sync::Arc;

/// The tuning key of a call: what calls that share a choice have in common. A form, flags, logarithms of sizes.
pub type ShapeClass = [u32; 6];

/// What a kernel's variant is: tile sizes, vector width and the like. Its `Display` is its name, in caches and benches.
pub trait Rung: Copy + PartialEq + Display {}
impl<R: Copy + PartialEq + Display> Rung for R {}

/// The rungs of one kernel for one call.
pub struct Rungs<'a, R> {
    /// The name of the ladder.
    pub kernel: &'static str,
    pub class: ShapeClass,
    /// The first is the base.
    pub all: &'a [R],
    /// The one to take where nothing is measured.
    pub default: R,
    /// May rungs round their operands to half precision?
    pub rounds: bool,
    /// What a rung runs; `None` where it cannot do this shape.
    pub shaders: &'a dyn Fn(R) -> Option<Vec<Shader>>,
}

/// What decides whether an adapter can run a kernel, and whether a measurement still holds.
pub struct Shader {
    pub source: String,
    pub budget: u32,
}

impl Kernel<'_> {
    pub fn shader(&self) -> Shader {
        Shader { source: self.source(), budget: self.budget() }
    }
}

impl Shader {
    /// Does it round its operands to half precision? Two halves are as exact as f32.
    fn rounds(&self) -> bool {
        self.half() && !self.source.contains("const HALVES = 2u")
    }

    fn half(&self) -> bool {
        self.source.contains("enable f16")
    }
}

/// Whether rungs are measured. A real GPU starts `On`, a software one `Off`: there the same program always gives the
/// same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tuning {
    /// The default rung of each kernel.
    Off,
    /// The fastest rung that multiplies in f32.
    On,
    /// The fastest, rungs that round their operands to half precision included.
    Half,
}

/// What tuning found out, at the moment it did.
#[derive(Clone, Debug, PartialEq)]
pub enum TuningEvent {
    /// The fastest rung for a class of shapes: `key` and `rung` are for [`Gpu::remember`].
    Measured {
        /// Kernel, class and a hash of the shaders.
        key: String,
        /// The name of the rung.
        rung: String,
        /// How long the measured call took on it.
        seconds: f64,
    },
    /// A rung that is never used on this adapter, and why.
    Rejected {
        /// The kernel's ladder.
        kernel: &'static str,
        /// The name of the rung.
        rung: String,
        /// In words.
        why: String,
    },
}

/// A choice that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The kernel's ladder.
    pub kernel: &'static str,
    /// The shapes that it is for.
    pub class: ShapeClass,
    /// The name of the rung.
    pub rung: String,
}

/// Differences from the base rung, relative to its largest number, that rounding explains.
const WITHIN: f32 = 1e-4;
const WITHIN_HALF: f32 = 2e-2;
/// A rung is run so often, unless its first run took this much longer than the best, or all took so many seconds.
const RUNS: usize = 5;
const HOPELESS: f64 = 1.5;
const ENOUGH: f64 = 0.3;

type Listener = Arc<dyn Fn(&TuningEvent) + Send + Sync>;
type Trial<'a, R> = &'a mut dyn FnMut(R) -> Compiled<Vec<Tensor>>;

pub struct Tuner {
    tuning: Tuning,
    /// Place and name of the rung that each kernel runs for a class.
    chosen: HashMap<(&'static str, ShapeClass), (usize, String)>,
    forced: HashMap<&'static str, String>,
    /// Names of the fastest rungs, measured here or by an earlier process, by key.
    known: HashMap<String, String>,
    listener: Option<Listener>,
}

impl Tuner {
    pub fn new(software: bool) -> Tuner {
        let tuning = if software { Tuning::Off } else { Tuning::On };
        let (chosen, forced, known, listener) = Default::default();
        Tuner { tuning, chosen, forced, known, listener }
    }
}

/// FNV-1a: another shader, another measurement.
fn hash(sources: impl Iterator<Item = String>) -> u64 {
    sources.flat_map(String::into_bytes).fold(0xcbf29ce484222325, |h, b| (h ^ b as u64).wrapping_mul(0x100000001b3))
}

/// Shapes whose sizes have the same logarithm share a choice.
pub fn log2(n: usize) -> u32 {
    usize::BITS - n.leading_zeros()
}

/// The largest difference, relative to the largest number of its array. Arrays that do not fit differ by NaN.
fn difference(got: &[Vec<f32>], want: &[Vec<f32>]) -> f32 {
    let of = |(got, want): (&Vec<f32>, &Vec<f32>)| {
        let size = want.iter().fold(1e-20f32, |most, x| most.max(x.abs()));
        let wrong = |(a, b): (&f32, &f32)| if a.is_finite() { (a - b).abs() / size } else { f32::NAN };
        got.iter().zip(want).map(wrong).fold(0f32, |worst, d| if d > worst || d.is_nan() { d } else { worst })
    };
    got.iter().zip(want).map(of).fold(0f32, |worst, d| if d > worst || d.is_nan() { d } else { worst })
}

impl Gpu {
    /// Measure rungs, or do not, from now on.
    pub fn set_tuning(&self, tuning: Tuning) {
        self.tuner.lock().expect("tuner").tuning = tuning;
    }

    /// What was measured by an earlier process on the same [`adapter`](Gpu::adapter): keys and names of rungs.
    pub fn remember(&self, measured: impl IntoIterator<Item = (String, String)>) {
        self.tuner.lock().expect("tuner").known.extend(measured);
    }

    /// `listener` hears of every measurement and of every rung that is refused, on the thread that measures, at once.
    pub fn on_tuning(&self, listener: impl Fn(&TuningEvent) + Send + Sync + 'static) {
        self.tuner.lock().expect("tuner").listener = Some(Arc::new(listener));
    }

    /// From now on `kernel` runs this rung wherever it can: for benches and tests. `None` chooses again.
    pub fn force(&self, kernel: &'static str, rung: Option<&str>) {
        let mut tuner = self.tuner.lock().expect("tuner");
        tuner.chosen.clear();
        match rung {
            Some(rung) => tuner.forced.insert(kernel, rung.into()),
            None => tuner.forced.remove(kernel),
        };
    }

    /// Measure everything anew, whatever is remembered.
    pub fn retune(&self) {
        let mut tuner = self.tuner.lock().expect("tuner");
        if tuner.tuning == Tuning::Off {
            tuner.tuning = Tuning::On;
        }
        tuner.known.clear();
        tuner.chosen.clear();
    }

    /// The choices made so far.
    pub fn choices(&self) -> Vec<Choice> {
        let tuner = self.tuner.lock().expect("tuner");
        let choice =
            |(&(kernel, class), (_, rung)): (&(_, _), &(_, String))| Choice { kernel, class, rung: rung.clone() };
        tuner.chosen.iter().map(choice).collect()
    }

    /// The call on its best rung. `run` makes its results in arrays of their own, which are what is compared.
    #[track_caller]
    pub(crate) fn run_best<R: Rung, const N: usize>(
        self: &Arc<Gpu>,
        rungs: &Rungs<R>,
        run: impl Fn(R) -> Compiled<[Tensor; N]>,
    ) -> [Tensor; N] {
        let rung = self.choose(rungs, &mut |rung| run(rung).map(Vec::from));
        compiled(run(rung))
    }

    /// The rung for this call. `trial` runs one of them into arrays of its own: those to compare, or none.
    pub(crate) fn choose<R: Rung>(self: &Arc<Gpu>, rungs: &Rungs<R>, trial: Trial<R>) -> R {
        let class = (rungs.kernel, rungs.class);
        if let Some(&(rung, _)) = self.tuner.lock().expect("tuner").chosen.get(&class) {
            return rungs.all[rung];
        }
        let can_run = |rung: &R| (rungs.shaders)(*rung).is_some_and(|shaders| shaders.iter().all(|s| self.can_run(s)));
        let allowed: Vec<R> = rungs.all.iter().copied().filter(can_run).collect();
        let default = if allowed.contains(&rungs.default) { rungs.default } else { rungs.all[0] };
        let Some(rung) = self.choose_anew(rungs, &allowed, default, trial) else { return default };
        let place = rungs.all.iter().position(|other| *other == rung).expect("it is one of them");
        self.tuner.lock().expect("tuner").chosen.insert(class, (place, rung.to_string()));
        rung
    }

    fn can_run(&self, shader: &Shader) -> bool {
        let (source, has) = (&shader.source, self.features);
        (has.half || !shader.half())
            && (has.subgroups || !source.contains("subgroup"))
            && (has.matrix.is_some() || !source.contains("enable wgpu_cooperative_matrix"))
            && shader.budget <= has.workgroup_bytes
    }

    /// `None`: nothing could be learned from these numbers; take the default rung this once.
    fn choose_anew<R: Rung>(
        self: &Arc<Gpu>,
        rungs: &Rungs<R>,
        allowed: &[R],
        default: R,
        trial: Trial<R>,
    ) -> Option<R> {
        let named = |name: &String| allowed.iter().copied().find(|rung| rung.to_string() == *name);
        let tuning = {
            let tuner = self.tuner.lock().expect("tuner");
            if let Some(forced) = tuner.forced.get(rungs.kernel) {
                return Some(named(forced).unwrap_or(default));
            }
            tuner.tuning
        };
        if tuning == Tuning::Off {
            return Some(default);
        }
        let rounds = |rung: R| (rungs.shaders)(rung).iter().flatten().any(Shader::rounds);
        let halves = rungs.rounds || tuning == Tuning::Half;
        let candidates: Vec<R> = allowed.iter().copied().filter(|&rung| halves || !rounds(rung)).collect();
        let sources = candidates.iter().filter_map(|&rung| (rungs.shaders)(rung)).flatten().map(|s| s.source);
        let class = rungs.class.map(|c| c.to_string()).join(" ");
        let key = format!("{} {class} {:016x}", rungs.kernel, hash(sources));
        let known = self.tuner.lock().expect("tuner").known.get(&key).and_then(named);
        if known.is_some() {
            return known;
        }
        let (best, seconds) = self.measure(rungs, &candidates, &rounds, trial)?;
        self.tuner.lock().expect("tuner").known.insert(key.clone(), best.to_string());
        self.tell(TuningEvent::Measured { key, rung: best.to_string(), seconds });
        Some(best)
    }

    /// The fastest of the candidates whose numbers are those of the base, and its time. `None`, too, while another
    /// thread measures: two would slow each other.
    fn measure<R: Rung>(
        self: &Arc<Gpu>,
        rungs: &Rungs<R>,
        candidates: &[R],
        rounds: &dyn Fn(R) -> bool,
        trial: Trial<R>,
    ) -> Option<(R, f64)> {
        let mut awake = self.awake.try_lock().ok()?;
        if !std::mem::replace(&mut *awake, true) {
            self.wake();
        }
        let numbers = |rung: R, trial: Trial<R>| -> Compiled<_> {
            let arrays = trial(rung)?;
            Ok(read_all(&arrays.iter().collect::<Vec<_>>()))
        };
        let base = rungs.all[0];
        let want = numbers(base, trial)
            .unwrap_or_else(|_| panic!("{}: the base rung of {} does not compile", self.name(), rungs.kernel));
        if want.is_empty() || want.iter().flatten().any(|x| !x.is_finite()) {
            return None;
        }
        let mut best = (base, self.time(base, f64::INFINITY, trial));
        for &rung in candidates.iter().filter(|&&rung| rung != base) {
            let within = if rounds(rung) { WITHIN_HALF } else { WITHIN };
            let wrong = match numbers(rung, trial).map(|got| difference(&got, &want)) {
                Err(_) => Some("it does not compile".into()),
                Ok(error) if error.is_nan() || error > within => Some(format!("off by {error:.1e}")),
                Ok(_) => None,
            };
            if let Some(why) = wrong {
                self.tell(TuningEvent::Rejected { kernel: rungs.kernel, rung: rung.to_string(), why });
                continue;
            }
            let seconds = self.time(rung, best.1, trial);
            if seconds < best.1 {
                best = (rung, seconds);
            }
        }
        Some(best)
    }

    /// Median time of a rung that compiles; its first time, if that is hopeless beside the best.
    fn time<R: Rung>(self: &Arc<Gpu>, rung: R, best: f64, trial: Trial<R>) -> f64 {
        let mut once = || self.seconds(|| drop(trial(rung)));
        let mut times = vec![once()];
        while times.len() < RUNS && times[0] < HOPELESS * best && times.iter().sum::<f64>() < ENOUGH {
            times.push(once());
        }
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    }

    fn tell(&self, event: TuningEvent) {
        let listener = self.tuner.lock().expect("tuner").listener.clone();
        if let Some(listener) = listener {
            listener(&event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Unary, map};
    use std::fmt;
    use std::sync::Mutex;

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Toy {
        Slow,
        Wrong,
        NotFinite,
        NoWgsl,
        Fast,
    }
    const ALL: &[Toy] = &[Toy::Slow, Toy::Wrong, Toy::NotFinite, Toy::NoWgsl, Toy::Fast];

    impl fmt::Display for Toy {
        fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
            write!(f, "{self:?}")
        }
    }

    /// y = 2x: the base takes many detours, two rungs get it wrong, one is no WGSL.
    fn run(gpu: &Arc<Gpu>, x: &Tensor, rung: Toy) -> Compiled<Vec<Tensor>> {
        let scaled = |by: f32| map(Unary::Scale, x, [by, 0.0]);
        Ok(vec![match rung {
            Toy::Slow => (0..40).fold(scaled(2.0), |_, _| scaled(2.0)),
            Toy::Wrong => scaled(2.001),
            Toy::NotFinite => scaled(f32::INFINITY),
            Toy::NoWgsl => {
                let kernel = Kernel { name: "no_wgsl", parts: &["fn main( {"], consts: &[] };
                gpu.try_run(&kernel, [1, 1, 1], &[1], &[])?;
                scaled(2.0)
            }
            Toy::Fast => scaled(2.0),
        }])
    }

    fn rungs<'a>(shaders: &'a dyn Fn(Toy) -> Option<Vec<Shader>>) -> Rungs<'a, Toy> {
        Rungs { kernel: "toy", class: [0; 6], all: ALL, default: Toy::Wrong, rounds: false, shaders }
    }

    fn open() -> Option<Arc<Gpu>> {
        Gpu::open(None, true).map_err(|why| println!("SKIPPED: {why}")).ok()
    }

    /// Whatever is wrong is reported and not used, the fastest of the others wins; it is not measured again by who is
    /// told of it, but is when the shader is another one.
    #[test]
    fn a_wrong_rung_is_reported_and_never_used() {
        let (Some(gpu), Some(next)) = (open(), open()) else { return };
        let of = |text: &'static str| move |_| Some(vec![Shader { source: text.into(), budget: 0 }]);
        let events = Arc::new(Mutex::new(Vec::new()));
        for gpu in [&gpu, &next] {
            let events = events.clone();
            gpu.set_tuning(Tuning::On);
            gpu.on_tuning(move |event| events.lock().unwrap().push(event.clone()));
        }
        let x = Tensor::from_slice(&crate::Device::Gpu(gpu.clone()), &[10_000], &[3.0; 10_000]);
        assert_eq!(gpu.choose(&rungs(&of("one")), &mut |rung| run(&gpu, &x, rung)), Toy::Fast);
        assert_eq!(gpu.choices(), [Choice { kernel: "toy", class: [0; 6], rung: "Fast".into() }]);
        let told = std::mem::take(&mut *events.lock().unwrap());
        let [refused @ .., TuningEvent::Measured { key, rung, .. }] = &told[..] else { panic!("{told:?}") };
        assert!(key.starts_with("toy 0 0 0 0 0 0 ") && rung == "Fast", "{key}: {rung}");
        for (event, (name, reason)) in
            refused.iter().zip([("Wrong", "off by"), ("NotFinite", "off by NaN"), ("NoWgsl", "it does not compile")])
        {
            let TuningEvent::Rejected { kernel: "toy", rung, why } = event else { panic!("{event:?}") };
            assert!(rung == name && why.starts_with(reason), "{rung}: {why}");
        }
        assert_eq!(refused.len(), 3);

        next.remember([(key.clone(), rung.clone())]);
        assert_eq!(next.choose(&rungs(&of("one")), &mut |_| panic!("measured again")), Toy::Fast);
        assert_eq!(*events.lock().unwrap(), []);
        next.force("none", None); // forgets what was chosen
        let x = x.to(&crate::Device::Gpu(next.clone()));
        next.choose(&rungs(&of("another")), &mut |rung| run(&next, &x, rung));
        assert_eq!(events.lock().unwrap().len(), 4, "another shader is measured");
    }

    /// What software plays is the default rung, unless asked otherwise: always the same bits.
    #[test]
    fn a_software_gpu_takes_the_default_rung() {
        let Some(gpu) = open().filter(|gpu| gpu.is_software()) else { return };
        let any = |_| Some(Vec::new());
        assert_eq!(gpu.choose(&rungs(&any), &mut |_| panic!("nothing is measured")), Toy::Wrong);
        gpu.force("toy", Some("Fast"));
        assert_eq!(gpu.choose(&rungs(&any), &mut |_| panic!("nothing is measured")), Toy::Fast);
        let only_base = |rung| (rung == Toy::Slow).then(Vec::new);
        gpu.force("toy", None);
        assert_eq!(gpu.choose(&rungs(&only_base), &mut |_| panic!("nothing is measured")), Toy::Slow);
    }

    #[test]
    fn differences() {
        let a = [vec![1.0, 2.0], vec![0.1, 0.2]];
        assert_eq!(difference(&a, &a), 0.0);
        assert!((difference(&[vec![1.0, 2.0], vec![0.1, 0.3]], &a) - 0.5).abs() < 1e-6);
        assert!(difference(&[vec![1.0, f32::NAN], vec![0.1, 0.2]], &a).is_nan());
    }
}
