//! Which rung of a kernel an adapter runs best: measured at the first use of a kernel and a class of shapes,
//! and remembered in a file.
//!
//! The first rung of every kernel is its base: the simplest, and right on any WebGPU. Each other rung is run
//! beside it once; one whose numbers differ is reported and never used. `RLHF_TUNE` says `off` (take the usual
//! rung), `on`, or `half` (on, and rungs that round to half precision may win too). Without it a real GPU
//! measures and a software one does not, so that there the same program always gives the same bits.
use super::{Gpu, Kernel};
use crate::{Tensor, read_all};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What calls that share a choice have in common: a form, flags, logarithms of sizes.
pub type Class = [u32; 6];

/// The rungs of one kernel for one call.
pub struct Rungs<'a> {
    pub kernel: &'static str,
    pub class: Class,
    /// The first is the base.
    pub names: &'static [&'static str],
    /// The one to take where nothing is measured.
    pub usual: usize,
    /// What a rung runs; `None` where it cannot do this shape.
    pub shaders: &'a dyn Fn(usize) -> Option<Vec<Shader>>,
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
    /// Does it round its operands to half precision?
    fn rounds(&self) -> bool {
        self.source.contains("enable f16")
    }
}

/// A choice that was made: kernel, class and rung.
pub type Choice = (&'static str, Class, &'static str);

/// Differences from the base rung, relative to its largest number, that rounding explains.
const WITHIN: f32 = 1e-4;
const WITHIN_HALF: f32 = 2e-2;
/// A rung is run so often, unless its first run took this much longer than the best, or all took so many seconds.
const RUNS: usize = 5;
const HOPELESS: f64 = 1.5;
const ENOUGH: f64 = 0.3;

pub struct Tuner {
    on: bool,
    half: bool,
    chosen: HashMap<(&'static str, Class), (usize, &'static str)>,
    forced: HashMap<&'static str, String>,
    rejected: Vec<String>,
    /// Has the GPU been kept busy until its clock was up?
    awake: bool,
    /// A rung is being tried; did one of its kernels fail to compile?
    trying: Option<bool>,
    adapter: String,
    file: Option<PathBuf>,
    /// The file's entries for this adapter.
    known: Map<String, Value>,
}

impl Tuner {
    pub fn new(info: &wgpu::AdapterInfo) -> Tuner {
        let wish = std::env::var("RLHF_TUNE").unwrap_or_default();
        let software = info.device_type == wgpu::DeviceType::Cpu;
        let on = matches!(&*wish, "on" | "half") || (wish != "off" && !software);
        let adapter = format!("{} | {:?} | {} {}", info.name, info.backend, info.driver, info.driver_info);
        let file = cache_folder().map(|folder| folder.join("rlhf").join("gpu-rungs.json"));
        let known = file.as_deref().filter(|_| on).map_or_else(Map::new, |file| entries(file, &adapter));
        let (chosen, forced, rejected) = Default::default();
        Tuner { on, half: wish == "half", chosen, forced, rejected, awake: false, trying: None, adapter, file, known }
    }

    fn remember(&mut self, key: &str, rung: &str, seconds: f64) {
        self.known.insert(key.into(), json!({"rung": rung, "microseconds": (seconds * 1e7).round() / 10.0}));
        let Some(file) = &self.file else { return };
        if let Err(error) = save(file, &self.adapter, &self.known) {
            say(&format!("{}: cannot be written ({error}); rungs will be measured again next time", file.display()));
            self.file = None;
        }
    }
}

/// Where the system keeps what can be made again.
fn cache_folder() -> Option<PathBuf> {
    let of = |variable: &str| std::env::var_os(variable).filter(|v| !v.is_empty()).map(PathBuf::from);
    of("XDG_CACHE_HOME").or_else(|| match std::env::consts::OS {
        "windows" => of("LOCALAPPDATA"),
        "macos" => of("HOME").map(|home| home.join("Library/Caches")),
        _ => of("HOME").map(|home| home.join(".cache")),
    })
}

fn read_file(file: &Path) -> Map<String, Value> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

fn entries(file: &Path, adapter: &str) -> Map<String, Value> {
    read_file(file).get(adapter).and_then(Value::as_object).cloned().unwrap_or_default()
}

