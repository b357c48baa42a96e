//! Golden states and their builders.

use std::sync::Arc;
use std::time::{Duration, Instant};

use devdb::db::connect::Address;
use devdb::db::writes::{self, Baseline, Finding, OtherSessions};
use devdb::db::{checkpoint, password, scram};
use devdb::engine::golden::LABEL_SCHEMA;
use devdb::engine::{Engine, GoldenLabel, GoldenState, Launch, PrivateServer};
use devdb::populate::ready;
use devdb::spec::{Owner, digest};
use sqlx::PgConnection;

use crate::common::{self, Bench, OF_THE_BUILDER, PASSWORD};
use crate::{PATIENCE, execute, port_of, put_a_row, text, the_row};

async fn start(bench: &Bench, owner: &Owner, from: Option<&GoldenState>) -> PrivateServer {
    bench.start_builder(owner, &bench.spec, from).await
}

fn address(bench: &Bench, builder: &PrivateServer, password: &str) -> Address {
    bench.address_of(builder, &bench.spec, password)
}

fn log_in(bench: &Bench, builder: &PrivateServer) -> impl Future<Output = PgConnection> + use<> {
    let address = address(bench, builder, OF_THE_BUILDER);
    async move {
        // Until it has been given its password it refuses every one.
        ready::first_login(&address, PATIENCE).await.unwrap();
        address.connect().await.unwrap()
    }
}

/// At once: a builder that accepts one password refuses the others.
async fn is_refused(address: Address) -> bool {
    let refused = address.try_connect().await.expect_err("this password opens it");
    refused.as_database_error().is_some_and(|error| error.code().as_deref() == Some("28P01"))
}

async fn label(bench: &Bench, clean: bool, next_transaction: u64) -> GoldenLabel {
    bench.label(&bench.spec, clean, next_transaction).await
}

/// A clean state with the row, made as devdb makes one.
async fn bake(bench: &Bench, owner: &Owner) -> GoldenState {
    let mut builder = start(bench, owner, None).await;
    put_a_row(&mut log_in(bench, &builder).await).await;
    let of_the_builder = address(bench, &builder, OF_THE_BUILDER);
    let next = password::remove_password(&of_the_builder).await.unwrap();
    let state = builder.publish(&label(bench, true, next).await).await.unwrap();
    builder.discard().await.unwrap();
    state
}

async fn listed(bench: &Bench) -> Vec<GoldenState> {
    let states = bench.engine.golden_states().await.unwrap();
    states.into_iter().filter(|state| state.label.project == bench.project()).collect()
}

pub async fn a_builder_from_nothing_accepts_its_password_alone(bench: Arc<Bench>) {
    let builder = start(&bench, &bench.owner("anna"), None).await;
    let mut connection = log_in(&bench, &builder).await;
    assert_eq!(text(&mut connection, "SELECT current_database()::text").await, "app");
    assert_eq!(text(&mut connection, "SHOW wal_segment_size").await, "1MB");
    assert_eq!(text(&mut connection, "SHOW fsync").await, "off");
    for password in ["wrong", "", PASSWORD] {
        assert!(is_refused(address(&bench, &builder, password)).await, "{password:?}");
    }
    builder.discard().await.unwrap();
}

pub async fn a_builder_from_a_state_has_its_data_and_another_password(bench: Arc<Bench>) {
    let owner = bench.owner("anna");
    let state = bake(&bench, &owner).await;
    let builder = start(&bench, &bench.owner("bert"), Some(&state)).await;
    assert_eq!(the_row(&mut log_in(&bench, &builder).await).await, "a row");
    for password in ["wrong", "", PASSWORD] {
        assert!(is_refused(address(&bench, &builder, password)).await, "{password:?}");
    }
    builder.discard().await.unwrap();
}

pub async fn a_builder_that_was_published_goes_on(bench: Arc<Bench>) {
    let owner = bench.owner("anna");
    let mut builder = start(&bench, &owner, None).await;
    put_a_row(&mut log_in(&bench, &builder).await).await;
    checkpoint::checkpoint(&address(&bench, &builder, OF_THE_BUILDER)).await.unwrap();
    let label = label(&bench, false, 0).await;
    builder.publish_live(&label).await.unwrap();
    let mut connection = log_in(&bench, &builder).await;
    execute(&mut connection, "UPDATE kept SET what = 'a later row'").await;
    assert_eq!(the_row(&mut connection).await, "a later row");
    builder.discard().await.unwrap();

    let states = listed(&bench).await;
    assert_eq!(states.len(), 1, "{states:?}");
    assert_eq!(states[0].label, label);
    assert!(states[0].bytes > 1 << 20, "{states:?}");
    let builder = start(&bench, &owner, Some(&states[0])).await;
    assert_eq!(the_row(&mut log_in(&bench, &builder).await).await, "a row");
    builder.discard().await.unwrap();
}

