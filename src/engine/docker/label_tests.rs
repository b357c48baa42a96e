use super::*;

fn mark() -> Mark {
    Mark {
        owner: Owner {
            project_id: "id".into(),
            project: "shop".into(),
            developer: "anna".into(),
            instance: "main".into(),
        },
        generation: 3,
        role: Role::Instance,
        launch_digest: "abc".into(),
        port: Some(15_432),
        lease: None,
    }
}

#[test]
fn container_labels_read_back_under_their_own_name_and_aside() {
    let mark = mark();
    let name = mark.owner.base_name();
    let labels = of_container(&name, &mark);
    assert_eq!(read_container(&name, &labels), Reading::Ours(mark.clone()));
    let aside = aside_name(&mark.owner, 3);
    assert_eq!(read_container(&aside, &labels), Reading::Ours(mark));
}

#[test]
fn inherited_labels_do_not_count() {
    let mark = mark();
    let labels = of_container(&mark.owner.base_name(), &mark);
    assert_eq!(read_container("made-from-a-commit", &labels), Reading::Foreign);
    assert_eq!(read_container("devdb-shop-anna-g2-aside", &labels), Reading::Foreign);
}

#[test]
fn a_container_takes_nothing_over_from_the_one_its_image_was_made_from() {
    let builder = Mark { role: Role::Builder, lease: Some(Lease::of_this_process(None)), ..mark() };
    let carrier = Mark { role: Role::Builder, port: None, ..mark() };
    let mut labels = of_container("builder", &builder);
    labels.extend(of_container("carrier", &carrier));
    assert_eq!(read_container("carrier", &labels), Reading::Ours(carrier));
}

#[test]
fn an_image_has_none_of_its_containers_labels() {
    let mut labels = of_container("builder", &mark());
    labels.extend(of_image("{}".into()));
    labels.retain(|_, value| !value.is_empty());
    assert_eq!(labels, Labels::from([(GOLDEN.into(), "{}".into())]));
}

#[test]
fn an_altered_owner_does_not_count() {
    let mark = mark();
    let name = mark.owner.base_name();
    let mut labels = of_container(&name, &mark);
    labels.insert(DEVELOPER.into(), "ben".into());
    assert_eq!(read_container(&name, &labels), Reading::Foreign);
}

#[test]
fn a_newer_schema_is_recognised_by_its_name_alone() {
    let labels = Labels::from([(SCHEMA.into(), "2".into()), (NAME.into(), "x".into())]);
    assert_eq!(read_container("x", &labels), Reading::Newer);
    assert_eq!(read_container("y", &labels), Reading::Foreign);
    assert!(matches!(read_volume("x", &labels), Reading::Newer));
}

#[test]
fn a_snapshots_volume_is_no_generation_and_a_generations_no_snapshot() {
    let made_with = MadeWith {
        major: 15,
        image: "postgres:15".into(),
        database: "shop".into(),
        user: "postgres".into(),
    };
    let owner = mark().owner;
    let name = snapshot_name(&owner, "v1.2");
    let labels = of_snapshot(&owner, "v1.2", &made_with, Utc::now());
    assert_eq!(read_snapshot(&name, &labels), Reading::Ours("v1.2".into()));
    assert_eq!(read_snapshot("another", &labels), Reading::Foreign);
    assert!(matches!(read_volume(&name, &labels), Reading::Foreign));
    let labels = of_volume(&owner, 2, &made_with, Utc::now(), None);
    assert_eq!(read_snapshot(&owner.generation_name(2), &labels), Reading::Foreign);
}

#[test]
fn volume_labels_read_back() {
    let made_with = MadeWith {
        major: 15,
        image: "postgres:15".into(),
        database: "shop".into(),
        user: "postgres".into(),
    };
    let owner = mark().owner;
    let created = Utc::now();
    let labels = of_volume(&owner, 2, &made_with, created, None);
    let Reading::Ours(read) = read_volume(&owner.generation_name(2), &labels) else {
        panic!("not ours: {labels:?}");
    };
    assert_eq!(read.made_with, made_with);
    assert_eq!(read.created, Some(created));
    assert!(matches!(read_volume("other", &labels), Reading::Foreign));
}
