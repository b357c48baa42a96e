//! What every engine must do. Each property is a test of its own on each engine.
//!
//! `DEVDB_TEST_DOCKER=1` and `DEVDB_TEST_NATIVE=1` promise an engine: then its absence is a
//! failure. Without them it is a line that begins with `SKIPPED:`.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[expect(dead_code, reason = "each suite uses its part")]
mod common;
#[path = "conformance/golden.rs"]
mod golden;
#[path = "conformance/locks.rs"]
mod locks;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{Bench, OF_THE_BUILDER, PASSWORD, kind_of};
use devdb::db::{password, scram};
use devdb::engine::{Generation, Launch, Role, Status};
use devdb::error::{Error, Kind};
use devdb::populate::ready;
use devdb::spec::{EngineKind, MadeWith, Owner};
use golden::{
    a_builder_from_a_state_has_its_data_and_another_password,
    a_builder_from_nothing_accepts_its_password_alone, a_builder_that_is_discarded_leaves_nothing,
    a_builder_that_was_published_goes_on, a_state_that_is_removed_takes_no_copy_along,
    a_state_with_a_damaged_or_newer_label_is_not_listed,
    nobody_gets_into_a_copy_but_with_the_password_it_is_given,
    the_first_transaction_of_a_copy_is_foretold,
};
use locks::{
    a_lock_has_one_holder_until_it_is_given_back, a_lock_that_is_held_is_waited_for,
    the_lock_of_a_process_that_has_ended_is_taken,
};
use sqlx::{Connection, Executor, PgConnection, Row};

macro_rules! on_each_engine {
    ($($property:ident),+ $(,)?) => {
        mod native {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $property() {
                super::common::run(super::EngineKind::Native, "conformance", super::$property).await;
            })+
        }
        mod docker {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $property() {
                super::common::run(super::EngineKind::Docker, "conformance", super::$property).await;
            })+
        }
    };
}

on_each_engine![
    a_first_launch_accepts_the_password,
    it_listens_on_the_loopback_address_only,
    settings_are_applied,
    stop_and_start_keep_data_and_port,
    a_server_that_has_just_begun_to_start_can_be_stopped,
    a_launch_with_other_settings_keeps_the_data,
    removing_a_server_keeps_the_data_and_removing_the_generation_does_not,
    a_generation_in_use_is_not_removed,
    two_owners_do_not_meet,
    a_builder_works_beside_an_instance,
    a_server_set_aside_comes_back,
    another_server_on_the_same_generation_takes_its_place,
    lists_name_exactly_what_is_there,
    generations_have_sizes,
    completeness_is_a_mark,
    a_crash_is_reported_at_once_with_its_reason,
    a_taken_port_is_an_error_that_leaves_nothing,
    a_port_taken_meanwhile_leaves_the_server_stopped,
    a_stop_is_clean,
    a_new_password_replaces_the_old_one,
    a_launch_whose_client_is_lost_can_be_removed,
    a_stranger_is_never_touched,
    the_log_is_shown_and_followed,
    names_that_need_quoting_work,
    an_unknown_handle_is_none,
    the_id_stays,
    a_lock_has_one_holder_until_it_is_given_back,
    a_lock_that_is_held_is_waited_for,
    the_lock_of_a_process_that_has_ended_is_taken,
    a_builder_from_nothing_accepts_its_password_alone,
    a_builder_from_a_state_has_its_data_and_another_password,
    a_builder_that_was_published_goes_on,
    a_builder_that_is_discarded_leaves_nothing,
    nobody_gets_into_a_copy_but_with_the_password_it_is_given,
    the_first_transaction_of_a_copy_is_foretold,
    a_state_that_is_removed_takes_no_copy_along,
    a_state_with_a_damaged_or_newer_label_is_not_listed,
];

/// Long enough for anything that does not hang.
const PATIENCE: Duration = Duration::from_secs(60);

