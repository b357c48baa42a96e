//! One devdb.yaml or devdb.local.yaml: every value as the text that stands in the file, and its
//! place.
//!
//! The table [`KEYS`] says which keys there are and what shape each value has. What a text means is
//! decided in [`super::values`], in the same way for files, variables and flags: `15.10` stays
//! `15.10` here, and `on` stays `on`.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use saphyr::{MarkedYaml, ScalarStyle, ScanError, YamlData, YamlLoader};
use saphyr_parser::{BufferedInput, Parser};

use super::Origin;
use super::keys::{self, KEYS, SECTIONS, Shape};
use super::place::{self, Place, Source};
use super::values::Problem;
use crate::error::{Error, Kind, Result, nearest};

/// A single value as it is written.
#[derive(Debug, Clone)]
pub struct Text {
    /// The text, without quotes.
    pub text: String,
    /// Where it stands.
    pub place: Place,
}

/// A list of single values.
#[derive(Debug)]
pub struct List {
    /// Where it begins.
    pub place: Place,
    /// Its items.
    pub items: Vec<Text>,
}

/// One of `postgres.settings`.
#[derive(Debug)]
pub struct ServerSetting {
    /// Its name as written.
    pub name: String,
    /// Its value; none when there is nothing behind the colon.
    pub value: Option<String>,
    /// Where the value stands.
    pub place: Place,
}

/// One file.
#[derive(Debug)]
pub struct Document {
    path: PathBuf,
    source: Source,
    values: Values,
}

/// What stands in a file, by the names in [`KEYS`].
#[derive(Debug, Default)]
struct Values {
    texts: BTreeMap<&'static str, Text>,
    lists: BTreeMap<&'static str, List>,
    settings: Vec<ServerSetting>,
}

impl Document {
    /// Reads a file. `shown` is its path for people.
    ///
    /// # Errors
    /// `Config` when the file cannot be read, is not UTF-8 or not YAML, has a key that devdb does
    /// not know, a key twice, or a value of the wrong shape.
    pub fn read(path: &Path, shown: String) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|error| unreadable(&shown, &error))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
            Error::new(Kind::Config, format!("{shown}:{line}: the file is not UTF-8"))
                .hint("save it as UTF-8")
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned();
        let source = Source { shown, text };
        let values = Reader { source: &source, values: Values::default() }.read()?;
        Ok(Document { path: path.to_owned(), source, values })
    }

    /// The single value of a key.
    pub fn text(&self, key: &str) -> Option<&Text> {
        self.values.texts.get(key)
    }

    /// The list of a key.
    pub fn list(&self, key: &str) -> Option<&List> {
        self.values.lists.get(key)
    }

    /// `postgres.settings`.
    pub fn settings(&self) -> &[ServerSetting] {
        &self.values.settings
    }

    /// The origin of the value at a place of this file.
    pub fn origin(&self, place: Place) -> Origin {
        Origin::File { path: self.path.clone(), line: place.line }
    }

    /// The error for a value of this file that cannot be used.
    pub fn error(&self, key: &str, place: Place, problem: &Problem) -> Error {
        self.source.error(place, &format!("{key}: {}", problem.what)).hint(&problem.hint)
    }
}

fn unreadable(shown: &str, error: &std::io::Error) -> Error {
    let failure = Error::new(Kind::Config, format!("cannot read {shown}")).because(error);
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => failure.hint(format!("chmod u+r {shown}")),
        std::io::ErrorKind::IsADirectory => {
            failure.hint("devdb.yaml must be a file: move the directory away")
        }
        std::io::ErrorKind::NotFound => {
            failure.hint(format!("rm {shown}   (it is a link to a file that does not exist)"))
        }
        _ => failure,
    }
}

/// A key of the file, and the value behind it.
type Entry<'n> = (Text, &'n MarkedYaml<'n>);

/// Goes through a file from the top.
struct Reader<'a> {
    source: &'a Source,
    values: Values,
}

