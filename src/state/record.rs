//! The record of one instance.

use std::cmp::Reverse;

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};

use super::{Home, UnderWay};
use crate::db::counters::Writes;
use crate::db::writes::Baseline;
use crate::engine::Numbered;
use crate::spec::{EngineKind, MadeWith, Owner, Retention};

/// The version of the record's layout that this devdb writes.
pub const SCHEMA: u32 = 3;

/// One instance.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// The layout's version.
    pub schema: u32,
    /// Whose instance it is.
    pub owner: Owner,
    /// The engine it lives on; it never changes.
    pub engine: EngineKind,
    /// The engine's own id (see [`crate::engine::Engine::id`]).
    pub engine_id: String,
    /// The port of its server.
    pub port: u16,
    /// Its password, the same in all generations.
    #[serde(serialize_with = "expose")]
    pub password: SecretString,
    /// The number of the current generation; none while the first one is being made.
    pub current: Option<u32>,
    /// The engine's handle of the server; none when the instance is down.
    pub server: Option<String>,
    /// A copy made ahead for the next reset.
    #[serde(default)]
    pub spare: Option<Spare>,
    /// The ids of generations that are being removed. An engine may go on with a removal after devdb
    /// has ended.
    #[serde(default)]
    pub leaving: Vec<u32>,
    /// The current generation and the former generations that are kept.
    pub generations: Vec<GenerationRecord>,
    /// The greatest number that a generation ever got. No number is given twice.
    #[serde(default)]
    pub greatest: u32,
    /// The names of the snapshots that were saved and not removed with devdb. When the engine does
    /// not have one, another program removed it.
    #[serde(default)]
    pub snapshots: Vec<String>,
    /// What is under way. A command sets it before its first step and clears it after its last one,
    /// so that the next command sees when one was cut short.
    pub under_way: Option<UnderWay>,
    /// The place of the project when the instance was last used; none for the sample project.
    pub home: Option<Home>,
    /// Whether it was made for a git branch and has the branch's name.
    #[serde(default)]
    pub of_branch: bool,
    /// How much is kept for `undo`: the settings when the instance was last used.
    #[serde(default)]
    pub retention: Retention,
}

/// The record of a generation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GenerationRecord {
    /// Its id: what the engine names it by. Records of older versions of devdb have none, and
    /// there it is the number ([`Record::completed`]).
    #[serde(default)]
    pub id: u32,
    /// Its number: what people call it.
    pub number: u32,
    /// The properties of its data that cannot change.
    pub made_with: MadeWith,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// What made it.
    pub why: Why,
    /// When it stopped being current.
    pub replaced: Option<DateTime<Utc>>,
    /// The server's next transaction id when devdb had finished the generation, or when it last
    /// found it untouched. As long as the id stays the same, nobody has written. None when devdb
    /// does not know it.
    pub baseline: Option<u64>,
    /// What the server had counted at that moment. It decides when only the id has changed.
    #[serde(default, rename = "counted")]
    pub writes: Option<Writes>,
    /// Whether devdb has found, before it changed the data itself, that somebody had written to it.
    /// What devdb does may remove the counters that tell so.
    #[serde(default)]
    pub is_written: bool,
    /// Whether it was worth keeping when it stopped being current.
    pub worth: Worth,
    /// Its size when it stopped being current, in bytes. None when devdb does not know it.
    #[serde(default)]
    pub bytes: Option<u64>,
    /// Until when devdb promised to keep it, when it stopped being current.
    #[serde(default)]
    pub promised: Option<DateTime<Utc>>,
    /// What commands have said about its removal.
    #[serde(default, rename = "announcement")]
    pub announced: Option<Announced>,
    /// Whether a person keeps it for good.
    #[serde(default)]
    pub for_good: bool,
    /// The profile of its seeds, when a flag or a variable chose it. Later commands go on with it.
    #[serde(default)]
    pub profile: Option<String>,
    /// What it is a copy of. None when it is no copy of a generation, or has been current itself.
    #[serde(default)]
    pub copied: Option<Copied>,
    /// The copy from before migrations or seeds were applied to it, as long as they have not
    /// succeeded. After several attempts it is the copy from before the first one.
    #[serde(default)]
    pub attempted_after: Option<u32>,
}

/// What a generation of before is a copy of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied {
    /// The number of the generation that was copied.
    pub from: u32,
    /// Every transaction with a lower id had ended when devdb began to copy.
    pub first_missing: u64,
}

/// What commands have said about the removal of a generation. It goes for this reason only, and not
/// earlier than they have said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announced {
    /// Why it goes.
    pub reason: Reason,
    /// Since when commands say so.
    pub since: DateTime<Utc>,
    /// The time that they said: it may go after it.
    pub after: DateTime<Utc>,
}

/// Why a former generation goes that somebody wrote to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Its days are over.
    Days,
    /// There is no room for it.
    Room,
}

/// Whether a former generation is worth keeping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Worth {
    /// Somebody wrote to it, or devdb cannot tell.
    WrittenTo,
    /// Nobody wrote to it after devdb had made it.
    Untouched,
    /// A person gave it up to free its disk space.
    Wiped,
}

