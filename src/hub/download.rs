//! A model from the hub into the cache, laid out as Hugging Face's tools do it:
//!
//! ```text
//! models--org--name/blobs/ETAG          the contents; ETAG.incomplete while they come
//!                   snapshots/REVISION/ the files by name, linked to their blobs
//!                   refs/main           REVISION, written last
//! ```
//! A download that was broken off goes on where it stopped. The hub names large files by their SHA-256, which is
//! checked. HF_ENDPOINT is another place to ask, HF_TOKEN is who asks; it is told to that place alone.

use crate::error::{Failure, Result};
use crate::progress::{Mode, Progress};
use model::hub::{is_revision, shards};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;
use ureq::http::{HeaderMap, Response};
use ureq::{Agent, Body};

/// Small files that are taken where they are there.
const COMPANIONS: [&str; 7] = [
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "vocab.json",
    "merges.txt",
];
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
const CONFIG: &str = "config.json";
/// An adapter's: its config is the last of its files.
const ADAPTER: [&str; 2] = ["adapter_model.safetensors", "adapter_config.json"];
/// A server that says nothing for so long has gone.
const SILENCE: Duration = Duration::from_secs(60);

/// Downloads the newest revision into its folder of the cache.
pub fn download(name: &str, folder: &Path) -> Result<PathBuf> {
    Hub::from_environment(name, folder).download()
}

struct Hub {
    agent: Agent,
    endpoint: String,
    token: Option<String>,
    name: String,
    folder: PathBuf,
    progress: Progress,
}

/// What the hub says about a file before it is fetched.
struct About {
    etag: String,
    size: Option<u64>,
}

impl Hub {
    fn from_environment(name: &str, folder: &Path) -> Hub {
        let set = |key: &str| std::env::var(key).ok().filter(|value| !value.is_empty());
        let endpoint = set("HF_ENDPOINT").unwrap_or("https://huggingface.co".into());
        let progress = Progress::new(Mode::of_stderr(super::is_quiet()));
        Hub::new(endpoint.trim_end_matches('/'), set("HF_TOKEN"), name, folder, progress)
    }

