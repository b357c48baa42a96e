//! Snapshots as text for people.

use std::fmt::Write as _;

use chrono::{DateTime, Local, Utc};
use indicatif::HumanBytes;

use super::Style;
use super::human::{count, plain_table, seconds, trimmed, who};
use crate::engine::Manifest;
use crate::outcome::{ExportedReport, SavedReport, SnapshotReport, SnapshotsReport};

pub fn saved(report: &SavedReport, style: Style) -> String {
    let Manifest { name, disk_bytes, .. } = &report.snapshot;
    let mut text = format!(
        "snapshot {} holds {} {}\n",
        style.bold(name),
        HumanBytes(*disk_bytes),
        style.dim(&seconds(report.took_ms)),
    );
    if let Some(interrupted) = report.interrupted_ms {
        _ = writeln!(text, "  the database was away for {interrupted} ms");
    }
    _ = writeln!(
        text,
        "  {}",
        style.dim(&format!("devdb snapshot restore {name} goes back to it"))
    );
    text
}

pub fn list(report: &SnapshotsReport, style: Style) -> String {
    if report.snapshots.is_empty() {
        return "no snapshots; devdb snapshot save makes one\n".to_owned();
    }
    let mut table = plain_table(&["NAME", "SAVED", "SIZE", "MIGRATIONS", "MESSAGE"]);
    let mut troubles = String::new();
    for snapshot in &report.snapshots {
        let row = match (&snapshot.manifest, &snapshot.trouble) {
            (Some(manifest), _) => vec![
                snapshot.name.clone(),
                time(manifest.created),
                HumanBytes(manifest.disk_bytes).to_string(),
                manifest.migrations.as_ref().map_or("?".into(), |all| all.len().to_string()),
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
        table.add_row(row);
    }
    match table.row_iter().next() {
        Some(_) => format!("{}\n{troubles}", trimmed(&table)),
        None => troubles,
    }
}

pub fn show(report: &SnapshotReport, style: Style) -> String {
    let mut rows = vec![("snapshot", style.bold(&report.name))];
    if let Some(trouble) = &report.trouble {
        rows.push(("trouble", style.red(trouble)));
    }
    if let Some(manifest) = &report.manifest {
        rows.extend(about(manifest));
    }
    rows.push(("kept in", report.handle.clone()));
    let mut text = String::new();
    for (name, value) in rows {
        _ = writeln!(text, "{} {value}", style.dim(&format!("{name:<11}")));
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
    let mut rows = vec![("saved", time(manifest.created))];
    if let Some(message) = &manifest.message {
        rows.push(("message", message.clone()));
    }
    rows.push(("from", who(&manifest.saved_from)));
    let version = manifest.server_version.clone().unwrap_or_else(|| made.major.to_string());
    let image = if made.image.is_empty() { String::new() } else { format!(", {}", made.image) };
    rows.push((
        "server",
        format!("PostgreSQL {version} ({}, {}{image})", manifest.engine, manifest.platform),
    ));
    rows.push(("database", format!("{} of {}", made.database, made.user)));
    rows.push(("on disk", HumanBytes(manifest.disk_bytes).to_string()));
    if let Some(bytes) = manifest.database_bytes {
        rows.push(("size", HumanBytes(bytes).to_string()));
    }
    rows.push((
        "migrations",
        match &manifest.migrations {
            Some(all) => format!("{} applied", count(all.len(), "migration")),
            None => "not known: the server did not run".to_owned(),
        },
    ));
    rows
}

pub fn exported(report: &ExportedReport, style: Style) -> String {
    format!(
        "{} holds snapshot {}, {} {}\n  SHA-256 of its content {}\n",
        report.file.display(),
        style.bold(&report.snapshot),
        HumanBytes(report.bytes),
        style.dim(&seconds(report.took_ms)),
        report.sha256,
    )
}

fn time(at: DateTime<Utc>) -> String {
    at.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S").to_string()
}
