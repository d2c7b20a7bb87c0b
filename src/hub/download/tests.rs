//! Downloads from a hub of our own: a few lines of HTTP on a loopback socket.

use super::*;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

const REVISION: &str = "0123456789abcdef0123456789abcdef01234567";
const GIT: &str = "89abcdef0123456789abcdef0123456789abcdef";

/// What a hub has, and what it was asked: "METHOD PATH token=… range=…".
struct Fake {
    endpoint: String,
    asked: Arc<Mutex<Vec<String>>>,
}

/// What it serves, and how it misbehaves.
#[derive(Clone, Default)]
struct Shelf {
    files: BTreeMap<String, Vec<u8>>,
    /// Weights are cut off after so many bytes, as when a connection breaks.
    breaks_at: Option<usize>,
    /// Weights come with one byte that is not theirs.
    damages: bool,
}

impl Fake {
    fn start(shelf: Shelf) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = answer(stream, &shelf, &log);
            }
        });
        Fake { endpoint, asked }
    }

    fn get(&self, folder: &Path) -> Result<PathBuf> {
        let folder = folder.join("models--org--tiny");
        Hub::new(&self.endpoint, Some("secret".into()), "org/tiny", &folder, Progress::new(Mode::Quiet)).download()
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

fn answer(mut stream: TcpStream, shelf: &Shelf, log: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().unwrap_or(Ok(String::new()))?;
    let mut words = first.split(' ');
    let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let (mut token, mut start) = (String::new(), 0);
    for line in lines {
        let line = line?.to_lowercase();
        match line.split_once(": ") {
            None => break,
            Some(("authorization", value)) => token = value.to_string(),
            Some(("range", value)) => start = value.trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap(),
            Some(_) => {}
        }
    }
    log.lock().unwrap().push(format!("{method} {path} token={token} range={start}"));
    let (head, body) = respond(method, path, start, shelf);
    write!(stream, "HTTP/1.1 {head}\r\nConnection: close\r\n\r\n")?;
    stream.write_all(if method == "HEAD" { &[] } else { &body })
}

/// As the hub does it: large files are redirected to another place, which sees no token.
fn respond(method: &str, path: &str, start: usize, shelf: &Shelf) -> (String, Vec<u8>) {
    if path == "/api/models/org/tiny/revision/main" {
        let names: Vec<Value> = shelf.files.keys().map(|name| serde_json::json!({"rfilename": name})).collect();
        let json = serde_json::json!({"sha": REVISION, "siblings": names}).to_string();
        return (format!("200 OK\r\nContent-Length: {}", json.len()), json.into());
    }
    let name = path.rsplit('/').next().unwrap();
    let Some(bytes) = shelf.files.get(name) else { return ("404 Not Found\r\nContent-Length: 0".into(), Vec::new()) };
    let (size, large) = (bytes.len(), name.ends_with(".safetensors"));
    if large && path.starts_with("/org/") {
        let sum: String = Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
        let linked = format!("X-Linked-ETag: \"{sum}\"\r\nX-Linked-Size: {size}\r\nETag: \"of-the-redirect\"");
        return (format!("302 Found\r\nLocation: /cdn/{name}\r\n{linked}\r\nContent-Length: 0"), Vec::new());
    }
    if !large && path.starts_with("/org/") && method == "HEAD" && name == "config.json" {
        return (format!("307 Moved\r\nLocation: /moved/{name}\r\nContent-Length: 0"), Vec::new());
    }
    let mut body = bytes[start..].to_vec();
    if large && shelf.damages {
        body[0] ^= 1;
    }
    if let Some(at) = shelf.breaks_at.filter(|_| large && start == 0) {
        body.truncate(at);
    }
    let range = format!("Content-Range: bytes {start}-{}/{size}", size - 1);
    let status = if start > 0 { format!("206 Partial Content\r\n{range}") } else { "200 OK".into() };
    (format!("{status}\r\nETag: W/\"{GIT}\"\r\nContent-Length: {}", size - start), body)
}

fn shelf(weights: &[&str]) -> Shelf {
    let mut files = BTreeMap::from([("config.json", b"{}".to_vec()), ("README.md", b"not wanted".to_vec())]);
    for (name, seed) in weights.iter().zip(1..) {
        files.insert(name, (0..3_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> seed) as u8).collect());
    }
    Shelf { files: files.into_iter().map(|(name, bytes)| (name.to_string(), bytes)).collect(), ..Shelf::default() }
}

