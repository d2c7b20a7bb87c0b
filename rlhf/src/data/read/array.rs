//! The elements of a JSON list, one at a time, so that a file of them need not fit into memory.

use super::lines::{Lines, MAX_LINE};
use crate::data::error::DataError;

pub struct Elements {
    lines: Lines,
    /// Line of the byte that comes next, from 1.
    at: usize,
    /// Where the element begins that was read last.
    pub line: usize,
    any: bool,
    closed: bool,
}

impl Elements {
    /// `Err` gives the lines back, where the file does not start with a `[`: then it is no list.
    pub fn open(lines: Lines) -> Result<Result<Elements, Lines>, DataError> {
        let mut lines = lines;
        lines.skip_mark()?;
        let mut elements = Elements { lines, at: 1, line: 1, any: false, closed: false };
        match elements.past_space()? {
            Some(b'[') => elements.take(b'[')?,
            _ => return Ok(Err(elements.lines)),
        }
        Ok(Ok(elements))
    }

    fn take(&mut self, byte: u8) -> Result<(), DataError> {
        self.at += usize::from(byte == b'\n');
        self.lines.skip()
    }

    fn past_space(&mut self) -> Result<Option<u8>, DataError> {
        loop {
            match self.lines.peek()? {
                Some(byte) if byte.is_ascii_whitespace() => self.take(byte)?,
                next => return Ok(next),
            }
        }
    }

    fn broken(&self, reason: &str) -> DataError {
        DataError::Json { path: self.lines.path.clone(), line: self.at, reason: reason.to_string() }
    }

    /// The next element, up to the comma or bracket after it.
    pub fn next_element(&mut self) -> Result<Option<String>, DataError> {
        if self.closed {
            return Ok(None);
        }
        let first = self.past_space()?;
        self.line = self.at;
        if first == Some(b']') && !self.any {
            self.close()?;
            return Ok(None);
        }
        let bytes = self.element()?;
        let text = self.lines.text(bytes, self.line)?;
        self.any = true;
        match self.lines.peek()? {
            Some(b',') => self.take(b',')?,
            _ => self.close()?,
        }
        Ok(Some(text))
    }

    /// Bytes until a comma or bracket that belongs to the list.
    fn element(&mut self) -> Result<Vec<u8>, DataError> {
        let (mut bytes, mut depth, mut in_string, mut escaped) = (vec![], 0usize, false, false);
        loop {
            let Some(byte) = self.lines.peek()? else { return Err(self.broken("it ends before the list does")) };
            match byte {
                b',' | b']' if depth == 0 && !in_string => return Ok(bytes),
                _ if escaped => escaped = false,
                b'\\' if in_string => escaped = true,
                b'"' => in_string = !in_string,
                b'{' | b'[' if !in_string => depth += 1,
                b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
                _ => {}
            }
            bytes.push(byte);
            self.take(byte)?;
            if bytes.len() > MAX_LINE {
                return Err(DataError::LongLine { path: self.lines.path.clone(), line: self.line, limit: MAX_LINE });
            }
        }
    }

    fn close(&mut self) -> Result<(), DataError> {
        self.take(b']')?;
        self.closed = true;
        match self.past_space()? {
            None => Ok(()),
            Some(_) => Err(self.broken("there is something after the list")),
        }
    }
}
