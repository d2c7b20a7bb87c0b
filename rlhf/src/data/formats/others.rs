//! The forms of data sets that are not TRL's.

use super::messages::{array, content, message_list, string};
use super::{assistant, implicit_preference, label, messages_of, number, ranking, whole};
use crate::data::json::{Json, Object};
use crate::data::rows::{Content, Message, Role, Row};

/// `{"history": [{role, text}], "responses": [{text, rank}]}`
pub fn openassistant_ranking(row: &Object) -> Result<Vec<Row>, String> {
    let (texts, ranks) = scored(row, "rank")?;
    let history = message_list(array(row, "history")?, "history")?;
    ranking(history.into(), texts.into_iter().map(assistant).collect(), ranks)
}

pub fn openassistant_demonstration(row: &Object) -> Result<Vec<Row>, String> {
    let prompt = message_list(array(row, "history")?, "history")?.into();
    Ok(vec![Row::Demonstration { prompt, completion: assistant(string(row, "response")?) }])
}

pub fn realsumm(row: &Object) -> Result<Vec<Row>, String> {
    let (texts, scores) = scored(row, "human")?;
    let texts = texts.into_iter().map(Content::Text).collect();
    ranking(Content::from(""), texts, scores.into_iter().map(|score| -score).collect())
}

/// Texts of `responses` and a number for each.
fn scored(row: &Object, score: &str) -> Result<(Vec<String>, Vec<f32>), String> {
    let (mut texts, mut scores) = (vec![], vec![]);
    for (at, response) in array(row, "responses")?.iter().enumerate() {
        let said = |key: &str| response.as_object().and_then(|response| response.get(key));
        let text =
            said("text").and_then(Json::as_str).ok_or_else(|| format!("response {at} has no string \"text\""))?;
        texts.push(text.to_string());
        scores.push(number(said(score), score).map_err(|reason| format!("response {at}: {reason}"))?);
    }
    Ok((texts, scores))
}

pub fn pandalm(row: &Object) -> Result<Vec<Row>, String> {
    let completions = vec![assistant(string(row, "response1")?), assistant(string(row, "response2")?)];
    let mut votes = [0.0, 0.0];
    for annotator in (1..).map(|n| format!("annotator{n}")).take_while(|name| row.has(name)) {
        match row.get(&annotator).and_then(Json::as_f64) {
            Some(0.0) => {}
            Some(1.0) => votes[0] += 1.0,
            Some(2.0) => votes[1] += 1.0,
            _ => return Err(format!("\"{annotator}\" should be 0 (a tie), 1 or 2")),
        }
    }
    // most votes first: 0 and 1, or a tie at 0
    let ranks = vec![(votes[0] < votes[1]) as u8 as f32, (votes[1] < votes[0]) as u8 as f32];
    ranking(asked(row, row.get("input"))?, completions, ranks)
}

pub fn self_instruct(row: &Object) -> Result<Vec<Row>, String> {
    let instance = |instance: &Json| {
        let said = |key: &str| instance.as_object().and_then(|instance| instance.get(key));
        let output = said("output").and_then(Json::as_str).ok_or("an instance has no string \"output\"")?;
        Ok(Row::Demonstration { prompt: asked(row, said("input"))?, completion: assistant(output.into()) })
    };
    array(row, "instances")?.iter().map(instance).collect()
}

pub fn alpaca(row: &Object) -> Result<Vec<Row>, String> {
    let prompt = asked(row, row.get("input"))?;
    Ok(vec![Row::Demonstration { prompt, completion: assistant(string(row, "output")?) }])
}

pub fn asked_preference(row: &Object) -> Result<Vec<Row>, String> {
    pair(row, asked(row, row.get("input"))?)
}

pub fn question_preference(row: &Object) -> Result<Vec<Row>, String> {
    pair(row, Content::Text(string(row, "question")?).said_by(Role::User))
}

pub fn talked_preference(row: &Object) -> Result<Vec<Row>, String> {
    let column = if row.has("conversations") { "conversations" } else { "messages" };
    let both = [content(row, "chosen")?, content(row, "rejected")?];
    if whole(&Content::from(""), &[&both[0], &both[1]]) {
        return implicit_preference(row);
    }
    pair(row, message_list(array(row, column)?, column)?.into())
}

fn pair(row: &Object, prompt: Content) -> Result<Vec<Row>, String> {
    ranking(prompt, vec![content(row, "chosen")?, content(row, "rejected")?], vec![0.0, 1.0])
}

/// A conversation whose last completion someone found good, or not.
pub fn labelled_talk(row: &Object, column: &str) -> Result<Vec<Row>, String> {
    let Ok(good) = label(row) else { return messages_of(row, column) }; // the label says something else
    let mut messages = message_list(array(row, column)?, column)?;
    let last = messages.pop().filter(|last| last.role == Role::Assistant && !messages.is_empty());
    let completion = last.ok_or_else(|| format!("\"{column}\" does not end with a completion of the assistant"))?;
    Ok(vec![Row::Labelled { prompt: messages.into(), completion: vec![completion].into(), good }])
}

/// An instruction and what it is about, as one message of a user; before it what Alpaca calls `history`, pairs of what
/// was asked and answered.
fn asked(row: &Object, input: Option<&Json>) -> Result<Content, String> {
    let instruction = string(row, "instruction")?;
    let text = match input {
        None | Some(Json::Null) => instruction,
        Some(Json::String(input)) if input.is_empty() => instruction,
        Some(Json::String(input)) => format!("{instruction}\n\n{input}"),
        Some(other) => return Err(format!("\"input\" should be a string, it is {}", other.name())),
    };
    let mut messages = vec![];
    for turn in row.said("history").map_or(Ok(&[][..]), |_| array(row, "history"))? {
        match turn.as_array() {
            Some([Json::String(asked), Json::String(answered)]) => {
                messages.push(Message::new(Role::User, asked));
                messages.push(Message::new(Role::Assistant, answered));
            }
            _ => return Err("\"history\" should be a list of pairs of strings, what was asked and answered".into()),
        }
    }
    messages.push(Message::new(Role::User, text));
    Ok(messages.into())
}
