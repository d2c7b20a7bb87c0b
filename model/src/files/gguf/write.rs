//! Writing GGUF: the layout that llama.cpp's own converter writes, so that llama.cpp loads it.
use super::blocks::Kind;
use super::names::{Names, ROPE_FREQS, Swap};
use super::{Value, config};
use crate::error::{At, ModelError, Result};
use crate::files::dtype::{BLOCK, Dtype};
use crate::net::config::Config;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

const ALIGNMENT: usize = 32;

/// What is written of one tensor.
struct Entry<'a> {
    hf_name: &'a str,
    name: String,
    shape: Vec<usize>,
    dtype: Dtype,
    swap: Option<Swap>,
}

impl Entry<'_> {
    fn numbers(&self) -> usize {
        self.shape.iter().product()
    }
}

/// The metadata of a model without its tokenizer.
pub(crate) fn describe(config: &Config, dtype: Dtype) -> Result<Vec<(String, Value)>> {
    let mut metadata = config::to_gguf(config).map_err(wrong)?;
    metadata.push(("general.file_type".into(), Value::Integer(file_type(dtype))));
    metadata.push(("general.quantization_version".into(), Value::Integer(2)));
    Ok(metadata)
}

fn wrong(problem: String) -> ModelError {
    ModelError::request(problem, "Convert to a directory instead.")
}

/// Writes a model that `config` (a config.json) describes, and flushes it to the disk. `tensors` are Hugging
/// Face's names and shapes; `read` fills in their numbers, one after the other. Not atomic by itself: give it
/// a name that nobody reads yet.
pub(crate) fn write(
    path: &Path,
    config: &serde_json::Value,
    metadata: &[(String, Value)],
    tensors: &[(String, Vec<usize>)],
    dtype: Dtype,
    mut read: impl FnMut(&str, &mut [f32]) -> Result<()>,
) -> Result<()> {
    let model = Config::from_hf(config).map_err(wrong)?;
    let names = Names::of(&model);
    let entries = tensors.iter().map(|(name, shape)| entry(names, name, shape, dtype));
    let mut entries = entries.collect::<Result<Vec<_>, _>>().map_err(wrong)?;
    let slower = config::slower(&model);
    if let Some(slower) = &slower {
        let (hf_name, name) = (ROPE_FREQS, ROPE_FREQS.into());
        entries.insert(0, Entry { hf_name, name, shape: vec![slower.len()], dtype: Dtype::F32, swap: None });
    }
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path).at("create", path)?);
    put_header(&mut file, metadata, &entries).at("write", path)?;
    for entry in &entries {
        let mut numbers = vec![0.0; entry.numbers()];
        match &slower {
            Some(slower) if entry.hf_name == ROPE_FREQS => numbers.copy_from_slice(slower),
            _ => read(entry.hf_name, &mut numbers)?,
        }
        if let Some(swap) = entry.swap {
            let mut theirs = vec![0.0; numbers.len()];
            swap.to_gguf(&numbers, &mut theirs);
            numbers = theirs;
        }
        entry.dtype.check(entry.hf_name, &numbers)?;
        let padding = vec![0; padding(entry.dtype.bytes(numbers.len()))];
        entry.dtype.write(&numbers, &mut file).and_then(|()| file.write_all(&padding)).at("write", path)?;
    }
    file.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file| file.sync_all()).at("write", path)
}

/// Vectors, the table of positions, and rows that cannot be cut into blocks keep more bits, as llama.cpp's
/// converter does it.
fn entry<'a>(names: Names, hf_name: &'a str, shape: &[usize], dtype: Dtype) -> Result<Entry<'a>, String> {
    let name = names.to_gguf(hf_name).ok_or_else(|| format!("`{hf_name}` has no name in GGUF"))?;
    let (shape, swap) = names.swap(&name, shape)?;
    let dtype = match dtype {
        _ if shape.len() == 1 || name == "position_embd.weight" => Dtype::F32,
        Dtype::Q8_0 if !shape[shape.len() - 1].is_multiple_of(BLOCK) => Dtype::F16,
        dtype => dtype,
    };
    Ok(Entry { hf_name, name, shape, dtype, swap })
}

/// llama.cpp's number for what most tensors are.
fn file_type(dtype: Dtype) -> i64 {
    match dtype {
        Dtype::F32 => 0,
        Dtype::F16 => 1,
        Dtype::Q8_0 => 7,
        Dtype::Bf16 => 32,
    }
}

fn padding(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGNMENT) - bytes
}

fn put_header(file: &mut impl Write, metadata: &[(String, Value)], entries: &[Entry]) -> io::Result<()> {
    let mut header = Vec::from(*b"GGUF\x03\0\0\0");
    header.extend((entries.len() as u64).to_le_bytes());
    header.extend((metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata {
        put_text(&mut header, key);
        put_value(&mut header, value);
    }
    let mut offset = 0;
    for entry in entries {
        put_text(&mut header, &entry.name);
        header.extend((entry.shape.len() as u32).to_le_bytes());
        entry.shape.iter().rev().for_each(|&size| header.extend((size as u64).to_le_bytes()));
        header.extend(Kind::from(entry.dtype).id().to_le_bytes());
        header.extend((offset as u64).to_le_bytes());
        offset += entry.dtype.bytes(entry.numbers()).next_multiple_of(ALIGNMENT);
    }
    header.resize(header.len() + padding(header.len()), 0);
    file.write_all(&header)
}

fn put_text(header: &mut Vec<u8>, text: &str) {
    header.extend((text.len() as u64).to_le_bytes());
    header.extend(text.as_bytes());
}

/// Sizes and token ids as u32, numbers as f32: the widths that llama.cpp expects.
fn put_value(header: &mut Vec<u8>, value: &Value) {
    let list = |header: &mut Vec<u8>, kind: u32, len: usize| {
        header.extend(9u32.to_le_bytes());
        header.extend(kind.to_le_bytes());
        header.extend((len as u64).to_le_bytes());
    };
    match value {
        Value::Integer(n) => {
            header.extend(4u32.to_le_bytes());
            header.extend(u32::try_from(*n).expect("sizes and ids fit").to_le_bytes());
        }
        Value::Float(x) => {
            header.extend(6u32.to_le_bytes());
            header.extend((*x as f32).to_le_bytes());
        }
        Value::Flag(flag) => {
            header.extend(7u32.to_le_bytes());
            header.push(u8::from(*flag));
        }
        Value::Text(text) => {
            header.extend(8u32.to_le_bytes());
            put_text(header, text);
        }
        Value::Integers(all) => {
            list(header, 5, all.len());
            all.iter().for_each(|&n| header.extend((n as i32).to_le_bytes()));
        }
        Value::Floats(all) => {
            list(header, 6, all.len());
            all.iter().for_each(|x| header.extend(x.to_le_bytes()));
        }
        Value::Texts(all) => {
            list(header, 8, all.len());
            all.iter().for_each(|text| put_text(header, text));
        }
    }
}
