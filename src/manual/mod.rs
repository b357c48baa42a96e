//! The manual: the pages of `docs/`, and their two renderings, for a terminal and for man.

mod markdown;
mod roff;
mod text;

use crate::embedded::DOCS;

pub use roff::roff;
pub use text::text;

/// The pages that have the name of a command. `devdb help NAME` shows the command.
pub const NAMED_AS_COMMANDS: [&str; 2] = ["cache", "start"];

/// A page of the manual.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// Its name: `seeds` for `docs/seeds.md`.
    pub name: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// Its text, in Markdown.
    pub markdown: &'static str,
}

/// The pages in the order of `docs/SUMMARY.md`.
pub fn pages() -> Vec<Page> {
    let summary = DOCS.get_file("SUMMARY.md").and_then(|file| file.contents_utf8()).unwrap_or("");
    let mut pages: Vec<Page> = DOCS
        .files()
        .filter(|file| file.path().extension().is_some_and(|extension| extension == "md"))
        .filter_map(|file| {
            let name = file.path().file_stem()?.to_str()?;
            let markdown = file.contents_utf8()?;
            let heading = markdown.lines().find_map(|line| line.strip_prefix("# "));
            Some(Page { name, title: heading.unwrap_or(name).trim(), markdown })
        })
        .filter(|page| page.name != "SUMMARY")
        .collect();
    // A page that the summary does not name comes last.
    pages.sort_by_key(|page| {
        (summary.find(&format!("({}.md)", page.name)).unwrap_or(usize::MAX), page.name)
    });
    pages
}

/// What to type to see a page.
pub fn command_for(name: &str) -> String {
    match NAMED_AS_COMMANDS.contains(&name) {
        true => format!("devdb help --page {name}"),
        false => format!("devdb help {name}"),
    }
}
