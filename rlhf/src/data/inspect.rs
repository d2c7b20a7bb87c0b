//! What `rlhf inspect FILE` says of a data file: what was found, how long it is, what of it would be trained.

use std::collections::BTreeMap;

use serde::Serialize;

use super::batch::Example;
use super::cuts::Cuts;
use super::error::DataError;
use super::processor::Processor;
use super::read::{DataFile, unused_report};
use super::rows::Row;
use super::template::Template;
use super::wanted;
use crate::printable;

/// Characters of one part of a sample that are shown.
const SHOWN: usize = 480;
const BAR: usize = 40;

/// Statistics of a data file: what is in it, and what of it would be trained.
#[derive(Debug, Serialize)]
pub struct Inspection {
    /// The file.
    pub path: String,
    /// Kinds of lines, by their columns.
    pub formats: BTreeMap<String, usize>,
    /// Rows of each kind.
    pub rows: BTreeMap<&'static str, usize>,
    /// How long its rows are.
    pub lengths: Lengths,
    /// Sequences as they would be trained, and how many of their tokens count. Only with a tokenizer.
    pub trained: Option<Trained>,
    /// What looks wrong.
    pub warnings: Vec<String>,
    /// The first sequences as they would be trained.
    pub sequences: Vec<Sequence>,
    #[serde(skip)]
    samples: Vec<Sample>,
}

#[derive(Debug, Serialize)]
pub struct Sequence {
    pub ids: Vec<u32>,
    pub trained: Vec<bool>,
}

impl From<Example> for Sequence {
    fn from(example: Example) -> Sequence {
        Sequence { trained: example.weights.iter().map(|&weight| weight != 0.0).collect(), ids: example.tokens }
    }
}

#[derive(Debug, Serialize)]
pub struct Trained {
    pub context: usize,
    pub sequences: usize,
    pub tokens: usize,
    pub trained_tokens: usize,
    pub cuts: Cuts,
}

/// How long the rows are, before anything is cut: a prompt with its longest completion.
#[derive(Debug, Default, Serialize)]
pub struct Lengths {
    /// "tokens", or "characters" where there is no tokenizer.
    pub unit: &'static str,
    pub min: usize,
    pub median: usize,
    pub p95: usize,
    pub max: usize,
    pub total: usize,
    /// Upper end of each bin, and the rows in it.
    pub histogram: Vec<(usize, usize)>,
}

/// A piece of text, and whether it is trained.
type Sample = Vec<(String, bool)>;

impl Inspection {
    /// `processor`: of the model that would be trained. `samples`: how many rows to show.
    pub fn new(file: &DataFile, processor: Option<&Processor>, samples: usize) -> Result<Inspection, DataError> {
        let mut kinds = BTreeMap::new();
        file.rows.iter().for_each(|row| *kinds.entry(row.kind()).or_default() += 1);
        let mut inspection = Inspection {
            path: file.path.display().to_string(),
            formats: file.formats.clone(),
            rows: kinds,
            lengths: Lengths::default(),
            trained: None,
            warnings: rankings_without_order(&file.rows).into_iter().chain(unused_report(&file.unused)).collect(),
            sequences: vec![],
            samples: vec![],
        };
        match processor {
            Some(processor) => inspection.encode(file, processor, samples)?,
            None => {
                let template = Template::dialogue();
                let texts = file.rows.iter().map(|row| plain_sample(row, &template)).collect::<Result<Vec<_>, _>>()?;
                let count = |(text, _): &(String, bool)| text.chars().count();
                let completion = |sample: &Sample| sample[1..].iter().filter(|(_, trained)| *trained).map(count).max();
                let length = |sample: &Sample| count(&sample[0]) + completion(sample).unwrap_or(0);
                inspection.lengths = Lengths::of(texts.iter().map(length).collect(), "characters");
                inspection.samples = texts.into_iter().take(samples).collect();
            }
        }
        Ok(inspection)
    }

