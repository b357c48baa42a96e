//! What `devdb doctor` finds, as text for people.

use std::fmt::Write as _;

use super::Style;
use crate::outcome::{Check, DoctorReport, Verdict};

/// `devdb doctor`: the problems, then what this project uses, then the rest if it is wanted.
pub fn render(report: &DoctorReport, style: Style) -> String {
    let order = |check: &&Check| match check.verdict {
        Verdict::Bad => 0,
        Verdict::Warning => 1,
        Verdict::Good => 2,
        Verdict::Unused => 3,
        Verdict::Absent => 4,
    };
    let mut checks: Vec<&Check> = report.checks.iter().collect();
    checks.sort_by_key(order);
    let is_shown = |check: &&&Check| {
        report.with_all || !matches!(check.verdict, Verdict::Unused | Verdict::Absent)
    };
    let mut text: String =
        checks.iter().filter(is_shown).map(|check| self::check(check, style)).collect();
    if checks.iter().any(|check| !is_shown(&check)) {
        let advice = "devdb doctor -v   shows every place where devdb looked";
        _ = writeln!(text, "{}", style.dim(advice));
    }
    text
}

fn check(check: &Check, style: Style) -> String {
    let mark = match check.verdict {
        Verdict::Good => style.green("ok  "),
        Verdict::Unused | Verdict::Absent => style.dim("-   "),
        Verdict::Warning => style.yellow("warn"),
        Verdict::Bad => style.red("bad "),
    };
    let unused = if check.verdict == Verdict::Unused { " (not used here)" } else { "" };
    let mut text = format!("{mark} {}: {}{unused}\n", check.what, check.found);
    for line in check.advice.iter().flat_map(|advice| advice.lines()) {
        _ = writeln!(text, "     {} {line}", style.green("try:"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_come_first_and_what_is_not_used_only_when_it_is_wanted() {
        let check = |what: &str, verdict| Check {
            what: what.to_owned(),
            verdict,
            found: "found".to_owned(),
            advice: Some("a\nb".to_owned()).filter(|_| verdict == Verdict::Bad),
        };
        let checks = vec![
            check("absent", Verdict::Absent),
            check("good", Verdict::Good),
            check("unused", Verdict::Unused),
            check("bad", Verdict::Bad),
        ];
        let mut report = DoctorReport { checks, with_all: false };
        let style = Style { color: false };
        assert_eq!(
            render(&report, style),
            "bad  bad: found\n     try: a\n     try: b\nok   good: found\n\
             devdb doctor -v   shows every place where devdb looked\n"
        );
        report.with_all = true;
        let all = render(&report, style);
        assert!(all.ends_with("-    unused: found (not used here)\n-    absent: found\n"), "{all}");
    }
}
