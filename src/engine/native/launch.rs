//! Bringing a server up: the note first, so that whatever happens the server can be found and
//! removed; then the data directory, if it is empty; then the process.

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::time::{Duration, Instant};

use secrecy::SecretString;

use super::account;
use super::log;
use super::place::Place;
use super::process;
use super::programs::Programs;
use super::record::{GenerationRecord, SCHEMA, ServerNote};
use super::sockets::socket_setting;
use super::standalone;
use super::{LOG_TAIL, Native};
use crate::db::connect::Address;
use crate::db::inspect;
use crate::engine::{Launch, Role, Server};
use crate::error::{Error, Kind, Result, ResultExt};
use crate::spec::EngineKind;

/// How long a started server is watched until it has its port. It does that before anything that
/// may take long, recovery included.
const UNTIL_LISTENING: Duration = Duration::from_secs(10);

/// How often a free port is picked anew when another program was faster.
const PORT_TRIES: usize = 5;

impl Native {
    /// See [`Engine::launch`](crate::engine::Engine::launch). A server that dies for another
    /// reason than its port is returned as a stopped one; [`Native::exited`] says why.
    ///
    /// # Errors
    /// As the contract has it.
    pub async fn launch(&self, launch: &Launch<'_>) -> Result<Server> {
        let Launch { owner, generation, spec, .. } = launch;
        let place = self.store.place(owner, *generation);
        let Some(record) = place.require()? else {
            return Err(Error::new(
                Kind::Unexpected,
                format!("there is no generation {generation} of {}", owner.base_name()),
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

    /// A generation has one server, an instance one that is not set aside.
    fn refuse_second(&self, launch: &Launch<'_>, place: &Place) -> Result<()> {
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
        launch: &Launch<'_>,
        place: &Place,
        mut record: GenerationRecord,
        mut note: ServerNote,
        programs: &Programs,
    ) -> Result<Server> {
        let is_copy = record.initialised && launch.role != Role::Instance;
        self.fill(launch, place, &mut record, programs).await?;
        let mut tries = 0;
        loop {
            tries += 1;
            match self.spawn(place, &record, &mut note, programs).await {
                Ok(()) => {
                    if let Some(verifier) = launch.verifier.filter(|_| is_copy) {
                        self.give_password(place, &record, &note, verifier).await?;
                    }
                    if launch.role == Role::Instance && launch.verifier.is_some() {
                        place.mark_complete()?;
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

    /// Initialises an empty data directory; gives an initialised one the password, if there is one
    /// to give (a launch whose port was lost to another program in the last moment is repeated).
    async fn fill(
        &self,
        launch: &Launch<'_>,
        place: &Place,
        record: &mut GenerationRecord,
        programs: &Programs,
    ) -> Result<()> {
        let pgdata = place.pgdata();
        let Launch { verifier, spec, .. } = launch;
        match verifier {
            None if record.initialised => Ok(()),
            // Once it runs.
            Some(_) if record.initialised && launch.role != Role::Instance => Ok(()),
            Some(verifier) if record.initialised => {
                standalone::set_password(programs, &pgdata, &record.made_with.user, verifier).await
            }
            Some(verifier) if !pgdata.exists() => {
                self.store.make_pgdata(place)?;
                let made_with = &record.made_with;
                let done =
                    standalone::initialise(programs, place, made_with, spec.durability, verifier);
                if let Err(error) = done.await {
                    // Nothing was in it; the next launch may try again.
                    let _ = tokio::fs::remove_dir_all(&pgdata).await;
                    return Err(error);
                }
                record.initialised = true;
                place.write_record(record)
            }
            _ => Err(Error::new(
                Kind::Unexpected,
                format!("the data directory {} was never completed", pgdata.display()),
            )
            .because("its initialisation was interrupted")
            .hint("devdb reset        makes a new one")),
        }
    }

    /// Starts the server of a note and waits until it has its port, or has died.
    ///
    /// # Errors
    /// `PortBusy` when another program has the port; `Unexpected` when it cannot be started at
    /// all. A server that died for its own reasons is no error here.
    pub(super) async fn spawn(
        &self,
        place: &Place,
        record: &GenerationRecord,
        note: &mut ServerNote,
        programs: &Programs,
    ) -> Result<()> {
        // Held until the last moment: what takes it now is another program.
        let (_, held) = pick_port(Some(note.port))?;
        let sockets = self.store.make_socket_directory(&record.owner.key())?;
        let cannot = || format!("cannot start PostgreSQL on {}", place.directory().display());
        let (output, log_start) = log::open(&place.log()).or_fail(Kind::Unexpected, cannot)?;
        let mut command = programs.command("postgres", account::for_servers()?);
        // Beginning with `-D <path>`: that is how it is recognised.
        command.arg("-D").arg(place.pgdata());
        for (name, value) in &note.settings {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        if note.role != Role::Instance {
            command.arg("-c").arg(private_way_in(place).or_fail(Kind::Unexpected, cannot)?);
        }
        // Last, so that they win: where devdb finds it, and that its log is here.
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
        // A group of its own: Ctrl-C is devdb's.
        command.process_group(0).stdout(output).stderr(errors);
        drop(held);
        let child = command.spawn().or_fail(Kind::Unexpected, cannot)?;
        note.pid = i32::try_from(child.id()).ok();
        note.log_start = log_start;
        self.children.adopt(place.directory(), child).or_fail(Kind::Unexpected, cannot)?;
        place.write_note(note)?;
        self.until_listening(place, note).await
    }

    /// Gives the user of a private server that runs on a copy its password, over the socket that
    /// nobody else gets at. That the server ends before is for whoever waits for it to find out.
    async fn give_password(
        &self,
        place: &Place,
        record: &GenerationRecord,
        note: &ServerNote,
        verifier: &str,
    ) -> Result<()> {
        let sockets = self.store.socket_directory(&record.owner.key());
        let address = Address {
            host: sockets.to_string_lossy().into_owned(),
            port: note.port,
            database: "postgres".into(),
            user: record.made_with.user.clone(),
            password: SecretString::default(),
        };
        let deadline = Instant::now() + UNTIL_LISTENING;
        loop {
            match inspect::give_password(&address, verifier).await {
                Ok(()) => return Ok(()),
                Err(_) if !self.children.is_running(place.directory()) => return Ok(()),
                Err(_) if Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(3)).await;
                }
                Err(error) => {
                    return Err(error).or_fail(Kind::Unexpected, || {
                        format!("cannot set the password of user {:?}", address.user)
                    });
                }
            }
        }
    }

    async fn until_listening(&self, place: &Place, note: &ServerNote) -> Result<()> {
        let deadline = Instant::now() + UNTIL_LISTENING;
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

/// The setting by which the socket of a private server asks for no password. Its directory is closed
/// to everybody but the account that the server, and with it the data, belongs to.
fn private_way_in(place: &Place) -> std::io::Result<String> {
    let file = place.directory().join("pg_hba.conf");
    std::fs::write(&file, "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n")?;
    if let Some(account) = account::for_servers().ok().flatten() {
        std::os::unix::fs::chown(&file, Some(account.uid), Some(account.gid))?;
    }
    Ok(format!("hba_file={}", file.display()))
}

fn lost_its_port(place: &Place, note: &ServerNote) -> bool {
    let said = log::tail(&place.log(), note.log_start, LOG_TAIL);
    said.lines().any(|line| line.contains("could not bind") && line.contains("already in use"))
}

/// The port, or a free one, and what holds it as long as it lives.
fn pick_port(wanted: Option<u16>) -> Result<(u16, TcpListener)> {
    let port = wanted.unwrap_or(0);
    let held = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|error| {
        if error.kind() == std::io::ErrorKind::AddrInUse {
            return busy(port);
        }
        Error::new(Kind::Config, format!("cannot listen on 127.0.0.1:{port}"))
            .because(error)
            .hint("postgres.port: auto in devdb.yaml        lets devdb pick a port")
    })?;
    let address = held
        .local_addr()
        .or_fail(Kind::Unexpected, || format!("cannot listen on 127.0.0.1:{port}"))?;
    Ok((address.port(), held))
}

fn busy(port: u16) -> Error {
    Error::new(Kind::PortBusy, format!("port {port} on 127.0.0.1 is in use by another program"))
}
