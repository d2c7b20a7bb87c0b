//! The evaluation on held-out prompts: every model answers, the judges compare, and what was lost is measured.

use super::answers::{Answer, Sampler};
use super::datasets::Datasets;
use super::judges::{Judges, gold_prefers, labelers_prefer};
use super::prompt::Prompt;
use super::rankings::Rankings;
use super::runner::Pipeline;
use crate::config::Recipe;
use crate::error::Result;
use crate::results::{ByModel, Rate, Results, RewardModel, WinRate};
use crate::runlog;
use crate::stages::{STAGES, Shown, Stage};
use crate::training;
use kernels::Rng;
use model::Model;
use rlhf_core::data::{Content, Example, Processor, Ranking};
use rlhf_core::lm;
use rlhf_core::methods::rm;
use rlhf_core::stats::{self, Interval};
use rlhf_core::world::{Gold, Labelers, Skill};
use serde_json::json;
use std::collections::BTreeMap;

/// The models that are asked: with their size's name, the stage whose model it is, and how it shows.
fn asked<'a>(recipe: &'a Recipe) -> impl Iterator<Item = (&'static Stage, &'static Shown)> + use<'a> {
    let there = |(stage, shown): &(&'static Stage, &Shown)| match shown.few_shot {
        true => !recipe.starts_from_models(), // worked examples are for a base model of our own
        false => {
            recipe.makes(stage.name) || recipe.there().any(|(name, _)| name.ends_with(&format!(".{}", stage.name)))
        }
    };
    STAGES.iter().copied().flat_map(|stage| stage.shown.iter().map(move |shown| (stage, shown))).filter(there)
}

/// One model's answers to all evaluation prompts, and what is thought of them.
struct Answered {
    model: String,
    answers: Vec<Answer>,
    rewards: Vec<f32>,
    golds: Vec<Gold>,
}

pub fn evaluate(p: &mut Pipeline, processor: &Processor, datasets: &Datasets, rankings: &Rankings) -> Result<Results> {
    let mut results =
        Results { recipe: p.recipe.name.clone(), seed: p.recipe.seed, device: p.device.name(), ..Results::default() };
    if let Some(judges) = &datasets.judges {
        results.world = judges.world.description();
    }
    p.reporter.begin("evaluation");
    let start = std::time::Instant::now();
    let judge = p.recipe.has_rm().then(|| training::load(&p.stage_dir("rm"), &p.device)).transpose()?;
    results.reward_model = judge.as_ref().map(|judge| reward_model(p, processor, rankings, judge));
    let prompts = eval_prompts(p, datasets);
    let answered = answer_all(p, processor, datasets, &prompts, judge.as_ref())?;
    for one in &answered {
        describe(one, &mut results);
    }
    if let Some(judges) = &datasets.judges {
        compare(p, &answered, &judges.with_noise(rankings.noise), &mut results);
    } else if judge.is_some() {
        compare_by_reward(p, &answered, &mut results);
    }
    measure_models(p, processor, datasets, &answered, &mut results)?;
    write_samples(p, &prompts, &answered)?;
    results.stages = p.stages.clone();
    let seconds = start.elapsed().as_secs_f64();
    results.stages.insert("evaluation".into(), crate::results::StageResult { seconds, steps: prompts.len() });
    results.seconds = results.stages.values().map(|s| s.seconds).sum();
    Ok(results)
}

fn eval_prompts<'a>(p: &Pipeline, datasets: &'a Datasets) -> Vec<&'a Prompt> {
    let most = if p.recipe.eval.prompts == 0 { usize::MAX } else { p.recipe.eval.prompts };
    datasets.eval_prompts.iter().take(most).collect()
}

// ---- the reward model ----------------------------------------------------------------------------------------------

fn reward_model(p: &Pipeline, processor: &Processor, rankings: &Rankings, judge: &Model) -> RewardModel {
    let tokens = p.recipe.token_budget();
    let mut out = RewardModel { labeler_agreement: rankings.agreement, ..RewardModel::default() };
    for (name, set) in &rankings.heldout {
        let accuracy = rm::accuracy(&judge.net, &judge.params, set, tokens);
        out.accuracy.insert(name.clone(), rate(accuracy));
        out.longer_wins.insert(name.clone(), longer_wins(processor, set));
    }
    // The contract's one figure: labelers of the training group on held-out prompts, or all held-out pairs of files.
    let main: Vec<&Rate> = match out.accuracy.get("heldout") {
        Some(one) => vec![one],
        None => out.accuracy.values().collect(),
    };
    let pairs: usize = main.iter().map(|r| r.n).sum();
    out.heldout_accuracy = main.iter().map(|r| r.rate * r.n as f64).sum::<f64>() / pairs.max(1) as f64;
    out.pairs = pairs;
    out.unseen_labeler_accuracy = out.accuracy.get("unseen_labelers").map(|r| r.rate);
    out
}

