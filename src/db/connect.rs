//! Where a database is, and how to get a connection to it.

use std::io;
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, PgConnection};

use crate::error::{Error, Kind, Result, ResultExt};

/// How long a server may take to answer a login.
const LOGIN_DEADLINE: Duration = Duration::from_secs(5);

/// Everything a login needs. `Debug` and `Display` never show the password.
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
}

impl Address {
    /// The URL with the password, percent-encoded where needed.
    pub fn url(&self) -> String {
        self.url_with(self.password.expose_secret())
    }

    /// The URL with `***` for the password.
    pub fn masked_url(&self) -> String {
        self.url_with("***")
    }

    fn url_with(&self, password: &str) -> String {
        let mut url = String::from("postgresql://");
        url.push_str(&encode(&self.user));
        url.push(':');
        url.push_str(if password == "***" { password } else { "" });
        if password != "***" {
            url.push_str(&encode(password));
        }
        url.push('@');
        url.push_str(&self.host);
        url.push_str(&format!(":{}/", self.port));
        url.push_str(&encode(&self.database));
        url
    }

    /// What a program finds in its environment to connect, whichever of the usual names it reads.
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
            // Go's driver, and so dbmate, would insist on TLS.
            ("PGSSLMODE", "disable".to_owned()),
        ]
    }

    /// `text` with `***` wherever the password is in it, as it is or percent-encoded.
    pub fn mask(&self, text: &str) -> String {
        let password = self.password.expose_secret();
        if password.is_empty() {
            return text.to_owned();
        }
        text.replace(password, "***").replace(&encode(password), "***")
    }

    fn options(&self) -> PgConnectOptions {
        // Every field is set: `new_without_pgpass` fills them from PG* variables, and none of
        // those may ever redirect devdb. (PGOPTIONS has no setter; `main` drops it.)
        PgConnectOptions::new_without_pgpass()
            .host(&self.host)
            .port(self.port)
            .username(&self.user)
            .password(self.password.expose_secret())
            .database(&self.database)
            .ssl_mode(PgSslMode::Disable)
            .application_name("devdb")
            .disable_statement_logging()
    }

    /// One attempt at a connection.
    ///
    /// # Errors
    /// sqlx's own, so that callers can tell what is worth another try.
    pub async fn try_connect(&self) -> Result<PgConnection, sqlx::Error> {
        // A paused container, or a proxy whose server hangs, accepts and then says nothing.
        match tokio::time::timeout(LOGIN_DEADLINE, self.options().connect()).await {
            Ok(connected) => connected,
            Err(late) => Err(io::Error::new(io::ErrorKind::TimedOut, late).into()),
        }
    }

    /// A connection, or an error that says why not.
    ///
    /// # Errors
    /// `NotReady` when the server does not let devdb in.
    pub async fn connect(&self) -> Result<PgConnection> {
        self.try_connect()
            .await
            .or_fail(Kind::NotReady, || format!("cannot log in to {}", self.masked_url()))
    }
}

/// An open connection.
pub type Connection = PgConnection;

/// The server's version as it said at login: `15.18`. Costs no query.
pub fn server_version(connection: &Connection) -> Option<String> {
    let number = connection.server_version_num()?;
    // Since PostgreSQL 10: major * 10000 + minor.
    Some(format!("{}.{}", number / 10_000, number % 10_000))
}

/// Says goodbye, so that the server's log does not fill with lost connections.
pub async fn close(connection: Connection) {
    use sqlx::Connection as _;
    // Whatever was to be done is done; a server that is gone needs no goodbye.
    drop(connection.close().await);
}

/// RFC 3986: everything but unreserved characters.
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

/// Waits until a real login over TCP with a query works, trying every few tens of milliseconds.
/// A port that merely accepts proves nothing: Docker's proxy accepts seconds before the server.
///
/// # Errors
/// `NotReady` with the last refusal when `timeout` has passed; at once, when the server is up but
/// refuses for good, `LoginRefused` (password, user) or `Drift` (no such database).
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
            Err(_) => last = "no answer within 5 s".into(),
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
            .hint("devdb logs            shows what the server says")
            .hint("--timeout 3m          waits longer"));
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

async fn probe(address: &Address) -> Result<(), sqlx::Error> {
    let mut connection = address.try_connect().await?;
    sqlx::query("SELECT 1").execute(&mut connection).await?;
    Ok(())
}

/// The error for a server that said no for a reason that time does not mend.
/// Codes: PostgreSQL, appendix A.
fn refusal(address: &Address, error: &sqlx::Error) -> Option<Error> {
    let code = error.as_database_error().and_then(|error| error.code());
    let refused = |kind| {
        Error::new(kind, format!("{} refuses the login", address.masked_url()))
            .because(server_text(error))
    };
    match code.as_deref() {
        Some("28P01" | "28000") => Some(refused(Kind::LoginRefused)),
        Some("3D000") => Some(
            refused(Kind::Drift)
                .hint("devdb psql -- -d postgres   shows what databases there are (\\l)")
                .hint("devdb reset                 makes a fresh one and keeps this one's data"),
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
        }
    }

    #[test]
    fn a_url_is_encoded() {
        assert_eq!(address().url(), "postgresql://anna.b%40x:p%3A%2Fw@127.0.0.1:25432/Mix%20ed");
    }

    #[test]
    fn a_masked_url_hides_the_password_and_so_does_debug() {
        assert_eq!(address().masked_url(), "postgresql://anna.b%40x:***@127.0.0.1:25432/Mix%20ed");
        assert!(!format!("{:?}", address()).contains("p:/w"));
    }

    #[test]
    fn a_text_is_masked_however_the_password_is_written() {
        let said = address().mask(&format!("{} or p:/w", address().url()));
        assert_eq!(said, format!("{} or ***", address().masked_url()));
    }
}
