//! `devdb doctor`: checks what devdb needs, and gives one line of advice for each problem.

use std::path::Path;

use chrono::Utc;

use super::App;
use crate::config::Overrides;
use crate::context::Context;
use crate::db::connect::Address;
use crate::engine::docker::{Discovery, Docker, discover_all};
use crate::engine::native::programs;
use crate::engine::{Role, Server, Status};
use crate::error::{Error, Kind, Result};
use crate::instance;
use crate::outcome::{Check, DoctorReport, Outcome, Report, Verdict};
use crate::spec::{EngineChoice, EngineKind, Owner, PortChoice};
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
    let report = Report::Doctor(DoctorReport { checks, with_all: app.global.verbose });
    Ok(Outcome { command: "doctor", report, exit })
}

async fn examine(app: &App, context: &Context) -> Result<Vec<Check>> {
    let discovery = discover_all(&context.engines.docker).await;
    let looked = programs::search(&context.engines.native, context.spec.server.major);
    let has_programs = looked.iter().any(programs::Looked::is_usable);
    let used = used_engine(context, &discovery, has_programs).await;
    let mut checks = Vec::new();
    if let Some(problem) = no_engine(context, used, &discovery, has_programs) {
        checks.push(problem);
    }
    daemons(&discovery, used, &mut checks);
    programs(looked, used, &mut checks);
    if let Some(docker) = discovery.engine.as_ref().filter(|_| used == EngineKind::Docker) {
        image(context, docker, has_programs, &mut checks).await;
        clock(docker, &mut checks).await;
    }
    clean_up(context, &mut checks).await;
    let servers = leftovers(context, &mut checks).await;
    port(context, &servers, &mut checks);
    disk("disk of devdb's data", context.store.root(), &mut checks);
    records(context, &mut checks)?;
    inherited(app, context, &mut checks);
    Ok(checks)
}

/// The engine of this directory's database, or the one that `devdb up` would take.
async fn used_engine(context: &Context, discovery: &Discovery, has_programs: bool) -> EngineKind {
    if let Ok(record) = instance::record(context) {
        return record.engine;
    }
    match context.spec.engine {
        EngineChoice::Docker => EngineKind::Docker,
        EngineChoice::Native => EngineKind::Native,
        EngineChoice::Auto => match &discovery.engine {
            Some(docker) if docker.keeps_instances().await.is_ok() => EngineKind::Docker,
            Some(_) if discovery.named => EngineKind::Docker,
            None if !discovery.is_nobody_there() => EngineKind::Docker,
            _ if has_programs => EngineKind::Native,
            _ => EngineKind::Docker,
        },
    }
}

/// The problem that the engine of this project is not there.
fn no_engine(
    context: &Context,
    used: EngineKind,
    discovery: &Discovery,
    has_programs: bool,
) -> Option<Check> {
    let error = match used {
        EngineKind::Docker if discovery.engine.is_none() => discovery.error(),
        EngineKind::Native if !has_programs => {
            context.engines.native_programs(&context.spec.server).err()?
        }
        _ => return None,
    };
    let mut advice = error.hints().to_vec();
    if used == EngineKind::Docker && has_programs && instance::record(context).is_err() {
        advice.push("devdb up --engine native   uses the PostgreSQL of this machine".to_owned());
    }
    Some(bad(&format!("engine {used}"), error.message(), &advice.join("\n")))
}

fn check(what: &str, verdict: Verdict, found: impl Into<String>) -> Check {
    Check { what: what.to_owned(), verdict, found: found.into(), advice: None }
}

fn good(what: &str, found: impl Into<String>) -> Check {
    check(what, Verdict::Good, found)
}

fn bad(what: &str, found: impl Into<String>, advice: &str) -> Check {
    let advice = Some(advice.to_owned()).filter(|advice| !advice.is_empty());
    Check { advice, ..check(what, Verdict::Bad, found) }
}

fn warn(what: &str, found: impl Into<String>, advice: &str) -> Check {
    Check { advice: Some(advice.to_owned()), ..check(what, Verdict::Warning, found) }
}

/// Every place where a daemon may be.
fn daemons(discovery: &Discovery, used: EngineKind, checks: &mut Vec<Check>) {
    let mut docker = discovery.engine.as_ref().filter(|_| used == EngineKind::Docker);
    for candidate in &discovery.tried {
        let what = format!("docker, {} {}", candidate.source, candidate.address);
        let what = what.trim_end();
        checks.push(match &candidate.result {
            Ok(found) if docker.is_some_and(|docker| docker.address() == candidate.address) => {
                docker = None;
                good(what, found)
            }
            Ok(found) => check(what, Verdict::Unused, found),
            Err(why) => check(what, Verdict::Absent, why),
        });
    }
}

/// Every place where server programs may be. devdb uses the first that fit.
fn programs(looked: Vec<programs::Looked>, used: EngineKind, checks: &mut Vec<Check>) {
    let mut is_wanted = used == EngineKind::Native;
    for place in looked {
        let what = format!("native, {}", place.place);
        checks.push(match (place.found, place.why_not) {
            (Some(version), None) if is_wanted => {
                is_wanted = false;
                good(&what, version)
            }
            (Some(version), None) => check(&what, Verdict::Unused, version),
            (_, why_not) => check(&what, Verdict::Absent, why_not.unwrap_or_default()),
        });
    }
}

