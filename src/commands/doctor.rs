//! `devdb doctor`: checks what devdb needs, and gives one line of advice for each problem.

use std::path::Path;

use chrono::Utc;

use super::App;
use crate::config::Overrides;
use crate::context::Context;
use crate::db::connect::Address;
use crate::engine::docker::{Docker, discover_all};
use crate::engine::native::programs;
use crate::engine::{Engine, Role};
use crate::error::{Error, Kind, Result};
use crate::instance;
use crate::outcome::{Check, DoctorReport, Outcome, Report, Verdict};
use crate::state::ports;

/// With less free space than this, a database may soon fail to write.
const LOW_DISK: u64 = 1 << 30;

/// With a larger difference between the clocks, timestamps are misleading.
const CLOCK_TOLERANCE_SECONDS: i64 = 5;

/// `devdb doctor`
pub async fn run(app: &App) -> Result<Outcome> {
    let context = app.context(Overrides::default(), None)?;
    let checks = context.interrupt.guard(examine(app, &context)).await?;
    let exit = match checks.iter().any(|check| check.verdict == Verdict::Bad) {
        true => Kind::Unexpected.exit_code(),
        false => 0,
    };
    Ok(Outcome { command: "doctor", report: Report::Doctor(DoctorReport { checks }), exit })
}

async fn examine(app: &App, context: &Context) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    let docker = engines(context, &mut checks).await;
    let programs_found = programs(context, &mut checks);
    if docker.is_none() && !programs_found {
        checks.push(bad(
            "engine",
            "there is no Docker engine and there are no PostgreSQL server programs",
            "start Docker, or install the programs: apt-get install postgresql-15",
        ));
    }
    if let Some(docker) = &docker {
        image(context, docker, programs_found, &mut checks).await;
        clock(docker, &mut checks).await;
    }
    leftovers(context, &mut checks).await;
    port(context, &mut checks).await;
    disk("disk of devdb's data", context.store.root(), &mut checks);
    records(context, &mut checks)?;
    inherited(app, context, &mut checks);
    Ok(checks)
}

fn check(what: &str, verdict: Verdict, found: impl Into<String>) -> Check {
    Check { what: what.to_owned(), verdict, found: found.into(), advice: None }
}

fn good(what: &str, found: impl Into<String>) -> Check {
    check(what, Verdict::Good, found)
}

fn bad(what: &str, found: impl Into<String>, advice: &str) -> Check {
    Check { advice: Some(advice.to_owned()), ..check(what, Verdict::Bad, found) }
}

fn warn(what: &str, found: impl Into<String>, advice: &str) -> Check {
    Check { advice: Some(advice.to_owned()), ..check(what, Verdict::Warning, found) }
}

/// Checks every place where a daemon may be.
async fn engines(context: &Context, checks: &mut Vec<Check>) -> Option<Docker> {
    let discovery = discover_all(&context.engines.docker).await;
    for candidate in &discovery.tried {
        let what = format!("docker, {} {}", candidate.source, candidate.address);
        checks.push(match &candidate.result {
            Ok(found) => good(what.trim_end(), found),
            Err(why) => check(what.trim_end(), Verdict::Absent, why),
        });
    }
    discovery.engine
}

fn programs(context: &Context, checks: &mut Vec<Check>) -> bool {
    let major = context.spec.server.major;
    let looked = programs::search(&context.engines.native, major);
    for place in &looked {
        let what = format!("native, {}", place.place);
        checks.push(match &place.found {
            Some(version) if place.is_usable() => good(&what, version),
            Some(version) => {
                let why = place.why_not.clone().unwrap_or_default();
                check(&what, Verdict::Absent, format!("{version}: {why}"))
            }
            None => check(&what, Verdict::Absent, place.why_not.clone().unwrap_or_default()),
        });
    }
    looked.iter().any(programs::Looked::is_usable)
}

async fn image(context: &Context, docker: &Docker, native: bool, checks: &mut Vec<Check>) {
    let image = &context.spec.server.image;
    let what = format!("image {image}");
    match docker.inspect_image(image).await {
        Ok(Some(_)) => checks.push(good(&what, "is on this machine")),
        Ok(None) => match docker.registry_has(image).await {
            Ok(()) => checks.push(good(&what, "is in the registry; devdb up pulls it")),
            Err(error) if native => checks.push(warn(
                &what,
                format!("is not on this machine, and the registry does not give it: {error}"),
                "use devdb up --engine native, which needs no image",
            )),
            Err(error) => checks.push(bad(
                &what,
                format!("is not on this machine, and the registry does not give it: {error}"),
                "check the network and the name, or load the image with docker load",
            )),
        },
        Err(error) => checks.push(bad(&what, error.to_string(), "docker image ls")),
    }
}

