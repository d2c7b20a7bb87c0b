//! The kinds of files that are mutated, where they lie, and what reads them.

use kernels::{Device, Rng};
use model::{BaseModels, Config, Dtype, HeadKind, Model, Tokenizer, convert, describe, load, lora, save};
use rlhf_core::data::{Inspection, Message, Processor, Role, Template, load_file};
use std::fs;
use std::path::{Path, PathBuf};

#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Config,
    Generation,
    Adapter,
    Tokenizer,
    TokenizerConfig,
    Template,
    Gguf,
    Safetensors,
    AdapterWeights,
    Rows,
}

pub const ALL: [Kind; 10] = [
    Kind::Config,
    Kind::Generation,
    Kind::Adapter,
    Kind::Tokenizer,
    Kind::TokenizerConfig,
    Kind::Template,
    Kind::Gguf,
    Kind::Safetensors,
    Kind::AdapterWeights,
    Kind::Rows,
];

/// A folder with good models: what is mutated lies beside good files.
pub struct Place {
    dir: tempfile::TempDir,
    processor: Processor,
}

const TEXT: &str = "the cat sat on the mat; the other cat sat on the hat. ";
const END: &str = "<|endoftext|>";
const TEMPLATES: [&str; 4] = [
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}\
     {% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    "{{ bos_token }}{% set ns = namespace(n=0) %}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content | trim }} \
     [/INST]{% set ns.n = ns.n + 1 %}{% elif m.role == 'assistant' %}{% generation %}{{ m.content ~ eos_token }}{% endgeneration %}\
     {% else %}{{ raise_exception('no ' + m.role) }}{% endif %}{% endfor %}",
    "{%- macro turn(m) -%}<{{ m['role'] | upper }}>{{ m['content'].split('x') | join(',') }}{%- endmacro -%}{%- for m in \
     messages[::-1] if m.content is string and m.content is defined -%}{{ turn(m) }}{{ loop.index0 * 2 % 3 }}{%- endfor -%}",
    "{% for i in range(3) %}{{ [1, 2, [3]] | string }}{{ {'a': messages | length} | tojson }}{{ '%s' | format(i) }}{% endfor %}",
];
const ROWS: [&str; 5] = [
    "{\"prompt\": \"the cat\", \"completion\": \" sat\"}\n{\"prompt\": \"a\", \"completion\": \"b\"}\n",
    "{\"prompt\": \"the\", \"chosen\": \" cat\", \"rejected\": \" mat\"}\n{\"text\": \"the mat\"}\n",
    "{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}, {\"role\": \"assistant\", \"content\": \"yo\"}]}\n",
    "[{\"prompt\": \"p\", \"completions\": [\"a\", \"b\", \"c\"], \"ranks\": [1, 2, 3]}]",
    "{\"conversations\": [{\"from\": \"human\", \"value\": \"hi\"}, {\"from\": \"gpt\", \"value\": \"the cat\"}]}\n",
];

