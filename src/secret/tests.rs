use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

/// One derivation is dear; tests share a key, whose check key is then derived once.
fn key() -> &'static Key {
    static KEY: OnceLock<Key> = OnceLock::new();
    KEY.get_or_init(|| Key::new(Zeroizing::new([7; 32])))
}

fn message(result: Result<String>) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), Kind::Secret);
    assert!(!error.hints().is_empty(), "{error:?}");
    error.message().to_owned()
}

#[test]
fn a_key_survives_base64_and_is_never_shown() {
    let key = Key::generate();
    let text = key.to_base64();
    assert_eq!(text.len(), 44);
    assert_eq!(*Key::parse(&format!(" {}\n", *text), "x").unwrap().bytes, *key.bytes);
    assert_eq!(*Key::parse(text.trim_end_matches('='), "x").unwrap().bytes, *key.bytes);
    assert_eq!(format!("{key:?}"), "Key(hidden)");
}

#[test]
fn malformed_keys_are_told_apart_and_not_repeated() {
    let not_base64 = Key::parse("pass-word!", "ENCRYPTION_KEY").unwrap_err();
    assert_eq!(not_base64.message(), "the key in ENCRYPTION_KEY is not base64");
    let short = Key::parse("c2hvcnQ=", "ENCRYPTION_KEY").unwrap_err();
    assert_eq!(short.message(), "the key in ENCRYPTION_KEY has 5 bytes, not 32");
    let hexadecimal = Key::parse(&"ab".repeat(32), "K").unwrap_err();
    assert!(hexadecimal.message().contains("48 bytes, not 32"));
    assert!(hexadecimal.hints()[0].contains("hexadecimal"));
    assert!(Key::parse("", "K").unwrap_err().message().contains("0 bytes"));
    for error in [not_base64, short, hexadecimal] {
        let all = format!("{error:?}");
        assert!(!all.contains("pass-word") && !all.contains("c2hv") && !all.contains("abab"));
    }
}

#[test]
fn texts_come_back() {
    for text in ["", "p", "pässwörd 🔑\n\0", &"x".repeat(100_000)] {
        let value = key().encrypt(text).unwrap();
        assert_eq!(key().decrypt(&format!("{value}\n")).unwrap(), text);
        assert_eq!(BASE64_STANDARD.decode(&value).unwrap().len(), HEAD + text.len());
    }
}

#[test]
fn no_two_values_are_alike() {
    let values = key().encrypt_many(&["same"; 6]).unwrap();
    let salts: HashSet<&str> = values.iter().map(|value| &value[..40]).collect();
    assert_eq!(salts.len(), 6);
}

#[test]
fn many_come_back_in_order() {
    let texts: Vec<String> = (0..12).map(|number| format!("password {number}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let values = key().encrypt_many(&texts).unwrap();
    for (value, text) in values.iter().zip(&texts) {
        assert_eq!(key().decrypt(value).unwrap(), *text);
    }
    assert!(key().encrypt_many(&[]).unwrap().is_empty());
}

/// A value of [`key`], made once.
fn value() -> &'static str {
    static VALUE: OnceLock<String> = OnceLock::new();
    VALUE.get_or_init(|| key().encrypt("correct horse battery staple").unwrap())
}

#[test]
fn each_failure_has_its_own_error() {
    let value = value();
    let wrong_key = message(Key::generate().decrypt(value));
    let mut sealed = BASE64_STANDARD.decode(value).unwrap();
    let last = sealed.len() - 1;
    sealed[last] ^= 1;
    let altered = message(key().decrypt(&BASE64_STANDARD.encode(&sealed)));
    let cut = message(key().decrypt(&value[..value.len() - 8]));
    let not_base64 = message(key().decrypt("not base64!"));
    let malformed_key = Key::parse("###", "K").unwrap_err().message().to_owned();
    let all = [wrong_key, altered, cut, not_base64, malformed_key];
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len(), "{all:#?}");
}

#[test]
fn a_value_of_another_program_says_both() {
    // As Node makes it: a salt with no check in it.
    let salt = [3; SALT];
    let mut text = b"text".to_vec();
    let iv = [4; IV];
    let tag = key()
        .cipher(&salt)
        .encrypt_inout_detached(&Nonce::from(iv), b"", text.as_mut_slice().into())
        .unwrap();
    let mut sealed = [&salt[..], &iv, &tag, &text].concat();
    assert_eq!(key().decrypt(&BASE64_STANDARD.encode(&sealed)).unwrap(), "text");
    sealed[HEAD] ^= 1;
    let said = message(key().decrypt(&BASE64_STANDARD.encode(&sealed)));
    assert!(said.contains("wrong key, or a damaged value"), "{said}");
}

#[test]
fn what_is_no_text_is_refused() {
    let mut text = vec![0xff];
    let tag = key()
        .cipher(&[3; SALT])
        .encrypt_inout_detached(&Nonce::from([4; IV]), b"", text.as_mut_slice().into())
        .unwrap();
    let sealed = [&[3; SALT][..], &[4; IV], &tag, &text].concat();
    let said = message(key().decrypt(&BASE64_STANDARD.encode(&sealed)));
    assert!(said.contains("not UTF-8"), "{said}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    #[test]
    fn every_flipped_bit_is_an_altered_value(bit in 0usize..(HEAD + 28) * 8) {
        let mut sealed = BASE64_STANDARD.decode(value()).unwrap();
        sealed[bit / 8] ^= 1 << (bit % 8);
        let said = message(key().decrypt(&BASE64_STANDARD.encode(&sealed)));
        prop_assert!(said.contains("altered"), "{}", said);
    }

    #[test]
    fn every_cut_value_is_incomplete(end in 1usize..124) {
        prop_assert_eq!(value().len(), 124);
        let said = message(key().decrypt(&value()[..end]));
        prop_assert!(said.contains("incomplete"), "{}: {}", end, said);
    }

    #[test]
    fn any_text_comes_back(text in ".*") {
        prop_assert_eq!(key().decrypt(&key().encrypt(&text).unwrap()).unwrap(), text);
    }
}
