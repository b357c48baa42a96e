//! The fingerprint of a golden state. It covers everything that determines the state and nothing
//! else, so that two machines with the same files share it.
//!
//! The fingerprint is a chain with a link for each step: initdb and the database, the extensions,
//! each migration, the seeds. A new migration at the end changes no link before it. Line endings do
//! not count, but a changed comment does.

use super::Plan;
use super::growth::Growth;
use crate::engine::{Platform, ToolInputs};
use crate::spec::{INITDB_OPTIONS, ServerSpec, digest};

/// The version of the links' content. It has to change with the content, so that old states are not
/// found under a new meaning.
const VERSION: &str = "devdb golden state 2";

/// Settings that change how a server works but not its data directory.
const HARMLESS: &[&str] = &[
    "checkpoint_completion_target",
    "checkpoint_timeout",
    "commit_delay",
    "effective_cache_size",
    "effective_io_concurrency",
    "fsync",
    "full_page_writes",
    "hash_mem_multiplier",
    "huge_pages",
    "logical_decoding_work_mem",
    "maintenance_work_mem",
    "max_connections",
    "max_parallel_maintenance_workers",
    "max_parallel_workers",
    "max_parallel_workers_per_gather",
    "max_wal_size",
    "max_worker_processes",
    "min_wal_size",
    "random_page_cost",
    "seq_page_cost",
    "shared_buffers",
    "synchronous_commit",
    "temp_buffers",
    "wal_buffers",
    "work_mem",
];

/// A state that a plan goes through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The fingerprint of everything up to this step: 64 hexadecimal digits.
    pub fingerprint: String,
    /// How many migrations the state has.
    pub migrations: usize,
    /// How many seed files the state has.
    pub seeds: usize,
}

/// The states that a plan goes through, the empty database first; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    steps: Vec<Step>,
    /// The fingerprint of the state before another tool migrates, and what that tool reads.
    grown: Option<(String, Growth)>,
}

/// What the key of `!encrypt` adds to the seeds' link, because another key gives other values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPart(String);

impl KeyPart {
    /// Makes the part from a key in base64. Nobody can compute the key from it, because the key is
    /// 32 random bytes.
    pub fn of(key: &str) -> Self {
        KeyPart(digest(["devdb key", key]))
    }
}

/// What one step of a source adds to the fingerprint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    parts: Vec<String>,
    /// How many items (files, or one command) the step applies.
    items: usize,
    /// Which states the step can go on from, apart from the one before it.
    growth: Option<Growth>,
}

impl Link {
    /// Makes the link of a step that applies so many items.
    pub(super) fn new<'a>(parts: impl IntoIterator<Item = &'a str>, items: usize) -> Self {
        let mut link = Link { parts: Vec::new(), items, growth: None };
        link.add(parts);
        link
    }

    /// Adds parts to the link.
    pub(super) fn add<'a>(&mut self, parts: impl IntoIterator<Item = &'a str>) {
        self.parts.extend(parts.into_iter().map(str::to_owned));
    }

    /// A link that can go on from states with a part of its files.
    pub(super) fn growing(self, growth: Growth) -> Self {
        Link { growth: Some(growth), ..self }
    }

    /// Adds the key of `!encrypt` if values depend on it.
    pub(super) fn add_key(&mut self, key: Option<&KeyPart>) {
        self.parts.extend(key.map(|KeyPart(part)| part.clone()));
    }
}

impl Chain {
    /// The chain of `plan` on a server as `spec` says. `key` is needed when the seeds' rows depend
    /// on it.
    pub fn of(spec: &ServerSpec, platform: &Platform, plan: &Plan, key: Option<&KeyPart>) -> Self {
        let mut chain = Chain { steps: vec![base(spec, platform)], grown: None };
        if !plan.migrates() {
            return chain;
        }
        if !spec.extensions.is_empty() {
            chain.link(&[&["extensions".to_owned()], spec.extensions.as_slice()].concat(), 0, 0);
        }
        for link in plan.migrations.links(None) {
            if let Some(growth) = link.growth {
                chain.grown = Some((chain.target().fingerprint.clone(), growth));
            }
            chain.link(&link.parts, link.items, 0);
        }
        if plan.seeds() {
            for link in plan.seeds.links(key) {
                chain.link(&link.parts, 0, link.items);
            }
        }
        chain
    }

