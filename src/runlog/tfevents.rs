//! TensorBoard event files: length-delimited records of a small protobuf, written by hand.
//!
//! A record is `len: u64, masked crc(len), data, masked crc(data)`, all little-endian. `data` is an
//! `Event { 1: wall_time double, 2: step int64, 3: file_version string, 5: Summary { 1: Value { 1: tag, 2: simple_value } } }`.

use super::crc32c::crc32c;
use std::fs::File;
use std::io::{BufWriter, Result, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

pub struct EventWriter {
    file: BufWriter<File>,
}

impl EventWriter {
    /// A new file `events.out.tfevents.<seconds>.<host>.<process>` in `dir`.
    pub fn create(dir: &Path) -> Result<EventWriter> {
        let name = format!("events.out.tfevents.{}.{}.{}", now() as u64, hostname(), std::process::id());
        let mut writer = EventWriter { file: BufWriter::new(File::create(dir.join(name))?) };
        let mut event = wall_time();
        string(&mut event, 3, "brain.Event:2");
        writer.record(&event)?;
        Ok(writer)
    }

    /// The figures of one step, each under its tag.
    pub fn scalars(&mut self, step: usize, values: &[(String, f64)]) -> Result<()> {
        let mut summary = Vec::new();
        for (tag, value) in values {
            let mut entry = Vec::new();
            string(&mut entry, 1, tag);
            key(&mut entry, 2, 5);
            entry.extend((*value as f32).to_le_bytes());
            bytes(&mut summary, 1, &entry);
        }
        let mut event = wall_time();
        key(&mut event, 2, 0);
        varint(&mut event, step as u64);
        bytes(&mut event, 5, &summary);
        self.record(&event)
    }

    pub fn flush(&mut self) -> Result<()> {
        self.file.flush()
    }

    fn record(&mut self, data: &[u8]) -> Result<()> {
        let length = (data.len() as u64).to_le_bytes();
        self.file.write_all(&length)?;
        self.file.write_all(&masked(&length).to_le_bytes())?;
        self.file.write_all(data)?;
        self.file.write_all(&masked(data).to_le_bytes())
    }
}

/// TFRecord's mask, so that the checksum of data which holds checksums stays good.
fn masked(data: &[u8]) -> u32 {
    crc32c(data).rotate_right(15).wrapping_add(0xA282_EAD8)
}

fn wall_time() -> Vec<u8> {
    let mut event = Vec::new();
    key(&mut event, 1, 1);
    event.extend(now().to_le_bytes());
    event
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "localhost".into() } else { name.replace(['/', '.'], "-") }
}

/// Protobuf: field number and wire type (0 varint, 1 eight bytes, 2 length-delimited, 5 four bytes).
fn key(out: &mut Vec<u8>, field: u32, wire: u32) {
    varint(out, u64::from(field << 3 | wire));
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn bytes(out: &mut Vec<u8>, field: u32, data: &[u8]) {
    key(out, field, 2);
    varint(out, data.len() as u64);
    out.extend(data);
}

fn string(out: &mut Vec<u8>, field: u32, text: &str) {
    bytes(out, field, text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads the records back, checking both checksums of each.
    fn records(mut data: &[u8]) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        while !data.is_empty() {
            let length = u64::from_le_bytes(data[..8].try_into().unwrap()) as usize;
            assert_eq!(data[8..12], masked(&data[..8]).to_le_bytes());
            let body = &data[12..12 + length];
            assert_eq!(data[12 + length..16 + length], masked(body).to_le_bytes());
            out.push(body.to_vec());
            data = &data[16 + length..];
        }
        out
    }

    #[test]
    fn a_file_holds_the_version_and_the_scalars() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = EventWriter::create(dir.path()).unwrap();
        writer.scalars(300, &[("loss".into(), 0.5), ("lr".into(), 1.0)]).unwrap();
        writer.flush().unwrap();
        let file = std::fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap();
        assert!(file.file_name().to_string_lossy().starts_with("events.out.tfevents."));
        let found = records(&std::fs::read(file.path()).unwrap());
        assert_eq!(found.len(), 2);
        assert!(found[0].ends_with(b"brain.Event:2"));
        // step 300 = varint AC 02; then Summary of 22 bytes: Value{tag "loss", 0.5f32}, Value{tag "lr", 1.0f32}.
        let mut expected = vec![0x10, 0xAC, 0x02, 0x2A, 24];
        expected.extend([0x0A, 11, 0x0A, 4]);
        expected.extend(b"loss");
        expected.extend([0x15, 0, 0, 0, 0x3F]);
        expected.extend([0x0A, 9, 0x0A, 2]);
        expected.extend(b"lr");
        expected.extend([0x15, 0, 0, 0x80, 0x3F]);
        assert_eq!(found[1][9..], expected);
    }
}
