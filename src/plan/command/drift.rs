//! Finds migrations of another tool whose files changed, or are gone, after the tool applied them.
//! Most tools apply each migration once and never look at its file again, so devdb compares. Other
//! inputs, such as `package.json`, may change at any time.

use std::collections::BTreeMap;

use crate::db::tool_record::ToolRecord;
use crate::plan::growth::NumberedName;

/// The shortest digest that a tool puts before the name of a migration, as Alembic does.
const DIGEST_MIN: usize = 8;

/// The fewest digits of a directory that is a migration, as Prisma and Diesel have them.
const DIRECTORY_DIGITS_MIN: usize = 4;

/// Migrations that the database has in another form than the files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drift {
    /// The files that changed after they were applied.
    pub changed: Vec<String>,
    /// The applied files that do not exist any more.
    pub missing: Vec<String>,
}

impl Drift {
    /// Compares the inputs that were `applied` with those of `now`. Both are digests by name.
    /// `record` is what the tool itself has recorded.
    pub fn between(
        applied: &BTreeMap<String, String>,
        now: &[(String, String)],
        record: Option<&ToolRecord>,
    ) -> Drift {
        let has = Has::of(record, applied);
        let mut drift = Drift::default();
        for (name, digest) in applied.iter().filter(|(name, _)| has.applied(name)) {
            match now.iter().find(|(present, _)| present == name) {
                None => drift.missing.push(name.clone()),
                Some((_, present)) if present != digest => drift.changed.push(name.clone()),
                Some(_) => {}
            }
        }
        drift
    }

    /// What to record after the tool has run: the inputs of `now`, but a drifted migration as it
    /// was `applied`, because the tool did not apply it again.
    pub fn recorded(
        &self,
        applied: &BTreeMap<String, String>,
        now: &[(String, String)],
    ) -> BTreeMap<String, String> {
        let drifted = self.changed.iter().chain(&self.missing);
        let old = drifted.filter_map(|name| applied.get_key_value(name));
        let old = old.map(|(name, digest)| (name.clone(), digest.clone()));
        now.iter().cloned().chain(old).collect()
    }
}

/// What the database has, as far as devdb can tell.
enum Has<'a> {
    /// The migrations with these names.
    Named(&'a [String]),
    /// The migrations up to this number.
    UpTo(u128),
    /// Every migration that was there when the command ran.
    All,
}

