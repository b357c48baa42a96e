//! What the test suites share: engines to run on, owners that nobody else has, and cleaning up.

pub mod docker;
pub mod native;

use std::collections::BTreeMap;
use std::future::Future;
use std::io::Write;
use std::net::TcpListener;
use std::sync::{Arc, Weak};
use std::time::Duration;

use chrono::Utc;
use devdb::db::connect::{Address, Counting, wait_for_login};
use devdb::db::{password, scram};
use devdb::engine::golden::LABEL_SCHEMA;
use devdb::engine::{
    Endpoint, Engine, Generation, GoldenLabel, GoldenState, Launch, Lease, PrivateLaunch,
    PrivateServer, Role, Server,
};
use devdb::error::{Kind, Result};
use devdb::event::Events;
use devdb::populate::ready;
use devdb::spec::{Durability, EngineKind, MadeWith, Owner, ServerSpec, digest};
use secrecy::SecretString;
use sqlx::PgConnection;
use tokio::sync::Mutex;

/// The password of every server in the tests.
pub const PASSWORD: &str = "a-password-of-the-tests";

/// The password of the tests' builders.
pub const OF_THE_BUILDER: &str = "a-password-of-a-builder";

/// How long a server may take until it accepts logins, on a busy machine.
const READY: Duration = Duration::from_secs(60);

/// One test's place to work: an engine, a project that no other test has, and what to remove.
pub struct Bench {
    pub engine: Engine,
    /// The launches that nobody says more about.
    pub spec: ServerSpec,
    project: String,
    /// The golden states that the test has begun with.
    bases: Mutex<Vec<Arc<Base>>>,
    /// Native: its environment, and where its store is; removed last.
    pub native: Option<native::Scratch>,
}

/// Runs one test on one engine and removes what it made, whether it passes or fails. When the
/// engine is not there, says so; that is a failure when the engine was promised or `CI` is set.
pub async fn run<F, T>(kind: EngineKind, suite: &str, test: F)
where
    F: FnOnce(Arc<Bench>) -> T,
    T: Future<Output = ()> + Send + 'static,
{
    let bench = match Bench::new(kind).await {
        Ok(bench) => Arc::new(bench),
        Err(why) => return skip(kind, suite, &why),
    };
    let outcome = tokio::spawn(test(Arc::clone(&bench))).await;
    let cleaned = bench.clean().await;
    if let Err(failure) = outcome {
        std::panic::resume_unwind(failure.into_panic());
    }
    cleaned.expect("everything the test made can be removed");
}

fn skip(kind: EngineKind, suite: &str, why: &str) {
    let promise = format!("DEVDB_TEST_{}", kind.as_str().to_uppercase());
    // Straight to the stream: the test harness keeps what `println!` says of a passing test.
    let _ = writeln!(std::io::stderr(), "\nSKIPPED: {suite}/{kind}: {why}");
    for variable in [promise.as_str(), "CI"] {
        let value = std::env::var(variable).unwrap_or_default();
        assert!(
            value.is_empty() || value == "0",
            "{variable} is set, but {kind} is missing: {why}"
        );
    }
}

/// PostgreSQL 15 that costs the disk nothing.
pub fn spec() -> ServerSpec {
    ServerSpec {
        major: 15,
        image: "postgres:15".into(),
        image_chosen: false,
        bin_dir: None,
        database: "app".into(),
        user: "postgres".into(),
        settings: BTreeMap::new(),
        extensions: Vec::new(),
        durability: Durability::None,
        idle: None,
    }
}

/// The golden states that the tests of this process share, for as long as one of them runs.
static BASES: Mutex<Vec<Weak<Base>>> = Mutex::const_new(Vec::new());

/// A golden state without a migration or a seed.
struct Base {
    /// Where it was baked.
    bench: Bench,
    state: GoldenState,
}

impl Base {
    async fn bake(kind: EngineKind, spec: &ServerSpec) -> Base {
        let bench = Bench::new(kind).await.unwrap();
        let mut builder = bench.start_builder(&bench.owner("base"), spec, None).await;
        let address = bench.address_of(&builder, spec, OF_THE_BUILDER);
        ready::first_login(&address, READY).await.unwrap();
        let next = password::remove_password(&address).await.unwrap();
        let state = builder.publish(&bench.label(spec, true, next).await).await.unwrap();
        builder.discard().await.unwrap();
        Base { bench, state }
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        // The native engine's goes with the bench's store.
        if self.bench.engine.kind() == EngineKind::Docker {
            docker::said(&["rmi", &self.state.handle]);
        }
    }
}

