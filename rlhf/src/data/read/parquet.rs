//! The rows of a Parquet file, as JSON. The library panics on some broken files: a panic is a broken file.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use parquet::errors::ParquetError;
use parquet::file::reader::SerializedFileReader;
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row};
use serde_json::{Map, Value};

use crate::data::error::DataError;
use crate::data::json::Json;

pub struct Records {
    path: PathBuf,
    rows: RowIter<'static>,
    row: usize,
}

impl Records {
    pub fn open(path: &Path) -> Result<Records, DataError> {
        let file = super::lines::open_file(path).map_err(|source| DataError::Read { path: path.into(), source })?;
        let rows = caught(path, 0, || {
            SerializedFileReader::new(file).map(|reader| RowIter::from_file_into(Box::new(reader)))
        })?;
        Ok(Records { path: path.into(), rows, row: 0 })
    }

    /// The next row and its number, from 1.
    pub fn next_record(&mut self) -> Result<Option<(Json, usize)>, DataError> {
        self.row += 1;
        let row = caught(&self.path, self.row, || self.rows.next().transpose())?;
        Ok(row.map(|row| (object(&row).into(), self.row)))
    }
}

fn caught<T>(path: &Path, row: usize, read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, DataError> {
    let reason = match catch_unwind(AssertUnwindSafe(read)) {
        Ok(Ok(read)) => return Ok(read),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it makes the `parquet` library fail".to_string(),
    };
    Err(DataError::Parquet { path: path.into(), row, reason })
}

fn object(row: &Row) -> Value {
    Value::Object(row.get_column_iter().map(|(name, field)| (name.clone(), value(field))).collect())
}

/// Text, numbers, lists and structures; what JSON does not have, as text.
fn value(field: &Field) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Bool(value) => (*value).into(),
        Field::Byte(value) => (*value).into(),
        Field::Short(value) => (*value).into(),
        Field::Int(value) => (*value).into(),
        Field::Long(value) => (*value).into(),
        Field::UByte(value) => (*value).into(),
        Field::UShort(value) => (*value).into(),
        Field::UInt(value) => (*value).into(),
        Field::ULong(value) => (*value).into(),
        Field::Float(value) => (*value).into(),
        Field::Double(value) => (*value).into(),
        Field::Str(text) => text.as_str().into(),
        Field::Group(row) => object(row),
        Field::ListInternal(list) => list.elements().iter().map(value).collect(),
        Field::MapInternal(map) => {
            let entries = map.entries().iter().map(|(key, field)| (key.to_string(), value(field)));
            Value::Object(entries.collect::<Map<_, _>>())
        }
        other => other.to_string().into(),
    }
}