async fn execute(connection: &mut PgConnection, sql: &'static str) {
    connection.execute(sql).await.unwrap();
}

async fn text(connection: &mut PgConnection, sql: &'static str) -> String {
    connection.fetch_one(sql).await.unwrap().get(0)
}

async fn put_a_row(connection: &mut PgConnection) {
    execute(connection, "CREATE TABLE kept (what text); INSERT INTO kept VALUES ('a row')").await;
}

async fn the_row(connection: &mut PgConnection) -> String {
    text(connection, "SELECT what FROM kept").await
}

fn port_of(server: &devdb::engine::Server) -> u16 {
    server.endpoint.as_ref().unwrap().port
}

async fn a_first_launch_accepts_the_password(bench: Arc<Bench>) {
    let owner = bench.owner("anna");
    let server = bench.make(&owner, 1).await;
    assert!(server.is_running());
    let mut connection = bench.log_in(&server).await;
    assert_eq!(text(&mut connection, "SELECT current_database()::text").await, "app");
    assert_eq!(text(&mut connection, "SHOW server_encoding").await, "UTF8");
    assert_eq!(text(&mut connection, "SHOW wal_segment_size").await, "1MB");
    let stored = "SELECT rolpassword FROM pg_authid WHERE rolname = current_user";
    assert!(text(&mut connection, stored).await.starts_with("SCRAM-SHA-256$"));
    let refused = bench.address(&server, &bench.spec, "wrong").try_connect().await.unwrap_err();
    assert_eq!(refused.as_database_error().unwrap().code().unwrap(), "28P01");
}

async fn it_listens_on_the_loopback_address_only(bench: Arc<Bench>) {
    let server = bench.make(&bench.owner("anna"), 1).await;
    bench.log_in(&server).await;
    let mut others: Vec<SocketAddr> = vec![(Ipv4Addr::new(127, 0, 0, 2), 0).into()];
    // The address that the machine would send from; nothing is sent.
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    if socket.connect("192.0.2.1:9").is_ok() {
        others.push(socket.local_addr().unwrap());
    }
    for mut address in others {
        address.set_port(port_of(&server));
        let reached = TcpStream::connect_timeout(&address, Duration::from_secs(2));
        assert!(reached.is_err(), "{address} answers");
    }
}

async fn settings_are_applied(bench: Arc<Bench>) {
    let mut spec = bench.with_setting("work_mem", "7MB");
    spec.settings.insert("application_name".into(), "it's, a \"name\" = x".into());
    let server = bench.make_as(&bench.owner("anna"), 1, &spec).await;
    let mut connection = bench.log_in(&server).await;
    assert_eq!(text(&mut connection, "SHOW work_mem").await, "7MB");
    assert_eq!(text(&mut connection, "SHOW fsync").await, "off");
    let file = "SELECT reset_val FROM pg_settings WHERE name = 'max_wal_size'";
    assert_eq!(text(&mut connection, file).await, "1024");
}

async fn stop_and_start_keep_data_and_port(bench: Arc<Bench>) {
    let server = bench.make(&bench.owner("anna"), 1).await;
    put_a_row(&mut bench.log_in(&server).await).await;
    bench.engine.stop(&server, PATIENCE).await.unwrap();
    let stopped = bench.engine.server(&server.handle).await.unwrap().unwrap();
    assert!(matches!(stopped.status, Status::Stopped { .. }), "{stopped:?}");
    bench.engine.stop(&stopped, PATIENCE).await.unwrap();
    let started = bench.engine.start(&stopped).await.unwrap();
    assert!(started.is_running());
    assert_eq!(started.endpoint, server.endpoint);
    assert_eq!(started.launch_digest, server.launch_digest);
    assert_eq!(the_row(&mut bench.log_in(&started).await).await, "a row");
    let again = bench.engine.start(&started).await.unwrap();
    assert_eq!(again.endpoint, server.endpoint);
}

