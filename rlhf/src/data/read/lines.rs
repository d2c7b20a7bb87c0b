//! The lines of a file, packed or not.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use crate::data::error::DataError;

/// A longer line is not a row but a mistake.
pub const MAX_LINE: usize = 16 << 20;
/// Where unpacking ends.
const MAX_FILE: u64 = 64 << 30;
/// gzip packs up to a thousandfold, but rows of any use not a hundredfold.
const MOST_UNPACKED: (u64, u64) = (32 << 20, 100);
/// More lines with nothing on them, one after another, are no rows but a mistake.
const MOST_BLANK: usize = 1_000_000;
/// A plain text is held in memory whole.
const MAX_TEXT: u64 = 4 << 30;

/// A file to read. What is no file is refused before it is opened: a pipe may never say anything, and a device never end.
pub fn open_file(path: &Path) -> std::io::Result<File> {
    let data = std::fs::metadata(path)?;
    let is = match data.is_dir() {
        _ if data.is_file() => return File::open(path),
        true => "it is a directory, and a file is expected",
        false => "it is a pipe or a device, and a file is expected",
    };
    Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, is))
}

/// The text of a file of settings or ids.
pub fn read_text(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    open_file(path)?.take(MAX_TEXT).read_to_string(&mut text)?;
    Ok(text)
}

/// The lines of a file, with all that can go wrong told by file and line.
pub struct Lines {
    pub path: PathBuf,
    reader: Box<dyn BufRead>,
    packed: bool,
    /// Bytes that are read at most.
    limit: u64,
    blank: usize,
    /// Of the line read last.
    pub line: usize,
    bytes: u64,
}

impl Lines {
    pub fn open(path: &Path) -> Result<Lines, DataError> {
        let failed = |source| DataError::Read { path: path.to_path_buf(), source };
        let file = open_file(path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        let mut reader = BufReader::with_capacity(1 << 16, file);
        let packed = reader.fill_buf().map_err(failed)?.starts_with(&[0x1f, 0x8b]);
        let reader: Box<dyn BufRead> = match packed {
            true => Box::new(BufReader::new(MultiGzDecoder::new(reader))),
            false => Box::new(reader),
        };
        let limit = match packed {
            true => size.saturating_mul(MOST_UNPACKED.1).saturating_add(MOST_UNPACKED.0).min(MAX_FILE),
            false => MAX_FILE,
        };
        Ok(Lines { path: path.to_path_buf(), reader, packed, limit, blank: 0, line: 0, bytes: 0 })
    }

    fn failed(&self, source: std::io::Error) -> DataError {
        match self.packed {
            true => DataError::Gzip { path: self.path.clone(), line: self.line, source },
            false => DataError::Read { path: self.path.clone(), source },
        }
    }

    /// Refuses what unpacks to too much.
    fn count(&mut self, bytes: usize) -> Result<(), DataError> {
        self.bytes += bytes as u64;
        match self.bytes > self.limit {
            true => Err(DataError::TooLarge { path: self.path.clone(), limit: self.limit }),
            false => Ok(()),
        }
    }

    /// The next byte, which stays.
    pub fn peek(&mut self) -> Result<Option<u8>, DataError> {
        let next = self.reader.fill_buf().map(|buffer| buffer.first().copied());
        next.map_err(|source| self.failed(source))
    }

    /// Goes past a byte order mark at the start of the file.
    pub fn skip_mark(&mut self) -> Result<(), DataError> {
        let marked = self.reader.fill_buf().map(|buffer| buffer.starts_with("\u{feff}".as_bytes()));
        if marked.map_err(|source| self.failed(source))? {
            self.reader.consume(3);
        }
        Ok(())
    }

    /// Goes past the byte that was peeked at.
    pub fn skip(&mut self) -> Result<(), DataError> {
        self.reader.consume(1);
        self.count(1)
    }

    pub fn text(&self, bytes: Vec<u8>, first_line: usize) -> Result<String, DataError> {
        String::from_utf8(bytes).map_err(|error| {
            let (good, bytes) = (error.utf8_error().valid_up_to(), error.as_bytes());
            let line = first_line + bytes[..good].iter().filter(|&&byte| byte == b'\n').count();
            let column = good - bytes[..good].iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1) + 1;
            DataError::Encoding { path: self.path.clone(), line, column }
        })
    }

    /// The next line without its end; a byte order mark is no part of the first.
    pub fn next_line(&mut self) -> Result<Option<String>, DataError> {
        let mut bytes = vec![];
        let read = (&mut self.reader).take(MAX_LINE as u64 + 1).read_until(b'\n', &mut bytes);
        let read = read.map_err(|source| self.failed(source))?;
        if read == 0 {
            return Ok(None);
        }
        self.line += 1;
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        } else if bytes.len() > MAX_LINE {
            return Err(DataError::LongLine { path: self.path.clone(), line: self.line, limit: MAX_LINE });
        }
        self.count(read)?;
        self.blank = if bytes.len() < 2 { self.blank + 1 } else { 0 };
        if self.blank > MOST_BLANK {
            let reason = format!("{MOST_BLANK} lines before it have nothing on them; rows are expected");
            return Err(DataError::Field { path: self.path.clone(), line: self.line, reason });
        }
        let text = self.text(bytes, self.line)?;
        Ok(Some(if self.line == 1 { without_mark(text) } else { text }))
    }

    pub fn whole_text(mut self) -> Result<String, DataError> {
        let mut bytes = vec![];
        let read = (&mut self.reader).take(self.limit.min(MAX_TEXT) + 1).read_to_end(&mut bytes);
        read.map_err(|source| self.failed(source))?;
        let limit = self.limit.min(MAX_TEXT);
        if bytes.len() as u64 > limit {
            return Err(DataError::TooLarge { path: self.path.clone(), limit });
        }
        self.text(bytes, 1).map(without_mark)
    }
}

fn without_mark(text: String) -> String {
    match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_string(),
        None => text,
    }
}
