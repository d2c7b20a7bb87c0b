//! How numbers are written to files.
use half::{bf16, f16};
use std::io::{self, Write};
use std::str::FromStr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(non_camel_case_types)]
pub enum Dtype {
    F32,
    F16,
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
