//! Reading rows from files: JSON lines, JSON arrays, plain text (each packed with gzip or not) and, with the feature of
//! that name, Parquet. Rows come one at a time: of a file, no more is held than the row that is being read and the
//! buffers of unpacking, except that a plain text is held whole.

mod array;
mod lines;
#[cfg(feature = "parquet")]
mod parquet;
mod sources;

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

use super::error::DataError;
use super::formats::{self, Format};
use super::json::Json;
use super::place::Place;
use super::rows::Row;
use array::Elements;
use lines::Lines;
pub use lines::{open_file, read_text};
pub use sources::{Part, files_of, is_data_folder};
use sources::{Source, sources};

/// On a line of its own in plain text: the next document begins.
const DOCUMENT_END: &str = "<|endoftext|>";

/// What a file holds.
#[derive(Debug)]
pub struct DataFile {
    /// The file.
    pub path: PathBuf,
    /// The kinds of lines found, by their columns, and how many of each.
    pub formats: BTreeMap<String, usize>,
    /// Its rows, in their order.
    pub rows: Vec<Row>,
    /// Columns that nothing is made of, and how many lines have each.
    pub unused: Unused,
}

/// Columns by name, and how many lines have each.
pub type Unused = BTreeMap<String, usize>;

/// What to say of columns that are not used.
pub fn unused_report(unused: &Unused) -> Option<String> {
    let names: Vec<String> = unused.iter().map(|(name, count)| format!("{name:?} (in {count} rows)")).collect();
    let columns = if names.len() == 1 { "one column is" } else { "some columns are" };
    (!names.is_empty()).then(|| format!("{columns} not used: {}", names.join(", ")))
}

/// The rows of all files, in order. A path is a file, or a folder with a file `train` in it; `path=0.5` takes about
/// half of its rows, `path=2` each twice.
pub fn load<P: AsRef<Path>>(paths: &[P]) -> Result<Vec<Row>, DataError> {
    stream(paths)?.collect()
}

/// The same, row by row, for files larger than memory.
pub fn stream<P: AsRef<Path>>(paths: &[P]) -> Result<Stream, DataError> {
    Ok(Stream { sources: sources(paths)?.into(), now: None, again: VecDeque::new(), unused: Unused::new() })
}

/// Rows of one file after another.
pub struct Stream {
    sources: VecDeque<Source>,
    now: Option<(FileRows, Source, usize)>,
    /// A row that counts more than once.
    again: VecDeque<Row>,
    /// Columns of the rows so far that nothing is made of.
    pub unused: Unused,
}

impl Iterator for Stream {
    type Item = Result<Row, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(row) = self.again.pop_front() {
                return Some(Ok(row));
            }
            let Some((rows, source, at)) = &mut self.now else {
                let source = self.sources.pop_front()?;
                match FileRows::open(&source.path) {
                    Ok(rows) => self.now = Some((rows, source, 0)),
                    Err(error) => return Some(Err(error)),
                }
                continue;
            };
            match rows.next() {
                Some(Ok(row)) => {
                    self.again.extend(std::iter::repeat_n(row, source.times(*at)));
                    *at += 1;
                }
                Some(Err(error)) => return Some(Err(error)),
                None => {
                    rows.unused.iter().for_each(|(name, count)| *self.unused.entry(name.clone()).or_default() += count);
                    self.now = None;
                }
            }
        }
    }
}

/// One file: `.jsonl` has a row a line, `.json` a list of them, `.txt` is one document, or several with lines of
/// `<|endoftext|>` between them. Packed files are known by their first bytes.
pub fn load_file(path: &Path) -> Result<DataFile, DataError> {
    let mut from = FileRows::open(path)?;
    let rows = from.by_ref().collect::<Result<_, _>>()?;
    Ok(DataFile { path: path.to_path_buf(), formats: from.formats, rows, unused: from.unused })
}

/// The rows of one file. After an error there are no more; a file without rows is an error.
struct FileRows {
    path: PathBuf,
    kind: Kind,
    formats: BTreeMap<String, usize>,
    unused: Unused,
    /// One line may hold several rows.
    waiting: VecDeque<Row>,
    any: bool,
    ended: bool,
}

