//! The kinds of rows, told apart by their columns. Names and forms are TRL's where TRL has them
//! (docs/source/dataset_formats.md): strings or lists of `{"role", "content"}`.

mod messages;
mod others;

use super::json::{Json, Object};
use super::rows::{Content, Conversation, Message, Role, Row};
use messages::{array, content, message_list, string};

/// A kind of row: the columns that it must have, what it is good for, and how it is read. One line of a file may
/// hold several rows. What is wrong with a line is said without file and line: the reader adds them.
pub struct Format {
    pub columns: &'static [&'static str],
    pub gives: &'static str,
    read: fn(&Object) -> Result<Vec<Row>, String>,
}

/// Those with the most columns first: the first whose columns are all there is the one.
pub const FORMATS: &[Format] = &[
    // PandaLM's test set: two completions, three annotators who say 0 (a tie), 1 or 2
    Format {
        columns: &["instruction", "response1", "response2", "annotator1"],
        gives: "rankings",
        read: others::pandalm,
    },
    Format { columns: &["prompt", "completions", "ranks"], gives: "rankings", read: ranked },
    Format { columns: &["prompt", "chosen", "rejected"], gives: "rankings", read: preference },
    // LLaMA-Factory's and others' names for the prompt
    Format { columns: &["instruction", "chosen", "rejected"], gives: "rankings", read: others::asked_preference },
    Format { columns: &["question", "chosen", "rejected"], gives: "rankings", read: others::question_preference },
    Format { columns: &["conversations", "chosen", "rejected"], gives: "rankings", read: others::talked_preference },
    Format { columns: &["messages", "chosen", "rejected"], gives: "rankings", read: others::talked_preference },
    Format { columns: &["prompt", "completion", "label"], gives: "demonstrations", read: labelled },
    Format { columns: &["chosen", "rejected"], gives: "rankings", read: implicit_preference },
    Format { columns: &["prompt", "completion"], gives: "demonstrations", read: demonstration },
    // OpenAssistant's trees
    Format { columns: &["history", "responses"], gives: "rankings", read: others::openassistant_ranking },
    Format { columns: &["history", "response"], gives: "demonstrations", read: others::openassistant_demonstration },
    // self-instruct's tasks
    Format { columns: &["instruction", "instances"], gives: "demonstrations", read: others::self_instruct },
    Format { columns: &["instruction", "output"], gives: "demonstrations", read: others::alpaca },
    // REALSumm: summaries with a human score, higher is better; the articles are not there
    Format { columns: &["ref", "responses"], gives: "rankings", read: others::realsumm },
    Format {
        columns: &["messages", "label"],
        gives: "demonstrations",
        read: |row| others::labelled_talk(row, "messages"),
    },
    Format {
        columns: &["conversations", "label"],
        gives: "demonstrations",
        read: |row| others::labelled_talk(row, "conversations"),
    },
    Format { columns: &["messages"], gives: "demonstrations", read: |row| messages_of(row, "messages") },
    // ShareGPT
    Format { columns: &["conversations"], gives: "demonstrations", read: |row| messages_of(row, "conversations") },
    Format { columns: &["prompt"], gives: "prompts", read: |row| Ok(vec![Row::Prompt(content(row, "prompt")?)]) },
    Format { columns: &["text"], gives: "texts", read: |row| Ok(vec![Row::Text(string(row, "text")?)]) },
];

/// Columns that say who made a row, or what someone thought of it: nothing that a model could learn from.
const ABOUT: &[&str] = &[
    "id",
    "idx",
    "index",
    "uuid",
    "uid",
    "hash",
    "key",
    "source",
    "src",
    "origin",
    "dataset",
    "subset",
    "split",
    "config",
    "category",
    "categories",
    "task",
    "task_type",
    "task_name",
    "type",
    "kind",
    "topic",
    "domain",
    "subject",
    "difficulty",
    "level",
    "language",
    "lang",
    "locale",
    "model",
    "generator",
    "author",
    "annotator",
    "labeler",
    "user",
    "date",
    "time",
    "timestamp",
    "created",
    "created_at",
    "url",
    "license",
    "licence",
    "tags",
    "labels",
    "metadata",
    "meta",
    "info",
    "extra",
    "score",
    "scores",
    "rating",
    "ratings",
    "margin",
    "quality",
    "reward",
    "rewards",
    "toxicity",
    "redacted",
    "moderation",
    "version",
    "turn",
    "turns",
    "num_turns",
    "n_turns",
    "length",
    "tokens",
    "num_tokens",
    "token_count",
    "file",
    "title",
    "name",
];

