//! Migrations, seeds and questions, against a real PostgreSQL 15 that the tests start themselves.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy knows only #[test] functions"
)]
#![expect(clippy::print_stdout, reason = "a skipped suite and measured times are said on stdout")]

mod inspect;
mod migrate;
mod migrate_errors;
mod sample;
mod seed;
mod seed_errors;
mod server;
mod session;

use std::path::Path;
use std::time::Duration;

use devdb::db::connect::Address;
use devdb::error::Error;
use devdb::spec::Files;
use sqlx::PgConnection;

/// How long the tests wait for locks.
const PATIENCE: Duration = Duration::from_secs(20);

/// Files in a directory of their own.
struct Project(tempfile::TempDir);

impl Project {
    fn new(files: &[(&str, &str)]) -> Self {
        let project = Project(tempfile::tempdir().unwrap());
        for (name, content) in files {
            project.write(name, content);
        }
        project
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn remove(&self, name: &str) {
        std::fs::remove_file(self.path().join(name)).unwrap();
    }

    fn files(&self) -> Files {
        Files::Directory { path: self.path().to_owned(), required: true }
    }

    /// All of an error, with `/…/` for the project's directory.
    fn text_of(&self, error: &Error) -> String {
        let mut lines = vec![format!("{:?}: {}", error.kind(), error.message())];
        lines.extend(error.causes().iter().map(|cause| format!("because {cause}")));
        lines.extend(error.excerpt_text().map(str::to_owned));
        lines.extend(error.notes().iter().map(|note| format!("note: {note}")));
        lines.extend(error.hints().iter().map(|hint| format!("hint: {hint}")));
        lines.join("\n").replace(self.path().to_str().unwrap(), "/…")
    }
}

async fn connect(address: &Address) -> PgConnection {
    address.connect().await.unwrap()
}

/// The one value of a query, as text.
async fn value(address: &Address, query: &'static str) -> String {
    let query = sqlx::AssertSqlSafe(format!("SELECT ({query})::text"));
    let value: Option<String> =
        sqlx::query_scalar(query).fetch_one(&mut connect(address).await).await.unwrap();
    value.unwrap_or_else(|| "null".to_owned())
}

async fn execute(address: &Address, sql: &'static str) {
    sqlx::raw_sql(sql).execute(&mut connect(address).await).await.unwrap();
}
