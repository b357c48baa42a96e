//! Secrets: where they must never be, and that Node reads what devdb wrote.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::sandbox::{On, Sandbox, docker, finish, psql};

crate::on_both_engines!(
    another_key_than_that_of_the_rows_is_said,
    a_seed_command_gets_the_key_of_the_env_file,
    the_password_is_nowhere_it_should_not_be,
    node_decrypts_what_the_seeds_wrote
);

fn the_password_is_nowhere_it_should_not_be(sandbox: &Sandbox) {
    sandbox.run(&["up"]).ok();
    let url = sandbox.url();
    let password =
        url.split(':').nth(2).and_then(|rest| rest.split('@').next()).unwrap().to_owned();
    assert!(password.len() >= 24);

    let mut shown = String::new();
    for arguments in [
        &["status"][..],
        &["list"],
        &["list", "--json"],
        &["up"],
        &["logs"],
        &["config"],
        &["config", "--json"],
        &["doctor"],
        &["migrate", "status"],
        &["reset"],
        &["doctor", "--json"],
        &["-v", "up"],
        &["psql", "--", "-c", "select nonsense"],
        &["up", "--port", "1"],
    ] {
        let ran = sandbox.run(arguments);
        shown.push_str(&ran.stdout);
        shown.push_str(&ran.stderr);
    }
    let mut traced = sandbox.command(&["stop"]);
    traced.env("DEVDB_LOG", "trace");
    let traced = finish(traced);
    shown.push_str(&traced.stderr);
    sandbox.run(&["up"]).ok();
    let ps = Command::new("ps").args(["axeww", "-o", "args"]).output().unwrap();
    shown.push_str(&String::from_utf8_lossy(&ps.stdout));
    if sandbox.on == On::Docker {
        let filter = format!("label=devdb.developer={}", sandbox.developer());
        let containers = docker(&["ps", "-aq", "--filter", &filter]);
        for id in containers.lines() {
            shown.push_str(&docker(&["inspect", id]));
            shown.push_str(&docker(&["logs", id]));
            shown.push_str(&docker(&["exec", id, "sh", "-c", "cat /proc/1/environ; env"]));
        }
        let volumes = docker(&["volume", "ls", "-q", "--filter", &filter]);
        for name in volumes.lines() {
            shown.push_str(&docker(&["volume", "inspect", name]));
        }
    }
    assert!(shown.contains("running"), "nothing was collected");
    assert!(!shown.contains(&password), "the password shows");
}

fn node_decrypts_what_the_seeds_wrote(sandbox: &Sandbox) {
    if Command::new("node").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "there is no node");
        crate::sandbox::skipped("node_decrypts_what_the_seeds_wrote: there is no node");
        return;
    }
    let key = sandbox.run(&["secret", "keygen"]).ok().line();
    let mut up = sandbox.command(&["up"]);
    up.env("ENCRYPTION_KEY", &key);
    finish(up).ok();
    let values = psql(&sandbox.url(), "select password_encrypted from gateways").ok().stdout;
    assert_eq!(values.lines().count(), 12);
    let script = r"
        const crypto = require('crypto');
        const key = Buffer.from(process.env.KEY, 'base64');
        for (const line of require('fs').readFileSync(0, 'utf8').trim().split('\n')) {
          const raw = Buffer.from(line, 'base64');
          const [salt, iv, tag] = [raw.subarray(0, 32), raw.subarray(32, 48), raw.subarray(48, 64)];
          const d = crypto.createDecipheriv('aes-256-gcm', crypto.scryptSync(key, salt, 32), iv);
          d.setAuthTag(tag);
          console.log(d.update(raw.subarray(64), undefined, 'utf8') + d.final('utf8'));
        }";
    let mut node = Command::new("node")
        .args(["-e", script])
        .env("KEY", &key)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    node.stdin.take().unwrap().write_all(values.as_bytes()).unwrap();
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success());
    let clear = String::from_utf8(output.stdout).unwrap();
    assert_eq!(clear.lines().count(), 12);

    // The same value through devdb; and with a key that is not the one.
    let decrypt = |key: &str, value: &str| {
        let mut command = sandbox.command(&["secret", "decrypt"]);
        command.env("ENCRYPTION_KEY", key).stdin(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(value.as_bytes()).unwrap();
        crate::sandbox::wait((child, std::time::Instant::now()))
    };
    let first = values.lines().next().unwrap();
    assert_eq!(decrypt(&key, first).ok().line(), clear.lines().next().unwrap());
    let other = sandbox.run(&["secret", "keygen"]).ok().line();
    let errors = [
        decrypt(&other, first).exits(3).stderr,
        decrypt(&key, &first[..40]).exits(3).stderr,
        decrypt("not base64!", first).exits(3).stderr,
        decrypt("c2hvcnQ=", first).exits(3).stderr,
    ];
    for (n, error) in errors.iter().enumerate() {
        assert!(!error.contains(&key) && !error.contains(&other), "a key shows: {error}");
        assert!(errors.iter().skip(n + 1).all(|later| later != error), "{error}");
    }
}