/// Docker: there the shell that will become the server does not hear the first signal.
async fn a_server_that_has_just_begun_to_start_can_be_stopped(bench: Arc<Bench>) {
    let server = bench.make(&bench.owner("anna"), 1).await;
    put_a_row(&mut bench.log_in(&server).await).await;
    bench.engine.stop(&server, PATIENCE).await.unwrap();
    for _ in 0..5 {
        let started = bench.engine.start(&server).await.unwrap();
        bench.engine.stop(&started, PATIENCE / 3).await.unwrap();
    }
    let started = bench.engine.start(&server).await.unwrap();
    assert_eq!(the_row(&mut bench.log_in(&started).await).await, "a row");
}

async fn a_launch_with_other_settings_keeps_the_data(bench: Arc<Bench>) {
    let owner = bench.owner("anna");
    let server = bench.make(&owner, 1).await;
    put_a_row(&mut bench.log_in(&server).await).await;
    bench.down(&server).await;
    let spec = bench.with_setting("work_mem", "9MB");
    let port = port_of(&server);
    let relaunch = bench.relaunch(&owner, 1, &spec, port);
    let server = bench.engine.launch(&relaunch).await.unwrap();
    assert_eq!(server.launch_digest, spec.launch_digest(bench.engine.kind(), Some(port)));
    assert_eq!(port_of(&server), port);
    let mut connection = bench.log_in(&server).await;
    assert_eq!(text(&mut connection, "SHOW work_mem").await, "9MB");
    assert_eq!(the_row(&mut connection).await, "a row");
}

async fn removing_a_server_keeps_the_data_and_removing_the_generation_does_not(bench: Arc<Bench>) {
    let owner = bench.owner("anna");
    let server = bench.make(&owner, 1).await;
    let mut connection = bench.log_in(&server).await;
    put_a_row(&mut connection).await;
    execute(&mut connection, "CHECKPOINT").await;
    // Running: it is killed, and what was written is there nevertheless.
    bench.engine.remove_server(&server).await.unwrap();
    assert!(bench.servers(&owner).await.is_empty());
    bench.engine.remove_server(&server).await.unwrap();
    let relaunch = bench.relaunch(&owner, 1, &bench.spec, port_of(&server));
    let server = bench.engine.launch(&relaunch).await.unwrap();
    assert_eq!(the_row(&mut bench.log_in(&server).await).await, "a row");
    bench.down(&server).await;
    let generation = bench.generations(&owner).await.remove(0);
    bench.engine.remove_generation(&generation).await.unwrap();
    assert!(bench.generations(&owner).await.is_empty());
    bench.engine.remove_generation(&generation).await.unwrap();
    // Its number is free again, and what comes is empty.
    let server = bench.make(&owner, 1).await;
    let mut connection = bench.log_in(&server).await;
    let tables = "SELECT count(*)::text FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(text(&mut connection, tables).await, "0");
}

async fn a_generation_in_use_is_not_removed(bench: Arc<Bench>) {
    let owner = bench.owner("anna");
    let server = bench.make(&owner, 1).await;
    let generation = bench.generations(&owner).await.remove(0);
    let removed = bench.engine.remove_generation(&generation).await;
    assert_eq!(kind_of(removed), Kind::Unexpected);
    bench.log_in(&server).await;
    let base = bench.base(&bench.spec).await;
    let again = bench.engine.clone_golden(&base, &owner, 1, &bench.spec).await;
    assert_eq!(kind_of(again), Kind::Unexpected);
}

async fn two_owners_do_not_meet(bench: Arc<Bench>) {
    let (anna, bert) = (bench.owner("anna"), bench.owner("bert"));
    let (of_anna, of_bert) = tokio::join!(bench.make(&anna, 1), bench.make(&bert, 1));
    assert_ne!(of_anna.endpoint, of_bert.endpoint);
    put_a_row(&mut bench.log_in(&of_anna).await).await;
    let mut connection = bench.log_in(&of_bert).await;
    assert!(connection.execute("SELECT what FROM kept").await.is_err());
    bench.down(&of_anna).await;
    assert_eq!(bench.servers(&bert).await.len(), 1);
    bench.log_in(&of_bert).await;
}

