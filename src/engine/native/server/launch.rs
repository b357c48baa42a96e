//! Launching a server. devdb writes the note first, so that it can find and remove the server
//! whatever happens. Then it prepares the data directory and starts the process.

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::time::{Duration, Instant};

use super::log;
use crate::engine::native::generation_directory::GenerationDirectory;
use crate::engine::native::programs::Programs;
use crate::engine::native::record::{GenerationRecord, SCHEMA, ServerNote};
use crate::engine::native::sockets::socket_setting;
use crate::engine::native::{LOG_TAIL, Native, account, process, standalone};
use crate::engine::{Launch, Role, Server};
use crate::error::{Error, Kind, Result, ResultExt};
use crate::spec::{EngineKind, Owner, ServerSpec};

/// How long a server may take to listen on its port after a start: 10 seconds. It listens before it
/// begins a recovery or other long work.
pub(super) const LISTENING_DEADLINE: Duration = Duration::from_secs(10);

/// How long devdb waits for the processes of a server that was killed: 10 seconds.
const ORPHANS_DEADLINE: Duration = Duration::from_secs(10);

/// The interval at which devdb starts a server again while it waits for such processes.
const ORPHANS_INTERVAL: Duration = Duration::from_millis(200);

/// How many free ports devdb tries when other programs take them first.
const PORT_TRIES: usize = 5;

/// How to launch a server on the directory of an instance or of a private server.
#[derive(Debug)]
pub(crate) struct DirectoryLaunch<'a> {
    pub(crate) owner: &'a Owner,
    /// The id of the directory.
    pub(crate) id: u32,
    pub(crate) role: Role,
    pub(crate) spec: &'a ServerSpec,
    /// The port. None: any free port.
    pub(crate) port: Option<u16>,
    /// The verifier of the password that the user gets. None when the user already has one.
    pub(crate) verifier: Option<&'a str>,
    /// The number for the mark of an instance's generation.
    pub(crate) number: u32,
}

impl Native {
    /// See [`Engine::launch`](crate::engine::Engine::launch). When a server dies for another reason
    /// than its port, this returns it as stopped, and [`Native::exited`] tells the reason.
    ///
    /// # Errors
    /// See [`Engine::launch`](crate::engine::Engine::launch).
    pub async fn launch(&self, launch: &Launch<'_>) -> Result<Server> {
        let Launch { owner, generation, number, spec, port, verifier } = *launch;
        self.launch_on_directory(&DirectoryLaunch {
            owner,
            id: generation,
            role: Role::Instance,
            spec,
            port: Some(port),
            verifier,
            number,
        })
        .await
    }

    /// Launches a server on a directory of the store.
    ///
    /// # Errors
    /// The errors of [`Native::launch`].
    pub(crate) async fn launch_on_directory(&self, launch: &DirectoryLaunch<'_>) -> Result<Server> {
        let DirectoryLaunch { owner, id, spec, .. } = launch;
        let place = self.store.place(owner, *id);
        let Some(record) = place.require()? else {
            return Err(Error::new(
                Kind::Unexpected,
                format!("there is no directory {}", place.handle()),
            ));
        };
        self.refuse_second(launch, &place)?;
        let bin = spec.bin_dir.as_deref();
        let programs = self.programs_for(record.made_with.major, bin)?;
        let (port, _) = pick_port(launch.port)?;
        let note = ServerNote {
            schema: SCHEMA,
            role: launch.role,
            port,
            launch_digest: spec.launch_digest(EngineKind::Native, launch.port),
            bin: programs.bin.clone(),
            version: programs.version.clone(),
            settings: spec.launch_settings(),
            pid: None,
            log_start: 0,
        };
        place.write_note(&note)?;
        match self.bring_up(launch, &place, record, note, &programs).await {
            Ok(server) => Ok(server),
            Err(error) => {
                self.clear_away(&place).await?;
                Err(error)
            }
        }
    }

