//! The directories of the servers' sockets. The path has to be short, and the directory private.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::account;
use super::directory::{give, make};
use super::process;
use super::store::Store;
use crate::error::{Error, Kind, Result, ResultExt};

/// The limit of a socket's path (`sun_path` has 104 bytes on macOS), less `/.s.PGSQL.65535.lock`.
const SOCKET_DIRECTORY_MAX: usize = 103 - 20;

impl Store {
    /// Makes the directory for the sockets of an instance's servers.
    ///
    /// # Errors
    /// `Unexpected` when it cannot be made. `NotOurs` when another user can write to it.
    pub fn make_socket_directory(&self, key: &str) -> Result<PathBuf> {
        let directory = self.socket_directory(key);
        let parent = directory.parent().unwrap_or(&directory);
        self.make_directory(parent)?;
        if !self.is_root {
            private(parent)?;
        }
        make(&directory, 0o700)?;
        if let Some(account) = account::for_servers()? {
            give(&directory, account)?;
        } else {
            private(&directory)?;
        }
        Ok(directory)
    }

    /// The directory that [`Store::make_socket_directory`] makes.
    pub fn socket_directory(&self, key: &str) -> PathBuf {
        let usual = self.root.join("s").join(key);
        if usual.as_os_str().len() <= SOCKET_DIRECTORY_MAX {
            return usual;
        }
        let runtime = self.runtime_dir.as_ref().map(|runtime| runtime.join("devdb").join(key));
        runtime
            .filter(|directory| directory.as_os_str().len() <= SOCKET_DIRECTORY_MAX)
            .unwrap_or_else(|| {
                let uid = rustix::process::geteuid();
                PathBuf::from(format!("/tmp/devdb-{uid}")).join(key)
            })
    }

    /// Removes the files that a server may have left, and the directory when it is empty.
    pub fn clear_sockets(&self, key: &str, port: u16) {
        for file in self.socket_files(key, port) {
            let _ = fs::remove_file(file);
        }
        let _ = fs::remove_dir(self.socket_directory(key));
    }

    /// Removes the files of a server that was killed. PostgreSQL does so itself when no process has
    /// the number in the lock file. But a killed server keeps its number until its parent has
    /// collected it, and in a container without an init process nobody ever does.
    pub fn clear_dead_sockets(&self, key: &str, port: u16) {
        let [socket, lock] = self.socket_files(key, port);
        if lock.exists() && !process::holds(&lock) {
            let _ = fs::remove_file(socket);
            let _ = fs::remove_file(lock);
        }
    }

    /// The socket of a server, and the lock file of the socket.
    fn socket_files(&self, key: &str, port: u16) -> [PathBuf; 2] {
        let directory = self.socket_directory(key);
        [".s.PGSQL.PORT", ".s.PGSQL.PORT.lock"]
            .map(|name| directory.join(name.replace("PORT", &port.to_string())))
    }
}

/// Refuses a directory that another user made or can write to. Anyone can make one in `/tmp`.
fn private(directory: &Path) -> Result<()> {
    let cannot = || format!("cannot use {} for the server's socket", directory.display());
    let found = fs::symlink_metadata(directory).or_fail(Kind::Unexpected, cannot)?;
    let is_ours = found.is_dir()
        && found.uid() == rustix::process::geteuid().as_raw()
        && found.mode() & 0o022 == 0;
    if is_ours {
        return Ok(());
    }
    Err(Error::new(Kind::NotOurs, cannot())
        .because("it is not a directory that only this user can write to")
        .hint(format!("ls -ld {}        shows whose it is", directory.display())))
}

/// The value of `unix_socket_directories`. It is a list, so the path is quoted for commas and
/// blanks.
pub(super) fn socket_setting(directory: &Path) -> String {
    let path = String::from_utf8_lossy(directory.as_os_str().as_bytes()).replace('"', "\"\"");
    format!("\"{path}\"")
}
