//! Every database on a machine, as text for people.

use super::Style;
use super::text::{lines, table, troubles};
use crate::outcome::{ListReport, Listed};

/// `devdb list`
pub fn render(report: &ListReport, style: Style) -> String {
    let mut text = match report.instances.is_empty() {
        true => "there is no database; devdb up creates one\n".to_owned(),
        false => instances(&report.instances),
    };
    troubles(&mut text, &report.troubles, style);
    text
}

fn instances(instances: &[Listed]) -> String {
    // Most machines have one developer, and most columns are precious.
    let developers =
        instances.iter().any(|one| one.owner.developer != instances[0].owner.developer);
    let mut header = vec!["", "PROJECT", "INSTANCE", "ENGINE", "STATE", "PORT", "DIRECTORY"];
    if developers {
        header.insert(2, "DEVELOPER");
    }
    let mut table = table(&header);
    for one in instances {
        let mut row = vec![
            if one.current { "*".into() } else { String::new() },
            one.owner.project.clone(),
            one.owner.instance.clone(),
            one.engine.to_string(),
            one.state.to_owned(),
            one.port.map(|port| port.to_string()).unwrap_or_default(),
            directory(one),
        ];
        if developers {
            row.insert(2, one.owner.developer.clone());
        }
        table.add_row(row);
    }
    let mut text = lines(&table);
    if instances.iter().any(|one| directory(one) == UNKNOWN) {
        text.push_str(
            "? devdb has no record of it: another user made it, or a devdb with another\n  \
             DEVDB_DATA_DIR, or the record was lost. To restore a lost record, run devdb up in\n  \
             the directory of that project\n",
        );
    }
    text
}

/// The directory of an instance that this user has no record of.
const UNKNOWN: &str = "?";

fn directory(one: &Listed) -> String {
    match (&one.directory, one.recorded) {
        (Some(directory), _) => directory.display().to_string(),
        (None, _) if one.owner.is_ephemeral() => "(ephemeral)".into(),
        (None, true) => "(sample project)".into(),
        (None, false) => UNKNOWN.into(),
    }
}
