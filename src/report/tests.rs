//! A report from invented figures. NOTHING HERE WAS MEASURED.

use super::sections::SECTIONS;
use super::*;
use crate::results::{Rate, RewardModel, StageResult, WinRate};
use serde_json::json;

fn rate(rate: f64) -> Rate {
    Rate { rate, low: rate - 0.04, high: rate + 0.04, n: 500 }
}

const KINDS: [&str; 6] = ["base", "prompted", "init", "sft", "ppo", "ppo_ptx"];

/// By size and kind, in the order of [`KINDS`].
fn table(small: [f64; 6], large: [f64; 6]) -> BTreeMap<String, f64> {
    let of = |size: &str, row: [f64; 6]| {
        KINDS.iter().zip(row).map(|(kind, value)| (format!("{size}.{kind}"), value)).collect::<Vec<_>>()
    };
    of("S", small).into_iter().chain(of("L", large)).collect()
}

fn rates(small: [f64; 6], large: [f64; 6]) -> BTreeMap<String, Rate> {
    table(small, large).into_iter().map(|(model, value)| (model, rate(value))).collect()
}

fn duel(gold: f64, labelers: f64) -> BTreeMap<String, Rate> {
    BTreeMap::from([("gold".to_string(), rate(gold)), ("labelers".to_string(), rate(labelers))])
}

/// PPO wins by gold, is even by labelers, and less truthful than SFT.
fn invented_results() -> Results {
    Results {
        recipe: "INVENTED FIGURES, for a test of the page".into(),
        seed: 1,
        seconds: 700.0,
        device: "cpu".into(),
        stages: BTreeMap::from([("S.base".into(), StageResult { seconds: 61.0, steps: 100 })]),
        reward_model: Some(RewardModel {
            heldout_accuracy: 0.7,
            unseen_labeler_accuracy: Some(0.69),
            labeler_agreement: Some(0.73),
            pairs: 4000,
            accuracy: BTreeMap::from([("heldout".into(), rate(0.7)), ("unseen_labelers".into(), rate(0.69))]),
            longer_wins: BTreeMap::from([("heldout".into(), 0.52), ("unseen_labelers".into(), 0.7)]),
        }),
        win_rate: Some(WinRate {
            against: "L.sft".into(),
            gold: rates([0.05, 0.17, 0.3, 0.44, 0.5, 0.52], [0.08, 0.2, 0.4, 0.5, 0.62, 0.54]),
            labelers: rates([0.3, 0.35, 0.4, 0.47, 0.5, 0.5], [0.3, 0.35, 0.45, 0.5, 0.52, 0.5]),
        }),
        head_to_head: BTreeMap::from([
            ("S.ppo_ptx>L.base".into(), duel(0.93, 0.74)),
            ("S.ppo_ptx>S.sft".into(), duel(0.44, 0.5)),
        ]),
        loss_on_pretraining_text: table([1.0, 1.0, 1.038, 3.2, 1.118, 1.005], [0.9, 0.9, 1.008, 3.0, 1.067, 0.983]),
        kl_to_reference: table([2.0, 2.0, 0.0, 1.0, 2.8, 2.5], [2.0, 2.0, -0.001, 1.0, 2.8, 2.5]),
        truthful: rates([0.3, 0.4, 0.6, 0.75, 0.63, 0.59], [0.7, 0.5, 0.6, 0.78, 0.68, 0.76]),
        rude: rates([0.3, 0.2, 0.1, 0.1, 0.05, 0.05], [0.3, 0.2, 0.1, 0.1, 0.05, 0.05]),
        world: "No world either.".into(),
        correct: rates([0.1, 0.2, 0.2, 0.32, 0.23, 0.25], [0.1, 0.2, 0.3, 0.43, 0.35, 0.4]),
        answer_tokens: table([25.0, 20.0, 15.0, 12.0, 10.0, 11.5], [25.0, 20.0, 15.0, 12.0, 14.0, 12.0]),
        ended: table([0.1; 6], [0.9; 6]),
        proxy_reward: table([-1.52, -1.1, -0.51, -0.14, 0.5, 0.4], [-1.52, -1.1, -0.51, -0.14, 0.5, 0.4]),
        gold_score: table([1.5, 2.0, 2.5, 3.0, 3.5, 3.2], [1.5, 2.0, 2.5, 3.0, 3.5, 3.2]),
        skills: BTreeMap::from([("facts".into(), table([1.0; 6], [1.0, 1.0, 1.0, 1.0, 0.5, 1.0]))]),
        loss_on_demonstrations: BTreeMap::new(),
        preferred_by_reward_model: BTreeMap::new(),
        preferred_against: String::new(),
    }
}

