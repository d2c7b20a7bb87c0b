//! How GGUF stores numbers: plain, or in blocks of small integers that share a scale. All are read; F32, F16,
//! BF16 and Q8_0 are written. The layouts are ggml's.
#![forbid(unsafe_code)]
use crate::files::dtype::Dtype;
use half::{bf16, f16};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(non_camel_case_types)]
pub enum Kind {
    F32,
    F16,
    BF16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q4_K,
    Q5_K,
    Q6_K,
}

/// Each with its number in the file, numbers a block, bytes a block.
const KINDS: [(Kind, u32, usize, usize); 11] = [
    (Kind::F32, 0, 1, 4),
    (Kind::F16, 1, 1, 2),
    (Kind::BF16, 30, 1, 2),
    (Kind::Q4_0, 2, 32, 18),
    (Kind::Q4_1, 3, 32, 20),
    (Kind::Q5_0, 6, 32, 22),
    (Kind::Q5_1, 7, 32, 24),
    (Kind::Q8_0, 8, 32, 34),
    (Kind::Q4_K, 12, 256, 144),
    (Kind::Q5_K, 13, 256, 176),
    (Kind::Q6_K, 14, 256, 210),
];

/// What ggml calls the others.
const UNREAD: [(u32, &str); 24] = [
    (9, "Q8_1"),
    (10, "Q2_K"),
    (11, "Q3_K"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (20, "IQ4_NL"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (28, "F64"),
    (29, "IQ1_M"),
    (31, "Q4_0_4_4"),
    (32, "Q4_0_4_8"),
    (33, "Q4_0_8_8"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (39, "MXFP4"),
];

impl From<Dtype> for Kind {
    fn from(dtype: Dtype) -> Kind {
        match dtype {
            Dtype::F32 => Kind::F32,
            Dtype::F16 => Kind::F16,
            Dtype::Bf16 => Kind::BF16,
            Dtype::Q8_0 => Kind::Q8_0,
        }
    }
}

impl Kind {
    pub fn of(id: u32) -> Option<Kind> {
        KINDS.iter().find(|row| row.1 == id).map(|row| row.0)
    }

    /// What ggml calls a type that is not read here.
    pub fn unread(id: u32) -> Option<&'static str> {
        UNREAD.iter().find(|row| row.0 == id).map(|row| row.1)
    }

    pub fn names() -> String {
        KINDS.map(|row| format!("{:?}", row.0)).join(", ")
    }

    fn row(self) -> (Kind, u32, usize, usize) {
        *KINDS.iter().find(|row| row.0 == self).expect("every kind has a row")
    }

    pub fn id(self) -> u32 {
        self.row().1
    }

    /// Numbers a block.
    pub fn block(self) -> usize {
        self.row().2
    }

    /// Bytes a block.
    pub fn bytes(self) -> usize {
        self.row().3
    }

    /// The numbers of whole blocks.
    pub fn decode(self, bytes: &[u8], out: &mut [f32]) {
        assert_eq!(bytes.len() / self.bytes() * self.block(), out.len(), "{self:?}: another number of blocks");
        for (b, y) in bytes.chunks_exact(self.bytes()).zip(out.chunks_exact_mut(self.block())) {
            match self {
                Kind::F32 => y[0] = f32::from_le_bytes([b[0], b[1], b[2], b[3]]),
                Kind::F16 => y[0] = half(b, 0),
                Kind::BF16 => y[0] = bf16::from_le_bytes([b[0], b[1]]).to_f32(),
                Kind::Q4_0 => legacy(half(b, 0), -8.0 * half(b, 0), &[0; 4], &b[2..], y),
                Kind::Q4_1 => legacy(half(b, 0), half(b, 2), &[0; 4], &b[4..], y),
                Kind::Q5_0 => legacy(half(b, 0), -16.0 * half(b, 0), &b[2..6], &b[6..], y),
                Kind::Q5_1 => legacy(half(b, 0), half(b, 2), &b[4..8], &b[8..], y),
                Kind::Q8_0 => y.iter_mut().zip(&b[2..]).for_each(|(y, &q)| *y = f32::from(q as i8) * half(b, 0)),
                Kind::Q4_K => k_quant(b, &[0; 32], &b[16..], y),
                Kind::Q5_K => k_quant(b, &b[16..48], &b[48..], y),
                Kind::Q6_K => q6_k(b, y),
            }
        }
    }
}

fn half(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// 32 numbers scale·q + shift: q has four low bits in `low` (the first 16 numbers in the lower halves) and a
/// fifth in `high`, a bit a number.
fn legacy(scale: f32, shift: f32, high: &[u8], low: &[u8], y: &mut [f32]) {
    let fifth = |i: usize| (high[i / 8] >> (i % 8) & 1) << 4;
    for i in 0..16 {
        y[i] = scale * f32::from(low[i] & 15 | fifth(i)) + shift;
        y[i + 16] = scale * f32::from(low[i] >> 4 | fifth(i + 16)) + shift;
    }
}

/// 256 numbers in eight groups of 32. A group has a scale and a minimum of six bits each, in units that the
/// whole block shares.
fn k_quant(b: &[u8], high: &[u8], low: &[u8], y: &mut [f32]) {
    let (scale, minimum, packed) = (half(b, 0), half(b, 2), &b[4..16]);
    for (group, y) in y.chunks_exact_mut(32).enumerate() {
        let (s, m) = match group {
            0..4 => (packed[group] & 63, packed[group + 4] & 63),
            _ => {
                (packed[group + 4] & 15 | packed[group - 4] >> 6 << 4, packed[group + 4] >> 4 | packed[group] >> 6 << 4)
            }
        };
        let (s, m) = (scale * f32::from(s), minimum * f32::from(m));
        let low = &low[group / 2 * 32..];
        for i in 0..32 {
            let four = if group % 2 == 0 { low[i] & 15 } else { low[i] >> 4 };
            y[i] = s * f32::from(four | (high[i] >> group & 1) << 4) - m;
        }
    }
}

/// 256 numbers in sixteen groups of 16, each with a scale of eight bits.
fn q6_k(b: &[u8], y: &mut [f32]) {
    let (low, high, scales, unit) = (&b[..128], &b[128..192], &b[192..208], half(b, 208));
    for i in 0..256 {
        // Halves of 128; in each, four runs of 32 share their bytes.
        let (part, run, at) = (i / 128, i / 32 % 4, i % 32);
        let four = low[64 * part + 32 * (run % 2) + at] >> (4 * (run / 2)) & 15;
        let two = high[32 * part + at] >> (2 * run) & 3;
        y[i] = unit * f32::from(scales[i / 16] as i8) * f32::from((four | two << 4) as i8 - 32);
    }
}

#[cfg(test)]
mod tests;
