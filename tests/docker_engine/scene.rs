//! A daemon, an owner that nobody else has, and the removal of all that a test made.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

use chrono::Utc;
use devdb::db::connect::{Address, Counting, wait_for_login};
use devdb::db::{password, scram};
use devdb::engine::docker::{Docker, DockerEnvironment, PrivateServer, discover};
use devdb::engine::golden::LABEL_SCHEMA;
use devdb::engine::{
    Endpoint, Generation, GoldenLabel, GoldenState, Launch, Lease, PrivateLaunch, Role, Server,
};
use devdb::error::Result;
use devdb::populate::ready;
use devdb::spec::{Durability, EngineKind, MadeWith, Owner, ServerSpec, digest};
use secrecy::SecretString;
use tokio::sync::Mutex;

/// The password of every server in the tests.
pub const PASSWORD: &str = "a-password-that-no-inspect-may-show";

/// One test's place to work.
pub struct Scene {
    pub docker: Docker,
    pub owner: Owner,
    pub spec: ServerSpec,
    bases: Mutex<Vec<GoldenState>>,
}

impl Scene {
    /// None, said on a line of its own, where no daemon answers; a failure where one must.
    pub async fn set() -> Option<Self> {
        let env = DockerEnvironment {
            docker_host: std::env::var("DOCKER_HOST").ok(),
            home: std::env::var_os("HOME").map(Into::into),
            ..Default::default()
        };
        let found = discover(&env).await;
        let Some(docker) = found.engine else {
            skip(&found.error().to_string());
            return None;
        };
        let owner = Owner {
            project_id: uuid::Uuid::new_v4().to_string(),
            project: "docker-engine".into(),
            developer: "tester".into(),
            instance: "main".into(),
        };
        Some(Scene { docker, owner, spec: spec("postgres:15"), bases: Mutex::default() })
    }

    /// A copy of the base golden state, as production makes it.
    pub async fn generation(&self, number: u32) -> Generation {
        let base = self.base().await;
        let made = self.docker.clone_golden(&base, &self.owner, number, &self.spec).await;
        made.expect("a generation")
    }

    /// The golden state without a migration or a seed, baked by the scene's image.
    pub async fn base(&self) -> GoldenState {
        let wanted = MadeWith::of(&self.spec, EngineKind::Docker);
        let mut bases = self.bases.lock().await;
        if let Some(base) = bases.iter().find(|base| base.label.made_with == wanted) {
            return base.clone();
        }
        let mut builder = self.builder_with(&scram::verifier(PASSWORD)).await;
        let address = self.address_at(builder.endpoint(), PASSWORD);
        ready::first_login(&address, Duration::from_secs(60)).await.expect("a login");
        let next = password::remove_password(&address).await.expect("a transaction id");
        let label = self.label(next).await;
        let base = builder.publish(&label).await.expect("a golden state");
        builder.discard().await.expect("the builder goes");
        bases.push(base.clone());
        base
    }

    /// A builder that starts from nothing.
    pub async fn builder_with(&self, verifier: &str) -> PrivateServer {
        let launch = PrivateLaunch {
            owner: &self.owner,
            role: Role::Builder,
            lease: &Lease::of_this_process(None),
            spec: &self.spec,
            from: None,
            unpack: None,
            verifier,
        };
        self.docker.start_private(&launch).await.expect("a builder")
    }

    /// The label of a golden state that the scene's image makes.
    pub async fn label(&self, next_transaction: u64) -> GoldenLabel {
        GoldenLabel {
            schema: LABEL_SCHEMA,
            fingerprint: digest([self.owner.project_id.as_str(), self.spec.image.as_str()]),
            clean: true,
            depth: 0,
            platform: self.docker.platform(&self.spec).await.expect("the image").exact,
            made_with: MadeWith::of(&self.spec, EngineKind::Docker),
            project: self.owner.project.clone(),
            migrations: 0,
            seeds: 0,
            created: Utc::now(),
            next_transaction,
            writes: None,
            local: false,
            tool: None,
        }
    }

    pub async fn launch(&self, generation: u32, port: u16) -> Result<Server> {
        self.launch_with(generation, port, &scram::verifier(PASSWORD)).await
    }

    pub async fn launch_with(&self, generation: u32, port: u16, verifier: &str) -> Result<Server> {
        let (owner, spec, verifier) = (&self.owner, &self.spec, Some(verifier));
        let number = generation;
        self.docker.launch(&Launch { owner, generation, number, spec, port, verifier }).await
    }

    pub fn address(&self, server: &Server, password: &str) -> Address {
        self.address_at(server.endpoint.as_ref().expect("an endpoint"), password)
    }

    pub fn address_at(&self, endpoint: &Endpoint, password: &str) -> Address {
        Address {
            host: endpoint.host.clone(),
            port: endpoint.port,
            database: self.spec.database.clone(),
            user: self.spec.user.clone(),
            password: SecretString::from(password),
            counting: Counting::On,
        }
    }

    pub async fn ready(&self, server: &Server) {
        let waited = wait_for_login(&self.address(server, PASSWORD), Duration::from_secs(60)).await;
        if let Err(error) = waited {
            panic!("{error}\n{}", docker(&["logs", &server.handle]));
        }
    }

    /// What `docker inspect` shows of an object.
    pub fn inspect(&self, object: &str, format: &str) -> String {
        docker(&["inspect", "--format", format, object])
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // By name: also what has the name without the labels.
        let name = format!("name={}", self.owner.base_name());
        for id in docker(&["ps", "-aq", "--filter", &name]).split_whitespace() {
            docker(&["rm", "-fv", id]);
        }
        for volume in docker(&["volume", "ls", "-q", "--filter", &name]).split_whitespace() {
            docker(&["volume", "rm", volume]);
        }
        for base in self.bases.get_mut().iter() {
            docker(&["rmi", &base.handle]);
        }
    }
}

/// Says that a test cannot run; a failure where an engine was promised or `CI` is set.
pub fn skip(why: &str) {
    // Straight to the stream: the harness keeps what `println!` says of a passing test.
    let _ = writeln!(std::io::stderr(), "\nSKIPPED: docker_engine: {why}");
    for variable in ["CI", "DEVDB_TEST_DOCKER"] {
        let set = std::env::var_os(variable).is_some_and(|value| !value.is_empty());
        assert!(!set, "{variable} is set, so nothing may be skipped: {why}");
    }
}

/// PostgreSQL 15 that costs the disk nothing.
pub fn spec(image: &str) -> ServerSpec {
    ServerSpec {
        major: 15,
        image: image.to_owned(),
        image_chosen: false,
        bin_dir: None,
        database: "App db".into(),
        user: "Anna B.".into(),
        settings: BTreeMap::from([("log_min_messages".into(), "log".into())]),
        extensions: Vec::new(),
        durability: Durability::None,
        idle: None,
    }
}

/// Both streams of the docker command line.
pub fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().expect("the docker command");
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    text.trim().to_owned()
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port()
}

/// Waits until something holds, and says how long it took.
pub async fn until(what: &str, patience: Duration, mut holds: impl FnMut() -> bool) -> Duration {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < patience, "{what}: not within {patience:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    started.elapsed()
}