/// How often the longer answer (in characters) is the preferred one; equal lengths count one half.
fn longer_wins(processor: &Processor, set: &[Ranking]) -> f64 {
    let (mut hits, mut pairs) = (0.0, 0);
    for ranking in set {
        let lengths: Vec<usize> = ranking.completions.iter().map(|c| processor.text(c).chars().count()).collect();
        for c in rm::comparisons(&ranking.ranks, 0) {
            pairs += 1;
            hits += match lengths[c.better].cmp(&lengths[c.worse]) {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Less => 0.0,
            };
        }
    }
    hits / f64::from(pairs.max(1))
}

// ---- answers -------------------------------------------------------------------------------------------------------

fn answer_all(
    p: &Pipeline,
    processor: &Processor,
    datasets: &Datasets,
    prompts: &[&Prompt],
    judge: Option<&Model>,
) -> Result<Vec<Answered>> {
    let section = &p.recipe.eval;
    let mut out = Vec::new();
    let sizes = p.recipe.sizes();
    let asked: Vec<_> = asked(p.recipe).collect();
    let total = sizes.len() * asked.len();
    for size in sizes {
        for (stage, shown) in &asked {
            let name = format!("{size}.{}", shown.name);
            let model = training::load(&p.stage_dir(&stage.of_size(size)), &p.device)?;
            let shots = shown.few_shot;
            let sampler = Sampler { model, shots };
            // Every model answers with its own noise, the same at every evaluation.
            let rng = p.rng("evaluation").stream(&name);
            let answers =
                sampler.answer(processor, prompts, section.temperature, section.max_new_tokens, rng, |_| {
                    p.reporter.check_stop("the evaluation")
                })?;
            let read = answers.iter().zip(prompts).map(|(a, t)| judged(processor, t, a, shots));
            let sequences = read.collect::<Result<Vec<_>>>()?;
            let rewards =
                judge.map_or(Vec::new(), |j| rm::score(&j.net, &j.params, &sequences, p.recipe.token_budget()));
            let golds = match &datasets.judges {
                Some(judges) => golds(judges, prompts, &answers),
                None => Vec::new(),
            };
            out.push(Answered { model: name, answers, rewards, golds });
            p.reporter.tick(out.len(), total, &out[out.len() - 1].model);
        }
    }
    Ok(out)
}

/// What the reward model reads: the prompt without worked examples, the answer, and its end if it ended.
fn judged(processor: &Processor, prompt: &Prompt, answer: &Answer, shots: bool) -> Result<Vec<u32>> {
    if matches!(prompt.content, Content::Messages(_)) && !shots {
        return Ok(answer.sequence());
    }
    let mut tokens = processor.tokenizer.encode(&answer.text);
    if answer.ended {
        tokens.push(processor.eos);
    }
    Ok([prompt.ids(processor, tokens.len())?, tokens].concat())
}

fn golds(judges: &Judges, prompts: &[&Prompt], answers: &[Answer]) -> Vec<Gold> {
    prompts.iter().zip(answers).map(|(prompt, a)| judges.gold(prompt, &a.text, a.ended)).collect()
}

/// Figures that need no second model.
fn describe(one: &Answered, results: &mut Results) {
    let n = one.answers.len();
    let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / n.max(1) as f64;
    let put = |map: &mut ByModel<f64>, value: f64| map.insert(one.model.clone(), value);
    put(&mut results.answer_tokens, mean(&mut one.answers.iter().map(|a| a.tokens.len() as f64)));
    put(&mut results.ended, mean(&mut one.answers.iter().map(|a| f64::from(a.ended))));
    if !one.rewards.is_empty() {
        put(&mut results.proxy_reward, mean(&mut one.rewards.iter().map(|&r| f64::from(r))));
    }
    if one.golds.is_empty() {
        return;
    }
    put(&mut results.gold_score, mean(&mut one.golds.iter().map(|g| g.score)));
    let claims: Vec<bool> = one.golds.iter().filter_map(|g| g.truthful).collect();
    results.truthful.insert(one.model.clone(), share(&claims));
    let flags = |f: fn(&Gold) -> bool| share(&one.golds.iter().map(f).collect::<Vec<_>>());
    results.rude.insert(one.model.clone(), flags(|g| g.rude));
    results.correct.insert(one.model.clone(), flags(|g| g.correct));
}

