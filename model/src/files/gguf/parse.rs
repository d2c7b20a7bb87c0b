//! The bytes of a GGUF file as metadata and a table of tensors. Files come from strangers: nothing is
//! allocated that the file does not pay for, and every sum and product is checked.
#![forbid(unsafe_code)]
use super::blocks::Kind;
use crate::arch::metadata::{Metadata, Value};
use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

const MAX_TENSORS: u64 = 65_536;
const MAX_KEYS: u64 = 65_536;
const MAX_NAME: u64 = 512;
const MAX_TEXT: u64 = 1 << 20;
/// Of a text in a list: a token, a merge.
const MAX_ITEM: u64 = 64 << 10;
const MAX_ITEMS: u64 = 4 << 20;
const MAX_RANK: u32 = 4;
const MAX_ALIGNMENT: i64 = 64 << 10;
const DEFAULT_ALIGNMENT: i64 = 32;

/// One tensor, its axes from the outermost to the innermost (the file has them the other way round).
#[derive(Debug)]
pub struct Tensor {
    pub name: String,
    pub shape: Vec<usize>,
    pub kind: Kind,
    /// Its bytes in the file.
    pub bytes: Range<usize>,
}

/// Why a file is no good, and where.
#[derive(Debug)]
pub enum Problem {
    /// It is not what a file should be.
    Broken(String),
    /// It is, and stored in a way that is not read here.
    Unread(String),
}

impl From<String> for Problem {
    fn from(text: String) -> Problem {
        Problem::Broken(text)
    }
}

impl From<&str> for Problem {
    fn from(text: &str) -> Problem {
        Problem::Broken(text.into())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let (Problem::Broken(text) | Problem::Unread(text)) = self;
        f.write_str(text)
    }
}

impl Problem {
    /// The same, said of `what`.
    fn of(self, what: &str) -> Problem {
        match self {
            Problem::Broken(text) => Problem::Broken(format!("{what}: {text}")),
            Problem::Unread(text) => Problem::Unread(format!("{what}: {text}")),
        }
    }
}

pub type Result<T> = std::result::Result<T, Problem>;

pub fn parse(file: &[u8]) -> Result<(Metadata, Vec<Tensor>)> {
    let mut cursor = Cursor { file, at: 0 };
    if cursor.take(4)? != b"GGUF" {
        return Err("it does not start with GGUF".into());
    }
    match cursor.u32()? {
        2 | 3 => {}
        version if version.swap_bytes() <= 3 => {
            return Err("it is a big-endian file; only little-endian is read".into());
        }
        version => return Err(format!("it is version {version} of GGUF; 2 and 3 are read").into()),
    }
    // A tensor takes at least name, rank, one axis, type and offset; a key its name, its type and a byte.
    let tensors = cursor.count("tensors", 8 + 4 + 8 + 4 + 8, MAX_TENSORS)?;
    let keys = cursor.count("keys", 8 + 4 + 1, MAX_KEYS)?;
    let metadata = metadata(&mut cursor, keys)?;
    let tensors = table(&mut cursor, tensors, alignment(&metadata)?)?;
    Ok((metadata, tensors))
}

fn metadata(cursor: &mut Cursor, keys: usize) -> Result<Metadata> {
    let mut metadata = Metadata::new();
    for _ in 0..keys {
        let key = cursor.name()?;
        let kind = cursor.u32()?;
        let value = cursor.value(kind).map_err(|problem| problem.of(&format!("`{key}`")))?;
        if metadata.insert(key.clone(), value).is_some() {
            return Err(format!("`{key}` occurs twice").into());
        }
    }
    Ok(metadata)
}

fn alignment(metadata: &Metadata) -> Result<usize> {
    match metadata.get("general.alignment").unwrap_or(&Value::Integer(DEFAULT_ALIGNMENT)) {
        &Value::Integer(n) if (8..=MAX_ALIGNMENT).contains(&n) && n & (n - 1) == 0 => Ok(n as usize),
        other => {
            Err(format!("`general.alignment`: expected a power of two from 8 to {MAX_ALIGNMENT}, got {other:?}").into())
        }
    }
}

