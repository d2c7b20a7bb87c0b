//! How a conversation becomes a prompt. Two ways are known; each is also written as Jinja into the model directory,
//! so that `transformers` prompts the model as it was trained.

use crate::error::{Failure, Result};
use rlhf_core::data::{Content, Message, Role, prompt_text};
use std::path::Path;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Template {
    /// Recipe mini's world: the request, and "Answer:" on the next line. Each request stands alone.
    World,
    /// "Human:" and "Assistant:", as in hh-rlhf.
    Dialogue,
}

const FILE: &str = "chat_template.jinja";

const WORLD: &str = "{% for message in messages %}{% if message['role'] == 'assistant' %}{{ ' ' + message['content'] \
    + eos_token }}{% else %}{{ message['content'] + '\\nAnswer:' }}{% endif %}{% endfor %}";

const DIALOGUE: &str = "{% for message in messages %}{% if message['role'] == 'system' %}{{ message['content'] }}\
    {% elif message['role'] == 'user' %}{{ '\\n\\nHuman: ' + message['content'] }}\
    {% else %}{{ '\\n\\nAssistant: ' + message['content'] }}{% endif %}{% endfor %}\
    {% if add_generation_prompt %}{{ '\\n\\nAssistant:' }}{% endif %}";

impl Template {
    fn jinja(self) -> &'static str {
        match self {
            Template::World => WORLD,
            Template::Dialogue => DIALOGUE,
        }
    }

    /// The template of a model; `None` when it has one that we do not know, or none.
    pub fn read(model: &Path) -> Option<Template> {
        let text = model::chat_template(model).ok()??;
        [Template::World, Template::Dialogue].into_iter().find(|t| t.jinja() == text.trim_end())
    }

    pub fn write(self, dir: &Path) -> Result {
        let path = dir.join(FILE);
        std::fs::write(&path, format!("{}\n", self.jinja())).map_err(|e| Failure::write(&path, e))
    }

    /// The prompt for the next thing that the assistant says.
    pub fn prompt(self, said: &[Message]) -> String {
        match self {
            Template::Dialogue => prompt_text(&Content::Messages(said.to_vec())),
            Template::World => {
                let last = said.iter().rfind(|m| m.role == Role::User).map_or("", |m| &m.text);
                format!("{last}{}", rlhf_core::world::MARKER)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Template::read(dir.path()), None);
        Template::World.write(dir.path()).unwrap();
        assert_eq!(Template::read(dir.path()), Some(Template::World));
    }

    #[test]
    fn conversations_become_prompts() {
        let say = |role, text: &str| Message { role, text: text.into() };
        let said = [say(Role::User, "Hi."), say(Role::Assistant, "Hello."), say(Role::User, "What is red?")];
        assert_eq!(Template::World.prompt(&said), "What is red?\nAnswer:");
        assert!(Template::Dialogue.prompt(&said).ends_with("Assistant: Hello.\n\nHuman: What is red?\n\nAssistant:"));
    }
}
