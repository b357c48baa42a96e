//! Runs devdb so that something goes wrong at a step of its own. The programs that it starts are
//! left alone.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::step::{Call, Class, Step, Watch};

/// How long devdb may take, whatever goes wrong.
const PATIENCE: Duration = Duration::from_secs(120);

/// What goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The step fails.
    Fail,
    /// The connection is cut, both ways.
    Cut,
    /// The disk is full from here on.
    Full,
    /// It takes a second longer.
    Delay,
    /// devdb is killed.
    Kill,
    /// The daemon is killed.
    KillDaemon,
}

/// Steps that are alike.
pub type Kind = (Class, String);

/// How many there are of each.
pub type Steps = BTreeMap<Kind, usize>;

/// A step at which something goes wrong.
#[derive(Clone, Debug)]
pub struct At {
    pub kind: Kind,
    /// Counted within the kind, from 1.
    pub number: usize,
    pub fault: Fault,
}

/// How it went.
pub struct Traced {
    /// None when it was killed.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub steps: Steps,
    /// The step at which something went wrong, if it came to that.
    pub hit: Option<String>,
    /// It did not end by itself.
    pub hung: bool,
}

/// Runs a command. `at` a step of it something goes wrong; `kill_daemon` is for one of the faults.
pub fn trace(
    command: &Command,
    roots: &[PathBuf],
    at: Option<At>,
    kill_daemon: &mut dyn FnMut(),
) -> Traced {
    let mut stdout = tempfile::tempfile().unwrap();
    let mut stderr = tempfile::tempfile().unwrap();
    let process = start(command, &stdout, &stderr);
    let (ended, has_ended) = channel::<()>();
    let watchdog = std::thread::spawn(move || {
        let hung = has_ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout);
        if hung {
            let _ = kill(process, Signal::SIGKILL);
        }
        hung
    });
    let mut tracer = Tracer {
        process,
        watch: Watch::new(process.as_raw(), roots),
        counts: BTreeMap::new(),
        at,
        hit: None,
        is_full: false,
        failing: HashMap::new(),
        kill_daemon,
    };
    let code = tracer.until_it_ends();
    drop(ended);
    let hung = watchdog.join().unwrap();
    let (steps, hit) = (tracer.counts, tracer.hit);
    Traced { code, stdout: text_of(&mut stdout), stderr: text_of(&mut stderr), steps, hit, hung }
}

/// A shell that waits until it is traced, and then becomes the command.
#[expect(clippy::zombie_processes, reason = "the tracer waits for it")]
fn start(command: &Command, stdout: &File, stderr: &File) -> Pid {
    let mut child = Command::new("sh")
        .args(["-c", r#"read _; exec "$0" "$@" </dev/null"#])
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear()
        .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .current_dir(command.get_current_dir().unwrap())
        .stdin(Stdio::piped())
        .stdout(stdout.try_clone().unwrap())
        .stderr(stderr.try_clone().unwrap())
        .spawn()
        .unwrap();
    let process = Pid::from_raw(child.id() as i32);
    // Only its threads: neither fork nor vfork is followed.
    let options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_EXITKILL;
    ptrace::seize(process, options).unwrap();
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    process
}

fn text_of(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

struct Tracer<'a> {
    process: Pid,
    watch: Watch,
    counts: Steps,
    at: Option<At>,
    hit: Option<String>,
    is_full: bool,
    /// What the call returns that a thread is in.
    failing: HashMap<Pid, Errno>,
    kill_daemon: &'a mut dyn FnMut(),
}

impl Tracer<'_> {
    fn until_it_ends(&mut self) -> Option<i32> {
        // Other tests of this process have children too.
        let of_this_thread = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        let mut begun = false;
        loop {
            let (thread, signal) = match waitpid(None, Some(of_this_thread)).unwrap() {
                WaitStatus::Exited(thread, code) if thread == self.process => return Some(code),
                WaitStatus::Signaled(thread, ..) if thread == self.process => return None,
                WaitStatus::PtraceSyscall(thread) => {
                    // A thread that was killed meanwhile has no registers.
                    let _ = self.at_a_call(thread);
                    (thread, None)
                }
                WaitStatus::PtraceEvent(thread, _, event) => {
                    begun |= event == libc::PTRACE_EVENT_EXEC;
                    (thread, None)
                }
                WaitStatus::Stopped(thread, signal) => (thread, Some(signal)),
                _ => continue,
            };
            let _ = match begun {
                true => ptrace::syscall(thread, signal),
                false => ptrace::cont(thread, signal),
            };
        }
    }

    /// At the beginning of a call, or at its end.
    fn at_a_call(&mut self, thread: Pid) -> nix::Result<()> {
        let mut registers = ptrace::getregs(thread)?;
        if let Some(errno) = self.failing.remove(&thread) {
            registers.rax = -i64::from(errno as i32) as u64;
            return ptrace::setregs(thread, registers);
        }
        // So the kernel marks the beginning.
        if registers.rax as i64 != -i64::from(libc::ENOSYS) {
            return Ok(());
        }
        let call = Call {
            number: registers.orig_rax as i64,
            arguments: [
                registers.rdi,
                registers.rsi,
                registers.rdx,
                registers.r10,
                registers.r8,
                registers.r9,
            ],
        };
        let Some(step) = self.watch.step(&call) else { return Ok(()) };
        let kind = (step.class, step.kind.clone());
        let is_kind = self.at.as_ref().is_some_and(|at| at.kind == kind);
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        let is_here = is_kind && self.at.as_ref().is_some_and(|at| at.number == *count);
        if let Some(errno) = self.go_wrong(&step, is_here) {
            // No call has this number.
            registers.orig_rax = u64::MAX;
            ptrace::setregs(thread, registers)?;
            self.failing.insert(thread, errno);
        }
        Ok(())
    }

    /// Does what is to happen at a step. Returns the error that it ends with instead, if any.
    fn go_wrong(&mut self, step: &Step, is_here: bool) -> Option<Errno> {
        if is_here {
            self.hit = Some(step.to_string());
        }
        let fault = self.at.as_ref().filter(|_| is_here).map(|at| at.fault);
        self.is_full |= fault == Some(Fault::Full);
        if self.is_full && step.takes_room {
            return Some(Errno::ENOSPC);
        }
        match fault? {
            Fault::Fail => return Some(error_of(step)),
            Fault::Cut => match step.socket {
                Some(socket) => self.cut(socket),
                None => return Some(error_of(step)),
            },
            Fault::Delay => std::thread::sleep(Duration::from_secs(1)),
            Fault::Kill => {
                let _ = kill(self.process, Signal::SIGKILL);
            }
            Fault::KillDaemon => (self.kill_daemon)(),
            Fault::Full => {}
        }
        None
    }

    fn cut(&self, socket: i32) {
        use rustix::process::{PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
        let process = rustix::process::Pid::from_raw(self.process.as_raw()).unwrap();
        let process = pidfd_open(process, PidfdFlags::empty()).unwrap();
        let socket = pidfd_getfd(process.as_fd(), socket, PidfdGetfdFlags::empty()).unwrap();
        // One that the other side has closed is cut already.
        let _ = rustix::net::shutdown(socket, rustix::net::Shutdown::Both);
    }
}

fn error_of(step: &Step) -> Errno {
    match step.class {
        _ if step.connects => Errno::ECONNREFUSED,
        Class::Program => Errno::EAGAIN,
        Class::Engine | Class::Sql | Class::File => Errno::EIO,
    }
}