/// On stderr, which may be closed or full: that is no reason to end.
fn say(what: &str) {
    let _ = writeln!(std::io::stderr(), "{what}");
}

/// Another process may have added to the file meanwhile: what it wrote stays.
fn save(file: &Path, adapter: &str, known: &Map<String, Value>) -> std::io::Result<()> {
    let mut all = read_file(file);
    let mut merged = entries(file, adapter);
    merged.extend(known.clone());
    all.insert(adapter.into(), Value::Object(merged));
    std::fs::create_dir_all(file.parent().expect("a file in a folder"))?;
    static SAVES: AtomicUsize = AtomicUsize::new(0);
    let save = SAVES.fetch_add(1, Ordering::Relaxed);
    let partial = file.with_extension(format!("{}-{save}.partial", std::process::id()));
    std::fs::write(&partial, serde_json::to_vec_pretty(&all)?)?;
    std::fs::rename(partial, file)
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
    /// The rung for this call. `trial` runs one of them into arrays of its own: those to compare, or none.
    pub(crate) fn choose(self: &Arc<Gpu>, rungs: &Rungs, trial: &mut dyn FnMut(usize) -> Vec<Tensor>) -> usize {
        let Some(rung) = self.choose_anew(rungs, trial) else { return self.usual(rungs, &self.allowed(rungs)) };
        let mut tuner = self.tuner.lock().expect("tuner");
        tuner.chosen.insert((rungs.kernel, rungs.class), (rung, rungs.names[rung]));
        rung
    }

    /// The rung that was chosen for this class before.
    pub(crate) fn chosen(&self, kernel: &'static str, class: Class) -> Option<usize> {
        self.tuner.lock().expect("tuner").chosen.get(&(kernel, class)).map(|&(rung, _)| rung)
    }

    /// Rungs that do this shape and whose features this adapter has.
    fn allowed(&self, rungs: &Rungs) -> Vec<usize> {
        let can = |rung: &usize| (rungs.shaders)(*rung).is_some_and(|shaders| shaders.iter().all(|s| self.can_run(s)));
        (0..rungs.names.len()).filter(can).collect()
    }

    fn can_run(&self, shader: &Shader) -> bool {
        let (source, offers) = (&shader.source, self.offers);
        (offers.half || !shader.rounds())
            && (offers.subgroups || !source.contains("subgroup"))
            && (offers.matrix.is_some() || !source.contains("enable wgpu_cooperative_matrix"))
            && shader.budget <= offers.workgroup_bytes
    }

    fn usual(&self, rungs: &Rungs, allowed: &[usize]) -> usize {
        if allowed.contains(&rungs.usual) { rungs.usual } else { 0 }
    }

    /// `None`: nothing could be learned from these numbers; take the usual rung this once.
    fn choose_anew(self: &Arc<Gpu>, rungs: &Rungs, trial: &mut dyn FnMut(usize) -> Vec<Tensor>) -> Option<usize> {
        let allowed = self.allowed(rungs);
        let usual = self.usual(rungs, &allowed);
        let (on, half, forced) = {
            let tuner = self.tuner.lock().expect("tuner");
            if tuner.trying.is_some() {
                return None;
            }
            (tuner.on, tuner.half, tuner.forced.get(rungs.kernel).cloned())
        };
        let named = |name: &str| allowed.iter().copied().find(|&rung| rungs.names[rung] == name);
        if let Some(forced) = forced {
            return Some(named(&forced).unwrap_or(usual));
        }
        if !on {
            return Some(usual);
        }
        let rounds = |rung: usize| (rungs.shaders)(rung).iter().flatten().any(Shader::rounds);
        let candidates: Vec<usize> = allowed.iter().copied().filter(|&rung| half || !rounds(rung)).collect();
        let sources = candidates.iter().filter_map(|&rung| (rungs.shaders)(rung)).flatten().map(|s| s.source);
        let class = rungs.class.map(|c| c.to_string()).join(" ");
        let key = format!("{} {class} {:016x}", rungs.kernel, hash(sources));
        let known = self.tuner.lock().expect("tuner").known.get(&key).and_then(|e| e["rung"].as_str()).and_then(named);
        if known.is_some() {
            return known;
        }
        let (best, seconds) = self.measure(rungs, &candidates, &rounds, trial)?;
        self.tuner.lock().expect("tuner").remember(&key, rungs.names[best], seconds);
        Some(best)
    }

    /// The fastest of the candidates whose numbers are those of the base, and its time.
    fn measure(
        self: &Arc<Gpu>,
        rungs: &Rungs,
        candidates: &[usize],
        rounds: &dyn Fn(usize) -> bool,
        trial: &mut dyn FnMut(usize) -> Vec<Tensor>,
    ) -> Option<(usize, f64)> {
        if !std::mem::replace(&mut self.tuner.lock().expect("tuner").awake, true) {
            self.wake();
        }
        let check = |rung: usize, trial: &mut dyn FnMut(usize) -> Vec<Tensor>| {
            self.tuner.lock().expect("tuner").trying = Some(false);
            let arrays = trial(rung);
            let numbers = read_all(&arrays.iter().collect::<Vec<_>>());
            let failed = self.tuner.lock().expect("tuner").trying.take() == Some(true);
            (numbers, failed)
        };
        let (want, failed) = check(0, trial);
        assert!(!failed, "{}: the base rung of {} does not compile", self.name(), rungs.kernel);
        if want.is_empty() || want.iter().flatten().any(|x| !x.is_finite()) {
            return None;
        }
        let mut best = (0, self.time(0, f64::INFINITY, trial));
        for &rung in candidates.iter().filter(|&&rung| rung != 0) {
            let (got, failed) = check(rung, trial);
            let (error, within) = (difference(&got, &want), if rounds(rung) { WITHIN_HALF } else { WITHIN });
            if failed || error.is_nan() || error > within {
                self.reject(
                    rungs,
                    rung,
                    if failed { "it does not compile".into() } else { format!("off by {error:.1e}") },
                );
                continue;
            }
            let seconds = self.time(rung, best.1, trial);
            if seconds < best.1 {
                best = (rung, seconds);
            }
        }
        Some(best)
    }

    /// Median time of a rung; its first time, if that is hopeless beside the best.
    fn time(self: &Arc<Gpu>, rung: usize, best: f64, trial: &mut dyn FnMut(usize) -> Vec<Tensor>) -> f64 {
        let mut once = || {
            self.tuner.lock().expect("tuner").trying = Some(false);
            let seconds = self.seconds(|| drop(trial(rung)));
            self.tuner.lock().expect("tuner").trying = None;
            seconds
        };
        let mut times = vec![once()];
        while times.len() < RUNS && times[0] < HOPELESS * best && times.iter().sum::<f64>() < ENOUGH {
            times.push(once());
        }
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    }

    fn reject(&self, rungs: &Rungs, rung: usize, why: String) {
        let what =
            format!("{}: rung {:?} of kernel {} is not used here: {why}", self.name(), rungs.names[rung], rungs.kernel);
        say(&what);
        self.tuner.lock().expect("tuner").rejected.push(what);
    }

    pub(super) fn is_trying(&self) -> bool {
        self.tuner.lock().expect("tuner").trying.is_some()
    }

    pub(super) fn note_failed_trial(&self) {
        self.tuner.lock().expect("tuner").trying = Some(true);
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

    /// Measure everything anew, whatever the file says.
    pub fn retune(&self) {
        let mut tuner = self.tuner.lock().expect("tuner");
        (tuner.on, tuner.known) = (true, Map::new());
        tuner.chosen.clear();
    }

    /// The choices made so far.
    pub fn choices(&self) -> Vec<Choice> {
        let tuner = self.tuner.lock().expect("tuner");
        tuner.chosen.iter().map(|((kernel, class), (_, rung))| (*kernel, *class, *rung)).collect()
    }

    /// The rungs that gave wrong numbers, in words.
    pub fn rejected(&self) -> Vec<String> {
        self.tuner.lock().expect("tuner").rejected.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Unary, map};

    const NAMES: &[&str] = &["slow", "wrong", "not finite", "does not compile", "fast"];

    /// y = 2x: the base takes many detours, two rungs get it wrong, one is no WGSL.
    fn run(gpu: &Arc<Gpu>, x: &Tensor, rung: usize) -> Vec<Tensor> {
        let scaled = |by: f32| map(Unary::Scale, x, [by, 0.0]);
        match rung {
            0 => vec![(0..40).fold(scaled(2.0), |_, _| scaled(2.0))],
            1 => vec![scaled(2.001)],
            2 => vec![scaled(f32::INFINITY)],
            3 => {
                let kernel = Kernel { name: "no_wgsl", parts: &["fn main( {"], consts: &[] };
                gpu.run(&kernel, [1, 1, 1], &[1], &[]);
                vec![scaled(2.0)]
            }
            _ => vec![scaled(2.0)],
        }
    }

    fn rungs(shaders: &dyn Fn(usize) -> Option<Vec<Shader>>) -> Rungs<'_> {
        Rungs { kernel: "toy", class: [0; 6], names: NAMES, usual: 1, shaders }
    }

    /// Whatever is wrong is reported and not used, the fastest of the others wins; it is found again in the file,
    /// and measured again when the shader is another one.
    #[test]
    fn a_wrong_rung_is_reported_and_never_used() {
        let gpu = match Gpu::open(None, true) {
            Ok(gpu) => gpu,
            Err(why) => return println!("SKIPPED: {why}"),
        };
        let folder = std::env::temp_dir().join(format!("rlhf-tune-{}", std::process::id()));
        let file = folder.join("gpu-rungs.json");
        let forget = |known: Map<String, Value>| {
            let mut tuner = gpu.tuner.lock().unwrap();
            (tuner.on, tuner.file, tuner.known) = (true, Some(file.clone()), known);
            tuner.chosen.clear();
        };
        let x = Tensor::from_slice(&crate::Device::Gpu(gpu.clone()), &[10_000], &[3.0; 10_000]);
        let of = |text: &'static str| move |_| Some(vec![Shader { source: text.into(), budget: 0 }]);
        forget(Map::new());
        assert_eq!(gpu.choose(&rungs(&of("one")), &mut |rung| run(&gpu, &x, rung)), 4);
        assert_eq!(gpu.choices(), [("toy", [0; 6], "fast")]);
        let rejected = gpu.rejected();
        assert_eq!(rejected.len(), 3, "{rejected:?}");
        for (said, rung) in rejected.iter().zip(&NAMES[1..]) {
            assert!(said.contains(rung), "{said}");
        }
        let adapter = gpu.tuner.lock().unwrap().adapter.clone();
        forget(entries(&file, &adapter));
        assert_eq!(gpu.choose(&rungs(&of("one")), &mut |_| panic!("measured again")), 4);
        let mut measured = 0;
        forget(entries(&file, &adapter));
        gpu.choose(&rungs(&of("another")), &mut |rung| {
            measured += 1;
            run(&gpu, &x, rung)
        });
        assert!(measured > 5, "another shader is measured");
        assert_eq!(entries(&file, &adapter).len(), 2, "both stay in the file");
        std::fs::remove_dir_all(folder).unwrap();
    }

    /// What software plays is the usual rung, unless asked otherwise: always the same bits.
    #[test]
    fn a_software_gpu_takes_the_usual_rung() {
        let gpu = match Gpu::open(None, true) {
            Ok(gpu) if gpu.is_software() && std::env::var_os("RLHF_TUNE").is_none() => gpu,
            Ok(gpu) => return println!("SKIPPED: {} is real, or RLHF_TUNE is set", gpu.name()),
            Err(why) => return println!("SKIPPED: {why}"),
        };
        let any = |_| Some(Vec::new());
        assert_eq!(gpu.choose(&rungs(&any), &mut |_| panic!("nothing is measured")), 1);
        gpu.force("toy", Some("fast"));
        assert_eq!(gpu.choose(&rungs(&any), &mut |_| panic!("nothing is measured")), 4);
        let only_base = |rung| (rung == 0).then(Vec::new);
        gpu.force("toy", None);
        assert_eq!(gpu.choose(&rungs(&only_base), &mut |_| panic!("nothing is measured")), 0);
    }

    #[test]
    fn differences() {
        let a = [vec![1.0, 2.0], vec![0.1, 0.2]];
        assert_eq!(difference(&a, &a), 0.0);
        assert!((difference(&[vec![1.0, 2.0], vec![0.1, 0.3]], &a) - 0.5).abs() < 1e-6);
        assert!(difference(&[vec![1.0, f32::NAN], vec![0.1, 0.2]], &a).is_nan());
    }
}