    fn new(endpoint: &str, token: Option<String>, name: &str, folder: &Path, progress: Progress) -> Hub {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .user_agent(concat!("rlhf/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(Duration::from_secs(15)))
            .timeout_recv_response(Some(SILENCE))
            .build();
        let (endpoint, name, folder) = (endpoint.to_string(), name.to_string(), folder.to_path_buf());
        Hub { agent: config.into(), endpoint, token, name, folder, progress }
    }

    fn download(mut self) -> Result<PathBuf> {
        let (revision, files) = self.list()?;
        let dir = self.folder.join("snapshots").join(&revision);
        let has = |name: &str| files.iter().any(|file| file == name);
        let mut wanted: Vec<String> = COMPANIONS.into_iter().filter(|name| has(name)).map(String::from).collect();
        match (has(WEIGHTS), has(INDEX)) {
            (true, _) => wanted.push(WEIGHTS.into()),
            (false, true) => {
                let index = self.file(&revision, INDEX)?;
                let index =
                    fs::read(&index).map_err(|e| self.failed(format!("cannot read {}: {e}", index.display())))?;
                let shards = shards(&index).ok_or_else(|| self.failed(format!("{INDEX} is no index of shards")))?;
                wanted.extend(shards);
            }
            (false, false) if ADAPTER.into_iter().all(has) => wanted.extend(ADAPTER.map(String::from)),
            (false, false) => return Err(self.failed(format!("it has no {WEIGHTS}; other formats are not read"))),
        }
        if !wanted.iter().any(|name| name == ADAPTER[1]) {
            wanted.push(CONFIG.into()); // last: a snapshot without it is not yet a model
        }
        for name in &wanted {
            self.file(&revision, name)?;
        }
        let refs = self.folder.join("refs");
        let main = refs.join("main");
        fs::create_dir_all(&refs)
            .and_then(|()| fs::write(&main, &revision))
            .map_err(|e| self.cannot_write(&main, e))?;
        Ok(dir)
    }

    /// The newest revision and the names of its files.
    fn list(&self) -> Result<(String, Vec<String>)> {
        let url = format!("{}/api/models/{}/revision/main", self.endpoint, self.name);
        let response = self.ask(&url, &[])?;
        self.check(&response, &url)?;
        let (mut text, body) = (String::new(), Timely::new(response.into_body().into_reader(), SILENCE));
        body.take(64 << 20).read_to_string(&mut text).map_err(|e| self.failed(format!("{url}: {e}")))?;
        let json: Value = serde_json::from_str(&text).map_err(|e| self.failed(format!("{url}: {e}")))?;
        let files = json["siblings"].as_array().into_iter().flatten();
        let files = files.filter_map(|file| file["rfilename"].as_str().map(String::from)).collect();
        match json["sha"].as_str() {
            Some(revision) if is_revision(revision) => Ok((revision.to_string(), files)),
            _ => Err(self.failed(format!("{url} names no revision"))),
        }
    }

    /// One file of the snapshot, fetched if it is not there.
    fn file(&mut self, revision: &str, name: &str) -> Result<PathBuf> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if name.starts_with('.') || !name.bytes().all(plain) {
            return Err(self.failed(format!("`{}` is not a plain file name", name.escape_debug())));
        }
        let path = self.folder.join("snapshots").join(revision).join(name);
        if path.exists() {
            return Ok(path);
        }
        let url = format!("{}/{}/resolve/{revision}/{name}", self.endpoint, self.name);
        let about = self.about(&url)?;
        let blob = self.folder.join("blobs").join(&about.etag);
        for dir in [&path, &blob].map(|p| p.parent().expect("below the folder")) {
            fs::create_dir_all(dir).map_err(|e| self.cannot_write(dir, e))?;
        }
        if !blob.exists() {
            self.fetch(&url, name, &about, &blob)?;
        }
        link(&about.etag, &blob, &path).map_err(|e| self.cannot_write(&path, e))?;
        Ok(path)
    }

    /// ETag and size, from the hub itself: what it redirects to may have others.
    fn about(&self, url: &str) -> Result<About> {
        let mut at = url.to_string();
        for _ in 0..5 {
            let request = self.agent.head(&at).config().max_redirects(0).build().header("Accept-Encoding", "identity");
            let response = self.signed(request).call().map_err(|e| self.failed(format!("{at}: {e}")))?;
            let headers = response.headers();
            let location = header(headers, "location").filter(|_| response.status().is_redirection());
            let linked = header(headers, "x-linked-etag");
            match (linked, location) {
                (None, Some(path)) if path.starts_with('/') && !path.starts_with("//") => {
                    at = format!("{}{path}", self.endpoint);
                    continue;
                }
                (None, None) => self.check(&response, &at)?,
                _ => {}
            }
            let etag = linked.or(header(headers, "etag")).unwrap_or_default();
            let etag = etag.trim_start_matches("W/").trim_matches('"');
            let size = header(headers, if linked.is_some() { "x-linked-size" } else { "content-length" });
            return match !etag.is_empty() && etag.len() <= 64 && etag.bytes().all(|b| b.is_ascii_hexdigit()) {
                true => Ok(About { etag: etag.to_string(), size: size.and_then(|size| size.parse().ok()) }),
                false => Err(self.failed(format!("{at} has no ETag that names its contents"))),
            };
        }
        Err(self.failed(format!("{url} is redirected again and again")))
    }

    /// The contents into `blob`, going on from what is there of them.
    fn fetch(&mut self, url: &str, name: &str, about: &About, blob: &Path) -> Result {
        let part = blob.with_extension("incomplete");
        let have = fs::metadata(&part).map_or(0, |data| data.len());
        let range = format!("bytes={have}-");
        let whole = about.size == Some(have);
        if !whole {
            let response = if have > 0 { self.ask(url, &[("Range", &range)])? } else { self.ask(url, &[])? };
            let goes_on = response.status() == 206
                && header(response.headers(), "content-range")
                    .is_some_and(|r| r.starts_with(&format!("bytes {have}-")));
            let start = if goes_on { have } else { 0 };
            if !goes_on {
                self.check(&response, url)?;
            }
            self.progress.begin(name);
            let file = OpenOptions::new().create(true).write(true).truncate(false).open(&part);
            let mut file = file.map_err(|e| self.cannot_write(&part, e))?;
            let body = Timely::new(response.into_body().into_reader(), SILENCE);
            let copied = copy(body, &mut file, start, about.size, &mut self.progress);
            copied
                .map_err(|e| self.failed(format!("{name}: {e}; run the command again to go on with the download")))?;
        }
        let size = fs::metadata(&part).map_or(0, |data| data.len());
        let sound = match about.etag.len() {
            64 => sha256(&part).map_err(|e| self.failed(format!("cannot read {}: {e}", part.display())))? == about.etag,
            _ => true, // a small file, named by git's hash of it; its size is checked
        };
        if about.size.is_some_and(|expected| expected != size) || !sound {
            let _ = fs::remove_file(&part);
            return Err(self.failed(format!("{name} came damaged ({size} bytes); run the command again")));
        }
        fs::rename(&part, blob).map_err(|e| self.cannot_write(blob, e))
    }

    fn ask(&self, url: &str, headers: &[(&str, &str)]) -> Result<Response<Body>> {
        let request = self.signed(self.agent.get(url).header("Accept-Encoding", "identity"));
        let request = headers.iter().fold(request, |request, (key, value)| request.header(*key, *value));
        request.call().map_err(|e| self.failed(format!("{url}: {e}")))
    }

    fn signed<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        match &self.token {
            Some(token) => request.header("Authorization", format!("Bearer {token}")),
            None => request,
        }
    }