/// The spare: a copy of a golden state that is made ahead for the next reset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spare {
    /// Its id. It gets a number when it becomes current.
    #[serde(alias = "number")]
    pub id: u32,
    /// The fingerprint of the golden state.
    pub fingerprint: String,
    /// The exact platform of the golden state.
    pub platform: String,
    /// When the golden state was made. Two bakes of the same state may differ, because another tool's
    /// command may read more than devdb knows.
    #[serde(default)]
    pub baked: DateTime<Utc>,
}

/// What made a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Why {
    /// The first `devdb up`.
    Up,
    /// `devdb reset`.
    Reset,
    /// `devdb snapshot restore`.
    Restore,
    /// A copy that devdb made before migrations or seeds changed the data.
    #[serde(rename = "before_migrate")]
    BeforeMigrate,
    /// Found on the engine after the record was lost.
    Found,
}

impl GenerationRecord {
    /// The record of a generation that devdb makes now. Until somebody tells more, it counts as
    /// written to.
    pub fn new(new: Numbered, made_with: MadeWith, why: Why) -> Self {
        GenerationRecord {
            id: new.id,
            number: new.number,
            made_with,
            created: Utc::now(),
            why,
            replaced: None,
            baseline: None,
            writes: None,
            is_written: false,
            worth: Worth::WrittenTo,
            bytes: None,
            promised: None,
            announced: None,
            for_good: false,
            profile: None,
            copied: None,
            attempted_after: None,
        }
    }

    /// Its id and its number.
    pub fn numbered(&self) -> Numbered {
        Numbered { id: self.id, number: self.number }
    }

    /// The moment with which its server is compared. None when devdb does not know it.
    pub fn compared_with(&self) -> Option<Baseline<'_>> {
        let next_transaction = self.baseline?;
        Some(Baseline { next_transaction, writes: self.writes.as_ref() })
    }

    /// Makes it current. Nothing remains of what was promised when it was replaced before.
    pub fn current_again(self) -> Self {
        GenerationRecord {
            replaced: None,
            bytes: None,
            promised: None,
            announced: None,
            copied: None,
            // Somebody may write to it now.
            worth: Worth::WrittenTo,
            ..self
        }
    }

    /// The order of former generations: the time when one stopped being current, or else when it
    /// was made, and then its number.
    pub fn recency(&self) -> (DateTime<Utc>, u32) {
        (self.replaced.unwrap_or(self.created), self.number)
    }
}

impl Record {
    /// The current generation.
    pub fn current_generation(&self) -> Option<&GenerationRecord> {
        self.generations.iter().find(|generation| Some(generation.number) == self.current)
    }

    /// The current generation, to change it.
    pub fn current_generation_mut(&mut self) -> Option<&mut GenerationRecord> {
        let current = self.current;
        self.generations.iter_mut().find(|generation| Some(generation.number) == current)
    }

    /// The numbers of the generations that are kept beside the current one.
    pub fn former_generations(&self) -> Vec<u32> {
        let numbers = self.generations.iter().map(|generation| generation.number);
        numbers.filter(|number| Some(*number) != self.current).collect()
    }

    /// The former generations, the one that was current last first. The order of numbers would be
    /// wrong: `undo` makes an old generation current again.
    pub fn former(&self) -> Vec<&GenerationRecord> {
        let is_former = |generation: &&GenerationRecord| Some(generation.number) != self.current;
        let mut former: Vec<_> = self.generations.iter().filter(is_former).collect();
        former.sort_by_key(|generation| Reverse(generation.recency()));
        former
    }

    /// The former generation that was current last, if one is kept.
    pub fn latest_former(&self) -> Option<&GenerationRecord> {
        self.former().into_iter().next()
    }

    /// `now`, or a later time when a generation was replaced after it.
    pub fn after_all(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let replaced = self.generations.iter().filter_map(|generation| generation.replaced);
        let after_all = replaced.max().map(|latest| latest + TimeDelta::milliseconds(1));
        after_all.map_or(now, |after_all| after_all.max(now))
    }

    /// Makes `new` the current generation and dates the former one. The date is later than all
    /// others, even after a clock that was ahead has been set back.
    pub fn point_at(&mut self, new: GenerationRecord, server: String) {
        let now = self.after_all(Utc::now());
        let promised = now + TimeDelta::days(self.retention.days.into());
        if let Some(former) = self.current_generation_mut() {
            former.replaced = Some(now);
            former.promised = Some(promised);
        }
        // What becomes current may change, and is no copy of before any more.
        for generation in &mut self.generations {
            generation.attempted_after =
                generation.attempted_after.filter(|copy| *copy != new.number);
        }
        self.current = Some(new.number);
        self.server = Some(server);
        self.put(new);
    }

