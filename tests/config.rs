//! devdb.yaml, devdb.local.yaml, the environment and flags, as a person would write them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::Path;

use devdb::config::{self, Config, Environment, Origin, Overrides, Project};
use devdb::error::{Error, Kind};
use devdb::spec::{
    CacheLimits, Durability, EngineChoice, Files, InstanceSpec, OutOfOrder, PortChoice, Retention,
    SourceSpec, ToolCommand,
};
use proptest::prelude::*;
use tempfile::TempDir;

/// A project of its own, with a cleared environment.
struct Case {
    directory: TempDir,
    variables: Vec<(String, String)>,
    flags: Overrides,
}

impl Case {
    fn empty() -> Self {
        let directory = tempfile::Builder::new().prefix("shop-api-").tempdir().unwrap();
        Case { directory, variables: Vec::new(), flags: Overrides::default() }
    }

    fn new(yaml: impl AsRef<[u8]>) -> Self {
        let case = Case::empty();
        case.write("devdb.yaml", yaml);
        case
    }

    fn root(&self) -> &Path {
        self.directory.path()
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.root().join(name), text).unwrap();
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    fn flags(mut self, flags: Overrides) -> Self {
        self.flags = flags;
        self
    }

    fn run(&self) -> Result<Config, Error> {
        let environment = Environment::from_pairs(self.variables.clone());
        config::load(self.root(), &environment, &self.flags)
    }

    fn load(&self) -> Config {
        self.run().unwrap_or_else(|error| panic!("{error}\n{:?}", error.hints()))
    }

    fn spec(&self) -> InstanceSpec {
        self.load().spec("id", None)
    }

    fn error(&self) -> Error {
        let error = match self.run() {
            Ok(config) => panic!("accepted: {config:#?}"),
            Err(error) => error,
        };
        assert!(!error.hints().is_empty(), "no hint: {error:?}");
        error
    }
}

/// The message, the excerpt and the hints, as a person would see them.
fn shown(error: &Error) -> String {
    let mut text = format!("error: {error}\n");
    for line in error.excerpt_text().unwrap_or_default().lines() {
        text.push_str(&format!("  {line}\n"));
    }
    for hint in error.hints() {
        text.push_str(&format!("hint: {hint}\n"));
    }
    text
}

fn origin<'a>(config: &'a Config, key: &str) -> &'a Origin {
    &config.origins.iter().find(|setting| setting.key == key).unwrap().origin
}

#[test]
fn a_setting_in_two_spellings_is_there_twice() {
    let case = Case::new("postgres:\n  settings: { jit: on, JIT: off }\n");
    let error = case.run().unwrap_err();
    assert!(error.message().contains("\"JIT\" is there twice"), "{error}");
}

#[test]
fn an_empty_file_means_all_defaults() {
    for yaml in ["", "# nothing yet\n", "\u{feff}", "---\n", "postgres:\nseeds: ~\n"] {
        let case = Case::new(yaml);
        let config = case.load();
        let spec = config.spec("id", None);
        let name = case.root().file_name().unwrap().to_str().unwrap();
        assert_eq!(spec.owner.project, name);
        assert!(spec.server.database.starts_with("shop_api_"), "{}", spec.server.database);
        assert_eq!((spec.server.major, spec.server.image.as_str()), (15, "postgres:15"));
        assert!(!spec.server.image_chosen);
        assert_eq!(spec.server.user, "postgres");
        assert_eq!(spec.seeds.profile, "dev");
        assert_eq!(config.key_env, "ENCRYPTION_KEY");
        assert_eq!(spec.owner.instance, "main");
        assert_eq!(spec.port, PortChoice::Auto);
        assert_eq!(spec.server.durability, Durability::Full);
        let path = case.root().join("migrations");
        assert_eq!(
            spec.migrations.source,
            SourceSpec::Files(Files::Directory { path, required: false })
        );
    }
}