fn table(cursor: &mut Cursor, tensors: usize, alignment: usize) -> Result<Vec<Tensor>> {
    let mut table = Vec::with_capacity(tensors);
    let (mut names, mut next) = (HashSet::new(), 0usize);
    for _ in 0..tensors {
        let name = cursor.name()?;
        let (tensor, offset) = cursor.tensor(name)?;
        let name = &tensor.name;
        if offset != next as u64 {
            return Err(format!("tensor `{name}`: it starts at {offset}, the one before it ends at {next}").into());
        }
        if !names.insert(name.clone()) {
            return Err(format!("tensor `{name}` occurs twice").into());
        }
        let end = next.checked_add(tensor.bytes.len()).and_then(|end| end.checked_next_multiple_of(alignment));
        next = end.ok_or_else(|| format!("tensor `{name}`: the sizes overflow"))?;
        table.push(tensor);
    }
    let mut at = cursor.at.checked_next_multiple_of(alignment).ok_or("the sizes overflow")?;
    for tensor in &mut table {
        let end = at.checked_add(tensor.bytes.len()).filter(|&end| end <= cursor.file.len());
        let end = end.ok_or_else(|| {
            let (name, bytes, have) = (&tensor.name, tensor.bytes.len(), cursor.file.len());
            Problem::Broken(format!("tensor `{name}` of {bytes} bytes at {at} does not fit into {have} bytes"))
        })?;
        tensor.bytes = at..end;
        at = end.checked_next_multiple_of(alignment).ok_or("the sizes overflow")?;
    }
    match cursor.file.len() > at && !table.is_empty() {
        true => Err(format!("it has {} bytes, its tensors end at {at}", cursor.file.len()).into()),
        false => Ok(table),
    }
}

