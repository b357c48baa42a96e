//! JSON that tells when it was damaged: beside the fields of a record lies a digest of them. A broken
//! disk changes a digit and leaves the syntax whole; devdb would remove the wrong generation then.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::spec;

/// The field with the digest.
const DIGEST: &str = "digest";

/// Why a text is no record.
#[derive(Debug, PartialEq, Eq)]
pub enum Broken {
    /// A newer devdb wrote it, in this layout.
    Newer(u32),
    /// It is damaged, and how.
    Damaged(String),
}

/// A record's fields and their digest, to be written as JSON in any spacing.
///
/// # Errors
/// When the record has no fields, or they cannot be JSON.
pub fn seal(record: &impl Serialize) -> serde_json::Result<Value> {
    let mut value = serde_json::to_value(record)?;
    let digest = digest_of(&value);
    match &mut value {
        Value::Object(fields) => fields.insert(DIGEST.to_owned(), digest.into()),
        _ => return Err(serde::ser::Error::custom("it has no fields")),
    };
    Ok(value)
}

/// The record that was sealed into `text`; `newest`: the newest layout that is understood (its field
/// `schema`).
///
/// # Errors
/// Why it is none.
pub fn open<T: DeserializeOwned>(text: &[u8], newest: u32) -> Result<T, Broken> {
    let damaged = |error: serde_json::Error| Broken::Damaged(error.to_string());
    let mut value: Value = serde_json::from_slice(text).map_err(damaged)?;
    let schema = value.get("schema").and_then(Value::as_u64).unwrap_or_default();
    // A newer devdb may seal in another way.
    match u32::try_from(schema).unwrap_or(u32::MAX) {
        schema if schema > newest => return Err(Broken::Newer(schema)),
        _ => {}
    }
    let noted = value.as_object_mut().and_then(|fields| fields.remove(DIGEST));
    if noted != Some(digest_of(&value).into()) {
        return Err(Broken::Damaged("its digest is not that of its content".into()));
    }
    serde_json::from_value(value).map_err(damaged)
}

/// Of the value without spaces, its keys in serde_json's order: that of the alphabet.
fn digest_of(value: &Value) -> String {
    spec::digest([&value.to_string()])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn text() -> String {
        let record = BTreeMap::from([("schema", 1), ("port", 20_417), ("current", 3)]);
        serde_json::to_string_pretty(&seal(&record).unwrap()).unwrap()
    }

    fn opened(text: &str) -> Result<BTreeMap<String, u32>, Broken> {
        open(text.as_bytes(), 1)
    }

    #[test]
    fn what_was_sealed_comes_back_in_any_spacing() {
        let record = opened(&text()).unwrap();
        assert_eq!(record["port"], 20_417);
        assert_eq!(record.len(), 3, "the digest is none of its fields");
        assert_eq!(opened(&text().replace(['\n', ' '], "")).unwrap(), record);
    }

    #[test]
    fn every_other_digit_and_every_cut_is_found() {
        let text = text();
        for (at, old) in text.char_indices().filter(|(_, c)| c.is_ascii_digit()) {
            let new = if old == '4' { "5" } else { "4" };
            let mut other = text.clone();
            other.replace_range(at..=at, new);
            assert!(opened(&other).is_err(), "{other}");
        }
        for end in 0..text.len() {
            assert!(opened(&text[..end]).is_err(), "{}", &text[..end]);
        }
        assert!(opened(r#"{"schema": 1, "port": 20417}"#).is_err(), "without a digest");
    }

    #[test]
    fn what_is_newer_says_so_whatever_else_it_is() {
        assert_eq!(opened(r#"{"schema": 2, "future": true}"#), Err(Broken::Newer(2)));
        assert!(matches!(opened("{"), Err(Broken::Damaged(_))));
        assert!(matches!(opened("[]"), Err(Broken::Damaged(_))));
    }
}
