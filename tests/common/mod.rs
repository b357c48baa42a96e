//! What the test suites share: engines to run on, owners that nobody else has, and cleaning up.

pub mod docker;
pub mod native;

use std::collections::BTreeMap;
use std::future::Future;
use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use devdb::db::connect::{Address, wait_for_login};
use devdb::db::scram;
use devdb::engine::{Engine, Generation, Launch, Role, Server};
use devdb::error::{Kind, Result};
use devdb::event::Events;
use devdb::spec::{Durability, EngineKind, Owner, ServerSpec};
use secrecy::SecretString;
use sqlx::PgConnection;

/// The password of every server in the tests.
pub const PASSWORD: &str = "a-password-of-the-tests";

/// How long a server may take until it accepts logins, on a busy machine.
const READY: Duration = Duration::from_secs(60);

/// One test's place to work: an engine, a project that no other test has, and what to remove.
pub struct Bench {
    pub engine: Engine,
    /// The launches that nobody says more about.
    pub spec: ServerSpec,
    project: String,
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
    let found = match kind {
        EngineKind::Docker => docker::engine().await.map(|engine| (Engine::Docker(engine), None)),
        EngineKind::Native => {
            native::engine().map(|(e, scratch)| (Engine::Native(e), Some(scratch)))
        }
    };
    let (engine, scratch) = match found {
        Ok(found) => found,
        Err(why) => return skip(kind, suite, &why),
    };
    let bench = Arc::new(Bench {
        engine,
        spec: spec(),
        project: uuid::Uuid::new_v4().to_string(),
        native: scratch,
    });
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
    }
}

impl Bench {
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

    /// Makes a generation and launches a server on it; an instance gets a port of its own, as a
    /// person's always has.
    pub async fn make(&self, owner: &Owner, number: u32, role: Role) -> Server {
        self.make_as(owner, number, role, &self.spec).await
    }

    /// The same with another spec.
    pub async fn make_as(
        &self,
        owner: &Owner,
        number: u32,
        role: Role,
        spec: &ServerSpec,
    ) -> Server {
        self.engine.prepare(spec, &Events::silent()).await.unwrap();
        self.engine.create_generation(owner, number, spec).await.unwrap();
        let launch = Launch {
            verifier: Some(&scram::verifier(PASSWORD)),
            ..self.relaunch(owner, number, spec, (role == Role::Instance).then(free_port))
        };
        self.engine.launch(&Launch { role, ..launch }).await.unwrap()
    }

    /// How to launch an instance on an initialised generation.
    pub fn relaunch<'a>(
        &self,
        owner: &'a Owner,
        generation: u32,
        spec: &'a ServerSpec,
        port: Option<u16>,
    ) -> Launch<'a> {
        Launch { owner, generation, role: Role::Instance, spec, port, verifier: None }
    }

    /// What a client needs.
    pub fn address(&self, server: &Server, spec: &ServerSpec, password: &str) -> Address {
        let endpoint = server.endpoint.clone().expect("a launched server has an endpoint");
        Address {
            host: endpoint.host,
            port: endpoint.port,
            database: spec.database.clone(),
            user: spec.user.clone(),
            password: SecretString::from(password),
        }
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
