use proptest::prelude::*;

use super::postgres::VERSIONS;
use super::*;
use crate::spec::PortChoice;

#[test]
fn ports() {
    assert_eq!(port("auto"), Ok(PortChoice::Auto));
    assert_eq!(port("1"), Ok(PortChoice::Fixed(1)));
    assert_eq!(port("65535"), Ok(PortChoice::Fixed(65535)));
    for bad in ["0", "65536", "-1", "99999999999999999999", "5432.0", "", "Auto", "0x1"] {
        assert!(port(bad).is_err(), "{bad}");
    }
}

#[test]
fn versions() {
    for major in VERSIONS {
        assert_eq!(version(&major.to_string()), Ok(major));
    }
    assert!(version("15.4").unwrap_err().what.contains("minor version"));
    assert!(version("12").unwrap_err().what.contains("not supported"));
    assert!(version("19").unwrap_err().hint.contains("13 to 18"));
    for bad in ["", "latest", "-15", "15.", "v15"] {
        assert!(version(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_mistyped_word_finds_the_right_one() {
    assert!(engine("doker").unwrap_err().hint.contains("did you mean docker?"));
    assert!(engine("Docker").unwrap_err().hint.contains("did you mean docker?"));
    assert!(durability("ful").unwrap_err().hint.contains("did you mean full?"));
    assert!(isolation("branches").unwrap_err().hint.contains("did you mean branch?"));
}

#[test]
fn retention_is_a_whole_number_of_days_within_reason() {
    assert_eq!((days("0"), days("3650")), (Ok(0), Ok(3650)));
    for bad in ["3651", "-1", "", "2.5", "two", "99999999999"] {
        assert!(days(bad).unwrap_err().hint.contains("0 to 3650"), "{bad}");
    }
    assert!(days("3651").unwrap_err().what.contains("a number of days"));
}

#[test]
fn names() {
    assert!(label(&"a".repeat(101)).is_err());
    assert!(instance(&"a/B".repeat(85)).is_ok());
    assert!(instance(&"a".repeat(256)).is_err());
    assert!(instance("run:12345678").is_err());
    assert!(instance("run-12345678").is_ok());
    assert!(database(&"a".repeat(63)).is_ok());
    assert!(database(&"ä".repeat(32)).is_err(), "64 bytes");
    for bad in ["", "a\0b", "template1"] {
        assert!(database(bad).is_err(), "{bad:?}");
    }
    assert!(user("pg_x").is_err());
    for bad in ["a,b", "a$b", "a\"b", "it's", "a\\b", "a😀"] {
        let problem = user(bad).unwrap_err();
        assert!(problem.hint.contains("letters, digits, blanks"), "{bad:?}: {problem:?}");
    }
    for good in ["postgres", "Anna B.", "anna.b@x", "jörg", "日本", "a=b", "a%b:c/d-e+f", "-x"] {
        assert_eq!(user(good), Ok(good.to_owned()));
    }
    // The database's name is in no such message, and PostgreSQL quotes it.
    for good in ["a,b", "a$b", "a\"b", "a\\b", "😀"] {
        assert_eq!(database(good), Ok(good.to_owned()));
    }
    assert!(label("  ").is_err());
    for bad in ["", "..", "a/b", ".hidden"] {
        assert!(profile(bad).is_err(), "{bad:?}");
    }
    for bad in ["", "1A", "A-B", "c2VjcmV0=="] {
        let problem = variable(bad).unwrap_err();
        assert!(bad.is_empty() || !problem.what.contains(bad), "{problem:?}");
    }
}

#[test]
fn settings_that_devdb_decides_are_refused() {
    for name in ["port", "listen_addresses", "Data_Directory", "password_encryption"] {
        assert!(setting_name(name).is_err(), "{name}");
    }
    for name in ["shared_buffers", "pg_trgm.similarity_threshold", "_x"] {
        assert!(setting_name(name).is_ok(), "{name}");
    }
    assert!(setting_name("a b").is_err());
}

#[test]
fn a_database_is_named_after_the_project() {
    for (project, name) in [
        ("mti-wifi", "mti_wifi"),
        ("sample", "sample"),
        ("My Project (2)", "my_project_2"),
        ("日本", "app"),
        ("2fast", "db_2fast"),
        ("template1", "db_template1"),
    ] {
        assert_eq!(database_for(project), name);
    }
}

proptest! {
    #[test]
    fn every_project_name_makes_a_database_name(project in ".*") {
        prop_assert!(database(&database_for(&project)).is_ok());
    }

    #[test]
    fn checks_never_panic(text in ".*") {
        let _ = (engine(&text), version(&text), port(&text));
        let _ = (image(&text), image_major(&text), setting_value(Some(&text)));
        let _ = (setting_name(&text), profile(&text), variable(&text), user(&text));
        let _ = (word_of_command(&text), input(&text));
    }

    #[test]
    fn every_port_is_a_port(number in 1u16..) {
        prop_assert_eq!(port(&number.to_string()), Ok(PortChoice::Fixed(number)));
    }
}
