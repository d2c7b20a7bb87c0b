//! The kinds of rows, told apart by their columns. Names and forms are TRL's where TRL has them
//! (docs/source/dataset_formats.md): strings or lists of `{"role", "content"}`.

use serde_json::{Map, Value};

use super::rows::{Content, Message, Role, Row};

type Object = Map<String, Value>;

/// A kind of row: the columns that it must have, what it is good for, and how it is read. One line of a file may
/// hold several rows. What is wrong with a line is said without file and line: the reader adds them.
pub struct Format {
    pub columns: &'static [&'static str],
    pub gives: &'static str,
    read: fn(&Object) -> Result<Vec<Row>, String>,
}

/// Those with the most columns first: the first whose columns are all there is the one.
pub const FORMATS: &[Format] = &[
    // PandaLM's test set: two answers, three annotators who say 0 (a tie), 1 or 2
    Format { columns: &["instruction", "response1", "response2", "annotator1"], gives: "rankings", read: pandalm },
    Format { columns: &["prompt", "completions", "ranks"], gives: "rankings", read: ranked },
    Format { columns: &["prompt", "chosen", "rejected"], gives: "rankings", read: preference },
    Format { columns: &["prompt", "completion", "label"], gives: "demonstrations", read: labelled },
    Format { columns: &["chosen", "rejected"], gives: "rankings", read: implicit_preference },
    Format { columns: &["prompt", "completion"], gives: "demonstrations", read: demonstration },
    // OpenAssistant's trees
    Format { columns: &["history", "responses"], gives: "rankings", read: openassistant_ranking },
    Format { columns: &["history", "response"], gives: "demonstrations", read: openassistant_demonstration },
    // self-instruct's tasks
    Format { columns: &["instruction", "instances"], gives: "demonstrations", read: self_instruct },
    Format { columns: &["instruction", "output"], gives: "demonstrations", read: alpaca },
    // REALSumm: summaries with a human score, higher is better; the articles are not there
    Format { columns: &["ref", "responses"], gives: "rankings", read: realsumm },
    Format { columns: &["messages"], gives: "demonstrations", read: messages },
    Format { columns: &["prompt"], gives: "prompts", read: |row| Ok(vec![Row::Prompt(content(row, "prompt")?)]) },
    Format { columns: &["text"], gives: "texts", read: |row| Ok(vec![Row::Text(string(row, "text")?)]) },
];

impl Format {
    /// `{prompt, chosen, rejected}`
    pub fn name(&self) -> String {
        format!("{{{}}}", self.columns.join(", "))
    }

    pub fn of(row: &Object) -> Option<&'static Format> {
        FORMATS.iter().find(|format| format.columns.iter().all(|&column| row.contains_key(column)))
    }

    pub fn read(&self, row: &Object) -> Result<Vec<Row>, String> {
        Ok((self.read)(row)?.into_iter().map(spoken).collect())
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

fn string(row: &Object, column: &str) -> Result<String, String> {
    match &row[column] {
        Value::String(text) => Ok(text.clone()),
        // a converter that took the answer "true" or "7" for more than text
        Value::Bool(value) => Ok(value.to_string()),
        Value::Number(value) => Ok(value.to_string()),
        other => Err(format!("\"{column}\" should be a string, it is {}", name_of(other))),
    }
}

/// A string or a list of messages.
fn content(row: &Object, column: &str) -> Result<Content, String> {
    match &row[column] {
        Value::Array(list) => Ok(Content::Messages(message_list(list, column)?)),
        Value::Null | Value::Object(_) => {
            Err(format!("\"{column}\" should be a string or a list of messages, it is {}", name_of(&row[column])))
        }
        _ => string(row, column).map(Content::Text),
    }
}

fn message_list(list: &[Value], column: &str) -> Result<Vec<Message>, String> {
    let message = |(at, value): (usize, &Value)| {
        let place = format!("message {at} of \"{column}\"");
        let object =
            value.as_object().ok_or_else(|| format!("{place} should be an object, it is {}", name_of(value)))?;
        let text = ["content", "text"].iter().find_map(|&key| object.get(key)?.as_str());
        let text = text.ok_or_else(|| format!("{place} has no string \"content\" (or \"text\")"))?;
        let role = match object.get("role").and_then(Value::as_str) {
            Some("user" | "prompter" | "human") => Role::User,
            Some("assistant") => Role::Assistant,
            Some("system" | "developer") => Role::System,
            Some(other) => return Err(format!("{place} has the role {other:?}; known are system, user, assistant")),
            None => return Err(format!("{place} has no \"role\"")),
        };
        Ok(Message { role, text: text.to_string() })
    };
    list.iter().enumerate().map(message).collect()
}

fn array<'a>(row: &'a Object, column: &str) -> Result<&'a [Value], String> {
    match &row[column] {
        Value::Array(list) => Ok(list),
        other => Err(format!("\"{column}\" should be a list, it is {}", name_of(other))),
    }
}

