//! Reading rows from files: JSON lines and plain text, packed with gzip or not.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use serde_json::Value;

use super::error::DataError;
use super::formats::{self, Format};
use super::rows::Row;

/// A longer line is not a row but a mistake.
const MAX_LINE: usize = 16 << 20;
/// gzip packs up to a thousandfold; this is where unpacking ends.
const MAX_FILE: u64 = 64 << 30;
/// A plain text is held in memory whole.
const MAX_TEXT: u64 = 4 << 30;
/// On a line of its own in plain text: the next document begins.
const DOCUMENT_END: &str = "<|endoftext|>";

/// What a file holds.
#[derive(Debug)]
pub struct DataFile {
    pub path: PathBuf,
    /// The kinds of lines found, by their columns, and how many of each.
    pub formats: BTreeMap<String, usize>,
    pub rows: Vec<Row>,
}

/// The rows of all files, in order.
pub fn load<P: AsRef<Path>>(paths: &[P]) -> Result<Vec<Row>, DataError> {
    let mut rows = vec![];
    for path in paths {
        rows.extend(load_file(path.as_ref())?.rows);
    }
    Ok(rows)
}

/// One file: `.jsonl` has a row a line, `.txt` is one document, or several with lines of `<|endoftext|>` between
/// them. Packed files are known by their first bytes.
pub fn load_file(path: &Path) -> Result<DataFile, DataError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    let mut lines = Lines::open(path)?;
    let mut file = DataFile { path: path.to_path_buf(), formats: BTreeMap::new(), rows: vec![] };
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("jsonl" | "ndjson") => read_json_lines(&mut lines, &mut file)?,
        Some("txt" | "text" | "md") => read_text(lines, &mut file)?,
        _ => return Err(DataError::Extension { path: path.to_path_buf() }),
    }
    if file.rows.is_empty() {
        return Err(DataError::Empty { path: path.to_path_buf() });
    }
    Ok(file)
}

fn read_json_lines(lines: &mut Lines, file: &mut DataFile) -> Result<(), DataError> {
    while let Some(line) = lines.next_line()? {
        if line.trim().is_empty() {
            continue;
        }
        let (path, line_number) = (&file.path, lines.line);
        let value = serde_json::from_str(&line).map_err(|error| {
            let mut reason = error.to_string().replace("at line 1 column", "at column");
            if reason.contains("hex escape") {
                reason += " (\\ud800 to \\udfff are surrogates, which stand in pairs)";
            }
            DataError::Json { path: path.clone(), line: line_number, reason }
        })?;
        let (format, rows) = read_row(&value, path, line_number)?;
        file.rows.extend(rows);
        *file.formats.entry(format).or_default() += 1;
    }
    Ok(())
}

fn read_row(value: &Value, path: &Path, line: usize) -> Result<(String, Vec<Row>), DataError> {
    let path = path.to_path_buf();
    let Some(object) = value.as_object() else {
        let reason = "a row should be a JSON object, {\"column\": value, …}".to_string();
        return Err(DataError::Field { path, line, reason });
    };
    let Some(format) = Format::of(object) else {
        let columns: Vec<String> = object.keys().map(|key| key.chars().take(40).collect()).collect();
        let found = format!("{{{}}}", columns.join(", "));
        return Err(DataError::Columns { path, line, found, expected: formats::expected(None) });
    };
    let rows = format.read(object).map_err(|reason| DataError::Field { path, line, reason })?;
    Ok((format.name(), rows))
}

fn read_text(lines: Lines, file: &mut DataFile) -> Result<(), DataError> {
    let text = lines.whole_text()?;
    let mut document = String::new();
    let mut push = |document: &mut String| {
        if !document.trim().is_empty() {
            file.rows.push(Row::Text(std::mem::take(document)));
        }
        document.clear();
    };
    for line in text.split_inclusive('\n') {
        match line.trim_end() == DOCUMENT_END {
            true => push(&mut document),
            false => document.push_str(line),
        }
    }
    push(&mut document);
    file.formats.insert("plain text".into(), file.rows.len());
    Ok(())
}

/// The lines of a file, with all that can go wrong told by file and line.
struct Lines {
    path: PathBuf,
    reader: Box<dyn BufRead>,
    packed: bool,
    /// Of the line read last.
    line: usize,
    bytes: u64,
}

