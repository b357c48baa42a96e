//! Converts YAML values to JSON and to PostgreSQL's array literals.

use serde_json::Value;

use super::tree::{Node, NodeContent, duplicate};
use crate::db::place::Place;

/// A value that cannot be converted, with its place.
pub(super) struct CannotConvert {
    pub place: Place,
    pub message: String,
}

type Converted<T> = Result<T, CannotConvert>;

/// Converts a value to JSON text. Unquoted values have the types of YAML's core schema. A number
/// that JSON can write in the same way keeps its digits.
pub(super) fn to_json(node: &Node) -> Converted<String> {
    untagged(node)?;
    match &node.content {
        NodeContent::Scalar { text, plain: true } => scalar(node, text),
        NodeContent::Scalar { text, .. } => Ok(quoted(text)),
        NodeContent::Sequence(items) => {
            let items: Vec<String> = items.iter().map(to_json).collect::<Converted<_>>()?;
            Ok(format!("[{}]", items.join(",")))
        }
        NodeContent::Mapping(pairs) => {
            if let Some((key, first)) = duplicate(pairs) {
                return Err(CannotConvert {
                    place: key.place,
                    message: format!(
                        "the key {:?} occurs twice, first on line {}",
                        key.text, first.line
                    ),
                });
            }
            let pairs: Vec<String> = pairs
                .iter()
                .map(|(key, value)| Ok(format!("{}:{}", quoted(&key.text), to_json(value)?)))
                .collect::<Converted<_>>()?;
            Ok(format!("{{{}}}", pairs.join(",")))
        }
    }
}

/// Converts a list to an array literal (PostgreSQL's manual, 8.15). Lists in it become dimensions
/// of the array, and mappings in it become JSON.
pub(super) fn to_array(items: &[Node]) -> Converted<String> {
    let items: Vec<String> = items
        .iter()
        .map(|item| {
            untagged(item)?;
            match &item.content {
                _ if item.is_null() => Ok("NULL".to_owned()),
                NodeContent::Sequence(items) => to_array(items),
                NodeContent::Scalar { text, .. } => Ok(array_element(text)),
                NodeContent::Mapping(_) => Ok(array_element(&to_json(item)?)),
            }
        })
        .collect::<Converted<_>>()?;
    Ok(format!("{{{}}}", items.join(",")))
}

fn array_element(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn untagged(node: &Node) -> Converted<()> {
    match &node.tag {
        None => Ok(()),
        Some(tag) => Err(CannotConvert {
            place: node.place,
            message: format!("{tag} must be the whole value of a column, not a part of it"),
        }),
    }
}

fn scalar(node: &Node, text: &str) -> Converted<String> {
    if node.is_null() {
        return Ok("null".to_owned());
    }
    match text {
        "true" | "True" | "TRUE" => return Ok("true".to_owned()),
        "false" | "False" | "FALSE" => return Ok("false".to_owned()),
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "-.inf" => {
            return Err(CannotConvert {
                place: node.place,
                message: format!("JSON has no number {text}"),
            });
        }
        _ => {}
    }
    if is_json_number(text) {
        return Ok(text.to_owned());
    }
    let radix = |prefix: &str, radix| {
        text.strip_prefix(prefix).and_then(|digits| u64::from_str_radix(digits, radix).ok())
    };
    if let Some(number) = radix("0x", 16).or_else(|| radix("0o", 8)) {
        return Ok(number.to_string());
    }
    // The core schema allows other forms of numbers, too: +5, 007, .5, 5.
    let is_number = text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'+' | b'-' | b'e' | b'E'));
    let number = if is_number { number(text) } else { None };
    Ok(number.map_or_else(|| quoted(text), |number| number.to_string()))
}

fn number(text: &str) -> Option<Value> {
    if let Ok(integer) = text.parse::<i64>() {
        return Some(Value::from(integer));
    }
    serde_json::Number::from_f64(text.parse().ok()?).map(Value::Number)
}

fn is_json_number(text: &str) -> bool {
    text.starts_with(|c: char| c == '-' || c.is_ascii_digit())
        && serde_json::from_str::<serde_json::Number>(text).is_ok()
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::files::SourceText;
    use crate::db::seed::tree;

    fn node(text: &str) -> Node {
        let source = SourceText { label: "a.yaml".into(), text: text.to_owned() };
        tree::parse(&source).unwrap().unwrap()
    }

    fn json(text: &str) -> String {
        match to_json(&node(text)) {
            Ok(json) => json,
            Err(error) => format!("{}: {}", error.place, error.message),
        }
    }

    #[test]
    fn scalars_have_the_types_of_the_core_schema() {
        let flow = "[1, -1.50, 1e5, 0x1F, +5, 007, .5, 1.2.3, 2026-01-05, true, False, null, ~, \
                    yes, '5', !!str 5, \"a\\nb\", 12345678901234567890123]";
        assert_eq!(
            json(flow),
            r#"[1,-1.50,1e5,31,5,7,0.5,"1.2.3","2026-01-05",true,false,null,null,"yes","5","5","a\nb",12345678901234567890123]"#
        );
        assert_eq!(json("a: {b: [], c: {}}\n\"d e\": ñ"), r#"{"a":{"b":[],"c":{}},"d e":"ñ"}"#);
    }

    #[test]
    fn values_without_a_json_form_are_refused() {
        assert_eq!(json("a: .inf"), "1:4: JSON has no number .inf");
        assert_eq!(json("a: {b: 1, b: 2}"), "1:11: the key \"b\" occurs twice, first on line 1");
        assert_eq!(
            json("a:\n  - !ref b"),
            "2:5: !ref must be the whole value of a column, not a part of it"
        );
    }

    #[test]
    fn lists_become_array_literals() {
        let array = |text: &str| match node(text).content {
            NodeContent::Sequence(items) => to_array(&items).ok().unwrap(),
            _ => panic!("not a list"),
        };
        assert_eq!(
            array(r#"[a b, 'c"\d', null, 'null', 007]"#),
            r#"{"a b","c\"\\d",NULL,"null","007"}"#
        );
        assert_eq!(array("[[1, 2], [3, 4]]"), r#"{{"1","2"},{"3","4"}}"#);
        assert_eq!(array("[{a: 1}]"), r#"{"{\"a\":1}"}"#);
        assert_eq!(array("[]"), "{}");
    }
}
