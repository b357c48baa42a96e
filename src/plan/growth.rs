//! Which golden states another tool can go on from. Migration tools apply only what is pending, so
//! a state that was made from a part of the present files is a start, as it is for a database that
//! exists. Each new file has to come after the old ones, because a tool that applies everything
//! anew would apply the files in their order.

use std::cmp::Ordering;
use std::collections::HashSet;

use crate::engine::ToolInputs;
use crate::spec::digest;

/// What a command, and the files that it reads, mean for states that it can go on from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Growth {
    /// A digest of the command's words.
    pub words: String,
    /// The name of each file, and a digest of its name and content.
    pub files: Vec<(String, String)>,
}

impl Growth {
    /// What a state that the command makes from the state `before` says about its inputs.
    pub fn inputs(&self, before: &str) -> ToolInputs {
        ToolInputs {
            base: digest([before, &self.words]),
            files: self.files.iter().map(|(_, digest)| digest.clone()).collect(),
        }
    }

    /// Whether the command can go on from a state with the inputs `old`: since then, files were
    /// only added, and each of them comes after all old ones.
    pub fn continues(&self, before: &str, old: &ToolInputs) -> bool {
        if old.base != digest([before, &self.words]) {
            return false;
        }
        let old: HashSet<&str> = old.files.iter().map(String::as_str).collect();
        let (kept, added): (Vec<_>, Vec<_>) =
            self.files.iter().partition(|(_, digest)| old.contains(digest.as_str()));
        kept.len() == old.len()
            && added.iter().all(|(new, _)| kept.iter().all(|(old, _)| comes_after(new, old)))
    }
}

/// Whether a file comes after another one. Files without a number, such as those of Alembic, have
/// no order by name; their order is in them, and a new one is at the end.
fn comes_after(new: &str, old: &str) -> bool {
    let mut parts = new.split('/').zip(old.split('/'));
    let Some((new, old)) = parts.find(|(new, old)| new != old) else { return true };
    match (Numbered::of(new), Numbered::of(old)) {
        (Some(new), Some(old)) if new.prefix == old.prefix => new.order(&old) == Ordering::Greater,
        _ => true,
    }
}

/// A name with a number: `0001_a.sql`, `V1__a.sql`, `m20260301_000001_a.rs`.
pub(super) struct Numbered<'a> {
    prefix: &'a str,
    /// The digits, without zeros before them.
    digits: &'a str,
    rest: &'a str,
}

impl<'a> Numbered<'a> {
    pub(super) fn of(name: &'a str) -> Option<Self> {
        let digits_at = name.find(|c: char| !c.is_ascii_alphabetic())?;
        let (prefix, rest) = name.split_at(digits_at);
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (digits, rest) = rest.split_at(end);
        // `27c6a30d_add.py` begins with a digest, not with a number.
        let is_number = !digits.is_empty() && !rest.starts_with(char::is_alphanumeric);
        is_number.then(|| Numbered { prefix, digits: digits.trim_start_matches('0'), rest })
    }

    fn order(&self, other: &Self) -> Ordering {
        let digits = self.digits.len().cmp(&other.digits.len());
        digits.then(self.digits.cmp(other.digits)).then(self.rest.cmp(other.rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn growth(files: &[&str]) -> Growth {
        let file = |name: &&str| ((*name).to_owned(), format!("digest of {name}"));
        Growth { words: "words".into(), files: files.iter().map(file).collect() }
    }

    fn continues(new: &[&str], old: &[&str]) -> bool {
        growth(new).continues("before", &growth(old).inputs("before"))
    }

    #[test]
    fn added_files_at_the_end_continue_a_state_and_others_do_not() {
        let old = ["m/1_a.js", "package.json"];
        assert!(continues(&["m/1_a.js", "m/2_b.js", "package.json"], &old));
        assert!(continues(&["m/1_a.js", "m/10_b.js", "m/9_c.js", "package.json"], &old));
        assert!(!continues(&["m/0_b.js", "m/1_a.js", "package.json"], &old), "it comes before");
        assert!(!continues(&["m/2_b.js", "package.json"], &old), "one was removed");
        assert!(!continues(&["m/1_a.js", "m/2_b.js"], &old), "one was removed");
        assert!(!continues(&["m/2_b.js"], &["m/10_a.js"]), "another file");
        assert!(!continues(&["m/10_a.js", "m/2_b.js"], &["m/10_a.js"]), "2 comes before 10");
        let other = Growth { words: "others".into(), ..growth(&old) };
        assert!(!growth(&old).continues("before", &other.inputs("before")));
        assert!(!growth(&old).continues("other", &growth(&old).inputs("before")));
    }

    #[test]
    fn the_names_of_all_tools_have_their_order() {
        for (new, old, after) in [
            ("p/20260302120000_b/migration.sql", "p/20260301120000_a/migration.sql", true),
            ("p/20260301120000_a/migration.sql", "p/20260302120000_b/migration.sql", false),
            ("p/20260301120000_a/migration.sql", "p/migration_lock.toml", true),
            ("V2__b.sql", "V10__a.sql", false),
            ("V10__b.sql", "V2__a.sql", true),
            ("V10__b.sql", "R__view.sql", true),
            ("m20260301_000002_b.rs", "m20260301_000001_a.rs", true),
            ("2026-03-02-120000_b/up.sql", "2026-03-01-120000_a/up.sql", true),
            ("2026-03-01-120000_a/up.sql", "2026-03-02-120000_b/up.sql", false),
            ("27c6a30d7c24_b.py", "3512b954651e_a.py", true),
            ("Migration20260302120000.ts", "Migration20260301120000.ts", true),
            ("Migration20260228120000.ts", "Migration20260301120000.ts", false),
        ] {
            assert_eq!(comes_after(new, old), after, "{new} after {old}");
        }
    }
}