impl Lines {
    fn open(path: &Path) -> Result<Lines, DataError> {
        let failed = |source| DataError::Read { path: path.to_path_buf(), source };
        let mut reader = BufReader::with_capacity(1 << 16, File::open(path).map_err(failed)?);
        let packed = reader.fill_buf().map_err(failed)?.starts_with(&[0x1f, 0x8b]);
        let reader: Box<dyn BufRead> = match packed {
            true => Box::new(BufReader::new(MultiGzDecoder::new(reader))),
            false => Box::new(reader),
        };
        Ok(Lines { path: path.to_path_buf(), reader, packed, line: 0, bytes: 0 })
    }

    fn failed(&self, source: std::io::Error) -> DataError {
        match self.packed {
            true => DataError::Gzip { path: self.path.clone(), line: self.line, source },
            false => DataError::Read { path: self.path.clone(), source },
        }
    }

    fn text(&self, bytes: Vec<u8>, first_line: usize) -> Result<String, DataError> {
        String::from_utf8(bytes).map_err(|error| {
            let (good, bytes) = (error.utf8_error().valid_up_to(), error.as_bytes());
            let line = first_line + bytes[..good].iter().filter(|&&byte| byte == b'\n').count();
            let column = good - bytes[..good].iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1) + 1;
            DataError::Encoding { path: self.path.clone(), line, column }
        })
    }

    /// The next line without its end; a byte order mark is no part of the first.
    fn next_line(&mut self) -> Result<Option<String>, DataError> {
        let mut bytes = vec![];
        let read = (&mut self.reader).take(MAX_LINE as u64 + 1).read_until(b'\n', &mut bytes);
        let read = read.map_err(|source| self.failed(source))?;
        if read == 0 {
            return Ok(None);
        }
        self.line += 1;
        self.bytes += read as u64;
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        } else if bytes.len() > MAX_LINE {
            return Err(DataError::LongLine { path: self.path.clone(), line: self.line, limit: MAX_LINE });
        }
        if self.bytes > MAX_FILE {
            return Err(DataError::TooLarge { path: self.path.clone(), limit: MAX_FILE });
        }
        let text = self.text(bytes, self.line)?;
        Ok(Some(if self.line == 1 { without_mark(text) } else { text }))
    }

    fn whole_text(mut self) -> Result<String, DataError> {
        let mut bytes = vec![];
        let read = (&mut self.reader).take(MAX_TEXT + 1).read_to_end(&mut bytes);
        read.map_err(|source| self.failed(source))?;
        if bytes.len() as u64 > MAX_TEXT {
            return Err(DataError::TooLarge { path: self.path.clone(), limit: MAX_TEXT });
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn load_bytes(name: &str, bytes: &[u8]) -> Result<DataFile, DataError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        load_file(&path)
    }

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[track_caller]
    fn fails(name: &str, bytes: &[u8], parts: &[&str]) {
        let message = load_bytes(name, bytes).unwrap_err().to_string();
        for part in parts {
            assert!(message.contains(part), "{message:?} should contain {part:?}");
        }
    }

    #[test]
    fn lines_blank_lines_and_line_ends() {
        let file = load_bytes("a.jsonl", b"\xef\xbb\xbf{\"text\":\"a\"}\r\n\n  \n{\"prompt\":\"b\"}").unwrap();
        assert_eq!(file.rows, [Row::Text("a".into()), Row::Prompt("b".into())]);
        assert_eq!(file.formats, BTreeMap::from([("{prompt}".into(), 1), ("{text}".into(), 1)]));
    }

    #[test]
    fn packed_files_even_in_several_parts() {
        let bytes = [packed(b"{\"text\":\"a\"}\n"), packed(b"{\"text\":\"b\"}\n")].concat();
        assert_eq!(load_bytes("a.jsonl.gz", &bytes).unwrap().rows.len(), 2);
        assert_eq!(load_bytes("named-wrongly.jsonl", &bytes).unwrap().rows.len(), 2);
    }

    #[test]
    fn plain_text_is_documents() {
        let file = load_bytes("a.txt", "one\n\ntwo é\n<|endoftext|>\nthree <|endoftext|> four".as_bytes()).unwrap();
        assert_eq!(file.rows, [Row::Text("one\n\ntwo é\n".into()), Row::Text("three <|endoftext|> four".into())]);
        assert_eq!(file.formats["plain text"], 2);
    }

    #[test]
    fn errors_name_file_line_and_what_was_expected() {
        let good = "{\"text\":\"a\"}\n";
        fails("a.jsonl", format!("{good}{{\"text\": \"b").as_bytes(), &["a.jsonl:2: broken JSON", "EOF", "column"]);
        fails(
            "a.jsonl",
            format!("{good}{{\"question\":1,\"answer\":2}}").as_bytes(),
            &["a.jsonl:2:", "{answer, question}", "{prompt, chosen, rejected}"],
        );
        fails("a.jsonl", format!("{good}[1]").as_bytes(), &["a.jsonl:2:", "JSON object"]);
        fails("a.jsonl", br#"{"text":"\ud800"}"#, &["a.jsonl:1: broken JSON", "surrogate"]);
        fails("a.jsonl", b"{\"text\":\"a\"}\n{\"text\":\"\xff\"}", &["a.jsonl:2: not UTF-8", "byte 10"]);
        fails("a.txt", b"one\ntwo \xff", &["a.txt:2: not UTF-8", "byte 5"]);
        fails("a.jsonl", b"", &["no rows"]);
        fails("a.txt", b" \n", &["no rows"]);
        fails("a.parquet", b"PAR1", &["files that end in"]);
        fails("a.jsonl", ("[".repeat(500) + &"]".repeat(500)).as_bytes(), &["a.jsonl:1: broken JSON", "recursion"]);
        let cut = packed(format!("{good}{good}").as_bytes());
        fails("a.jsonl.gz", &cut[..cut.len() - 9], &["a.jsonl.gz is a gzip file that ends too early"]);
        let missing = load_file(Path::new("/nowhere/a.jsonl")).unwrap_err().to_string();
        assert!(missing.starts_with("cannot read /nowhere/a.jsonl"), "{missing}");
    }

    #[test]
    fn a_line_ends_somewhere() {
        let row = |length: usize| format!("{{\"text\":\"{}\"}}\n", "x".repeat(length - 12));
        assert_eq!(load_bytes("a.jsonl", row(MAX_LINE).as_bytes()).unwrap().rows.len(), 1);
        fails("a.jsonl", row(MAX_LINE + 2).as_bytes(), &["a.jsonl:1: the line is longer than 16777216 bytes"]);
        // a bomb: 64 MiB of zeros in 64 kB
        fails("a.jsonl.gz", &packed(&vec![b'0'; 64 << 20]), &["line is longer"]);
    }
    /// Bytes of good lines changed, dropped and cut at random: rows or an error, never a panic.
    #[test]
    fn broken_lines_never_panic() {
        let good = br#"{"prompt":[{"role":"user","content":"a"}],"chosen":[{"role":"assistant","content":"b"}],"rejected":"\u00e9c"}
{"instruction":"i","input":"","response1":"x","response2":"y","annotator1":2,"annotator2":0}
{"history":[{"role":"prompter","text":"q"}],"responses":[{"text":"x","rank":1},{"text":"y","rank":0.5}]}
{"instruction":"i","instances":[{"input":"1","output":"2"}]}
{"prompt":"p","completions":["a","b"],"ranks":[1,2]}"#;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jsonl");
        for trial in 0..1000 {
            let mut draws = kernels::Rng::new(9).fold(trial).draws();
            let mut bytes = good.to_vec();
            for _ in 0..=draws.below(3) {
                let at = draws.below(bytes.len());
                match draws.below(4) {
                    0 => bytes[at] = draws.below(256) as u8,
                    1 => drop(bytes.remove(at)),
                    2 => bytes[at] = *draws.choose(b"0123456789\"{}[],:- ant"),
                    _ => bytes.truncate(at + 1),
                }
            }
            std::fs::write(&path, &bytes).unwrap();
            if let Ok(file) = load_file(&path) {
                crate::data::Inspection::new(&file, None, 5).render(true);
            }
        }
    }
}
