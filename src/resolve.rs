//! From a project's settings to the specification of one instance. Pure.

use std::time::Duration;

use crate::config::Config;
use crate::spec::{InstanceSpec, MigrationSpec, Owner, SeedSpec, ServerSpec};

/// How long to wait for a server to accept logins, unless asked otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// The instance that `config` describes. `project_id` is the checkout's identity
/// ([`crate::config::identity`]); `timeout` is how long to wait for logins, 60 s when none.
pub fn resolve(config: &Config, project_id: &str, timeout: Option<Duration>) -> InstanceSpec {
    let settings = &config.settings;
    InstanceSpec {
        owner: Owner {
            project_id: project_id.to_owned(),
            project: settings.project.clone(),
            developer: settings.developer.clone(),
            instance: settings.instance.clone(),
        },
        of_branch: settings.of_branch,
        engine: settings.engine,
        server: ServerSpec {
            major: settings.version,
            image: settings.image.clone(),
            image_chosen: settings.image_chosen,
            bin_dir: settings.bin_dir.clone(),
            database: settings.database.clone(),
            user: settings.user.clone(),
            settings: settings.server.clone(),
            extensions: settings.extensions.clone(),
            durability: settings.durability,
        },
        port: settings.port,
        migrations: MigrationSpec {
            files: settings.migrations.clone(),
            allow_out_of_order: settings.allow_out_of_order,
        },
        seeds: SeedSpec { files: settings.seeds.clone(), profile: settings.profile.clone() },
        retention: settings.retention,
        cache: settings.cache,
        timeout: timeout.unwrap_or(DEFAULT_TIMEOUT),
    }
}