    fn check(&self, response: &Response<Body>, url: &str) -> Result {
        let why = match response.status().as_u16() {
            200..=299 => return Ok(()),
            401 | 403 => {
                "it is not open to all: accept its terms on the hub and set HF_TOKEN, or there is no such model"
            }
            404 => "there is no such model or file",
            429 => "the hub asks to wait; try again later",
            _ => "try again later",
        };
        Err(self.failed(format!("{url}: status {}: {why}", response.status().as_u16())))
    }

    fn failed(&self, problem: String) -> Failure {
        let name = &self.name;
        Failure::model(format!("{name} is no folder or file, and could not be got from the hub: {problem}"))
    }

    fn cannot_write(&self, path: &Path, error: io::Error) -> Failure {
        self.failed(format!("cannot write {}: {error}; HF_HOME says where the cache is", path.display()))
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// What comes from elsewhere, read on a thread of its own, so that silence is an error and not a wait for ever.
struct Timely {
    pieces: Receiver<io::Result<Vec<u8>>>,
    piece: io::Cursor<Vec<u8>>,
    most: Duration,
}

impl Timely {
    fn new(mut from: impl Read + Send + 'static, most: Duration) -> Timely {
        let (send, pieces) = sync_channel(4);
        std::thread::spawn(move || {
            loop {
                let mut piece = vec![0; 1 << 18];
                let read = from.read(&mut piece).map(|n| {
                    piece.truncate(n);
                    piece
                });
                let ends = read.as_ref().map_or(true, Vec::is_empty);
                if send.send(read).is_err() || ends {
                    return;
                }
            }
        });
        Timely { pieces, piece: io::Cursor::default(), most }
    }
}

impl Read for Timely {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.piece.position() == self.piece.get_ref().len() as u64 {
            self.piece = io::Cursor::new(match self.pieces.recv_timeout(self.most) {
                Ok(piece) => piece?,
                Err(RecvTimeoutError::Timeout) => {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, format!("nothing came for {:?}", self.most)));
                }
                Err(RecvTimeoutError::Disconnected) => Vec::new(), // it has said that it ended
            });
        }
        self.piece.read(out)
    }
}

/// Writes what comes at `start`, and cuts off whatever was behind it.
fn copy(mut from: impl Read, to: &mut File, start: u64, size: Option<u64>, progress: &mut Progress) -> io::Result<()> {
    use std::io::Seek;
    to.set_len(start)?;
    to.seek(io::SeekFrom::Start(start))?;
    let (mut buffer, mut done) = (vec![0; 1 << 18], start);
    let mib = |bytes: u64| bytes.div_ceil(1 << 20) as usize;
    loop {
        match from.read(&mut buffer)? {
            0 => break,
            n => to.write_all(&buffer[..n])?,
        }
        done = to.stream_position()?;
        if size.is_some_and(|size| done > size) {
            return Err(io::Error::other("more came than was announced"));
        }
        progress.step(mib(done), mib(size.unwrap_or(done)), "MiB");
    }
    match size {
        Some(size) if done < size => Err(io::Error::other(format!("only {done} of {size} bytes came"))),
        _ => to.sync_all(),
    }
}

fn sha256(path: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    io::copy(&mut File::open(path)?, &mut hash)?;
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The name in the snapshot: a link to the blob, or a copy of it where there are no links.
fn link(etag: &str, blob: &Path, path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        let _ = blob;
        std::os::unix::fs::symlink(Path::new("../../blobs").join(etag), path)
    }
    #[cfg(not(unix))]
    {
        let _ = etag;
        fs::copy(blob, path).map(drop)
    }
}

#[cfg(test)]
mod tests;