#[test]
fn every_key_is_read() {
    let case = Case::new(
        "project: mti-wifi\nengine: docker\nisolation: developer\npostgres:\n  version: 16\n  \
         image: \"postgis/postgis:16-3.4\"\n  bin_dir: pg/bin\n  database: Mti Wifi\n  user: anna\n  \
         settings: { shared_buffers: 256MB, jit: off, max_connections: 0050, log_statement: 'all', \
         track_io_timing: true }\n  extensions: [pg_trgm, hstore, pg_trgm]\n  durability: none\n  \
         port: 15432\nmigrations:\n  path: ./db/migrations\n  out_of_order: allow\nseeds:\n  \
         path: db/seeds\n  profile: demo\nsecrets: { key_env: APP_KEY }\n\
         generations: { days: 30, size: 5 GB }\ncache: { states: 7, size: 2 GB }\n",
    );
    fs::create_dir_all(case.root().join("db/migrations")).unwrap();
    fs::create_dir_all(case.root().join("db/seeds")).unwrap();
    let config = case.load();
    let spec = config.spec("id-1", None);
    assert_eq!(spec.owner.project, "mti-wifi");
    assert_eq!(spec.owner.project_id, "id-1");
    assert_eq!(spec.engine, EngineChoice::Docker);
    assert_eq!(spec.server.major, 16);
    assert_eq!(spec.server.image, "postgis/postgis:16-3.4");
    assert!(spec.server.image_chosen);
    assert_eq!(spec.server.bin_dir, Some(case.root().join("pg/bin")));
    assert_eq!(spec.server.database, "Mti Wifi");
    assert_eq!(spec.server.extensions, ["pg_trgm", "hstore"]);
    assert_eq!(spec.port, PortChoice::Fixed(15432));
    assert_eq!(spec.timeout.as_secs(), 60);
    assert_eq!(spec.retention, Retention { days: 30, bytes: 5_000_000_000 });
    assert_eq!(spec.cache, CacheLimits { states: 7, bytes: 2_000_000_000 });
    assert!(!spec.of_branch);
    assert_eq!(spec.migrations.out_of_order, OutOfOrder::Allow);
    assert_eq!(
        spec.migrations.source,
        SourceSpec::Files(Files::Directory {
            path: case.root().join("db/migrations"),
            required: true
        })
    );
    assert_eq!(spec.seeds.profile, "demo");
    let kept: Vec<_> = spec.server.settings.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(
        kept,
        [
            "jit=off",
            "log_statement=all",
            "max_connections=0050",
            "shared_buffers=256MB",
            "track_io_timing=true"
        ]
    );
    assert_eq!(config.key_env, "APP_KEY");
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn flag_over_environment_over_local_over_shared_over_default() {
    let yaml = "postgres:\n  port: 1111\n  user: shared\n  settings: {a: 1, b: 1}\nproject: one\n";
    let local = "postgres:\n  port: 2222\n  settings: {b: 2}\n";
    let flags = Overrides { port: Some("4444".into()), ..Overrides::default() };

    let case = Case::new(yaml);
    assert_eq!(case.spec().port, PortChoice::Fixed(1111));
    case.write("devdb.local.yaml", local);
    let config = case.load();
    assert_eq!(config.spec("id", None).port, PortChoice::Fixed(2222));
    assert_eq!(config.spec("id", None).server.user, "shared");
    assert_eq!(config.spec("id", None).server.settings["a"], "1");
    assert_eq!(config.spec("id", None).server.settings["b"], "2");
    assert_eq!(origin(&config, "postgres.port").to_string(), "devdb.local.yaml:2");
    assert_eq!(origin(&config, "postgres.user").to_string(), "devdb.yaml:3");
    assert_eq!(origin(&config, "postgres.settings.a").to_string(), "devdb.yaml:4");
    assert_eq!(origin(&config, "postgres.settings.b").to_string(), "devdb.local.yaml:3");
    assert_eq!(origin(&config, "postgres.durability"), &Origin::Default);
    let case = case.with("DEVDB_PORT", "3333");
    let config = case.load();
    assert_eq!(config.spec("id", None).port, PortChoice::Fixed(3333));
    assert_eq!(origin(&config, "postgres.port").to_string(), "DEVDB_PORT");
    let case = case.flags(flags);
    let config = case.load();
    assert_eq!(config.spec("id", None).port, PortChoice::Fixed(4444));
    assert_eq!(origin(&config, "postgres.port").to_string(), "--port");
    // Every setting is there once.
    let mut keys: Vec<_> = config.origins.iter().map(|setting| &setting.key).collect();
    let all = keys.len();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), all);
}

