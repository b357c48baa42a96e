//! The exit codes and the codes of errors in JSON, from the kinds of errors.

use std::collections::BTreeMap;

use devdb::error::Kind;

use super::schema::values;
use super::table;

/// Every kind of error by its exit code.
pub fn markdown() -> String {
    let explained: BTreeMap<String, String> =
        values(&schemars::schema_for!(Kind).to_value()).into_iter().collect();
    let mut kinds = Kind::ALL.to_vec();
    assert_eq!(explained.len(), kinds.len(), "Kind::ALL lists every kind");
    kinds.sort_by_key(|kind| kind.exit_code());
    let mut rows = vec![["0".into(), String::new(), "The command did what it is for.".into()]];
    rows.extend(kinds.iter().map(|kind| {
        let meaning = explained.get(kind.code()).cloned();
        let meaning = meaning.unwrap_or_else(|| panic!("{} is not the kind's name", kind.code()));
        [kind.exit_code().to_string(), format!("`{}`", kind.code()), meaning]
    }));
    table(["exit code", "code in JSON", "meaning"], &rows)
}
