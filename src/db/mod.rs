//! Everything that is said to a PostgreSQL server in SQL. Nothing outside `db/` knows sqlx.

pub mod backup;
pub mod command_record;
pub mod connect;
mod files;
pub mod inspect;
pub mod migrate;
mod place;
pub mod scram;
mod script;
pub mod seed;
mod server_error;
mod session;
mod sql_scan;
