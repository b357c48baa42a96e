//! A seed file and what it contains.

use serde::{Deserialize, Serialize};

use super::yaml::TableRows;
use crate::db::files::SourceText;

/// A seed file, without its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeedFile {
    /// The name below the seed directory: `010_a.yaml`, `dev/020_b.csv`.
    pub(super) name: String,
    pub(super) checksum: String,
    /// Whether it has a value with `!encrypt`.
    pub(super) encrypts: bool,
}

/// A seed file with its content.
#[derive(Debug)]
pub(super) struct Seed {
    pub file: SeedFile,
    pub source: SourceText,
    pub content: SeedContent,
}

/// The content of a seed file.
#[derive(Debug, Clone)]
pub(super) enum SeedContent {
    Yaml(Vec<TableRows>),
    Sql,
    /// CSV for the table that the file's name names.
    Csv(String),
}

impl SeedFile {
    /// The name below the seed directory.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The SHA-256 of the text with LF line endings, in hexadecimal.
    pub fn checksum(&self) -> &str {
        &self.checksum
    }
}
