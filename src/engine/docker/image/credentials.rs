//! Finds registry logins where `docker login` stores them: in `auths` of the Docker configuration,
//! or in the credential helper that the configuration names (`credHelpers`, `credsStore`).
//!
//! When no login can be read, the pull goes on without a login. The image may be public, and the
//! registry's own answer explains more than devdb could.

use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bollard::auth::DockerCredentials;
use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// The name under which Docker Hub's login is stored.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// How long a credential helper may take. It may ask a key ring, but it must not wait for a person.
const HELPER_DEADLINE: Duration = Duration::from_secs(10);

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ConfigFile {
    auths: HashMap<String, Auth>,
    creds_store: Option<String>,
    cred_helpers: HashMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Auth {
    auth: String,
    identitytoken: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperAnswer {
    username: String,
    secret: String,
}

/// The registry of an image, as `docker login` takes it.
pub(crate) fn registry(reference: &str) -> &str {
    match reference.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => first,
        _ => "docker.io",
    }
}

/// Finds the login for the registry of `reference`. None when there is no login.
pub(crate) async fn find(config_dir: &Path, reference: &str) -> Option<DockerCredentials> {
    let text = tokio::fs::read_to_string(config_dir.join("config.json")).await.ok()?;
    let config: ConfigFile = serde_json::from_str(&text).ok()?;
    let registry = registry(reference);
    let server = if registry == "docker.io" { DOCKER_HUB } else { registry };
    if let Some(helper) = config.cred_helpers.get(registry).or(config.creds_store.as_ref())
        && let Some(login) = ask(helper, server).await
    {
        return Some(login);
    }
    let (_, auth) = config.auths.iter().find(|(key, _)| host(key) == host(server))?;
    from_auth(auth, server)
}

/// The host of an entry. Old entries are URLs; new entries are plain hosts.
fn host(key: &str) -> &str {
    let rest = key.split_once("://").map_or(key, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

fn from_auth(auth: &Auth, server: &str) -> Option<DockerCredentials> {
    let decoded = String::from_utf8(BASE64.decode(&auth.auth).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some(DockerCredentials {
        username: Some(user.to_owned()),
        password: Some(password.trim_end_matches('\0').to_owned()),
        identitytoken: auth.identitytoken.clone(),
        serveraddress: Some(server.to_owned()),
        ..Default::default()
    })
}

/// Asks a credential helper. In its protocol, the server goes to stdin, and the login comes as JSON
/// from stdout.
async fn ask(helper: &str, server: &str) -> Option<DockerCredentials> {
    let mut child = Command::new(format!("docker-credential-{helper}"))
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .ok()?;
    let mut stdin = child.stdin.take()?;
    stdin.write_all(server.as_bytes()).await.ok()?;
    drop(stdin);
    let output =
        tokio::time::timeout(HELPER_DEADLINE, child.wait_with_output()).await.ok()?.ok()?;
    if !output.status.success() {
        return None;
    }
    let answer: HelperAnswer = serde_json::from_slice(&output.stdout).ok()?;
    let mut login =
        DockerCredentials { serveraddress: Some(server.to_owned()), ..Default::default() };
    // With this user name, helpers mark an identity token.
    if answer.username == "<token>" {
        login.identitytoken = Some(answer.secret);
    } else {
        login.username = Some(answer.username);
        login.password = Some(answer.secret);
    }
    Some(login)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_the_first_part_if_it_looks_like_a_host() {
        assert_eq!(registry("postgres:15"), "docker.io");
        assert_eq!(registry("postgis/postgis:15-3.4"), "docker.io");
        assert_eq!(registry("ghcr.io/acme/postgres:15"), "ghcr.io");
        assert_eq!(registry("localhost/postgres"), "localhost");
        assert_eq!(registry("127.0.0.1:5000/postgres"), "127.0.0.1:5000");
    }

    #[tokio::test]
    async fn a_login_is_found_by_its_host() {
        let dir = tempfile::tempdir().unwrap();
        let auth = BASE64.encode("anna:pa:ss");
        std::fs::write(
            dir.path().join("config.json"),
            format!(
                r#"{{"auths":{{"https://index.docker.io/v1/":{{"auth":"{auth}"}},"ghcr.io":{{}}}}}}"#
            ),
        )
        .unwrap();
        let login = find(dir.path(), "postgres:15").await.unwrap();
        assert_eq!(login.username.as_deref(), Some("anna"));
        assert_eq!(login.password.as_deref(), Some("pa:ss"));
        assert!(find(dir.path(), "ghcr.io/acme/db").await.is_none());
        assert!(find(dir.path(), "quay.io/acme/db").await.is_none());
    }

    #[tokio::test]
    async fn a_helper_that_is_missing_is_no_failure() {
        assert!(ask("devdb-no-such-helper", "ghcr.io").await.is_none());
    }
}
