//! The account that server programs run under. PostgreSQL refuses to run as root, so a devdb that
//! runs as root gives everything to the `postgres` account. Otherwise servers run as devdb's own
//! user.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::{Error, Kind, Result};

/// The name of the account. Every package of PostgreSQL uses it.
const NAME: &str = "postgres";

/// The user and group of server programs when devdb runs as root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Account {
    /// The number of the user.
    pub uid: u32,
    /// The number of the user's primary group.
    pub gid: u32,
}

impl Account {
    /// Gives a file or a directory to this account.
    ///
    /// # Errors
    /// The errors of the file system.
    pub fn own(self, path: &Path) -> io::Result<()> {
        std::os::unix::fs::lchown(path, Some(self.uid), Some(self.gid))
    }

    /// Gives a directory and everything in it to this account.
    ///
    /// # Errors
    /// The errors of the file system.
    pub fn own_tree(self, directory: &Path) -> io::Result<()> {
        self.own(directory)?;
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => self.own_tree(&entry.path())?,
                false => self.own(&entry.path())?,
            }
        }
        Ok(())
    }
}

pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The account that servers must run under. None when they run as devdb's own user.
///
/// # Errors
/// `NoEngine` when devdb runs as root and the account does not exist. A number without an account
/// is not enough, because initdb needs an entry in passwd.
pub(super) fn for_servers() -> Result<Option<Account>> {
    if !is_root() {
        return Ok(None);
    }
    let local = fs::read_to_string("/etc/passwd").ok().and_then(|file| in_passwd(&file));
    match local.or_else(from_name_service) {
        Some(account) => Ok(Some(account)),
        None => Err(Error::new(
            Kind::NoEngine,
            format!(
                "PostgreSQL does not run as root, and there is no user \"{NAME}\" to run it as"
            ),
        )
        .hint(format!(
            "useradd --system {NAME}   makes it (Debian's postgresql packages bring it along)"
        ))
        .hint("or run devdb as an ordinary user")),
    }
}

/// Finds an account that is not in the file, for instance in LDAP.
fn from_name_service() -> Option<Account> {
    let output =
        Command::new("getent").args(["passwd", NAME]).stdin(Stdio::null()).output().ok()?;
    in_passwd(&String::from_utf8_lossy(&output.stdout))
}

/// Finds the account in lines of passwd(5): `name:password:uid:gid:…`.
fn in_passwd(text: &str) -> Option<Account> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() != Some(NAME) {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        // PostgreSQL would refuse an account that is root under another name.
        (uid != 0).then_some(Account { uid, gid })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_is_found_by_its_whole_name() {
        let file = "root:x:0:0:root:/root:/bin/sh\npostgres2:x:7:7::/:\npostgres:x:101:104::/:\n";
        assert_eq!(in_passwd(file), Some(Account { uid: 101, gid: 104 }));
        assert_eq!(in_passwd("root:x:0:0:root:/root:/bin/sh"), None);
        assert_eq!(in_passwd("postgres:x:0:0::/:"), None);
    }
}