#[test]
fn every_variable_is_heard_and_an_empty_one_is_not() {
    let case = Case::new("engine: native\n")
        .with("DEVDB_ENGINE", "")
        .with("DEVDB_PROJECT", "p")
        .with("DEVDB_DEVELOPER", "dev")
        .with("DEVDB_POSTGRES", "17")
        .with("DEVDB_IMAGE", "registry.local:5000/postgres:17")
        .with("DEVDB_BIN_DIR", "/opt/pg/bin")
        .with("DEVDB_DATABASE", "d")
        .with("DEVDB_USER", "u")
        .with("DEVDB_DURABILITY", "relaxed")
        .with("DEVDB_PORT", "auto")
        .with("DEVDB_PROFILE", "test")
        .with("DEVDB_MIGRATIONS", ".")
        .with("DEVDB_SEEDS", ".")
        .with("DEVDB_KEY_ENV", "K")
        .with("DEVDB_INSTANCE", "i")
        .with("DEVDB_ISOLATION", "branch")
        .with("DEVDB_GENERATIONS_SIZE", "1GiB")
        .with("DEVDB_GENERATIONS_DAYS", "3650")
        .with("DEVDB_CACHE_STATES", "3")
        .with("DEVDB_CACHE_SIZE", "500MB")
        .with("DEVDB_TEST_ANYTHING", "1")
        .with("DEVDB_DATA_DIR", "/tmp/x")
        .with("DEVDB_LOG", "debug");
    let config = case.load();
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    let spec = config.spec("id", None);
    assert_eq!(spec.engine, EngineChoice::Native);
    assert_eq!((spec.owner.project.as_str(), spec.owner.developer.as_str()), ("p", "dev"));
    assert_eq!(
        (spec.server.major, spec.server.image.as_str()),
        (17, "registry.local:5000/postgres:17")
    );
    assert_eq!((spec.server.database.as_str(), spec.server.user.as_str()), ("d", "u"));
    assert_eq!((spec.seeds.profile.as_str(), spec.owner.instance.as_str()), ("test", "i"));
    assert_eq!(spec.retention, Retention { days: 3650, bytes: 1 << 30 });
    assert_eq!(spec.cache, CacheLimits { states: 3, bytes: 500_000_000 });
    assert_eq!(spec.server.durability, Durability::Relaxed);
    assert_eq!(config.key_env, "K");
}

#[test]
fn an_unknown_variable_is_a_warning_with_the_nearest_name() {
    let case = Case::new("").with("DEVDB_DATBASE", "x").with("DEVDB_ZZZ", "x");
    let warnings = case.load().warnings;
    assert_eq!(
        warnings,
        [
            "DEVDB_DATBASE is ignored: did you mean DEVDB_DATABASE?",
            "DEVDB_ZZZ is ignored: devdb knows no such variable"
        ]
    );
}

#[test]
fn without_a_file_it_is_the_sample_project() {
    let case = Case::empty();
    let config = case.load();
    assert_eq!(config.project, Project::Sample);
    assert_eq!(config.spec("id", None).owner.project, "sample");
    assert_eq!(config.spec("id", None).server.database, "sample");
    assert!(config.warnings.is_empty());
    let spec = config.spec("x", Some(std::time::Duration::from_secs(5)));
    let embedded = SourceSpec::Files(Files::Embedded);
    assert_eq!((&spec.migrations.source, &spec.seeds.source), (&embedded, &embedded));
    assert_eq!(spec.timeout.as_secs(), 5);

    case.write("devdb.local.yaml", "engine: native\n");
    let warnings = case.load().warnings;
    assert!(warnings[0].contains("devdb.local.yaml is ignored"));
}