    /// What becomes of the rows for a model: lengths, counts, warnings, and samples with what is trained.
    fn encode(&mut self, file: &DataFile, processor: &Processor, samples: usize) -> Result<(), DataError> {
        let (mut lengths, mut completions) = (vec![], vec![]);
        let (mut comparisons, mut equals) = (0, 0);
        let mut notes: BTreeMap<String, usize> = BTreeMap::new();
        for row in &file.rows {
            let longest = processor.sequences_of(row)?.iter().map(|example| example.tokens.len()).max();
            processor.take_notes().into_keys().for_each(|note| *notes.entry(note).or_default() += 1);
            lengths.push(longest.unwrap_or(0));
            completions.extend(processor.demonstrations_of(row)?);
            if let Some(ranking) = processor.ranking_of(row)? {
                let (all, equal) = ranking.equal();
                comparisons += all;
                equals += equal;
                completions.extend(
                    ranking.completions.iter().map(|completion| Example::completion(&ranking.prompt, completion)),
                );
            }
        }
        processor.take_notes(); // the same rows again, read as they are trained
        let told = notes.into_iter().map(|(what, count)| format!("in {count} of {} rows {what}", file.rows.len()));
        self.warnings.extend(told);
        self.lengths = Lengths::of(lengths, "tokens");
        let mut cuts = processor.take_cuts();
        (cuts.comparisons, cuts.equal) = (comparisons, equals);
        let texts: Vec<&str> = wanted::texts(&file.rows).unwrap_or_default();
        let windows = if texts.is_empty() { vec![] } else { processor.windows_in_order(texts) };
        let all = || windows.iter().chain(&completions);
        let mut shown: Vec<Example> = all().take(samples).cloned().collect();
        if shown.is_empty() {
            // prompts alone
            let rows = file.rows.iter().take(samples).map(|row| processor.sequences_of(row));
            shown = rows.collect::<Result<Vec<_>, _>>()?.concat();
        }
        self.samples = shown.iter().map(|example| sample(example, processor)).collect();
        self.sequences = shown.into_iter().map(Sequence::from).collect();
        self.trained = Some(Trained {
            context: processor.context,
            sequences: all().count(),
            tokens: all().map(|example| example.tokens.len()).sum(),
            trained_tokens: all().flat_map(|example| &example.weights).filter(|&&w| w != 0.0).count(),
            cuts,
        });
        self.warn_of_examples(&completions, processor);
        self.warn_of_tokenizer(file, processor);
        Ok(())
    }

    fn warn_of_examples(&mut self, completions: &[Example], processor: &Processor) {
        let untrained = self.trained.as_ref().map_or(0, |trained| trained.cuts.untrained);
        let endless = completions
            .iter()
            .filter(|example| !last_trained(example).any(|id| processor.eos_ids.contains(&id)))
            .count();
        let only_end = |example: &&Example| example.weights.iter().filter(|&&w| w != 0.0).count() == 1;
        let empty = completions.iter().filter(only_end).count();
        let of = completions.len() + untrained;
        for (count, what) in [
            (untrained, "have nothing that is trained; they are left out"),
            (endless, "have no end token that is trained: a model that only sees such completions never stops"),
            (empty, "have an empty completion: only the end token is trained"),
        ] {
            if count > 0 {
                self.warnings.push(format!("{count} of {of} sequences {what}"));
            }
        }
    }

    fn warn_of_tokenizer(&mut self, file: &DataFile, processor: &Processor) {
        let tokenizer = &processor.tokenizer;
        let texts: Vec<String> = file.rows.iter().map(Row::all_text).collect();
        let lossy = texts.iter().filter(|text| tokenizer.loses(text)).count();
        if lossy > 0 {
            self.warnings
                .push(format!("{lossy} rows have characters that the tokenizer has no token for; they are lost"));
        }
        let named = |name: &&str| texts.iter().any(|text| text.contains(name));
        let names: Vec<&str> = tokenizer.control_names().filter(named).collect();
        let rows = texts.iter().filter(|text| names.iter().any(|name| text.contains(name))).count();
        if rows > 0 {
            self.warnings.push(format!("{rows} rows contain {}; it is text there, no control token", names.join(" ")));
        }
    }

