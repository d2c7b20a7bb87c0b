//! Rotary position embedding (RoPE; Su et al. 2021): how fast each pair of a head's numbers turns.
use kernels::{Device, Ids, Tensor, rope_table};
use std::sync::{Arc, Mutex};

/// Rotary positions of a network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rope {
    /// Pair i of R/2 turns by θ^(-2i/R) a position.
    pub theta: f64,
    /// R: how many numbers of a head turn; the others stay.
    pub rotary_dim: usize,
    /// How a long context is reached.
    pub scaling: Scaling,
}

/// RoPE scaling: how a model that was trained on short texts is stretched to long ones.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scaling {
    /// As it was trained.
    None,
    /// All slower by this factor (Chen et al. 2023).
    Linear {
        /// Above 1 for longer texts.
        factor: f64,
    },
    /// Slow pairs slower by `factor`, fast ones as they are, those between in between (Llama 3.1). Slow is what turns
    /// fewer than `low` times in `original` positions, fast what turns more than `high` times.
    Llama3 {
        /// Above 1 for longer texts.
        factor: f64,
        /// Turns in `original` positions.
        low: f64,
        /// Turns in `original` positions.
        high: f64,
        /// The context that the model was trained with first.
        original: f64,
    },
}

impl Rope {
    /// Without scaling.
    pub fn new(theta: f64, rotary_dim: usize) -> Rope {
        Rope { theta, rotary_dim, scaling: Scaling::None }
    }

    /// Radians a position, for each pair. [R/2]
    pub fn frequencies(&self) -> Vec<f64> {
        let plain = |i: usize| self.theta.powf(-2.0 * i as f64 / self.rotary_dim as f64);
        (0..self.rotary_dim / 2).map(|i| self.scaling.of(plain(i))).collect()
    }
}

impl Scaling {
    fn of(self, frequency: f64) -> f64 {
        match self {
            Scaling::None => frequency,
            Scaling::Linear { factor } => frequency / factor,
            Scaling::Llama3 { factor, low, high, original } => {
                let turns = original * frequency / std::f64::consts::TAU;
                let fast = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                (1.0 - fast) * frequency / factor + fast * frequency
            }
        }
    }
}

/// Rope cache: cos and sin of every angle, a row [R] for each position asked for so far, on the device that asked last.
#[derive(Clone)]
pub(crate) struct RopeCache {
    rope: Rope,
    /// No position is as large.
    context: usize,
    table: Arc<Mutex<Option<Tensor>>>,
}

impl RopeCache {
    pub(crate) fn new(rope: Rope, context: usize) -> RopeCache {
        RopeCache { rope, context, table: Arc::default() }
    }

    /// A table that has a row for each of these positions.  [positions, R]
    #[track_caller]
    pub(crate) fn table(&self, positions: &Ids, device: &Device) -> Tensor {
        let needed = positions.host().iter().max().map_or(0, |&last| last as usize + 1);
        let mut kept = self.table.lock().expect("no panic while making a table");
        match &*kept {
            Some(table) if table.shape()[0] >= needed && table.device() == *device => table.clone(),
            _ => kept.insert(self.make(needed).to(device)).clone(),
        }
    }

    /// Angles position·frequency for each of the R/2 pairs, as cos and sin; for `needed` positions and some to come.
    #[track_caller]
    fn make(&self, needed: usize) -> Tensor {
        let (rope, context) = (&self.rope, self.context);
        assert!(needed <= context, "position {} in a model that holds {context}", needed - 1);
        let positions = needed.next_power_of_two().clamp(64, context.max(64));
        Tensor::new(&[positions, rope.rotary_dim], rope_table(positions, &rope.frequencies()))
    }
}
