//! `Ids`: whole numbers (tokens, rows). `Segments`: where each sequence of a ragged batch starts.
use crate::gpu;
use std::ops::Range;
use std::sync::{Arc, Mutex};

/// u32 numbers with a copy on the host always; on a GPU from their first use there.
#[derive(Clone)]
pub struct Ids {
    host: Arc<Vec<u32>>,
    uploaded: Arc<Mutex<Option<Arc<gpu::Buffer>>>>,
}

impl Ids {
    /// These numbers; a GPU gets them at their first use there.
    pub fn new(ids: Vec<u32>) -> Ids {
        Ids { host: Arc::new(ids), uploaded: Arc::new(Mutex::new(None)) }
    }

    /// The numbers on the host.
    pub fn host(&self) -> &[u32] {
        &self.host
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.host.len()
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.host.is_empty()
    }

    pub(crate) fn shape(&self) -> [usize; 1] {
        [self.len()]
    }

    /// These numbers on `gpu`, uploaded at the first call.
    pub(crate) fn on(&self, gpu: &Arc<gpu::Gpu>) -> Arc<gpu::Buffer> {
        let mut uploaded = self.uploaded.lock().expect("no panic while uploading");
        match &*uploaded {
            Some(buffer) if Arc::ptr_eq(buffer.gpu(), gpu) => buffer.clone(),
            _ => {
                let buffer = Arc::new(gpu.upload(&self.host));
                *uploaded = Some(buffer.clone());
                buffer
            }
        }
    }
}

impl From<&[u32]> for Ids {
    fn from(ids: &[u32]) -> Ids {
        Ids::new(ids.to_vec())
    }
}

impl From<Vec<u32>> for Ids {
    fn from(ids: Vec<u32>) -> Ids {
        Ids::new(ids)
    }
}

/// How the heads of attention divide the channels: H query heads share G key/value heads of size D.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// H, query heads.
    pub q: usize,
    /// G, key/value heads; H is a multiple of it.
    pub kv: usize,
    /// D, numbers of a head.
    pub dim: usize,
}

impl Heads {
    /// Columns of a row that holds queries, keys and values: (H + 2G)·D.
    pub fn qkv(&self) -> usize {
        (self.q + 2 * self.kv) * self.dim
    }

    /// The key/value head that query head `h` reads.
    pub fn kv_of(&self, h: usize) -> usize {
        h * self.kv / self.q
    }
}

/// Packed sequences, by their cumulative lengths (the `cu_seqlens` of FlashAttention): those of a ragged batch, laid
/// end to end, with no padding and no mask.
#[derive(Clone)]
pub struct Segments {
    starts: Ids,
    positions: Ids,
    first: Ids,
    sliding_window: Option<usize>,
}

impl Segments {
    /// Sequences of these lengths, one after the other.
    pub fn from_lengths(lengths: &[usize]) -> Segments {
        let (mut starts, mut positions, mut first) = (vec![0u32], Vec::new(), Vec::new());
        for &length in lengths {
            let start = *starts.last().expect("never empty");
            positions.extend(0..length as u32);
            first.extend(std::iter::repeat_n(start, length));
            starts.push(start + length as u32);
        }
        Segments { starts: starts.into(), positions: positions.into(), first: first.into(), sliding_window: None }
    }

    /// The same sequences, where each token sees only itself and the `sliding_window` - 1 tokens before it (Beltagy et
    /// al. 2020, section 3.1). None: all before it.
    ///
    /// # Panics
    /// Of a window of 0.
    #[track_caller]
    pub fn within(&self, sliding_window: Option<usize>) -> Segments {
        assert_ne!(sliding_window, Some(0), "a sliding window holds at least the token itself");
        let reach = sliding_window.unwrap_or(usize::MAX);
        let first = |(row, &position): (usize, &u32)| (row - (position as usize).min(reach - 1)) as u32;
        let first: Vec<u32> = self.positions.host().iter().enumerate().map(first).collect();
        Segments { first: first.into(), sliding_window, ..self.clone() }
    }

    /// B, the number of sequences.
    pub fn count(&self) -> usize {
        self.starts.len() - 1
    }

    /// N, the number of tokens of all sequences.
    pub fn tokens(&self) -> usize {
        self.positions.len()
    }

    /// The rows of sequence `b`.
    pub fn range(&self, b: usize) -> Range<usize> {
        self.starts.host()[b] as usize..self.starts.host()[b + 1] as usize
    }

    /// Tokens of each sequence.
    pub fn lengths(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.count()).map(|b| self.range(b).len())
    }

    /// Tokens of the longest sequence; 0 where there is none.
    pub fn longest(&self) -> usize {
        self.lengths().max().unwrap_or(0)
    }

    /// First row of each sequence, and N at the end. [B + 1]
    pub fn starts(&self) -> &Ids {
        &self.starts
    }

    /// Each token's index within its sequence. [N]
    pub fn positions(&self) -> &Ids {
        &self.positions
    }

    /// The first row that each token sees. [N]
    pub fn first(&self) -> &Ids {
        &self.first
    }

    /// How many tokens each token sees at most; None: all of its sequence up to itself.
    pub fn sliding_window(&self) -> Option<usize> {
        self.sliding_window
    }
}