#[test]
fn a_project_is_found_from_below() {
    let case = Case::new("project: up here\n");
    let below = case.root().join("src/deep");
    fs::create_dir_all(&below).unwrap();
    let config =
        config::load(&below, &Environment::from_pairs([("A", "b")]), &Overrides::default())
            .unwrap();
    assert_eq!(config.project, Project::Directory { root: case.root().to_owned() });
    assert_eq!(config.spec("id", None).owner.project, "up here");
}

#[test]
fn the_image_and_the_version_agree() {
    let case = Case::new("postgres:\n  image: pgvector/pgvector:pg17\n");
    assert_eq!(case.spec().server.major, 17);
    let case = Case::new("postgres:\n  image: postgres:latest\n");
    assert_eq!(case.spec().server.major, 15);
    let case = Case::new("postgres:\n  version: 16\n");
    assert_eq!(case.spec().server.image, "postgres:16");

    let case = Case::new("postgres:\n  version: 15\n  image: postgres:16-alpine\n");
    assert_eq!(
        shown(&case.error()),
        "error: devdb.yaml:3:10: postgres.image: \"postgres:16-alpine\" is PostgreSQL 16\n  \
         3 |   image: postgres:16-alpine\n    |          ^^^^^^^^^^^^^^^^^^\n\
         hint: postgres.version is 15 (devdb.yaml:2): change one of the two, or leave one out\n"
    );
    let flags = Overrides { postgres: Some("15".into()), ..Overrides::default() };
    let case = Case::new("postgres:\n  image: postgres:16\n").flags(flags);
    assert!(shown(&case.error()).contains("postgres.version is 15 (--postgres)"));
    let case = Case::new("postgres:\n  image: postgres:9.6\n");
    assert!(shown(&case.error()).contains("PostgreSQL 9 is not supported"));
}

#[test]
fn an_unknown_key_is_shown_with_the_nearest() {
    assert_eq!(
        shown(&Case::new("project: a\npostgres:\n  prot: 5432\n").error()),
        "error: devdb.yaml:3:3: unknown key \"postgres.prot\"\n  \
         3 |   prot: 5432\n    |   ^^^^\nhint: did you mean port?\n"
    );
    assert!(
        shown(&Case::new("postgress:\n  port: 1\n").error()).contains("did you mean postgres?")
    );
    let moved = shown(&Case::new("key_env: K\n").error());
    assert!(moved.contains("secrets.key_env is a key: indent it below `secrets:`"), "{moved}");
    let strange = shown(&Case::new("zzz: 1\n").error());
    assert!(strange.contains("known here: project, engine"), "{strange}");
    let local = Case::new("");
    local.write("devdb.local.yaml", "engin: native\n");
    assert!(shown(&local.error()).contains("devdb.local.yaml:1:1"));
}

#[test]
fn another_tools_command_takes_the_place_of_files() {
    let case = Case::new(
        "migrations:\n  command: [npm, run, \"db:migrate\"]\n  inputs: [\"migrations/**\"]\n\
         seeds:\n  command: [./seed, 'two words', 5]\n  inputs: [src/seed.ts, '*.csv']\n",
    );
    let config = case.load();
    let command = |argv: &[&str], inputs: &[&str]| {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let directory = case.root().to_owned();
        SourceSpec::Command(ToolCommand { argv: owned(argv), inputs: owned(inputs), directory })
    };
    let spec = config.spec("id", None);
    assert_eq!(spec.migrations.source, command(&["npm", "run", "db:migrate"], &["migrations/**"]));
    let seeds = command(&["./seed", "two words", "5"], &["src/seed.ts", "*.csv"]);
    assert_eq!(spec.seeds.source, seeds);
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    let value = |key: &str| {
        let found = config.origins.iter().find(|setting| setting.key == key);
        found.map(|setting| format!("{} ({})", setting.value, setting.origin))
    };
    assert_eq!(value("migrations.command").unwrap(), "npm run db:migrate (devdb.yaml:2)");
    assert_eq!(value("seeds.command").unwrap(), "./seed \"two words\" 5 (devdb.yaml:5)");
    assert_eq!(value("seeds.inputs").unwrap(), "src/seed.ts, *.csv (devdb.yaml:6)");
    assert_eq!(value("migrations.path"), None);

    let profile = Case::new("seeds: {command: [x], inputs: [y]}\n").with("DEVDB_PROFILE", "demo");
    let warnings = profile.load().warnings;
    assert_eq!(warnings, ["seeds.profile (DEVDB_PROFILE) means nothing to seeds.command"]);
}