fn another_key_than_that_of_the_rows_is_said(sandbox: &Sandbox) {
    const SAID: &str = "encrypted with another key (fingerprint ";
    sandbox.write("devdb.yaml", "project: shop\n");
    sandbox.write(
        "migrations/20260101000000_a.sql",
        "CREATE TABLE notes (id bigserial PRIMARY KEY, text text);\n",
    );
    sandbox.write("seeds/1.yaml", "notes:\n  one:\n    text: !encrypt hidden\n");
    let key = sandbox.run(&["secret", "keygen"]).ok().line();
    sandbox.write(".env", &format!("ENCRYPTION_KEY={key}\n"));
    let said = |ran: crate::sandbox::Ran| format!("{}{}", ran.stdout, ran.stderr).contains(SAID);
    sandbox.run(&["up"]).ok();
    assert!(!said(sandbox.run(&["up"]).ok()) && !said(sandbox.run(&["status"]).ok()));

    // A lost file: devdb would take the project's own key.
    std::fs::remove_file(sandbox.path(".env")).unwrap();
    sandbox.run(&["up"]).ok().says(SAID).says("devdb reset");
    sandbox.run(&["status"]).ok().says(SAID);
    sandbox.write("seeds/2.sql", "INSERT INTO notes (text) VALUES ('plain');\n");
    sandbox.run(&["seed"]).ok();
    sandbox.write("seeds/3.yaml", "notes:\n  three:\n    text: !encrypt hidden\n");
    sandbox.run(&["seed"]).exits(3).says(SAID).says("nothing was applied");
    assert_eq!(sandbox.sql("select count(*) from notes"), "2");
    // Each way out that is named works.
    sandbox.write(".env", &format!("ENCRYPTION_KEY={key}\n"));
    assert!(!said(sandbox.run(&["seed"]).ok()));
    std::fs::remove_file(sandbox.path(".env")).unwrap();
    // What nobody wrote to would go.
    sandbox.sql("update notes set text = text");
    sandbox.run(&["reset"]).ok();
    assert!(!said(sandbox.run(&["up"]).ok()));
    // The record belongs to the data.
    sandbox.run(&["undo"]).ok();
    sandbox.run(&["status"]).ok().says(SAID);
    sandbox.run(&["down", "--purge", "--yes"]).ok();
}

fn a_seed_command_gets_the_key_of_the_env_file(sandbox: &Sandbox) {
    sandbox.write(
        "devdb.yaml",
        "project: shop\nseeds:\n  command: [sh, seed.sh]\n  inputs: [seed.sh]\n",
    );
    sandbox
        .write("seed.sh", "psql -Xqc \"create table keys as select '$ENCRYPTION_KEY' as key\"\n");
    let first = sandbox.run(&["secret", "keygen"]).ok().line();
    sandbox.write(".env", &format!("ENCRYPTION_KEY={first}\n"));
    sandbox.run(&["up"]).ok();
    assert_eq!(sandbox.sql("select key from keys"), first);
    // Another key makes another state.
    let second = sandbox.run(&["secret", "keygen"]).ok().line();
    sandbox.write(".env", &format!("ENCRYPTION_KEY={second}\n"));
    sandbox.run(&["up"]).ok().says("encrypted with another key");
    sandbox.run(&["reset"]).ok();
    assert_eq!(sandbox.sql("select key from keys"), second);
    sandbox.run(&["down", "--purge", "--yes"]).ok();
}