fn write_invented_run(dir: &Path, results: &Results) {
    results.write(dir).unwrap();
    let mut log = crate::runlog::RunLog::open(dir).unwrap();
    for step in 1..=300 {
        let x = step as f64;
        for (stage, base) in [("S.base", 4.0), ("L.base", 3.6)] {
            log.step(stage, step, 300, &[("loss", base * (-x / 200.0).exp() + 1.0 + 0.05 * x.sin())]).unwrap();
        }
    }
    for (stage, steps) in [("S.ppo", 40), ("S.ppo_ptx", 40), ("L.ppo", 40), ("L.ppo_ptx", 4)] {
        for step in 1..=steps {
            let x = step as f64;
            let figures = [
                ("objective/kl", 0.3 * x + x.cos()),
                ("val/ratio", if stage == "L.ppo" && x > 20.0 { 1.9 } else { 1.0 }),
                ("objective/scores", if stage == "L.ppo" { x.sin() } else { x.sqrt() }),
                ("gold", x.sqrt() - if stage == "S.ppo" { 0.004 * x * x } else { 0.0 }),
            ];
            log.step(stage, step, steps, &figures).unwrap();
        }
    }
    log.sample(&json!({"prompt": "Say <b>hello</b> & smile.", "answers": [
        {"model": "S.base", "text": "What is this? What is that?", "reward": -1.2, "gold": -3.0, "ended": false},
        {"model": "S.ppo_ptx", "text": "Hello, my friend.", "reward": 1.9, "gold": 2.5, "ended": true}]}))
        .unwrap();
    std::fs::write(dir.join("environment.json"), "{\"cpu\": \"none\"}").unwrap();
    std::fs::create_dir_all(dir.join("L.ppo_ptx")).unwrap();
    let recipe = crate::stages::load("mini", &[]).unwrap();
    std::fs::write(dir.join("recipe.toml"), recipe.to_toml()).unwrap();
}

/// The run's page, and what each of its sections found.
fn written(results: &Results) -> (String, BTreeMap<&'static str, String>) {
    let temporary = tempfile::tempdir().unwrap();
    let dir = std::env::var_os("RLHF_KEEP_TEST_REPORT").map_or(temporary.path().join("it's a run"), Into::into);
    std::fs::create_dir_all(&dir).unwrap();
    write_invented_run(&dir, results);
    write(&dir).unwrap();
    assert!(std::fs::read_to_string(dir.join("figure1.svg")).unwrap().contains("prefers-color-scheme: dark"));
    let run = Run::read(&dir).unwrap();
    let sections = SECTIONS.iter().filter_map(|section| section(&run));
    let found = sections.map(|s| (s.id, s.found.join("\n"))).collect();
    (std::fs::read_to_string(dir.join("report.html")).unwrap(), found)
}

#[test]
fn a_report_is_one_file_that_says_its_judges_are_programs() {
    let (page, _) = written(&invented_results());
    assert!(page.contains("The judges are programs."));
    assert!(page.contains("Win rate against L.sft, by gold"));
    assert!(page.contains("Say &lt;b&gt;hello&lt;/b&gt; &amp; smile."));
    let warnings: Vec<&str> = page.split("<li><b>").skip(1).collect();
    assert!(warnings.len() == 1 && warnings[0].starts_with("L.ppo</b>: val/ratio = 1.9000"), "{warnings:?}");
    assert!(!page.contains("NaN") && !page.contains("-0.00"));
    for outside in ["<script", "src=\"http", "<link", "@import", "url("] {
        assert!(!page.contains(outside), "the page must need nothing from elsewhere: {outside}");
    }
    assert_eq!(page.matches("<svg").count(), page.matches("<desc>").count());
    for link in page.split("href=\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(page.contains(&format!("<section id=\"{link}\">")), "{link}");
    }
}

#[test]
fn a_newcomer_finds_sizes_names_columns_and_commands() {
    let (page, _) = written(&invented_results());
    for words in [
        "<dt>S</dt><dd>0.13 million parameters; llama, 3 layers of 48 channels.</dd>",
        "<dt>L</dt><dd>1.44 million parameters",
        "<dt>ppo_ptx</dt><dd>the same, with steps on pretraining text",
        "<dt>rude ↓</dt><dd>completions with a rude word.",
        "L has 1.44 million parameters; the smallest GPT-2 has 124 million, 86 times as many",
        "href=\"https://arxiv.org/abs/2203.02155\"",
        "<td>itself</td>",
    ] {
        assert!(page.contains(words), "{words}");
    }
    let chat = page.split("<pre>rlhf chat --model ").nth(1).unwrap();
    assert!(chat.split("</pre>").next().unwrap().ends_with("it'\\''s a run/L.ppo_ptx'"), "{chat}");
    let again = page.split("<pre>rlhf run ").nth(1).unwrap().split("</pre>").next().unwrap();
    assert!(again.contains("a run/recipe.toml' --out ") && again.ends_with("a run-again' --device cpu"), "{again}");
}