impl Reader<'_> {
    fn read(mut self) -> Result<Values> {
        let documents = load(&self.source.text).map_err(|error| syntax(self.source, &error))?;
        match documents.as_slice() {
            [] => {}
            [document] => self.section("", "keys with values, like `engine: docker`", document)?,
            _ => return Err(another_document(self.source)),
        }
        Ok(self.values)
    }

    /// Reads the keys below `section`, or all of the file (`""`).
    fn section(&mut self, section: &str, expected: &str, node: &MarkedYaml<'_>) -> Result<()> {
        if is_null(node) {
            return Ok(());
        }
        for (key, value) in self.entries(section, expected, node)? {
            let path = if section.is_empty() {
                key.text.clone()
            } else {
                format!("{section}.{}", key.text)
            };
            if let Some((name, example)) = SECTIONS.iter().find(|(name, _)| *name == path) {
                self.section(name, &format!("keys below it, like `{example}`"), value)?;
                continue;
            }
            let Some(known) = keys::key(&path).filter(|key| key.shape != Shape::NotInFile) else {
                return Err(self.unknown_key(section, &path, &key));
            };
            self.value(known, value)?;
        }
        Ok(())
    }

    /// Reads the value of a known key. A key with nothing behind it counts as missing.
    fn value(&mut self, key: &'static keys::Key, node: &MarkedYaml<'_>) -> Result<()> {
        if is_null(node) {
            return Ok(());
        }
        match key.shape {
            Shape::Text => {
                let text = self.text(key.name, node)?;
                self.values.texts.insert(key.name, text);
            }
            Shape::List => {
                let YamlData::Sequence(items) = data(node) else {
                    return Err(self.wrong_shape(key.name, "a list", node));
                };
                let items = items.iter().enumerate();
                let items = items.map(|(index, item)| {
                    let path = format!("{}.{index}", key.name);
                    let text = self.text(&path, item)?;
                    // A word may be `null`; an item with nothing behind its dash is a slip.
                    match text.text.is_empty() && is_null(item) {
                        true => Err(self.wrong_shape(&path, "a single value", item)),
                        false => Ok(text),
                    }
                });
                let items = items.collect::<Result<_>>()?;
                self.values.lists.insert(key.name, List { place: place::of(node), items });
            }
            Shape::Settings => {
                let mut seen = HashSet::new();
                for (name, value) in self.entries(key.name, "keys with values", node)? {
                    // PostgreSQL's names of settings are the same in capitals.
                    if !seen.insert(name.text.to_ascii_lowercase()) {
                        return Err(twice(self.source, name.place, &name.text));
                    }
                    let path = format!("{}.{}", key.name, name.text);
                    let text = self.text(&path, value)?;
                    self.values.settings.push(ServerSetting {
                        name: name.text,
                        value: (!is_null(value)).then_some(text.text),
                        place: text.place,
                    });
                }
            }
            Shape::NotInFile => {}
        }
        Ok(())
    }

    fn text(&self, path: &str, node: &MarkedYaml<'_>) -> Result<Text> {
        match data(node) {
            YamlData::Representation(text, ..) => {
                Ok(Text { text: text.clone().into_owned(), place: place::of(node) })
            }
            _ => Err(self.wrong_shape(path, "a single value", node)),
        }
    }

    fn entries<'n>(
        &self,
        path: &str,
        expected: &str,
        node: &'n MarkedYaml<'n>,
    ) -> Result<Vec<Entry<'n>>> {
        let YamlData::Mapping(pairs) = data(node) else {
            return Err(self.wrong_shape(path, expected, node));
        };
        let mut seen = HashSet::new();
        let entry = |(key, value): (&'n MarkedYaml<'n>, &'n MarkedYaml<'n>)| {
            let key = self.text("a key", key)?;
            // The loader sees `a` and `"a"` as two keys.
            if !seen.insert(key.text.clone()) {
                return Err(twice(self.source, key.place, &key.text));
            }
            Ok((key, value))
        };
        pairs.iter().map(entry).collect()
    }

    fn wrong_shape(&self, path: &str, expected: &str, node: &MarkedYaml<'_>) -> Error {
        let name = if path.is_empty() { "this" } else { path };
        let found = describe(node);
        let what = format!("{name} is {found}, expected {expected}");
        let failure = self.source.error(place::of(node), &what);
        match path.rsplit_once('.') {
            Some((_, "command")) => failure.hint("one word an item: [npm, run, \"db:migrate\"]"),
            Some((_, "inputs")) => failure.hint("one glob an item: [\"migrations/**\"]"),
            _ => failure.hint("devdb config schema   describes every key"),
        }
    }

    fn unknown_key(&self, section: &str, path: &str, key: &Text) -> Error {
        let known = keys::names_in(section);
        let failure = self.source.error(key.place, &format!("unknown key {path:?}"));
        if let Some(meant) = nearest(&key.text, known.iter().copied()) {
            return failure.hint(format!("did you mean {meant}?"));
        }
        let elsewhere = KEYS.iter().filter_map(|key| Some((key.name, key.name.split_once('.')?)));
        for (name, (section, last)) in elsewhere {
            if last == key.text {
                return failure.hint(format!("{name} is a key: indent it below `{section}:`"));
            }
        }
        failure.hint(format!("known here: {}", known.join(", ")))
    }
}

/// Parses YAML and leaves every single value as it is written.
fn load(text: &str) -> Result<Vec<MarkedYaml<'_>>, ScanError> {
    let mut loader = YamlLoader::default();
    loader.early_parse(false);
    Parser::new(BufferedInput::new(text.chars())).load(&mut loader, true)?;
    match loader.error() {
        Some(error) => Err(error.clone()),
        None => Ok(loader.into_documents()),
    }
}

