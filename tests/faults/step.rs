//! The external steps of devdb, as its system calls show them: what it asks an engine, what it says
//! to a server, what it writes to the disk, what it starts.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use nix::libc;

/// What is on the other side of a step.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Class {
    /// The daemon, through its socket.
    Engine,
    /// A PostgreSQL server, over TCP.
    Sql,
    /// The disk: what is below the directories that devdb writes to.
    File,
    /// A program that is started.
    Program,
}

/// A system call that leaves devdb.
#[derive(Debug)]
pub struct Step {
    pub class: Class,
    /// Its name and its object.
    pub what: String,
    /// Steps that are alike: without what differs from one run to the next.
    pub kind: String,
    /// Of a socket that is connected already.
    pub socket: Option<i32>,
    /// Whether it begins a connection.
    pub connects: bool,
    /// Whether it takes room on the disk.
    pub takes_room: bool,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} step `{}`", self.class, self.what)
    }
}

/// A system call at its beginning.
pub struct Call {
    pub number: i64,
    pub arguments: [u64; 6],
}

/// Tells steps from other system calls of one process.
pub struct Watch {
    process: i32,
    /// Below these devdb writes.
    roots: Vec<PathBuf>,
    sockets: HashMap<i32, Class>,
}

/// The descriptor that stands for the working directory.
const HERE: i32 = libc::AT_FDCWD;

impl Watch {
    pub fn new(process: i32, roots: &[PathBuf]) -> Watch {
        Watch { process, roots: roots.to_vec(), sockets: HashMap::new() }
    }

    /// What a call is, if it is a step.
    pub fn step(&mut self, call: &Call) -> Option<Step> {
        let [first, second, third, ..] = call.arguments;
        let fd = first as i32;
        let name = match call.number {
            libc::SYS_connect => return self.connect(fd, second),
            libc::SYS_close => {
                self.sockets.remove(&fd);
                return None;
            }
            libc::SYS_clone => return program(first),
            libc::SYS_clone3 => return program(u64::from_ne_bytes(self.read(first)?)),
            libc::SYS_fork | libc::SYS_vfork => return program(0),
            libc::SYS_read | libc::SYS_readv | libc::SYS_recvfrom | libc::SYS_recvmsg => {
                return self.transfer("receive", fd);
            }
            libc::SYS_sendto | libc::SYS_sendmsg => return self.transfer("send", fd),
            libc::SYS_write | libc::SYS_writev if self.sockets.contains_key(&fd) => {
                return self.transfer("send", fd);
            }
            libc::SYS_write | libc::SYS_writev | libc::SYS_pwrite64 => {
                return self.file("write", self.open_file(fd), true);
            }
            // The source is first.
            libc::SYS_copy_file_range => {
                return self.file("copy", self.open_file(third as i32), true);
            }
            libc::SYS_sendfile => return self.file("copy", self.open_file(fd), true),
            libc::SYS_ftruncate => return self.file("truncate", self.open_file(fd), false),
            libc::SYS_fsync | libc::SYS_fdatasync | libc::SYS_syncfs => {
                return self.file("sync", self.open_file(fd), true);
            }
            libc::SYS_openat => {
                let writes = third as i32 & (libc::O_WRONLY | libc::O_RDWR | libc::O_CREAT) != 0;
                let makes = third as i32 & libc::O_CREAT != 0;
                return writes.then(|| self.file("open", self.path(fd, second), makes)).flatten();
            }
            libc::SYS_mkdirat => return self.file("mkdir", self.path(fd, second), true),
            libc::SYS_unlinkat => return self.file("remove", self.path(fd, second), false),
            libc::SYS_renameat | libc::SYS_renameat2 => {
                return self.file("rename", self.path(fd, second), false);
            }
            libc::SYS_rename => "rename",
            libc::SYS_mkdir => return self.file("mkdir", self.path(HERE, first), true),
            libc::SYS_unlink | libc::SYS_rmdir => "remove",
            libc::SYS_chmod | libc::SYS_chown | libc::SYS_lchown => "give",
            _ => return None,
        };
        self.file(name, self.path(HERE, first), false)
    }