#[test]
fn each_section_says_what_came_out() {
    let (_, found) = written(&invented_results());
    let says = |section: &str, words: &[&str]| {
        let text = &found[section];
        words.iter().for_each(|words| assert!(text.contains(words), "{section}: {words}\n{text}"));
    };
    says(
        "preferred",
        &[
            "<i>By gold.</i> In the paper PPO is preferred to SFT",
            "<b>too</b>: S.ppo_ptx against L.base 93 % (89–97), L.ppo against L.sft 62 % (58–66)",
            "<b>no clear difference</b>: L.ppo_ptx against L.sft 54 % (50–58)",
            "<b>the other is preferred</b>: S.ppo_ptx against S.sft 44 % (40–48)",
            "<i>By labelers.</i> In the paper",
            "agree on 73.0 %",
            "Gold's 62 % (58–66) for L.ppo would be about 58 % by such labelers; theirs is 52 % (48–56).",
        ],
    );
    says(
        "manners",
        &[
            "PPO is more truthful than base",
            "<b>less truthful</b>: S.ppo 63 % (59–67) and S.ppo_ptx 59 % (55–63) against S.sft 75 % (71–79)",
            "<b>As in the paper</b>, PPO is less toxic than base",
        ],
    );
    says(
        "reward-model",
        &[
            "<b>better</b>: held out 70 % (66–74), unseen labelers 69 % (65–73)",
            "<b>not clearly better</b>: unseen labelers 69 %",
        ],
    );
    says(
        "reward-model",
        &["<b>no clear difference</b>: unseen labelers 69 % (65–73) against known labelers 70 % (66–74)"],
    );
    says(
        "alignment-tax",
        &[
            "<b>As in the paper</b>, PPO forgets some of what pretraining taught: S.ppo 1.12 against S.base 1.00",
            "<b>As in the paper</b>, PPO-ptx forgets less than PPO",
            "<b>worse</b>: L.ppo 50 %",
        ],
    );
    says(
        "proxy-and-gold",
        &[
            "S.ppo: <b>over-optimised",
            "S.ppo_ptx: <b>gold rises with the proxy</b>",
            "L.ppo: <b>the proxy does not clearly rise</b>",
            "Too few batches to tell: L.ppo_ptx.",
        ],
    );
    says(
        "lengths",
        &[
            "<b>longer</b>: L.ppo 14.0 against L.sft 12.0",
            "<b>within one token</b>: S.ppo_ptx 11.5",
            "<b>shorter</b>: S.ppo 10.0",
        ],
    );
}

#[test]
fn without_judges_the_reward_model_speaks_for_itself() {
    let results = Results {
        win_rate: None,
        head_to_head: BTreeMap::new(),
        truthful: BTreeMap::new(),
        correct: BTreeMap::new(),
        rude: BTreeMap::new(),
        gold_score: BTreeMap::new(),
        skills: BTreeMap::new(),
        preferred_against: "sft".into(),
        preferred_by_reward_model: BTreeMap::from([("L.ppo".into(), rate(0.83))]),
        loss_on_demonstrations: BTreeMap::from([("L.base".into(), 1.85), ("L.sft".into(), 1.75)]),
        ..invented_results()
    };
    let temporary = tempfile::tempdir().unwrap();
    write_invented_run(temporary.path(), &results);
    let run = Run::read(temporary.path()).unwrap();
    let page = html::page(&run);
    assert!(page.contains("No person judged") && !page.contains("<section id=\"manners\">"));
    assert!(page.contains("By the reward model PPO: <b>wins</b>: L.ppo against sft 83 % (79–87)."));
    assert!(page.contains("<b>lower</b>: L.sft 1.75 against L.base 1.85."));
}

#[test]
fn the_text_table_has_a_row_a_model() {
    let text = text_table(&invented_results(), &["S".into(), "L".into()]);
    assert!(text.contains("the judges are programs"));
    assert_eq!(
        text.lines().filter(|l| l.starts_with("S.") && l.contains('–') && !l.contains('>')).count(),
        6,
        "{text}"
    );
}
