//! `devdb secret`: makes keys, and encrypts and decrypts values. It reads values from stdin, never
//! from the arguments, which other users can see.

use std::io::Read;

use super::App;
use crate::cli::{SecretArgs, SecretCommand};
use crate::config::Overrides;
use crate::error::{Error, Kind, Result, ResultExt};
use crate::outcome::{Outcome, Report};
use crate::secret::Key;

/// `devdb secret`
pub fn run(app: &App, args: SecretArgs) -> Result<Outcome> {
    let text = match args.command {
        SecretCommand::Keygen => Key::generate().to_base64().to_string(),
        SecretCommand::Encrypt => key(app)?.encrypt(&value()?)?,
        SecretCommand::Decrypt => key(app)?.decrypt(value()?.trim())?,
    };
    Ok(Outcome { command: "secret", report: Report::Verbatim(format!("{text}\n")), exit: 0 })
}

fn key(app: &App) -> Result<Key> {
    let context = app.context(Overrides::default(), None)?;
    context.key.announced(&app.events)
}

/// Standard input, without the line break that `echo` adds.
fn value() -> Result<String> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .or_fail(Kind::Usage, || "cannot read the value from standard input".into())?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    if text.is_empty() {
        return Err(Error::new(Kind::Usage, "there is no value on standard input")
            .hint("printf %s \"$VALUE\" | devdb secret encrypt"));
    }
    Ok(text)
}
