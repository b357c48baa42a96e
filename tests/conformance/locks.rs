//! Locks at the engine, which exclude a devdb with another home directory.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use devdb::engine::{Engine, EngineLock, Shared};
use devdb::event::{Event, Events};

use super::PATIENCE;
use super::common::{self, Bench};

/// Takes the lock of an instance, if nobody holds it.
async fn try_lock(bench: &Bench, key: &str) -> Option<EngineLock> {
    bench.engine.try_lock(Shared::Instance(key), &bench.spec.image).await.unwrap()
}

pub async fn a_lock_has_one_holder_until_it_is_given_back(bench: Arc<Bench>) {
    let [mine, other] = ["anna", "bert"].map(|developer| bench.owner(developer).key());
    let held = try_lock(&bench, &mine).await;
    assert!(held.is_some());
    for _ in 0..3 {
        assert!(try_lock(&bench, &mine).await.is_none());
    }
    // Another instance, and a name in a registry, have locks of their own.
    assert!(try_lock(&bench, &other).await.is_some());
    let tag = bench.engine.try_lock(Shared::Tag(&mine), &bench.spec.image).await.unwrap();
    assert!(tag.is_some());
    drop(held);
    wait_until(&bench, &mine, false).await;
}

pub async fn a_lock_that_is_held_is_waited_for(bench: Arc<Bench>) {
    let key = bench.owner("anna").key();
    let held = try_lock(&bench, &key).await.unwrap();
    let said = Arc::new(Mutex::new(Vec::new()));
    let holders = Arc::new(AtomicU32::new(0));
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let (bench, key) = (Arc::clone(&bench), key.clone());
            let (said, holders) = (Arc::clone(&said), Arc::clone(&holders));
            tokio::spawn(async move {
                let events = Events::new(move |event| said.lock().unwrap().push(event));
                let what = Shared::Instance(&key);
                let lock = bench.engine.lock(what, &bench.spec.image, &events).await.unwrap();
                assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0, "two hold it");
                tokio::time::sleep(Duration::from_millis(50)).await;
                holders.fetch_sub(1, Ordering::SeqCst);
                drop(lock);
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(waiting.iter().all(|one| !one.is_finished()));
    let is_told = |event: &Event| matches!(event, Event::Note { text } if text.contains("waits"));
    assert_eq!(said.lock().unwrap().iter().filter(|event| is_told(event)).count(), 3);
    drop(held);
    for one in waiting {
        tokio::time::timeout(PATIENCE, one).await.unwrap().unwrap();
    }
}

pub async fn the_lock_of_a_process_that_has_ended_is_taken(bench: Arc<Bench>) {
    let key = bench.owner("anna").key();
    let mut holder = match &bench.engine {
        Engine::Docker(_) => {
            let holder = Command::new("sleep").arg("60").spawn().unwrap();
            common::docker::put_lock(&format!("instance-{key}"), holder.id(), &bench.spec.image);
            holder
        }
        Engine::Native(engine) => {
            drop(try_lock(&bench, &key).await);
            let file = engine.store_path().join(format!("locks/instance-{key}.lock"));
            let mut flock = Command::new("flock");
            flock.arg("--no-fork").arg(file).args(["sleep", "60"]).spawn().unwrap()
        }
    };
    wait_until(&bench, &key, true).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(try_lock(&bench, &key).await.is_none(), "its holder lives");
    holder.kill().unwrap();
    holder.wait().unwrap();
    wait_until(&bench, &key, false).await;
}

/// Waits until somebody holds the lock of an instance, or nobody does.
async fn wait_until(bench: &Bench, key: &str, is_held: bool) {
    let begun = Instant::now();
    while try_lock(bench, key).await.is_none() != is_held {
        assert!(begun.elapsed() < PATIENCE, "held: {is_held}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
