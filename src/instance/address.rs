//! How to log in to an instance.

use crate::db::connect::{Address, Counting};
use crate::engine::{Endpoint, Server};
use crate::error::{Error, Kind, Result};
use crate::state::Record;

/// The address of a server of this record.
pub fn address(record: &Record, endpoint: &Endpoint) -> Address {
    let made_with = record.current_generation().map(|generation| &generation.made_with);
    Address {
        host: endpoint.host.clone(),
        port: endpoint.port,
        database: made_with.map(|made| made.database.clone()).unwrap_or_default(),
        user: made_with.map(|made| made.user.clone()).unwrap_or_default(),
        password: record.password.clone(),
        // What devdb does to a person's database is nobody's write.
        counting: Counting::Off,
    }
}

/// The address of the instance of this record, without a call to its engine. Engines publish
/// servers on 127.0.0.1 only.
pub fn recorded_address(record: &Record) -> Address {
    address(record, &Endpoint { host: "127.0.0.1".into(), port: record.port })
}

/// The host and port of a server.
///
/// # Errors
/// `Unexpected` when the engine reports none.
pub fn endpoint_of(server: &Server) -> Result<&Endpoint> {
    server.endpoint.as_ref().ok_or_else(|| {
        Error::new(Kind::Unexpected, format!("the engine reports no port for {}", server.name))
    })
}
