//! The labels of devdb's objects: they say that devdb made an object, and for which instance.
//!
//! | label | value |
//! | --- | --- |
//! | `devdb.schema` | version of these labels: 1 |
//! | `devdb.name` | the name the object was created under |
//! | `devdb.project-id`, `devdb.project`, `devdb.developer`, `devdb.instance` | the [`Owner`] |
//! | `devdb.key` | [`Owner::key`] |
//! | `devdb.generation` | the generation's id |
//! | `devdb.role` | containers: `instance`, `builder` or `ephemeral` |
//! | `devdb.launch` | containers: [`crate::spec::ServerSpec::launch_digest`] |
//! | `devdb.lease` | containers: [`crate::engine::Lease`], JSON; empty without one |
//! | `devdb.port` | containers: the fixed port on 127.0.0.1; empty without one |
//! | `devdb.major`, `devdb.image`, `devdb.database`, `devdb.user` | volumes: [`MadeWith`] |
//! | `devdb.created` | volumes: when, RFC 3339 |
//! | `devdb.golden-origin` | volumes: the fingerprint of the golden state that was copied |
//! | `devdb.golden` | images: [`crate::engine::GoldenLabel`], JSON |
//! | `devdb.holds` | holders, which have neither generation nor role: the names of the volumes |
//! | `devdb.snapshot` | volumes of snapshots, in place of `devdb.generation`: the snapshot's name |
//!
//! A container inherits the labels of its image, and an image inherits the labels of the container
//! that it was committed from. So labels count only on an object that has the name in its
//! `devdb.name` label. A container may also have the name that devdb gives it when it is set aside
//! ([`aside_name`]). An object that a person renames is no longer devdb's.
//!
//! A container without a lease or a port carries an empty label. Otherwise it could inherit the
//! lease of another container, and would be removed when that lease is over.

use std::collections::HashMap;

use chrono::{DateTime, SecondsFormat, Utc};

use crate::engine::{Generation, Lease, Role};
use crate::error::{Error, Kind};
use crate::spec::{MadeWith, Owner};

/// The version of the labels that this devdb writes, and the newest that it understands.
const SCHEMA_VERSION: u32 = 1;

const SCHEMA: &str = "devdb.schema";
const NAME: &str = "devdb.name";
const PROJECT_ID: &str = "devdb.project-id";
const PROJECT: &str = "devdb.project";
const DEVELOPER: &str = "devdb.developer";
const INSTANCE: &str = "devdb.instance";
const KEY: &str = "devdb.key";
const GENERATION: &str = "devdb.generation";
const ROLE: &str = "devdb.role";
const LAUNCH: &str = "devdb.launch";
const LEASE: &str = "devdb.lease";
const PORT: &str = "devdb.port";
const MAJOR: &str = "devdb.major";
const IMAGE: &str = "devdb.image";
const DATABASE: &str = "devdb.database";
const USER: &str = "devdb.user";
const CREATED: &str = "devdb.created";
const ORIGIN: &str = "devdb.golden-origin";
const SNAPSHOT: &str = "devdb.snapshot";
const HOLDS: &str = "devdb.holds";

/// On images: what a golden state holds.
pub(super) const GOLDEN: &str = "devdb.golden";

/// Labels as the daemon stores them.
pub(super) type Labels = HashMap<String, String>;

/// The meaning of an object's labels.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reading<T> {
    /// devdb made the object.
    Ours(T),
    /// A newer devdb made the object. It stays as it is.
    Newer,
    /// Something else made the object.
    Foreign,
}

/// The content of a container's labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) owner: Owner,
    pub(super) generation: u32,
    pub(super) role: Role,
    pub(super) launch_digest: String,
    pub(super) port: Option<u16>,
    /// The lease of a private server, or of a container that is made for one step.
    pub(super) lease: Option<Lease>,
}

impl Mark {
    /// The mark of a container that this devdb makes for one step.
    pub(super) fn of_step(owner: &Owner, generation: u32) -> Mark {
        Mark {
            owner: owner.clone(),
            generation,
            role: Role::Builder,
            launch_digest: String::new(),
            port: None,
            lease: Some(Lease::of_this_process(None)),
        }
    }
}

/// Finds all objects of devdb, or those of one instance.
pub(super) fn filter(key: Option<&str>) -> HashMap<String, Vec<String>> {
    let mut wanted = vec![SCHEMA.to_owned()];
    if let Some(key) = key {
        wanted.push(format!("{KEY}={key}"));
    }
    HashMap::from([("label".to_owned(), wanted)])
}

/// The name of a container that was set aside while another has its place.
pub(super) fn aside_name(owner: &Owner, generation: u32) -> String {
    format!("{}-aside", owner.generation_name(generation))
}

/// The name of the container that works on an instance's volumes.
pub(super) fn helper_name(owner: &Owner) -> String {
    format!("{}-helper", owner.base_name())
}