enum Kind {
    Lines(Lines),
    Array(Elements),
    Texts,
    #[cfg(feature = "parquet")]
    Parquet(parquet::Records),
}

impl FileRows {
    fn open(path: &Path) -> Result<FileRows, DataError> {
        let (mut waiting, mut formats) = (VecDeque::new(), BTreeMap::new());
        let kind = match extension(path).as_deref() {
            Some("jsonl" | "ndjson") => Kind::Lines(Lines::open(path)?),
            Some("json") => match Elements::open(Lines::open(path)?)? {
                Ok(elements) => Kind::Array(elements),
                Err(lines) => Kind::Lines(lines),
            },
            Some(end) if TEXTS.contains(&end) => {
                waiting = documents(Lines::open(path)?.whole_text()?);
                formats.insert("plain text".into(), waiting.len());
                Kind::Texts
            }
            #[cfg(feature = "parquet")]
            Some("parquet") => Kind::Parquet(parquet::Records::open(path)?),
            #[cfg(not(feature = "parquet"))]
            Some("parquet") => return Err(DataError::NoParquet { path: path.to_path_buf() }),
            _ => return Err(DataError::Extension { path: path.to_path_buf() }),
        };
        Ok(FileRows {
            path: path.to_path_buf(),
            kind,
            formats,
            unused: Unused::new(),
            waiting,
            any: false,
            ended: false,
        })
    }

    /// The next line that is a row, and its number.
    fn next_value(&mut self) -> Result<Option<(Json, usize)>, DataError> {
        match &mut self.kind {
            Kind::Texts => Ok(None),
            #[cfg(feature = "parquet")]
            Kind::Parquet(records) => records.next_record(),
            Kind::Array(elements) => match elements.next_element()? {
                Some(text) => Ok(Some((parse(&text, &self.path, elements.line)?, elements.line))),
                None => Ok(None),
            },
            Kind::Lines(lines) => loop {
                match lines.next_line()? {
                    None => return Ok(None),
                    Some(line) if line.trim().is_empty() => {}
                    Some(line) => return Ok(Some((parse(&line, &self.path, lines.line)?, lines.line))),
                }
            },
        }
    }

    fn next_row(&mut self) -> Result<Option<Row>, DataError> {
        while self.waiting.is_empty() {
            let Some((value, line)) = self.next_value()? else { break };
            let (format, mut rows, unused) = read_row(&value, &self.path, line)?;
            rows.iter_mut()
                .filter_map(Row::conversation_mut)
                .for_each(|talk| talk.place = Place::new(&self.path, line));
            self.waiting.extend(rows);
            unused.into_iter().for_each(|column| *self.unused.entry(column).or_default() += 1);
            *self.formats.entry(format).or_default() += 1;
        }
        match self.waiting.pop_front() {
            None if !self.any => Err(DataError::Empty { path: self.path.clone() }),
            row => Ok(row),
        }
    }
}

impl Iterator for FileRows {
    type Item = Result<Row, DataError>;

    fn next(&mut self) -> Option<Result<Row, DataError>> {
        if self.ended {
            return None;
        }
        let row = self.next_row();
        self.any = true;
        self.ended = !matches!(row, Ok(Some(_)));
        row.transpose()
    }
}

/// A prompt a line, of a file of plain text; `None` of any other file.
pub fn prompt_lines(path: &Path) -> Result<Option<Vec<String>>, DataError> {
    if !extension(path).is_some_and(|end| TEXTS.contains(&end.as_str())) {
        return Ok(None);
    }
    let (mut lines, mut prompts) = (Lines::open(path)?, vec![]);
    while let Some(line) = lines.next_line()? {
        let line = line.strip_suffix('\r').unwrap_or(&line);
        if !line.is_empty() {
            prompts.push(line.to_string());
        }
    }
    Ok(Some(prompts))
}

const TEXTS: [&str; 3] = ["txt", "text", "md"];

