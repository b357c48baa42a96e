//! YAML's own tags on single values: the core schema of YAML 1.2 (chapter 10.3), and `!!binary` of
//! YAML 1.1's type repository.

/// The name of the tag for bytes in base64.
pub(super) const BINARY: &str = "binary";

/// Whether a value with this tag means what the same text means without quotes: `!!int "5"` is the
/// number 5, and `!!str 5` is text.
///
/// # Errors
/// A message when the text is no value of the type, or devdb does not know the type.
pub(super) fn is_plain(name: &str, text: &str) -> Result<bool, String> {
    let is_valid = match name {
        "str" | BINARY => return Ok(false),
        "null" => matches!(text, "" | "~" | "null" | "Null" | "NULL"),
        "bool" => matches!(text, "true" | "True" | "TRUE" | "false" | "False" | "FALSE"),
        "int" => is_integer(text),
        "float" => is_float(text),
        _ => {
            return Err(format!(
                "devdb does not know the tag !!{name}; it knows !!str, !!null, !!bool, !!int, \
                 !!float and !!{BINARY}"
            ));
        }
    };
    if is_valid { Ok(true) } else { Err(format!("{text:?} is no value of the type !!{name}")) }
}

fn is_integer(text: &str) -> bool {
    let of_radix = |prefix: &str, radix| {
        text.strip_prefix(prefix).is_some_and(|digits| {
            !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix))
        })
    };
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_decimal = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_decimal || of_radix("0x", 16) || of_radix("0o", 8)
}

fn is_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    match unsigned {
        ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN" => true,
        _ => {
            let allowed = |byte: u8| byte.is_ascii_digit() || b".eE+-".contains(&byte);
            unsigned.bytes().all(allowed) && text.parse::<f64>().is_ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_says_what_a_text_is() {
        for (name, text, expected) in [
            ("str", "5", Some(false)),
            (BINARY, "AAE=", Some(false)),
            ("null", "", Some(true)),
            ("null", "none", None),
            ("bool", "True", Some(true)),
            ("bool", "yes", None),
            ("int", "-5", Some(true)),
            ("int", "0x1F", Some(true)),
            ("int", "5.0", None),
            ("int", "", None),
            ("float", "1e5", Some(true)),
            ("float", "-.inf", Some(true)),
            ("float", "infinity", None),
            ("float", "", None),
            ("set", "a", None),
        ] {
            assert_eq!(is_plain(name, text).ok(), expected, "!!{name} {text:?}");
        }
    }
}