impl Bench {
    /// A place to work on an engine, or why there is no such engine.
    async fn new(kind: EngineKind) -> std::result::Result<Bench, String> {
        let (engine, native) = match kind {
            EngineKind::Docker => (Engine::Docker(docker::engine().await?), None),
            EngineKind::Native => {
                let (engine, scratch) = native::engine()?;
                (Engine::Native(engine), Some(scratch))
            }
        };
        Ok(Bench {
            engine,
            spec: spec(),
            project: uuid::Uuid::new_v4().to_string(),
            bases: Mutex::default(),
            native,
        })
    }

    /// The id of the test's project, and the name that its golden states bear.
    pub fn project(&self) -> &str {
        &self.project
    }

    /// An owner that only this test has.
    pub fn owner(&self, developer: &str) -> Owner {
        Owner {
            project_id: self.project.clone(),
            project: "conformance".into(),
            developer: developer.into(),
            instance: "main".into(),
        }
    }

    /// The test's spec with one more setting.
    pub fn with_setting(&self, name: &str, value: &str) -> ServerSpec {
        let mut spec = self.spec.clone();
        spec.settings.insert(name.into(), value.into());
        spec
    }

    /// Makes a generation and launches its server, as production does: from a golden state.
    pub async fn make(&self, owner: &Owner, number: u32) -> Server {
        self.make_as(owner, number, &self.spec).await
    }

    /// The same with another spec.
    pub async fn make_as(&self, owner: &Owner, number: u32, spec: &ServerSpec) -> Server {
        self.make_generation_as(owner, number, spec).await;
        let verifier = scram::verifier(PASSWORD);
        let launch = self.relaunch(owner, number, spec, free_port());
        self.engine.launch(&Launch { verifier: Some(&verifier), ..launch }).await.unwrap()
    }

    /// Makes a generation that is a copy of the base golden state. No server has run on it.
    pub async fn make_generation(&self, owner: &Owner, number: u32) -> Generation {
        self.make_generation_as(owner, number, &self.spec).await
    }

    /// The same with another spec.
    pub async fn make_generation_as(
        &self,
        owner: &Owner,
        number: u32,
        spec: &ServerSpec,
    ) -> Generation {
        let base = self.base(spec).await;
        self.engine.clone_golden(&base, owner, number, spec).await.unwrap()
    }

    /// The golden state without a migration or a seed, for a database and a user. The tests of one
    /// process share it.
    pub async fn base(&self, spec: &ServerSpec) -> GoldenState {
        let wanted = MadeWith::of(spec, self.engine.kind());
        let mut bases = BASES.lock().await;
        let shared = bases.iter().filter_map(Weak::upgrade);
        let base = match shared.into_iter().find(|base| base.state.label.made_with == wanted) {
            Some(base) => base,
            None => {
                let base = Arc::new(Base::bake(self.engine.kind(), spec).await);
                bases.push(Arc::downgrade(&base));
                base
            }
        };
        drop(bases);
        let state = match &self.engine {
            Engine::Docker(_) => base.state.clone(),
            Engine::Native(engine) => native::copy_state(engine, &base.state).await,
        };
        self.bases.lock().await.push(base);
        state
    }

    /// Starts a builder from nothing or from a golden state.
    pub async fn start_builder(
        &self,
        owner: &Owner,
        spec: &ServerSpec,
        from: Option<&GoldenState>,
    ) -> PrivateServer {
        self.engine.prepare(spec, &Events::silent()).await.unwrap();
        let launch = PrivateLaunch {
            owner,
            role: Role::Builder,
            lease: &Lease::of_this_process(None),
            spec,
            from,
            unpack: None,
            verifier: &scram::verifier(OF_THE_BUILDER),
        };
        self.engine.start_private(&launch).await.unwrap()
    }

    /// What a client of a private server needs.
    pub fn address_of(&self, server: &PrivateServer, spec: &ServerSpec, password: &str) -> Address {
        address(server.endpoint(), spec, password)
    }

    /// The label of a golden state that this test makes.
    pub async fn label(&self, spec: &ServerSpec, clean: bool, next: u64) -> GoldenLabel {
        GoldenLabel {
            schema: LABEL_SCHEMA,
            fingerprint: digest([&uuid::Uuid::new_v4().to_string()]),
            clean,
            depth: 0,
            platform: self.engine.platform(spec).await.unwrap().exact,
            made_with: MadeWith::of(spec, self.engine.kind()),
            project: self.project.clone(),
            migrations: 0,
            seeds: 0,
            created: Utc::now(),
            next_transaction: next,
            writes: None,
            local: false,
            tool: None,
        }
    }

