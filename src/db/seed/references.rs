//! Checks labels and the references to them, without a database.

use std::collections::HashMap;

use super::file::{Seed, SeedContent};
use super::yaml::{Reference, ValueContent};
use crate::db::place::Place;
use crate::error::{Error, Kind, Result, nearest};

/// A row's position in the order in which rows are written: the index of the file, and the index of
/// the row in the file.
type Position = (usize, usize);

/// The rows by label and table: label → table → definition.
type Labels<'a> = HashMap<&'a str, HashMap<&'a str, Definition<'a>>>;

struct Definition<'a> {
    position: Position,
    file: &'a Seed,
    place: Place,
}

/// A table's name without the schema public, which is the default.
pub(super) fn canonical(table: &str) -> &str {
    table.strip_prefix("public.").unwrap_or(table)
}

/// Checks that the rows of a table have different labels, and that the row of every `!ref` is
/// written before the reference.
///
/// # Errors
/// `Seed`, with the place of the reference or of the second row.
pub(super) fn check(files: &[Seed]) -> Result<()> {
    let labels = labels(files)?;
    for (file_index, file) in files.iter().enumerate() {
        let SeedContent::Yaml(tables) = &file.content else { continue };
        let rows = tables.iter().flat_map(|table| &table.rows).enumerate();
        for (row_index, row) in rows {
            for (_, value) in &row.values {
                if let ValueContent::Reference(reference) = &value.content {
                    let position = (file_index, row_index);
                    check_reference(&labels, file, value.place, reference, position)?;
                }
            }
        }
    }
    Ok(())
}

fn labels(files: &[Seed]) -> Result<Labels<'_>> {
    let mut labels = Labels::new();
    for (file_index, file) in files.iter().enumerate() {
        let SeedContent::Yaml(tables) = &file.content else { continue };
        let rows = tables
            .iter()
            .flat_map(|table| table.rows.iter().map(|row| (canonical(&table.table.text), row)));
        for (row_index, (table, row)) in rows.enumerate() {
            let place = row.label.place;
            let definition = Definition { position: (file_index, row_index), file, place };
            let of_label = labels.entry(row.label.text.as_str()).or_default();
            if let Some(first) = of_label.insert(table, definition) {
                return Err(file.source.error_at(
                    Kind::Seed,
                    place,
                    format!(
                        "two rows of {table} have the label {:?}, the first in {}:{}",
                        row.label.text, first.file.source.label, first.place
                    ),
                ));
            }
        }
    }
    Ok(labels)
}

fn check_reference(
    labels: &Labels<'_>,
    file: &Seed,
    place: Place,
    reference: &Reference,
    position: Position,
) -> Result<()> {
    let label = reference.label.as_str();
    let definitions = labels.get(label).into_iter().flatten().filter(|(table, _)| {
        reference.table.as_deref().is_none_or(|wanted| canonical(wanted) == **table)
    });
    let mut later = None;
    for (_, definition) in definitions {
        if definition.position < position {
            return Ok(());
        }
        later = Some(definition);
    }
    let error = |message: String| file.source.error_at(Kind::Seed, place, message);
    Err(match later {
        Some(definition) if definition.position == position => {
            error(format!("{label:?} is the label of this row itself, which is not written yet"))
        }
        Some(definition) => error(format!(
            "the row {label:?} comes later, in {}:{}",
            definition.file.source.label, definition.place
        ))
        .hint("move that row before this one; devdb writes rows in the order of the files"),
        None => unknown(labels, reference, error),
    })
}

fn unknown(labels: &Labels<'_>, reference: &Reference, error: impl Fn(String) -> Error) -> Error {
    let label = reference.label.as_str();
    let elsewhere = labels.get(label).and_then(|tables| tables.keys().next());
    if let (Some(table), Some(elsewhere)) = (&reference.table, elsewhere) {
        return error(format!("no row of {table} has the label {label:?}"))
            .hint(format!("a row of {elsewhere} has it: !ref {elsewhere}.{label}"));
    }
    let failure = error(match &reference.table {
        Some(table) => format!("no row of {table} has the label {label:?}"),
        None => format!("no row has the label {label:?}"),
    });
    let near = nearest(
        label,
        labels
            .iter()
            .filter(|(_, tables)| {
                reference.table.as_deref().is_none_or(|table| tables.contains_key(canonical(table)))
            })
            .map(|(label, _)| *label),
    );
    match near {
        Some(near) => failure.hint(format!("did you mean {near:?}?")),
        None => failure,
    }
}
