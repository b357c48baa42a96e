//! Reading `pg_control`, the file in which a server keeps the state of its data directory.

/// `DB_SHUTDOWNED`: the server was stopped cleanly (catalog/pg_control.h).
const SHUT_DOWN: u32 = 1;

/// The known layouts: PostgreSQL 13 to 16, 17, and 18.
const VERSIONS: [u32; 3] = [1300, 1700, 1800];

/// Reads the transaction id that the next writer gets. None when the server was not stopped
/// cleanly, or when the layout is not known.
///
/// The layout (catalog/pg_control.h, `ControlFileData` and `CheckPoint`): system identifier (8
/// bytes), version (4), catalog version (4), state (4) and padding, time (8), location of the
/// checkpoint (8); then the checkpoint: its redo location (8), two timelines (4 each), a flag and
/// padding (8), the next transaction id (8). The file has the byte order of the machine, and every
/// machine that devdb runs on is little endian.
pub(super) fn next_transaction(control: &[u8]) -> Option<u64> {
    let word = |at: usize| Some(u32::from_le_bytes(control.get(at..at + 4)?.try_into().ok()?));
    if !VERSIONS.contains(&word(8)?) || word(16)? != SHUT_DOWN {
        return None;
    }
    Some(u64::from_le_bytes(control.get(64..72)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(version: u32, state: u32, next: u64) -> Vec<u8> {
        let mut bytes = vec![0; 8192];
        bytes[8..12].copy_from_slice(&version.to_le_bytes());
        bytes[16..20].copy_from_slice(&state.to_le_bytes());
        bytes[64..72].copy_from_slice(&next.to_le_bytes());
        bytes
    }

    #[test]
    fn only_a_clean_stop_of_a_known_version_tells() {
        assert_eq!(next_transaction(&control(1300, 1, 738)), Some(738));
        assert_eq!(next_transaction(&control(1300, 6, 738)), None, "in production");
        assert_eq!(next_transaction(&control(1900, 1, 738)), None);
        assert_eq!(next_transaction(&[0; 20]), None);
    }
}
