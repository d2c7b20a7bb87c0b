//! [`Config`] → `config.json`, with the keys of transformers 4 and of transformers 5, so that both compute the same.
use crate::net::config::{Activation, Arch, Config, HeadKind};
use crate::net::rope::Scaling;
use serde_json::{Value, json};

impl Config {
    pub fn to_hf(&self, head: HeadKind) -> Value {
        let mut json = match self.arch {
            Arch::Gpt2 => self.gpt2_keys(),
            Arch::GptNeox => self.gpt_neox_keys(),
            _ => self.llama_keys(),
        };
        let (model_type, family) = self.arch.names();
        let class = match (head, self.arch) {
            (HeadKind::Score, _) => "ForSequenceClassification",
            (HeadKind::Lm, Arch::Gpt2) => "LMHeadModel",
            (HeadKind::Lm, _) => "ForCausalLM",
        };
        json["model_type"] = model_type.into();
        json["architectures"] = json!([format!("{family}{class}")]);
        if head == HeadKind::Score {
            json["num_labels"] = 1.into();
        }
        json["torch_dtype"] = "float32".into();
        json["dtype"] = "float32".into();
        json["vocab_size"] = self.vocab.into();
        json["tie_word_embeddings"] = self.tied.into();
        json["bos_token_id"] = self.bos.into();
        json["eos_token_id"] = self.eos_to_hf();
        json["pad_token_id"] = self.pad.into();
        json
    }

    /// A number, a list of several, or null.
    pub(crate) fn eos_to_hf(&self) -> Value {
        match self.eos_ids[..] {
            [] => Value::Null,
            [one] => one.into(),
            _ => json!(self.eos_ids),
        }
    }

    fn gpt2_keys(&self) -> Value {
        json!({
            "n_positions": self.context,
            "n_embd": self.channels,
            "n_layer": self.layers,
            "n_head": self.heads.q,
            "n_inner": self.intermediate_size,
            "activation_function": self.activation_name(),
            "layer_norm_epsilon": decimal(self.norm_eps),
            "attn_pdrop": 0.0,
            "embd_pdrop": 0.0,
            "resid_pdrop": 0.0,
        })
    }

    fn gpt_neox_keys(&self) -> Value {
        let mut json = self.sizes();
        json["layer_norm_eps"] = decimal(self.norm_eps).into();
        json["use_parallel_residual"] = self.parallel_residual.into();
        json["attention_bias"] = self.biases.qkv.into();
        json["attention_dropout"] = 0.0.into();
        json["hidden_dropout"] = 0.0.into();
        if let Some(rope) = &self.rope {
            let share = rope.rotary_dim as f64 / self.heads.dim as f64;
            json["rotary_pct"] = share.into();
            json["rotary_emb_base"] = rope.theta.into();
            json["rope_parameters"]["partial_rotary_factor"] = share.into();
        }
        json
    }

    fn llama_keys(&self) -> Value {
        let mut json = self.sizes();
        json["num_key_value_heads"] = self.heads.kv.into();
        json["head_dim"] = self.heads.dim.into();
        json["rms_norm_eps"] = decimal(self.norm_eps).into();
        json["attention_dropout"] = 0.0.into();
        if let Some(rope) = &self.rope {
            json["rope_theta"] = rope.theta.into();
        }
        match self.arch {
            Arch::Llama => {
                json["attention_bias"] = self.biases.qkv.into();
                json["mlp_bias"] = self.biases.mlp.into();
            }
            Arch::Mistral => json["sliding_window"] = self.sliding_window.into(),
            Arch::Qwen2 => json["use_sliding_window"] = false.into(),
            Arch::Qwen3 => {
                json["attention_bias"] = self.biases.qkv.into();
                json["use_sliding_window"] = false.into();
            }
            Arch::Gpt2 | Arch::GptNeox => unreachable!("written by others"),
        }
        json
    }

    /// What all but GPT-2 spell alike.
    fn sizes(&self) -> Value {
        let mut json = json!({
            "max_position_embeddings": self.context,
            "hidden_size": self.channels,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads.q,
            "intermediate_size": self.intermediate_size,
            "hidden_act": self.activation_name(),
        });
        if let Some(rope) = &self.rope {
            json["rope_parameters"] = rope.parameters();
            if rope.scaling != Scaling::None {
                json["rope_scaling"] = rope.scaling.write();
            }
        }
        json
    }

    fn activation_name(&self) -> &'static str {
        match self.activation {
            Activation::GeluTanh => "gelu_new",
            Activation::GeluErf => "gelu",
            Activation::SwiGlu => "silu",
        }
    }
}

/// An f32 as people write it: 1e-5, not 0.000009999999747378752.
fn decimal(x: f32) -> f64 {
    x.to_string().parse().expect("a printed f32 is a number")
}
