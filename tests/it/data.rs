//! Real data files, those that lie beside a checkout: what is found in them, and that nothing is lost.

use crate::support::shared;
use kernels::Rng;
use model::Tokenizer;
use rlhf_core::data::{self, Content, DataFile, Inspection, Processor, Row, Template};

fn load(path: &str) -> Option<DataFile> {
    Some(data::load_file(&shared(path)?).unwrap())
}

fn gpt2(context: usize) -> Option<Processor> {
    let tokenizer = Tokenizer::from_file(&shared("data/tokenizers/gpt2/encoder.json")?).unwrap();
    Some(Processor::new(tokenizer, context, Template::dialogue(), &[]).unwrap())
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
    // hh-rlhf's dialogues are conversations, and as text what they were.
    let lines = std::fs::read_to_string(shared(ROWS[3]).unwrap()).unwrap();
    let template = Template::dialogue();
    for ((prompt, completions, _), line) in data::rankings(&hh.rows).unwrap().iter().zip(lines.lines()) {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(matches!(prompt, Content::Messages(_)), "{line}");
        assert_eq!(completions.len(), 2);
        for (completion, column) in completions.iter().zip(["chosen", "rejected"]) {
            let (before, after) = template.pair_text(prompt, completion).unwrap();
            assert_eq!([before.as_str(), &after], [&line["prompt"], &line[column]].map(|text| text.as_str().unwrap()));
        }
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
    for (path, context) in ROWS.into_iter().flat_map(|path| [(path, 48), (path, 4096)]) {
        let (Some(file), Some(processor)) = (load(path), gpt2(context)) else { return };
        let (demonstrations, rankings) = (processor.demonstrations(&file.rows), processor.rankings(&file.rows));
        let mut cut_ends = 0;
        for example in demonstrations.unwrap_or_default() {
            assert!(example.tokens.len() <= context && example.weights.len() == example.tokens.len());
            assert!(example.weights.contains(&1.0), "{path}: a row with nothing to train");
            cut_ends += (example.tokens.last() != Some(&processor.eos)) as usize;
        }
        for ranking in rankings.unwrap_or_default() {
            assert!(ranking.completions.iter().all(|answer| ranking.prompt.len() + answer.len() <= context));
            cut_ends += ranking.completions.iter().filter(|answer| answer.last() != Some(&processor.eos)).count();
        }
        let cuts = processor.take_cuts();
        assert_eq!(cuts.completions, cut_ends, "{path}");
        assert_eq!(cuts.any(), context == 48, "{path}: {cuts}");
    }
}

#[test]
fn what_a_row_says_comes_back_from_its_tokens() {
    let Some(processor) = gpt2(4096) else { return };
    for path in ROWS {
        let Some(file) = load(path) else { return };
        for row in &file.rows {
            let (prompt, completions) = match row {
                Row::Demonstration { prompt, completion } => (prompt, std::slice::from_ref(completion)),
                Row::Ranked { prompt, completions, .. } => (prompt, &completions[..]),
                _ => unreachable!("{path} has only these two"),
            };
            for (completion, sequence) in completions.iter().zip(processor.sequences_of(row).unwrap()) {
                let (prompt, completion) = processor.template.pair_text(prompt, completion).unwrap();
                let start = if prompt.is_empty() { "<|endoftext|>" } else { "" };
                let text = format!("{start}{prompt}{completion}<|endoftext|>");
                assert_eq!(processor.tokenizer.decode(&sequence.tokens), text);
            }
        }
    }
}

#[test]
fn text_is_cut_into_chunks_without_loss() {
    let (Some(processor), Some(file)) = (gpt2(256), load("data/text/tinyshakespeare.txt")) else { return };
    let texts = data::texts(&file.rows).unwrap();
    let chunks = processor.windows_in_order(texts.iter().copied());
    let tokens: Vec<u32> = chunks.iter().flat_map(|chunk| chunk.tokens[1..].to_vec()).collect();
    assert!(processor.tokenizer.decode_text(&tokens) == texts.concat());
    assert!(chunks[..chunks.len() - 1].iter().all(|chunk| chunk.tokens.len() == 256));
}

#[test]
fn files_of_other_kinds_are_refused_with_their_columns() {
    let Some(path) = shared("data/eval/gsm8k_test.jsonl") else { return };
    let message = data::load_file(&path).unwrap_err().to_string();
    assert!(message.contains("gsm8k_test.jsonl:1: no kind of row has the columns {question, answer}"), "{message}");
    let Some(path) = shared("data/eval/truthfulqa.csv") else { return };
    assert!(data::load_file(&path).unwrap_err().to_string().contains(".jsonl"));
}

#[test]
fn inspection_shows_real_files() {
    let Some(processor) = gpt2(256) else { return };
    for path in ROWS.into_iter().chain(["data/text/tinystories_1m.txt"]) {
        let Some(file) = load(path) else { return };
        let inspection = Inspection::new(&file, Some(&processor), 2).unwrap();
        let (plain, color) = (inspection.render(false), inspection.render(true));
        assert!(plain.contains("tokens (") && plain.contains('⟦') && plain.contains('█'), "{plain}");
        assert!(!plain.contains('\x1b') && color.contains("\x1b[32m"), "{plain}");
    }
}

/// `cargo test --test it print_inspection -- --ignored --nocapture`
#[test]
#[ignore = "prints"]
fn print_inspection() {
    let Some(processor) = gpt2(512) else { return };
    for path in ROWS {
        println!("{}", Inspection::new(&load(path).unwrap(), Some(&processor), 1).unwrap().render(false));
    }
}