#[test]
fn a_command_that_cannot_be_used_is_shown_where_it_stands() {
    for (yaml, place, says) in [
        ("migrations:\n  command: [npm, run, x]\n", "2:12", "needs migrations.inputs"),
        ("seeds:\n  inputs: [a]\n", "2:11", "no seeds.command"),
        ("seeds:\n  command: npm run x\n  inputs: [a]\n", "2:12", "one word an item"),
        ("seeds:\n  command: [a]\n  inputs: a/**\n", "3:11", "one glob an item"),
        ("seeds:\n  command: []\n  inputs: [a]\n", "2:12", "the list is empty"),
        ("seeds:\n  command: [a]\n  inputs: []\n", "3:11", "the list is empty"),
        ("seeds:\n  command: ['', b]\n  inputs: [a]\n", "2:12", "no name"),
        ("seeds:\n  command: [a, [b]]\n  inputs: [a]\n", "2:16", "expected a single value"),
        ("seeds:\n  command: [a]\n  inputs: [b, '']\n", "3:15", "the glob is empty"),
        ("seeds:\n  command: [a]\n  inputs: ['a/***']\n", "3:12", "is no glob"),
        ("seeds:\n  command: [a]\n  inputs: [/etc/*]\n", "3:12", "absolute"),
        ("seeds:\n  path: s\n  command: [a]\n  inputs: [a]\n", "3:12", "devdb.yaml:2"),
        ("seeds:\n  comand: [a]\n", "2:3", "did you mean command?"),
    ] {
        let text = shown(&Case::new(yaml).error());
        assert!(text.contains(&format!("devdb.yaml:{place}:")), "{text}");
        assert!(text.contains(says), "{says:?} is not in\n{text}");
    }
    let case = Case::new("migrations: {command: [a], inputs: [b]}\n").with("DEVDB_MIGRATIONS", ".");
    assert!(shown(&case.error()).contains("DEVDB_MIGRATIONS"));
}

#[test]
fn bad_values_are_shown_where_they_stand() {
    for (yaml, place, says) in [
        ("postgres: {port: 0}\n", "1:18", "0 is out of the range of ports"),
        ("postgres:\n  port: 65536\n", "2:9", "from 1 to 65535"),
        ("postgres:\n  port: -1\n", "2:9", "-1 is out of the range"),
        ("postgres:\n  port: http\n", "2:9", "\"http\" is not a port"),
        ("postgres:\n  version: 15.4\n", "2:12", "minor version"),
        ("postgres:\n  version: 12\n", "2:12", "from 13 to 18"),
        ("postgres:\n  version: latest\n", "2:12", "not a PostgreSQL version"),
        ("postgres:\n  database: ''\n", "2:13", "name is empty"),
        ("postgres:\n  user: \"a\\0b\"\n", "2:9", "control characters"),
        ("project: ' '\n", "1:10", "name is empty"),
        ("engine: dokcer\n", "1:9", "did you mean docker?"),
        ("postgres:\n  settings:\n    work_mem:\n", "3:13", "has no value"),
        ("postgres:\n  settings:\n    port: 1\n", "3:11", "postgres.port"),
        ("postgres:\n  settings: {listen_addresses: '*'}\n", "2:32", "devdb decides"),
        ("postgres:\n  extensions: [a, '']\n", "2:19", "name is empty"),
        ("migrations:\n  path: nowhere\n", "2:9", "there is no directory"),
        ("migrations:\n  out_of_order: yes\n", "2:17", "allowed: refuse, allow"),
        ("seeds:\n  profile: ../x\n", "2:12", "no name of a seed profile"),
    ] {
        let error = Case::new(yaml).error();
        let text = shown(&error);
        assert_eq!(error.kind(), Kind::Config, "{text}");
        assert!(text.starts_with(&format!("error: devdb.yaml:{place}: ")), "{yaml:?}\n{text}");
        assert!(text.contains(says), "{yaml:?}\n{text}");
        assert!(error.excerpt_text().is_some_and(|excerpt| excerpt.contains('^')), "{text}");
    }
}