/// How a file's name ends, but for `.gz`.
fn extension(path: &Path) -> Option<String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    name.rsplit_once('.').map(|(_, extension)| extension.to_string())
}

fn parse(text: &str, path: &Path, line: usize) -> Result<Json, DataError> {
    serde_json::from_str(text).map_err(|error| {
        let mut reason = error.to_string().replace("at line 1 column", "at column");
        if reason.contains("hex escape") {
            reason += " (\\ud800 to \\udfff are surrogates, which stand in pairs)";
        }
        DataError::Json { path: path.to_path_buf(), line, reason }
    })
}

fn read_row(value: &Json, path: &Path, line: usize) -> Result<(String, Vec<Row>, Vec<String>), DataError> {
    let path = path.to_path_buf();
    let Some(object) = value.as_object() else {
        let reason = "a row should be a JSON object, {\"column\": value, …}".to_string();
        return Err(DataError::Field { path, line, reason });
    };
    let Some(format) = Format::of(object) else {
        let columns: Vec<String> = object.keys().take(40).map(|key| key.chars().take(40).collect()).collect();
        let found = format!("{{{}}}", columns.join(", "));
        return Err(DataError::Columns { path, line, found, expected: formats::expected(None) });
    };
    let (rows, unused) = format.read(object).map_err(|reason| DataError::Field { path, line, reason })?;
    Ok((format.name(), rows, unused))
}

