//! Sets and removes the password of a server's user. The server does not count these writes, because
//! nobody but devdb has made them.

use sqlx::AssertSqlSafe;

use super::connect::{self, Address, Counting};
use super::writes;
use crate::error::{Kind, Result, ResultExt};

/// Removes the user's password, so that nobody can log in any more. Returns the id that the next
/// writing transaction gets.
///
/// # Errors
/// `NotReady` when the server does not answer, `Unexpected` when it refuses.
pub async fn remove_password(address: &Address) -> Result<u64> {
    let failed = || format!("cannot remove the password of the user {:?}", address.user);
    let mut connection = address.counting(Counting::Off).connect().await?;
    sqlx::raw_sql("ALTER ROLE CURRENT_USER PASSWORD NULL")
        .execute(&mut connection)
        .await
        .or_fail(Kind::Unexpected, failed)?;
    let next = writes::next_transaction(&mut connection).await?;
    connect::close(connection).await;
    Ok(next)
}

/// Sets the user's password to the one of `verifier` (SCRAM-SHA-256). The server must accept the
/// login at `address` without a password.
///
/// # Errors
/// sqlx's error; the server may still be starting.
pub async fn set_password(address: &Address, verifier: &str) -> Result<(), sqlx::Error> {
    let mut connection = address.counting(Counting::Off).try_connect().await?;
    // The server must not write this statement to its log.
    let statement = format!(
        "SET log_statement TO 'none'; ALTER ROLE CURRENT_USER PASSWORD '{}'",
        verifier.replace('\'', "''")
    );
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
    connect::close(connection).await;
    Ok(())
}
