//! The options that every command takes.

use std::path::PathBuf;

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};

/// What every command takes.
#[derive(Debug, Args, Clone, Default)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Run as if devdb were started in DIR
    #[arg(short = 'C', long, global = true, value_name = "DIR")]
    pub directory: Option<PathBuf>,

    /// Use the database of this developer [default: DEVDB_DEVELOPER, else the OS user]
    #[arg(long, global = true, value_name = "NAME")]
    pub developer: Option<String>,

    /// Use the developer's database of this name [default: main]
    #[arg(long, global = true, value_name = "NAME")]
    pub instance: Option<String>,

    /// Print results as text for people or as one JSON document
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value = "human")]
    pub output: Format,

    /// Print results as JSON, like --output json
    #[arg(long, global = true, conflicts_with = "output")]
    pub json: bool,

    /// Print only the result, warnings and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,

    /// Print every step
    #[arg(short, long, global = true)]
    pub verbose: bool,
}

impl Global {
    /// The output format, with the short form of JSON.
    pub fn format(&self) -> Format {
        if self.json { Format::Json } else { self.output }
    }
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Text for people.
    #[default]
    Human,
    /// One JSON document with a schema version.
    Json,
}

/// Not derived: help texts on the values would make clap spread `devdb --help` over twice the lines.
impl ValueEnum for Format {
    fn value_variants<'a>() -> &'a [Self] {
        &[Format::Human, Format::Json]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Format::Human => "human",
            Format::Json => "json",
        }))
    }
}
