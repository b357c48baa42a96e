//! Encrypted values: AES-256-GCM under a key derived by scrypt, byte-compatible with Node's
//! `crypto.scryptSync(key, salt, 32)` (N=16384, r=8, p=1) and `createCipheriv('aes-256-gcm')`:
//!
//! ```text
//! base64( salt[32] ‖ iv[16] ‖ tag[16] ‖ ciphertext )
//! ```
//!
//! **Telling a wrong key from an altered value.** GCM cannot do that: its tag is wrong in both
//! cases. But a salt may be any bytes that do not repeat, so devdb writes a check value into it
//! ([`check`]). When the tag is wrong, the check value shows whether this key made the value and
//! how long it was. Node treats the check value as any other salt. A value that Node wrote has no
//! check value, so a wrong key and an altered value are then the same error, which names both.
//!
//! Plain text is returned as a `String`. The key, and what is derived from it, is wiped from memory
//! when it is dropped, and is never shown.

mod check;
mod project;
mod source;

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use aes_gcm::aead::consts::U16;
use aes_gcm::aes::Aes256;
use aes_gcm::{AeadInOut, AesGcm, KeyInit, Nonce, Tag};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::BASE64_STANDARD;
use rand::Rng;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::error::{Error, Kind, Result};
use check::Verdict;
use project::{existing_project_key, project_key, project_key_file};
pub use source::{Described, Found, KeySource};

type Cipher = AesGcm<Aes256, U16>;

const SALT: usize = 32;
const IV: usize = 16;
const TAG: usize = 16;
const HEAD: usize = SALT + IV + TAG;

/// Some tools write keys without the padding.
const KEY_BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// An encryption key of 32 bytes. They are wiped from memory when the key is dropped.
pub struct Key {
    bytes: Zeroizing<[u8; 32]>,
    /// The key of the check values. It is derived when it is first needed.
    check: OnceLock<Zeroizing<[u8; 32]>>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(hidden)")
    }
}