async fn a_builder_works_beside_an_instance(bench: Arc<Bench>) {
    let owner = bench.owner("anna");
    let instance = bench.make(&owner, 1).await;
    let mut builder = bench.start_builder(&owner, &bench.spec, None).await;
    let address = bench.address_of(&builder, &bench.spec, OF_THE_BUILDER);
    ready::first_login(&address, PATIENCE).await.unwrap();
    put_a_row(&mut address.connect().await.unwrap()).await;
    bench.log_in(&instance).await;
    assert_ne!(instance.endpoint.as_ref(), Some(builder.endpoint()));
    assert_eq!(bench.servers(&owner).await.len(), 2);
    let next = password::remove_password(&address).await.unwrap();
    let state = builder.publish(&bench.label(&bench.spec, true, next).await).await.unwrap();
    builder.discard().await.unwrap();
    // The swap: the instance gets the new data under the port that it has.
    bench.engine.clone_golden(&state, &owner, 2, &bench.spec).await.unwrap();
    let port = port_of(&instance);
    bench.down(&instance).await;
    let verifier = scram::verifier(PASSWORD);
    let relaunch = bench.relaunch(&owner, 2, &bench.spec, port);
    let launch = Launch { verifier: Some(&verifier), ..relaunch };
    let swapped = bench.engine.launch(&launch).await.unwrap();
    assert_eq!(the_row(&mut bench.log_in(&swapped).await).await, "a row");
}

async fn a_server_set_aside_comes_back(bench: Arc<Bench>) {
    let owner = bench.owner("anna");
    let old = bench.make(&owner, 1).await;
    put_a_row(&mut bench.log_in(&old).await).await;
    bench.engine.stop(&old, PATIENCE).await.unwrap();
    let aside = bench.engine.set_aside(&old).await.unwrap();
    bench.make_generation(&owner, 2).await;
    let verifier = scram::verifier(PASSWORD);
    let relaunch = bench.relaunch(&owner, 2, &bench.spec, port_of(&old));
    let launch = Launch { verifier: Some(&verifier), ..relaunch };
    let new = bench.engine.launch(&launch).await.unwrap();
    bench.log_in(&new).await;
    bench.engine.reinstate(&aside).await.expect_err("its name is taken");
    bench.engine.remove_server(&new).await.unwrap();
    let back = bench.engine.reinstate(&aside).await.unwrap();
    bench.engine.reinstate(&back).await.unwrap();
    let back = bench.engine.start(&back).await.unwrap();
    assert_eq!((&back.handle, &back.name), (&old.handle, &old.name));
    assert_eq!(the_row(&mut bench.log_in(&back).await).await, "a row");
}

async fn another_server_on_the_same_generation_takes_its_place(bench: Arc<Bench>) {
    let owner = bench.owner("anna");
    let old = bench.make(&owner, 1).await;
    put_a_row(&mut bench.log_in(&old).await).await;
    for keep_the_new in [false, true] {
        let servers = bench.servers(&owner).await;
        let [old] = servers.as_slice() else { panic!("{servers:?}") };
        bench.engine.stop(old, PATIENCE).await.unwrap();
        let aside = bench.engine.set_aside(old).await.unwrap();
        let spec = bench.with_setting("work_mem", "5MB");
        let launch = bench.relaunch(&owner, 1, &spec, port_of(old));
        let new = bench.engine.launch(&launch).await.unwrap();
        assert_eq!(the_row(&mut bench.log_in(&new).await).await, "a row");
        assert_eq!(bench.servers(&owner).await.len(), 2);
        if keep_the_new {
            bench.engine.remove_server(&aside).await.unwrap();
            assert_eq!(the_row(&mut bench.log_in(&new).await).await, "a row");
        } else {
            bench.engine.stop(&new, PATIENCE).await.unwrap();
            bench.engine.remove_server(&new).await.unwrap();
            let back = bench.engine.reinstate(&aside).await.unwrap();
            assert_eq!((&back.handle, &back.launch_digest), (&old.handle, &old.launch_digest));
            let back = bench.engine.start(&back).await.unwrap();
            assert_eq!(the_row(&mut bench.log_in(&back).await).await, "a row");
        }
    }
    assert_eq!(bench.servers(&owner).await.len(), 1);
}

