//! README.md of an adapter: how PEFT reads it to compute what was trained.

use crate::error::{Failure, Result};
use model::lora::Lora;
use model::{HeadKind, Transformer};
use rlhf_core::data::Processor;
use std::fmt::Write;
use std::path::Path;

/// Writes it. PEFT takes end tokens and padding from the frozen model, which an adapter cannot change.
pub fn write(dir: &Path, net: &Transformer, lora: &Lora, processor: &Processor) -> Result {
    let path = dir.join("README.md");
    std::fs::write(&path, text(net, lora, processor)).map_err(|e| Failure::write(&path, e))
}

/// What to do so that PEFT computes the same, where it would not by itself.
pub fn hints(net: &Transformer, processor: &Processor) -> Vec<String> {
    let Some(lora) = &net.lora else { return vec![] };
    let mut hints = vec![];
    let base = &lora.base;
    if Path::new(base).is_file() {
        hints.push(format!(
            "PEFT cannot open {base}, a GGUF file: write the adapter into it with rlhf merge, or rlhf convert it to a \
             directory and name that as base_model_name_or_path in adapter_config.json"
        ));
    }
    if net.head_kind() == HeadKind::Score {
        let ends = processor.scored_at();
        hints.push(format!(
            "in PEFT set config.pad_token_id = {} of the frozen model: the score is read at the end token ({}), which must \
             not count as padding",
            padding(processor.padding(net.config.pad)),
            ends.iter().map(u32::to_string).collect::<Vec<_>>().join(" or ")
        ));
    }
    hints
}

fn padding(pad: Option<u32>) -> String {
    pad.map_or("None".to_string(), |pad| pad.to_string())
}

fn text(net: &Transformer, lora: &Lora, processor: &Processor) -> String {
    let base = &lora.base;
    let mut out = format!("---\nlibrary_name: peft\nbase_model: {base:?}\n---\n\n");
    let what = if net.head_kind() == HeadKind::Lm { "A LoRA adapter" } else { "A reward model: a LoRA adapter" };
    let _ = writeln!(out, "{what} of rank {} upon `{base}`.\n", lora.rank);
    for hint in hints(net, processor) {
        let _ = writeln!(out, "{hint}.\n");
    }
    out +=
        "PEFT takes end tokens and padding from the frozen model. To compute what was trained, with transformers:\n\n";
    out += "```python\nimport peft, transformers\nfolder = \"this folder\"\n";
    out += "tokenizer = transformers.AutoTokenizer.from_pretrained(folder)\n";
    match net.head_kind() {
        HeadKind::Lm => {
            let _ = write!(
                out,
                "model = transformers.AutoModelForCausalLM.from_pretrained({base:?})\n\
                 model = peft.PeftModel.from_pretrained(model, folder)\n\
                 model.generation_config = transformers.GenerationConfig.from_pretrained(folder)  # ends answers with {:?}\n\
                 ```\n",
                processor.eos_ids
            );
        }
        HeadKind::Score => {
            let pad = padding(net.config.pad);
            let _ = write!(
                out,
                "model = transformers.AutoModelForSequenceClassification.from_pretrained({base:?}, num_labels=1)\n\
                 model.config.pad_token_id = {pad}\n\
                 model = peft.PeftModel.from_pretrained(model, folder)\n\
                 ```\n\n\
                 The score is the logit plus `rlhf_reward_bias` of adapter_config.json. With an end token as padding it \
                 would be read one token too early, and pairs may change their order.\n"
            );
        }
    }
    out
}
