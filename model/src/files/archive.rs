//! One file of named tensors, of either format, under Hugging Face's names.
use super::{gguf, safetensors};
use crate::error::Result;
use std::path::Path;

pub enum Archive {
    Safetensors(safetensors::Archive),
    Gguf(gguf::Archive),
}

impl Archive {
    pub fn path(&self) -> &Path {
        match self {
            Archive::Safetensors(archive) => archive.path(),
            Archive::Gguf(archive) => archive.path(),
        }
    }

    pub fn names(&self) -> Vec<String> {
        match self {
            Archive::Safetensors(archive) => archive.names(),
            Archive::Gguf(archive) => archive.names(),
        }
    }

    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        match self {
            Archive::Safetensors(archive) => archive.shape(name),
            Archive::Gguf(archive) => archive.shape(name),
        }
    }

    pub fn dtype(&self, name: &str) -> Option<String> {
        match self {
            Archive::Safetensors(archive) => archive.dtype(name),
            Archive::Gguf(archive) => archive.dtype(name),
        }
    }

    /// One tensor as it lies in a .safetensors file.
    pub(crate) fn bytes(&self, name: &str) -> Option<&[u8]> {
        match self {
            Archive::Safetensors(archive) => archive.bytes(name),
            Archive::Gguf(_) => None,
        }
    }

    /// The numbers of one tensor, as f32.
    pub fn read_into(&self, name: &str, out: &mut [f32]) -> Result<()> {
        match self {
            Archive::Safetensors(archive) => archive.read_into(name, out),
            Archive::Gguf(archive) => archive.read_into(name, out),
        }
    }
}