    /// The whole state.
    pub fn target(&self) -> &Step {
        &self.steps[self.steps.len() - 1]
    }

    /// The state before the seeds, which a new migration builds on.
    pub fn migrated(&self) -> &Step {
        let unseeded = self.steps.iter().rev().find(|step| step.seeds == 0);
        unseeded.unwrap_or(&self.steps[0])
    }

    /// The empty database.
    pub fn base(&self) -> &Step {
        &self.steps[0]
    }

    /// All states, the whole one first.
    pub fn longest_first(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().rev()
    }

    /// What the label of a step's state says about the inputs of another tool. None when no tool
    /// has migrated that state.
    pub fn tool_inputs(&self, step: &Step) -> Option<ToolInputs> {
        let (before, growth) = self.grown.as_ref()?;
        (step.migrations > 0).then(|| growth.inputs(before))
    }

    /// Whether the other tool of this chain can go on from a state with these inputs.
    pub fn continues(&self, old: &ToolInputs) -> bool {
        self.grown.as_ref().is_some_and(|(before, growth)| growth.continues(before, old))
    }

    fn link(&mut self, parts: &[String], migrations: usize, seeds: usize) {
        let last = self.target();
        let mut all = vec![last.fingerprint.clone()];
        all.extend_from_slice(parts);
        let step = Step {
            fingerprint: digest(&all),
            migrations: last.migrations + migrations,
            seeds: last.seeds + seeds,
        };
        self.steps.push(step);
    }
}

fn base(spec: &ServerSpec, platform: &Platform) -> Step {
    let mut parts = vec![
        VERSION.to_owned(),
        platform.name.clone(),
        spec.major.to_string(),
        INITDB_OPTIONS.join(" "),
        spec.user.clone(),
        spec.database.clone(),
    ];
    let shaping = spec.settings.iter().filter(|(name, _)| shapes_data(name));
    parts.extend(shaping.map(|(name, value)| format!("{name}={value}")));
    Step { fingerprint: digest(&parts), migrations: 0, seeds: 0 }
}