#[test]
fn wrong_shapes_are_shown_where_they_stand() {
    for (yaml, place, says) in [
        ("- engine: docker\n", "1:1", "a list"),
        ("just text\n", "1:1", "string \"just text\""),
        ("postgres: 15\n", "1:11", "postgres is"),
        ("postgres:\n  port: [1, 2]\n", "2:9", "postgres.port is"),
        ("engine:\n  name: docker\n", "2:3", "engine is"),
        ("postgres:\n  extensions: pg_trgm\n", "2:15", "postgres.extensions is"),
        ("postgres:\n  settings: [a]\n", "2:13", "postgres.settings is"),
        ("engine: auto\nengine: docker\n", "2:1", "\"engine\" is there twice"),
        ("postgres:\n  settings:\n    a: 1\n    a: 2\n", "4:5", "\"a\" is there twice"),
        ("postgres:\n\tport: 1\n", "2:", "indented with a tab"),
        ("postgres: {port: 1\n", "2:", "not YAML"),
        ("a: b: c\n", "1:", "not YAML"),
        ("engine: auto\n---\nengine: docker\n", "2:1", "another document"),
    ] {
        let error = Case::new(yaml).error();
        let text = shown(&error);
        assert_eq!(error.kind(), Kind::Config, "{text}");
        assert!(text.starts_with(&format!("error: devdb.yaml:{place}")), "{yaml:?}\n{text}");
        assert!(text.contains(says), "{yaml:?}\n{text}");
    }
}

#[test]
fn windows_files_are_fine_and_their_errors_are_placed() {
    let case = Case::new("\u{feff}project: a\r\npostgres:\r\n  port: 5555\r\n");
    assert_eq!(case.spec().port, PortChoice::Fixed(5555));
    assert_eq!(case.spec().owner.project, "a");
    let text = shown(&Case::new("\u{feff}projet: a\r\n").error());
    assert!(text.contains("devdb.yaml:1:1") && text.contains("1 | projet: a\n"), "{text:?}");
    let text = shown(&Case::new("project: a\r\nengine: x\r\n").error());
    assert!(text.contains("devdb.yaml:2:9"), "{text}");
}

#[test]
fn files_that_cannot_be_read() {
    let text = shown(&Case::new(b"engine: auto\nproject: \xff\n").error());
    assert!(text.contains("devdb.yaml:2: the file is not UTF-8"), "{text}");
    let case = Case::empty();
    fs::create_dir(case.root().join("devdb.yaml")).unwrap();
    assert!(shown(&case.error()).contains("cannot read devdb.yaml"));
    let case = Case::empty();
    std::os::unix::fs::symlink("nowhere", case.root().join("devdb.yaml")).unwrap();
    assert!(shown(&case.error()).contains("cannot read devdb.yaml"));
    let case = Case::empty();
    case.write("devdb.yml", "");
    assert!(shown(&case.error()).contains("mv devdb.yml devdb.yaml"));
}

#[test]
fn flags_and_variables_are_named_instead_of_the_file() {
    let flags = Overrides { port: Some("x".into()), ..Overrides::default() };
    let error = Case::new("").flags(flags).error();
    assert_eq!(error.message(), "--port: \"x\" is not a port");
    assert_eq!(error.kind(), Kind::Usage);
    let error = Case::new("").with("DEVDB_ENGINE", "doker").error();
    assert_eq!(error.message(), "DEVDB_ENGINE: \"doker\" is not an engine");
    assert_eq!(error.kind(), Kind::Config);
    let flags = Overrides { instance: Some(String::new()), ..Overrides::default() };
    assert!(Case::new("").flags(flags).error().message().starts_with("--instance: "));
}

