//! Addresses of databases, and connections to them.

use std::io;
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, PgConnection};

use crate::error::{Error, Kind, Result, ResultExt};

/// How long to wait for a server's answer to a login.
const LOGIN_DEADLINE: Duration = Duration::from_secs(5);

/// Settings that would keep devdb from its work if the project's SQL changed them with ALTER
/// DATABASE or ALTER ROLE. What a client asks for at its login has precedence over those.
const SETTINGS: [(&str, &str); 5] = [
    ("role", "none"),
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("default_transaction_read_only", "off"),
];

/// The address of a database, with user and password. `Debug` does not show the password.
#[derive(Debug, Clone)]
pub struct Address {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Database.
    pub database: String,
    /// User.
    pub user: String,
    /// Password.
    pub password: SecretString,
    /// Whether the server counts what devdb writes there.
    pub counting: Counting,
}

/// Whether a server counts what a session writes. devdb tells by the counters whether somebody has
/// written to a database (see [`super::writes`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counting {
    /// It counts, as for everybody.
    On,
    /// It does not: what devdb itself does to a person's database is nobody's write.
    Off,
}

/// The name of devdb's sessions, as `pg_stat_activity` shows it.
pub(super) const APPLICATION: &str = "devdb";

/// The setting of a session whose writes the server does not count.
const UNCOUNTED: (&str, &str) = ("track_counts", "off");

impl Address {
    /// The same address, with other counting.
    pub fn counting(&self, counting: Counting) -> Address {
        Address { counting, ..self.clone() }
    }

    /// The URL with the password, percent-encoded where needed. It says `sslmode`, because a
    /// `PGSSLMODE` of the shell would otherwise demand TLS, which the server does not have.
    pub fn url(&self) -> String {
        self.url_with(&encode(self.password.expose_secret())) + "?sslmode=disable"
    }

    /// The URL for people, with `***` for the password.
    pub fn masked_url(&self) -> String {
        self.url_with("***")
    }

    fn url_with(&self, password: &str) -> String {
        let (user, database) = (encode(&self.user), encode(&self.database));
        format!("postgresql://{user}:{password}@{}:{}/{database}", self.host, self.port)
    }

    /// Reads what [`Address::url`] writes, with or without its parameters. None for any other text.
    pub fn parse(url: &str) -> Option<Address> {
        let url = url::Url::parse(url).ok()?;
        if !matches!(url.scheme(), "postgresql" | "postgres") {
            return None;
        }
        Some(Address {
            host: url.host_str()?.to_owned(),
            port: url.port()?,
            database: decode(url.path().strip_prefix('/')?)?,
            user: decode(url.username())?,
            password: SecretString::from(decode(url.password()?)?),
            counting: Counting::On,
        })
    }