    /// For a terminal; `color`: trained text in green, the rest dim. Without it, trained text stands in ⟦ ⟧.
    pub fn render(&self, color: bool) -> String {
        let counts = |map: Vec<(String, usize)>| {
            map.into_iter()
                .map(|(name, count)| format!("{} × {count}", printable(&name)))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let mut out = format!("{}\n", printable(&self.path));
        out += &format!("  format   {}\n", counts(self.formats.clone().into_iter().collect()));
        out += &format!("  rows     {}\n", counts(self.rows.iter().map(|(k, v)| (k.to_string(), *v)).collect()));
        out += &self.lengths.render();
        if let Some(trained) = &self.trained {
            let Trained { context, sequences, tokens, trained_tokens, cuts } = trained;
            let share = 100.0 * *trained_tokens as f64 / (*tokens).max(1) as f64;
            out += &format!(
                "  trained  {trained_tokens} of {tokens} tokens ({share:.0} %) in {sequences} sequences, context {context}\n"
            );
            if cuts.any() {
                out += &format!("  cut      {cuts}\n");
            }
        }
        for warning in &self.warnings {
            out += &paint(color, "33", &format!("  warning  {}", printable(warning)));
            out.push('\n');
        }
        for (at, sample) in self.samples.iter().enumerate() {
            out += &format!("\n── {} ──\n{}\n", at + 1, render_sample(sample, color));
        }
        out
    }
}

impl Lengths {
    fn of(mut lengths: Vec<usize>, unit: &'static str) -> Lengths {
        lengths.sort_unstable();
        let Some(&max) = lengths.last() else { return Lengths::default() };
        let at = |share: f64| lengths[((lengths.len() - 1) as f64 * share).round() as usize];
        let bin = |length: usize| length.max(1).next_power_of_two();
        let mut histogram = vec![];
        let (mut end, last) = (bin(lengths[0]), bin(max));
        while end <= last {
            histogram.push((end, lengths.iter().filter(|&&length| bin(length) == end).count()));
            end *= 2;
        }
        let (min, median, p95, total) = (lengths[0], at(0.5), at(0.95), lengths.iter().sum());
        Lengths { unit, min, median, p95, max, total, histogram }
    }

