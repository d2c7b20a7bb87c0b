//! Lists of messages, by the names that data sets have for their parts: `role` and `content` as TRL has them, `from`
//! and `value` as ShareGPT has them. What a message says besides goes to the template as it is.

use crate::data::json::{Json, Object};
use crate::data::rows::{Content, Message, Role};

/// A string or a list of messages.
pub fn content(row: &Object, column: &str) -> Result<Content, String> {
    match &row.get(column).unwrap_or(&Json::Null) {
        Json::Array(list) => Ok(message_list(list, column)?.into()),
        // one message, as LLaMA-Factory writes a completion
        Json::Object(one) if one.has("role") || one.has("from") => {
            Ok(message_list(&[Json::Object(one.clone())], column)?.into())
        }
        other @ (Json::Null | Json::Object(_)) => {
            Err(format!("\"{column}\" should be a string or a list of messages, it is {}", other.name()))
        }
        _ => string(row, column).map(Content::Text),
    }
}

pub fn string(row: &Object, column: &str) -> Result<String, String> {
    match row.get(column).unwrap_or(&Json::Null) {
        Json::String(text) => Ok(text.clone()),
        // a converter that took the completion "true" or "7" for more than text
        Json::Bool(value) => Ok(value.to_string()),
        Json::Number(value) => Ok(value.to_string()),
        other => Err(format!("\"{column}\" should be a string, it is {}", other.name())),
    }
}

pub fn array<'a>(row: &'a Object, column: &str) -> Result<&'a [Json], String> {
    let value = row.get(column).unwrap_or(&Json::Null);
    value.as_array().ok_or_else(|| format!("\"{column}\" should be a list, it is {}", value.name()))
}

pub fn message_list(list: &[Json], column: &str) -> Result<Vec<Message>, String> {
    let read = |(at, value): (usize, &Json)| {
        let place = format!("message {at} of \"{column}\"");
        let object = value.as_object().ok_or_else(|| format!("{place} should be an object, it is {}", value.name()))?;
        message(object).map_err(|reason| format!("{place} {reason}"))
    };
    match list.is_empty() {
        true => Err(format!("\"{column}\" has no messages")),
        false => list.iter().enumerate().map(read).collect(),
    }
}

fn message(object: &Object) -> Result<Message, String> {
    const TEXTS: [&str; 3] = ["content", "value", "text"];
    const ROLES: [&str; 2] = ["role", "from"];
    let named = ROLES.iter().find_map(|&key| object.said(key)).ok_or("has no \"role\" (or \"from\")")?;
    let named = named.as_str().ok_or_else(|| format!("has a role that should be a string, it is {}", named.name()))?;
    let key = TEXTS.into_iter().find(|&key| object.has(key));
    let text = key.and_then(|key| object.said(key)).map(|value| text(value, key.unwrap_or_default())).transpose()?;
    let used = |name: &str| Some(name) == key || ROLES.contains(&name) || TRAINED.contains(&name);
    // a key that says null is as good as none, as transformers has it
    let said = object.0.iter().filter(|(name, value)| !used(name) && *value != Json::Null);
    let mut more = Object(said.cloned().collect());
    reasoning(&mut more);
    let role = match named {
        // a call as ShareGPT has it, in the form that templates know
        "function_call" => {
            let call = serde_json::from_str(text.as_deref().unwrap_or(""))
                .ok()
                .filter(|call: &Json| call.as_object().is_some());
            let call = call.ok_or("is a function_call, which should be JSON: {\"name\": …, \"arguments\": …}")?;
            let entry = [("type".to_string(), Json::String("function".into())), ("function".to_string(), call)];
            more.0.push(("tool_calls".into(), Json::Array(vec![Json::Object(Object(entry.to_vec()))])));
            return Ok(Message {
                has_text: false,
                more,
                trained: trained(object)?,
                ..Message::new(Role::Assistant, "")
            });
        }
        other => {
            role(other).ok_or_else(|| format!("has the role {other:?}; known are system, user, assistant, tool"))?
        }
    };
    if text.is_none() && more.0.is_empty() {
        return Err("has no string \"content\" (or \"text\", \"value\")".into());
    }
    let has_text = text.is_some();
    Ok(Message { has_text, more, trained: trained(object)?, ..Message::new(role, text.unwrap_or_default()) })
}

fn role(name: &str) -> Option<Role> {
    Some(match name {
        "user" | "prompter" | "human" => Role::User,
        "assistant" | "gpt" | "chatgpt" | "bot" | "model" | "bing" | "bard" => Role::Assistant,
        "system" => Role::System,
        "developer" => Role::Developer,
        "tool" | "observation" | "function_response" | "tool_response" => Role::Tool,
        "function" => Role::Function,
        "ipython" => Role::Ipython,
        _ => return None,
    })
}

/// A string, or OpenAI's parts of one.
fn text(value: &Json, key: &str) -> Result<String, String> {
    match value {
        Json::String(text) => Ok(text.clone()),
        Json::Array(parts) => parts.iter().map(part).collect(),
        other => Err(format!("has no string \"{key}\", it is {}", other.name())),
    }
}

fn part(part: &Json) -> Result<String, String> {
    if let Some(text) = part.as_str() {
        return Ok(text.to_string());
    }
    let object = part.as_object().ok_or_else(|| format!("has a part that is {}", part.name()))?;
    match (object.get("type").and_then(Json::as_str), object.get("text").and_then(Json::as_str)) {
        (None | Some("text" | "input_text" | "output_text"), Some(text)) => Ok(text.to_string()),
        (kind, _) => Err(format!("has a part of type {:?}; only text is read", kind.unwrap_or("none"))),
    }
}

/// Whether a message is trained, by OpenAI's and others' names.
const TRAINED: [&str; 5] = ["weight", "train", "trainable", "loss", "training"];

fn trained(object: &Object) -> Result<bool, String> {
    let mut trained = true;
    for key in TRAINED {
        if let Some(value) = object.said(key) {
            trained &=
                value.as_flag().ok_or_else(|| format!("has a \"{key}\" that should be 0 or 1, it is {value:?}"))?;
        }
    }
    Ok(trained)
}

/// Reasoning under each of its names, as transformers gives it to templates.
fn reasoning(more: &mut Object) {
    const NAMES: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];
    let Some(said) = NAMES.iter().find_map(|name| more.get(name)).cloned() else { return };
    if !more.has("thinking") {
        more.0.insert(0, ("thinking".into(), said.clone()));
    }
    match more.0.iter_mut().find(|(name, _)| name == "reasoning_content") {
        Some((_, value)) => *value = said,
        None => more.0.push(("reasoning_content".into(), said)),
    }
}
