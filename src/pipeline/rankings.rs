//! Rankings for the reward model: K = 4..9 answers of several models, ranked by simulated labelers; or files of them.

use super::answers::{Answer, Sampler};
use super::datasets::{Datasets, Preferences};
use super::judges::Judges;
use super::prompt::Prompt;
use super::runner::Pipeline;
use crate::error::{Failure, Result};
use crate::training;
use kernels::Rng;
use rlhf_core::data::{Processor, Ranking, Row};
use rlhf_core::methods::ppo;
use rlhf_core::world::Gold;
use rlhf_core::world::labelers::{self, PAPER_AGREEMENT};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::path::Path;

/// What the reward model learns from and is tested on.
#[derive(Default)]
pub struct Rankings {
    pub train: Vec<Ranking>,
    /// By name: heldout, unseen_labelers, gold, or a file's name.
    pub heldout: Vec<(String, Vec<Ranking>)>,
    /// How often two labelers agree, and the noise that makes them.
    pub agreement: Option<f64>,
    pub noise: f64,
}

/// A prompt with answers in the order of preference: lower ranks are better, equal ranks tie.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct TextRanking {
    pub prompt: String,
    pub completions: Vec<String>,
    /// Which of them ended by themselves; all did when this is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ended: Vec<bool>,
    pub ranks: Vec<f32>,
}

impl TextRanking {
    pub fn encode(&self, processor: &Processor) -> Ranking {
        processor.ranking(&self.prompt, &self.completions, &self.ended, &self.ranks)
    }
}

/// The same as text: what the labelers of a world wrote down.
#[derive(Serialize, Deserialize)]
struct Annotations {
    train: Vec<TextRanking>,
    heldout: Vec<(String, Vec<TextRanking>)>,
    agreement: Option<f64>,
    noise: f64,
}

impl Annotations {
    fn encode(self, processor: &Processor) -> Rankings {
        let all = |set: Vec<TextRanking>| set.iter().map(|r| r.encode(processor)).collect();
        let train = all(self.train);
        let heldout = self.heldout.into_iter().map(|(name, set)| (name, all(set))).collect();
        Rankings { train, heldout, agreement: self.agreement, noise: self.noise }
    }
}

pub fn preferences(pipeline: &mut Pipeline, processor: &Processor, datasets: &Datasets) -> Result<Rankings> {
    let rankings = match &datasets.preferences {
        Preferences::Given { train, heldout } => {
            let read = |rows: &[Row]| processor.rankings(rows).map_err(Failure::from);
            let heldout = heldout.iter().map(|(name, rows)| Ok((name.clone(), read(rows)?)));
            let train = if train.is_empty() { Vec::new() } else { read(train)? };
            Rankings { train, heldout: heldout.collect::<Result<_>>()?, ..Rankings::default() }
        }
        Preferences::ToRank { train, heldout } => {
            pipeline.stage("rankings", |p, dir| {
                let rankings =
                    rank(p, processor, datasets.judges.as_ref().expect("a world has judges"), train, heldout)?;
                write(&dir.join("rankings.json"), &rankings)?;
                write_rows(&dir.join("train.jsonl"), &rankings.train)?;
                Ok(Some(rankings.train.len()))
            })?;
            read::<Annotations>(&pipeline.stage_dir("rankings").join("rankings.json"))?.encode(processor)
        }
    };
    pipeline.tell_cuts(processor, "rankings");
    Ok(rankings)
}

/// One prompt with its answers and what gold thinks of each.
struct RankingTask {
    prompt: String,
    answers: Vec<Answer>,
    golds: Vec<Gold>,
}

fn rank(
    p: &Pipeline,
    processor: &Processor,
    judges: &Judges,
    train: &[Prompt],
    heldout: &[Prompt],
) -> Result<Annotations> {
    let rng = p.rng("rankings");
    let all: Vec<Prompt> = [train, heldout].concat();
    let mut tasks = tasks(p, processor, judges, &all, rng)?;
    let tested = tasks.split_off(train.len());
    let golds = |s: &[RankingTask]| s.iter().map(|s| s.golds.clone()).collect::<Vec<_>>();
    let mut labelers = judges.labelers.clone();
    let sample = golds(&tasks[..tasks.len().min(1500)]);
    let noise = labelers.calibrate(&sample, PAPER_AGREEMENT);
    let agreement = labelers::agreement(&labelers.training, &golds(&tested)).rate();

    let ranked_by = |tasks: &[RankingTask], group: &[labelers::Labeler], rng: Rng| -> Vec<TextRanking> {
        let one = |(i, s): (usize, &RankingTask)| {
            let labeler = &group[rng.fold(i as u64).draws().below(group.len())];
            let ranks = labeler.rank(&s.golds, i as u64);
            s.ranking(ranks.into_iter().map(|r| r as f32).collect())
        };
        tasks.iter().enumerate().map(one).collect()
    };
    let by_gold = |s: &RankingTask| s.ranking(s.golds.iter().map(|g| -g.score as f32).collect());
    Ok(Annotations {
        train: ranked_by(&tasks, &labelers.training, rng.stream("who")),
        heldout: vec![
            ("heldout".into(), ranked_by(&tested, &labelers.training, rng.stream("who else"))),
            ("unseen_labelers".into(), ranked_by(&tested, &labelers.heldout, rng.stream("strangers"))),
            ("gold".into(), tested.iter().map(by_gold).collect()),
        ],
        agreement: Some(agreement),
        noise,
    })
}

