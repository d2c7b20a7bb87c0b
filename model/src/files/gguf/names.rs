//! What a tensor is called by Hugging Face and in GGUF, and how its numbers lie in each.
use serde_json::Value;

/// Hugging Face's name and GGUF's, without `.weight` or `.bias`; `{}` is the number of the layer.
type Names = &'static [(&'static str, &'static str)];

const LLAMA: Names = &[
    ("model.embed_tokens", "token_embd"),
    ("model.layers.{}.input_layernorm", "blk.{}.attn_norm"),
    ("model.layers.{}.self_attn.q_proj", "blk.{}.attn_q"),
    ("model.layers.{}.self_attn.k_proj", "blk.{}.attn_k"),
    ("model.layers.{}.self_attn.v_proj", "blk.{}.attn_v"),
    ("model.layers.{}.self_attn.q_norm", "blk.{}.attn_q_norm"),
    ("model.layers.{}.self_attn.k_norm", "blk.{}.attn_k_norm"),
    ("model.layers.{}.self_attn.o_proj", "blk.{}.attn_output"),
    ("model.layers.{}.post_attention_layernorm", "blk.{}.ffn_norm"),
    ("model.layers.{}.mlp.gate_proj", "blk.{}.ffn_gate"),
    ("model.layers.{}.mlp.up_proj", "blk.{}.ffn_up"),
    ("model.layers.{}.mlp.down_proj", "blk.{}.ffn_down"),
    ("model.norm", "output_norm"),
    ("lm_head", "output"),
];

const GPT2: Names = &[
    ("transformer.wte", "token_embd"),
    ("transformer.wpe", "position_embd"),
    ("transformer.h.{}.ln_1", "blk.{}.attn_norm"),
    ("transformer.h.{}.attn.c_attn", "blk.{}.attn_qkv"),
    ("transformer.h.{}.attn.c_proj", "blk.{}.attn_output"),
    ("transformer.h.{}.ln_2", "blk.{}.ffn_norm"),
    ("transformer.h.{}.mlp.c_fc", "blk.{}.ffn_up"),
    ("transformer.h.{}.mlp.c_proj", "blk.{}.ffn_down"),
    ("transformer.ln_f", "output_norm"),
    ("lm_head", "output"),
];

const GPT_NEOX: Names = &[
    ("gpt_neox.embed_in", "token_embd"),
    ("gpt_neox.layers.{}.input_layernorm", "blk.{}.attn_norm"),
    ("gpt_neox.layers.{}.attention.query_key_value", "blk.{}.attn_qkv"),
    ("gpt_neox.layers.{}.attention.dense", "blk.{}.attn_output"),
    ("gpt_neox.layers.{}.post_attention_layernorm", "blk.{}.ffn_norm"),
    ("gpt_neox.layers.{}.mlp.dense_h_to_4h", "blk.{}.ffn_up"),
    ("gpt_neox.layers.{}.mlp.dense_4h_to_h", "blk.{}.ffn_down"),
    ("gpt_neox.final_layer_norm", "output_norm"),
    ("embed_out", "output"),
];

/// A tensor that is no part of a model but of how it turns: for each rotary pair, by how much it turns slower.
pub const ROPE_FREQS: &str = "rope_freqs.weight";

/// Which family a config.json is of, and the heads that its matrices are cut into.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    family: Family,
    heads: usize,
    kv_heads: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Family {
    /// Queries and keys turn in pairs of neighbours in GGUF, in pairs half a head apart in Hugging Face's files.
    Llama,
    /// The same names; pairs lie as Hugging Face's.
    Qwen,
    /// Matrices are [I, O] in Hugging Face's files.
    Gpt2,
    /// Query, key and value lie together head by head in Hugging Face's files, one after the other in GGUF.
    GptNeox,
}

/// Hugging Face's numbers are GGUF's with two axes exchanged: [_, a, b, inner] → [_, b, a, inner].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Swap {
    a: usize,
    b: usize,
    inner: usize,
}

impl Layout {
    pub fn of(config: &Value) -> Result<Layout, String> {
        let kind = config["model_type"].as_str().unwrap_or("");
        let family = match kind {
            "llama" | "mistral" => Family::Llama,
            "qwen2" | "qwen3" => Family::Qwen,
            "gpt2" => Family::Gpt2,
            "gpt_neox" => Family::GptNeox,
            _ => return Err(format!("model_type `{kind}` has no form in GGUF that this program knows")),
        };
        let size = |key: &str| config[key].as_u64().filter(|n| (1..=65_536).contains(n)).map(|n| n as usize);
        let heads = if family == Family::Gpt2 { Some(1) } else { size("num_attention_heads") }; // GPT-2's are not cut
        let heads = heads.ok_or("`num_attention_heads` is missing or absurd")?;
        Ok(Layout { family, heads, kv_heads: size("num_key_value_heads").unwrap_or(heads) })
    }

    fn names(self) -> Names {
        match self.family {
            Family::Llama | Family::Qwen => LLAMA,
            Family::Gpt2 => GPT2,
            Family::GptNeox => GPT_NEOX,
        }
    }

    /// Hugging Face's name of a tensor of GGUF.
    pub fn to_hf(self, name: &str) -> Option<String> {
        self.names().iter().find_map(|(hf, gguf)| rename(name, gguf, hf))
    }

