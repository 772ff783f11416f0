//! A checkpoint of a Delta log: the same actions as rows of Parquet.

use std::collections::BTreeMap;

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use parquet::schema::types::Type;
use serde_json::Value;

use crate::fetch::delta::{Action, Add, MetaData, Protocol};

/// The columns that say which files are in force and how to read them.
const WANTED: [&str; 3] = ["add", "metaData", "protocol"];

pub(super) fn read_checkpoint(bytes: Bytes) -> Result<Vec<Action>, ParquetError> {
    let reader = SerializedFileReader::new(bytes)?;
    let schema = reader.metadata().file_metadata().schema();
    let wanted = |field: &&std::sync::Arc<Type>| WANTED.contains(&field.name());
    let fields = schema.get_fields().iter().filter(wanted).cloned().collect();
    let projection = Type::group_type_builder(schema.name()).with_fields(fields).build()?;
    reader.get_row_iter(Some(projection))?.map(|row| row.map(|row| action(&row))).collect()
}

fn action(row: &Row) -> Action {
    let mut action = Action::default();
    for (name, field) in row.get_column_iter() {
        let Field::Group(fields) = field else { continue };
        match name.as_str() {
            "add" => {
                let deleted = matches!(get(fields, "deletionVector"), Some(Field::Group(_)));
                let deletion_vector = deleted.then_some(Value::Bool(true));
                let path = text(fields, "path").unwrap_or_default();
                action.add = Some(Add { path, deletion_vector, ..Add::default() });
            }
            "protocol" => {
                let min_reader_version = match get(fields, "minReaderVersion") {
                    Some(Field::Int(version)) => u64::try_from(*version).unwrap_or(u64::MAX),
                    _ => u64::MAX,
                };
                let reader_features = match get(fields, "readerFeatures") {
                    Some(Field::ListInternal(list)) => {
                        Some(list.elements().iter().filter_map(string).collect())
                    }
                    _ => None,
                };
                action.protocol = Some(Protocol { min_reader_version, reader_features });
            }
            "metaData" => {
                let configuration = match get(fields, "configuration") {
                    Some(Field::MapInternal(map)) => map
                        .entries()
                        .iter()
                        .filter_map(|(key, value)| Some((string(key)?, string(value)?)))
                        .collect(),
                    _ => BTreeMap::new(),
                };
                action.meta_data = Some(MetaData { configuration });
            }
            _ => {}
        }
    }
    action
}

fn get<'a>(row: &'a Row, name: &str) -> Option<&'a Field> {
    row.get_column_iter().find(|(column, _)| *column == name).map(|(_, field)| field)
}

fn text(row: &Row, name: &str) -> Option<String> {
    get(row, name).and_then(string)
}

fn string(field: &Field) -> Option<String> {
    match field {
        Field::Str(text) => Some(text.clone()),
        _ => None,
    }
}
