//! How to log in to an instance.

use crate::db::connect::Address;
use crate::engine::{Endpoint, Server};
use crate::error::{Error, Kind, Result};
use crate::state::Record;

/// How to log in to a server of this record.
pub fn address(record: &Record, endpoint: &Endpoint) -> Address {
    let made_with = record.current_generation().map(|generation| &generation.made_with);
    Address {
        host: endpoint.host.clone(),
        port: endpoint.port,
        database: made_with.map(|made| made.database.clone()).unwrap_or_default(),
        user: made_with.map(|made| made.user.clone()).unwrap_or_default(),
        password: record.password.clone(),
    }
}

/// How to log in to the instance of this record, without asking its engine: servers are published
/// on 127.0.0.1 only.
pub fn recorded_address(record: &Record) -> Address {
    address(record, &Endpoint { host: "127.0.0.1".into(), port: record.port })
}

/// Where a server is reached.
///
/// # Errors
/// `Unexpected` when its engine does not say.
pub fn endpoint_of(server: &Server) -> Result<&Endpoint> {
    server.endpoint.as_ref().ok_or_else(|| {
        Error::new(Kind::Unexpected, format!("the engine reports no port for {}", server.name))
    })
}
