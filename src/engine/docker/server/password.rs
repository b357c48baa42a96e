//! Sets a user's password over the server's own socket.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;

use crate::engine::Server;
use crate::engine::docker::Docker;
use crate::engine::docker::exec::{PROGRAMS_FIRST, psql_command};
use crate::error::{Error, Kind, Result};
use crate::spec::{Durability, ServerSpec};

/// How often devdb asks the server on a copy whether it accepts connections: 3000 times, for a
/// minute or more. The server has nothing to recover. Without a limit, a server that never answers
/// would block the instance.
const ASK_MAX: u32 = 3000;

/// The message when the server never answers.
const SILENT: &str =
    "it does not answer on its port; a migration may have changed that (ALTER SYSTEM)";

/// How long the daemon may take to notice that the processes of a container have died. A busy
/// daemon may still report `running` at that moment.
const DEATH_IS_KNOWN: Duration = Duration::from_secs(2);

impl Docker {
    /// Gives `user` the password that `verifier` stands for. psql connects over the server's own
    /// socket, because the image trusts the postgres user there. The statement goes in on stdin, so
    /// it appears in no argument list.
    ///
    /// # Errors
    /// `NotRunning` when the server does not run, `Unexpected` when it refuses.
    pub async fn set_password(&self, server: &Server, user: &str, verifier: &str) -> Result<()> {
        let command = psql_command(user, "postgres", &["-Xqv", "ON_ERROR_STOP=1"]);
        self.alter_password(server, command, user, verifier).await
    }

    /// Sets the password. `command` must become psql in the end.
    async fn alter_password(
        &self,
        server: &Server,
        command: Vec<String>,
        user: &str,
        verifier: &str,
    ) -> Result<()> {
        let what = || format!("cannot set the password of \"{user}\" in \"{}\"", server.name);
        let mut process = self.spawn(server, command, false).await?;
        // The server may log statements, but must not log the verifier. What devdb does is nobody's
        // write, so the server does not count it.
        let statement = format!(
            "SET log_statement TO 'none';\nSET track_counts TO off;\nALTER ROLE {} PASSWORD {};\n",
            identifier(user),
            literal(verifier)
        );
        let sent = async {
            process.input.write_all(statement.as_bytes()).await?;
            process.input.shutdown().await
        };
        sent.await.map_err(|error| Error::new(Kind::Unexpected, what()).because(error))?;
        let mut said = Vec::new();
        while let Some(part) = process.output.next().await {
            let part = part.map_err(|refusal| self.failed(&refusal, what()))?;
            said.extend_from_slice(part.as_ref());
        }
        match self.exit_code(&process.id).await? {
            0 => Ok(()),
            code => {
                let said = String::from_utf8_lossy(&said).replace(verifier, "…");
                Err(Error::new(Kind::Unexpected, what())
                    .because(format!("psql in the container ended with code {code}"))
                    .because(said.trim()))
            }
        }
    }

    /// Gives the user of a copied generation a password as soon as the server is up. Until then
    /// nobody can log in. It is no error here when the server dies: the caller also waits for the
    /// server's end and reports it.
    pub(crate) async fn give_password(
        &self,
        server: &Server,
        spec: &ServerSpec,
        verifier: &str,
    ) -> Result<()> {
        // One process does all of it, because each process costs the daemon 50 ms or more. The
        // script syncs the copy, because the daemon did not.
        let sync = match spec.durability {
            Durability::Full | Durability::Relaxed => "sync -f \"$PGDATA\" &&",
            Durability::None => "",
        };
        let script = format!(
            "{PROGRAMS_FIRST}; left={ASK_MAX}; until pg_isready -q -h 127.0.0.1; do \
             left=$((left - 1)); [ $left -gt 0 ] || {{ echo '{SILENT}' >&2; exit 1; }}; \
             sleep 0.01; done; {sync} exec \"$@\""
        );
        let psql = psql_command(&spec.user, "postgres", &["-Xqv", "ON_ERROR_STOP=1"]);
        let shell = ["sh", "-c", &script, "devdb"].map(str::to_owned);
        let command = shell.into_iter().chain(psql).collect();
        match self.alter_password(server, command, &spec.user, verifier).await {
            Err(error) if !self.ends_within(server, DEATH_IS_KNOWN).await => Err(error),
            _ => Ok(()),
        }
    }
}

/// Quotes an identifier for SQL.
fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes a string for SQL. A backslash would need another form, but verifiers contain none.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_strings_are_quoted() {
        assert_eq!(identifier(r#"an"na"#), r#""an""na""#);
        assert_eq!(literal("a'b"), "'a''b'");
    }
}