#[test]
fn a_mistyped_directory_finds_the_right_one() {
    let case = Case::new("migrations:\n  path: db/migration\n");
    fs::create_dir_all(case.root().join("db/migrations")).unwrap();
    assert!(shown(&case.error()).contains("did you mean migrations?"));
    case.write("devdb.yaml", "seeds:\n  path: devdb.yaml\n");
    assert!(shown(&case.error()).contains("is not a directory"));
}

#[test]
fn a_pasted_key_is_not_repeated() {
    let error = Case::new("").with("DEVDB_KEY_ENV", "c2VjcmV0LWtleQ==").error();
    assert!(!shown(&error).contains("c2Vj"), "{}", shown(&error));
}

#[test]
fn the_schema_describes_every_key_and_nothing_else() {
    let schema = config::schema();
    assert_eq!(schema["additionalProperties"], false);
    let text = schema.to_string();
    for word in [
        "project",
        "branch",
        "generations",
        "3650",
        "cache",
        "bin_dir",
        "out_of_order",
        "key_env",
        "relaxed",
        "65535",
    ] {
        assert!(text.contains(word), "{word} is not in {schema:#}");
    }
    assert!(!text.contains("\"required\"") && !text.contains("null"), "{schema:#}");
    for (name, part) in schema["$defs"].as_object().unwrap() {
        if part["type"] == "object" {
            assert_eq!(part["additionalProperties"], false, "{name}");
            for (key, property) in part["properties"].as_object().unwrap() {
                assert!(property["description"].is_string(), "{name}.{key}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    /// Whatever stands in the file, there is a configuration or an error of the right kind.
    #[test]
    fn any_text_is_read_or_refused(
        yaml in "((project|postgres|port|  port|seeds|- a)(: |:\n)?(\\[|\\{|'|\"|1|\t|x|&a|\\*a|~|\n)*\n?){0,6}"
    ) {
        match Case::new(&yaml).run() {
            Ok(_) => {}
            Err(error) => prop_assert_eq!(error.kind(), Kind::Config),
        }
    }

    #[test]
    fn a_setting_is_kept_as_written(value in "[A-Za-z0-9][A-Za-z0-9.%/_]{0,11}") {
        prop_assume!(!matches!(value.as_str(), "~" | "null" | "Null" | "NULL"));
        let config = Case::new(format!("postgres:\n  settings: {{x.y: {value}}}\n")).load();
        prop_assert_eq!(&config.spec("id", None).server.settings["x.y"], &value);
    }
}

#[test]
fn the_env_files_of_the_key_and_of_the_address_are_settings() {
    let value = |config: &Config, key: &str| {
        let found = config.origins.iter().find(|setting| setting.key == key).unwrap();
        format!("{} ({})", found.value, found.origin)
    };
    let case = Case::new("");
    let config = case.load();
    assert_eq!((&config.key_file, &config.env_file), (&None, &None));
    assert_eq!(value(&config, "secrets.env_file"), "none (default)");
    case.write(".env", "");
    let config = case.load();
    assert_eq!(config.key_file.as_deref(), Some(&*case.root().join(".env")));
    assert_eq!(value(&config, "secrets.env_file"), ".env (default)");
    assert_eq!(config.env_file, None);

    let case = Case::new("secrets: {env_file: config/env}\nenv: {write: .env.local}\n");
    let config = case.load();
    assert_eq!(config.env_file.as_deref(), Some(&*case.root().join(".env.local")));
    assert_eq!(config.warnings, ["secrets.env_file (devdb.yaml:1): there is no file config/env"]);
    std::fs::create_dir_all(case.root().join("config/env")).unwrap();
    assert!(shown(&case.error()).contains("is not a file"));
    let none = Case::new("secrets: {env_file: none}\nenv: {write: none}\n");
    none.write(".env", "");
    let config = none.load();
    assert_eq!((config.key_file, config.env_file, config.warnings), (None, None, vec![]));
    assert!(shown(&Case::new("env: {wirte: .env}\n").error()).contains("did you mean write?"));
}