impl Place {
    pub fn new() -> Place {
        let dir = tempfile::tempdir().expect("a folder");
        let tokenizer = Tokenizer::train([TEXT.repeat(3)], 300, &[END]);
        for name in ["gpt2", "llama"] {
            let config = match name {
                "gpt2" => Config::gpt2(300, 32, 1, 16, 2),
                _ => Config::llama(300, 32, 1, 16, 2, 1),
            };
            let config = Config { eos_ids: vec![tokenizer.eos()], ..config };
            let model = Model::new(&config, HeadKind::Lm, Rng::new(1), &Device::Cpu);
            let at = dir.path().join(name);
            tokenizer.save(&at).or_else(|_| fs::create_dir_all(&at).map(drop)).expect("a folder to write");
            save(&at, &model, Some(&tokenizer.to_json())).expect("a model that can be written");
            tokenizer.save(&at).expect("a tokenizer that can be written");
        }
        let llama = dir.path().join("llama");
        convert(&llama, &dir.path().join("x.gguf"), Dtype::Q8_0).expect("it can be converted");
        let on = BaseModels::default().open(&llama, &Device::Cpu).expect("a good model");
        let modules = lora::modules(&on.net, "q_proj,down_proj").expect("it has these");
        let model = lora::attach(&on, 2, 4.0, &modules, HeadKind::Lm, Rng::new(2));
        save(&dir.path().join("adapter"), &model, None).expect("an adapter that can be written");
        let processor = Processor::new(tokenizer, 32, Template::dialogue(), &[]).expect("a good template");
        Place { dir, processor }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Config => "config.json",
            Kind::Generation => "generation_config.json",
            Kind::Adapter => "adapter_config.json",
            Kind::Tokenizer => "tokenizer.json",
            Kind::TokenizerConfig => "tokenizer_config.json",
            Kind::Template => "chat_template.jinja",
            Kind::Gguf => "model.gguf",
            Kind::Safetensors => "model.safetensors",
            Kind::AdapterWeights => "adapter_model.safetensors",
            Kind::Rows => "rows.jsonl",
        }
    }

    /// Good files, to be mutated.
    pub fn seeds(self, place: &Place) -> Vec<Vec<u8>> {
        self.prepare(place);
        let read = |name: &str| fs::read(place.at(name)).expect("made before");
        match self {
            Kind::Config | Kind::Safetensors | Kind::Generation => {
                ["gpt2", "llama"].map(|dir| read(&format!("{dir}/{}", self.name()))).into()
            }
            Kind::Tokenizer | Kind::TokenizerConfig => vec![read(&format!("llama/{}", self.name()))],
            Kind::Adapter | Kind::AdapterWeights => vec![read(&format!("adapter/{}", self.name()))],
            Kind::Gguf => vec![read("x.gguf")],
            Kind::Template => TEMPLATES.map(|text| text.as_bytes().to_vec()).into(),
            Kind::Rows => ROWS.map(|text| text.as_bytes().to_vec()).into(),
        }
    }

    /// Where the mutations of a seed lie.
    fn path(self, place: &Place, seed: usize) -> PathBuf {
        match self {
            Kind::Gguf | Kind::Rows => place.at(self.name()),
            Kind::Adapter | Kind::AdapterWeights => place.at("scratch-adapter").join(self.name()),
            _ => scratch(place, seed).join(self.name()),
        }
    }

    /// Good files beside those that will be mutated.
    fn prepare(self, place: &Place) {
        let first = match self {
            Kind::Config | Kind::Safetensors | Kind::Generation => "gpt2",
            _ => "llama",
        };
        for (seed, from) in [first, "llama"].into_iter().enumerate() {
            fill(&place.at(from), &scratch(place, seed));
        }
        fill(&place.at("adapter"), &place.at("scratch-adapter"));
    }

    pub fn put(self, place: &Place, seed: usize, bytes: &[u8]) {
        fs::write(self.path(place, seed), bytes).expect("a place to write");
    }

    /// Reads it as the program does; was it taken for good?
    pub fn read(self, place: &Place, seed: usize) -> bool {
        let dir = scratch(place, seed);
        match self {
            Kind::Config | Kind::Generation | Kind::Safetensors => model(&dir),
            Kind::Adapter | Kind::AdapterWeights => model(&place.at("scratch-adapter")),
            Kind::Tokenizer | Kind::TokenizerConfig => tokenizer(&dir),
            Kind::Template => template(&dir),
            Kind::Gguf => {
                let file = self.path(place, seed);
                // not `&`: each of them reads it
                tokenizer(&file) & template(&file) & model(&file)
            }
            Kind::Rows => match load_file(&self.path(place, seed)) {
                Err(_) => false,
                Ok(file) => Inspection::new(&file, Some(&place.processor), 3).is_ok(),
            },
        }
    }
}

/// Of one seed; those of a template are of one model.
fn scratch(place: &Place, seed: usize) -> PathBuf {
    place.at(&format!("scratch-{}", seed.min(1)))
}

fn fill(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).expect("a place to write");
    for entry in fs::read_dir(from).expect("made before") {
        let file = entry.expect("made before").path();
        fs::copy(&file, to.join(file.file_name().expect("a file"))).expect("a place to write");
    }
}

fn model(path: &Path) -> bool {
    let said = describe(path);
    let loaded = load(path, &Device::Cpu);
    said.is_ok() && loaded.is_ok()
}

fn tokenizer(path: &Path) -> bool {
    match Tokenizer::of_model(path) {
        Ok(Some(tokenizer)) => {
            let ids = tokenizer.encode(TEXT);
            tokenizer.decode(&ids);
            template(path)
        }
        _ => false,
    }
}

fn template(path: &Path) -> bool {
    let message = |role, text: &str| Message::new(role, text);
    let said = [message(Role::User, "the cat <|im_end|>"), message(Role::Assistant, "sat"), message(Role::User, "x")];
    match Template::of_model(path) {
        Ok(Some(template)) => template.conversation_text(&said.to_vec().into()).is_ok(),
        Ok(None) => true,
        Err(_) => false,
    }
}
