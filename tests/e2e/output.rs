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