    /// Refuses a second server on a generation. Refuses a second server of an instance unless the
    /// first one is set aside.
    fn refuse_second(
        &self,
        launch: &DirectoryLaunch<'_>,
        place: &GenerationDirectory,
    ) -> Result<()> {
        let exists =
            |name: &str| Err(Error::new(Kind::Unexpected, format!("server {name} exists already")));
        if place.note()?.is_some() {
            return exists(&place.handle());
        }
        match launch.role {
            Role::Builder | Role::Ephemeral => Ok(()),
            Role::Instance if self.holder_of_the_name(&launch.owner.key())?.is_some() => {
                exists(&launch.owner.base_name())
            }
            Role::Instance => Ok(()),
        }
    }

    async fn bring_up(
        &self,
        launch: &DirectoryLaunch<'_>,
        place: &GenerationDirectory,
        mut record: GenerationRecord,
        mut note: ServerNote,
        programs: &Programs,
    ) -> Result<Server> {
        let is_copy = record.initialised && launch.role != Role::Instance;
        self.make_ready(launch, place, &mut record, programs).await?;
        let mut tries = 0;
        loop {
            tries += 1;
            match self.spawn(place, &record, &mut note, programs).await {
                Ok(()) => {
                    if let Some(verifier) = launch.verifier.filter(|_| is_copy) {
                        self.give_password(place, &record, &note, verifier).await?;
                    }
                    if launch.role == Role::Instance && launch.verifier.is_some() {
                        place.mark_complete(launch.number)?;
                    }
                    return Ok(self.describe(place, record, &note));
                }
                Err(error)
                    if launch.port.is_none()
                        && error.kind() == Kind::PortBusy
                        && tries < PORT_TRIES =>
                {
                    (note.port, _) = pick_port(None)?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Prepares the data directory for a start. The empty directory of a private server is
    /// initialised. The user of an instance gets the password. The user of a private server on a
    /// copy gets the password later, when the server runs.
    ///
    /// # Errors
    /// `Unexpected` when a program fails, or when the copy that fills the directory was
    /// interrupted.
    async fn make_ready(
        &self,
        launch: &DirectoryLaunch<'_>,
        place: &GenerationDirectory,
        record: &mut GenerationRecord,
        programs: &Programs,
    ) -> Result<()> {
        let pgdata = place.pgdata();
        match (launch.role, launch.verifier) {
            (Role::Instance, Some(verifier)) if record.initialised => {
                // This may run twice: a launch that lost its port at the last moment is repeated.
                standalone::set_password(programs, &pgdata, &record.made_with.user, verifier).await
            }
            _ if record.initialised => Ok(()),
            (Role::Builder | Role::Ephemeral, Some(verifier)) => {
                self.store.make_pgdata(place)?;
                let (made_with, durability) = (&record.made_with, launch.spec.durability);
                standalone::initialise(programs, place, made_with, durability, verifier).await?;
                record.initialised = true;
                place.write_record(record)
            }
            _ => Err(Error::new(
                Kind::Unexpected,
                format!("the data directory {} was never completed", pgdata.display()),
            )
            .because("the copy that fills it was interrupted")
            .hint("devdb reset   makes a new one")),
        }
    }

    /// Starts the server of a note, and waits until it listens on its port or has died. Starts it
    /// again while processes of a killed server still use the data directory: a process that is
    /// busy notices only some time later that its server has gone.
    ///
    /// # Errors
    /// `PortBusy` when another program has the port. `Unexpected` when the process cannot be
    /// started. A server that dies for another reason is no error here.
    pub(super) async fn spawn(
        &self,
        place: &GenerationDirectory,
        record: &GenerationRecord,
        note: &mut ServerNote,
        programs: &Programs,
    ) -> Result<()> {
        let deadline = Instant::now() + ORPHANS_DEADLINE;
        loop {
            self.spawn_once(place, record, note, programs).await?;
            let has_died = !self.children.is_running(place.directory());
            if !(has_died && found_orphans(place, note)) || Instant::now() >= deadline {
                return Ok(());
            }
            tokio::time::sleep(ORPHANS_INTERVAL).await;
        }
    }

    async fn spawn_once(
        &self,
        place: &GenerationDirectory,
        record: &GenerationRecord,
        note: &mut ServerNote,
        programs: &Programs,
    ) -> Result<()> {
        // devdb holds the port until the start, so only another program can take it now.
        let (_, held) = pick_port(Some(note.port))?;
        let key = record.owner.key();
        let sockets = self.store.make_socket_directory(&key)?;
        self.store.clear_dead_sockets(&key, note.port);
        let cannot = || format!("cannot start PostgreSQL on {}", place.directory().display());
        let (output, log_start) = log::open(&place.log()).or_fail(Kind::Unexpected, cannot)?;
        let mut command = programs.command("postgres", account::for_servers()?);
        // devdb recognises the process by `-D <path>` at the beginning of its arguments.
        command.arg("-D").arg(place.pgdata());
        for (name, value) in &note.settings {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        if note.role != Role::Instance {
            command.arg("-c").arg(private_way_in(place).or_fail(Kind::Unexpected, cannot)?);
        }
        // The last setting wins, so a user's setting cannot move the port, the socket or the log.
        for (name, value) in [
            ("listen_addresses", "127.0.0.1"),
            ("port", &note.port.to_string()),
            ("unix_socket_directories", &socket_setting(&sockets)),
            ("unix_socket_permissions", "0700"),
            ("logging_collector", "off"),
            ("log_destination", "stderr"),
        ] {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        standalone::pardon_reused_pid(&mut command, &place.pgdata());
        let errors = output.try_clone().or_fail(Kind::Unexpected, cannot)?;
        // In a process group of its own, the server does not get the Ctrl-C that is meant for
        // devdb.
        command.process_group(0).stdout(output).stderr(errors);
        drop(held);
        let child = command.spawn().or_fail(Kind::Unexpected, cannot)?;
        note.pid = i32::try_from(child.id()).ok();
        note.log_start = log_start;
        self.children.adopt(place.directory(), child).or_fail(Kind::Unexpected, cannot)?;
        place.write_note(note)?;
        self.until_listening(place, note).await
    }

    async fn until_listening(&self, place: &GenerationDirectory, note: &ServerNote) -> Result<()> {
        let deadline = Instant::now() + LISTENING_DEADLINE;
        while Instant::now() < deadline {
            if !self.children.is_running(place.directory()) {
                return match lost_its_port(place, note) {
                    true => Err(busy(note.port)),
                    false => Ok(()),
                };
            }
            let postmaster = process::postmaster(&place.pgdata(), None);
            if postmaster.is_some_and(|postmaster| postmaster.is_listening) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }
}

/// The setting by which a private server asks for no password on its socket. Only the account that
/// owns the server and its data can enter the directory of the socket.
fn private_way_in(place: &GenerationDirectory) -> std::io::Result<String> {
    let file = place.directory().join("pg_hba.conf");
    std::fs::write(&file, "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n")?;
    if let Some(account) = account::for_servers().ok().flatten() {
        std::os::unix::fs::chown(&file, Some(account.uid), Some(account.gid))?;
    }
    Ok(format!("hba_file={}", file.display()))
}

fn lost_its_port(place: &GenerationDirectory, note: &ServerNote) -> bool {
    let said = log::tail(&place.log(), note.log_start, LOG_TAIL);
    said.lines().any(|line| line.contains("could not bind") && line.contains("already in use"))
}

/// Whether the server refused to start because processes of an earlier server still use the data.
fn found_orphans(place: &GenerationDirectory, note: &ServerNote) -> bool {
    let said = log::tail(&place.log(), note.log_start, LOG_TAIL);
    said.lines().any(|line| {
        line.contains("pre-existing shared memory block") && line.contains("is still in use")
    })
}

/// Reserves the wanted port, or any free one. The listener holds the port until it is dropped.
fn pick_port(wanted: Option<u16>) -> Result<(u16, TcpListener)> {
    let port = wanted.unwrap_or(0);
    let held = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|error| {
        if error.kind() == std::io::ErrorKind::AddrInUse {
            return busy(port);
        }
        Error::new(Kind::Config, format!("cannot listen on 127.0.0.1:{port}"))
            .because(error)
            .hint("set postgres.port to auto, and devdb picks a port (devdb config shows where it is set)")
    })?;
    let address = held
        .local_addr()
        .or_fail(Kind::Unexpected, || format!("cannot listen on 127.0.0.1:{port}"))?;
    Ok((address.port(), held))
}

fn busy(port: u16) -> Error {
    Error::new(Kind::PortBusy, format!("port {port} on 127.0.0.1 is in use by another program"))
}
