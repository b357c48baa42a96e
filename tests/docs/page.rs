//! A page of the manual: which files it shows and which commands, with what they print.

use std::ops::Range;
use std::process::{Command, Stdio};

/// Something on a page that a reader would do.
#[derive(Debug, PartialEq, Eq)]
pub enum Block {
    /// A fence with a file's name: the reader makes this file.
    File { name: String, text: String },
    /// A command after a `$ `.
    Step(Step),
}

/// A command and what it is said to print.
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    /// The command's line, counted from 1.
    pub line: usize,
    /// The command, of one line or several.
    pub command: String,
    /// Its output.
    pub expected: Vec<String>,
    /// The lines of the page that hold the output, counted from 0, without blank ones at the end.
    pub at: Range<usize>,
    /// What stands before each line of the block: a fence may be part of a list.
    pub indent: String,
}

/// Reads the blocks of a page, in order.
pub fn blocks(text: &str) -> Result<Vec<Block>, String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut blocks = Vec::new();
    let mut next = 0;
    while next < lines.len() {
        let Some(fence) = Fence::opened_by(lines[next]) else {
            next += 1;
            continue;
        };
        let first = next + 1;
        let closes = |line: &&str| fence.is_closed_by(line);
        let Some(length) = lines[first..].iter().position(closes) else {
            return Err(format!("line {next}: the fence is not closed", next = next + 1));
        };
        let content = first..first + length;
        match (fence.language, fence.name) {
            ("console", None) => steps(&lines, content, fence.indent, &mut blocks)?,
            ("console", Some(_)) => {
                return Err(format!("line {first}: a console block has no file's name"));
            }
            (_, None) => {}
            (_, Some(name)) => {
                let inside = lines[content].iter().map(|line| unindented(line, fence.indent));
                let text = inside.map(|line| format!("{line}\n")).collect();
                blocks.push(Block::File { name: name.to_owned(), text });
            }
        }
        next = first + length + 1;
    }
    Ok(blocks)
}

/// The line that opens a block of code.
struct Fence<'a> {
    indent: &'a str,
    marks: &'a str,
    language: &'a str,
    name: Option<&'a str>,
}

impl<'a> Fence<'a> {
    fn opened_by(line: &'a str) -> Option<Self> {
        let rest = line.trim_start();
        let indent = &line[..line.len() - rest.len()];
        let mark = rest.chars().next().filter(|c| matches!(c, '`' | '~'))?;
        let info = rest.trim_start_matches(mark);
        let marks = &rest[..rest.len() - info.len()];
        let mut words = info.split_whitespace();
        let language = words.next().unwrap_or_default();
        (marks.len() >= 3 && !info.contains('`')).then(|| Fence {
            indent,
            marks,
            language,
            name: words.next(),
        })
    }

    fn is_closed_by(&self, line: &str) -> bool {
        let line = line.trim();
        line.len() >= self.marks.len() && line.trim_start_matches(&self.marks[..1]).is_empty()
    }
}

fn unindented<'a>(line: &'a str, indent: &str) -> &'a str {
    line.strip_prefix(indent).unwrap_or_else(|| line.trim_start())
}

/// The commands of one console block.
fn steps(
    lines: &[&str],
    content: Range<usize>,
    indent: &str,
    blocks: &mut Vec<Block>,
) -> Result<(), String> {
    let inside = |number: usize| unindented(lines[number], indent);
    let begins = |number: usize| inside(number).starts_with("$ ");
    let mut next = content.start;
    while next < content.end {
        let Some(command) = inside(next).strip_prefix("$ ") else {
            if inside(next).trim().is_empty() {
                next += 1;
                continue;
            }
            return Err(format!("line {}: a console block begins with \"$ \"", next + 1));
        };
        let line = next + 1;
        let mut command = command.to_owned();
        next += 1;
        while next < content.end && goes_on(&command, inside(next)) {
            let more = inside(next);
            command.push('\n');
            command.push_str(more.strip_prefix("> ").unwrap_or(more.trim_start_matches('>')));
            next += 1;
        }
        let start = next;
        while next < content.end && !begins(next) {
            next += 1;
        }
        let mut end = next;
        while end > start && inside(end - 1).trim().is_empty() {
            end -= 1;
        }
        blocks.push(Block::Step(Step {
            line,
            command,
            expected: (start..end).map(|number| inside(number).to_owned()).collect(),
            at: start..end,
            indent: indent.to_owned(),
        }));
    }
    Ok(())
}

/// Whether the next line still belongs to the command. A program's output may begin with `>` too,
/// so the shell has to say that it waits for more.
fn goes_on(command: &str, next: &str) -> bool {
    command.ends_with('\\') || (next.starts_with('>') && is_unfinished(command))
}

fn is_unfinished(command: &str) -> bool {
    let output =
        Command::new("bash").args(["-n", "-c", command]).stdin(Stdio::null()).output().unwrap();
    // A here-document without its end is a warning only.
    !output.stderr.is_empty()
}

/// The page with new outputs in place of those of some steps.
pub fn rewritten(text: &str, outputs: &[(&Step, Vec<String>)]) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (step, output) in outputs.iter().rev() {
        let indented = |line: &String| format!("{}{line}", step.indent).trim_end().to_owned();
        lines.splice(step.at.clone(), output.iter().map(indented));
    }
    lines.join("\n") + "\n"
}
