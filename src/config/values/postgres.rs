//! The version, the port and the settings of a server.

use super::{Checked, problem};
use crate::spec::PortChoice;

/// PostgreSQL's major versions that devdb supports.
pub const VERSIONS: std::ops::RangeInclusive<u16> = 13..=18;

/// `postgres.version`.
pub fn version(text: &str) -> Checked<u16> {
    let allowed = format!("a major version from {} to {}", VERSIONS.start(), VERSIONS.end());
    if let Some((major, minor)) = text.split_once('.') {
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if digits(major) && minor.split('.').all(digits) {
            // Before PostgreSQL 10 the major version had two parts.
            if !major.parse().is_ok_and(|major: u16| VERSIONS.contains(&major)) {
                return problem(
                    format!("PostgreSQL {text} is not supported"),
                    format!("use {allowed}"),
                );
            }
            return problem(
                format!("{text:?} names a minor version, and devdb chooses by major version only"),
                format!("write {major}; postgres.image can name an exact image: postgres:{text}"),
            );
        }
    }
    match text.parse::<u16>() {
        Ok(major) if VERSIONS.contains(&major) => Ok(major),
        Ok(_) => problem(format!("PostgreSQL {text} is not supported"), format!("use {allowed}")),
        Err(_) => {
            problem(format!("{text:?} is not a PostgreSQL version"), format!("use {allowed}"))
        }
    }
}

/// `postgres.port`.
pub fn port(text: &str) -> Checked<PortChoice> {
    const ALLOWED: &str = "auto, or a number from 1 to 65535 (1024 and above need no privileges)";
    if text == "auto" {
        return Ok(PortChoice::Auto);
    }
    match text.parse::<i128>() {
        Ok(number) => match u16::try_from(number) {
            Ok(port) if port > 0 => Ok(PortChoice::Fixed(port)),
            _ => {
                problem(format!("{number} is out of the range of ports"), format!("use {ALLOWED}"))
            }
        },
        Err(_) => problem(format!("{text:?} is not a port"), format!("use {ALLOWED}")),
    }
}

/// Server settings that only devdb may decide: where the server listens, who may log in, and where
/// the files are.
const DEVDB_DECIDES: &[&str] = &[
    "config_file",
    "data_directory",
    "external_pid_file",
    "hba_file",
    "ident_file",
    "listen_addresses",
    "unix_socket_directories",
    "unix_socket_group",
    "unix_socket_permissions",
];

/// The name of one of `postgres.settings`.
pub fn setting_name(text: &str) -> Checked<()> {
    let plain = text.to_ascii_lowercase();
    match plain.as_str() {
        "port" => {
            return problem("\"port\" cannot be set here", "set postgres.port instead");
        }
        "password_encryption" => {
            return problem(
                "devdb decides \"password_encryption\" itself",
                "remove it: devdb always uses scram-sha-256",
            );
        }
        name if DEVDB_DECIDES.contains(&name) => {
            return problem(
                format!("devdb decides {text:?} itself"),
                "remove it: devdb's servers listen on 127.0.0.1 only and keep their own files",
            );
        }
        _ => {}
    }
    let mut chars = text.chars();
    let first = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if first && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '$')) {
        return Ok(());
    }
    problem(
        format!("{text:?} is not the name of a PostgreSQL setting"),
        "use letters, digits and _, or a dot for an extension: shared_buffers, pg_trgm.limit",
    )
}

/// The value of one of `postgres.settings`.
pub fn setting_value(text: Option<&str>) -> Checked<String> {
    match text {
        None => problem("the setting has no value", "write '' for an empty one"),
        Some(text) if text.contains('\0') => {
            problem("the value contains a NUL character", "remove it")
        }
        Some(text) => Ok(text.to_owned()),
    }
}
