//! Records which key the seeds of a database were encrypted with, so that devdb notices another key.

use sqlx::{AssertSqlSafe, PgConnection};

use super::own_tables::{self, KEY};
use crate::error::{Kind, Result, ResultExt};

/// What tells a key from others, without showing it.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct KeyMark {
    /// A digest of the key.
    pub digest: String,
    /// The fingerprint that `devdb config` shows. None for a text that is no key of devdb's form.
    pub fingerprint: Option<String>,
}

/// The key that the seeds were encrypted with; none when they needed no key, or an older devdb
/// applied them.
///
/// # Errors
/// When the connection is lost, or the table is not devdb's own.
pub async fn recorded(connection: &mut PgConnection) -> Result<Option<KeyMark>> {
    let failed = || format!("cannot read the table {KEY}");
    if !own_tables::exists(connection, KEY).await.or_fail(Kind::Unexpected, failed)? {
        return Ok(None);
    }
    sqlx::query_as(AssertSqlSafe(format!("SELECT digest, fingerprint FROM {KEY}")))
        .fetch_optional(connection)
        .await
        .or_fail(Kind::Unexpected, failed)
}

/// Records the key that the seeds were encrypted with. The first one stays recorded.
///
/// # Errors
/// When the database refuses.
pub async fn record(connection: &mut PgConnection, key: &KeyMark) -> Result<()> {
    let create =
        format!("CREATE TABLE IF NOT EXISTS {KEY} (digest text PRIMARY KEY, fingerprint text)");
    let insert = format!(
        "INSERT INTO {KEY} (digest, fingerprint) \
         SELECT $1, $2 WHERE NOT EXISTS (SELECT FROM {KEY})"
    );
    let recording = async {
        sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut *connection).await?;
        sqlx::query(AssertSqlSafe(insert))
            .bind(&key.digest)
            .bind(&key.fingerprint)
            .execute(&mut *connection)
            .await
    };
    recording
        .await
        .map(drop)
        .or_fail(Kind::Unexpected, || "cannot record the key of the seeds".into())
}