    /// How to launch the server of an instance whose user has a password.
    pub fn relaunch<'a>(
        &self,
        owner: &'a Owner,
        generation: u32,
        spec: &'a ServerSpec,
        port: u16,
    ) -> Launch<'a> {
        Launch { owner, generation, number: generation, spec, port, verifier: None }
    }

    /// What a client needs.
    pub fn address(&self, server: &Server, spec: &ServerSpec, password: &str) -> Address {
        let endpoint = server.endpoint.as_ref().expect("a launched server has an endpoint");
        address(endpoint, spec, password)
    }

    /// A connection to a server that should be there; its end, if it dies meanwhile, is the error.
    pub async fn log_in(&self, server: &Server) -> PgConnection {
        self.log_in_as(server, &self.spec).await
    }

    /// The same with another spec.
    pub async fn log_in_as(&self, server: &Server, spec: &ServerSpec) -> PgConnection {
        let address = self.address(server, spec, PASSWORD);
        tokio::select! {
            ready = wait_for_login(&address, READY) => ready.unwrap(),
            exit = self.engine.exited(server) => panic!("the server ended: {exit:?}"),
        }
        address.connect().await.unwrap()
    }

    /// Stops and removes a server, so that another can be launched on its data.
    pub async fn down(&self, server: &Server) {
        self.engine.stop(server, READY).await.unwrap();
        self.engine.remove_server(server).await.unwrap();
    }

    /// The servers of an owner.
    pub async fn servers(&self, owner: &Owner) -> Vec<Server> {
        self.engine.servers(Some(&owner.key())).await.unwrap()
    }

    /// The generations of an owner.
    pub async fn generations(&self, owner: &Owner) -> Vec<Generation> {
        self.engine.generations(Some(&owner.key())).await.unwrap()
    }

    /// Everything that a server's log says, or its last lines.
    pub async fn log(&self, server: &Server, tail: Option<usize>) -> String {
        let mut text = Vec::new();
        let mut sink = |bytes: &[u8]| text.extend_from_slice(bytes);
        self.engine.logs(server, tail, false, &mut sink).await.unwrap();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Puts something without devdb's mark where a generation would be.
    pub fn put_stranger(&self, owner: &Owner, number: u32) -> Stranger {
        match &self.engine {
            Engine::Docker(_) => docker::put_stranger(&owner.generation_name(number)),
            Engine::Native(engine) => native::put_stranger(engine, owner, number),
        }
    }

    async fn clean(&self) -> Result<()> {
        for server in self.engine.servers(None).await? {
            if server.owner.project_id == self.project {
                self.engine.remove_server(&server).await?;
            }
        }
        for generation in self.engine.generations(None).await? {
            if generation.owner.project_id == self.project {
                self.engine.remove_generation(&generation).await?;
            }
        }
        for state in self.engine.golden_states().await? {
            if state.label.project == self.project {
                self.engine.remove_golden(&state).await?;
            }
        }
        Ok(())
    }
}

fn address(endpoint: &Endpoint, spec: &ServerSpec, password: &str) -> Address {
    Address {
        host: endpoint.host.clone(),
        port: endpoint.port,
        database: spec.database.clone(),
        user: spec.user.clone(),
        password: SecretString::from(password),
        counting: Counting::On,
    }
}

/// Something that devdb did not make. Removed on drop.
pub enum Stranger {
    Volume(String),
    Directory(std::path::PathBuf),
}

impl Stranger {
    /// What an engine would call it.
    pub fn handle(&self) -> String {
        match self {
            Stranger::Volume(name) => name.clone(),
            Stranger::Directory(path) => path.to_string_lossy().into_owned(),
        }
    }

    /// Whether it is there as it was put.
    pub fn is_untouched(&self) -> bool {
        match self {
            Stranger::Volume(name) => docker::volume_exists(name),
            Stranger::Directory(path) => path.join("precious").is_file(),
        }
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        match self {
            Stranger::Volume(name) => docker::remove_volume(name),
            Stranger::Directory(path) => drop(std::fs::remove_dir_all(path)),
        }
    }
}

/// A port that nobody has, below those that the system gives out by itself. Drawn at random: other
/// tests draw at the same time.
pub fn free_port() -> u16 {
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let drawn = std::iter::repeat_with(|| rand::random_range(20_000..32_000));
    drawn.take(1000).find(free).expect("one of a thousand ports is free")
}

/// The kind of a failure, for what should fail.
pub fn kind_of<T: std::fmt::Debug>(result: Result<T>) -> Kind {
    result.expect_err("this should fail").kind()
}
