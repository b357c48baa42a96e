//! What only psql can do: its own commands, and writing down the rows of a COPY.

use super::files::SourceText;
use super::place::Place;
use super::sql_scan::{PsqlCommand, Scan};
use crate::error::{Error, Kind};

/// One error for each thing in a file that only psql can do. A command that occurs several times
/// counts once.
pub(super) fn refused(source: &SourceText, kind: Kind, scan: &Scan<'_>) -> Vec<Error> {
    let at = |offset: usize, message: &str| {
        source.error_at(kind, Place::of_byte(&source.text, offset), message)
    };
    let mut names = Vec::new();
    let mut failures = Vec::new();
    for command in scan.commands.iter().filter(|command| !command.is_harmless()) {
        if names.contains(&command.name) {
            continue;
        }
        names.push(command.name);
        let message =
            format!("\\{} is a command of psql; the server does not know it", command.name);
        failures.push(at(command.start, &message).hint(way_out(command)));
    }
    let copies = scan.statements.iter().filter(|statement| statement.copies_out());
    failures.extend(copies.take(1).map(|copy| {
        at(copy.start, "COPY … TO STDOUT prints rows, which only psql can do")
            .hint("remove the COPY … TO STDOUT")
    }));
    failures
}

/// What to write in place of a command.
fn way_out(command: &PsqlCommand<'_>) -> &'static str {
    match command.name {
        "c" | "connect" => {
            "remove \\connect: devdb is connected to the project's database, as its owner"
        }
        "i" | "include" | "ir" | "include_relative" => {
            "replace \\i by the text of that file, or make that file one of this directory"
        }
        "copy" => "replace \\copy by COPY … FROM stdin; with the rows below it and a last line \\.",
        "g" | "gx" | "gset" | "gexec" | "gdesc" => "end the statement with a semicolon",
        "set" | "unset" | "getenv" | "prompt" => "write the values themselves into the statements",
        "if" | "elif" | "else" | "endif" => {
            "write the condition in SQL: DO $$ BEGIN IF … END IF; END $$"
        }
        "!" | "o" | "out" | "w" | "write" | "lo_import" | "lo_export" => {
            "leave this to a script that runs after devdb up"
        }
        "." => "remove the \\., or the blank line or statement between it and its COPY",
        _ => "remove the psql commands that only change what psql prints",
    }
}