async fn image(context: &Context, docker: &Docker, native: bool, checks: &mut Vec<Check>) {
    let spec = &context.spec.server;
    let what = format!("image {}", spec.image);
    let is_free = instance::record(context).is_err() && !spec.image_chosen;
    match docker.inspect_image(&spec.image).await {
        Ok(Some(_)) => checks.push(good(&what, "is on this machine")),
        Ok(None) => match docker.registry_has(&spec.image).await {
            Ok(()) => checks.push(good(&what, "is in the registry; devdb up pulls it")),
            Err(error) if native && is_free => checks.push(warn(
                &what,
                format!("is not on this machine, and the registry does not give it: {error}"),
                "devdb up --engine native   uses the PostgreSQL of this machine",
            )),
            Err(error) => checks.push(bad(
                &what,
                format!("is not on this machine, and the registry does not give it: {error}"),
                "check the network and postgres.image, or load the image: docker load -i FILE",
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

/// Says what clean-up commands of Docker can remove of this directory's database. The lines are
/// only there when they can remove something.
async fn clean_up(context: &Context, checks: &mut Vec<Check>) {
    let Ok(record) = instance::record(context) else { return };
    let Ok(engine) =
        context.engines.open(record.engine, &context.spec.server, &context.events).await
    else {
        return;
    };
    let Ok(Some(exposed)) = instance::exposed(&engine, &record).await else { return };
    let mut say = |command: &str, volumes: usize, advice: &str| {
        let volumes = match volumes {
            1 => "1 volume".to_owned(),
            many => format!("{many} volumes"),
        };
        let found = format!("would remove {volumes} with data of this database");
        checks.push(warn(command, found, advice));
    };
    if exposed.unmounted > 0 {
        let advice = "devdb restart   makes a container hold the volumes again";
        say(exposed.volume_prune, exposed.unmounted, advice);
    }
    if exposed.unused > exposed.unmounted {
        let advice = "devdb start   protects the data, as long as the database runs\n\
                      devdb snapshot export NAME   writes a snapshot to a file";
        say(exposed.system_prune, exposed.unused, advice);
    }
}

/// Checks for builders that killed commands left. The next command for their instance removes them.
/// Returns all servers of devdb.
async fn leftovers(context: &Context, checks: &mut Vec<Check>) -> Vec<Server> {
    let mut all = Vec::new();
    for engine in context.engines.reachable(&context.spec.server).await {
        let what = format!("leftovers on {}", engine.kind());
        let servers = match engine.servers(None).await {
            Ok(servers) => servers,
            Err(error) => {
                checks.push(check(&what, Verdict::Warning, error.to_string()));
                continue;
            }
        };
        let builders = servers.iter().filter(|server| server.role == Role::Builder);
        let names: Vec<&str> = builders.map(|server| server.name.as_str()).collect();
        checks.push(match names.is_empty() {
            true => good(&what, "none"),
            false => warn(
                &what,
                names.join(", "),
                "devdb up   removes them; run it in the project that is in the name",
            ),
        });
        all.extend(servers);
    }
    all
}

/// Checks who has the port of this directory's database. `servers` are all servers of devdb.
fn port(context: &Context, servers: &[Server], checks: &mut Vec<Check>) {
    let Ok(record) = instance::record(context) else { return };
    let (what, is_free) = (format!("port {}", record.port), ports::is_free(record.port));
    let has_port = |server: &&Server| {
        let port = server.endpoint.as_ref().map(|endpoint| endpoint.port);
        matches!(server.status, Status::Running { .. }) && port == Some(record.port)
    };
    let holder = servers.iter().find(has_port).map(|server| &server.owner);
    checks.push(match (is_free, holder, context.spec.port) {
        (false, Some(owner), _) if owner.key() == record.owner.key() => {
            good(&what, "belongs to this database")
        }
        (true, ..) => good(&what, "is free for this database"),
        (false, holder, choice) => {
            let used = match holder {
                Some(Owner { project, developer, instance, .. }) => format!(
                    "is used by another database of devdb: {project}, {developer}, {instance}"
                ),
                None => "is used by another program (ss -ltnp shows it)".to_owned(),
            };
            match choice {
                PortChoice::Auto => good(&what, format!("{used}; devdb up takes another port")),
                PortChoice::Fixed(_) => {
                    warn(&what, used, "devdb up --port auto   takes another port")
                }
            }
        }
    });
}

fn disk(what: &str, path: &Path, checks: &mut Vec<Check>) {
    let Ok(fs) = rustix::fs::statvfs(path) else { return };
    let free = fs.f_bavail.saturating_mul(fs.f_frsize);
    let found = format!("{} free", indicatif::DecimalBytes(free));
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
        let advice = match error.kind() {
            Kind::Drift => {
                "devdb up   makes the record again, in the directory of its project".into()
            }
            _ => error.hints().join("\n"),
        };
        checks.push(bad("records", error.to_string(), &advice));
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
            "unset DATABASE_URL",
        ));
    }
}