fn share(flags: &[bool]) -> Rate {
    rate(Interval::wilson(flags.iter().filter(|f| **f).count() as f64, flags.len()))
}

/// Of no answers nothing is known: 0 to 1.
fn rate(i: Interval) -> Rate {
    if i.n == 0 {
        return Rate { rate: 0.0, low: 0.0, high: 1.0, n: 0 };
    }
    Rate { rate: i.rate, low: i.low, high: i.high, n: i.n }
}

// ---- comparisons ---------------------------------------------------------------------------------------------------

/// Win rates against the largest SFT model, and the duels that the paper's claim rests on.
fn compare(p: &Pipeline, answered: &[Answered], labelers: &Labelers, results: &mut Results) {
    let sizes = p.recipe.sizes();
    let (small, large) = (sizes[0], sizes[sizes.len() - 1]);
    let find = |name: &str| answered.iter().find(|a| a.model == name);
    let rng = p.rng("bootstrap");
    let against = format!("{large}.sft");
    let Some(opponent) = find(&against) else { return };
    let mut win = WinRate { against, ..WinRate::default() };
    for one in answered {
        let (gold, votes) = duel(one, opponent, labelers, rng.stream(&one.model));
        win.gold.insert(one.model.clone(), gold);
        win.labelers.insert(one.model.clone(), votes);
    }
    results.win_rate = Some(win);
    let best = format!("{small}.ppo_ptx");
    for other in [format!("{small}.sft"), format!("{large}.base"), format!("{large}.prompted")] {
        if let (Some(one), Some(two)) = (find(&best), find(&other)) {
            let name = format!("{best}>{other}");
            let (gold, votes) = duel(one, two, labelers, rng.stream(&name));
            results.head_to_head.insert(name, BTreeMap::from([("gold".into(), gold), ("labelers".into(), votes)]));
        }
    }
}

/// By gold with Wilson's interval; by labelers, several of whom vote on each prompt, with the bootstrap over prompts.
fn duel(one: &Answered, two: &Answered, labelers: &Labelers, rng: Rng) -> (Rate, Rate) {
    let n = one.golds.len();
    let gold: f64 = one.golds.iter().zip(&two.golds).map(|(a, b)| gold_prefers(a, b)).sum();
    let vote = |i: usize| labelers_prefer(&labelers.training, &one.golds[i], &two.golds[i], i);
    let votes: Vec<f64> = (0..n).map(vote).collect();
    (rate(Interval::wilson(gold, n)), rate(stats::bootstrap(&votes, 2000, rng)))
}

/// Where nobody can judge: what the reward model prefers. It says that optimisation works, no more.
fn compare_by_reward(p: &Pipeline, answered: &[Answered], results: &mut Results) {
    let against = if p.recipe.makes("sft") { "sft" } else { p.recipe.ppo_start() };
    results.preferred_against = against.into();
    for size in p.recipe.sizes() {
        let Some(sft) = answered.iter().find(|a| a.model == format!("{size}.{against}")) else { continue };
        for one in answered.iter().filter(|a| a.model.starts_with(&format!("{size}."))) {
            let point = |(a, b): (&f32, &f32)| if a == b { 0.5 } else { f64::from(a > b) };
            let hits = one.rewards.iter().zip(&sft.rewards).map(point).sum();
            let preferred = rate(Interval::wilson(hits, one.rewards.len()));
            results.preferred_by_reward_model.insert(one.model.clone(), preferred);
        }
    }
}

// ---- what was lost -------------------------------------------------------------------------------------------------