/// The name of the container that holds an instance's volumes.
pub(super) fn holder_name(owner: &Owner) -> String {
    format!("{}-kept", owner.base_name())
}

/// The labels of a holder. `volumes` are the names of its volumes.
pub(super) fn of_holder(name: &str, owner: &Owner, volumes: &str) -> Labels {
    let mut labels = of_owner(name, owner);
    labels.insert(HOLDS.into(), volumes.to_owned());
    labels
}

/// Reads the names of the volumes from the labels of the holder `name`.
pub(super) fn read_holder(name: &str, labels: &Labels) -> Reading<String> {
    if is_newer(name, labels) {
        return Reading::Newer;
    }
    let volumes = || {
        owner_of(labels)?;
        (labels.get(NAME)? == name).then(|| labels.get(HOLDS).cloned()).flatten()
    };
    volumes().map_or(Reading::Foreign, Reading::Ours)
}

/// A container's labels. The container is created under `name`.
pub(super) fn of_container(name: &str, mark: &Mark) -> Labels {
    let mut labels = of_generation(name, &mark.owner, mark.generation);
    labels.insert(ROLE.into(), role_word(mark.role).into());
    labels.insert(LAUNCH.into(), mark.launch_digest.clone());
    let port = mark.port.map(|port| port.to_string());
    labels.insert(PORT.into(), port.unwrap_or_default());
    // A lease can always be written as JSON.
    let lease = mark.lease.as_ref().and_then(|lease| serde_json::to_string(lease).ok());
    labels.insert(LEASE.into(), lease.unwrap_or_default());
    labels
}

/// The labels of an image that holds a golden state. Empty labels replace those of the container
/// that the image is committed from.
pub(super) fn of_image(golden: String) -> Labels {
    let inherited = [
        SCHEMA, NAME, PROJECT_ID, PROJECT, DEVELOPER, INSTANCE, KEY, GENERATION, ROLE, LAUNCH,
        LEASE, PORT,
    ];
    let blank = inherited.map(|label| (label.to_owned(), String::new()));
    let mut labels = Labels::from(blank);
    labels.insert(GOLDEN.into(), golden);
    labels
}

/// The labels of an existing volume, or of one that existed.
pub(super) fn of_existing(generation: &Generation, now: DateTime<Utc>) -> Labels {
    let Generation { owner, id, made_with, created, origin, .. } = generation;
    of_volume(owner, *id, made_with, created.unwrap_or(now), origin.as_deref())
}

pub(super) fn of_volume(
    owner: &Owner,
    id: u32,
    made_with: &MadeWith,
    created: DateTime<Utc>,
    origin: Option<&str>,
) -> Labels {
    let mut labels = of_generation(&owner.generation_name(id), owner, id);
    if let Some(fingerprint) = origin {
        labels.insert(ORIGIN.into(), fingerprint.into());
    }
    labels.extend(of_data(made_with, created));
    labels
}

/// The labels of a snapshot's volume.
pub(super) fn of_snapshot(
    owner: &Owner,
    snapshot: &str,
    made_with: &MadeWith,
    created: DateTime<Utc>,
) -> Labels {
    let mut labels = of_owner(&snapshot_name(owner, snapshot), owner);
    labels.insert(SNAPSHOT.into(), snapshot.to_owned());
    labels.extend(of_data(made_with, created));
    labels
}

/// The name of a snapshot's volume.
pub(super) fn snapshot_name(owner: &Owner, snapshot: &str) -> String {
    format!("{}-s-{snapshot}", owner.base_name())
}

fn of_data(made_with: &MadeWith, created: DateTime<Utc>) -> Labels {
    [
        (MAJOR, made_with.major.to_string()),
        (IMAGE, made_with.image.clone()),
        (DATABASE, made_with.database.clone()),
        (USER, made_with.user.clone()),
        (CREATED, created.to_rfc3339_opts(SecondsFormat::Nanos, true)),
    ]
    .map(|(label, value)| (label.to_owned(), value))
    .into()
}

fn of_generation(name: &str, owner: &Owner, generation: u32) -> Labels {
    let mut labels = of_owner(name, owner);
    labels.insert(GENERATION.into(), generation.to_string());
    labels
}

fn of_owner(name: &str, owner: &Owner) -> Labels {
    [
        (SCHEMA, SCHEMA_VERSION.to_string()),
        (NAME, name.to_owned()),
        (PROJECT_ID, owner.project_id.clone()),
        (PROJECT, owner.project.clone()),
        (DEVELOPER, owner.developer.clone()),
        (INSTANCE, owner.instance.clone()),
        (KEY, owner.key()),
    ]
    .map(|(label, value)| (label.to_owned(), value))
    .into()
}

/// Reads the labels of the container that now has the name `name`.
pub(super) fn read_container(name: &str, labels: &Labels) -> Reading<Mark> {
    if is_newer(name, labels) {
        return Reading::Newer;
    }
    container_mark(name, labels).map_or(Reading::Foreign, Reading::Ours)
}

