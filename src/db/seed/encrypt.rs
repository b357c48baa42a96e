//! Encrypts the values of `!encrypt` on several threads, because the key of each value takes tens
//! of milliseconds and 16 MB to derive.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio_util::task::AbortOnDropHandle;

use super::SeedSet;
use super::file::{Seed, SeedContent};
use super::yaml::ValueContent;
use crate::db::place::Place;
use crate::error::{Error, Kind, Result};

/// The function that encrypts a value. It is called only for `!encrypt` values, so it needs a key
/// only if there are any.
pub type Encrypt = Arc<dyn Fn(&str) -> Result<String> + Send + Sync>;

/// The encrypted values of a file, by their places.
pub(super) type Encrypted = BTreeMap<Place, String>;

/// Encrypts the values of some files on other threads until it is dropped. It must be made in a
/// tokio runtime.
pub struct Encrypting(AbortOnDropHandle<Result<BTreeMap<String, Encrypted>>>);

impl Encrypting {
    /// Begins to encrypt the values of the files with these names.
    pub fn begin(set: &SeedSet, names: &[String], encrypt: Encrypt) -> Self {
        let at_a_time = std::thread::available_parallelism().map_or(2, usize::from);
        let values = set.seeds().map(|seeds| {
            let seeds = seeds.iter().filter(|seed| names.contains(&seed.file.name));
            seeds.flat_map(plain_values).collect::<Vec<_>>()
        });
        let encrypting = async move {
            let values = values?;
            let each = values.into_iter().map(|value| value.encrypt(Arc::clone(&encrypt)));
            let mut done = stream::iter(each).buffered(at_a_time);
            let mut all = BTreeMap::<String, Encrypted>::new();
            while let Some((file, place, text)) = done.try_next().await? {
                all.entry(file).or_default().insert(place, text);
            }
            Ok(all)
        };
        Encrypting(AbortOnDropHandle::new(tokio::spawn(encrypting)))
    }

    /// Waits for the encrypted values, by file name.
    ///
    /// # Errors
    /// The error of the first value that failed, with its place.
    pub(super) async fn done(self) -> Result<BTreeMap<String, Encrypted>> {
        let all = self.0.await;
        all.unwrap_or_else(|error| {
            Err(Error::new(Kind::Unexpected, "cannot encrypt values of the seeds").because(error))
        })
    }
}

/// A value to encrypt.
struct PlainValue {
    file: String,
    /// The file's path as messages show it.
    label: String,
    place: Place,
    text: String,
}

impl PlainValue {
    async fn encrypt(self, encrypt: Encrypt) -> Result<(String, Place, String)> {
        let PlainValue { file, label, place, text } = self;
        let cannot = || format!("{label}:{place}: cannot encrypt the value");
        match tokio::task::spawn_blocking(move || encrypt(&text)).await {
            Ok(Ok(encrypted)) => Ok((file, place, encrypted)),
            Ok(Err(error)) => Err(error.context(cannot())),
            Err(error) => Err(Error::new(Kind::Unexpected, cannot()).because(error)),
        }
    }
}

fn plain_values(seed: &Seed) -> impl Iterator<Item = PlainValue> {
    let tables = match &seed.content {
        SeedContent::Yaml(tables) => tables.as_slice(),
        SeedContent::Sql | SeedContent::Csv(_) => &[],
    };
    let values = tables.iter().flat_map(|table| &table.rows).flat_map(|row| &row.values);
    values.filter_map(|(_, value)| match &value.content {
        ValueContent::Encrypt(clear) => Some(PlainValue {
            file: seed.file.name.clone(),
            label: seed.source.label.clone(),
            place: value.place,
            text: clear.clone(),
        }),
        _ => None,
    })
}