struct Cursor<'a> {
    file: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn left(&self) -> usize {
        self.file.len() - self.at
    }

    fn take(&mut self, bytes: usize) -> Result<&'a [u8]> {
        if bytes > self.left() {
            return Err(
                format!("it ends at {}, {bytes} more bytes were expected at {}", self.file.len(), self.at).into()
            );
        }
        let taken = &self.file[self.at..][..bytes];
        self.at += bytes;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.take(N)?.try_into().expect("N bytes were taken"))
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A number of things, each of which takes at least `least` bytes.
    fn count(&mut self, what: &str, least: u64, most: u64) -> Result<usize> {
        let (at, count) = (self.at, self.u64()?);
        if count > most {
            return Err(format!("{count} {what} at {at}, at most {most} are read").into());
        }
        match count.checked_mul(least) {
            Some(bytes) if bytes <= self.left() as u64 => Ok(count as usize),
            _ => Err(format!("{count} {what} at {at}, but only {} bytes are left", self.left()).into()),
        }
    }

    fn text(&mut self, most: u64) -> Result<String> {
        let length = self.count("bytes of text", 1, most)?;
        let at = self.at;
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| format!("the text at {at} is not UTF-8"))?;
        Ok(text.to_string())
    }

    /// Of a key or a tensor.
    fn name(&mut self) -> Result<String> {
        let at = self.at;
        let name = self.text(MAX_NAME)?;
        match name.is_empty() || name.chars().any(char::is_control) {
            true => Err(format!("the name at {at} is empty or has control characters").into()),
            false => Ok(name),
        }
    }

    fn value(&mut self, kind: u32) -> Result<Value> {
        Ok(match kind {
            0..=5 | 10 | 11 => Value::Integer(self.integer(kind)?),
            6 | 12 => Value::Float(self.float(kind)?),
            7 => Value::Flag(self.flag()?),
            8 => Value::Text(self.text(MAX_TEXT)?),
            9 => self.list()?,
            _ => return Err(format!("a value of unknown type {kind}").into()),
        })
    }

    fn integer(&mut self, kind: u32) -> Result<i64> {
        Ok(match kind {
            0 => i64::from(self.array::<1>()?[0]),
            1 => i64::from(i8::from_le_bytes(self.array()?)),
            2 => i64::from(u16::from_le_bytes(self.array()?)),
            3 => i64::from(i16::from_le_bytes(self.array()?)),
            4 => i64::from(self.u32()?),
            5 => i64::from(i32::from_le_bytes(self.array()?)),
            10 => {
                let number = self.u64()?;
                i64::try_from(number).map_err(|_| format!("the number {number} is too large"))?
            }
            _ => i64::from_le_bytes(self.array()?),
        })
    }

    fn float(&mut self, kind: u32) -> Result<f64> {
        match kind {
            6 => Ok(f64::from(f32::from_le_bytes(self.array()?))),
            _ => Ok(f64::from_le_bytes(self.array()?)),
        }
    }

    fn flag(&mut self) -> Result<bool> {
        match self.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(format!("a flag that is {other}, expected 0 or 1").into()),
        }
    }

    fn list(&mut self) -> Result<Value> {
        let kind = self.u32()?;
        let width = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            8 | 10..=12 => 8, // a text: its length
            9 => return Err("a list of lists".into()),
            _ => return Err(format!("a list of unknown type {kind}").into()),
        };
        let count = self.count("items", width, MAX_ITEMS)?;
        Ok(match kind {
            6 | 12 => Value::Floats((0..count).map(|_| Ok(self.float(kind)? as f32)).collect::<Result<_>>()?),
            7 => Value::Integers((0..count).map(|_| Ok(i64::from(self.flag()?))).collect::<Result<_>>()?),
            8 => Value::Texts((0..count).map(|_| self.text(MAX_ITEM)).collect::<Result<_>>()?),
            _ => Value::Integers((0..count).map(|_| self.integer(kind)).collect::<Result<_>>()?),
        })
    }

    /// An entry of the table, with as many bytes as it needs, and its offset. The error has the name.
    fn tensor(&mut self, name: String) -> Result<(Tensor, u64)> {
        match self.entry() {
            Ok((shape, kind, bytes, offset)) => Ok((Tensor { name, shape, kind, bytes: 0..bytes }, offset)),
            Err(problem) => Err(problem.of(&format!("tensor `{name}`"))),
        }
    }

    fn entry(&mut self) -> Result<(Vec<usize>, Kind, usize, u64)> {
        let rank = self.u32()?;
        if !(1..=MAX_RANK).contains(&rank) {
            return Err(format!("it has {rank} axes, 1 to {MAX_RANK} are read").into());
        }
        let mut shape = Vec::with_capacity(rank as usize);
        for _ in 0..rank {
            let size = self.u64()?;
            let size = usize::try_from(size).ok().filter(|&n| n > 0 && n <= isize::MAX as usize);
            shape.push(size.ok_or("an axis is 0 or too large")?);
        }
        let id = self.u32()?;
        let kind = Kind::of(id).ok_or_else(|| match Kind::unread(id) {
            Some(name) => Problem::Unread(format!("it is stored as {name}, which is not read; {} are", Kind::names())),
            None => format!("it is stored as type {id}, which is not known; {} can be read", Kind::names()).into(),
        })?;
        let offset = self.u64()?;
        if shape[0] % kind.block() != 0 {
            return Err(format!("rows of {} cannot be cut into blocks of {}", shape[0], kind.block()).into());
        }
        let numbers = shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n));
        let bytes = numbers.and_then(|n| (n / kind.block()).checked_mul(kind.bytes()));
        let bytes = bytes.ok_or_else(|| format!("the shape {shape:?} overflows"))?;
        shape.reverse();
        Ok((shape, kind, bytes, offset))
    }
}