fn name_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn messages(row: &Object) -> Result<Vec<Row>, String> {
    Ok(vec![Row::Messages(message_list(array(row, "messages")?, "messages")?)])
}

/// A completion in the form of its prompt: a string that follows messages is what the assistant says.
fn following(prompt: &Content, completion: Content) -> Result<Content, String> {
    match (prompt, completion) {
        (Content::Messages(_), Content::Text(text)) => Ok(answer(text)),
        (Content::Text(_), Content::Messages(_)) => {
            Err("\"prompt\" is a string, but what follows it is a list of messages; give both in the same form".into())
        }
        (_, completion) => Ok(completion),
    }
}

fn demonstration(row: &Object) -> Result<Vec<Row>, String> {
    let prompt = content(row, "prompt")?;
    let completion = following(&prompt, content(row, "completion")?)?;
    Ok(vec![Row::Demonstration { prompt, completion }])
}

fn labelled(row: &Object) -> Result<Vec<Row>, String> {
    let good = match &row["label"] {
        Value::Bool(good) => *good,
        Value::Number(n) if n.as_u64().is_some_and(|n| n <= 1) => n.as_u64() == Some(1),
        other => return Err(format!("\"label\" should be true or false, it is {}", name_of(other))),
    };
    let prompt = content(row, "prompt")?;
    let completion = following(&prompt, content(row, "completion")?)?;
    Ok(vec![Row::Labelled { prompt, completion, good }])
}

fn preference(row: &Object) -> Result<Vec<Row>, String> {
    ranking(content(row, "prompt")?, vec![content(row, "chosen")?, content(row, "rejected")?], vec![0.0, 1.0])
}

/// The prompt is what the two have in common.
fn implicit_preference(row: &Object) -> Result<Vec<Row>, String> {
    let (prompt, chosen, rejected) = match (content(row, "chosen")?, content(row, "rejected")?) {
        (Content::Text(chosen), Content::Text(rejected)) => {
            let shared = shared_prompt(&chosen, &rejected);
            (Content::from(&chosen[..shared]), Content::from(&chosen[shared..]), Content::from(&rejected[shared..]))
        }
        (Content::Messages(chosen), Content::Messages(rejected)) => {
            let same = chosen.iter().zip(&rejected).take_while(|(a, b)| a == b).count();
            let last = chosen.len().min(rejected.len()).saturating_sub(1);
            let part = |messages: &[Message]| Content::Messages(messages.to_vec());
            let at = same.min(last); // what is left is at least one answer each
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
        Value::String(text) => Ok(Content::Text(text.clone())),
        Value::Array(list) => Ok(Content::Messages(message_list(list, "completions")?)),
        other => Err(format!("completion {at} should be a string or a list of messages, it is {}", name_of(other))),
    });
    let ranks = array(row, "ranks")?.iter().map(|value| number(value, "ranks"));
    ranking(content(row, "prompt")?, completions.collect::<Result<_, _>>()?, ranks.collect::<Result<_, _>>()?)
}

