//! Reads from the Docker configuration and its contexts where the daemon is. The layout is that of
//! docker/cli: `contexts/meta/<sha256 of the name>/meta.json` and
//! `contexts/tls/<sha256>/docker/{ca,cert,key}.pem`.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::error::nearest;

/// The daemon of a context.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Context {
    pub(super) host: String,
    /// The directory with `ca.pem`, `cert.pem` and `key.pem`, if the context has one.
    pub(super) tls: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConfigFile {
    current_context: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Meta {
    name: String,
    #[serde(default)]
    endpoints: Endpoints,
}

#[derive(Deserialize, Default)]
struct Endpoints {
    docker: Option<DockerEndpoint>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerEndpoint {
    host: Option<String>,
}

/// The context that `docker context use` chose. None when no context was chosen, or `default`.
///
/// # Errors
/// The reason why the configuration cannot be read.
pub(super) fn current(config_dir: &Path) -> Result<Option<String>, String> {
    let path = config_dir.join("config.json");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot read {}: {error}", path.display())),
    };
    let config: ConfigFile = serde_json::from_str(&text)
        .map_err(|error| format!("{} is not as Docker writes it: {error}", path.display()))?;
    Ok(config.current_context.filter(|name| !name.is_empty() && name != "default"))
}

/// Finds the daemon of the context `name`.
///
/// # Errors
/// The reason why it cannot be found.
pub(super) fn load(config_dir: &Path, name: &str) -> Result<Context, String> {
    let id = id(name);
    let path = config_dir.join("contexts/meta").join(&id).join("meta.json");
    let text = std::fs::read_to_string(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => unknown(config_dir, name),
        _ => format!("cannot read {}: {error}", path.display()),
    })?;
    let meta: Meta = serde_json::from_str(&text)
        .map_err(|error| format!("{} is not as Docker writes it: {error}", path.display()))?;
    let host = meta
        .endpoints
        .docker
        .and_then(|endpoint| endpoint.host)
        .filter(|host| !host.is_empty())
        .ok_or_else(|| format!("the context \"{name}\" names no Docker host"))?;
    let tls = config_dir.join("contexts/tls").join(id).join("docker");
    Ok(Context { host, tls: tls.is_dir().then_some(tls) })
}

fn unknown(config_dir: &Path, name: &str) -> String {
    let known = names(config_dir);
    let mut text = format!("there is no context \"{name}\"");
    if let Some(near) = nearest(name, known.iter().map(String::as_str)) {
        text.push_str(&format!("; did you mean \"{near}\"?"));
    }
    text
}

/// The names of all contexts, sorted.
pub(super) fn names(config_dir: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(config_dir.join("contexts/meta")) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| std::fs::read_to_string(entry.ok()?.path().join("meta.json")).ok())
        .filter_map(|text| serde_json::from_str::<Meta>(&text).ok())
        .map(|meta| meta.name)
        .collect();
    names.sort();
    names
}

fn id(name: &str) -> String {
    Sha256::digest(name.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_context(name: &str, meta: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("contexts/meta").join(id(name));
        std::fs::create_dir_all(&home).unwrap();
        std::fs::write(home.join("meta.json"), meta).unwrap();
        dir
    }

    #[test]
    fn a_context_is_found_under_the_digest_of_its_name() {
        // `docker context create colima` uses this name, and `printf colima | sha256sum` prints it.
        assert_eq!(
            id("colima"),
            "f24fd3749c1368328e2b149bec149cb6795619f244c5b584e844961215dadd16"
        );
        let dir = with_context(
            "colima",
            r#"{"Name":"colima","Metadata":{},"Endpoints":{"docker":{"Host":"unix:///c.sock","SkipTLSVerify":false}}}"#,
        );
        let context = load(dir.path(), "colima").unwrap();
        assert_eq!(context, Context { host: "unix:///c.sock".into(), tls: None });
    }

    #[test]
    fn a_mistyped_context_names_the_nearest() {
        let dir = with_context("colima", r#"{"Name":"colima","Endpoints":{}}"#);
        let text = load(dir.path(), "colimo").unwrap_err();
        assert_eq!(text, "there is no context \"colimo\"; did you mean \"colima\"?");
        let text = load(dir.path(), "colima").unwrap_err();
        assert_eq!(text, "the context \"colima\" names no Docker host");
    }

    #[test]
    fn the_current_context_comes_from_the_configuration() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(current(dir.path()), Ok(None));
        let file = dir.path().join("config.json");
        std::fs::write(&file, r#"{"auths":{},"currentContext":"orbstack"}"#).unwrap();
        assert_eq!(current(dir.path()), Ok(Some("orbstack".into())));
        std::fs::write(&file, r#"{"currentContext":"default"}"#).unwrap();
        assert_eq!(current(dir.path()), Ok(None));
        std::fs::write(&file, "{").unwrap();
        assert!(current(dir.path()).unwrap_err().contains("is not as Docker writes it"));
    }
}
