//! Real data files, those that lie beside a checkout: what is found in them, and that nothing is lost.

use crate::support::shared;
use kernels::Rng;
use model::Tokenizer;
use rlhf_core::data::{self, Content, DataFile, Encoder, Inspection, Row};

fn load(path: &str) -> Option<DataFile> {
    Some(data::load_file(&shared(path)?).unwrap())
}

fn gpt2() -> Option<Tokenizer> {
    Some(Tokenizer::from_file(&shared("data/tokenizers/gpt2/encoder.json")?).unwrap())
}

const ROWS: [&str; 7] = [
    "data/demonstrations/oasst-demos.jsonl",
    "data/demonstrations/seed_tasks.jsonl",
    "data/demonstrations/user_oriented_instructions.jsonl",
    "data/preferences/hh-harmless.jsonl",
    "data/preferences/oasst-rankings.jsonl",
    "data/preferences/pandalm.jsonl",
    "data/preferences/realsumm.jsonl",
];

#[test]
fn every_file_is_what_its_source_says() {
    for (path, kind, lines) in [
        (ROWS[0], "demonstration", 143),
        (ROWS[1], "demonstration", 175),
        (ROWS[2], "demonstration", 252),
        (ROWS[3], "ranking", 1523),
        (ROWS[4], "ranking", 121),
        (ROWS[5], "ranking", 999),
        (ROWS[6], "ranking", 100),
        ("data/text/austen.txt", "text", 1),
    ] {
        let Some(file) = load(path) else { return };
        assert_eq!(file.formats.values().sum::<usize>(), lines, "{path}: {:?}", file.formats);
        assert_eq!(file.formats.len(), 1, "{path}: {:?}", file.formats);
        assert!(file.rows.len() >= lines && file.rows.iter().all(|row| row.kind() == kind), "{path}");
    }
}

#[test]
fn rankings_keep_their_order_and_ties() {
    let (Some(oasst), Some(panda), Some(hh)) = (load(ROWS[4]), load(ROWS[5]), load(ROWS[3])) else { return };
    for (_, completions, ranks) in data::rankings(&oasst.rows).unwrap() {
        assert!((2..=9).contains(&completions.len()));
        assert!(ranks.windows(2).all(|pair| pair[0] < pair[1]), "best first, no ties: {ranks:?}");
    }
    let ties = data::rankings(&panda.rows).unwrap().iter().filter(|(_, _, ranks)| ranks[0] == ranks[1]).count();
    assert!((1..500).contains(&ties), "{ties} ties");
    for (prompt, completions, _) in data::rankings(&hh.rows).unwrap() {
        assert!(matches!(prompt, Content::Text(text) if text.ends_with("\n\nAssistant:")));
        assert_eq!(completions.len(), 2);
    }
}

#[test]
fn the_split_is_by_prompt() {
    for path in ROWS {
        let Some(file) = load(path) else { return };
        let all = file.rows.len();
        let (train, held_out) = data::split(file.rows, 0.1, Rng::new(1));
        assert_eq!(train.len() + held_out.len(), all);
        assert!((all / 40..all / 5).contains(&held_out.len()), "{path}: {} of {all}", held_out.len());
        if let (Ok(train), Ok(held_out)) = (data::prompts(&train), data::prompts(&held_out)) {
            assert!(held_out.iter().all(|prompt| !train.contains(prompt)), "{path}");
        }
    }
}

#[test]
fn everything_fits_and_what_was_cut_is_counted() {
    let Some(tokenizer) = gpt2() else { return };
    for (path, context) in ROWS.into_iter().flat_map(|path| [(path, 48), (path, 4096)]) {
        let Some(file) = load(path) else { return };
        let mut encoder = Encoder::new(&tokenizer, context);
        let (demonstrations, rankings) = (encoder.demonstrations(&file.rows), encoder.rankings(&file.rows));
        let mut cut_ends = 0;
        for example in demonstrations.unwrap_or_default() {
            assert!(example.tokens.len() <= context && example.weights.len() == example.tokens.len());
            assert!(example.weights.contains(&1.0), "{path}: a row with nothing to train");
            cut_ends += (example.tokens.last() != Some(&tokenizer.eos())) as usize;
        }
        for ranking in rankings.unwrap_or_default() {
            assert!(ranking.completions.iter().all(|answer| ranking.prompt.len() + answer.len() <= context));
            cut_ends += ranking.completions.iter().filter(|answer| answer.last() != Some(&tokenizer.eos())).count();
        }
        assert_eq!(encoder.cuts.completions, cut_ends, "{path}");
        assert_eq!(encoder.cuts.any(), context == 48, "{path}: {}", encoder.cuts);
    }
}

#[test]
fn what_a_row_says_comes_back_from_its_tokens() {
    let Some(tokenizer) = gpt2() else { return };
    for path in ROWS {
        let Some(file) = load(path) else { return };
        for row in &file.rows {
            let text = match row {
                Row::Demonstration { prompt, completion } => {
                    data::prompt_text(prompt) + &data::completion_text(completion)
                }
                Row::Ranked { completions, .. } => completions.iter().map(data::completion_text).collect(),
                _ => unreachable!("{path} has only these two"),
            };
            assert_eq!(tokenizer.decode(&tokenizer.encode(&text)), text);
        }
    }
}

#[test]
fn text_is_cut_into_chunks_without_loss() {
    let (Some(tokenizer), Some(file)) = (gpt2(), load("data/text/tinyshakespeare.txt")) else { return };
    let texts = data::texts(&file.rows).unwrap();
    let chunks = data::chunks(&tokenizer, &texts, 256);
    let tokens: Vec<u32> = chunks.iter().flat_map(|chunk| chunk.tokens[1..].to_vec()).collect();
    assert!(tokenizer.decode_text(&tokens) == texts.concat());
    assert!(chunks[..chunks.len() - 1].iter().all(|chunk| chunk.tokens.len() == 256));
}

#[test]
fn files_of_other_kinds_are_refused_with_their_columns() {
    let Some(path) = shared("data/eval/gsm8k_test.jsonl") else { return };
    let message = data::load_file(&path).unwrap_err().to_string();
    assert!(message.contains("gsm8k_test.jsonl:1: no kind of row has the columns {answer, question}"), "{message}");
    let Some(path) = shared("data/eval/truthfulqa.csv") else { return };
    assert!(data::load_file(&path).unwrap_err().to_string().contains(".jsonl"));
}

#[test]
fn inspection_shows_real_files() {
    let Some(tokenizer) = gpt2() else { return };
    for path in ROWS.into_iter().chain(["data/text/tinystories_1m.txt"]) {
        let Some(file) = load(path) else { return };
        let inspection = Inspection::new(&file, Some((&tokenizer, 256)), 2);
        let (plain, color) = (inspection.render(false), inspection.render(true));
        assert!(plain.contains("tokens (") && plain.contains('⟦') && plain.contains('█'), "{plain}");
        assert!(!plain.contains('\x1b') && color.contains("\x1b[32m"), "{plain}");
    }
}

/// `cargo test --test it print_inspection -- --ignored --nocapture`
#[test]
#[ignore = "prints"]
fn print_inspection() {
    let Some(tokenizer) = gpt2() else { return };
    for path in ROWS {
        println!("{}", Inspection::new(&load(path).unwrap(), Some((&tokenizer, 512)), 1).render(false));
    }
}
