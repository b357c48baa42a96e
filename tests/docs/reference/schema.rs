//! JSON Schema in words.

use serde_json::Value;

use super::{one_line, one_of};

/// A schema with its definitions.
pub struct Schema<'a> {
    root: &'a Value,
}

impl<'a> Schema<'a> {
    pub fn of(root: &'a Value) -> Self {
        Schema { root }
    }

    /// The name of a definition that a schema stands for.
    pub fn name(schema: &Value) -> Option<&str> {
        schema["$ref"].as_str()?.strip_prefix("#/$defs/")
    }

    /// What a reference stands for.
    pub fn resolve<'b>(&self, schema: &'b Value) -> &'b Value
    where
        'a: 'b,
    {
        Self::name(schema).map_or(schema, |name| &self.root["$defs"][name])
    }

    /// An object's fields, in the order of the schema.
    pub fn properties(&self, schema: &'a Value) -> Vec<(&'a str, &'a Value)> {
        let properties = self.resolve(schema)["properties"].as_object();
        properties.into_iter().flatten().map(|(name, value)| (name.as_str(), value)).collect()
    }

    /// What a value can be, in words.
    pub fn kind(&self, schema: &Value) -> String {
        if let Some(name) = Self::name(schema) {
            let target = &self.root["$defs"][name];
            let is_object = target["type"] == "object" || target["properties"].is_object();
            let anchor = name.to_lowercase();
            return if is_object { format!("[{name}](#{anchor})") } else { self.kind(target) };
        }
        let values: Vec<String> = values(schema).into_iter().map(|(value, _)| value).collect();
        if !values.is_empty() {
            return one_of(&values);
        }
        for several in ["anyOf", "oneOf"] {
            if let Some(kinds) = schema[several].as_array() {
                let kinds: Vec<String> = kinds.iter().map(|one| self.kind(one)).collect();
                return kinds.join(" or ");
            }
        }
        match &schema["type"] {
            Value::Array(kinds) => {
                let one = |kind: &Value| {
                    let mut one = schema.clone();
                    one["type"] = kind.clone();
                    self.kind(&one)
                };
                kinds.iter().map(one).collect::<Vec<_>>().join(" or ")
            }
            Value::String(kind) => self.plain(kind, schema),
            _ => "any".to_owned(),
        }
    }

    fn plain(&self, kind: &str, schema: &Value) -> String {
        let limit = |name: &str| schema[name].as_u64();
        match (kind, schema["format"].as_str()) {
            ("string", Some("date-time")) => "time".to_owned(),
            ("string", _) => "text".to_owned(),
            ("null", _) => "`null`".to_owned(),
            ("boolean", _) => "`true` or `false`".to_owned(),
            ("array", _) => format!("list of: {}", self.kind(&schema["items"])),
            ("object", _) => match &schema["additionalProperties"] {
                Value::Object(_) => {
                    format!("names with: {}", self.kind(&schema["additionalProperties"]))
                }
                _ => "object".to_owned(),
            },
            // Where the type of the number alone limits it, the limits say nothing.
            ("integer", _) => match (limit("minimum"), limit("maximum")) {
                (Some(least), Some(most)) if (least, most) != (0, 65535) && most != 255 => {
                    format!("number from {least} to {most}")
                }
                _ => "number".to_owned(),
            },
            (other, _) => other.to_owned(),
        }
    }
}

/// The words that a value can be, each with what it means, where only words can be.
pub fn values(schema: &Value) -> Vec<(String, String)> {
    let word = |value: &Value| value.as_str().map(str::to_owned);
    if let Some(value) = word(&schema["const"]) {
        return vec![(value, String::new())];
    }
    if let Some(values) = schema["enum"].as_array() {
        return values.iter().filter_map(word).map(|value| (value, String::new())).collect();
    }
    let several = schema["oneOf"].as_array().map(Vec::as_slice).unwrap_or_default();
    let explained = |one: &Value| {
        let text = one_line(one["description"].as_str().unwrap_or_default());
        values(one).into_iter().map(|(value, _)| (value, text.clone())).collect::<Vec<_>>()
    };
    match several.iter().all(|one| one["const"].is_string() || one["enum"].is_array()) {
        true => several.iter().flat_map(explained).collect(),
        false => Vec::new(),
    }
}