impl<'a> Has<'a> {
    fn of(record: Option<&'a ToolRecord>, applied: &BTreeMap<String, String>) -> Has<'a> {
        match record {
            Some(ToolRecord::Applied(names)) => {
                let is_of = |name: &String| {
                    applied.keys().filter_map(|file| migration(file)).any(|id| is_named(name, id))
                };
                // A tool that records other names than those of its files tells nothing here.
                let can_tell = names.is_empty() || names.iter().any(is_of);
                if can_tell { Has::Named(names) } else { Has::All }
            }
            Some(ToolRecord::At(version)) => version.parse().map_or(Has::All, Has::UpTo),
            None => Has::All,
        }
    }

    fn applied(&self, file: &str) -> bool {
        let Some(id) = migration(file) else { return false };
        match self {
            Has::Named(names) => names.iter().any(|name| is_named(name, id)),
            Has::UpTo(version) => number(id).is_none_or(|number| number <= *version),
            Has::All => true,
        }
    }
}

/// The part of a file's name that tells migrations apart: `0001_a.sql`, or the directory
/// `20260301120000_a` of `migration.sql`. None for a file that is no migration, and for one that
/// takes a migration back.
fn migration(file: &str) -> Option<&str> {
    if file.ends_with("down.sql") {
        return None;
    }
    let mut parts = file.rsplit('/');
    let name = parts.next()?;
    if NumberedName::of(name).is_some() || has_digest(name) {
        return Some(name);
    }
    let is_dated = |directory: &&str| {
        let digits = directory.chars().take_while(char::is_ascii_digit).count();
        digits >= DIRECTORY_DIGITS_MIN && NumberedName::of(directory).is_some()
    };
    parts.next().filter(is_dated)
}

/// Whether the name begins as `27c6a30d7c24_b.py` does.
fn has_digest(name: &str) -> bool {
    name.split_once('_').is_some_and(|(digest, _)| {
        digest.len() >= DIGEST_MIN && digest.chars().all(|c| c.is_ascii_hexdigit())
    })
}

/// Whether a tool's record means the migration: by its name, with or without the ending, after the
/// name of an application or a namespace, or by its number alone.
fn is_named(recorded: &str, id: &str) -> bool {
    let stem = |text: &str| text.split('.').next().unwrap_or_default().to_owned();
    let last = recorded.rsplit(['.', '\\']).next().unwrap_or_default();
    let begins = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    stem(recorded) == stem(id)
        || last == stem(id)
        || (begins(recorded) && begins(id) && number(recorded) == number(id))
}

/// The number of a migration: `2026-03-01-120000_a` has 20260301120000.
fn number(id: &str) -> Option<u128> {
    let id = id.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    let digits = id.chars().take_while(|c| c.is_ascii_digit() || *c == '-');
    digits.filter(char::is_ascii_digit).collect::<String>().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(files: &[&str], record: Option<ToolRecord>) -> Drift {
        let old = files.iter().map(|file| ((*file).to_owned(), "old".to_owned())).collect();
        let changed = files.iter().map(|file| ((*file).to_owned(), "new".to_owned()));
        Drift::between(&old, &changed.collect::<Vec<_>>(), record.as_ref())
    }

    fn names(names: &[&str]) -> Option<ToolRecord> {
        Some(ToolRecord::Applied(names.iter().map(|name| (*name).to_owned()).collect()))
    }

    #[test]
    fn migrations_count_and_other_inputs_do_not() {
        let files = [
            "db/migrate/20260301120000_a.rb",
            "m/2026-03-01-120000_a/down.sql",
            "m/2026-03-01-120000_a/up.sql",
            "migrate.sh",
            "package.json",
            "prisma/migrations/20260301120000_a/migration.sql",
            "prisma/schema.prisma",
            "sql/R__view.sql",
            "sql/V1__a.sql",
            "v2/settings.json",
            "versions/27c6a30d7c24_b.py",
        ];
        assert_eq!(
            between(&files, None).changed,
            [files[0], files[2], files[5], files[8], files[10]]
        );
    }

    #[test]
    fn a_migration_that_the_tool_took_back_does_not_count() {
        let files = ["m/0001_a.sql", "m/0002_b.sql"];
        for record in [
            names(&["0001_a"]),
            names(&["0001_a.sql"]),
            names(&["app.0001_a"]),
            names(&["1"]),
            names(&["1 (a)"]),
            Some(ToolRecord::At("1".into())),
        ] {
            assert_eq!(between(&files, record.clone()).changed, files[..1], "{record:?}");
        }
        assert_eq!(between(&files, names(&[])).changed, Vec::<String>::new());
        assert_eq!(between(&files, names(&["create table a"])).changed, files);
        let diesel = ["m/2026-03-01-120000_a/up.sql", "m/2026-03-02-120000_b/up.sql"];
        assert_eq!(between(&diesel, names(&["20260301120000"])).changed, diesel[..1]);
    }

    #[test]
    fn what_was_applied_stays_recorded_until_the_file_is_as_it_was() {
        let text = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(name, digest)| ((*name).into(), (*digest).into())).collect()
        };
        let old: BTreeMap<_, _> =
            text(&[("1_a.sql", "a"), ("2_b.sql", "b"), ("x.js", "x")]).into_iter().collect();
        let now = text(&[("1_a.sql", "A"), ("3_c.sql", "c"), ("x.js", "X")]);
        let drift = Drift::between(&old, &now, None);
        assert_eq!(drift.changed, ["1_a.sql"]);
        assert_eq!(drift.missing, ["2_b.sql"]);
        let recorded = drift.recorded(&old, &now);
        let expected = text(&[("1_a.sql", "a"), ("2_b.sql", "b"), ("3_c.sql", "c"), ("x.js", "X")]);
        assert_eq!(recorded, expected.into_iter().collect());
        let back = text(&[("1_a.sql", "a"), ("2_b.sql", "b")]);
        assert_eq!(Drift::between(&recorded, &back, None).changed, Vec::<String>::new());
    }
}
