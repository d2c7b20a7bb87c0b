//! `.safetensors` in and out: the audited crate, behind a guard.
//!
//! The crate accepts files that cost far more memory than they weigh, keys that occur twice, and (in debug
//! builds) panics on sizes whose sum overflows. So the header is first walked by a visitor that allocates
//! nothing that the file does not pay for, and only then given to the crate.
use crate::error::{At, ModelError, Result};
use crate::files::atomic::map;
use crate::files::dtype::Dtype as Stored;
use half::{bf16, f16};
use memmap2::Mmap;
use safetensors::tensor::{Metadata, TensorInfo};
use safetensors::{Dtype, SafeTensors};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::json;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

const MAX_HEADER: usize = 16 << 20;
const MAX_TENSORS: usize = 65_536;
const MAX_RANK: usize = 8;
const MAX_NAME: usize = 512;

/// An open file: its table is read, its numbers are mapped.
pub struct Archive {
    path: PathBuf,
    map: Mmap,
    /// Where the numbers start.
    data: usize,
    table: Metadata,
}

impl Archive {
    pub fn open(path: &Path) -> Result<Archive> {
        let map = map(path)?;
        let data = guard(&map).map_err(|problem| broken(path, problem))?;
        let (_, table) = SafeTensors::read_metadata(&map).map_err(|e| broken(path, e.to_string()))?;
        Ok(Archive { path: path.into(), map, data, table })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names in the order in which the numbers lie.
    pub fn names(&self) -> Vec<String> {
        self.table.offset_keys()
    }

    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.table.info(name).map(|info| &info.shape[..])
    }

    /// `F32`, `BF16`, …
    pub fn dtype(&self, name: &str) -> Option<String> {
        self.table.info(name).map(|info| format!("{:?}", info.dtype))
    }

    /// What `__metadata__` says, if anything.
    #[cfg(test)]
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.table.metadata().as_ref()?.get(key).map(String::as_str)
    }

    /// One array as it lies in the file.
    pub(crate) fn bytes(&self, name: &str) -> Option<&[u8]> {
        let (start, end) = self.table.info(name)?.data_offsets;
        Some(&self.map[self.data..][start..end])
    }

    /// The numbers of one array, as f32, from f32, f16 or bf16.
    pub fn read(&self, name: &str) -> Result<Vec<f32>> {
        let mut numbers = vec![0.0; self.shape(name).unwrap_or_default().iter().product()];
        self.read_into(name, &mut numbers)?;
        Ok(numbers)
    }

    /// The same into a place of that size.
    #[track_caller]
    pub fn read_into(&self, name: &str, out: &mut [f32]) -> Result<()> {
        let Some(info) = self.table.info(name) else {
            return Err(broken(&self.path, format!("no tensor `{name}`")));
        };
        let bytes = self.bytes(name).expect("it is in the table");
        assert_eq!(info.shape.iter().product::<usize>(), out.len(), "{name}: a place of another size");
        to_f32(info, bytes, out).ok_or_else(|| {
            let problem = format!("`{name}` is stored as {:?}; F32, F16 and BF16 can be read", info.dtype);
            ModelError::file(&self.path, problem, "Convert the file to one of these.")
        })
    }
}

fn to_f32(info: &TensorInfo, bytes: &[u8], out: &mut [f32]) -> Option<()> {
    let halves = bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]));
    let words = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    match info.dtype {
        Dtype::F32 => out.iter_mut().zip(words).for_each(|(y, x)| *y = x),
        Dtype::F16 => out.iter_mut().zip(halves).for_each(|(y, bits)| *y = f16::from_bits(bits).to_f32()),
        Dtype::BF16 => out.iter_mut().zip(halves).for_each(|(y, bits)| *y = bf16::from_bits(bits).to_f32()),
        _ => return None,
    }
    Some(())
}

fn broken(path: &Path, problem: impl Into<String>) -> ModelError {
    ModelError::file(path, problem, "The file is incomplete or damaged: copy or download it again.")
}

/// An array to write.
pub struct Array<'a> {
    pub name: String,
    pub shape: Vec<usize>,
    pub numbers: Cow<'a, [f32]>,
}

/// Write f32 arrays, in the order of their names, and flush them to the disk.
pub fn write(path: &Path, arrays: &[Array]) -> Result<()> {
    let shapes: Vec<_> = arrays.iter().map(|array| (array.name.clone(), array.shape.clone())).collect();
    let by_name: HashMap<&str, &[f32]> = arrays.iter().map(|array| (&array.name[..], &array.numbers[..])).collect();
    write_as(path, Stored::F32, &shapes, |name| Ok(Cow::Borrowed(by_name[name])))
}