fn is_about(column: &str) -> bool {
    let ends = [
        "_id", "_ids", "_idx", "_hash", "_url", "_model", "_score", "_scores", "_rating", "_source", "_length",
        "_tokens",
    ];
    let begins = ["score_", "rating_", "num_", "n_", "meta_", "_", "annotator"];
    ABOUT.contains(&column)
        || ends.iter().any(|end| column.ends_with(end))
        || begins.iter().any(|start| column.starts_with(start))
}

impl Format {
    /// `{prompt, chosen, rejected}`
    pub fn name(&self) -> String {
        format!("{{{}}}", self.columns.join(", "))
    }

    pub fn of(row: &Object) -> Option<&'static Format> {
        FORMATS.iter().find(|format| format.columns.iter().all(|column| row.has(column)))
    }

    /// The rows of a line, and the columns that nothing is made of.
    pub fn read(&self, row: &Object) -> Result<(Vec<Row>, Vec<String>), String> {
        let rows = (self.read)(row)?.into_iter().map(spoken);
        let rows = rows.map(|one| told(one, row)).collect::<Result<Vec<Row>, _>>()?;
        let unused = |column: &str| !self.uses(column, &rows) && !is_about(column);
        let said = row.0.iter().filter(|(_, value)| !value.is_empty()).map(|(name, _)| name.as_str());
        let unused = said.filter(|column| unused(column)).map(str::to_string).collect();
        Ok((rows, unused))
    }

    fn uses(&self, column: &str, rows: &[Row]) -> bool {
        let asked = self.columns.contains(&"instruction");
        let talk = rows.iter().any(|row| !row.is_bare() && !matches!(row, Row::Text(_)));
        self.columns.contains(&column)
            || asked && ["input", "history"].contains(&column)
            || column.starts_with("annotator")
            || talk && (SYSTEM.contains(&column) || VARIABLES.contains(&column))
    }
}

/// The kinds that give what is wanted (or all), a line each.
pub fn expected(wanted: Option<&str>) -> String {
    let fits = |format: &&Format| match wanted {
        None => true,
        Some("prompts") => format.gives != "texts",
        Some(wanted) => format.gives == wanted,
    };
    let lines: Vec<String> = FORMATS.iter().filter(fits).map(|format| format!("  {}", format.name())).collect();
    lines.join("\n")
}

/// What a row may say to the assistant before all messages.
const SYSTEM: [&str; 2] = ["system", "system_prompt"];
/// What a row may tell the template.
const VARIABLES: [&str; 3] = ["tools", "documents", "chat_template_kwargs"];

/// A row with the system message, tools and other things that columns of their own say.
fn told(row: Row, columns: &Object) -> Result<Row, String> {
    let mut row = row;
    let system = SYSTEM.iter().find(|name| columns.get(name).is_some_and(|value| !value.is_empty()));
    if let Some(system) = system.filter(|_| !matches!(row, Row::Text(_))) {
        let text = string(columns, system)?;
        row = row.in_turns(); // someone speaks here
        let talk = row.conversation_mut().expect("all but texts are turns now");
        match talk.first().filter(|first| first.role == Role::System) {
            Some(first) if first.text == text => {}
            Some(_) => {
                return Err(format!("\"{system}\" says one thing, the system message another; leave one of them out"));
            }
            None => talk.messages.insert(0, Message::new(Role::System, text)),
        }
    }
    if let Some(talk) = row.conversation_mut() {
        talk.variables = variables(columns)?;
    }
    Ok(row)
}

fn variables(columns: &Object) -> Result<Object, String> {
    let mut variables = Object::default();
    for name in VARIABLES {
        let Some(value) = columns.said(name).filter(|value| !value.is_empty()) else { continue };
        // lists of objects of different shapes are kept as JSON in a string by data sets with typed columns
        let value = match value {
            Json::String(text) => {
                serde_json::from_str(text).map_err(|e| format!("\"{name}\" is a string, but no JSON: {e}"))?
            }
            value => value.clone(),
        };
        match (name, value) {
            ("chat_template_kwargs", Json::Object(object)) => variables.0.extend(object.0),
            ("tools" | "documents", value @ Json::Array(_)) => variables.0.push((name.into(), value)),
            (_, value) => return Err(format!("\"{name}\" cannot be {}", value.name())),
        }
    }
    const OURS: [&str; 3] = ["messages", "add_generation_prompt", "rlhf_generation_nonce"];
    match OURS.iter().find(|name| variables.has(name)) {
        Some(name) => Err(format!("\"chat_template_kwargs\" cannot set {name:?}")),
        None => Ok(variables),
    }
}

