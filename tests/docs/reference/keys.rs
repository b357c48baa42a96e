//! The keys of devdb.yaml, from its JSON Schema.

use serde_json::Value;

use super::schema::{Schema, values};
use super::{one_line, table};

/// Every key with what can be written there.
pub fn markdown() -> String {
    let document = devdb::config::schema();
    let mut rows = Vec::new();
    collect(&Schema::of(&document), &document, "", &mut rows);
    table(["key", "value", "default", "meaning"], &rows)
}

fn collect(schema: &Schema<'_>, section: &Value, prefix: &str, rows: &mut Vec<[String; 4]>) {
    for (name, property) in schema.properties(section) {
        let key = format!("{prefix}{name}");
        let target = schema.resolve(property);
        if target["properties"].is_object() {
            collect(schema, target, &format!("{key}."), rows);
            continue;
        }
        let description = one_line(property["description"].as_str().unwrap_or_default());
        let (meaning, default) = match description.split_once("Default: ") {
            Some((meaning, default)) => (meaning.trim_end(), default.trim_end_matches('.')),
            None => (description.as_str(), "none"),
        };
        let mut meaning = meaning.to_owned();
        for (value, explained) in values(target) {
            if !explained.is_empty() {
                meaning.push_str(&format!(" `{value}`: {explained}"));
            }
        }
        let kind = schema.kind(property);
        rows.push([format!("`{key}`"), kind, default.to_owned(), meaning]);
    }
}