fn shapes_data(setting: &str) -> bool {
    let name = setting.to_ascii_lowercase();
    !name.starts_with("log_") && !name.starts_with("auto_explain.") && !HARMLESS.contains(&&*name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::plan::Extent;
    use crate::spec::{
        CacheLimits, Durability, EngineChoice, Files, InstanceSpec, MigrationSpec, OutOfOrder,
        Owner, PortChoice, Retention, SeedSpec, SourceSpec,
    };

    fn spec() -> ServerSpec {
        ServerSpec {
            major: 15,
            image: "postgres:15".into(),
            image_chosen: false,
            bin_dir: None,
            database: "shop".into(),
            user: "postgres".into(),
            settings: BTreeMap::new(),
            extensions: Vec::new(),
            durability: Durability::Full,
            idle: None,
        }
    }

    fn plan(root: &Path) -> Plan {
        let source = |name: &str| {
            SourceSpec::Files(Files::Directory { path: root.join(name), required: false })
        };
        let spec = InstanceSpec {
            owner: Owner {
                project_id: "p".into(),
                project: "shop".into(),
                developer: "anna".into(),
                instance: "main".into(),
            },
            of_branch: false,
            engine: EngineChoice::Auto,
            server: spec(),
            port: PortChoice::Auto,
            migrations: MigrationSpec {
                source: source("migrations"),
                out_of_order: OutOfOrder::Refuse,
                keep_before: true,
            },
            seeds: SeedSpec {
                source: source("seeds"),
                profile: "dev".into(),
                usual_profile: "dev".into(),
                is_remembered: false,
                notes: None,
            },
            retention: Retention::default(),
            cache: CacheLimits::default(),
            timeout: Duration::ZERO,
        };
        Plan::load(&spec, Extent::Seeds).unwrap()
    }

    fn chain_of(root: &Path, spec: &ServerSpec, key: Option<&str>) -> Chain {
        let platform = Platform {
            name: "linux/amd64".into(),
            exact: "x".into(),
            machine: "linux/amd64".into(),
        };
        let plan = plan(root);
        let key = key.filter(|_| plan.needs_key()).map(KeyPart::of);
        Chain::of(spec, &platform, &plan, key.as_ref())
    }

    fn project() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("migrations/20260101000000_a.sql", "-- first\nCREATE TABLE a (b int);\n"),
            ("migrations/20260102000000_c.sql", "CREATE TABLE c (d int);\n"),
            ("seeds/010_a.sql", "INSERT INTO a VALUES (1);\n"),
        ] {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn each_step_is_a_state_and_the_last_has_everything() {
        let root = project();
        let chain = chain_of(root.path(), &spec(), None);
        let steps: Vec<_> =
            chain.longest_first().map(|step| (step.migrations, step.seeds)).collect();
        assert_eq!(steps, [(2, 1), (2, 0), (1, 0), (0, 0)]);
        assert_eq!(chain.migrated().migrations, 2);
        assert_eq!(chain.target().fingerprint.len(), 64);
    }

    #[test]
    fn line_endings_do_not_count_and_a_comment_does() {
        let root = project();
        let before = chain_of(root.path(), &spec(), None);
        let first = root.path().join("migrations/20260101000000_a.sql");
        std::fs::write(&first, "-- first\r\nCREATE TABLE a (b int);\r\n").unwrap();
        assert_eq!(chain_of(root.path(), &spec(), None), before);
        std::fs::write(&first, "-- 1st\nCREATE TABLE a (b int);\n").unwrap();
        let after = chain_of(root.path(), &spec(), None);
        assert_eq!(after.base(), before.base());
        assert_ne!(after.target(), before.target());
        assert_ne!(after.migrated(), before.migrated());
    }

    #[test]
    fn a_migration_at_the_end_keeps_every_state_before_it() {
        let root = project();
        let before = chain_of(root.path(), &spec(), None);
        let third = root.path().join("migrations/20260103000000_e.sql");
        std::fs::write(third, "CREATE TABLE e (f int);\n").unwrap();
        let after = chain_of(root.path(), &spec(), None);
        assert!(after.longest_first().any(|step| step == before.migrated()));
    }

    #[test]
    fn what_shapes_the_data_counts_and_how_much_memory_there_is_does_not() {
        let root = project();
        let usual = chain_of(root.path(), &spec(), None);
        let with = |name: &str| {
            let settings = BTreeMap::from([(name.to_owned(), "x".to_owned())]);
            chain_of(root.path(), &ServerSpec { settings, ..spec() }, None)
        };
        assert_eq!(with("shared_buffers"), usual);
        assert_eq!(with("log_statement"), usual);
        assert_ne!(with("timezone"), usual);
        let named = ServerSpec { database: "other".into(), ..spec() };
        assert_ne!(chain_of(root.path(), &named, None).base(), usual.base());
    }

    #[test]
    fn the_key_counts_only_where_something_is_encrypted() {
        let root = project();
        let (one, other) = (Some("key one"), Some("key two"));
        assert_eq!(chain_of(root.path(), &spec(), one), chain_of(root.path(), &spec(), other));
        let secret = "a:\n  x:\n    b: !encrypt hello\n";
        std::fs::write(root.path().join("seeds/020_a.yaml"), secret).unwrap();
        let (first, second) =
            (chain_of(root.path(), &spec(), one), chain_of(root.path(), &spec(), other));
        assert_ne!(first.target(), second.target());
        assert_eq!(first.migrated(), second.migrated());
    }
}
