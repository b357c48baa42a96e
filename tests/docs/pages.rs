//! Every page of the manual, run from its top to its bottom.

use std::collections::VecDeque;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::page::{self, Block, Step};
use crate::session::Session;
use crate::{EDITING, compare, root, say, updating};

/// How many pages are run at a time: each waits on its server most of the time.
const AT_A_TIME: usize = 3;

#[test]
fn pages() {
    if !native_engine() {
        return;
    }
    let pages = Mutex::new(manual());
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let Some(path) = pages.lock().unwrap().pop_front() else { break };
                    failures.lock().unwrap().extend(check(&path));
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(
        failures.is_empty(),
        "\n{}\nWhere the page is wrong, this writes what the commands print into it:\n  \
         DEVDB_DOCS_UPDATE=1 cargo test --test docs pages\n",
        failures.join("\n")
    );
}

/// Whether there are server programs. What cannot run says so, and fails in CI.
fn native_engine() -> bool {
    if Path::new("/usr/lib/postgresql/15/bin/postgres").exists() {
        return true;
    }
    let promised = std::env::var_os("DEVDB_TEST_NATIVE").is_some();
    assert!(!promised && std::env::var_os("CI").is_none(), "docs: native cannot be used");
    say("SKIPPED: docs: native cannot be used here");
    false
}

/// README.md and docs/*.md, or the one page that `DEVDB_DOCS_PAGE` names.
fn manual() -> VecDeque<PathBuf> {
    if let Some(page) = std::env::var_os("DEVDB_DOCS_PAGE") {
        let page = root().join(page);
        assert!(page.exists(), "there is no {}", page.display());
        return VecDeque::from([page]);
    }
    let mut pages: Vec<PathBuf> = std::fs::read_dir(root().join("docs"))
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    pages.sort();
    pages.insert(0, root().join("README.md"));
    pages.into()
}

/// Runs one page, or rewrites it; returns what is wrong with it.
fn check(path: &Path) -> Vec<String> {
    let shown = path.strip_prefix(root()).unwrap_or(path).display().to_string();
    // The other test that writes to a page has this one.
    let is_shared = path.ends_with("reference.md");
    let _editing = (updating() && is_shared).then(|| EDITING.lock().unwrap());
    let text = std::fs::read_to_string(path).unwrap();
    let blocks = match page::blocks(&text) {
        Ok(blocks) => blocks,
        Err(problem) => return vec![format!("{shown}: {problem}")],
    };
    if !blocks.iter().any(|block| matches!(block, Block::Step(_))) {
        return Vec::new();
    }
    let peers = match needs_peers(&blocks) {
        false => None,
        true => match peers(&shown) {
            Some(peers) => Some(peers),
            None => return Vec::new(),
        },
    };
    let run = run(&blocks, Session::open(peers), &shown);
    if updating() {
        let text_now = page::rewritten(&text, &run.refreshed);
        if text_now != text {
            std::fs::write(path, text_now).unwrap();
            say(&format!("{shown} was rewritten"));
        }
        return run.broken;
    }
    run.broken.into_iter().chain(run.wrong).collect()
}

/// What became of a page.
#[derive(Default)]
pub struct Run<'a> {
    /// Commands that print something else, with both.
    pub wrong: Vec<String>,
    /// What they are to say.
    pub refreshed: Vec<(&'a Step, Vec<String>)>,
    /// What no new text of the page mends.
    pub broken: Vec<String>,
}

/// Runs the blocks of a page in one session.
pub fn run<'a>(blocks: &'a [Block], mut session: Session, shown: &str) -> Run<'a> {
    let mut run = Run::default();
    for block in blocks {
        let step = match block {
            Block::Step(step) => step,
            Block::File { name, text } => {
                session.write(name, text);
                continue;
            }
        };
        let place = format!("{shown}:{}", step.line);
        match session.run(&step.command) {
            Err(problem) => {
                run.broken.push(format!("{place}: $ {}\n  {problem}\n", step.command));
                break;
            }
            Ok(actual) if compare::matches(&step.expected, &actual) => {}
            Ok(actual) => {
                let mut text = format!("{place}: $ {}\n", step.command);
                write!(text, "{}", compare::side_by_side(&step.expected, &actual)).unwrap();
                run.wrong.push(text);
                run.refreshed.push((step, compare::refreshed(&step.expected, &actual)));
            }
        }
    }
    let left = session.close();
    run.broken.extend(left.into_iter().map(|problem| format!("{shown}: left behind: {problem}")));
    run
}

/// Whether a page uses other people's migration tools.
fn needs_peers(blocks: &[Block]) -> bool {
    let tools = ["npm", "npx", "node_modules", "dbmate", "node-pg-migrate", "sqlx"];
    blocks.iter().any(|block| match block {
        Block::Step(step) => tools.iter().any(|tool| step.command.contains(tool)),
        Block::File { text, .. } => tools.iter().any(|tool| text.contains(tool)),
    })
}

/// Where the tools are; `tests/run` installs them.
fn peers(page: &str) -> Option<PathBuf> {
    let directory = match std::env::var_os("DEVDB_TEST_PEERS") {
        Some(directory) => PathBuf::from(directory),
        None => root().join("target/peers"),
    };
    if ["npm/node_modules", "bin/sqlx"].iter().all(|tool| directory.join(tool).exists()) {
        return Some(directory);
    }
    assert!(std::env::var_os("CI").is_none(), "{page}: the tools are not installed");
    say(&format!("SKIPPED: {page}: the tools are not here (tests/run installs them)"));
    None
}
