//! How numbers are written to files.
use crate::error::{ModelError, Result};
use half::{bf16, f16};
use std::io::{self, Write};
use std::str::FromStr;

/// Number format of the tensors in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(non_camel_case_types)]
pub enum Dtype {
    /// 4 bytes.
    F32,
    /// 2 bytes, up to 65504.
    F16,
    /// 2 bytes, the range of f32.
    Bf16,
    /// Blocks of 32 numbers of eight bits that share a scale; in GGUF only.
    Q8_0,
}

/// Numbers of a Q8_0 block.
pub(crate) const BLOCK: usize = 32;

impl FromStr for Dtype {
    type Err = String;

    fn from_str(text: &str) -> Result<Dtype, String> {
        match text {
            "f32" => Ok(Dtype::F32),
            "f16" => Ok(Dtype::F16),
            "bf16" => Ok(Dtype::Bf16),
            "q8_0" => Ok(Dtype::Q8_0),
            _ => Err("it is f32, f16, bf16 or q8_0".into()),
        }
    }
}

impl Dtype {
    /// How many bytes so many numbers take.
    pub(crate) fn bytes(self, numbers: usize) -> usize {
        match self {
            Dtype::F32 => 4 * numbers,
            Dtype::F16 | Dtype::Bf16 => 2 * numbers,
            Dtype::Q8_0 => numbers / BLOCK * (2 + BLOCK),
        }
    }

    /// What is larger has no finite form: the middle between the largest number and what would come after it.
    fn largest(self) -> f32 {
        match self {
            Dtype::F32 => f32::MAX,
            Dtype::F16 => f32::from_bits(65_520f32.to_bits() - 1),
            Dtype::Bf16 => f32::from_bits(0x7f7f_7fff),
            Dtype::Q8_0 => 127.0 * f32::from_bits(65_520f32.to_bits() - 1), // the scale is f16
        }
    }

    /// Nothing is written that would be infinite when it is read, nor what is not finite now.
    pub(crate) fn check(self, name: &str, numbers: &[f32]) -> Result<()> {
        let largest = largest(numbers);
        if largest <= self.largest() {
            return Ok(());
        }
        if !largest.is_finite() {
            let problem = format!("`{name}` has numbers that are not finite, and is not written");
            return Err(ModelError::request(problem, "Training diverged; go back to an earlier checkpoint."));
        }
        let (name_of, end) = match self {
            Dtype::F16 => ("f16", "65504"),
            Dtype::Q8_0 => ("q8_0", "8319008"),
            _ => ("bf16", "3.39e38"),
        };
        let problem = format!("the largest number of `{name}` is {largest}, and {name_of} ends at {end}");
        Err(ModelError::request(problem, if self == Dtype::Bf16 { "Choose f32." } else { "Choose bf16 or f32." }))
    }

    pub(crate) fn write(self, numbers: &[f32], file: &mut impl Write) -> io::Result<()> {
        match self {
            Dtype::F32 if cfg!(target_endian = "little") => file.write_all(bytemuck::cast_slice(numbers)),
            Dtype::F32 => numbers.iter().try_for_each(|x| file.write_all(&x.to_le_bytes())),
            Dtype::F16 => numbers.iter().try_for_each(|&x| file.write_all(&f16::from_f32(x).to_le_bytes())),
            Dtype::Bf16 => numbers.iter().try_for_each(|&x| file.write_all(&bf16::from_f32(x).to_le_bytes())),
            Dtype::Q8_0 => numbers.chunks_exact(BLOCK).try_for_each(|block| file.write_all(&q8_0(block))),
        }
    }
}

/// The scale as f16, then q = x/scale rounded; the largest number is ±127.
fn q8_0(block: &[f32]) -> [u8; 2 + BLOCK] {
    let largest = block.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    let scale = largest / 127.0;
    let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    let mut bytes = [0; 2 + BLOCK];
    bytes[..2].copy_from_slice(&f16::from_f32(scale).to_le_bytes());
    for (byte, x) in bytes[2..].iter_mut().zip(block) {
        *byte = (x * inverse).round() as i8 as u8;
    }
    bytes
}

/// The largest magnitude; NaN, which is above infinity here, where there is one.
fn largest(numbers: &[f32]) -> f32 {
    f32::from_bits(numbers.iter().fold(0, |most, x| most.max(x.to_bits() & 0x7fff_ffff)))
}

/// The first number that is NaN or infinite, and where it is.
pub(crate) fn not_finite(numbers: &[f32]) -> Option<(usize, f32)> {
    match largest(numbers).is_finite() {
        true => None,
        false => numbers.iter().copied().enumerate().find(|(_, x)| !x.is_finite()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_checked_is_finite_when_it_is_read() {
        for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16, Dtype::Q8_0] {
            let most = dtype.largest();
            let mut block = [0.0; BLOCK];
            block[7] = -most;
            dtype.check("x", &block).unwrap();
            let above = f32::from_bits(most.to_bits() + 1);
            assert!(dtype.check("x", &[above]).is_err());
            let stored = |x: f32| match dtype {
                Dtype::F32 => x,
                Dtype::F16 => f16::from_f32(x).to_f32(),
                Dtype::Bf16 => bf16::from_f32(x).to_f32(),
                Dtype::Q8_0 => f16::from_f32(x / 127.0).to_f32(),
            };
            assert!(stored(most).is_finite(), "{dtype:?}");
            assert!(dtype == Dtype::Q8_0 || !stored(above).is_finite(), "{dtype:?}");
            for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                assert!(dtype.check("x", &[0.0, odd]).unwrap_err().to_string().contains("not finite"));
            }
        }
    }

    #[test]
    fn what_is_not_finite_is_found() {
        assert_eq!(not_finite(&[0.0, -1e38, f32::MIN_POSITIVE]), None);
        assert_eq!(not_finite(&[0.0, f32::NEG_INFINITY, f32::NAN]), Some((1, f32::NEG_INFINITY)));
        assert_eq!(not_finite(&[-f32::NAN]).unwrap().0, 0);
    }
}
