//! Keys and values of tokens already seen: a slot for each sequence that is being written.
use super::transformer::Transformer;
use autograd::{Var, Weights};
use kernels::{Device, Heads, Ids, Tensor};

/// KV cache: keys and values of the tokens before, so that a new token costs one row.
pub struct Cache {
    /// For each layer keys and values, [slots, T, G·D] each.
    layers: Vec<(Tensor, Tensor)>,
    heads: Heads,
}

impl Cache {
    /// Room for `slots` sequences of up to `context` tokens.
    pub fn new(model: &Transformer, slots: usize, context: usize, device: &Device) -> Cache {
        let heads = model.config.heads;
        let room = || Tensor::zeros(device, &[slots, context, heads.kv * heads.dim]);
        Cache { layers: (0..model.config.layers).map(|_| (room(), room())).collect(), heads }
    }
}

/// Rows of a pass that belong to other slots too: a prompt that several sequences begin with is read once.
#[derive(Default)]
pub(crate) struct Shared {
    pub rows: Vec<u32>,
    pub slots: Vec<u32>,
    pub positions: Vec<u32>,
}

impl Transformer {
    /// As `hidden`, for tokens that continue the sequences in the cache. Token n stands at `positions[n]` of
    /// slot `slots[n]`; what stands before it there must have been given, now or earlier.
    /// tokens, slots, positions `[N]` → `[N, C]`
    ///
    /// # Panics
    /// Where a slot or a position is not in the cache.
    #[track_caller]
    pub fn step(&self, w: &Weights, tokens: &Ids, slots: &Ids, positions: &Ids, cache: &mut Cache) -> Var {
        self.step_shared(w, tokens, slots, positions, Shared::default(), cache)
    }

    pub(crate) fn step_shared(
        &self,
        w: &Weights,
        tokens: &Ids,
        slots: &Ids,
        positions: &Ids,
        shared: Shared,
        cache: &mut Cache,
    ) -> Var {
        let (heads, window) = (cache.heads, self.config.sliding_window);
        let [rows, more_slots, more_positions] = [shared.rows, shared.slots, shared.positions].map(Ids::new);
        self.hidden_with(w, tokens, positions, |layer, qkv| {
            let ((k, v), qkv) = (&mut cache.layers[layer], qkv.value());
            kernels::kv_append(k, v, qkv, slots, positions, heads);
            if !rows.is_empty() {
                kernels::kv_append(k, v, &kernels::index_select(qkv, &rows), &more_slots, &more_positions, heads);
            }
            Var::from(kernels::attention_cached(qkv, k, v, slots, positions, heads, window))
        })
    }
}
