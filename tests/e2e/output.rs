//! What commands print: env in its forms, JSON, completions, init, config, doctor.

use crate::sandbox::{On, Sandbox, finish};

fn sandbox(test: &str) -> Option<Sandbox> {
    Sandbox::new(On::Native, test)
}

#[test]
fn env_updates_its_own_lines_and_refuses_a_tracked_file() {
    let Some(sandbox) = sandbox("env") else { return };
    sandbox.project();
    sandbox.write(".env", "# mine\nKEEP=1\nDATABASE_URL=old # was\nLAST=2");
    sandbox.run(&["up", "--write-env", ".env"]).ok();
    let url = sandbox.url();
    let text = std::fs::read_to_string(sandbox.path(".env")).unwrap();
    // What a person had there is not lost.
    let kept =
        format!("# mine\nKEEP=1\n# Before devdb: DATABASE_URL=old\nDATABASE_URL={url} # was\n");
    assert!(text.starts_with(&kept), "{text}");
    assert!(text.contains("LAST=2"), "{text}");
    sandbox.run(&["env", "--write", ".env"]).ok();
    assert_eq!(std::fs::read_to_string(sandbox.path(".env")).unwrap(), text);

    let shell = sandbox.run(&["env", "--format", "shell"]).ok().stdout;
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &format!("{shell}\nprintf %s \"$DATABASE_URL\"")]);
    assert_eq!(finish(command).ok().stdout, url);
    let enveloped = sandbox.run(&["env", "--json"]).ok().json();
    assert_eq!(enveloped["command"], "env");
    assert_eq!(enveloped["result"]["variables"]["DATABASE_URL"], url.as_str());
    assert!(enveloped["result"]["unset"].as_array().unwrap().contains(&"PGSERVICE".into()));
    // Every document has the same URL, and it can be used.
    for arguments in [&["up", "--json"][..], &["status", "--json"], &["url", "--json"]] {
        assert_eq!(sandbox.run(arguments).ok().json()["result"]["url"], url.as_str());
    }
    sandbox.run(&["status"]).ok().says(":***@");
    let json = sandbox.run(&["env", "--format", "json"]).ok().json();
    assert_eq!(json["DATABASE_URL"], url.as_str());
    for name in ["HOST", "PORT", "NAME", "USER", "PASSWORD"] {
        assert!(json[format!("DATABASE_{name}")].is_string(), "{name}");
    }

    for arguments in [&["init", "-q"][..], &["add", "-f", ".env"]] {
        let mut git = std::process::Command::new("git");
        git.args(arguments).current_dir(sandbox.work());
        finish(git).ok();
    }
    sandbox.run(&["env", "--write", ".env"]).exits(3).says("git");
    sandbox.run(&["up", "--write-env", ".env"]).exits(3).says("git");
}

