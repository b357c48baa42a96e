//! What `devdb doctor` finds, as text for people.

use std::fmt::Write as _;

use super::Style;
use crate::outcome::{DoctorReport, Verdict};

/// `devdb doctor`
pub fn render(report: &DoctorReport, style: Style) -> String {
    let mut text = String::new();
    for check in &report.checks {
        let mark = match check.verdict {
            Verdict::Good => style.green("ok  "),
            Verdict::Absent => style.dim("-   "),
            Verdict::Warning => style.yellow("warn"),
            Verdict::Bad => style.red("bad "),
        };
        _ = writeln!(text, "{mark} {}: {}", check.what, check.found);
        if let Some(advice) = &check.advice {
            _ = writeln!(text, "     {advice}");
        }
    }
    text
}