#[test]
fn a_model_comes_into_the_cache_once() {
    let cache = tempfile::tempdir().unwrap();
    let shelf = shelf(&["model.safetensors"]);
    let hub = Fake::start(shelf.clone());
    let dir = hub.get(cache.path()).unwrap();
    assert!(dir.ends_with(format!("models--org--tiny/snapshots/{REVISION}")));
    for name in ["config.json", "model.safetensors"] {
        assert!(fs::read(dir.join(name)).unwrap() == shelf.files[name], "{name}");
    }
    assert!(!dir.join("README.md").exists());
    assert_eq!(model::hub::snapshot(&cache.path().join("models--org--tiny")), Some(dir.clone()));
    assert!(model::hub::is_whole(&dir));
    let asked = hub.asked();
    assert!(asked.iter().any(|line| line.contains("GET /cdn/model.safetensors")));
    for line in &asked {
        let own = !line.contains(" /cdn/");
        assert_eq!(line.contains("token=bearer secret"), own, "{line}");
    }
    assert_eq!(hub.get(cache.path()).unwrap(), dir);
    assert_eq!(hub.asked().len(), 1, "only whether there is something newer");
}

#[test]
fn a_broken_download_goes_on_where_it_stopped() {
    let cache = tempfile::tempdir().unwrap();
    let shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    let mut shelf = shelf(&shards);
    let index = serde_json::json!({"weight_map": {"a": shards[0], "b": shards[1]}}).to_string();
    shelf.files.insert("model.safetensors.index.json".into(), index.into());
    let broken = Fake::start(Shelf { breaks_at: Some(1_234_567), ..shelf.clone() });
    let error = broken.get(cache.path()).unwrap_err();
    assert!(error.message.contains("run the command again"), "{error}");
    let hub = Fake::start(shelf.clone());
    let dir = hub.get(cache.path()).unwrap();
    for name in shards {
        assert!(fs::read(dir.join(name)).unwrap() == shelf.files[name], "{name}");
    }
    let ranges = hub
        .asked()
        .iter()
        .filter(|line| line.contains("GET /cdn/"))
        .map(|l| l.split("range=").nth(1).unwrap().parse().unwrap())
        .collect::<Vec<usize>>();
    assert!(ranges.len() == 2 && ranges[0] > 1_000_000 && ranges[1] == 0, "{ranges:?}");
}

#[test]
fn what_is_damaged_or_hostile_or_missing_is_refused() {
    let cache = tempfile::tempdir().unwrap();
    let refuses = |shelf: Shelf, says: &str| {
        let error = Fake::start(shelf).get(cache.path()).unwrap_err();
        assert_eq!(error.kind as u8, 6);
        assert!(error.message.contains(says) && error.message.contains("org/tiny"), "`{says}` not in: {error}");
    };
    refuses(Shelf { damages: true, ..shelf(&["model.safetensors"]) }, "damaged");
    refuses(shelf(&[]), "no model.safetensors");
    let mut reaching = shelf(&[]);
    let index = r#"{"weight_map": {"a": "../../../../etc/x.safetensors"}}"#;
    reaching.files.insert("model.safetensors.index.json".into(), index.into());
    refuses(reaching, "not a plain file name");
    let mut bare = shelf(&["model.safetensors"]);
    bare.files.remove("config.json");
    refuses(bare, "404");
    let nobody = Hub::new("http://127.0.0.1:9", None, "org/tiny", cache.path(), Progress::new(Mode::Quiet)).download();
    assert!(nobody.unwrap_err().message.contains("could not be got"));
}

/// A server that says something and then nothing is not waited for.
#[test]
fn silence_ends_a_download() {
    struct Silent(bool);
    impl Read for Silent {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            if std::mem::replace(&mut self.0, true) {
                std::thread::sleep(Duration::from_secs(5));
            }
            out[..3].copy_from_slice(b"abc");
            Ok(3)
        }
    }
    let mut body = Timely::new(Silent(false), Duration::from_millis(100));
    let mut three = [0; 3];
    body.read_exact(&mut three).unwrap();
    assert_eq!(&three, b"abc");
    assert_eq!(body.read(&mut three).unwrap_err().kind(), io::ErrorKind::TimedOut);
    let mut all = Vec::new();
    Timely::new(&b"all of it"[..], Duration::from_secs(5)).read_to_end(&mut all).unwrap();
    assert_eq!(all, b"all of it");
}
