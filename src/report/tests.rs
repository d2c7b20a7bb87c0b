//! A report from invented figures. NOTHING HERE WAS MEASURED.

use super::*;
use crate::results::{Rate, RewardModel, StageResult, WinRate};
use serde_json::json;

fn rate(rate: f64) -> Rate {
    Rate { rate, low: rate - 0.04, high: rate + 0.04, n: 500 }
}

fn invented_results() -> Results {
    let kinds = [("base", 0.05), ("prompted", 0.17), ("sft", 0.4), ("ppo", 0.55), ("ppo_ptx", 0.6)];
    let each = |f: &dyn Fn(f64, usize) -> f64| -> BTreeMap<String, f64> {
        let sizes = ["S", "L"].iter().enumerate();
        sizes.flat_map(|(i, s)| kinds.map(|(k, v)| (format!("{s}.{k}"), f(v, i)))).collect()
    };
    let rates = |f: &dyn Fn(f64, usize) -> f64| each(f).into_iter().map(|(k, v)| (k, rate(v))).collect();
    let duel = BTreeMap::from([("gold".to_string(), rate(0.61)), ("labelers".to_string(), rate(0.57))]);
    Results {
        recipe: "INVENTED FIGURES, for a test of the page".into(),
        seed: 1,
        seconds: 700.0,
        device: "no device".into(),
        stages: BTreeMap::from([("S.base".into(), StageResult { seconds: 61.0, steps: 100 })]),
        reward_model: Some(RewardModel {
            heldout_accuracy: 0.7,
            unseen_labeler_accuracy: Some(0.69),
            labeler_agreement: Some(0.73),
            pairs: 4000,
            accuracy: BTreeMap::from([("heldout".into(), rate(0.7)), ("unseen_labelers".into(), rate(0.69))]),
            longer_wins: BTreeMap::from([("heldout".into(), 0.52), ("unseen_labelers".into(), 0.51)]),
        }),
        win_rate: Some(WinRate {
            against: "L.sft".into(),
            gold: rates(&|v, i| v + 0.1 * i as f64),
            labelers: rates(&|v, i| 0.2 + 0.6 * v + 0.1 * i as f64),
        }),
        head_to_head: BTreeMap::from([("S.ppo_ptx>L.base".into(), duel)]),
        loss_on_pretraining_text: each(&|v, i| 3.0 + v - i as f64),
        kl_to_reference: each(&|v, _| 10.0 * v),
        truthful: rates(&|v, _| v + 0.1),
        rude: rates(&|v, _| 0.1 * v + 0.05),
        world: "No world either.".into(),
        correct: rates(&|v, _| v),
        answer_tokens: each(&|v, _| 10.0 + 20.0 * v),
        ended: each(&|v, _| v),
        proxy_reward: each(&|v, _| v - 0.5),
        gold_score: each(&|v, _| 3.0 * v),
        skills: BTreeMap::from([("copying_words".into(), each(&|v, _| 1.0 - v))]),
        loss_on_demonstrations: BTreeMap::new(),
        preferred_by_reward_model: BTreeMap::new(),
        preferred_against: String::new(),
    }
}

fn write_invented_run(dir: &Path) {
    invented_results().write(dir).unwrap();
    let mut log = crate::runlog::RunLog::open(dir).unwrap();
    for step in 1..=300 {
        let x = step as f64;
        for (stage, base) in [("S.base", 4.0), ("L.base", 3.6)] {
            log.step(stage, step, 300, &[("loss", base * (-x / 200.0).exp() + 1.0 + 0.05 * x.sin())]).unwrap();
        }
    }
    for step in 1..=40 {
        let x = step as f64;
        for stage in ["S.ppo", "S.ppo_ptx", "L.ppo", "L.ppo_ptx"] {
            let figures = [
                ("objective/kl", 0.3 * x + x.cos()),
                ("val/ratio", if stage == "L.ppo" && x > 20.0 { 1.9 } else { 1.0 }),
                ("objective/scores", x.sqrt()),
                ("gold", x.sqrt() - 0.004 * x * x),
            ];
            log.step(stage, step, 40, &figures).unwrap();
        }
    }
    log.sample(&json!({"prompt": "Say <b>hello</b> & smile.", "answers": [
        {"model": "S.base", "text": "What is this? What is that?", "reward": -1.2, "gold": -3.0, "ended": false},
        {"model": "S.ppo_ptx", "text": "Hello, my friend.", "reward": 1.9, "gold": 2.5, "ended": true}]}))
        .unwrap();
    std::fs::write(dir.join("environment.json"), "{\"cpu\": \"none\"}").unwrap();
    let recipe = crate::stages::load("mini", &[]).unwrap();
    std::fs::write(dir.join("recipe.toml"), recipe.to_toml()).unwrap();
}

#[test]
fn a_report_is_one_file_that_says_its_judges_are_programs() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = std::env::var_os("RLHF_KEEP_TEST_REPORT").map_or(temporary.path().to_path_buf(), Into::into);
    write_invented_run(&dir);
    write(&dir).unwrap();
    let page = std::fs::read_to_string(dir.join("report.html")).unwrap();
    assert!(page.contains("The judges are programs."));
    assert!(page.contains("Win rate against L.sft, judged by gold"));
    assert!(page.contains("Say &lt;b&gt;hello&lt;/b&gt; &amp; smile."));
    let warnings: Vec<&str> = page.split("<li><b>").skip(1).collect();
    assert!(warnings.len() == 1 && warnings[0].starts_with("L.ppo</b>: val/ratio = 1.9000"), "{warnings:?}");
    assert!(!page.contains("NaN"));
    for outside in ["<script", "src=\"http", "href=\"http", "<link"] {
        assert!(!page.contains(outside), "the page must need nothing from elsewhere: {outside}");
    }
    assert!(std::fs::read_to_string(dir.join("figure1.svg")).unwrap().contains("prefers-color-scheme: dark"));
}

#[test]
fn the_text_table_has_a_row_a_model() {
    let text = text_table(&invented_results(), &["S".into(), "L".into()]);
    assert!(text.contains("the judges are programs"));
    assert_eq!(text.lines().filter(|l| l.starts_with("S.") && l.contains('–')).count(), 6, "{text}");
}
