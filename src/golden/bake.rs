//! Baking: what a cached state lacks is applied by a private server, which nobody else can log in
//! to, and the result is published.

use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};

use super::{Standing, Step};
use crate::db::connect::Address;
use crate::db::{inspect, scram};
use crate::engine::{Builder, BuilderLaunch, Engine, GoldenLabel, GoldenState};
use crate::error::{Error, Kind, Result};
use crate::instance::{Context, Plan, data, new_password, ready};
use crate::spec::{Durability, ServerSpec};

/// A state that took less to make than this is made again sooner than it is worth keeping.
const WORTH_KEEPING: Duration = Duration::from_millis(300);

/// Bakes the target of `standing` and publishes it, with the states on the way that are worth it.
///
/// # Errors
/// Those of migrating, seeding and the engine. The builder is gone.
pub(super) async fn bake(
    context: &Context,
    engine: &Engine,
    plan: &Plan,
    standing: &Standing,
) -> Result<GoldenState> {
    context.events.step("preparing a fresh database");
    let spec = builder_spec(&context.spec.server);
    let password = new_password();
    let launch = BuilderLaunch {
        owner: &context.spec.owner,
        spec: &spec,
        from: standing.best.as_ref().map(|(_, state)| state),
        verifier: &scram::verifier(password.expose_secret()),
    };
    // Not interrupted halfway: an engine that has been asked for a container makes it.
    let mut builder = engine.start_builder(&launch).await?;
    let work =
        Work { context, engine, plan, standing, address: address(&builder, &spec, password) };
    let baked = work.run(&mut builder).await;
    let discarded = builder.discard().await;
    match (baked, discarded) {
        (Ok(state), Ok(())) => Ok(state),
        (Ok(_), Err(error)) => Err(error),
        (Err(error), Ok(())) => Err(error),
        (Err(error), Err(worse)) => Err(error.because(format!("and cleaning up failed: {worse}"))),
    }
}

struct Work<'a> {
    context: &'a Context,
    engine: &'a Engine,
    plan: &'a Plan,
    standing: &'a Standing,
    address: Address,
}

impl Work<'_> {
    async fn run(&self, builder: &mut Builder) -> Result<GoldenState> {
        let Work { context, plan, standing, .. } = self;
        let chain = &standing.chain;
        self.until_ready(builder).await?;
        if standing.best.is_none() && chain.target() != chain.base() {
            self.publish_live(builder, chain.base()).await?;
        }
        let begun = Instant::now();
        data::populate(context, &self.address, &plan.without_seeds()).await.map_err(thrown_away)?;
        let is_new = standing.best.as_ref().is_none_or(|(step, _)| step != chain.migrated());
        if is_new && chain.target() != chain.migrated() && begun.elapsed() >= WORTH_KEEPING {
            self.publish_live(builder, chain.migrated()).await?;
        }
        data::populate(context, &self.address, plan).await?;
        let guard = &context.interrupt;
        let next_transaction = guard.guard(inspect::forget_password(&self.address)).await?;
        let label = GoldenLabel { clean: true, next_transaction, ..self.label(chain.target()) };
        // Not interrupted halfway: what the engine has been asked for it finishes.
        builder.publish(&label).await
    }

    async fn until_ready(&self, builder: &Builder) -> Result<()> {
        let waiting = async {
            tokio::select! {
                exit = builder.exited() => {
                    let code = exit.code.map(|code| format!(" (exit code {code})"));
                    let what = format!(
                        "the server that prepares the database ended{} before it accepted a login",
                        code.unwrap_or_default()
                    );
                    Err(Error::new(Kind::NotReady, what).excerpt(exit.log_tail))
                }
                login = ready::first_login(&self.address, self.context.spec.timeout) => {
                    login.map_err(|error| error.excerpt(builder.log_tail()))
                }
            }
        };
        self.context.interrupt.guard(waiting).await
    }

    async fn publish_live(&self, builder: &mut Builder, step: &Step) -> Result<()> {
        let guard = &self.context.interrupt;
        guard.guard(inspect::checkpoint(&self.address)).await?;
        builder.publish_live(&self.label(step)).await?;
        // It may have been started anew for that.
        self.until_ready(builder).await
    }

    fn label(&self, step: &Step) -> GoldenLabel {
        self.standing.label(self.context, self.engine, step)
    }
}

/// What the error of a migration says of those before it is not true here: all of them go with the
/// builder.
fn thrown_away(error: Error) -> Error {
    if error.kind() == Kind::Migration { error.without_hints() } else { error }
}

fn address(builder: &Builder, spec: &ServerSpec, password: SecretString) -> Address {
    let endpoint = builder.endpoint();
    Address {
        host: endpoint.host.clone(),
        port: endpoint.port,
        database: spec.database.clone(),
        user: spec.user.clone(),
        password,
    }
}

/// Nothing of a builder needs to survive a crash: it is then baked again. What it has written is on
/// disk when it is published.
fn builder_spec(spec: &ServerSpec) -> ServerSpec {
    let mut spec = ServerSpec { durability: Durability::None, ..spec.clone() };
    for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
        spec.settings.remove(setting);
    }
    spec
}
