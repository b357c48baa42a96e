//! What devdb writes into a value's salt, so that it can say later why decryption failed.
//!
//! ```text
//! salt[32] = random₁[8] ‖ mac₁[6] ‖ random₂[8] ‖ mac₂[6] ‖ length[4, little endian]
//! macₙ     = HMAC-SHA-256(check key, n ‖ randomₙ ‖ length), its first 6 bytes
//! ```
//!
//! - A MAC that fits shows that this key made the value. There are two MACs, because one altered
//!   byte can break only one of them. Each has 48 bits, so that it does not fit by chance.
//! - The length is that of the plain text, which the length of the value shows anyway. If the MACs
//!   fit the length in the salt but the value has another length, part of the value is missing.
//! - 128 random bits are left, so no salt repeats. scrypt demands nothing else of a salt.
//! - The check key is derived by scrypt too. If it were cheaper to derive, an attacker could use it
//!   to try keys faster than the format allows, which matters when a key was made from a weak
//!   password.
//!
//! Only the tag decides whether a value is right. devdb looks at the salt only when the tag is
//! wrong, and only to choose the words of the error.

use hmac::{Hmac, KeyInit, Mac};
use rand::Rng;
use sha2::Sha256;

use super::SALT;

/// The salt from which the check key is derived.
pub const DERIVATION: &[u8] = b"devdb: check values in salts, 1";

const RANDOM: usize = 8;
const MAC: usize = 6;
const PAIR: usize = RANDOM + MAC;

/// Why a value cannot be decrypted.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The key and the length are right, the content is not.
    Altered,
    /// The key is right, the length is not.
    Cut,
    /// Another key encrypted the value, or another program did.
    OtherKey,
}

/// A salt for a plain text of `length` bytes.
pub fn salt(key: &[u8; 32], length: u32) -> [u8; SALT] {
    let mut salt = [0; SALT];
    for (number, pair) in (1..).zip(salt[..2 * PAIR].chunks_exact_mut(PAIR)) {
        let (random, mac) = pair.split_at_mut(RANDOM);
        rand::rng().fill_bytes(random);
        mac.copy_from_slice(&code(key, number, random, length));
    }
    salt[2 * PAIR..].copy_from_slice(&length.to_le_bytes());
    salt
}

/// Why a value failed that has this salt and whose plain text would have `length` bytes.
pub fn verdict(key: &[u8; 32], salt: &[u8], length: usize) -> Verdict {
    let (pairs, recorded) = salt.split_at(2 * PAIR);
    let fits = |length: u32| {
        (1..).zip(pairs.chunks_exact(PAIR)).any(|(number, pair)| {
            let (random, mac) = pair.split_at(RANDOM);
            code(key, number, random, length) == mac
        })
    };
    let recorded = recorded.try_into().map(u32::from_le_bytes).ok();
    // The altered byte may be in the length itself, so the real length is tried first.
    if u32::try_from(length).is_ok_and(fits) {
        Verdict::Altered
    } else if recorded.is_some_and(fits) {
        Verdict::Cut
    } else {
        Verdict::OtherKey
    }
}

fn code(key: &[u8; 32], number: u8, random: &[u8], length: u32) -> [u8; MAC] {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    mac.update(&[number]);
    mac.update(random);
    mac.update(&length.to_le_bytes());
    let full = mac.finalize().into_bytes();
    std::array::from_fn(|index| full[index])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn one_flipped_bit_anywhere_never_hides_the_key(
            length in any::<u16>(), bit in 0usize..SALT * 8,
        ) {
            let key = [7; 32];
            let mut salt = salt(&key, length.into());
            salt[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(verdict(&key, &salt, length.into()), Verdict::Altered);
        }

        #[test]
        fn another_length_is_a_cut_and_another_key_is_another_key(
            written in any::<u16>(), found in any::<u16>(),
        ) {
            prop_assume!(written != found);
            let salt = salt(&[7; 32], written.into());
            prop_assert_eq!(verdict(&[7; 32], &salt, found.into()), Verdict::Cut);
            prop_assert_eq!(verdict(&[8; 32], &salt, found.into()), Verdict::OtherKey);
            prop_assert_eq!(verdict(&[8; 32], &salt, written.into()), Verdict::OtherKey);
        }
    }

    #[test]
    fn salts_differ() {
        assert_ne!(salt(&[7; 32], 5), salt(&[7; 32], 5));
    }
}
