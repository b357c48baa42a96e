//! Real Node reads what devdb encrypts, and devdb what Node encrypts, with nothing but Node's own
//! `crypto` and its default scrypt parameters.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::HashSet;
use std::io::Write;
use std::process::{Command, Stdio};

use devdb::error::Kind;
use devdb::secret::Key;

const PROGRAM: &str = r#"
const crypto = require('node:crypto');
const { key, encrypt, decrypt } = JSON.parse(require('node:fs').readFileSync(0, 'utf8'));
const password = Buffer.from(key, 'base64');
const seal = (text) => {
  const salt = crypto.randomBytes(32), iv = crypto.randomBytes(16);
  const cipher = crypto.createCipheriv('aes-256-gcm', crypto.scryptSync(password, salt, 32), iv);
  const body = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
  return Buffer.concat([salt, iv, cipher.getAuthTag(), body]).toString('base64');
};
const open = (value) => {
  const all = Buffer.from(value, 'base64');
  const derived = crypto.scryptSync(password, all.subarray(0, 32), 32);
  const decipher = crypto.createDecipheriv('aes-256-gcm', derived, all.subarray(32, 48));
  decipher.setAuthTag(all.subarray(48, 64));
  return Buffer.concat([decipher.update(all.subarray(64)), decipher.final()]).toString('utf8');
};
process.stdout.write(JSON.stringify({ encrypted: encrypt.map(seal), decrypted: decrypt.map(open) }));
"#;

/// Whether there is a Node to test against. Without one the suite says so, and in CI it fails.
fn node_is_there() -> bool {
    let found =
        Command::new("node").arg("--version").output().is_ok_and(|out| out.status.success());
    if !found {
        // Not `println!`: the test harness keeps that to itself.
        let _ = writeln!(std::io::stdout(), "\nSKIPPED: secret_node: there is no node on PATH");
        assert!(std::env::var_os("CI").is_none(), "node is needed in CI");
    }
    found
}

/// What Node makes of `encrypt` and `decrypt`, in that order.
fn node(key: &Key, encrypt: &[&str], decrypt: &[String]) -> (Vec<String>, Vec<String>) {
    let input =
        serde_json::json!({ "key": *key.to_base64(), "encrypt": encrypt, "decrypt": decrypt });
    let mut child = Command::new("node")
        .args(["-e", PROGRAM])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "node failed: {:?}", output.status);
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let texts = |name: &str| {
        let list = answer[name].as_array().unwrap();
        list.iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    (texts("encrypted"), texts("decrypted"))
}

#[test]
fn node_and_devdb_read_each_other() {
    if !node_is_there() {
        return;
    }
    let key = Key::generate();
    let large = "Zwölf Boxkämpfer 🥊 ".repeat(50_000);
    assert!(large.len() > 1_000_000);
    let texts = ["", "p4ssw0rd", "Müller & Søn, 東京 🔑", "a\n\"b\"\\\0$c", &large];
    let ours = key.encrypt_many(&texts).unwrap();
    let (theirs, read) = node(&key, &texts, &ours);
    assert_eq!(read.iter().map(String::as_str).collect::<Vec<_>>(), texts, "Node reads ours");
    for (value, text) in theirs.iter().zip(texts) {
        assert_eq!(key.decrypt(value).unwrap(), text, "devdb reads Node's");
    }
}

#[test]
fn a_damaged_value_of_node_is_refused() {
    if !node_is_there() {
        return;
    }
    let key = Key::generate();
    let (theirs, _) = node(&key, &["a text long enough to be cut"], &[]);
    let value = &theirs[0];
    let refused = |result: devdb::error::Result<String>| {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), Kind::Secret);
        error.message().to_owned()
    };
    let wrong = refused(Key::generate().decrypt(value));
    assert!(wrong.contains("wrong key, or a damaged value"), "{wrong}");
    assert!(refused(key.decrypt(&value[..60])).contains("incomplete"));
}

#[test]
fn four_failures_are_four_errors() {
    let key = Key::generate();
    let value = key.encrypt("a gateway's password").unwrap();
    let middle = value.len() / 2;
    let flipped: String = value
        .char_indices()
        .map(|(at, c)| {
            if at != middle {
                c
            } else if c == 'A' {
                'B'
            } else {
                'A'
            }
        })
        .collect();
    let errors = [
        Key::generate().decrypt(&value).unwrap_err(),
        key.decrypt(&flipped).unwrap_err(),
        key.decrypt(&value[..value.len() - 4]).unwrap_err(),
        Key::parse("not a key", "ENCRYPTION_KEY").unwrap_err(),
    ];
    let messages: HashSet<&str> = errors.iter().map(|error| error.message()).collect();
    assert_eq!(messages.len(), 4, "{messages:#?}");
    for error in &errors {
        assert_eq!(error.kind(), Kind::Secret);
        assert!(!format!("{error:?}").contains(&value[..16]), "the value is in {error:?}");
    }
}
