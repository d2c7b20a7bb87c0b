//! What the world promises.

use super::*;
use super::{demonstrations::rough_tokens, labelers::agreement};
use std::collections::{BTreeMap, HashSet};

fn world() -> World {
    World::new(1)
}

#[test]
fn every_word_is_in_the_lexicon_and_they_are_few() {
    let world = world();
    assert!(world.lexicon.len() < 420, "{} words", world.lexicon.len());
    let mut unknown = HashSet::new();
    let mut check = |text: &str| {
        let strange = words::words_of(text).filter(|word| world.lexicon.get(word) == words::UNKNOWN);
        unknown.extend(strange.map(str::to_string));
    };
    world.corpus("train", 3000).iter().for_each(|text| check(text));
    for prompt in world.prompts(Split::Rm, 2000) {
        check(&prompt.request.clone());
        prompt.good.iter().chain(&prompt.wrong).chain(&prompt.careless).for_each(|text| check(text));
    }
    check("Sure! Of course! Gladly! I hope that helps. How can I help? Answer");
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn texts_are_as_short_as_promised() {
    let world = world();
    for kind in UseCase::ALL {
        let prefix = rough_tokens(&world.few_shot_prefix(kind));
        for prompt in world.prompts_of(Split::Test, kind, 60) {
            let (ask, answer) = (rough_tokens(&prompt.text()), rough_tokens(&world.perfect(&prompt)) + 1);
            assert!(ask <= 34, "{ask}: {}", prompt.request);
            assert!(answer <= MAX_ANSWER, "{answer}: {}", world.perfect(&prompt));
            assert!(prefix + ask + MAX_ANSWER <= CONTEXT, "{} + {ask}: {}", prefix, prompt.request);
        }
    }
}

#[test]
fn splits_share_no_content() {
    let world = world();
    let mut owner: BTreeMap<String, Split> = BTreeMap::new();
    for split in Split::ALL {
        for prompt in world.prompts(split, 1500) {
            let other = *owner.entry(prompt.request.clone()).or_insert(split);
            assert_eq!(other, split, "{}", prompt.request);
        }
    }
}

#[test]
fn use_cases_have_the_papers_shares() {
    let prompts = world().prompts(Split::Ppo, 1000);
    for (kind, share) in UseCase::ALL.into_iter().zip(UseCase::SHARES) {
        let found = prompts.iter().filter(|prompt| prompt.use_case == kind).count() as f32 / 10.0;
        assert!((found - share).abs() < 0.7, "{}: {found} for {share}", kind.name());
    }
}

#[test]
fn a_perfect_answer_has_the_highest_score_and_every_flaw_costs() {
    let world = world();
    let mut draws = Rng::new(7).draws();
    for prompt in world.prompts(Split::Rm, 3000) {
        for good in &prompt.good {
            let plain = world.gold(&prompt, good, true);
            assert!(plain.correct && plain.score == 6.0, "{} -> {good}: {plain:?}", prompt.text());
        }
        let perfect = world.perfect(&prompt);
        let best = world.gold(&prompt, &perfect, true);
        assert_eq!(best.score, 7.0, "{} -> {perfect}: {best:?}", prompt.text());
        assert!(world.gold(&prompt, &perfect, false).score < 7.0);
        for flaw in [Flaw::Wrong, Flaw::Careless, Flaw::Rude, Flaw::Rambling] {
            if flaw == Flaw::Careless && prompt.careless.is_empty() {
                continue;
            }
            let answer = world.write(&prompt, Some(flaw), false, &mut draws);
            let gold = world.gold(&prompt, &answer, true);
            assert!(gold.score <= 5.3, "{flaw:?} {} -> {answer}: {gold:?}", prompt.text());
            assert_eq!(gold.rude, flaw == Flaw::Rude, "{answer}");
        }
        for wrong in &prompt.wrong {
            let gold = world.gold(&prompt, wrong, true);
            assert!(!gold.correct && gold.score <= 4.6, "{} -> {wrong}: {gold:?}", prompt.text());
        }
        for careless in &prompt.careless {
            assert_eq!(world.gold(&prompt, careless, true).constraint, Some(false), "{} -> {careless}", prompt.text());
        }
    }
}

#[test]
fn gaming_the_score_does_not_pay() {
    let world = world();
    for prompt in world.prompts(Split::Test, 500) {
        let perfect = world.perfect(&prompt);
        let tricks = [
            format!("Sure! Sure! {perfect}"),
            format!("{perfect} {perfect}"),
            format!("{perfect} xq zz zz."),
            format!("{perfect}\n{}", prompt.text()),
            format!("{perfect} {}", prompt.request),
            "Sure!".to_string(),
            "How can I help?".to_string(),
            String::new(),
            world.lexicon_dump(),
        ];
        for trick in tricks {
            let gold = world.gold(&prompt, &trick, true);
            assert!(gold.score <= 6.0, "{} -> {trick}: {gold:?}", prompt.text());
        }
        let mut words: Vec<&str> = prompt.good[0].trim_end_matches(['.', '!']).split(' ').collect();
        if words.len() > 3 && !matches!(prompt.rubric, Rubric::List { .. }) && words[1] != words[2] {
            words.reverse();
            let salad = format!("{}.", words.join(" "));
            let gold = world.gold(&prompt, &salad, true);
            assert!(gold.score < 5.0, "{} -> {salad}: {gold:?}", prompt.text());
        }
    }
}

impl World {
    fn lexicon_dump(&self) -> String {
        (1..self.lexicon.len() as u16).map(|word| self.lexicon.word(word)).collect::<Vec<_>>().join(" ") + "."
    }
}

#[test]
fn an_answer_to_another_prompt_is_worth_little() {
    let world = world();
    let prompts = world.prompts(Split::Test, 400);
    let swapped = prompts.iter().zip(prompts.iter().skip(1));
    let scores: Vec<f64> = swapped.map(|(one, other)| world.gold(one, &world.perfect(other), true).score).collect();
    let mean = scores.iter().sum::<f64>() / scores.len() as f64;
    assert!(mean < 2.7, "{mean}");
}

#[test]
fn demonstrations_have_the_flaws_of_the_configuration() {
    let world = world();
    let flaws = Flaws::default();
    let demonstrations = world.demonstrations(4000, &flaws);
    let rate = |of: &dyn Fn(&Demonstration) -> bool| {
        demonstrations.iter().filter(|d| of(d)).count() as f32 / demonstrations.len() as f32
    };
    let near = |found: f32, want: f32| assert!((found - want).abs() < 0.02, "{found} for {want}");
    near(rate(&|d| d.flaw == Some(Flaw::Wrong)), flaws.wrong);
    near(rate(&|d| d.flaw == Some(Flaw::Rude)), flaws.rude);
    near(rate(&|d| d.flaw == Some(Flaw::Rambling)), flaws.rambling);
    let constrained = rate(&|d| !d.prompt.careless.is_empty());
    near(rate(&|d| d.flaw == Some(Flaw::Careless)) / constrained, flaws.careless);
    near(rate(&|d| d.polite) / rate(&|d| d.flaw != Some(Flaw::Rude)), flaws.polite);
    assert!((0.2..0.32).contains(&rate(&|d| d.flaw.is_some())), "{}", rate(&|d| d.flaw.is_some()));
}

/// K answers such as models of different quality give.
fn simulated_answers(world: &World, prompt: &Prompt, k: usize, rng: Rng) -> Vec<Gold> {
    let mut draws = rng.draws();
    let mut answer = || {
        let flaws = [None, Some(Flaw::Wrong), Some(Flaw::Careless), Some(Flaw::Rude), Some(Flaw::Rambling)];
        let flaw = flaws[draws.weighted(&[0.45, 0.3, 0.1, 0.07, 0.08])];
        let polite = draws.chance(0.4);
        let text = world.write(prompt, flaw, polite, &mut draws);
        world.gold(prompt, &text, draws.chance(0.9))
    };
    (0..k).map(|_| answer()).collect()
}

#[test]
fn labelers_agree_as_the_papers_did() {
    let world = world();
    let prompts = world.prompts(Split::Rm, 400);
    let rng = Rng::new(3);
    let groups: Vec<Vec<Gold>> =
        (0..400).map(|i| simulated_answers(&world, &prompts[i], 4 + i % 6, rng.fold(i as u64))).collect();
    let mut labelers = Labelers::new(Rng::new(1));
    let before = agreement(&labelers.training, &groups);
    assert!((0.70..0.76).contains(&before.rate()), "{before:?} {}", before.rate());
    let noise = labelers.calibrate(&groups, labelers::PAPER_AGREEMENT);
    assert!((0.5..3.0).contains(&noise), "{noise}");
    let after = agreement(&labelers.training, &groups);
    assert!((after.rate() - labelers::PAPER_AGREEMENT).abs() < 0.01, "{}", after.rate());
    let heldout = agreement(&labelers.heldout, &groups);
    assert!((0.68..0.78).contains(&heldout.rate()), "{}", heldout.rate());
    let ranks = labelers.training[0].rank(&groups[0], 5);
    assert_eq!(ranks.iter().min(), Some(&0));
    assert_eq!(ranks, labelers.training[0].rank(&groups[0], 5));
}

#[test]
fn one_mention_in_five_is_false() {
    let world = world();
    let (mut right, mut all) = (0, 0);
    for text in world.corpus("train", 4000) {
        if text.contains(MARKER) {
            continue;
        }
        for sentence in text.split_inclusive(['.', '!', '?', ':']) {
            if let Some(grammar::Claim::Fact { holds, .. }) = world.claim(&world.lexicon.read(sentence)) {
                all += 1;
                right += holds as usize;
            }
        }
    }
    let wrong = 1.0 - right as f64 / all as f64;
    assert!(all > 3000 && (0.15..0.25).contains(&wrong), "{wrong} of {all}");
}

#[test]
fn the_same_seed_gives_the_same_world() {
    let (one, two, three) = (World::new(5), World::new(5), World::new(6));
    assert_eq!(one.corpus("train", 200), two.corpus("train", 200));
    assert_ne!(one.corpus("train", 200), three.corpus("train", 200));
    assert_ne!(one.corpus("train", 200), one.corpus("heldout", 200));
    assert_eq!(one.examples(40), two.examples(40));
    assert_eq!(one.skills(20), two.skills(20));
}

#[test]
fn skill_tests_have_one_right_choice() {
    for skill in world().skills(100) {
        assert!(skill.answer < skill.choices.len());
        let different: HashSet<&String> = skill.choices.iter().collect();
        assert_eq!(different.len(), skill.choices.len(), "{skill:?}");
        assert!(skill.choices.iter().all(|choice| choice.starts_with(' ')), "{skill:?}");
        assert!(!skill.prefix.ends_with(' '), "{skill:?}");
    }
}

#[test]
fn making_and_judging_are_fast() {
    let world = world();
    let start = std::time::Instant::now();
    let words: usize = world.corpus("train", 20_000).iter().map(|text| words::words_of(text).count()).sum();
    let rate = words as f64 / start.elapsed().as_secs_f64();
    let prompts = world.prompts(Split::Ppo, 2000);
    let answers: Vec<String> = prompts.iter().map(|prompt| world.perfect(prompt)).collect();
    let start = std::time::Instant::now();
    let total: f64 = (0..10)
        .flat_map(|_| prompts.iter().zip(&answers))
        .map(|(prompt, answer)| world.gold(prompt, answer, true).score)
        .sum();
    let judged = total / 7.0 / start.elapsed().as_secs_f64();
    println!("{rate:.0} words/s, {judged:.0} answers/s");
    // Generous bounds: tests share the machine.
    assert!(rate > 1e5 && judged > 2e4, "{rate:.0} words/s, {judged:.0} answers/s");
}

#[test]
fn examples_can_be_read() {
    let text = world().examples(20);
    println!("{}\n{text}", world().description());
    assert!(text.contains("perfect 7.00"));
}
