//! What a tokenizer puts around every text: the post-processor of `tokenizer.json`. Prompts get the start token; the end is
//! put by whoever knows that a text is over, so that a tokenizer may write it or not.

use serde_json::{Value, json};

use super::Tokenizer;
use super::error::{Fault, unsupported};
use super::json::{parts, type_of};

/// Ids before and after a text.
#[derive(Debug, Default, PartialEq)]
pub struct Around {
    pub before: Vec<u64>,
    pub after: Vec<u64>,
}

/// What the post-processor of a file does with one text.
pub fn read(post_processor: &Value) -> Result<Around, Fault> {
    let mut around = Around::default();
    for part in parts(post_processor, "processors") {
        let this = match part["type"].as_str() {
            Some("ByteLevel") => Around::default(),
            Some("TemplateProcessing") => template(part)?,
            Some("RobertaProcessing" | "BertProcessing") => {
                let id = |key: &str| part[key][1].as_u64();
                match (id("cls"), id("sep")) {
                    (Some(cls), Some(sep)) => Around { before: vec![cls], after: vec![sep] },
                    _ => return unsupported("post-processor", part.to_string()),
                }
            }
            _ => return unsupported("post-processor", type_of(part)),
        };
        around.before = [this.before, around.before].concat();
        around.after.extend(this.after);
    }
    Ok(around)
}

fn template(part: &Value) -> Result<Around, Fault> {
    let mut around = Around::default();
    let mut text = false;
    for item in part["single"].as_array().into_iter().flatten() {
        if item.get("Sequence").is_some() {
            text = true;
            continue;
        }
        let ids = item["SpecialToken"]["id"].as_str().and_then(|name| part["special_tokens"][name]["ids"].as_array());
        let ids = ids.map(|ids| ids.iter().filter_map(Value::as_u64).collect::<Vec<_>>());
        match ids {
            Some(ids) if !text => around.before.extend(ids),
            Some(ids) => around.after.extend(ids),
            None => return unsupported("post-processor", part["single"].to_string()),
        }
    }
    Ok(around)
}

impl Tokenizer {
    /// Text starts with a token, or with none.
    pub(super) fn starts_and_closes(&mut self, around: Around) -> Result<(), Fault> {
        match around.before[..] {
            [] => {}
            [id] if (id as usize) < self.pieces.len() => self.bos = Some(id as u32),
            _ => return unsupported("post-processor", format!("one that puts {:?} before a text", around.before)),
        }
        self.closes = !around.after.is_empty();
        Ok(())
    }
}

/// The post-processor that puts the start token, and the end where this tokenizer does.
pub fn written(tokenizer: &Tokenizer) -> Value {
    let named = |id: u32| Some((id, tokenizer.added.get(&id)?.text.as_str()));
    let (bos, eos) = (tokenizer.bos.and_then(named), Some(tokenizer.eos).filter(|_| tokenizer.closes).and_then(named));
    if bos.is_none() && eos.is_none() {
        return Value::Null;
    }
    let around = |name: &str, type_id: u32| -> Vec<Value> {
        let token = |(_, text): (u32, &str)| json!({"SpecialToken": {"id": text, "type_id": type_id}});
        let text = json!({"Sequence": {"id": name, "type_id": type_id}});
        [bos.map(token), Some(text), eos.map(token)].into_iter().flatten().collect()
    };
    let special = |(id, text): (u32, &str)| (text.to_string(), json!({"id": text, "ids": [id], "tokens": [text]}));
    let special: serde_json::Map<String, Value> = bos.into_iter().chain(eos).map(special).collect();
    let (single, pair) = (around("A", 0), [around("A", 0), around("B", 1)].concat());
    json!({
        "type": "TemplateProcessing", "single": single, "pair": pair,
        "special_tokens": special,
    })
}