    fn render(&self) -> String {
        let Lengths { unit, min, median, p95, max, total, histogram } = self;
        let mut out = format!("  length   {total} {unit}: min {min}, median {median}, 95 % up to {p95}, max {max}\n");
        let most = histogram.iter().map(|&(_, count)| count).max().unwrap_or(1).max(1);
        for (end, count) in histogram {
            let range = if *end <= 1 { "1".to_string() } else { format!("{}–{end}", end / 2 + 1) };
            out += format!("{range:>22} │{} {count}", bar(*count as f64 / most as f64)).trim_end();
            out.push('\n');
        }
        out
    }
}

/// A bar of blocks, to an eighth of a character.
fn bar(share: f64) -> String {
    let eighths = (share * (BAR * 8) as f64).round() as usize;
    let part = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'][eighths % 8];
    let bar = "█".repeat(eighths / 8) + &part.to_string();
    bar.trim_end().to_string()
}

/// A row as text, where nothing says what its tokens are.
fn plain_sample(row: &Row, template: &Template) -> Result<Sample, DataError> {
    Ok(match row {
        Row::Text(text) => vec![(text.clone(), true)],
        Row::Prompt(prompt) => vec![(template.prompt_text(prompt)?, false)],
        Row::Messages(messages) => {
            vec![(template.conversation_text(messages).map_err(|error| error.at(&messages.place))?, false)]
        }
        Row::Demonstration { prompt, completion } | Row::Labelled { prompt, completion, .. } => {
            let (prompt, completion) = template.pair_text(prompt, completion)?;
            vec![(prompt, false), (completion, true)]
        }
        Row::Ranked { prompt, completions, ranks } => {
            let mut sample = vec![(template.prompt_text(prompt)?, false)];
            for (completion, rank) in completions.iter().zip(ranks) {
                sample.push((format!("\n[rank {rank}]"), false));
                sample.push((template.pair_text(prompt, completion)?.1, true));
            }
            sample
        }
    })
}

/// The last run of trained tokens.
fn last_trained(example: &Example) -> impl Iterator<Item = u32> {
    let both = example.tokens.iter().zip(&example.weights).rev();
    both.skip_while(|(_, weight)| **weight == 0.0).take_while(|(_, weight)| **weight != 0.0).map(|(&id, _)| id)
}

fn rankings_without_order(rows: &[Row]) -> Vec<String> {
    let rankings = rows.iter().filter_map(|row| match row {
        Row::Ranked { ranks, .. } => Some(ranks),
        _ => None,
    });
    let (all, without): (usize, usize) = rankings
        .fold((0, 0), |(all, without), ranks| (all + 1, without + ranks.iter().all(|rank| *rank == ranks[0]) as usize));
    match without {
        0 => vec![],
        _ => vec![format!("{without} of {all} rankings have only ties, and so no comparisons")],
    }
}

/// Runs of tokens that are trained or are not, as text.
fn sample(example: &Example, processor: &Processor) -> Sample {
    let mut runs: Vec<(Vec<u32>, bool)> = vec![];
    for (&token, &weight) in example.tokens.iter().zip(&example.weights) {
        let trained = weight != 0.0;
        match runs.last_mut() {
            Some((run, same)) if *same == trained => run.push(token),
            _ => runs.push((vec![token], trained)),
        }
    }
    let text = |ids: Vec<u32>| String::from_utf8_lossy(&processor.tokenizer.decode_bytes(&ids)).into_owned();
    runs.into_iter().map(|(ids, trained)| (text(ids), trained)).collect()
}

fn render_sample(sample: &Sample, color: bool) -> String {
    let parts = sample.iter().map(|(text, trained)| {
        let text = printable(&shortened(text));
        match (color, trained) {
            // colours are set line by line, as pagers want it
            (true, _) => {
                let code = if *trained { "32" } else { "2" };
                text.split('\n').map(|line| paint(true, code, line)).collect::<Vec<_>>().join("\n")
            }
            (false, true) => format!("⟦{text}⟧"),
            (false, false) => text,
        }
    });
    parts.collect()
}

fn paint(color: bool, code: &str, text: &str) -> String {
    if color && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
}

/// The start and the end of a long text.
fn shortened(text: &str) -> String {
    let length = text.chars().count();
    if length <= SHOWN {
        return text.to_string();
    }
    let part = |from: usize, n: usize| text.chars().skip(from).take(n).collect::<String>();
    format!("{} … {} more characters … {}", part(0, SHOWN / 2), length - SHOWN, part(length - SHOWN / 2, SHOWN / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(rows: Vec<Row>) -> DataFile {
        DataFile {
            path: "some.jsonl".into(),
            formats: BTreeMap::from([("{x}".to_string(), rows.len())]),
            rows,
            unused: BTreeMap::new(),
        }
    }

    fn demonstration(prompt: &str, completion: &str) -> Row {
        Row::Demonstration { prompt: prompt.into(), completion: completion.into() }
    }

    #[test]
    fn shows_what_is_trained_and_warns() {
        let tokenizer = model::Tokenizer::train(["no merges"], 257, &["<|endoftext|>"]);
        let processor = Processor::new(tokenizer, 20, Template::dialogue(), &[]).unwrap();
        let long = "x".repeat(40);
        let rows =
            vec![demonstration("Hi\x1b[2J", " yo"), demonstration("a", &long), demonstration("<|endoftext|>", "")];
        let inspection = Inspection::new(&file(rows), Some(&processor), 2).unwrap();
        let plain = inspection.render(false);
        assert!(plain.contains("Hi\\u{1b}[2J⟦ yo<|endoftext|>⟧"), "{plain}");
        assert!(plain.contains("demonstration × 3"), "{plain}");
        assert!(plain.contains("1 of 3 sequences have no end token that is trained"), "{plain}");
        assert!(plain.contains("1 of 3 sequences have an empty completion"), "{plain}");
        assert!(plain.contains("1 rows contain <|endoftext|>;"), "{plain}");
        assert!(plain.contains("1 completions lost their end (22 tokens"), "{plain}");
        assert!(plain.contains("min 10, median 14, 95 % up to 42, max 42"), "{plain}");
        assert!(inspection.render(true).contains("\x1b[2mHi\\u{1b}[2J\x1b[0m\x1b[32m yo<|endoftext|>\x1b[0m"));
        let json = serde_json::to_value(&inspection).unwrap();
        assert_eq!(json["trained"]["trained_tokens"], 4 + 19 + 1);
    }

    #[test]
    fn without_a_model_lengths_are_characters() {
        let ties =
            Row::Ranked { prompt: "q".into(), completions: vec!["é".into(), "b".into()], ranks: vec![1.0, 1.0] };
        let text = Inspection::new(&file(vec![ties]), None, 1).unwrap().render(false);
        assert!(text.contains("2 characters: min 2"), "{text}");
        assert!(text.contains("1 of 1 rankings have only ties"), "{text}");
        assert!(text.contains("q\n[rank 1]⟦é⟧\n[rank 1]⟦b⟧"), "{text}");
    }

    #[test]
    fn bars_are_as_long_as_the_counts() {
        assert_eq!(bar(1.0), "█".repeat(BAR));
        assert_eq!((bar(0.0), bar(0.5 / BAR as f64)), ("".into(), "▌".into()));
        let lengths = Lengths::of(vec![1, 2, 3, 4, 5, 9], "tokens");
        assert_eq!(lengths.histogram, [(1, 1), (2, 1), (4, 2), (8, 1), (16, 1)]);
    }
}