fn documents(text: String) -> VecDeque<Row> {
    let (mut rows, mut document) = (VecDeque::new(), String::new());
    let mut push = |document: &mut String| {
        if !document.trim().is_empty() {
            rows.push_back(Row::Text(std::mem::take(document)));
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
    rows
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
    #[cfg(unix)]
    fn devices_and_directories_are_no_files() {
        for (path, is) in [("/dev/null", "pipe or a device"), ("/", "directory")] {
            let error = open_file(Path::new(path)).unwrap_err().to_string();
            assert!(error.contains(is), "{path}: {error}");
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
            &["a.jsonl:2:", "{question, answer}", "{prompt, chosen, rejected}"],
        );
        fails("a.jsonl", format!("{good}[1]").as_bytes(), &["a.jsonl:2:", "JSON object"]);
        fails("a.jsonl", br#"{"text":"\ud800"}"#, &["a.jsonl:1: broken JSON", "surrogate"]);
        fails("a.jsonl", b"{\"text\":\"a\"}\n{\"text\":\"\xff\"}", &["a.jsonl:2: not UTF-8", "byte 10"]);
        fails("a.txt", b"one\ntwo \xff", &["a.txt:2: not UTF-8", "byte 5"]);
        fails("a.jsonl", b"", &["no rows"]);
        fails("a.txt", b" \n", &["no rows"]);
        fails("a.csv", b"a,b", &["files that end in"]);
        fails("a.parquet", b"PAR1", &["arquet"]);
        fails("a.jsonl", ("[".repeat(500) + &"]".repeat(500)).as_bytes(), &["a.jsonl:1: broken JSON", "recursion"]);
        let cut = packed(format!("{good}{good}").as_bytes());
        fails("a.jsonl.gz", &cut[..cut.len() - 9], &["a.jsonl.gz is a gzip file that ends too early"]);
        let missing = load_file(Path::new("/nowhere/a.jsonl")).unwrap_err().to_string();
        assert!(missing.starts_with("cannot read /nowhere/a.jsonl"), "{missing}");
    }

    #[test]
    fn a_line_ends_somewhere() {
        let row = |length: usize| format!("{{\"text\":\"{}\"}}\n", "x".repeat(length - 12));
        assert_eq!(load_bytes("a.jsonl", row(lines::MAX_LINE).as_bytes()).unwrap().rows.len(), 1);
        fails("a.jsonl", row(lines::MAX_LINE + 2).as_bytes(), &["a.jsonl:1: the line is longer than 16777216 bytes"]);
        // a bomb: 64 MiB of zeros in 64 kB
        fails("a.jsonl.gz", &packed(&vec![b'0'; 64 << 20]), &["line is longer"]);
    }

    #[test]
    fn what_unpacks_to_nothing_is_no_data() {
        fails("a.jsonl", &vec![b'\n'; 1_100_000], &["a.jsonl:1000001:", "nothing on them"]);
        let row = format!("{{\"text\":\"{}\"}}\n", "a".repeat(100_000)).repeat(900);
        fails("a.jsonl.gz", &packed(row.as_bytes()), &["is larger than", "when unpacked"]);
        fails("a.jsonl", b"{\"text\":\"a\",\"text\":\"b\"}", &["a.jsonl:1: broken JSON", "\"text\" comes twice"]);
    }

    #[test]
    fn byte_order_marks_are_no_text() {
        let mark = "\u{feff}";
        assert_eq!(load_bytes("a.json", format!("{mark}[{{\"text\":\"a\"}}]").as_bytes()).unwrap().rows.len(), 1);
        for name in ["a.txt", "a.md", "a.txt.gz"] {
            let text = format!("{mark}one\r\ntwo\n\n").into_bytes();
            let bytes = if name.ends_with("gz") { packed(&text) } else { text };
            assert!(matches!(&load_bytes(name, &bytes).unwrap().rows[0], Row::Text(text) if text.starts_with("one")));
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join(name), &bytes).unwrap();
            assert_eq!(prompt_lines(&dir.path().join(name)).unwrap().unwrap(), ["one", "two"]);
        }
        assert!(prompt_lines(Path::new("a.jsonl")).unwrap().is_none());
    }

    #[test]
    fn arrays_are_read_element_by_element() {
        let text = " [ {\"text\":\"a,]\\\"\"} ,\n\n {\"prompt\":\n \"b\"}\n]\n";
        let file = load_bytes("a.json", text.as_bytes()).unwrap();
        assert_eq!(file.rows, [Row::Text("a,]\"".into()), Row::Prompt("b".into())]);
        assert_eq!(load_bytes("a.json.gz", &packed(text.as_bytes())).unwrap().rows.len(), 2);
        // lines that someone named .json
        assert_eq!(load_bytes("a.json", b"{\"text\":\"a\"}\n{\"text\":\"b\"}").unwrap().rows.len(), 2);
        fails("a.json", b"[\n{\"text\":\"a\"},\n{\"question\":1}]", &["a.json:3:", "{question}"]);
        fails("a.json", b"[{\"text\":\"a\"}", &["a.json:1:", "ends before the list"]);
        fails("a.json", b"[{\"text\":\"a\"} {}]", &["a.json:1: broken JSON", "trailing"]);
        fails("a.json", b"[{\"text\":\"a\"}] x", &["a.json:1:", "after the list"]);
        fails("a.json", b"[{\"text\":\"a\"},]", &["a.json:1: broken JSON"]);
        fails("a.json", b"[]", &["no rows"]);
        fails("a.json", b"[1]", &["a.json:1:", "JSON object"]);
        let long = format!("[{{\"text\":\"{}\"}}]", "x".repeat(lines::MAX_LINE));
        fails("a.json", long.as_bytes(), &["a.json:1: the line is longer"]);
    }

    #[test]
    fn a_stream_gives_what_load_gives_and_stops_at_the_first_error() {
        let dir = tempfile::tempdir().unwrap();
        let (good, bad) = (dir.path().join("good.jsonl"), dir.path().join("bad.jsonl"));
        std::fs::write(&good, "{\"text\":\"a\"}\n{\"text\":\"b\"}\n").unwrap();
        std::fs::write(&bad, "{\"text\":\"a\"}\nno\n{\"text\":\"b\"}\n").unwrap();
        let rows: Vec<Row> = stream(&[&good, &good]).unwrap().map(Result::unwrap).collect();
        assert_eq!(rows, load(&[&good, &good]).unwrap());
        let found: Vec<_> = stream(&[&bad]).unwrap().collect();
        assert_eq!((found.len(), found[1].is_err()), (2, true));
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
                // our own template cannot write a message without a content
                let _ = crate::data::Inspection::new(&file, None, 5).map(|inspection| inspection.render(true));
            }
        }
    }
}