fn ranking(prompt: Content, completions: Vec<Content>, ranks: Vec<f32>) -> Result<Vec<Row>, String> {
    match completions.len() == ranks.len() {
        true if completions.is_empty() => Err("there are no completions".into()),
        true => {
            let completions = completions.into_iter().map(|completion| following(&prompt, completion));
            let completions = completions.collect::<Result<_, _>>()?;
            Ok(vec![Row::Ranked { prompt, completions, ranks }])
        }
        false => Err(format!("{} completions, but {} ranks", completions.len(), ranks.len())),
    }
}

fn number(value: &Value, what: &str) -> Result<f32, String> {
    let number = value.as_f64().map(|number| number as f32).filter(|number| number.is_finite());
    number.ok_or_else(|| format!("\"{what}\" should be a number, it is {value}"))
}

/// `{"history": [{role, text}], "responses": [{text, rank}]}`
fn openassistant_ranking(row: &Object) -> Result<Vec<Row>, String> {
    let (texts, ranks) = scored(row, "rank")?;
    ranking(Content::Messages(message_list(array(row, "history")?, "history")?), texts.map(answer), ranks)
}

fn openassistant_demonstration(row: &Object) -> Result<Vec<Row>, String> {
    let prompt = Content::Messages(message_list(array(row, "history")?, "history")?);
    Ok(vec![Row::Demonstration { prompt, completion: answer(string(row, "response")?) }])
}

fn realsumm(row: &Object) -> Result<Vec<Row>, String> {
    let (texts, scores) = scored(row, "human")?;
    ranking(Content::from(""), texts.map(Content::Text), scores.into_iter().map(|score| -score).collect())
}

/// Texts of `responses`, which can be turned into contents, and a number for each.
fn scored(row: &Object, score: &str) -> Result<(Texts, Vec<f32>), String> {
    let (mut texts, mut scores) = (vec![], vec![]);
    for (at, response) in array(row, "responses")?.iter().enumerate() {
        let text = response["text"].as_str().ok_or_else(|| format!("response {at} has no string \"text\""))?;
        texts.push(text.to_string());
        scores.push(number(&response[score], score).map_err(|reason| format!("response {at}: {reason}"))?);
    }
    Ok((Texts(texts), scores))
}

struct Texts(Vec<String>);

impl Texts {
    fn map(self, content: fn(String) -> Content) -> Vec<Content> {
        self.0.into_iter().map(content).collect()
    }
}

fn pandalm(row: &Object) -> Result<Vec<Row>, String> {
    let completions = vec![answer(string(row, "response1")?), answer(string(row, "response2")?)];
    let mut votes = [0.0, 0.0];
    for annotator in (1..).map(|n| format!("annotator{n}")).take_while(|name| row.contains_key(name)) {
        match row[&annotator].as_u64() {
            Some(0) => {}
            Some(choice @ 1..=2) => votes[choice as usize - 1] += 1.0,
            _ => return Err(format!("\"{annotator}\" should be 0 (a tie), 1 or 2, it is {}", row[&annotator])),
        }
    }
    // most votes first: 0 and 1, or a tie at 0
    let ranks = vec![(votes[0] < votes[1]) as u8 as f32, (votes[1] < votes[0]) as u8 as f32];
    ranking(asked(row, row.get("input"))?, completions, ranks)
}

fn self_instruct(row: &Object) -> Result<Vec<Row>, String> {
    let instance = |instance: &Value| {
        let output = instance["output"].as_str().ok_or("an instance has no string \"output\"")?;
        Ok(Row::Demonstration { prompt: asked(row, instance.get("input"))?, completion: answer(output.into()) })
    };
    array(row, "instances")?.iter().map(instance).collect()
}

fn alpaca(row: &Object) -> Result<Vec<Row>, String> {
    Ok(vec![Row::Demonstration { prompt: asked(row, row.get("input"))?, completion: answer(string(row, "output")?) }])
}

/// An instruction and what it is about, as one message of a user.
fn asked(row: &Object, input: Option<&Value>) -> Result<Content, String> {
    let instruction = string(row, "instruction")?;
    let text = match input {
        None | Some(Value::Null) => instruction,
        Some(Value::String(input)) if input.is_empty() => instruction,
        Some(Value::String(input)) => format!("{instruction}\n\n{input}"),
        Some(other) => return Err(format!("\"input\" should be a string, it is {}", name_of(other))),
    };
    Ok(Content::Messages(vec![Message { role: Role::User, text }]))
}