fn container_mark(name: &str, labels: &Labels) -> Option<Mark> {
    let (owner, generation) = owner_and_generation(labels)?;
    if labels.get(NAME)? != name && aside_name(&owner, generation) != name {
        return None;
    }
    Some(Mark {
        generation,
        role: role_of(labels.get(ROLE)?)?,
        launch_digest: labels.get(LAUNCH)?.clone(),
        port: labels.get(PORT).and_then(|port| port.parse().ok()),
        lease: labels.get(LEASE).and_then(|lease| serde_json::from_str(lease).ok()),
        owner,
    })
}

/// Reads the labels of the volume `name`.
pub(super) fn read_volume(name: &str, labels: &Labels) -> Reading<Generation> {
    if is_newer(name, labels) {
        return Reading::Newer;
    }
    generation(name, labels).map_or(Reading::Foreign, Reading::Ours)
}

fn generation(name: &str, labels: &Labels) -> Option<Generation> {
    let (owner, id) = owner_and_generation(labels)?;
    if labels.get(NAME)? != name {
        return None;
    }
    Some(Generation {
        handle: name.to_owned(),
        id,
        created: created(labels),
        made_with: MadeWith {
            major: labels.get(MAJOR)?.parse().ok()?,
            image: labels.get(IMAGE)?.clone(),
            database: labels.get(DATABASE)?.clone(),
            user: labels.get(USER)?.clone(),
        },
        origin: labels.get(ORIGIN).cloned(),
        owner,
    })
}

/// When a volume was made.
pub(super) fn created(labels: &Labels) -> Option<DateTime<Utc>> {
    let time = DateTime::parse_from_rfc3339(labels.get(CREATED)?).ok()?;
    Some(time.with_timezone(&Utc))
}

/// Reads the snapshot's name from the labels of the volume `name`.
pub(super) fn read_snapshot(name: &str, labels: &Labels) -> Reading<String> {
    if is_newer(name, labels) {
        return Reading::Newer;
    }
    let snapshot = || {
        owner_of(labels)?;
        (labels.get(NAME)? == name).then(|| labels.get(SNAPSHOT).cloned()).flatten()
    };
    snapshot().map_or(Reading::Foreign, Reading::Ours)
}

fn owner_and_generation(labels: &Labels) -> Option<(Owner, u32)> {
    Some((owner_of(labels)?, labels.get(GENERATION)?.parse().ok()?))
}

fn owner_of(labels: &Labels) -> Option<Owner> {
    let owner = Owner {
        project_id: labels.get(PROJECT_ID)?.clone(),
        project: labels.get(PROJECT)?.clone(),
        developer: labels.get(DEVELOPER)?.clone(),
        instance: labels.get(INSTANCE)?.clone(),
    };
    let consistent = schema(labels)? == SCHEMA_VERSION && labels.get(KEY)? == &owner.key();
    consistent.then_some(owner)
}

/// Reads only the two labels that every version must keep.
fn is_newer(name: &str, labels: &Labels) -> bool {
    let newer = schema(labels).is_some_and(|version| version > SCHEMA_VERSION);
    newer && labels.get(NAME).is_some_and(|label| label == name || name.ends_with("-aside"))
}

fn schema(labels: &Labels) -> Option<u32> {
    labels.get(SCHEMA)?.parse().ok()
}

const fn role_word(role: Role) -> &'static str {
    match role {
        Role::Instance => "instance",
        Role::Builder => "builder",
        Role::Ephemeral => "ephemeral",
    }
}

fn role_of(word: &str) -> Option<Role> {
    let roles = [Role::Instance, Role::Builder, Role::Ephemeral];
    roles.into_iter().find(|role| role_word(*role) == word)
}

/// The kind of object that an error is about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Object {
    Container,
    Volume,
}

/// The error when an object has a name of devdb's but not its labels.
pub(super) fn not_ours(object: Object, name: &str) -> Error {
    let (noun, advice) = match object {
        Object::Container => {
            ("container", format!("docker rename {name} {name}-old   keeps it and frees the name"))
        }
        Object::Volume => (
            "volume",
            "devdb up --instance NAME   makes a database under another name; the volume stays"
                .to_owned(),
        ),
    };
    Error::new(Kind::NotOurs, format!("the {noun} \"{name}\" was not made by devdb"))
        .because("it has the name devdb would use, but not devdb's labels; devdb leaves it alone")
        .hint(advice)
}

/// The error when a newer devdb made the object.
pub(super) fn too_new(object: Object, name: &str) -> Error {
    let noun = match object {
        Object::Container => "container",
        Object::Volume => "volume",
    };
    Error::new(Kind::Unexpected, format!("the {noun} \"{name}\" was made by a newer devdb"))
        .because(format!("this devdb understands its labels up to version {SCHEMA_VERSION}"))
        .hint("update devdb")
}

#[cfg(test)]
#[path = "label_tests.rs"]
mod tests;