#[test]
fn a_persons_key_in_the_env_file_is_used_and_never_lost() {
    let Some(sandbox) = sandbox("key") else { return };
    sandbox.project();
    let env = || std::fs::read_to_string(sandbox.path(".env")).unwrap();
    let [mine, other] = [(), ()].map(|()| sandbox.run(&["secret", "keygen"]).ok().line());
    let file = format!("URL=x\nENCRYPTION_KEY='{mine}'\n");
    sandbox.write(".env", &file);
    sandbox.run(&["up"]).ok();
    for arguments in [&["env", "--write", ".env"][..], &["env", "--with-key", "--write", ".env"]] {
        sandbox.run(arguments).ok();
        assert!(env().starts_with(&file), "{}", env());
    }
    let config = sandbox.run(&["config"]).ok();
    assert!(!config.stdout.contains(&mine), "{}", config.stdout);
    config.says(".env:2").says("secrets.key ").says("fingerprint ");

    // With a key in the shell the file's one is replaced, and stays as a comment.
    let mut write = sandbox.command(&["env", "--with-key", "--write", ".env"]);
    write.env("ENCRYPTION_KEY", &other);
    finish(write).ok();
    let kept = format!("# Before devdb: ENCRYPTION_KEY='{mine}'\nENCRYPTION_KEY={other}\n");
    assert!(env().contains(&kept), "{}", env());
    // It is devdb's own line now: what devdb wrote is not worth a comment.
    let mut write = sandbox.command(&["env", "--with-key", "--write", ".env"]);
    write.env("ENCRYPTION_KEY", &mine);
    finish(write).ok();
    assert_eq!(env().matches("# Before devdb:").count(), 1, "{}", env());
    assert!(!env().contains(&other), "{}", env());

    // A text that is no key belongs to the application, and does not keep the database from running.
    sandbox.write(".env", "ENCRYPTION_KEY=of the application\n");
    sandbox.run(&["up"]).ok();
    sandbox.run(&["env", "--with-key", "--write", ".env"]).exits(3).says(".env:1");
    sandbox.write("devdb.yaml", "project: shop\nsecrets: { env_file: none }\n");
    sandbox.run(&["env", "--with-key", "--write", ".env"]).ok();
    assert!(env().starts_with("# Before devdb: ENCRYPTION_KEY=of the application\n"), "{}", env());
    sandbox.run(&["config"]).ok().says("keys/");
}

#[test]
fn an_env_file_with_another_address_is_kept_right_or_said() {
    let Some(sandbox) = sandbox("stale") else { return };
    sandbox.project();
    let env = || std::fs::read_to_string(sandbox.path(".env")).unwrap();
    sandbox.write(".env", "DATABASE_URL=postgresql://me:secret@db.example:5432/mine\n");
    let said = "points to another database of devdb";
    let up = sandbox.run(&["up", "--write-env", ".env"]).ok();
    assert!(!up.stderr.contains(said), "{}", up.stderr);
    assert_eq!(env().matches("# Before devdb:").count(), 1);
    let first = sandbox.url();

    // Another instance: the file is about the first one.
    sandbox.run(&["up", "--instance", "two"]).ok().says("DATABASE_URL in .env:2").says(said);
    for command in ["status", "url", "env", "config"] {
        sandbox.run(&[command, "--instance", "two"]).ok().says(said);
        assert!(!sandbox.run(&[command]).ok().stderr.contains(said));
    }
    // With the setting, every command that may change the address mends the file, without leaving
    // comments with what devdb wrote itself.
    sandbox.write("devdb.yaml", "project: shop\nenv: { write: .env }\n");
    sandbox.run(&["status", "--instance", "two"]).ok().says(said);
    let of_two = |arguments: &[&str]| sandbox.run(&[arguments, &["--instance", "two"]].concat());
    of_two(&["start"]).ok().says(".env has the address of the database two now");
    assert!(env().contains(&of_two(&["url"]).ok().line()), "{}", env());
    sandbox.run(&["reset"]).ok().says(".env has the address of the database main now");
    assert!(env().contains(&first), "{}", env());
    // What only looks at the other database, or changes its data, does not turn the file to it.
    for command in [
        &["generations"][..],
        &["snapshot", "save", "s"],
        &["snapshot", "list"],
        &["snapshot", "show", "s"],
        &["snapshot", "restore", "s"],
        &["snapshot", "rm", "s"],
        &["reset"],
        &["undo"],
    ] {
        of_two(command).ok().says(said);
        assert!(env().contains(&first), "{command:?}: {}", env());
    }
    // A failure does not leave the file at another database.
    sandbox.write("migrations/20260105000000_bad.sql", "select nonsense;\n");
    of_two(&["up"]).exits(20).says(said);
    of_two(&["start"]).ok();
    sandbox.run(&["up"]).exits(20).says(".env has the address of the database main now");
    of_two(&["start"]).ok();
    std::fs::remove_file(sandbox.path("migrations/20260105000000_bad.sql")).unwrap();
    of_two(&["down", "--purge", "--yes"]).ok().says("DATABASE_URL in .env:2 is out of date");
    sandbox.run(&["start"]).ok();
    assert!(env().contains(&first), "{}", env());
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    sandbox.run(&["up", "--port", &port.to_string()]).ok();
    assert!(env().contains(&format!("PGPORT={port}\n")), "{}", env());
    assert_eq!(env().matches("# Before devdb:").count(), 1, "{}", env());

    // The database is gone, and the file still has its address.
    let gone = "is out of date; `devdb up` creates a database and updates the file";
    let all = std::fs::File::create(sandbox.path("said")).unwrap();
    let mut down = sandbox.command(&["down", "--purge", "--yes"]);
    down.stdout(all.try_clone().unwrap()).stderr(all);
    assert!(down.status().unwrap().success());
    let all = std::fs::read_to_string(sandbox.path("said")).unwrap();
    let place = |text: &str| all.find(text).unwrap_or_else(|| panic!("no {text:?} in\n{all}"));
    assert!(place("deleted the database") < place(gone), "{all}");
    sandbox.run(&["up"]).ok();
    assert_eq!(env().matches("# Before devdb:").count(), 1, "{}", env());
    // Parameters that a person added say the same, and stay.
    let text = env().replace("?sslmode=disable", "?schema=app");
    sandbox.write(".env", &text);
    sandbox.run(&["up"]).ok();
    assert_eq!(env(), text);
}

