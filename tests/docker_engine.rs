//! What only the docker engine does; the contract itself is `conformance.rs`.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are tests")]

#[path = "docker_engine/builders.rs"]
mod builders;
#[path = "docker_engine/ends.rs"]
mod ends;
#[path = "docker_engine/images.rs"]
mod images;
#[path = "docker_engine/launches.rs"]
mod launches;
#[path = "docker_engine/ownership.rs"]
mod ownership;
#[path = "docker_engine/scene.rs"]
mod scene;
