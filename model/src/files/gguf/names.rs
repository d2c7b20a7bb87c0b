//! What a tensor is called by Hugging Face and in GGUF, and how its numbers lie in each.
use crate::arch::tensors::{Layout, Part};
use crate::arch::{self, Arch};
use crate::net::config::Config;

/// A tensor that is no part of a model but of how it turns: for each rotary pair, by how much it turns slower.
pub const ROPE_FREQS: &str = "rope_freqs.weight";

/// Tensors of a model, by the names of its architecture and the heads that its matrices are cut into.
#[derive(Clone, Copy)]
pub struct Names<'a> {
    arch: &'static Arch,
    config: &'a Config,
}

/// Hugging Face's numbers are GGUF's with two axes exchanged: [_, a, b, inner] → [_, b, a, inner].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Swap {
    a: usize,
    b: usize,
    inner: usize,
}

impl Names<'_> {
    pub fn of(config: &Config) -> Names<'_> {
        Names { arch: arch::of(config), config }
    }

    /// Hugging Face's name of a tensor of GGUF.
    pub fn to_hf(self, name: &str) -> Option<String> {
        self.arch.tensors.iter().find_map(|(_, hf, gguf)| rename(name, gguf, hf))
    }

    /// GGUF's name of a tensor of Hugging Face.
    pub fn to_gguf(self, name: &str) -> Option<String> {
        self.arch.tensors.iter().find_map(|(_, hf, gguf)| rename(name, hf, gguf))
    }

    /// Of the tensor that GGUF calls `name` and Hugging Face shapes `shape`: GGUF's shape, and the axes that
    /// are exchanged.
    pub fn swap(self, name: &str, shape: &[usize]) -> Result<(Vec<usize>, Option<Swap>), String> {
        let inner: usize = shape[1..].iter().product();
        let a_head = |heads: usize, parts: usize| match shape[0].is_multiple_of(heads * parts) {
            true => Ok(shape[0] / heads / parts),
            false => Err(format!("`{name}`: {} rows cannot be cut into {heads} heads of {parts} parts", shape[0])),
        };
        let heads = self.config.heads;
        let swap = match (self.layout(name), shape) {
            (Some((_, Layout::Transposed)), &[i, o]) => return Ok((vec![o, i], Some(Swap { a: o, b: i, inner: 1 }))),
            (Some((_, Layout::ByHead(heads))), _) => Swap { a: 3, b: heads, inner: a_head(heads, 3)? * inner },
            (Some((Part::Q, _)), _) if self.arch.gguf.neighbours => Swap { a: a_head(heads.q, 2)?, b: 2, inner },
            (Some((Part::K, _)), _) if self.arch.gguf.neighbours => Swap { a: a_head(heads.kv, 2)?, b: 2, inner },
            _ => return Ok((shape.to_vec(), None)),
        };
        Ok((shape.to_vec(), Some(swap)))
    }

    /// Hugging Face's shape of what GGUF calls `name` and shapes `shape`.
    pub fn hf_shape(self, name: &str, shape: &[usize]) -> Vec<usize> {
        match (self.layout(name), shape) {
            (Some((_, Layout::Transposed)), &[o, i]) => vec![i, o],
            _ => shape.to_vec(),
        }
    }

    /// Which part of a network GGUF calls so, and how Hugging Face has it.
    fn layout(self, name: &str) -> Option<(Part, Layout)> {
        let (part, ..) = *self.arch.tensors.iter().find(|(_, hf, gguf)| rename(name, gguf, hf).is_some())?;
        Some((part, (self.arch.layout)(part, self.config)))
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

    fn config(arch: &Arch, heads: usize) -> Config {
        Config::new(arch, 61, 48, 2, 4 * heads, heads, heads)
    }

    #[test]
    fn names_go_there_and_back() {
        for arch in arch::ARCHS {
            let config = config(arch, 2);
            let names = Names::of(&config);
            for (_, hf, gguf) in arch.tensors {
                let [hf, gguf] = [hf, gguf].map(|name| format!("{}.bias", name.replace("{}", "17")));
                assert_eq!((names.to_gguf(&hf), names.to_hf(&gguf)), (Some(gguf), Some(hf)));
            }
            for odd in
                ["blk.01.attn_norm.weight", "blk..attn_norm.weight", "blk.+1.attn_norm.weight", "blk.1.attn_norm"]
            {
                assert_eq!(names.to_hf(odd), None);
            }
        }
    }

    /// llama.cpp's converter: w.reshape(H, 2, D/2, in).swapaxes(1, 2).
    #[test]
    fn rotary_pairs_are_neighbours_in_gguf() {
        let config = config(&arch::llama::ARCH, 2);
        let names = Names::of(&config);
        let (_, swap) = names.swap("blk.0.attn_q.weight", &[8, 1]).unwrap();
        let (hf, mut gguf, mut again) = ([0., 1., 2., 3., 4., 5., 6., 7.], [0.0; 8], [0.0; 8]);
        swap.unwrap().to_gguf(&hf, &mut gguf);
        assert_eq!(gguf, [0., 2., 1., 3., 4., 6., 5., 7.]);
        swap.unwrap().to_hf(&gguf, &mut again);
        assert_eq!(again, hf);
        assert!(names.swap("blk.0.attn_q.weight", &[6, 1]).unwrap_err().contains("2 heads of 2 parts"));
    }
}