/// Loss on held-out text, skills of the pretraining domain, and KL from PPO's start.
fn measure_models(
    p: &Pipeline,
    processor: &Processor,
    datasets: &Datasets,
    answered: &[Answered],
    results: &mut Results,
) -> Result {
    let skills = match &datasets.judges {
        Some(judges) => judges.world.skills(p.recipe.eval.skills),
        None => Vec::new(),
    };
    let tokens = p.recipe.token_budget();
    let windows = processor.windows(&datasets.heldout_text, Rng::new(p.recipe.seed).stream("held-out windows"));
    let shown = match datasets.heldout_demonstrations.is_empty() {
        true => Vec::new(),
        false => processor.demonstrations(&datasets.heldout_demonstrations)?,
    };
    p.tell_cuts(processor, "held-out demonstrations");
    for size in p.recipe.sizes() {
        let reference = training::load(&p.stage_dir(&format!("{size}.{}", p.recipe.ppo_start())), &p.device)?;
        for (stage, _) in asked(p.recipe).filter(|(_, shown)| !shown.few_shot) {
            p.reporter.check_stop("the evaluation")?;
            let name = stage.of_size(size);
            let model = training::load(&p.stage_dir(&name), &p.device)?;
            let loss = |examples: &[Example]| lm::evaluate(&model.net, &model.params, examples, tokens);
            if !windows.is_empty() {
                results.loss_on_pretraining_text.insert(name.clone(), loss(&windows));
            }
            if !shown.is_empty() {
                results.loss_on_demonstrations.insert(name.clone(), loss(&shown));
            }
            for (task, solved) in solve(&model, processor, &skills, tokens) {
                results.skills.entry(task.into()).or_default().insert(name.clone(), solved);
            }
            if let Some(one) = answered.iter().find(|a| a.model == name) {
                results.kl_to_reference.insert(name, kl(&model, &reference, &one.answers, tokens));
            }
        }
    }
    Ok(())
}

/// Σ_t log π − log π_ref of an answer, averaged over answers that π gave.
fn kl(model: &Model, reference: &Model, answers: &[Answer], tokens: usize) -> f64 {
    let sequences: Vec<Vec<u32>> = answers.iter().map(Answer::sequence).collect();
    let read = |m: &Model| lm::logprobs(&m.net, &m.params, &sequences, tokens);
    let (ours, theirs) = (read(model), read(reference));
    let of = |i: usize| -> f64 {
        let first = answers[i].prompt.len() - 1; // entry t is about token t + 1
        ours[i][first..].iter().zip(&theirs[i][first..]).map(|(a, b)| f64::from(a - b)).sum()
    };
    (0..answers.len()).map(of).sum::<f64>() / answers.len().max(1) as f64
}

/// The share of items of every skill whose right continuation has the highest mean log-probability a token.
fn solve(model: &Model, processor: &Processor, skills: &[Skill], tokens: usize) -> BTreeMap<&'static str, f64> {
    let mut sequences = Vec::new();
    let mut starts = Vec::new();
    for skill in skills {
        let prefix = [vec![processor.eos], processor.tokenizer.encode(&skill.prefix)].concat();
        for choice in &skill.choices {
            starts.push(prefix.len());
            sequences.push([prefix.clone(), processor.tokenizer.encode(choice)].concat());
        }
    }
    let logp = lm::logprobs(&model.net, &model.params, &sequences, tokens);
    let mut marks = logp.iter().zip(starts).map(|(logp, start)| {
        let choice = &logp[start - 1..];
        choice.iter().sum::<f32>() / choice.len().max(1) as f32
    });
    let mut solved: BTreeMap<&'static str, (usize, usize)> = BTreeMap::new();
    for skill in skills {
        let marks: Vec<f32> = marks.by_ref().take(skill.choices.len()).collect();
        let best = (0..marks.len()).max_by(|&a, &b| marks[a].total_cmp(&marks[b]));
        let entry = solved.entry(skill.task).or_default();
        entry.0 += usize::from(best == Some(skill.answer));
        entry.1 += 1;
    }
    solved.into_iter().map(|(task, (hits, n))| (task, hits as f64 / n as f64)).collect()
}

fn write_samples(p: &Pipeline, prompts: &[&Prompt], answered: &[Answered]) -> Result {
    runlog::clear_samples(&p.dir)?;
    for i in 0..prompts.len().min(p.recipe.eval.samples) {
        let answer = |one: &Answered| {
            json!({
                "model": one.model,
                "text": one.answers[i].text,
                "ended": one.answers[i].ended,
                "reward": one.rewards.get(i).map(|&r| runlog::number(f64::from(r))),
                "gold": one.golds.get(i).map(|g| g.score),
            })
        };
        let answers: Vec<_> = answered.iter().map(answer).collect();
        p.reporter.sample(&json!({"prompt": prompts[i].text, "answers": answers}))?;
    }
    Ok(())
}
