//! The manual is true: every console block of README.md and docs/ is run, and the generated parts
//! of docs/reference.md are compared with the code.
//!
//! ```text
//! cargo test --test docs                                                  all of it
//! DEVDB_DOCS_PAGE=docs/start.md cargo test --test docs pages              one page
//! DEVDB_DOCS_UPDATE=1 cargo test --test docs                              write what is true into the pages
//! ```
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod compare;
mod harness;
mod page;
mod pages;
mod redact;
mod reference;
mod session;

use std::io::Write;
use std::path::Path;
use std::sync::Mutex;

/// Held while a page is rewritten that two tests write to.
static EDITING: Mutex<()> = Mutex::new(());

/// The repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Whether pages are to be rewritten rather than compared.
fn updating() -> bool {
    std::env::var("DEVDB_DOCS_UPDATE").is_ok_and(|value| !value.is_empty() && value != "0")
}

/// A line that is seen also when the test passes.
fn say(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}