pub async fn a_builder_that_is_discarded_leaves_nothing(bench: Arc<Bench>) {
    let owner = bench.owner("anna");
    let builder = start(&bench, &owner, None).await;
    log_in(&bench, &builder).await;
    builder.discard().await.unwrap();
    let state = bake(&bench, &owner).await;
    // At once, before it accepts a login.
    start(&bench, &owner, Some(&state)).await.discard().await.unwrap();
    assert!(bench.servers(&owner).await.is_empty());
    assert!(bench.generations(&owner).await.is_empty());
    assert_eq!(listed(&bench).await.len(), 1);
    // One that nobody discarded makes room for the next.
    std::mem::forget(start(&bench, &owner, Some(&state)).await);
    let builder = start(&bench, &owner, None).await;
    log_in(&bench, &builder).await;
    assert_eq!(bench.servers(&owner).await.len(), 1);
    builder.discard().await.unwrap();
}

pub async fn nobody_gets_into_a_copy_but_with_the_password_it_is_given(bench: Arc<Bench>) {
    let owner = bench.owner("anna");
    let state = bake(&bench, &owner).await;
    let generation = bench.engine.clone_golden(&state, &owner, 4, &bench.spec).await.unwrap();
    assert_eq!(generation.origin.as_ref(), Some(&state.label.fingerprint));
    let all = bench.generations(&owner).await;
    assert_eq!(
        all.iter().map(|one| (one.id, &one.origin)).collect::<Vec<_>>(),
        [(4, &generation.origin)]
    );
    let again = bench.engine.clone_golden(&state, &owner, 4, &bench.spec).await;
    again.expect_err("it exists already");

    // Without a password.
    let port = common::free_port();
    let relaunch = bench.relaunch(&owner, 4, &bench.spec, port);
    let server = bench.engine.launch(&relaunch).await.unwrap();
    let passwords = ["", OF_THE_BUILDER, PASSWORD];
    let deadline = Instant::now() + PATIENCE;
    for password in passwords {
        while !is_refused(bench.address(&server, &bench.spec, password)).await {
            assert!(Instant::now() < deadline, "it does not answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    bench.down(&server).await;

    // From the first moment until it has been given one, and after that.
    let tries = tokio::spawn({
        let bench = Arc::clone(&bench);
        let server = server.clone();
        async move {
            for _ in 0..200 {
                for password in ["", OF_THE_BUILDER] {
                    let address = bench.address(&server, &bench.spec, password);
                    assert!(address.try_connect().await.is_err(), "{password:?} opens it");
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    });
    let verifier = scram::verifier(PASSWORD);
    let launch = Launch { verifier: Some(&verifier), ..relaunch };
    let server = bench.engine.launch(&launch).await.unwrap();
    assert_eq!(port_of(&server), port);
    assert_eq!(the_row(&mut bench.log_in(&server).await).await, "a row");
    tries.await.unwrap();
}

pub async fn the_first_transaction_of_a_copy_is_foretold(bench: Arc<Bench>) {
    let owner = bench.owner("anna");
    let state = bake(&bench, &owner).await;
    bench.engine.clone_golden(&state, &owner, 1, &bench.spec).await.unwrap();
    let verifier = scram::verifier(PASSWORD);
    let relaunch = bench.relaunch(&owner, 1, &bench.spec, common::free_port());
    let launch = Launch { verifier: Some(&verifier), ..relaunch };
    let server = bench.engine.launch(&launch).await.unwrap();
    let mut connection = bench.log_in(&server).await;
    let address = bench.address(&server, &bench.spec, PASSWORD);
    let untouched = state.label.next_transaction + 1;
    the_row(&mut connection).await;
    let finding = async || {
        let baseline = Baseline { next_transaction: untouched, writes: None };
        writes::since(baseline, &address, OtherSessions::Leave).await.unwrap()
    };
    assert_eq!(finding().await, Finding::Untouched(untouched));
    execute(&mut connection, "UPDATE kept SET what = 'written'").await;
    assert_eq!(finding().await, Finding::Unclear);
    // A state that is published cleanly needs no recovery.
    let log = bench.log(&server, None).await;
    assert!(!log.contains("not properly shut down") && !log.contains("redo starts"), "{log}");
}

pub async fn a_state_that_is_removed_takes_no_copy_along(bench: Arc<Bench>) {
    let owner = bench.owner("anna");
    let state = bake(&bench, &owner).await;
    for number in [1, 2] {
        bench.engine.clone_golden(&state, &owner, number, &bench.spec).await.unwrap();
    }
    let verifier = scram::verifier(PASSWORD);
    let port = common::free_port();
    let relaunch = bench.relaunch(&owner, 1, &bench.spec, port);
    let first =
        bench.engine.launch(&Launch { verifier: Some(&verifier), ..relaunch }).await.unwrap();
    bench.engine.remove_golden(&state).await.unwrap();
    bench.engine.remove_golden(&state).await.expect("gone already is no error");
    assert!(listed(&bench).await.is_empty());
    assert_eq!(the_row(&mut bench.log_in(&first).await).await, "a row");
    bench.down(&first).await;
    let relaunch = bench.relaunch(&owner, 2, &bench.spec, port);
    let launch = Launch { verifier: Some(&verifier), ..relaunch };
    let second = bench.engine.launch(&launch).await.unwrap();
    assert_eq!(the_row(&mut bench.log_in(&second).await).await, "a row");
    bench.engine.clone_golden(&state, &owner, 3, &bench.spec).await.expect_err("it is gone");
    assert_eq!(bench.generations(&owner).await.len(), 2, "nothing half-made is left");
}

pub async fn a_state_with_a_damaged_or_newer_label_is_not_listed(bench: Arc<Bench>) {
    let owner = bench.owner("anna");
    let state = bake(&bench, &owner).await;
    assert_eq!(listed(&bench).await.len(), 1);
    let mut newer = state.label.clone();
    newer.schema = LABEL_SCHEMA + 1;
    let other = GoldenLabel { fingerprint: digest(["another"]), ..state.label.clone() };
    for damage in ["", "{", "{\"schema\": 1}", &json(&newer), &json(&other)] {
        let damaged = Damaged::put(&bench, &state, damage);
        assert!(listed(&bench).await.is_empty(), "{damage}");
        damaged.mend();
        assert_eq!(listed(&bench).await.len(), 1);
    }
}

fn json(label: &GoldenLabel) -> String {
    serde_json::to_string(label).unwrap()
}

/// A state whose label says something else for a while.
enum Damaged {
    Image { id: String, reference: String },
    File { path: std::path::PathBuf, text: String },
}

impl Damaged {
    fn put(bench: &Bench, state: &GoldenState, label: &str) -> Damaged {
        match bench.engine {
            Engine::Docker(_) => {
                let reference = state.handle.clone();
                let id = common::docker::said(&["image", "inspect", "-f", "{{.Id}}", &reference]);
                let recipe = format!("FROM {reference}\nLABEL devdb.golden='{label}'\n");
                common::docker::build(&reference, &recipe);
                Damaged::Image { id, reference }
            }
            Engine::Native(_) => {
                let path = std::path::Path::new(&state.handle).join("golden.json");
                let text = std::fs::read_to_string(&path).unwrap();
                // The label is in an envelope.
                let damaged = match serde_json::from_str::<serde_json::Value>(label) {
                    Ok(label) => {
                        serde_json::json!({"schema": 1, "bytes": 1, "label": label}).to_string()
                    }
                    Err(_) => label.to_owned(),
                };
                std::fs::write(&path, damaged).unwrap();
                Damaged::File { path, text }
            }
        }
    }

    fn mend(self) {
        match self {
            Damaged::Image { id, reference } => {
                let damaged =
                    common::docker::said(&["image", "inspect", "-f", "{{.Id}}", &reference]);
                common::docker::said(&["tag", &id, &reference]);
                common::docker::said(&["rmi", &damaged]);
            }
            Damaged::File { path, text } => std::fs::write(path, text).unwrap(),
        }
    }
}
