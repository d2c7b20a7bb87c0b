//! Safetensors: hostile headers by name, random mutations, and the crate as a second opinion.
use super::mutate;
use crate::files::safetensors::{Archive, Array, write};
use kernels::Rng;
use std::fs;
use std::path::PathBuf;

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Files {
        Files(tempfile::tempdir().unwrap())
    }
    fn raw(&self, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join("x.safetensors");
        fs::write(&path, bytes).unwrap();
        path
    }
    fn with(&self, header: &str, data: usize) -> PathBuf {
        self.raw(&[&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; data]].concat())
    }
}

#[test]
fn what_is_written_is_what_others_read() {
    let files = Files::new();
    let path = files.0.path().join("x.safetensors");
    let array = |name: &str, shape: &[usize], first: f32| Array {
        name: name.into(),
        shape: shape.to_vec(),
        numbers: (0..shape.iter().product()).map(|i: usize| first + i as f32).collect::<Vec<f32>>().into(),
    };
    write(&path, &[array("b", &[2, 3], 1.5), array("a", &[4], -1.0), array("empty", &[0, 3], 0.0)]).unwrap();
    let bytes = fs::read(&path).unwrap();
    let theirs = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!((theirs.len(), theirs.tensor("b").unwrap().shape()), (3, &[2, 3][..]));
    let archive = Archive::open(&path).unwrap();
    assert_eq!(archive.read("b").unwrap(), [1.5, 2.5, 3.5, 4.5, 5.5, 6.5]);
    assert_eq!(archive.read("a").unwrap(), [-1.0, 0.0, 1.0, 2.0]);
    assert_eq!((archive.metadata("format"), archive.dtype("a").as_deref()), (Some("pt"), Some("F32")));
    assert!(archive.read("c").unwrap_err().to_string().contains("`c`"));
}

#[test]
fn hostile_headers_are_refused() {
    let files = Files::new();
    let one = |dtype: &str, shape: &str, offsets: &str| {
        format!(r#"{{"t":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    // Nine tensors whose sizes add up to 2^64 - 1: the crate panics on it in debug builds.
    let part = u64::MAX / 9;
    let wrap = (0..9).map(|i| {
        let range = (i * part, (i + 1) * part);
        format!(r#""t{i}":{{"dtype":"U8","shape":[{part}],"data_offsets":[{},{}]}}"#, range.0, range.1)
    });
    let wrap = format!("{{{}}}", wrap.collect::<Vec<_>>().join(","));
    let long = "n".repeat(513);
    let tensor = r#"{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#;
    let cases: Vec<(String, usize, &str)> = vec![
        (wrap, 64, "bytes"),
        (format!(r#"{{"t":{tensor},"t":{tensor}}}"#), 4, "twice"),
        (r#"{"t":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#.into(), 4, "twice"),
        (r#"{"t":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}}"#.into(), 4, "unknown field"),
        (r#"{"__metadata__":{"a":"b","a":"c"}}"#.into(), 0, "twice"),
        (r#"{"__metadata__":{"a":1}}"#.into(), 0, "header"),
        (one("U8", "[0,18446744073709551615,2]", "[0,0]"), 0, "overflows"),
        (one("U8", "[18446744073709551615,2,0]", "[0,0]"), 0, "overflows"),
        (one("F32", "[4611686018427387904]", "[0,0]"), 0, "overflows"),
        (one("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, "more than 8"),
        (one("F5", "[8]", "[0,4]"), 4, "dtype"),
        (one("F32", "[1]", "[4,0]"), 4, "bytes"),
        (one("F32", "[1]", "[0,8]"), 8, "bytes"),
        (one("F32", "[1]", "[4,8]"), 8, "incomplete"), // a hole before it
        (one("F32", "[1]", "[0,4]"), 8, "4 bytes"),    // and one after
        (one("F32", "[2]", "[0,8]"), 7, "bytes"),
        (one("F32", "[-1]", "[0,4]"), 4, "header"),
        (one("F32", "[1.5]", "[0,4]"), 4, "header"),
        (one("F32", "[1]", "[0,4,8]"), 4, "more than 2"),
        (one("F32", "[1]", "[0]"), 4, "two numbers"),
        (format!(r#"{{"{long}":{tensor}}}"#), 4, "name"),
        (format!(r#"{{"":{tensor}}}"#), 4, "name"),
        (format!(r#"{{"a\u0000b":{tensor}}}"#), 4, "name"),
        (r#"{"t":{}}"#.into(), 0, "missing"),
        (r#" {}"#.into(), 0, "start with"),
        ("[]".into(), 0, "start with"),
        ("{".into(), 0, "header"),
        ("{}x".into(), 0, "header"),
        ("{".repeat(1000), 0, "header"),
        (format!(r#"{{"t":{}1{}}}"#, "[".repeat(500), "]".repeat(500)), 0, "header"),
    ];
    for (header, data, says) in cases {
        let error = Archive::open(&files.with(&header, data)).err().unwrap_or_else(|| panic!("accepted: {header}"));
        assert!(error.to_string().contains(says), "`{says}` not in: {error}");
    }
    for bytes in [&b""[..], b"\x01", &[0xff; 8], &[0xff; 64], b"\x02\0\0\0\0\0\0\0{"] {
        assert!(Archive::open(&files.raw(bytes)).is_err());
    }
    let big = (17u64 << 20).to_le_bytes();
    assert!(Archive::open(&files.raw(&[&big[..], &vec![b' '; 17 << 20]].concat())).is_err());
}

#[test]
fn many_tiny_tensors_are_refused_quickly() {
    let files = Files::new();
    let tensors = (0..70_000).map(|i| format!(r#""{i}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#));
    let header = format!("{{{}}}", tensors.collect::<Vec<_>>().join(","));
    let path = files.with(&header, 9 << 20);
    let start = std::time::Instant::now();
    assert!(Archive::open(&path).err().unwrap().to_string().contains("more than 65536"));
    assert!(start.elapsed().as_secs() < 5);
}

/// Whatever a mutation does: no panic, and nothing is accepted that the crate does not accept.
#[test]
fn mutations() {
    let files = Files::new();
    let header = concat!(
        r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"#,
        r#""b":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]}}"#
    );
    let whole = fs::read(files.with(header, 32)).unwrap();
    let mut draws = Rng::new(11).draws();
    let (mut accepted, rounds) = (0, 3000);
    for _ in 0..rounds {
        let mut bytes = whole.clone();
        mutate(&mut bytes, b"0123456789\"{}[],:e-. ", &mut draws);
        let path = files.raw(&bytes);
        if let Ok(archive) = Archive::open(&path) {
            accepted += 1;
            assert!(safetensors::SafeTensors::deserialize(&bytes).is_ok());
            archive.names().iter().for_each(|name| drop(archive.read(name)));
        }
    }
    assert!(accepted > 0 && accepted < rounds, "{accepted} of {rounds} accepted");
}