async fn lists_name_exactly_what_is_there(bench: Arc<Bench>) {
    let (anna, bert) = (bench.owner("anna"), bench.owner("bert"));
    let spec = bench.with_setting("work_mem", "5MB");
    assert!(bench.servers(&anna).await.is_empty() && bench.generations(&anna).await.is_empty());
    let server = bench.make_as(&anna, 3, &spec).await;
    bench.make_generation(&anna, 12).await;
    bench.make_generation(&bert, 1).await;

    let servers = bench.servers(&anna).await;
    let told: Vec<_> = servers.iter().map(|s| (&s.handle, s.generation, s.role)).collect();
    let expected = [(&server.handle, 3, Role::Instance)];
    assert_eq!(told, expected);
    assert!(servers.iter().all(|server| server.owner == anna && server.is_running()));
    assert_eq!(
        servers[0].launch_digest,
        spec.launch_digest(bench.engine.kind(), Some(port_of(&server)))
    );
    assert_eq!(servers[0].endpoint, server.endpoint);
    assert_eq!(servers[0].name, anna.base_name());
    let one = bench.engine.server(&server.handle).await.unwrap().unwrap();
    assert_eq!((one.generation, one.role, &one.owner), (3, Role::Instance, &anna));

    let mut generations = bench.generations(&anna).await;
    generations.sort_by_key(|generation| generation.id);
    assert_eq!(generations.iter().map(|g| g.id).collect::<Vec<_>>(), [3, 12]);
    let made_with = MadeWith::of(&spec, bench.engine.kind());
    assert!(generations.iter().all(|g| g.owner == anna && g.made_with == made_with));
    assert!(generations[0].created.is_some());
    let all = bench.engine.generations(None).await.unwrap();
    assert!(all.iter().any(|generation| generation.owner == bert && generation.id == 1));
    let all = bench.engine.servers(None).await.unwrap();
    assert!(all.iter().any(|found| found.handle == server.handle));
}

async fn generations_have_sizes(bench: Arc<Bench>) {
    let (anna, bert) = (bench.owner("anna"), bench.owner("bert"));
    let server = bench.make(&anna, 1).await;
    bench.log_in(&server).await;
    bench.make_generation(&bert, 1).await;
    let handle = bench.generations(&anna).await.remove(0).handle;
    let sizes = bench.engine.sizes(Some(&anna.key())).await.unwrap();
    assert_eq!(sizes.keys().collect::<Vec<_>>(), [&handle]);
    // A new cluster: neither next to nothing nor counted twice.
    assert!((20 << 20..200 << 20).contains(&sizes[&handle]), "{sizes:?}");
    let all = bench.engine.sizes(None).await.unwrap();
    assert!(all.contains_key(&bench.generations(&bert).await.remove(0).handle));
    assert!(all.contains_key(&handle));
}

async fn completeness_is_a_mark(bench: Arc<Bench>) {
    let owner = bench.owner("anna");
    let generation = bench.make_generation(&owner, 1).await;
    assert_eq!(bench.engine.number_of(&generation, &bench.spec).await.unwrap(), None);
    bench.make_generation(&owner, 2).await;
    let verifier = scram::verifier(PASSWORD);
    let relaunch = bench.relaunch(&owner, 2, &bench.spec, common::free_port());
    let launch = Launch { number: 7, verifier: Some(&verifier), ..relaunch };
    let server = bench.engine.launch(&launch).await.unwrap();
    bench.log_in(&server).await;
    let all = bench.generations(&owner).await;
    let generation = all.into_iter().find(|one| one.id == 2).unwrap();
    let number = async || bench.engine.number_of(&generation, &bench.spec).await.unwrap();
    assert_eq!(number().await, Some(7));
    bench.down(&server).await;
    assert_eq!(number().await, Some(7));
}

