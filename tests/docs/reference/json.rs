//! The documents of `--json`, from the types that are printed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use devdb::outcome::Report;
use serde_json::Value;

use super::schema::Schema;
use super::{one_line, sentence, table};

/// A field: what it can be, and what it means.
type Fields = BTreeMap<String, (String, String)>;

/// Every result, and after them the objects inside of results.
pub fn markdown() -> String {
    let generator = schemars::generate::SchemaSettings::draft2020_12().for_serialize();
    let root = generator.into_generator().into_root_schema_for::<Report>().to_value();
    let schema = Schema::of(&root);
    let mut text = String::new();
    let mut inside = BTreeSet::new();
    for result in root["anyOf"].as_array().into_iter().flatten() {
        let commands = one_line(result["description"].as_str().unwrap_or_default());
        writeln!(text, "### {}\n", commands.trim_end_matches('.')).unwrap();
        text.push_str(&fields(&schema, schema.resolve(result), &mut inside));
        text.push('\n');
    }
    let mut done = BTreeSet::new();
    while let Some(name) = inside.pop_first() {
        if !done.insert(name.clone()) {
            continue;
        }
        let object = &root["$defs"][name.as_str()];
        let meaning = sentence(object["description"].as_str().unwrap_or_default());
        writeln!(text, "### {name}\n\n{meaning}\n").unwrap();
        text.push_str(&fields(&schema, object, &mut inside));
        text.push('\n');
    }
    text
}

fn fields(schema: &Schema<'_>, object: &Value, inside: &mut BTreeSet<String>) -> String {
    let mut found = Fields::new();
    collect(schema, object, &mut found, inside);
    let rows: Vec<[String; 3]> = found
        .into_iter()
        .map(|(name, (kind, meaning))| [format!("`{name}`"), kind, meaning])
        .collect();
    table(["field", "value", "meaning"], &rows)
}

/// The fields of an object, with those that only some of its forms have.
fn collect(schema: &Schema<'_>, object: &Value, found: &mut Fields, inside: &mut BTreeSet<String>) {
    for (name, property) in object["properties"].as_object().into_iter().flatten() {
        objects_in(schema, property, inside);
        let kind = schema.kind(property);
        let meaning = sentence(property["description"].as_str().unwrap_or_default());
        match found.get_mut(name) {
            Some((other, _)) if *other != kind => *other = format!("{other} or {kind}"),
            Some(_) => {}
            None => drop(found.insert(name.clone(), (kind, meaning))),
        }
    }
    for several in ["oneOf", "anyOf", "allOf"] {
        for one in object[several].as_array().into_iter().flatten() {
            collect(schema, schema.resolve(one), found, inside);
        }
    }
}

/// The names of the objects that a value is made of.
fn objects_in(schema: &Schema<'_>, value: &Value, inside: &mut BTreeSet<String>) {
    if let Some(name) = Schema::name(value) {
        if schema.resolve(value)["properties"].is_object() {
            inside.insert(name.to_owned());
        }
        return;
    }
    if value["items"].is_object() {
        objects_in(schema, &value["items"], inside);
    }
    for several in ["oneOf", "anyOf", "allOf"] {
        for one in value[several].as_array().into_iter().flatten() {
            objects_in(schema, one, inside);
        }
    }
}