impl RankingTask {
    fn ranking(&self, ranks: Vec<f32>) -> TextRanking {
        TextRanking {
            prompt: self.prompt.clone(),
            completions: self.answers.iter().map(|a| a.text.clone()).collect(),
            ended: self.answers.iter().map(|a| a.ended).collect(),
            ranks,
        }
    }
}

/// K answers to every prompt, from the models in turn: the reward model must have seen good and bad ones.
fn tasks(
    p: &Pipeline,
    processor: &Processor,
    judges: &Judges,
    prompts: &[Prompt],
    rng: Rng,
) -> Result<Vec<RankingTask>> {
    let section = &p.recipe.rankings;
    let samplers = samplers(p)?;
    let mut slots: Vec<Vec<Option<Answer>>> = Vec::new();
    let mut jobs: Vec<Vec<(usize, usize)>> = vec![Vec::new(); samplers.len()];
    for (i, _) in prompts.iter().enumerate() {
        let mut draws = rng.stream("k").fold(i as u64).draws();
        let k = section.k_min + draws.below(section.k_max - section.k_min + 1);
        let mut order: Vec<usize> = (0..samplers.len()).collect();
        draws.shuffle(&mut order);
        (0..k).for_each(|slot| jobs[order[slot % order.len()]].push((i, slot)));
        slots.push(vec![None; k]);
    }
    let total: usize = jobs.iter().map(Vec::len).sum();
    let mut before = 0;
    let max_new = p.recipe.method::<ppo::Config>("ppo", p.recipe.rm_size()).sampling.max_new_tokens;
    for ((name, sampler), jobs) in samplers.iter().zip(&jobs) {
        let asked: Vec<&Prompt> = jobs.iter().map(|&(i, _)| &prompts[i]).collect();
        let tick = |done| {
            p.reporter.tick(before + done, total, name);
            p.reporter.check_stop("the rankings")
        };
        let made = sampler.answer(processor, &asked, section.temperature, max_new, rng.stream(name), tick)?;
        jobs.iter().zip(made).for_each(|(&(i, slot), answer)| slots[i][slot] = Some(answer));
        before += jobs.len();
    }
    let task = |(prompt, slots): (&Prompt, Vec<Option<Answer>>)| {
        let answers: Vec<Answer> = slots.into_iter().map(|a| a.expect("every slot had a job")).collect();
        let golds = answers.iter().map(|a| judges.gold(prompt, &a.text, a.ended)).collect();
        RankingTask { prompt: prompt.text.clone(), answers, golds }
    };
    Ok(prompts.iter().zip(slots).map(task).collect())
}

/// The models whose answers are ranked: every size's SFT and PPO start, and the largest base with worked examples.
fn samplers(p: &Pipeline) -> Result<Vec<(String, Sampler)>> {
    let mut samplers = Vec::new();
    for size in p.recipe.sizes() {
        for kind in ["init", "sft"].into_iter().filter(|kind| p.recipe.makes(kind)) {
            let name = format!("{size}.{kind}");
            let model = training::load(&p.stage_dir(&name), &p.device)?;
            samplers.push((name, Sampler { model, shots: false }));
        }
    }
    let largest = p.recipe.sizes().last().copied().expect("check() made sure of a size");
    let model = training::load(&p.stage_dir(&format!("{largest}.base")), &p.device)?;
    samplers.push((format!("{largest}.prompted"), Sampler { model, shots: true }));
    Ok(samplers)
}

fn write(path: &Path, value: &impl Serialize) -> Result {
    let text = serde_json::to_string(value).expect("plain values");
    std::fs::write(path, text).map_err(|e| Failure::write(path, e))
}

/// The rankings as data that `rlhf rm --data` reads.
fn write_rows(path: &Path, rows: &[TextRanking]) -> Result {
    let line =
        |r: &TextRanking| serde_json::json!({"prompt": r.prompt, "completions": r.completions, "ranks": r.ranks});
    let text: String = rows.iter().map(|r| format!("{}\n", line(r))).collect();
    std::fs::write(path, text).map_err(|e| Failure::write(path, e))
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text =
        std::fs::read_to_string(path).map_err(|e| Failure::model(format!("cannot read {}: {e}", path.display())))?;
    serde_json::from_str(&text)
        .map_err(|e| Failure::model(format!("{}: {e}; remove the folder and run with --resume", path.display())))
}