fn messages_of(row: &Object, column: &str) -> Result<Vec<Row>, String> {
    Ok(vec![Row::Messages(message_list(array(row, column)?, column)?.into())])
}

/// A prompt with what follows it, in one form: a string that follows messages is what the assistant says, and messages
/// that begin with the prompt go on after it.
fn following(prompt: &Content, completion: Content) -> Result<Content, String> {
    let whole = |talk: &Conversation| talk.first().is_some_and(|first| first.role != Role::Assistant);
    match (prompt, completion) {
        (Content::Messages(_), Content::Text(text)) => Ok(assistant(text)),
        (Content::Text(_), Content::Messages(_)) => {
            Err("\"prompt\" is a string, but what follows it is a list of messages; give both in the same form".into())
        }
        (Content::Messages(before), Content::Messages(after))
            if after.starts_with(before) && after.len() > before.len() =>
        {
            Ok(after[before.len()..].to_vec().into())
        }
        (Content::Messages(before), Content::Messages(after))
            if whole(&after) && before.last().is_some_and(|last| matches!(last.role, Role::User)) =>
        {
            Err(format!(
                "what follows the prompt is a conversation that begins with another message ({:?})",
                after[0].role.name()
            ))
        }
        (_, completion) => Ok(completion),
    }
}

/// The prompt that both of two whole conversations begin with, where the column beside them is a string.
fn whole(prompt: &Content, completions: &[&Content]) -> bool {
    let begins = |content: &&Content| match content {
        Content::Messages(talk) => talk.first().is_some_and(|first| first.role != Role::Assistant) && talk.len() > 1,
        Content::Text(_) => false,
    };
    matches!(prompt, Content::Text(_)) && completions.iter().all(begins)
}

fn demonstration(row: &Object) -> Result<Vec<Row>, String> {
    let (prompt, completion) = prompt_and_completion(row)?;
    Ok(vec![Row::Demonstration { prompt, completion }])
}

fn prompt_and_completion(row: &Object) -> Result<(Content, Content), String> {
    let (prompt, completion) = (content(row, "prompt")?, content(row, "completion")?);
    if let (true, Content::Messages(talk)) = (whole(&prompt, &[&completion]), &completion) {
        let last = talk.len() - 1;
        return Ok((talk[..last].to_vec().into(), talk[last..].to_vec().into()));
    }
    let completion = following(&prompt, completion)?;
    Ok((prompt, completion))
}

fn labelled(row: &Object) -> Result<Vec<Row>, String> {
    let good = label(row)?;
    let (prompt, completion) = prompt_and_completion(row)?;
    Ok(vec![Row::Labelled { prompt, completion, good }])
}

fn label(row: &Object) -> Result<bool, String> {
    let label = row.get("label").unwrap_or(&Json::Null);
    label.as_flag().ok_or_else(|| format!("\"label\" should be true or false, it is {}", label.name()))
}

fn preference(row: &Object) -> Result<Vec<Row>, String> {
    let (prompt, chosen, rejected) = (content(row, "prompt")?, content(row, "chosen")?, content(row, "rejected")?);
    match whole(&prompt, &[&chosen, &rejected]) {
        true => implicit_preference(row), // as TRL has it
        false => ranking(prompt, vec![chosen, rejected], vec![0.0, 1.0]),
    }
}

/// The prompt is what the two have in common.
fn implicit_preference(row: &Object) -> Result<Vec<Row>, String> {
    let (prompt, chosen, rejected) = match (content(row, "chosen")?, content(row, "rejected")?) {
        (Content::Text(chosen), Content::Text(rejected)) => {
            let shared = shared_prompt(&chosen, &rejected);
            (Content::from(&chosen[..shared]), Content::from(&chosen[shared..]), Content::from(&rejected[shared..]))
        }
        (Content::Messages(chosen), Content::Messages(rejected)) => {
            let same = chosen.iter().zip(rejected.iter()).take_while(|(a, b)| a == b).count();
            let last = chosen.len().min(rejected.len()).saturating_sub(1);
            let part = |messages: &[Message]| Content::from(messages.to_vec());
            let at = same.min(last); // what is left is at least one completion each
            (part(&chosen[..at]), part(&chosen[at..]), part(&rejected[at..]))
        }
        _ => return Err("\"chosen\" and \"rejected\" should both be strings or both be lists of messages".into()),
    };
    Ok(vec![Row::Ranked { prompt, completions: vec![chosen, rejected], ranks: vec![0.0, 1.0] }])
}

