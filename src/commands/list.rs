//! `devdb list`: lists the instances of all engines, joined with this user's records.

use std::collections::BTreeMap;

use super::App;
use crate::config::Overrides;
use crate::context::Context;
use crate::engine::{Engine, Role, Server};
use crate::error::Result;
use crate::outcome::{ListReport, Listed, Outcome, Report};
use crate::spec::{EngineKind, Owner};
use crate::state::Record;

/// `devdb list`
pub async fn run(app: &App) -> Result<Outcome> {
    let context = app.context(Overrides::default(), None)?;
    let report = context.interrupt.guard(gather(&context)).await?;
    Ok(Outcome { command: "list", report: Report::List(report), exit: 0 })
}

async fn gather(context: &Context) -> Result<ListReport> {
    let here = context.spec.owner.key();
    let mut found: BTreeMap<(Owner, EngineKind), Listed> = BTreeMap::new();
    let mut troubles = Vec::new();
    let mut asked = Vec::new();
    for engine in context.engines.reachable(&context.spec.server).await {
        match ask(&engine, &mut found).await {
            Ok(()) => asked.push(engine.kind()),
            Err(error) => troubles.push(error.to_string()),
        }
    }
    for record in context.store.load_all()? {
        match record {
            Err(error) => troubles.push(error.to_string()),
            Ok(record) => recorded(record, &asked, &mut found),
        }
    }
    let mut instances: Vec<Listed> = found.into_values().collect();
    for listed in &mut instances {
        listed.current = listed.key == here;
    }
    Ok(ListReport { instances, troubles })
}

/// Adds what one engine has.
async fn ask(engine: &Engine, found: &mut BTreeMap<(Owner, EngineKind), Listed>) -> Result<()> {
    for generation in engine.generations(None).await? {
        entry(found, &generation.owner, engine.kind()).generations += 1;
    }
    for server in engine.servers(None).await? {
        if server.role != Role::Builder {
            let listed = entry(found, &server.owner, engine.kind());
            if listed.state != "running" {
                describe(listed, &server);
            }
        }
    }
    Ok(())
}

fn describe(listed: &mut Listed, server: &Server) {
    listed.state = if server.is_running() { "running" } else { "stopped" };
    listed.port = server.endpoint.as_ref().map(|endpoint| endpoint.port);
    listed.image = Some(server.image.clone());
}

/// Adds what this user's record knows.
fn recorded(
    record: Record,
    asked: &[EngineKind],
    found: &mut BTreeMap<(Owner, EngineKind), Listed>,
) {
    let listed = entry(found, &record.owner, record.engine);
    listed.recorded = true;
    // A spare is not a generation of the instance yet.
    listed.generations = listed.generations.saturating_sub(usize::from(record.spare.is_some()));
    listed.port = listed.port.or(Some(record.port));
    listed.directory = record.home.map(|home| home.directory);
    if !asked.contains(&record.engine) {
        listed.state = "unknown";
    }
}

fn entry<'f>(
    found: &'f mut BTreeMap<(Owner, EngineKind), Listed>,
    owner: &Owner,
    engine: EngineKind,
) -> &'f mut Listed {
    found.entry((owner.clone(), engine)).or_insert_with(|| Listed {
        owner: owner.clone(),
        key: owner.key(),
        engine,
        state: "down",
        port: None,
        image: None,
        generations: 0,
        directory: None,
        current: false,
        recorded: false,
    })
}