async fn a_crash_is_reported_at_once_with_its_reason(bench: Arc<Bench>) {
    let owner = bench.owner("anna");
    let server = bench.make(&owner, 1).await;
    bench.log_in(&server).await;
    let watched = tokio::time::timeout(Duration::from_millis(300), bench.engine.exited(&server));
    assert!(watched.await.is_err(), "it runs");
    bench.down(&server).await;
    let spec = bench.with_setting("shared_buffers", "banana");
    let launched = Instant::now();
    let relaunch = bench.relaunch(&owner, 1, &spec, port_of(&server));
    let server = bench.engine.launch(&relaunch).await.unwrap();
    let exit = bench.engine.exited(&server).await;
    assert!(launched.elapsed() < Duration::from_secs(5), "{:?}", launched.elapsed());
    assert!(exit.log_tail.contains("shared_buffers"), "{exit:?}");
    assert!(exit.log_tail.lines().count() <= 20, "{exit:?}");
    // Not every engine knows the code of a server that it starts again and again.
    assert!(matches!(exit.code, Some(1) | None), "{exit:?}");
}

async fn a_taken_port_is_an_error_that_leaves_nothing(bench: Arc<Bench>) {
    let owner = bench.owner("anna");
    let port = common::free_port();
    let taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
    bench.make_generation(&owner, 1).await;
    let verifier = scram::verifier(PASSWORD);
    let relaunch = bench.relaunch(&owner, 1, &bench.spec, port);
    let launch = Launch { verifier: Some(&verifier), ..relaunch };
    let error = bench.engine.launch(&launch).await.unwrap_err();
    assert_eq!(error.kind(), Kind::PortBusy, "{error}");
    assert!(error.to_string().contains(&port.to_string()), "{error}");
    assert!(bench.servers(&owner).await.is_empty());
    // The generation is as good as before.
    drop(taken);
    let server = bench.engine.launch(&launch).await.unwrap();
    assert_eq!(port_of(&server), port);
    bench.log_in(&server).await;
}

