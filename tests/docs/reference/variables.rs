//! The environment variables, from the table that reads them.

use super::{sentence, table};
use devdb::config::environment::{Role, VARIABLES};

/// Every variable, by what it is for.
pub fn markdown() -> String {
    let mut settings = Vec::new();
    let mut others = Vec::new();
    let mut given = Vec::new();
    for variable in VARIABLES {
        let name = format!("`{}`", variable.name);
        let default = variable.default.to_owned();
        match variable.role {
            Role::Setting(key) => settings.push([name, format!("`{key}`"), default]),
            Role::Behaviour(does) => others.push([name, sentence(&capital(does)), default]),
            Role::Given(what) => {
                let text = format!("devdb sets it: {what}");
                given.push([name, sentence(&text)]);
            }
            Role::Template(what) => {
                let text = format!("The CI files of `devdb init --ci` read it: {what}");
                given.push([name, sentence(&text)]);
            }
        }
    }
    [
        "These set what a key of devdb.yaml sets (`developer` and `instance` have no key):\n"
            .into(),
        table(["variable", "key", "default"], &settings),
        "These have no key:\n".into(),
        table(["variable", "meaning", "without it"], &others),
        "devdb itself does not read these:\n".into(),
        table(["variable", "meaning"], &given),
    ]
    .join("\n")
}

fn capital(text: &str) -> String {
    // devdb's name is written small.
    if text.starts_with("devdb ") {
        return text.to_owned();
    }
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().to_string() + chars.as_str()).unwrap_or_default()
}