    /// The environment variables from which programs read the address, under all usual names.
    pub fn variables(&self) -> [(&'static str, String); 12] {
        let password = self.password.expose_secret();
        [
            ("DATABASE_URL", self.url()),
            ("DATABASE_HOST", self.host.clone()),
            ("DATABASE_PORT", self.port.to_string()),
            ("DATABASE_NAME", self.database.clone()),
            ("DATABASE_USER", self.user.clone()),
            ("DATABASE_PASSWORD", password.to_owned()),
            ("PGHOST", self.host.clone()),
            ("PGPORT", self.port.to_string()),
            ("PGDATABASE", self.database.clone()),
            ("PGUSER", self.user.clone()),
            ("PGPASSWORD", password.to_owned()),
            // Without it Go's driver, and so dbmate, requires TLS.
            ("PGSSLMODE", "disable".to_owned()),
        ]
    }

    /// What another tool's command gets besides the address, so that the server counts its writes, or
    /// does not. libpq and most drivers read the variable.
    pub fn session_variable(&self) -> Option<(&'static str, String)> {
        let (name, value) = UNCOUNTED;
        (self.counting == Counting::Off).then(|| ("PGOPTIONS", format!("-c {name}={value}")))
    }

    /// Replaces the password in `text` by `***`, in plain and in percent-encoded form.
    pub fn mask(&self, text: &str) -> String {
        let password = self.password.expose_secret();
        if password.is_empty() {
            return text.to_owned();
        }
        text.replace(password, "***").replace(&encode(password), "***")
    }

    fn options(&self) -> PgConnectOptions {
        // `new_without_pgpass` reads PG* variables. They must not lead devdb to another server, so
        // this sets every field. (PGOPTIONS has no setter; `main` removes the variable.)
        let options = PgConnectOptions::new_without_pgpass()
            .host(&self.host)
            .port(self.port)
            .username(&self.user)
            .password(self.password.expose_secret())
            .database(&self.database)
            .ssl_mode(PgSslMode::Disable)
            .application_name(APPLICATION)
            .options(SETTINGS)
            .disable_statement_logging();
        match self.counting {
            Counting::On => options,
            Counting::Off => options.options([UNCOUNTED]),
        }
    }

    /// Tries once to connect.
    ///
    /// # Errors
    /// sqlx's error, so that the caller can decide whether to try again.
    pub async fn try_connect(&self) -> Result<PgConnection, sqlx::Error> {
        // A paused container, or the proxy of a server that hangs, accepts and never answers.
        match tokio::time::timeout(LOGIN_DEADLINE, self.options().connect()).await {
            Ok(connected) => connected,
            Err(late) => Err(io::Error::new(io::ErrorKind::TimedOut, late).into()),
        }
    }

    /// Connects.
    ///
    /// # Errors
    /// `NotReady` when devdb cannot log in; `LoginRefused` and `Drift` as [`wait_for_login`].
    pub async fn connect(&self) -> Result<PgConnection> {
        let connected = self.try_connect().await;
        if let Err(error) = &connected
            && let Some(refusal) = refusal(self, error)
        {
            return Err(refusal);
        }
        connected.or_fail(Kind::NotReady, || format!("cannot log in to {}", self.masked_url()))
    }
}

/// An open connection.
pub type Connection = PgConnection;

/// The version that the server reported at login: `15.18`. Needs no query.
pub fn server_version(connection: &Connection) -> Option<String> {
    let number = connection.server_version_num()?;
    // The number is major * 10000 + minor since PostgreSQL 10.
    Some(format!("{}.{}", number / 10_000, number % 10_000))
}

/// Closes a connection properly. Otherwise the server writes a line about a lost connection to its
/// log.
pub async fn close(connection: Connection) {
    use sqlx::Connection as _;
    // The work is done, so an error does not matter.
    drop(connection.close().await);
}

/// Percent-encodes all characters but the unreserved ones of RFC 3986.
fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// The text of a percent-encoded part. None when it is not UTF-8.
fn decode(text: &str) -> Option<String> {
    String::from_utf8(percent_decoded(text.as_bytes())).ok()
}

fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let byte =
            digits.filter(|_| first == b'%').and_then(|two| u8::from_str_radix(two, 16).ok());
        out.push(byte.unwrap_or(first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    out
}

/// Waits until devdb can log in over TCP and run a query; tries every 25 ms. An open port proves
/// nothing: Docker's proxy accepts connections seconds before the server does.
///
/// # Errors
/// `NotReady` with the last error when `timeout` has passed. At once when waiting cannot help:
/// `LoginRefused` (password, user), `Drift` (no such database), or `Unexpected` when client and
/// server do not understand each other.
pub async fn wait_for_login(address: &Address, timeout: Duration) -> Result<()> {
    let deadline = Instant::now() + timeout;
    let mut last;
    loop {
        match tokio::time::timeout(LOGIN_DEADLINE, probe(address)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => match refusal(address, &error) {
                Some(refusal) => return Err(refusal),
                None => last = server_text(&error),
            },
            Err(_) => last = "it did not answer within 5 s".into(),
        }
        if Instant::now() >= deadline {
            return Err(Error::new(
                Kind::NotReady,
                format!(
                    "{} did not accept a login within {}",
                    address.masked_url(),
                    humantime::format_duration(timeout)
                ),
            )
            .because(last)
            .hint("--timeout 3m   waits longer"));
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

async fn probe(address: &Address) -> Result<(), sqlx::Error> {
    let mut connection = address.try_connect().await?;
    sqlx::query("SELECT 1").execute(&mut connection).await?;
    Ok(())
}

/// The error for a server that refuses the login for a reason that does not change with time
/// (codes: PostgreSQL's manual, appendix A).
fn refusal(address: &Address, error: &sqlx::Error) -> Option<Error> {
    let code = error.as_database_error().and_then(|error| error.code());
    let refused = |kind| {
        Error::new(kind, format!("{} refuses the login", address.masked_url()))
            .because(server_text(error))
            .with_missing_data()
    };
    match code.as_deref() {
        Some("28P01" | "28000") => Some(refused(Kind::LoginRefused)),
        Some("08P01") => Some(refused(Kind::Unexpected)),
        Some("3D000") => Some(
            refused(Kind::Drift)
                .hint("devdb psql -d postgres   shows the databases (type \\l)")
                .hint("devdb reset   builds a new database from the files"),
        ),
        None if !matches!(error, sqlx::Error::Io(_)) => Some(
            Error::new(Kind::Unexpected, format!("cannot log in to {}", address.masked_url()))
                .because(error),
        ),
        _ => None,
    }
}

fn server_text(error: &sqlx::Error) -> String {
    match error.as_database_error() {
        Some(database) => database.message().to_owned(),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address() -> Address {
        Address {
            host: "127.0.0.1".into(),
            port: 25_432,
            database: "Mix ed".into(),
            user: "anna.b@x".into(),
            password: SecretString::from("p:/w"),
            counting: Counting::On,
        }
    }

    #[test]
    fn a_url_is_encoded() {
        let url = "postgresql://anna.b%40x:p%3A%2Fw@127.0.0.1:25432/Mix%20ed?sslmode=disable";
        assert_eq!(address().url(), url);
        for url in [url, &url.replace("?sslmode=disable", "")] {
            assert_eq!(Address::parse(url).unwrap().variables(), address().variables());
        }
        for other in ["", "DATABASE", "mysql://a:b@c:1/d", "postgres://a@127.0.0.1/d"] {
            assert!(Address::parse(other).is_none(), "{other}");
        }
    }

    #[test]
    fn a_masked_url_and_debug_hide_the_password() {
        assert_eq!(address().masked_url(), "postgresql://anna.b%40x:***@127.0.0.1:25432/Mix%20ed");
        assert!(!format!("{:?}", address()).contains("p:/w"));
    }

    #[test]
    fn an_error_that_stays_ends_the_wait() {
        let kind = |error| refusal(&address(), &error).map(|error| error.kind());
        let starting = io::Error::from(io::ErrorKind::ConnectionReset);
        assert_eq!(kind(sqlx::Error::Io(starting)), None);
        let own = "Failed to saslprep username".into();
        assert_eq!(kind(sqlx::Error::Configuration(own)), Some(Kind::Unexpected));
    }

    #[test]
    fn both_forms_of_the_password_are_masked_in_a_text() {
        let said = address().mask(&format!("{} or p:/w", address().url()));
        assert_eq!(said, format!("{}?sslmode=disable or ***", address().masked_url()));
    }
}
