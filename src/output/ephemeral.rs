//! Databases that devdb removes after a set time, as text for people.

use super::Style;
use super::text::{lines, moment, table};
use crate::outcome::EphemeralsReport;

/// `devdb ephemeral list`
pub fn render(report: &EphemeralsReport, _: Style) -> String {
    if report.ephemerals.is_empty() {
        return "there is no ephemeral database; devdb ephemeral start creates one\n".into();
    }
    let mut table = table(&["ID", "PROJECT", "DEVELOPER", "ENGINE", "ADDRESS", "UNTIL"]);
    for one in &report.ephemerals {
        table.add_row(vec![
            one.id.clone(),
            one.owner.project.clone(),
            one.owner.developer.clone(),
            one.engine.to_string(),
            format!("{}:{}", one.location.host, one.location.port),
            moment(one.until),
        ]);
    }
    lines(&table)
}
