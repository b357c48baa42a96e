//! One server for all tests of this program, and a database for each test.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use devdb::db::connect::{Address, Counting, wait_for_login};
use secrecy::SecretString;
use tokio::sync::OnceCell;

/// Runs the server until its standard input ends, which it does when the tests end, however they
/// end; then removes everything.
const SUPERVISE: &str = r#"
trap '' INT
"$1/initdb" -D "$2/data" -U postgres -A trust -E UTF8 --locale=C --no-sync >"$2/log" 2>&1
"$1/postgres" -D "$2/data" -p "$3" -k "$2" -h 127.0.0.1 -F -c max_connections=200 >>"$2/log" 2>&1 &
cat >/dev/null
"$1/pg_ctl" -D "$2/data" -m immediate stop >/dev/null 2>&1
rm -rf "$2"
"#;

struct Server {
    port: u16,
    directory: PathBuf,
    _alive: ChildStdin,
}

static SERVER: OnceLock<Option<Server>> = OnceLock::new();
static READY: OnceCell<()> = OnceCell::const_new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// An empty database of the test's own; none, said on a line of its own, where there are no
/// server programs (and a failure where they must be there).
pub async fn database() -> Option<Address> {
    let server = SERVER.get_or_init(start).as_ref()?;
    let address = |database: String| Address {
        host: "127.0.0.1".into(),
        port: server.port,
        database,
        user: "postgres".into(),
        password: SecretString::from("not asked for"),
        counting: Counting::On,
    };
    let postgres = address("postgres".into());
    READY
        .get_or_init(|| async {
            if let Err(error) = wait_for_login(&postgres, Duration::from_secs(60)).await {
                let log = std::fs::read_to_string(server.directory.join("log"));
                panic!("{error}\n{}", log.unwrap_or_default());
            }
        })
        .await;
    let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
    sqlx::raw_sql(create).execute(&mut postgres.connect().await.unwrap()).await.unwrap();
    Some(address(name))
}

fn start() -> Option<Server> {
    let Some(programs) = programs() else {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let message = "SKIPPED: db: no server programs of PostgreSQL 15 here";
        assert!(!set("CI") && !set("DEVDB_TEST_NATIVE"), "{message}");
        println!("{message}");
        return None;
    };
    let directory = tempfile::Builder::new().prefix("devdb-test-").tempdir().unwrap().keep();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new("sh");
    command.arg("-c").arg(SUPERVISE).arg("sh").arg(programs).arg(&directory).arg(port.to_string());
    command.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    become_postgres(&mut command, &directory);
    let alive = command.spawn().unwrap().stdin.take().unwrap();
    Some(Server { port, directory, _alive: alive })
}

fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::iter::once(PathBuf::from("/usr/lib/postgresql/15/bin"))
        .chain(std::env::split_paths(&path))
        .find(|directory| {
            let version = Command::new(directory.join("postgres")).arg("--version").output();
            directory.join("initdb").exists()
                && version.is_ok_and(|output| {
                    String::from_utf8_lossy(&output.stdout).contains("(PostgreSQL) 15")
                })
        })
}

/// PostgreSQL refuses to run as root.
fn become_postgres(command: &mut Command, directory: &Path) {
    use std::os::unix::fs::{MetadataExt, chown};
    use std::os::unix::process::CommandExt;
    if std::fs::metadata(directory).unwrap().uid() != 0 {
        return;
    }
    let id = |flag| -> u32 {
        let output = Command::new("id").args([flag, "postgres"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
    };
    let (uid, gid) = (id("-u"), id("-g"));
    chown(directory, Some(uid), Some(gid)).unwrap();
    command.uid(uid).gid(gid);
}