impl Key {
    fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        Key { bytes, check: OnceLock::new() }
    }

    /// A new random key.
    pub fn generate() -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        rand::rng().fill_bytes(&mut *bytes);
        Key::new(bytes)
    }

    /// Reads a key: base64 of exactly 32 bytes. White space around it does not count. `origin` says
    /// in an error where the key comes from: `ENCRYPTION_KEY`.
    ///
    /// # Errors
    /// `Secret` when it is not base64 or not 32 bytes. The error never shows the text.
    pub fn parse(text: &str, origin: &str) -> Result<Self> {
        const HINT: &str = "devdb secret keygen   makes a key: base64 of 32 random bytes";
        let text = text.trim();
        let Ok(decoded) = KEY_BASE64.decode(text).map(Zeroizing::new) else {
            return Err(
                Error::new(Kind::Secret, format!("the key in {origin} is not base64")).hint(HINT)
            );
        };
        let mut bytes = Zeroizing::new([0; 32]);
        if decoded.len() != bytes.len() {
            let failure = Error::new(
                Kind::Secret,
                format!("the key in {origin} has {} bytes, not 32", decoded.len()),
            );
            let hexadecimal = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
            return Err(if hexadecimal {
                failure.hint(
                    "xxd -r -p | base64   turns a key in hexadecimal, as this may be, into base64",
                )
            } else {
                failure.hint(HINT)
            });
        }
        bytes.copy_from_slice(&decoded);
        Ok(Key::new(bytes))
    }

    /// The key as base64, as [`Key::parse`] reads it.
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE64_STANDARD.encode(*self.bytes))
    }

    /// Eight hexadecimal digits that tell this key from others. They come from the check key, whose
    /// derivation is as slow as the format's own, so they make no key easier to guess.
    pub fn fingerprint(&self) -> String {
        let hash = Sha256::digest(self.check_key());
        hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Encrypts a text with its own salt and IV. That takes one key derivation (about 40 ms), and
    /// one more for the first value of a key.
    ///
    /// # Errors
    /// `Secret` for a text of more than 4 GiB.
    pub fn encrypt(&self, plain: &str) -> Result<String> {
        let too_long = || Error::new(Kind::Secret, "cannot encrypt more than 4 GiB");
        let length = u32::try_from(plain.len()).map_err(|_| too_long())?;
        let salt = check::salt(self.check_key(), length);
        let mut iv = [0; IV];
        rand::rng().fill_bytes(&mut iv);
        let mut sealed = Vec::with_capacity(HEAD + plain.len());
        sealed.extend_from_slice(&salt);
        sealed.extend_from_slice(&iv);
        sealed.extend_from_slice(&[0; TAG]);
        sealed.extend_from_slice(plain.as_bytes());
        let (head, text) = sealed.split_at_mut(HEAD);
        let tag = self
            .cipher(&salt)
            .encrypt_inout_detached(&Nonce::from(iv), b"", text.into())
            .map_err(|_| too_long())?;
        head[SALT + IV..].copy_from_slice(&tag);
        Ok(BASE64_STANDARD.encode(&sealed))
    }

    /// Encrypts several texts on as many threads as the machine has cores, because each text has
    /// its own salt and so needs a key derivation. The results are in the order of the texts.
    ///
    /// # Errors
    /// As [`Key::encrypt`].
    pub fn encrypt_many(&self, plain: &[&str]) -> Result<Vec<String>> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let next = AtomicUsize::new(0);
        let work = || {
            let mut done = Vec::new();
            while let Some((index, text)) = {
                let index = next.fetch_add(1, Ordering::Relaxed);
                plain.get(index).map(|text| (index, text))
            } {
                done.push((index, self.encrypt(text)));
            }
            done
        };
        let mut all: Vec<(usize, Result<String>)> = std::thread::scope(|scope| {
            let helpers: Vec<_> = (1..cores.min(plain.len())).map(|_| scope.spawn(work)).collect();
            let mut all = work();
            for helper in helpers {
                match helper.join() {
                    Ok(done) => all.extend(done),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            all
        });
        all.sort_unstable_by_key(|(index, _)| *index);
        all.into_iter().map(|(_, result)| result).collect()
    }

    /// Decrypts a value that devdb or Node wrote. White space around it does not count.
    ///
    /// # Errors
    /// `Secret`, with another message for each case: the value is not base64, it is cut short, it
    /// was altered, it was encrypted with another key, or its plain text is not UTF-8. If devdb did
    /// not write the value and at least 64 bytes are left, the second, third and fourth case have
    /// the same message.
    pub fn decrypt(&self, value: &str) -> Result<String> {
        let mut sealed = decode(value.trim())?;
        let (head, text) = sealed.split_at_mut_checked(HEAD).ok_or_else(cut_short)?;
        let (salt, rest) = head.split_at(SALT);
        let (iv, tag) = rest.split_at(IV);
        let (iv, tag) = match (Nonce::<U16>::try_from(iv), Tag::<U16>::try_from(tag)) {
            (Ok(iv), Ok(tag)) => (iv, tag),
            _ => return Err(cut_short()),
        };
        if self.cipher(salt).decrypt_inout_detached(&iv, b"", (&mut *text).into(), &tag).is_err() {
            let length = text.len();
            return Err(match check::verdict(self.check_key(), salt, length) {
                Verdict::Altered => {
                    Error::new(Kind::Secret, "the value was altered after it was encrypted")
                        .because("the key is the right one")
                        .hint("copy the value again from where it was written")
                }
                Verdict::Cut => cut_short(),
                Verdict::OtherKey => Error::new(
                    Kind::Secret,
                    "the value cannot be decrypted: wrong key, or a damaged value",
                )
                .because("devdb did not encrypt it with this key")
                .hint("use the key that it was encrypted with"),
            });
        }
        sealed.drain(..HEAD);
        String::from_utf8(sealed).map_err(|_| {
            Error::new(Kind::Secret, "the decrypted value is not UTF-8 text")
                .hint("devdb's values are text; another program has to read this one")
        })
    }

    fn cipher(&self, salt: &[u8]) -> Cipher {
        Cipher::new((&*derive(&self.bytes, salt)).into())
    }

    fn check_key(&self) -> &[u8; 32] {
        self.check.get_or_init(|| derive(&self.bytes, check::DERIVATION))
    }
}

/// scrypt with Node's defaults.
fn derive(key: &[u8; 32], salt: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut derived = Zeroizing::new([0; 32]);
    #[expect(clippy::expect_used, reason = "constants that scrypt accepts")]
    let parameters = scrypt::Params::new(14, 8, 1).expect("N=2^14, r=8, p=1 are valid");
    #[expect(clippy::expect_used, reason = "scrypt makes up to 128 GiB")]
    scrypt::scrypt(key, salt, &parameters, &mut *derived).expect("32 bytes can be derived");
    derived
}

/// The bytes of a value.
fn decode(value: &str) -> Result<Vec<u8>> {
    BASE64_STANDARD.decode(value).map_err(|_| {
        let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
        if !value.is_empty() && value.bytes().all(known) {
            // All characters are those of base64, but they do not make a whole number of bytes.
            return cut_short();
        }
        Error::new(Kind::Secret, "the value is not base64")
            .hint("devdb secret encrypt   makes an encrypted value, which is one line of base64")
    })
}

fn cut_short() -> Error {
    Error::new(Kind::Secret, "the value is incomplete: part of it was cut off")
        .hint("copy the whole value, which is one line, from where it was written")
}

#[cfg(test)]
mod tests;
