//! Talks to a PostgreSQL server in SQL. Only the code in `db/` uses sqlx.

pub mod backup;
pub mod checkpoint;
pub mod command_record;
pub mod commits;
pub mod connect;
pub mod counters;
mod files;
pub mod inspect;
pub mod key_record;
pub mod libpq;
pub mod migrate;
mod own_tables;
pub mod password;
mod place;
mod psql;
pub mod scram;
mod script;
pub mod seed;
mod server_error;
mod session;
mod sql_scan;
pub mod statistics;
pub mod tool_record;
pub mod writes;