async fn clock(docker: &Docker, checks: &mut Vec<Check>) {
    let off = match docker.clock().await {
        Ok(theirs) => (theirs - Utc::now()).num_seconds(),
        Err(_) => return,
    };
    checks.push(if off.abs() <= CLOCK_TOLERANCE_SECONDS {
        good("clock of the Docker engine", "agrees with the clock of this machine")
    } else {
        warn(
            "clock of the Docker engine",
            format!("differs from the clock of this machine by {off} s"),
            "restart the virtual machine of Docker, or let it synchronise its time",
        )
    });
}

/// Checks for builders that killed commands left. The next command for their instance removes them.
async fn leftovers(context: &Context, checks: &mut Vec<Check>) {
    for engine in context.engines.reachable(&context.spec.server).await {
        let what = format!("leftovers on {}", engine.kind());
        match builders(&engine).await {
            Ok(names) if names.is_empty() => checks.push(good(&what, "none")),
            Ok(names) => checks.push(warn(
                &what,
                names.join(", "),
                "run devdb up in the project of each one; it removes them (devdb list shows the projects)",
            )),
            Err(error) => checks.push(warn(&what, error.to_string(), "see the lines about this engine above")),
        }
    }
}

async fn builders(engine: &Engine) -> Result<Vec<String>> {
    let servers = engine.servers(None).await?;
    let builders = servers.into_iter().filter(|server| server.role == Role::Builder);
    Ok(builders.map(|server| server.name).collect())
}

async fn port(context: &Context, checks: &mut Vec<Check>) {
    let Ok(record) = instance::record(context) else { return };
    let what = format!("port {}", record.port);
    let running = match instance::Observed::look(context).await {
        Ok(observed) => observed.server.is_some_and(|server| server.is_running()),
        Err(_) => false,
    };
    checks.push(match (running, ports::is_free(record.port)) {
        (true, _) => good(&what, "belongs to this database"),
        (false, true) => good(&what, "is free for this database"),
        (false, false) => warn(
            &what,
            "is used by another program",
            "end that program (ss -ltnp shows it), or set port: auto, so that devdb up takes another port",
        ),
    });
}

fn disk(what: &str, path: &Path, checks: &mut Vec<Check>) {
    let Ok(fs) = rustix::fs::statvfs(path) else { return };
    let free = fs.f_bavail.saturating_mul(fs.f_frsize);
    let found = format!("{} free", indicatif::HumanBytes(free));
    checks.push(if free < LOW_DISK {
        warn(what, found, "make room; devdb list and devdb cache list show what devdb keeps")
    } else {
        good(what, found)
    });
}

fn records(context: &Context, checks: &mut Vec<Check>) -> Result<()> {
    let damaged: Vec<Error> =
        context.store.load_all()?.into_iter().filter_map(Result::err).collect();
    for error in &damaged {
        checks.push(bad(
            "records",
            error.to_string(),
            "run devdb up in its project; it makes the record again from what the engine has",
        ));
    }
    if damaged.is_empty() {
        checks.push(good("records", context.store.root().display().to_string()));
    }
    Ok(())
}

/// Checks for a DATABASE_URL of another database, which devdb ignores.
fn inherited(app: &App, context: &Context, checks: &mut Vec<Check>) {
    use secrecy::ExposeSecret;
    let Some(url) = app.environment.database_url() else { return };
    let own = instance::record(context).map(|record| instance::recorded_address(&record));
    let url = Address::parse(url.expose_secret());
    let is_own = |url: Address| own.is_ok_and(|own| own.variables() == url.variables());
    if url.is_some_and(is_own) {
        checks.push(good("DATABASE_URL", "is the URL of this database"));
    } else {
        checks.push(warn(
            "DATABASE_URL",
            "is the URL of another database; devdb ignores it, but your application uses it",
            "devdb env --write .env",
        ));
    }
}