    /// GGUF's name of a tensor of Hugging Face.
    pub fn to_gguf(self, name: &str) -> Option<String> {
        self.names().iter().find_map(|(hf, gguf)| rename(name, hf, gguf))
    }

    /// Of the tensor that GGUF calls `name` and Hugging Face shapes `shape`: GGUF's shape, and the axes that
    /// are exchanged.
    pub fn swap(self, name: &str, shape: &[usize]) -> Result<(Vec<usize>, Option<Swap>), String> {
        let part = name.split('.').nth(2).unwrap_or("");
        let inner: usize = shape[1..].iter().product();
        let a_head = |heads: usize, parts: usize| match shape[0].is_multiple_of(heads * parts) {
            true => Ok(shape[0] / heads / parts),
            false => Err(format!("`{name}`: {} rows cannot be cut into {heads} heads of {parts} parts", shape[0])),
        };
        let swap = match (self.family, part) {
            (Family::Llama, "attn_q") => Swap { a: a_head(self.heads, 2)?, b: 2, inner },
            (Family::Llama, "attn_k") => Swap { a: a_head(self.kv_heads, 2)?, b: 2, inner },
            (Family::GptNeox, "attn_qkv") => Swap { a: 3, b: self.heads, inner: a_head(self.heads, 3)? * inner },
            (Family::Gpt2, "attn_qkv" | "attn_output" | "ffn_up" | "ffn_down") => match *shape {
                [i, o] => return Ok((vec![o, i], Some(Swap { a: o, b: i, inner: 1 }))),
                _ => return Ok((shape.to_vec(), None)),
            },
            _ => return Ok((shape.to_vec(), None)),
        };
        Ok((shape.to_vec(), Some(swap)))
    }

    /// Hugging Face's shape of what GGUF calls `name` and shapes `shape`.
    pub fn hf_shape(self, name: &str, shape: &[usize]) -> Vec<usize> {
        let transposed = self.family == Family::Gpt2 && shape.len() == 2 && name.starts_with("blk.");
        if transposed { vec![shape[1], shape[0]] } else { shape.to_vec() }
    }
}

impl Swap {
    /// GGUF's numbers in Hugging Face's order.
    pub fn to_hf(self, gguf: &[f32], hf: &mut [f32]) {
        let Swap { a, b, inner } = self;
        for (from, to) in gguf.chunks_exact(a * b * inner).zip(hf.chunks_exact_mut(a * b * inner)) {
            for i in 0..a {
                for j in 0..b {
                    to[(j * a + i) * inner..][..inner].copy_from_slice(&from[(i * b + j) * inner..][..inner]);
                }
            }
        }
    }

    /// And back.
    pub fn to_gguf(self, hf: &[f32], gguf: &mut [f32]) {
        Swap { a: self.b, b: self.a, ..self }.to_hf(hf, gguf);
    }
}

/// `name` in the words of `to`, if it is one that `from` describes.
fn rename(name: &str, from: &str, to: &str) -> Option<String> {
    let (stem, end) = name.rsplit_once('.').filter(|(_, end)| ["weight", "bias"].contains(end))?;
    let Some((before, after)) = from.split_once("{}") else {
        return (stem == from).then(|| format!("{to}.{end}"));
    };
    let layer = stem.strip_prefix(before)?.strip_suffix(after)?;
    let number: u32 = layer.parse().ok()?;
    (number.to_string() == layer).then(|| format!("{}.{end}", to.replace("{}", layer)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_go_there_and_back() {
        for kind in ["llama", "mistral", "qwen2", "qwen3", "gpt2", "gpt_neox"] {
            let layout = Layout::of(&json!({"model_type": kind, "num_attention_heads": 2})).unwrap();
            for (hf, gguf) in layout.names() {
                let [hf, gguf] = [hf, gguf].map(|name| format!("{}.bias", name.replace("{}", "17")));
                assert_eq!((layout.to_gguf(&hf), layout.to_hf(&gguf)), (Some(gguf), Some(hf)));
            }
            for odd in
                ["blk.01.attn_norm.weight", "blk..attn_norm.weight", "blk.+1.attn_norm.weight", "blk.1.attn_norm"]
            {
                assert_eq!(layout.to_hf(odd), None);
            }
        }
        assert!(Layout::of(&json!({"model_type": "mamba"})).unwrap_err().contains("mamba"));
        assert!(Layout::of(&json!({"model_type": "llama", "num_attention_heads": 0})).is_err());
    }

    /// llama.cpp's converter: w.reshape(H, 2, D/2, in).swapaxes(1, 2).
    #[test]
    fn rotary_pairs_are_neighbours_in_gguf() {
        let layout = Layout::of(&json!({"model_type": "llama", "num_attention_heads": 2})).unwrap();
        let (_, swap) = layout.swap("blk.0.attn_q.weight", &[8, 1]).unwrap();
        let (hf, mut gguf, mut again) = ([0., 1., 2., 3., 4., 5., 6., 7.], [0.0; 8], [0.0; 8]);
        swap.unwrap().to_gguf(&hf, &mut gguf);
        assert_eq!(gguf, [0., 2., 1., 3., 4., 6., 5., 7.]);
        swap.unwrap().to_hf(&gguf, &mut again);
        assert_eq!(again, hf);
        assert!(layout.swap("blk.0.attn_q.weight", &[6, 1]).unwrap_err().contains("2 heads of 2 parts"));
    }
}