#[test]
fn a_directory_with_migrations_is_not_taken_for_the_sample_in_silence() {
    let Some(sandbox) = sandbox("sample") else { return };
    sandbox.write("migrations/20260101000000_a.sql", "select 1;\n");
    let warned = sandbox.run(&["config"]).ok().says("there is a migrations directory, but");
    warned.says("sample project").says("devdb init");
    // As in devdb's own checkout.
    devdb::embedded::MIGRATIONS.extract(sandbox.path("migrations")).unwrap();
    let own = sandbox.run(&["config"]).ok();
    assert!(!own.stderr.contains("sample project"), "{}", own.stderr);
}

#[test]
fn variables_of_the_shell_lead_nobody_to_another_server() {
    let Some(sandbox) = sandbox("overrides") else { return };
    sandbox.project();
    sandbox.run(&["up"]).ok();
    sandbox.write("services", "[other]\nhost=127.0.0.1\nport=1\ndbname=other\nuser=nobody\n");
    let wrong = [
        ("PGSERVICE", "other"),
        ("PGHOSTADDR", "127.0.0.9"),
        ("PGOPTIONS", "-c search_path=nowhere"),
        ("PGSSLMODE", "require"),
        ("PGTARGETSESSIONATTRS", "standby"),
        ("PGREQUIREAUTH", "none"),
        ("PGCHANNELBINDING", "require"),
        ("PGGSSENCMODE", "require"),
        ("PGSSLROOTCERT", "system"),
        ("PGSSLCERTMODE", "require"),
        ("PGSSLNEGOTIATION", "direct"),
    ];
    let devdb = env!("CARGO_BIN_EXE_devdb");
    let script = format!(
        "PATH=$PATH:'{}'; set -e; eval \"$(devdb env --format shell)\"; psql -XAtqc 'select name from items'",
        std::path::Path::new(devdb).parent().unwrap().display()
    );
    let with = |mut command: std::process::Command, variables: &[(&str, &str)]| {
        command.env("PGSERVICEFILE", sandbox.path("services")).envs(variables.iter().copied());
        finish(command)
    };
    let in_shell = |variables: &[(&str, &str)]| {
        let mut command = sandbox.command(&[]);
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &script]).current_dir(sandbox.work()).env_clear();
        for (name, value) in command.env("DEVDB_LOG", "").get_envs() {
            shell.env(name, value.unwrap_or_default());
        }
        with(shell, variables)
    };
    let query = ["psql", "--", "-XAtqc", "select name from items"];
    assert_eq!(in_shell(&wrong).ok().line(), "First");
    for one in wrong {
        assert_eq!(in_shell(&[one]).ok().line(), "First", "{one:?}");
        assert_eq!(with(sandbox.command(&query), &[one]).ok().line(), "First", "{one:?}");
        if one.0 != "PGSSLMODE" {
            with(sandbox.command(&["url"]), &[one]).ok().says(one.0);
        }
        with(sandbox.command(&["env"]), &[one]).ok().says(one.0).says("this shell sets");
    }
    // psql with the URL needs no variable to know that the server has no TLS.
    let mut psql = std::process::Command::new("psql");
    psql.args([&sandbox.url(), "-XAtqc", "select 1"]).env("PGSSLMODE", "require");
    finish(psql).ok();
    // An empty variable is none for people, and one for libpq.
    assert_eq!(with(sandbox.command(&query), &[("PGSERVICE", "")]).ok().line(), "First");
    // The address of another database in the shell wins over a file.
    with(sandbox.command(&["env"]), &[("DATABASE_URL", "x")]).ok().says("DATABASE_URL, which can");
    assert!(!sandbox.run(&["env"]).ok().stderr.contains("this shell"));
}