/// How much of two dialogues is the prompt: up to the last `Assistant:` that they share, as in hh-rlhf; without
/// one, up to the last word that they share.
fn shared_prompt(a: &str, b: &str) -> usize {
    const MARKER: &str = "\n\nAssistant:";
    let same: usize = a.chars().zip(b.chars()).take_while(|(x, y)| x == y).map(|(x, _)| x.len_utf8()).sum();
    match a[..same].rfind(MARKER) {
        Some(at) => at + MARKER.len(),
        None => a[..same].rfind(char::is_whitespace).unwrap_or(0),
    }
}

fn ranked(row: &Object) -> Result<Vec<Row>, String> {
    let completions = array(row, "completions")?.iter().enumerate().map(|(at, value)| match value {
        Json::String(text) => Ok(Content::Text(text.clone())),
        Json::Array(list) => Ok(message_list(list, "completions")?.into()),
        other => Err(format!("completion {at} should be a string or a list of messages, it is {}", other.name())),
    });
    let completions = completions.collect::<Result<_, _>>()?;
    let ranks = array(row, "ranks")?.iter().map(|value| number(Some(value), "ranks"));
    ranking(content(row, "prompt")?, completions, ranks.collect::<Result<_, _>>()?)
}

/// K completions have K (K − 1) / 2 comparisons, so a row that was joined by mistake would take all memory.
const MOST_COMPLETIONS: usize = 1000;

fn ranking(prompt: Content, completions: Vec<Content>, ranks: Vec<f32>) -> Result<Vec<Row>, String> {
    if completions.len() != ranks.len() {
        return Err(format!("{} completions, but {} ranks", completions.len(), ranks.len()));
    }
    if !(1..=MOST_COMPLETIONS).contains(&completions.len()) {
        return match completions.len() {
            0 => Err("there are no completions".into()),
            most => Err(format!(
                "{most} completions of one prompt have {} comparisons; a ranking has at most {MOST_COMPLETIONS}",
                most * (most - 1) / 2
            )),
        };
    }
    let completions = completions.into_iter().map(|completion| following(&prompt, completion));
    let completions = completions.collect::<Result<_, _>>()?;
    Ok(vec![Row::Ranked { prompt, completions, ranks }])
}

fn number(value: Option<&Json>, what: &str) -> Result<f32, String> {
    let number = value.and_then(Json::as_f64).map(|number| number as f32).filter(|number| number.is_finite());
    number.ok_or_else(|| format!("\"{what}\" should be a number, it is {}", value.unwrap_or(&Json::Null).name()))
}

/// Text of the form "\n\nHuman: …\n\nAssistant: …", as hh-rlhf has it, is messages: a model with a template of its own
/// reads it as a conversation, and the dialogue template writes the same text.
fn spoken(row: Row) -> Row {
    let said = |text: &Content| match text {
        Content::Text(text) => text.strip_prefix(' ').map(|text| assistant(text.to_string())),
        Content::Messages(_) => None,
    };
    let messages = |prompt: &Content| match prompt {
        Content::Text(text) => dialogue(text).map(Content::from),
        Content::Messages(_) => None,
    };
    let changed = match &row {
        Row::Prompt(prompt) => messages(prompt).map(Row::Prompt),
        Row::Demonstration { prompt, completion } => {
            messages(prompt).zip(said(completion)).map(|(prompt, completion)| Row::Demonstration { prompt, completion })
        }
        Row::Ranked { prompt, completions, ranks } => {
            let completions = completions.iter().map(said).collect::<Option<Vec<_>>>();
            let row = |(prompt, completions)| Row::Ranked { prompt, completions, ranks: ranks.clone() };
            messages(prompt).zip(completions).map(row)
        }
        _ => None,
    };
    changed.unwrap_or(row)
}

/// The turns of a dialogue that waits for the assistant.
fn dialogue(text: &str) -> Option<Vec<Message>> {
    const TURNS: [(&str, Role); 2] = [("\n\nHuman: ", Role::User), ("\n\nAssistant: ", Role::Assistant)];
    let mut rest = text.strip_suffix("\n\nAssistant:")?;
    let mut messages = Vec::new();
    while !rest.is_empty() {
        let (marker, role) = TURNS.into_iter().find(|(marker, _)| rest.starts_with(marker))?;
        rest = &rest[marker.len()..];
        let end = TURNS.iter().filter_map(|(marker, _)| rest.find(marker)).min().unwrap_or(rest.len());
        messages.push(Message::new(role, &rest[..end]));
        rest = &rest[end..];
    }
    (!messages.is_empty()).then_some(messages)
}

fn assistant(text: String) -> Content {
    Content::Text(text).said_by(Role::Assistant)
}

#[cfg(test)]
mod tests;
