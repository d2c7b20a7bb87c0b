//! What is wanted of rows: demonstrations, prompts, rankings, texts, and some of each to hold out.

use kernels::Rng;

use super::error::DataError;
use super::formats;
use super::rows::{Content, Conversation, Message, Role, Row};

/// Splits rows into those to train on and those to hold out, about `held_out` (0 to 1) of the prompts. All rows
/// of one prompt go to the same side, and which side depends on the prompt and the seed alone: not on the other
/// rows, nor on their order.
pub fn split(rows: Vec<Row>, held_out: f32, rng: Rng) -> (Vec<Row>, Vec<Row>) {
    let rng = rng.stream("held out");
    rows.into_iter().partition(|row| rng.stream(&row.subject()).unit_at(0) >= held_out)
}

/// Prompt and completion of every demonstration in the rows. A conversation gives one for each thing the assistant
/// says; a labelled completion counts if it is good.
pub fn demonstrations(rows: &[Row]) -> Result<Vec<(Content, Content)>, DataError> {
    let found = rows.iter().flat_map(|row| match row {
        Row::Messages(messages) => turns(messages),
        Row::Demonstration { prompt, completion } | Row::Labelled { prompt, completion, good: true } => {
            vec![(prompt.clone(), completion.clone())]
        }
        _ => vec![],
    });
    wanted("demonstrations", rows, found.collect())
}

/// Every completion of the assistant with all that was said before it.
fn turns(messages: &Conversation) -> Vec<(Content, Content)> {
    let completions =
        messages.iter().enumerate().filter(|(_, message)| message.role == Role::Assistant && message.trained);
    let turn = |(at, completion): (usize, &Message)| {
        (Content::Messages(messages.with(messages[..at].to_vec())), vec![completion.clone()].into())
    };
    completions.map(turn).collect()
}

/// A conversation without the completion at its end.
fn question(messages: &Conversation) -> Content {
    let completed = messages.last().is_some_and(|message| message.role == Role::Assistant);
    Content::Messages(messages.with(messages[..messages.len() - completed as usize].to_vec()))
}

/// The prompts of all rows that have one, each once, in the order of their first row.
pub fn prompts(rows: &[Row]) -> Result<Vec<Content>, DataError> {
    let mut seen = std::collections::HashSet::new();
    let found = rows.iter().filter_map(|row| match row {
        Row::Text(_) => None,
        Row::Messages(messages) => Some(question(messages)),
        Row::Prompt(prompt)
        | Row::Demonstration { prompt, .. }
        | Row::Labelled { prompt, .. }
        | Row::Ranked { prompt, .. } => Some(prompt.clone()),
    });
    let found = found.filter(|prompt| !prompt.is_empty() && seen.insert(prompt.clone())).collect();
    wanted("prompts", rows, found)
}

/// Prompt, completions and their ranks.
pub type Ranked<'a> = (&'a Content, &'a [Content], &'a [f32]);

/// Every ranking in the rows.
pub fn rankings(rows: &[Row]) -> Result<Vec<Ranked<'_>>, DataError> {
    let found = rows.iter().filter_map(|row| match row {
        Row::Ranked { prompt, completions, ranks } => Some((prompt, &completions[..], &ranks[..])),
        _ => None,
    });
    wanted("rankings", rows, found.collect())
}

/// The texts to pretrain on.
pub fn texts(rows: &[Row]) -> Result<Vec<&str>, DataError> {
    let found = rows.iter().filter_map(|row| match row {
        Row::Text(text) => Some(text.as_str()),
        _ => None,
    });
    wanted("texts", rows, found.collect())
}

/// What was found in the rows, or an error that says which rows have it.
pub fn wanted<T>(wanted: &'static str, rows: &[Row], found: Vec<T>) -> Result<Vec<T>, DataError> {
    if !found.is_empty() {
        return Ok(found);
    }
    let kinds: std::collections::BTreeSet<&str> = rows.iter().map(Row::kind).collect();
    let kinds = kinds.into_iter().collect::<Vec<_>>().join(", ");
    Err(DataError::Kind { wanted, rows: rows.len(), found: kinds, expected: formats::expected(Some(wanted)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(role: Role, text: &str) -> Message {
        Message::new(role, text)
    }

    #[test]
    fn a_conversation_is_a_demonstration_for_every_completion() {
        use Role::*;
        let messages = vec![said(User, "a"), said(Assistant, "b"), said(User, "c"), said(Assistant, "d")];
        let found = demonstrations(&[Row::Messages(messages.clone().into())]).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[1].0, messages[..3].to_vec().into());
        assert_eq!(found[1].1, messages[3..].to_vec().into());
    }

    #[test]
    fn the_split_goes_by_prompt_and_not_by_order() {
        let row = |i: usize| Row::Demonstration {
            prompt: Content::from(format!("prompt {}", i / 3).as_str()),
            completion: Content::from(format!("{i}").as_str()),
        };
        let rows: Vec<Row> = (0..900).map(row).collect();
        let (train, held_out) = split(rows.clone(), 0.2, Rng::new(1));
        assert!((120..240).contains(&held_out.len()), "{}", held_out.len());
        let prompts_of = |rows: &[Row]| prompts(rows).unwrap();
        assert!(prompts_of(&train).iter().all(|prompt| !prompts_of(&held_out).contains(prompt)));

        let mut backwards = rows;
        backwards.reverse();
        let (_, mut again) = split(backwards, 0.2, Rng::new(1));
        again.reverse();
        assert_eq!(again, held_out);
    }

    #[test]
    fn what_is_not_there_is_named() {
        let message = rankings(&[Row::Text("x".into())]).unwrap_err().to_string();
        assert!(message.starts_with("no rankings among the 1 rows (text)"), "{message}");
        assert!(message.contains("prompt, chosen, rejected"), "{message}");
    }
}