/// Write arrays of these names and shapes, in the order of their names, and flush them to the disk. `read` is
/// asked for the numbers of one after the other. Not atomic by itself: give it a name that nobody reads yet.
/// `transformers` asks for the `format` in the metadata.
pub(crate) fn write_as<'a>(
    path: &Path,
    stored: Stored,
    shapes: &[(String, Vec<usize>)],
    mut read: impl FnMut(&str) -> Result<Cow<'a, [f32]>>,
) -> Result<()> {
    let mut sorted: Vec<_> = shapes.iter().collect();
    sorted.sort();
    let mut header = serde_json::Map::from_iter([("__metadata__".to_string(), json!({"format": "pt"}))]);
    let mut end = 0;
    for (name, shape) in &sorted {
        let start = end;
        end += stored.bytes(shape.iter().product());
        let dtype = match stored {
            Stored::F32 => "F32",
            Stored::F16 => "F16",
            Stored::Bf16 => "BF16",
            Stored::Q8_0 => panic!("safetensors has no blocks"),
        };
        let entry = json!({"dtype": dtype, "shape": shape, "data_offsets": [start, end]});
        let twice = header.insert(name.clone(), entry).is_some();
        assert!(!twice, "two arrays called {name}");
    }
    let mut header = serde_json::Value::Object(header).to_string();
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path).at("create", path)?);
    file.write_all(&(header.len() as u64).to_le_bytes()).at("write", path)?;
    file.write_all(header.as_bytes()).at("write", path)?;
    for (name, _) in sorted {
        let numbers = read(name)?;
        stored.check(name, &numbers)?;
        stored.write(&numbers, &mut file).at("write", path)?;
    }
    file.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file| file.sync_all()).at("write", path)
}

/// Check a file before the crate sees it; returns where its numbers start.
fn guard(file: &[u8]) -> Result<usize, String> {
    let Some((length, rest)) = file.split_first_chunk::<8>() else {
        return Err(format!("{} bytes are not a safetensors file", file.len()));
    };
    let length = u64::from_le_bytes(*length);
    // A tiny file cannot need a large header: what a table may cost is bounded by what the file weighs.
    let most = MAX_HEADER.min(file.len() / 2 + (1 << 20)).min(rest.len());
    if length > most as u64 {
        return Err(format!("its header claims {length} bytes, at most {most} are possible in {}", file.len()));
    }
    let (header, numbers) = rest.split_at(length as usize);
    if header.first() != Some(&b'{') {
        return Err("its header does not start with `{`".into());
    }
    let mut json = serde_json::Deserializer::from_slice(header);
    let covered = json.deserialize_map(Table { numbers: numbers.len() as u64 }).and_then(|c| json.end().map(|()| c));
    let covered = covered.map_err(|e| format!("its header is wrong: {e}"))?;
    if covered != numbers.len() as u64 {
        return Err(format!("its tensors need {covered} bytes, it has {}", numbers.len()));
    }
    Ok(8 + length as usize)
}

/// The header as a whole: name → tensor. Yields the end of the last tensor.
struct Table {
    /// Bytes after the header.
    numbers: u64,
}

impl<'de> Visitor<'de> for Table {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a table of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<u64, A::Error> {
        let (mut names, mut end) = (HashSet::new(), 0);
        while let Some(name) = map.next_key::<Name>()? {
            if names.len() >= MAX_TENSORS {
                return Err(A::Error::custom(format!("more than {MAX_TENSORS} tensors")));
            }
            if name.0 == "__metadata__" {
                map.next_value::<Notes>()?;
            } else {
                end = end.max(map.next_value_seed(Entry { name: &name.0, numbers: self.numbers })?);
            }
            if let Some(Name(twice)) = names.replace(name) {
                return Err(A::Error::custom(format!("`{twice}` occurs twice")));
            }
        }
        Ok(end)
    }
}

/// A name of reasonable length without control characters.
#[derive(PartialEq, Eq, Hash)]
struct Name(String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Name, D::Error> {
        let name = String::deserialize(d)?;
        match name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
            true => Err(D::Error::custom(format!("a name of {} bytes or with control characters", name.len()))),
            false => Ok(Name(name)),
        }
    }
}