#[test]
fn nothing_is_put_in_the_place_of_what_is_no_file() {
    let Some(sandbox) = sandbox("places") else { return };
    sandbox.project();
    sandbox.run(&["up"]).ok();
    sandbox.run(&["snapshot", "save", "s"]).ok();
    std::fs::create_dir(sandbox.path("directory.tar.zst")).unwrap();
    let pipe = sandbox.path("pipe.tar.zst");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::os::unix::fs::symlink("/dev/null", sandbox.path("null.tar.zst")).unwrap();
    let pipe_is_there = || {
        use std::os::unix::fs::FileTypeExt;
        std::fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo()
    };
    for (name, what) in [
        ("directory.tar.zst", "a directory"),
        ("pipe.tar.zst", "a named pipe"),
        ("null.tar.zst", "a device"),
    ] {
        for arguments in [
            &["snapshot", "export", "s", name][..],
            &["snapshot", "export", "s", name, "--force"],
            &["cache", "push", name],
            &["env", "--write", name],
            &["env", "--format", "github", "--write", name],
            &["up", "--write-env", name],
        ] {
            let ran = sandbox.run(arguments);
            assert_ne!(ran.code, 0, "{arguments:?}");
            assert!(!ran.stderr.contains("--force replaces it"), "{}", ran.stderr);
            drop(ran.says(what));
        }
    }
    assert!(pipe_is_there() && sandbox.path("null.tar.zst").is_symlink());
    std::fs::create_dir_all(sandbox.path("out/server.log")).unwrap();
    sandbox.run(&["run", "--artifact", "out", "--", "true"]).exits(2).says("a directory");
    std::fs::create_dir(sandbox.path(".gitignore")).unwrap();
    sandbox.run(&["init"]).exits(3).says("a directory");

    // A link leads to the file; standard output and input are no places.
    std::os::unix::fs::symlink("real.tar.zst", sandbox.path("link.tar.zst")).unwrap();
    sandbox.run(&["snapshot", "export", "s", "link.tar.zst"]).ok();
    assert!(sandbox.path("link.tar.zst").is_symlink() && sandbox.path("real.tar.zst").is_file());
    sandbox.run(&["snapshot", "export", "s", "link.tar.zst"]).exits(23).says("--force replaces it");
    let output = sandbox.command(&["snapshot", "export", "s", "-"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    std::fs::write(sandbox.path("piped"), output.stdout).unwrap();
    let mut import = sandbox.command(&["snapshot", "import", "-", "--name", "piped"]);
    import.stdin(std::fs::File::open(sandbox.path("piped")).unwrap());
    finish(import).ok().says("piped");
    sandbox.run(&["snapshot", "restore", "piped"]).ok();
    assert_eq!(sandbox.sql("select name from items"), "First");
    assert!(sandbox.run(&["env", "--write", "-"]).ok().stdout.contains("DATABASE_URL="));
    assert!(!sandbox.path("-").exists());
}

#[test]
fn a_file_with_a_password_that_git_does_not_ignore_is_said() {
    let Some(sandbox) = sandbox("ignored") else { return };
    sandbox.project();
    sandbox.run(&["up"]).ok();
    let mut git = std::process::Command::new("git");
    git.args(["init", "-q"]).current_dir(sandbox.work());
    finish(git).ok();
    sandbox.run(&["up"]).ok();
    sandbox.run(&["env", "--write", ".env"]).ok().says("git does not ignore .env");
    sandbox.write(".gitignore", ".env.local\n");
    let written = sandbox.run(&["env", "--write", ".env.local"]).ok();
    assert!(!written.stderr.contains("does not ignore"), "{}", written.stderr);
}

#[test]
fn every_command_has_help_with_the_shape_people_expect() {
    let Some(sandbox) = sandbox("help") else { return };
    // What each help holds is a test of `cli::parse`.
    sandbox.run(&["up", "--help"]).ok().says("Usage: devdb up").says("devdb help options");
    assert_eq!(
        sandbox.run(&["help", "snapshot", "save"]).ok().stdout,
        sandbox.run(&["snapshot", "save", "--help"]).ok().stdout,
    );
    sandbox.run(&["help"]).ok().says("devdb help options").says("devdb help --page start");
    sandbox.run(&["help", "options"]).ok().says("--developer <NAME>");
    sandbox.run(&["help", "--page", "start"]).ok().says("    $ devdb up");
    sandbox.run(&["help", "snapshto"]).exits(2).says("try: devdb help snapshot");
    let page = sandbox.run(&["help", "--page", "start", "--json"]).ok().json();
    assert_eq!(page["result"]["name"], "start");
    sandbox
        .run(&["up", "--engine", "dokcer"])
        .exits(2)
        .says("[possible values: auto, docker, native]");
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        sandbox.run(&["completions", shell]).ok().says("devdb");
    }
    sandbox.run(&["man"]).ok().says(".TH").says("devdb snapshot save");
    sandbox.run(&["ups"]).exits(2).says("up");
    let usage = sandbox.run(&["ups", "--json"]).exits(2).json();
    assert_eq!(usage["error"]["code"], "usage");
    let schema = sandbox.run(&["config", "schema"]).ok().json();
    assert_eq!(schema["additionalProperties"], false);
}

#[test]
fn init_makes_a_project_and_overwrites_nothing() {
    let Some(sandbox) = sandbox("init") else { return };
    sandbox.write(".gitignore", "target");
    sandbox.write("devdb.yaml", "project: mine\n");
    sandbox.run(&["init", "--sample"]).ok().says("kept");
    assert_eq!(std::fs::read_to_string(sandbox.path("devdb.yaml")).unwrap(), "project: mine\n");
    let ignored = std::fs::read_to_string(sandbox.path(".gitignore")).unwrap();
    assert!(ignored.starts_with("target\n") && ignored.contains(".env"), "{ignored}");
    sandbox.run(&["init"]).ok();
    assert_eq!(std::fs::read_to_string(sandbox.path(".gitignore")).unwrap(), ignored);
    sandbox.run(&["up"]).ok();
    assert_eq!(sandbox.sql("select count(*) from gateways"), "12");
    std::fs::remove_file(sandbox.path("devdb.yaml")).unwrap();
    sandbox.run(&["init"]).ok();
    sandbox.run(&["config"]).ok().says("devdb.yaml");
}

#[test]
fn status_and_errors_are_json_documents() {
    let Some(sandbox) = sandbox("json") else { return };
    let error = sandbox.run(&["url", "--json"]).exits(1).json();
    assert_eq!(error["error"]["code"], "no_instance");
    assert_eq!(error["schema"], 1);
    let status = sandbox.run(&["status", "--json"]).ok().json();
    assert_eq!(status["result"]["state"], "absent");
    let doctor = sandbox.run(&["doctor", "--json"]).json();
    assert!(doctor["result"]["checks"].as_array().is_some_and(|checks| checks.len() > 5));
}