/// Text of the form "\n\nHuman: …\n\nAssistant: …", as hh-rlhf has it, is messages: a model with a template of its own
/// reads it as a conversation, and the dialogue template writes the same text.
fn spoken(row: Row) -> Row {
    let said = |text: &Content| match text {
        Content::Text(text) => text.strip_prefix(' ').map(|text| answer(text.to_string())),
        Content::Messages(_) => None,
    };
    let messages = |prompt: &Content| match prompt {
        Content::Text(text) => dialogue(text).map(Content::Messages),
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
        messages.push(Message { role, text: rest[..end].to_string() });
        rest = &rest[end..];
    }
    (!messages.is_empty()).then_some(messages)
}

fn answer(text: String) -> Content {
    Content::Messages(vec![Message { role: Role::Assistant, text }])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(row: Value) -> Result<Vec<Row>, String> {
        let row = row.as_object().unwrap();
        Format::of(row).ok_or_else(|| "no format".to_string())?.read(row)
    }

    fn one(row: Value) -> Row {
        let mut rows = read(row).unwrap();
        assert_eq!(rows.len(), 1);
        rows.pop().unwrap()
    }

    fn said(role: Role, text: &str) -> Content {
        Content::Messages(vec![Message { role, text: text.into() }])
    }

    #[test]
    fn trls_standard_forms() {
        let c = |text: &str| Content::from(text);
        assert_eq!(one(json!({"text": "a", "id": 3})), Row::Text("a".into()));
        assert_eq!(one(json!({"prompt": "a"})), Row::Prompt(c("a")));
        assert_eq!(
            one(json!({"prompt": "a", "completion": "b"})),
            Row::Demonstration { prompt: c("a"), completion: c("b") }
        );
        let labelled = Row::Labelled { prompt: c("a"), completion: c("b"), good: true };
        assert_eq!(one(json!({"prompt": "a", "completion": "b", "label": true})), labelled);
        let pair = Row::Ranked { prompt: c("a"), completions: vec![c("b"), c("c")], ranks: vec![0.0, 1.0] };
        assert_eq!(one(json!({"prompt": "a", "chosen": "b", "rejected": "c"})), pair);
        let ties = Row::Ranked { prompt: c("a"), completions: vec![c("b"), c("c")], ranks: vec![2.0, 2.0] };
        assert_eq!(one(json!({"prompt": "a", "completions": ["b", "c"], "ranks": [2, 2]})), ties);
    }

    #[test]
    fn trls_conversational_forms() {
        let (user, assistant) =
            (json!({"role": "user", "content": "a"}), |t: &str| json!({"role": "assistant", "content": t}));
        let pair = Row::Ranked {
            prompt: said(Role::User, "a"),
            completions: vec![said(Role::Assistant, "b"), said(Role::Assistant, "c")],
            ranks: vec![0.0, 1.0],
        };
        assert_eq!(one(json!({"prompt": [user], "chosen": [assistant("b")], "rejected": [assistant("c")]})), pair);
        assert_eq!(one(json!({"chosen": [user, assistant("b")], "rejected": [user, assistant("c")]})), pair);
        assert!(matches!(one(json!({"messages": [user, assistant("b")]})), Row::Messages(list) if list.len() == 2));
        assert_eq!(one(json!({"prompt": [user]})), Row::Prompt(said(Role::User, "a")));
    }

    #[test]
    fn text_with_turns_is_a_conversation() {
        let row = one(json!({"prompt": "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant:", "completion": " d"}));
        let Row::Demonstration { prompt: Content::Messages(prompt), completion } = &row else { panic!("{row:?}") };
        let turns: Vec<_> = prompt.iter().map(|m| (m.role, m.text.as_str())).collect();
        assert_eq!(turns, [(Role::User, "a"), (Role::Assistant, "b"), (Role::User, "c")]);
        assert_eq!(*completion, said(Role::Assistant, "d"));
        let text = |row: &Row| matches!(row, Row::Demonstration { prompt: Content::Text(_), .. });
        for prompt in ["Human: a\n\nAssistant:", "\n\nHuman: a", "x\n\nHuman: a\n\nAssistant:"] {
            assert!(text(&one(json!({"prompt": prompt, "completion": " d"}))), "{prompt:?}");
        }
        assert!(text(&one(json!({"prompt": "\n\nHuman: a\n\nAssistant:", "completion": "d"}))));
    }

    #[test]
    fn the_prompt_of_a_pair_is_what_both_share() {
        let shared = |a: &str, b: &str| a[..shared_prompt(a, b)].to_string();
        assert_eq!(
            shared("\n\nHuman: hi\n\nAssistant: Yes, I do", "\n\nHuman: hi\n\nAssistant: Yes, no"),
            "\n\nHuman: hi\n\nAssistant:"
        );
        assert_eq!(shared("The sky is blue", "The sky is black"), "The sky is");
        assert_eq!(shared("é", "è"), "");
        // nothing of the two differs: there is an answer all the same
        let same = json!([{"role": "user", "content": "a"}]);
        assert!(
            matches!(one(json!({"chosen": same, "rejected": same})), Row::Ranked { completions, .. } if !completions[0].is_empty())
        );
    }

    #[test]
    fn the_forms_of_others() {
        let row = one(
            json!({"history": [{"role": "prompter", "text": "q"}], "responses": [{"text": "x", "rank": 1}, {"text": "y", "rank": 0}]}),
        );
        let completions = vec![said(Role::Assistant, "x"), said(Role::Assistant, "y")];
        assert_eq!(row, Row::Ranked { prompt: said(Role::User, "q"), completions, ranks: vec![1.0, 0.0] });

        let rows = read(
            json!({"instruction": "add", "instances": [{"input": "1 2", "output": "3"}, {"input": "", "output": "0"}]}),
        )
        .unwrap();
        assert_eq!(
            rows[0],
            Row::Demonstration { prompt: said(Role::User, "add\n\n1 2"), completion: said(Role::Assistant, "3") }
        );
        assert_eq!(
            rows[1],
            Row::Demonstration { prompt: said(Role::User, "add"), completion: said(Role::Assistant, "0") }
        );

        let panda = |a: [u32; 3]| json!({"instruction": "i", "input": "", "response1": "x", "response2": false, "annotator1": a[0], "annotator2": a[1], "annotator3": a[2]});
        for (votes, expected) in [([1, 1, 2], [0.0, 1.0]), ([2, 2, 0], [1.0, 0.0]), ([1, 2, 0], [0.0, 0.0])] {
            assert!(matches!(one(panda(votes)), Row::Ranked { ranks, .. } if ranks == expected));
        }
        assert!(
            matches!(one(json!({"ref": "r", "responses": [{"text": "x", "human": 0.7}]})), Row::Ranked { ranks, .. } if ranks == [-0.7])
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (row, part) in [
            (
                json!({"prompt": 1, "completion": null}),
                "\"completion\" should be a string or a list of messages, it is null",
            ),
            (json!({"prompt": "a", "completions": ["b"], "ranks": []}), "1 completions, but 0 ranks"),
            (json!({"prompt": "a", "completions": [], "ranks": []}), "no completions"),
            (json!({"prompt": "a", "completions": ["b"], "ranks": ["first"]}), "should be a number"),
            (json!({"messages": [{"role": "pirate", "content": "x"}]}), "role \"pirate\""),
            (json!({"messages": [{"role": "user"}]}), "message 0 of \"messages\" has no string \"content\""),
            (json!({"messages": "hello"}), "should be a list"),
            (json!({"text": ["a"]}), "\"text\" should be a string, it is a list"),
            (json!({"prompt": "a", "completion": "b", "label": "yes"}), "true or false"),
            (json!({"history": [], "responses": [{"text": "x"}]}), "response 0"),
            (json!({"chosen": "a", "rejected": []}), "both"),
            (json!({"prompt": "a", "completion": [{"role": "assistant", "content": "b"}]}), "in the same form"),
        ] {
            let reason = read(row).unwrap_err();
            assert!(reason.contains(part), "{reason}");
        }
    }
}