    fn connect(&mut self, fd: i32, address: u64) -> Option<Step> {
        let family = i32::from(u16::from_ne_bytes(self.read(address)?));
        let (class, what) = match family {
            libc::AF_UNIX => (Class::Engine, "connect to the engine".to_owned()),
            libc::AF_INET => {
                let port = u16::from_be_bytes(self.read(address + 2)?);
                (Class::Sql, format!("connect to port {port}"))
            }
            _ => return None,
        };
        self.sockets.insert(fd, class);
        let kind = "connect".to_owned();
        Some(Step { class, what, kind, socket: None, connects: true, takes_room: false })
    }

    fn transfer(&self, name: &str, fd: i32) -> Option<Step> {
        let class = *self.sockets.get(&fd)?;
        let (what, kind) = (name.to_owned(), name.to_owned());
        Some(Step { class, what, kind, socket: Some(fd), connects: false, takes_room: false })
    }

    fn file(&self, name: &str, path: Option<PathBuf>, takes_room: bool) -> Option<Step> {
        let path = path.filter(|path| self.roots.iter().any(|root| path.starts_with(root)))?;
        let what = format!("{name} {}", path.display());
        let kind = format!("{name} {}", kind_of(&path));
        Some(Step { class: Class::File, what, kind, socket: None, connects: false, takes_room })
    }

    fn open_file(&self, fd: i32) -> Option<PathBuf> {
        std::fs::read_link(format!("/proc/{}/fd/{fd}", self.process)).ok()
    }

    /// A path that a call names, from the directory that it is seen from.
    fn path(&self, directory: i32, address: u64) -> Option<PathBuf> {
        let mut bytes = vec![0; 4096];
        let length = self.memory()?.read_at(&mut bytes, address).ok()?;
        bytes.truncate(bytes[..length].iter().position(|byte| *byte == 0)?);
        let path = PathBuf::from(OsString::from_vec(bytes));
        let seen_from = match directory {
            _ if path.is_absolute() => return Some(path),
            HERE => std::fs::read_link(format!("/proc/{}/cwd", self.process)).ok()?,
            directory => self.open_file(directory)?,
        };
        Some(Path::join(&seen_from, path))
    }

    fn read<const N: usize>(&self, address: u64) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.memory()?.read_exact_at(&mut bytes, address).ok()?;
        Some(bytes)
    }

    fn memory(&self) -> Option<File> {
        File::open(format!("/proc/{}/mem", self.process)).ok()
    }
}

/// A file's name without what is random in it. The many files of a database are one kind.
fn kind_of(path: &Path) -> String {
    if path.components().any(|part| part.as_os_str() == "pgdata") {
        return "data".to_owned();
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for random in [".tmp", ".new-", ".trash-"] {
        if name.starts_with(random) {
            return format!("{random}*");
        }
    }
    match name.rsplit_once('.') {
        // Of a socket's lock: the port.
        Some((_, number)) if number.chars().all(|c| c.is_ascii_digit()) => "*.N".to_owned(),
        Some((_, extension)) => format!("*.{extension}"),
        None if name.len() >= 12 && name.chars().all(|c| c.is_ascii_hexdigit()) => "ID".to_owned(),
        None => name.chars().take_while(char::is_ascii_alphabetic).collect(),
    }
}

/// A new process; a new thread is devdb's own business.
fn program(flags: u64) -> Option<Step> {
    (flags & libc::CLONE_THREAD as u64 == 0).then(|| Step {
        class: Class::Program,
        what: "start a program".to_owned(),
        kind: "start".to_owned(),
        socket: None,
        connects: false,
        takes_room: false,
    })
}