/// `__metadata__`: text to text, each key once.
struct Notes;

impl<'de> Deserialize<'de> for Notes {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Notes, D::Error> {
        struct Seen;
        impl<'de> Visitor<'de> for Seen {
            type Value = Notes;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("texts by name")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Notes, A::Error> {
                let mut names = HashSet::new();
                while let Some((name, _)) = map.next_entry::<Cow<str>, Cow<str>>()? {
                    if names.len() > MAX_TENSORS || !names.insert(name.into_owned()) {
                        return Err(A::Error::custom("metadata with a key twice, or too many"));
                    }
                }
                Ok(Notes)
            }
        }
        d.deserialize_map(Seen)
    }
}

/// One tensor: {"dtype", "shape", "data_offsets"}, nothing else. Yields the end of its bytes.
struct Entry<'a> {
    name: &'a str,
    numbers: u64,
}

impl<'de> DeserializeSeed<'de> for Entry<'_> {
    type Value = u64;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<u64, D::Error> {
        d.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Entry<'_> {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "dtype, shape and data_offsets of `{}`", self.name)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<u64, A::Error> {
        let wrong = |what: String| A::Error::custom(format!("`{}`: {what}", self.name));
        let (mut dtype, mut shape, mut offsets) = (None, None, None);
        while let Some(key) = map.next_key::<Cow<str>>()? {
            let twice = match &*key {
                "dtype" => dtype.replace(map.next_value::<Cow<str>>()?).is_some(),
                "shape" => shape.replace(map.next_value::<Sizes<MAX_RANK>>()?).is_some(),
                "data_offsets" => offsets.replace(map.next_value::<Sizes<2>>()?).is_some(),
                other => return Err(wrong(format!("unknown field `{other}`"))),
            };
            if twice {
                return Err(wrong(format!("`{key}` occurs twice")));
            }
        }
        let (Some(dtype), Some(shape), Some(offsets)) = (dtype, shape, offsets) else {
            return Err(wrong("dtype, shape or data_offsets is missing".into()));
        };
        let width = width(&dtype).ok_or_else(|| wrong(format!("dtype `{dtype}` is not known")))?;
        let &[start, end] = &offsets.0[..] else { return Err(wrong("data_offsets are not two numbers".into())) };
        // Over the sizes that are not 0, so that the order of the axes does not matter.
        let full = shape.0.iter().filter(|&&n| n > 0).try_fold(width, |bits, &n| bits.checked_mul(n));
        let full = full.ok_or_else(|| wrong(format!("shape {:?} overflows", shape.0)))?;
        let bytes = if shape.0.contains(&0) { 0 } else { full.div_ceil(8) };
        if end > self.numbers || start > end || end - start != bytes {
            let have = self.numbers;
            return Err(wrong(format!("bytes {start}..{end} of {have} are not {bytes} bytes of shape {:?}", shape.0)));
        }
        Ok(end)
    }
}

/// Bits of a number. Those that are not read are known too: such a file is whole.
fn width(dtype: &str) -> Option<u64> {
    Some(match dtype {
        "F4" => 4,
        "F6_E2M3" | "F6_E3M2" => 6,
        "BOOL" | "U8" | "I8" | "F8_E4M3" | "F8_E5M2" | "F8_E8M0" | "F8_E4M3FNUZ" | "F8_E5M2FNUZ" => 8,
        "F16" | "BF16" | "U16" | "I16" => 16,
        "F32" | "U32" | "I32" => 32,
        "F64" | "U64" | "I64" | "C64" => 64,
        _ => return None,
    })
}

/// At most `MOST` whole numbers.
struct Sizes<const MOST: usize>(Vec<u64>);

impl<'de, const MOST: usize> Deserialize<'de> for Sizes<MOST> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Few<const MOST: usize>;
        impl<'de, const MOST: usize> Visitor<'de> for Few<MOST> {
            type Value = Sizes<MOST>;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                write!(f, "at most {MOST} whole numbers")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Sizes<MOST>, A::Error> {
                let mut sizes = Vec::new();
                while let Some(size) = seq.next_element::<u64>()? {
                    if sizes.len() == MOST {
                        return Err(A::Error::custom(format!("more than {MOST} numbers in a shape or in offsets")));
                    }
                    sizes.push(size);
                }
                Ok(Sizes(sizes))
            }
        }
        d.deserialize_seq(Few)
    }
}