/// What a node holds, whatever its tag.
fn data<'n>(node: &'n MarkedYaml<'n>) -> &'n YamlData<'n, MarkedYaml<'n>> {
    match &node.data {
        YamlData::Tagged(_, node) => data(node),
        data => data,
    }
}

/// Whether a node is YAML's null: nothing, `~` or `null`, without quotes.
fn is_null(node: &MarkedYaml<'_>) -> bool {
    matches!(&node.data, YamlData::Representation(text, ScalarStyle::Plain, None)
        if matches!(&**text, "" | "~" | "null" | "Null" | "NULL"))
}

/// What a node is, for people.
fn describe(node: &MarkedYaml<'_>) -> String {
    match data(node) {
        YamlData::Sequence(_) => "a list".to_owned(),
        YamlData::Mapping(_) => "a mapping".to_owned(),
        YamlData::Representation(..) if is_null(node) => "nothing".to_owned(),
        YamlData::Representation(text, style, _) => {
            let is_number = *style == ScalarStyle::Plain && text.parse::<f64>().is_ok();
            if is_number { format!("the number {text}") } else { format!("the string {text:?}") }
        }
        _ => "no value that devdb can read".to_owned(),
    }
}

/// The error for text that is not YAML.
fn syntax(source: &Source, error: &ScanError) -> Error {
    let mark = error.marker();
    let place = Place::at(mark.line(), mark.col() + 1);
    if error.info().starts_with("duplicated key") {
        let line = source.text.lines().nth(place.line - 1).unwrap_or_default();
        let key: String = line.chars().skip(place.column - 1).take_while(|c| *c != ':').collect();
        return twice(source, Place { width: key.chars().count().max(1), ..place }, key.trim());
    }
    let failure = source.error(place, &format!("this is not YAML: {}", error.info()));
    match source.text.lines().position(is_indented_by_tab) {
        Some(line) => {
            failure.hint(format!("line {} is indented with a tab; YAML wants spaces", line + 1))
        }
        None => failure.hint("check the indentation, quotes and brackets there and just above"),
    }
}

fn is_indented_by_tab(line: &str) -> bool {
    line.chars().take_while(|c| c.is_whitespace()).any(|c| c == '\t') && !line.trim().is_empty()
}

fn twice(source: &Source, place: Place, key: &str) -> Error {
    source.error(place, &format!("the key {key:?} is there twice")).hint("keep one of the two")
}

fn another_document(source: &Source) -> Error {
    let begins = source.text.lines().enumerate().filter(|(_, line)| line.starts_with("---"));
    let line = begins.last().map_or(1, |(index, _)| index + 1);
    source
        .error(Place::at(line, 1), "another document begins")
        .hint("devdb reads only one document: remove ---")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A real file would not do: root runs the tests in CI and can read every file.
    #[test]
    fn an_unreadable_file_says_how_to_make_it_readable() {
        let error = unreadable("devdb.yaml", &std::io::ErrorKind::PermissionDenied.into());
        assert_eq!(error.kind(), Kind::Config);
        assert_eq!(error.message(), "cannot read devdb.yaml");
        assert_eq!(error.hints(), ["chmod u+r devdb.yaml"]);
    }

    fn read(text: &str) -> Result<Values> {
        let source = Source { shown: "devdb.yaml".into(), text: text.into() };
        Reader { source: &source, values: Values::default() }.read()
    }

    #[test]
    fn every_value_has_its_text_and_its_place() {
        let values = read(
            "postgres:\r\n  version: 015\r\n  extensions: [x, yy]\r\n  \
             settings: {jit: on, a: }\r\n",
        )
        .unwrap();
        let version = &values.texts["postgres.version"];
        assert_eq!(version.text, "015");
        assert_eq!(version.place, Place { line: 2, column: 12, width: 3 });
        let item = &values.lists["postgres.extensions"].items[1];
        assert_eq!((item.text.as_str(), item.place.column, item.place.width), ("yy", 19, 2));
        let settings: Vec<_> =
            values.settings.iter().map(|one| (one.name.as_str(), one.value.as_deref())).collect();
        assert_eq!(settings, [("jit", Some("on")), ("a", None)]);
    }

    #[test]
    fn aliases_and_quoted_keys_are_read() {
        let values = read("project: &p shop\npostgres: {database: *p}\n").unwrap();
        assert_eq!(values.texts["postgres.database"].text, "shop");
        let error = read("engine: auto\n\"engine\": native\n").unwrap_err();
        assert!(error.message().contains("2:1: the key \"engine\" is there twice"), "{error}");
        assert!(read("&a [*a]\n").is_err());
    }
}