    /// Counts the generations that were made from a snapshot as written to. Each may be the only
    /// copy of its data once a snapshot is gone.
    pub fn count_restored_as_written(&mut self) {
        let restored = self.generations.iter_mut().filter(|one| one.why == Why::Restore);
        for generation in restored {
            (generation.baseline, generation.worth) = (None, Worth::WrittenTo);
        }
    }

    /// Adds a generation, or replaces what is recorded of it.
    pub fn put(&mut self, generation: GenerationRecord) {
        self.greatest = self.greatest.max(generation.number);
        self.generations.retain(|one| one.number != generation.number);
        self.generations.push(generation);
    }

    /// `number`, unless another generation has it: then the next one. Two home directories may have
    /// given the same number.
    pub fn free_number(&self, number: u32) -> u32 {
        match self.generations.iter().any(|one| one.number == number) {
            true => self.greatest + 1,
            false => number,
        }
    }

    /// The recorded generation with this id.
    pub fn by_id(&self, id: u32) -> Option<&GenerationRecord> {
        self.generations.iter().find(|generation| generation.id == id)
    }

    /// The ids of the generations with these numbers.
    pub fn ids_of(&self, numbers: &[u32]) -> Vec<u32> {
        let those = self.generations.iter().filter(|one| numbers.contains(&one.number));
        those.map(|generation| generation.id).collect()
    }

    /// The id of the current generation.
    pub fn current_id(&self) -> Option<u32> {
        self.current_generation().map(|current| current.id)
    }

    /// Adds what records of older versions of devdb do not have: there, a generation's id is its
    /// number.
    pub fn completed(mut self) -> Record {
        for generation in self.generations.iter_mut().filter(|generation| generation.id == 0) {
            generation.id = generation.number;
        }
        let numbers = self.generations.iter().map(|generation| generation.number);
        self.greatest = numbers.max().unwrap_or(0).max(self.greatest);
        self
    }
}

fn expose<S: Serializer>(password: &SecretString, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(password.expose_secret())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn sample(developer: &str, port: u16) -> Record {
        Record {
            schema: SCHEMA,
            owner: Owner {
                project_id: "p".into(),
                project: "shop".into(),
                developer: developer.into(),
                instance: "main".into(),
            },
            engine: EngineKind::Native,
            engine_id: "e".into(),
            port,
            password: SecretString::from("secret"),
            current: None,
            server: None,
            spare: None,
            leaving: Vec::new(),
            generations: Vec::new(),
            greatest: 0,
            snapshots: Vec::new(),
            under_way: None,
            home: None,
            of_branch: false,
            retention: Retention::default(),
        }
    }

    pub(crate) fn generation(number: u32) -> GenerationRecord {
        let made_with = MadeWith {
            major: 15,
            image: String::new(),
            database: "shop".into(),
            user: "postgres".into(),
        };
        GenerationRecord::new(Numbered { id: number, number }, made_with, Why::Reset)
    }

    #[test]
    fn pointing_at_a_new_generation_dates_the_old() {
        let mut record = sample("anna", 20_000);
        record.point_at(generation(1), "a".into());
        record.point_at(generation(2), "b".into());
        assert_eq!(record.current_generation().map(|g| g.number), Some(2));
        assert!(record.generations[0].replaced.is_some());
        assert!(record.generations[1].replaced.is_none());
    }

    #[test]
    fn what_was_replaced_last_is_the_latest_whatever_the_clock_said_before() {
        let mut record = sample("anna", 20_000);
        record.point_at(generation(1), "a".into());
        record.point_at(generation(2), "b".into());
        record.generations[0].replaced = Some(Utc::now() + TimeDelta::days(1));
        record.point_at(generation(3), "c".into());
        assert_eq!(record.latest_former().map(|former| former.number), Some(2));
    }

    #[test]
    fn a_record_without_ids_has_the_numbers_as_ids() {
        let mut record = sample("anna", 20_000);
        record.point_at(generation(1), "a".into());
        record.point_at(generation(3), "b".into());
        let mut text = serde_json::to_value(&record).unwrap();
        text.as_object_mut().unwrap().remove("greatest");
        for generation in text["generations"].as_array_mut().unwrap() {
            generation.as_object_mut().unwrap().remove("id");
        }
        text["spare"] = serde_json::json!({
            "number": 4, "fingerprint": "f", "platform": "p", "next_transaction": 7
        });
        let old: Record = serde_json::from_value(text).unwrap();
        let read = old.completed();
        assert_eq!(read.generations.iter().map(|one| one.id).collect::<Vec<_>>(), [1, 3]);
        assert_eq!((read.current_id(), read.greatest), (Some(3), 3));
        assert_eq!(read.spare.unwrap().id, 4);
    }

    #[test]
    fn a_number_that_two_homes_gave_is_given_once() {
        let mut record = sample("anna", 20_000);
        record.point_at(generation(1), "a".into());
        record.point_at(generation(2), "b".into());
        assert_eq!([2, 3, 5].map(|number| record.free_number(number)), [3, 3, 5]);
    }

    #[test]
    fn debug_hides_the_password() {
        assert!(!format!("{:?}", sample("anna", 20_000)).contains("secret"));
    }
}
