//! JSON records that show when they were damaged. A record carries a digest of its fields. Without
//! it, a broken disk could change one digit, the JSON would still be valid, and devdb would remove
//! the wrong generation.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::spec;

/// The field that holds the digest.
const DIGEST: &str = "digest";

/// Why a text cannot be read as a record.
#[derive(Debug, PartialEq, Eq)]
pub enum Broken {
    /// A newer devdb wrote it. This is the version of its layout.
    Newer(u32),
    /// It is damaged, in this way.
    Damaged(String),
}

/// The record's fields together with their digest. The JSON may be written in any spacing.
///
/// # Errors
/// When the record is not a JSON object, or cannot be turned into JSON.
pub fn seal(record: &impl Serialize) -> serde_json::Result<Value> {
    let mut value = serde_json::to_value(record)?;
    let digest = digest_of(&value);
    match &mut value {
        Value::Object(fields) => fields.insert(DIGEST.to_owned(), digest.into()),
        _ => return Err(serde::ser::Error::custom("the record has no fields")),
    };
    Ok(value)
}

/// The text of a file that holds the sealed record.
///
/// # Errors
/// As [`seal`].
pub fn to_text(record: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(&seal(record)?)?;
    text.push(b'\n');
    Ok(text)
}

/// Reads a record that [`seal`] made. `newest` is the newest layout that the caller understands;
/// a record says its layout in its field `schema`.
///
/// # Errors
/// When a newer devdb wrote the record, or it is damaged.
pub fn open<T: DeserializeOwned>(text: &[u8], newest: u32) -> Result<T, Broken> {
    let damaged = |error: serde_json::Error| Broken::Damaged(error.to_string());
    let mut value: Value = serde_json::from_slice(text).map_err(damaged)?;
    let schema = value.get("schema").and_then(Value::as_u64).unwrap_or_default();
    // This comes first: a newer devdb may seal its records in another way.
    match u32::try_from(schema).unwrap_or(u32::MAX) {
        schema if schema > newest => return Err(Broken::Newer(schema)),
        _ => {}
    }
    let recorded = value.as_object_mut().and_then(|fields| fields.remove(DIGEST));
    if recorded != Some(digest_of(&value).into()) {
        return Err(Broken::Damaged("its digest does not match its content".into()));
    }
    serde_json::from_value(value).map_err(damaged)
}

/// The digest of the value as JSON without spaces. serde_json writes keys in alphabetical order.
fn digest_of(value: &Value) -> String {
    spec::digest([&value.to_string()])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn text() -> String {
        let record = BTreeMap::from([("schema", 1), ("port", 20_417), ("current", 3)]);
        String::from_utf8(to_text(&record).unwrap()).unwrap()
    }

    fn opened(text: &str) -> Result<BTreeMap<String, u32>, Broken> {
        open(text.as_bytes(), 1)
    }

    #[test]
    fn a_sealed_record_can_be_read_in_any_spacing() {
        let record = opened(&text()).unwrap();
        assert_eq!(record["port"], 20_417);
        assert_eq!(record.len(), 3, "the digest is not one of its fields");
        assert_eq!(opened(&text().replace(['\n', ' '], "")).unwrap(), record);
    }

    #[test]
    fn a_changed_digit_and_a_cut_are_noticed() {
        let text = text();
        for (at, old) in text.char_indices().filter(|(_, c)| c.is_ascii_digit()) {
            let new = if old == '4' { "5" } else { "4" };
            let mut other = text.clone();
            other.replace_range(at..=at, new);
            assert!(opened(&other).is_err(), "{other}");
        }
        for end in 0..text.trim_end().len() {
            assert!(opened(&text[..end]).is_err(), "{}", &text[..end]);
        }
        assert!(opened(r#"{"schema": 1, "port": 20417}"#).is_err(), "without a digest");
    }

    #[test]
    fn a_newer_record_is_called_newer_whatever_else_it_holds() {
        assert_eq!(opened(r#"{"schema": 2, "future": true}"#), Err(Broken::Newer(2)));
        assert!(matches!(opened("{"), Err(Broken::Damaged(_))));
        assert!(matches!(opened("[]"), Err(Broken::Damaged(_))));
    }
}
