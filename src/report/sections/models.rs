//! Who is who: what S and L are, and base, sft and the others.

use super::Section;
use crate::config::sections::given;
use crate::plot::escape;
use crate::report::{Run, millions};
use crate::stages::shown;

pub fn section(run: &Run) -> Option<Section> {
    let recipe = run.recipe.as_ref()?;
    let term = |name: &str, what: &str| format!("<dt>{}</dt><dd>{}.</dd>", escape(name), escape(what));
    let size = |size: &String| {
        let (shape, parameters) = (&recipe.model[size], run.parameters.get(size));
        let is = parameters.map_or("size not known".into(), |n| format!("{} parameters", millions(*n)));
        let from = match given(&shape.from) {
            Some(from) => format!("started from {}", from.display()),
            None => format!("{}, {} layers of {} channels", shape.arch, shape.layers, shape.channels),
        };
        term(size, &format!("{is}; {from}"))
    };
    let sizes: String = run.sizes.iter().map(size).collect();
    let names = run.models();
    let there = |kind: &str| names.iter().any(|name| name.ends_with(&format!(".{kind}")));
    let kinds: String = shown().filter(|s| there(s.name)).map(|s| term(s.name, s.what)).collect();
    let rm = match recipe.has_rm() {
        true => term(
            "rm",
            &format!(
                "the reward model, of size {}: learnt from rankings to give each completion a score",
                recipe.rm_size()
            ),
        ),
        false => String::new(),
    };
    let example = names.last().map_or(String::new(), |name| format!(", as in <code>{}</code>", escape(name)));
    let body =
        format!("<p>A model's name is its size and what was done with it{example}.</p><dl>{sizes}{kinds}{rm}</dl>");
    Some(Section::new("models", "The models of this run", body))
}
