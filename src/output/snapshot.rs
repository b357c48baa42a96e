//! Snapshots as text for people.

use std::fmt::Write as _;

use super::Style;
use super::text::{lines, moment, row, size, table, took};
use crate::engine::Manifest;
use crate::outcome::{ExportedReport, SavedReport, SnapshotReport, SnapshotsReport};

/// `devdb snapshot save`, `import`
pub fn saved(report: &SavedReport, style: Style) -> String {
    let Manifest { name, disk_bytes, .. } = &report.snapshot;
    let mut text = format!(
        "saved snapshot {} ({}) {}\n",
        style.bold(name),
        size(*disk_bytes),
        style.dim(&took(report.took_ms)),
    );
    if let Some(interrupted) = report.interrupted_ms {
        _ = writeln!(text, "  clients could not reach the database for {interrupted} ms");
    }
    _ = writeln!(
        text,
        "  {}",
        style.dim(&format!("devdb snapshot restore {name}   goes back to it"))
    );
    text
}

/// `devdb snapshot list`
pub fn list(report: &SnapshotsReport, style: Style) -> String {
    if report.snapshots.is_empty() {
        return "there is no snapshot; devdb snapshot save makes one\n".to_owned();
    }
    let mut table = table(&["NAME", "SAVED", "ON DISK", "MIGRATIONS", "MESSAGE"]);
    let mut troubles = String::new();
    for snapshot in &report.snapshots {
        let cells = match (&snapshot.manifest, &snapshot.trouble) {
            (Some(manifest), _) => vec![
                snapshot.name.clone(),
                moment(manifest.created),
                size(manifest.disk_bytes),
                match &manifest.migrations {
                    // Those of another tool are not in the manifest.
                    Some(all) if all.is_empty() => "-".into(),
                    Some(all) => all.len().to_string(),
                    None => "?".into(),
                },
                manifest.message.clone().unwrap_or_default(),
            ],
            (None, trouble) => {
                _ = writeln!(
                    troubles,
                    "{} {} cannot be used: {} (devdb snapshot rm {} removes it)",
                    style.yellow("warning:"),
                    snapshot.name,
                    trouble.as_deref().unwrap_or_default(),
                    snapshot.name,
                );
                continue;
            }
        };
        table.add_row(cells);
    }
    match table.row_iter().next() {
        Some(_) => format!("{}{troubles}", lines(&table)),
        None => troubles,
    }
}

/// `devdb snapshot show`
pub fn show(report: &SnapshotReport, style: Style) -> String {
    let mut rows = vec![("snapshot", style.bold(&report.name))];
    if let Some(trouble) = &report.trouble {
        rows.push(("trouble", style.red(trouble)));
    }
    rows.push(("kept in", report.handle.clone()));
    if let Some(manifest) = &report.manifest {
        rows.extend(about(manifest));
    }
    let mut text = String::new();
    for (name, value) in rows {
        row(&mut text, name, value, style);
    }
    for migration in
        report.manifest.iter().flat_map(|manifest| manifest.migrations.iter().flatten())
    {
        _ = writeln!(text, "  {} {}", migration.version, migration.description);
    }
    text
}

fn about(manifest: &Manifest) -> Vec<(&'static str, String)> {
    let made = &manifest.made_with;
    let mut rows = vec![("saved", moment(manifest.created))];
    if let Some(message) = &manifest.message {
        rows.push(("message", message.clone()));
    }
    rows.push(("source", manifest.saved_from.in_words()));
    let version = manifest.server_version.clone().unwrap_or_else(|| made.major.to_string());
    let image = if made.image.is_empty() { String::new() } else { format!(", {}", made.image) };
    rows.push((
        "server",
        format!("PostgreSQL {version} ({}, {}{image})", manifest.engine, manifest.platform),
    ));
    rows.push(("database", format!("{} (user {})", made.database, made.user)));
    rows.push(("on disk", size(manifest.disk_bytes)));
    if let Some(bytes) = manifest.database_bytes {
        rows.push(("data", size(bytes)));
    }
    rows.push((
        "migrations",
        match &manifest.migrations {
            // Those of another tool are not in the manifest.
            Some(all) if all.is_empty() => "none that devdb applied itself".to_owned(),
            Some(all) => format!("{} applied", all.len()),
            None => "not known, because the server did not run".to_owned(),
        },
    ));
    rows
}

/// `devdb snapshot export`
pub fn exported(report: &ExportedReport, style: Style) -> String {
    format!(
        "wrote snapshot {} to {} ({}) {}\n  SHA-256 of the unpacked data: {}\n",
        style.bold(&report.snapshot),
        report.file.display(),
        size(report.bytes),
        style.dim(&took(report.took_ms)),
        report.sha256,
    )
}