async fn a_port_taken_meanwhile_leaves_the_server_stopped(bench: Arc<Bench>) {
    let server = bench.make(&bench.owner("anna"), 1).await;
    put_a_row(&mut bench.log_in(&server).await).await;
    bench.engine.stop(&server, PATIENCE).await.unwrap();
    // The engine's proxy lets go of the port a moment after the server has ended.
    let mut tries = 0;
    let taken = loop {
        match TcpListener::bind(("127.0.0.1", port_of(&server))) {
            Ok(taken) => break taken,
            Err(error) => assert!(tries < 100, "{error}"),
        }
        tries += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(kind_of(bench.engine.start(&server).await), Kind::PortBusy);
    let stopped = bench.engine.server(&server.handle).await.unwrap().unwrap();
    assert!(!stopped.is_running());
    drop(taken);
    let started = bench.engine.start(&stopped).await.unwrap();
    assert_eq!(the_row(&mut bench.log_in(&started).await).await, "a row");
}

async fn a_stop_is_clean(bench: Arc<Bench>) {
    let server = bench.make(&bench.owner("anna"), 1).await;
    let mut connection = bench.log_in(&server).await;
    put_a_row(&mut connection).await;
    // A client that is connected does not hold it up.
    let began = Instant::now();
    bench.engine.stop(&server, PATIENCE).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert!(connection.ping().await.is_err());
    let started = bench.engine.start(&server).await.unwrap();
    bench.log_in(&started).await;
    let log = bench.log(&started, None).await;
    assert!(log.contains("database system is shut down"), "{log}");
    assert!(!log.contains("not properly shut down"), "{log}");
}

async fn a_new_password_replaces_the_old_one(bench: Arc<Bench>) {
    let server = bench.make(&bench.owner("anna"), 1).await;
    put_a_row(&mut bench.log_in(&server).await).await;
    let verifier = scram::verifier("another-password");
    bench.engine.set_password(&server, &bench.spec.user, &verifier).await.unwrap();
    let server = bench.engine.server(&server.handle).await.unwrap().unwrap();
    assert!(server.is_running());
    let address = bench.address(&server, &bench.spec, "another-password");
    devdb::db::connect::wait_for_login(&address, PATIENCE).await.unwrap();
    assert_eq!(the_row(&mut address.connect().await.unwrap()).await, "a row");
    let refused = bench.address(&server, &bench.spec, PASSWORD).try_connect().await.unwrap_err();
    assert_eq!(refused.as_database_error().unwrap().code().unwrap(), "28P01");
    let nobody = bench.engine.set_password(&server, "nobody", &verifier).await;
    let error = nobody.expect_err("there is no such user");
    assert!(!error.to_string().contains("SCRAM"), "{error}");
    assert!(!bench.log(&server, None).await.contains("SCRAM"));
}

async fn remove_all(bench: &Bench, owner: &Owner) -> devdb::error::Result<()> {
    for server in bench.servers(owner).await {
        bench.engine.remove_server(&server).await?;
    }
    for generation in bench.generations(owner).await {
        bench.engine.remove_generation(&generation).await?;
    }
    // What was under way in the daemon is there by now, or will not come.
    tokio::time::sleep(Duration::from_millis(500)).await;
    match bench.servers(owner).await.len() + bench.generations(owner).await.len() {
        0 => Ok(()),
        left => Err(Error::new(Kind::Unexpected, format!("{left} things came late"))),
    }
}

async fn a_launch_whose_client_is_lost_can_be_removed(bench: Arc<Bench>) {
    let owner = bench.owner("anna");
    let verifier = scram::verifier(PASSWORD);
    for delay in [1, 60, 250, 600, 1200] {
        bench.make_generation(&owner, 1).await;
        let relaunch = bench.relaunch(&owner, 1, &bench.spec, common::free_port());
        let launch = Launch { verifier: Some(&verifier), ..relaunch };
        let launching = bench.engine.launch(&launch);
        let _ = tokio::time::timeout(Duration::from_millis(delay), launching).await;
        // A daemon that was asked for a container may make it after its client is gone; the
        // listing shows it then.
        let mut tries = 0;
        while let Err(error) = remove_all(&bench, &owner).await {
            assert!(tries < 50, "after {delay} ms: {error}");
            tries += 1;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    let server = bench.make(&owner, 1).await;
    bench.log_in(&server).await;
}

async fn a_stranger_is_never_touched(bench: Arc<Bench>) {
    let owner = bench.owner("anna");
    let stranger = bench.put_stranger(&owner, 1);
    let base = bench.base(&bench.spec).await;
    let made = bench.engine.clone_golden(&base, &owner, 1, &bench.spec).await;
    let error = made.unwrap_err();
    assert_eq!(error.kind(), Kind::NotOurs, "{error}");
    assert!(error.to_string().contains(&stranger.handle()), "{error}");
    let verifier = scram::verifier(PASSWORD);
    let relaunch = bench.relaunch(&owner, 1, &bench.spec, common::free_port());
    let launch = Launch { verifier: Some(&verifier), ..relaunch };
    assert_eq!(kind_of(bench.engine.launch(&launch).await), Kind::NotOurs);
    assert!(bench.generations(&owner).await.is_empty());
    assert!(bench.servers(&owner).await.is_empty());
    let disguised = Generation {
        handle: stranger.handle(),
        owner,
        id: 1,
        created: None,
        made_with: MadeWith::of(&bench.spec, bench.engine.kind()),
        origin: None,
    };
    assert_eq!(kind_of(bench.engine.remove_generation(&disguised).await), Kind::NotOurs);
    assert!(stranger.is_untouched());
}

async fn the_log_is_shown_and_followed(bench: Arc<Bench>) {
    let server = bench.make(&bench.owner("anna"), 1).await;
    let mut connection = bench.log_in(&server).await;
    for _ in 0..10 {
        execute(&mut connection, "DO $$ BEGIN RAISE LOG 'first sentence'; END $$").await;
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    // On its way to the reader a line may take a while.
    while bench.log(&server, None).await.matches("LOG:  first sentence").count() < 10 {
        assert!(Instant::now() < deadline, "{}", bench.log(&server, None).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let tail = bench.log(&server, Some(3)).await;
    assert!(tail.contains("first sentence") && tail.lines().count() == 3, "{tail}");

    let seen = Arc::new(Mutex::new(String::new()));
    let following = tokio::spawn({
        let (bench, server, seen) = (Arc::clone(&bench), server.clone(), Arc::clone(&seen));
        async move {
            let mut sink =
                |bytes: &[u8]| seen.lock().unwrap().push_str(&String::from_utf8_lossy(bytes));
            bench.engine.logs(&server, Some(0), true, &mut sink).await
        }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    execute(&mut connection, "DO $$ BEGIN RAISE LOG 'second sentence'; END $$").await;
    bench.engine.stop(&server, PATIENCE).await.unwrap();
    tokio::time::timeout(PATIENCE, following).await.unwrap().unwrap().unwrap();
    let seen = seen.lock().unwrap();
    assert!(seen.contains("second sentence") && !seen.contains("first sentence"), "{seen}");
}

async fn names_that_need_quoting_work(bench: Arc<Bench>) {
    let mut spec = bench.spec.clone();
    spec.database = "Mixed \"quoted\" näme".into();
    spec.user = "anna.b".into();
    let owner = bench.owner("Anna.B / \"näme\"");
    let server = bench.make_as(&owner, 1, &spec).await;
    let mut connection = bench.log_in_as(&server, &spec).await;
    let names = "SELECT current_database() || ' ' || current_user";
    assert_eq!(text(&mut connection, names).await, "Mixed \"quoted\" näme anna.b");
    let is_superuser = "SELECT rolsuper::text FROM pg_roles WHERE rolname = current_user";
    assert_eq!(text(&mut connection, is_superuser).await, "true");
    assert_eq!(bench.servers(&owner).await[0].owner, owner);
    assert_eq!(bench.generations(&owner).await[0].made_with.database, spec.database);
    let verifier = scram::verifier("another-password");
    bench.engine.set_password(&server, &spec.user, &verifier).await.unwrap();
    let server = bench.engine.server(&server.handle).await.unwrap().unwrap();
    let address = bench.address(&server, &spec, "another-password");
    devdb::db::connect::wait_for_login(&address, PATIENCE).await.unwrap();
}

async fn an_unknown_handle_is_none(bench: Arc<Bench>) {
    for handle in ["no-such-server", "0123456789ab", "/nonexistent/g1", "../../etc"] {
        let found = bench.engine.server(handle).await.unwrap();
        assert!(found.is_none(), "{handle:?}: {found:?}");
    }
    let server = bench.make(&bench.owner("anna"), 1).await;
    bench.engine.remove_server(&server).await.unwrap();
    assert!(bench.engine.server(&server.handle).await.unwrap().is_none());
}

async fn the_id_stays(bench: Arc<Bench>) {
    let id = bench.engine.id().await.unwrap();
    assert!(id.len() >= 12, "{id}");
    let asked = (0..8).map(|_| bench.engine.id());
    for again in futures_util::future::join_all(asked).await {
        assert_eq!(again.unwrap(), id);
    }
}
