//! Chooses the port of an instance.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};

use sha2::{Digest, Sha256};

use super::Store;
use crate::error::{Error, Kind, Result};

/// The ports that devdb chooses from: below Linux's ephemeral range, which starts at 32768, and
/// above the ports that people usually choose.
const RANGE: std::ops::Range<u16> = 20_000..32_768;

/// The recorded ports of all other instances, running or not.
///
/// # Errors
/// When the records cannot be listed. Damaged records are skipped.
pub fn remembered(store: &Store, except: &str) -> Result<BTreeSet<u16>> {
    Ok(store
        .load_all()?
        .into_iter()
        .filter_map(std::result::Result::ok)
        .filter(|record| record.owner.key() != except)
        .map(|record| record.port)
        .collect())
}

/// Picks a free port for the instance with this key. The choice is the same as long as the port
/// stays free.
///
/// # Errors
/// `PortBusy` when no port is free.
pub fn pick(key: &str, avoid: &BTreeSet<u16>) -> Result<u16> {
    let hash = Sha256::digest(key.as_bytes());
    let start = u16::from_be_bytes([hash[0], hash[1]]) % RANGE.len() as u16;
    (0..RANGE.len() as u16)
        .map(|step| RANGE.start + (start + step) % RANGE.len() as u16)
        .find(|port| !avoid.contains(port) && is_free(*port))
        .ok_or_else(|| {
            Error::new(Kind::PortBusy, "there is no free port between 20000 and 32767 on 127.0.0.1")
        })
}

/// Whether nothing listens on this port of 127.0.0.1.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_or_remembered_port_is_passed_over() {
        let first = pick("key", &BTreeSet::new()).unwrap();
        assert_eq!(pick("key", &BTreeSet::new()).unwrap(), first);
        assert!(RANGE.contains(&first));
        let second = pick("key", &BTreeSet::from([first])).unwrap();
        assert_ne!(first, second);
        let _holder = TcpListener::bind((Ipv4Addr::LOCALHOST, first)).unwrap();
        assert_ne!(pick("key", &BTreeSet::new()).unwrap(), first);
    }
}
