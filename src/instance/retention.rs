//! Decides how long former generations are kept. This is the only place that decides: `gc`,
//! `status` and the promise that `reset` prints all ask here.
//!
//! A generation that somebody wrote to is kept for the days that devdb promised when it was
//! replaced. Before that it goes only to make room, when all former generations take more of the
//! disk than the settings allow: those that do the smallest harm first, then the oldest, and none
//! that was replaced less than a day ago. A command says a day before, or a swap before, what will
//! go and why, and it goes for that reason only. A person can keep a generation for good.

use chrono::{DateTime, TimeDelta, Utc};

use crate::context::Context;
use crate::state::{Announced, GenerationRecord, Reason, Record, Why, Worth};

/// How long before its end a command says that a generation will go. No generation is removed to
/// make room that was replaced later than this.
const NOTICE: TimeDelta = TimeDelta::days(1);

/// When a former generation goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// With the next command: nobody needs it.
    Now,
    /// With the first command after this time: the promised days are over.
    At(DateTime<Utc>),
    /// With the first swap after this time: there is no room for one more.
    NoRoom(DateTime<Utc>),
    /// Only when a person removes it.
    Never,
}

impl End {
    /// What a command says of the end. None when it has nothing to say.
    pub(super) fn announced(self, since: DateTime<Utc>) -> Option<Announced> {
        match self {
            End::At(after) => Some(Announced { reason: Reason::Days, since, after }),
            End::NoRoom(after) => Some(Announced { reason: Reason::Room, since, after }),
            End::Now | End::Never => None,
        }
    }
}

/// Since when commands say that a generation goes for this reason, and after which time.
fn said(generation: &GenerationRecord, reason: Reason) -> Option<Announced> {
    generation.announced.filter(|announced| announced.reason == reason)
}

/// Whether a generation that has no room may go now.
pub(super) fn may_make_room(generation: &GenerationRecord, now: DateTime<Utc>) -> bool {
    let was_said = said(generation, Reason::Room).is_some_and(|said| said.after <= now);
    generation.worth == Worth::Untouched || was_said
}

/// Whether a record needs no update, has nothing to remove and nothing to announce.
pub(super) fn needs_no_work(context: &Context, record: &Record) -> bool {
    record.home == context.home
        && record.retention == context.spec.retention
        && record.leaving.is_empty()
        && !has_expired(record)
        && is_announced(record, Utc::now())
}

/// Whether commands have said of each generation what there is to say.
fn is_announced(record: &Record, now: DateTime<Utc>) -> bool {
    let going = going(record, now);
    record.generations.iter().all(|generation| {
        let end = going.iter().find(|(number, _)| *number == generation.number);
        let to_say = end.and_then(|(_, end)| end.announced(now));
        to_say.map(|to_say| to_say.reason) == generation.announced.map(|said| said.reason)
    })
}

/// Whether a generation of the record has expired.
pub fn has_expired(record: &Record) -> bool {
    !expired(record).is_empty()
}

/// The numbers of the expired generations.
pub(super) fn expired(record: &Record) -> Vec<u32> {
    let now = Utc::now();
    let over = lifetimes(record, now).into_iter().filter(|(_, end)| match end {
        End::Now => true,
        End::At(end) => *end <= now,
        End::NoRoom(_) | End::Never => false,
    });
    over.map(|(number, _)| number).collect()
}

/// The numbers of the generations whose promised days are over, whether a command has said so or
/// not. `gc` shows them before it removes them.
pub(super) fn past_their_days(record: &Record) -> Vec<u32> {
    let now = Utc::now();
    let past = record
        .former()
        .into_iter()
        .filter(|generation| !generation.for_good && promised_end(record, generation, now) <= now);
    let mut past: Vec<u32> = past.map(|generation| generation.number).collect();
    past.extend(expired(record));
    past.sort_unstable();
    past.dedup();
    past
}

/// When each former generation goes, the newest first. A date after `now`, from a clock that was
/// ahead, counts as `now`.
pub(super) fn lifetimes(record: &Record, now: DateTime<Utc>) -> Vec<(u32, End)> {
    let no_room = beyond_room(record, now, size_of_one_more(record));
    let end = |generation: &GenerationRecord| {
        let by_days = end_by_days(record, generation, now);
        // On its last day it waits for the end of that day, unless commands have said otherwise.
        let may_lack_room = |end| end > now + NOTICE || said(generation, Reason::Room).is_some();
        let no_room = no_room.iter().find(|(number, _)| *number == generation.number);
        match (by_days, no_room) {
            (End::At(end), Some((_, earlier))) if *earlier < end && may_lack_room(end) => {
                End::NoRoom(*earlier)
            }
            _ => by_days,
        }
    };
    record.former().into_iter().map(|generation| (generation.number, end(generation))).collect()
}

/// When a former generation goes if there is room for all.
fn end_by_days(record: &Record, generation: &GenerationRecord, now: DateTime<Utc>) -> End {
    let end = promised_end(record, generation, now);
    let current = record.current_generation().map(|current| current.created);
    match generation.worth {
        Worth::Wiped => End::Now,
        _ if generation.for_good => End::Never,
        _ if end <= replaced(generation, now) => End::Now,
        // A newer generation is as good, unless `undo` went back from this one. Then it is kept for
        // another `undo`.
        Worth::Untouched if current.is_none_or(|current| current >= generation.created) => End::Now,
        Worth::Untouched => End::At(end),
        Worth::WrittenTo => match said(generation, Reason::Days) {
            Some(said) => End::At(end.max(said.since + NOTICE).max(said.after)),
            None => End::At(end.max(now + NOTICE)),
        },
    }
}

/// The end of the days that devdb promised when the generation was replaced, or of those that the
/// settings say now, if they are more.
fn promised_end(
    record: &Record,
    generation: &GenerationRecord,
    now: DateTime<Utc>,
) -> DateTime<Utc> {
    let days = TimeDelta::days(record.retention.days.into());
    let promised = match (generation.promised, generation.replaced) {
        (Some(promised), Some(replaced)) => promised - replaced,
        _ => days,
    };
    replaced(generation, now) + days.max(promised)
}

fn replaced(generation: &GenerationRecord, now: DateTime<Utc>) -> DateTime<Utc> {
    generation.recency().0.min(now)
}

/// The generations for which there is no room when `more` bytes come to the former ones, and from
/// when on each may go. First those that nobody wrote to, or may not have, then the oldest.
pub(super) fn beyond_room(
    record: &Record,
    now: DateTime<Utc>,
    more: u64,
) -> Vec<(u32, DateTime<Utc>)> {
    let kept: Vec<(&GenerationRecord, End)> = record
        .former()
        .into_iter()
        .map(|generation| (generation, end_by_days(record, generation, now)))
        .filter(|(_, end)| *end != End::Now)
        .collect();
    let bytes = |generation: &GenerationRecord| generation.bytes.unwrap_or_default();
    let mut total = kept.iter().map(|(generation, _)| bytes(generation)).sum::<u64>() + more;
    let mut may_go: Vec<&GenerationRecord> = kept
        .into_iter()
        .filter(|(generation, end)| matches!(end, End::At(_)) && bytes(generation) > 0)
        .map(|(generation, _)| generation)
        .collect();
    may_go.sort_by_key(|generation| {
        let is_certain = generation.worth == Worth::WrittenTo && generation.why != Why::Found;
        (is_certain, generation.recency())
    });
    let mut over = Vec::new();
    for generation in may_go {
        if total <= record.retention.bytes {
            break;
        }
        total -= bytes(generation);
        over.push((generation.number, replaced(generation, now) + NOTICE));
    }
    over
}

/// The size that the current generation will probably have when it is replaced: that of the last.
fn size_of_one_more(record: &Record) -> u64 {
    record.former().into_iter().find_map(|generation| generation.bytes).unwrap_or_default()
}

/// The generations that somebody wrote to and that will go soon.
pub(super) fn going(record: &Record, now: DateTime<Utc>) -> Vec<(u32, End)> {
    let written_to = |number: u32| {
        let mut generations = record.generations.iter();
        generations.any(|one| one.number == number && one.worth == Worth::WrittenTo)
    };
    let mut going = lifetimes(record, now);
    going.retain(|(number, end)| match end {
        End::At(end) => written_to(*number) && *end <= now + NOTICE,
        End::NoRoom(_) => written_to(*number),
        End::Now | End::Never => false,
    });
    going
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Retention;
    use crate::state::record::tests::{generation, sample};

    const GB: u64 = 1_000_000_000;

    /// A record whose former generations were replaced so many days ago.
    fn record(current: u32, replaced: &[(u32, i64)], days: u16) -> Record {
        let mut record = sample("anna", 20_000);
        record.retention = Retention { days, bytes: 20 * GB };
        record.current = Some(current);
        record.generations.push(generation(current));
        for (number, days) in replaced {
            let mut former = generation(*number);
            former.replaced = Some(Utc::now() - TimeDelta::days(*days));
            record.generations.push(former);
        }
        record
    }

    /// Commands have said long ago that all of them will go.
    fn announced(mut record: Record) -> Record {
        for generation in &mut record.generations {
            generation.announced = days_ago(3 * 24);
        }
        record
    }

    /// Commands say since so many hours that it goes after its days, and a day after they said so.
    fn days_ago(hours: i64) -> Option<Announced> {
        let since = Utc::now() - TimeDelta::hours(hours);
        Some(Announced { reason: Reason::Days, since, after: since + NOTICE })
    }

    fn of(record: &mut Record, number: u32) -> &mut GenerationRecord {
        record.generations.iter_mut().find(|one| one.number == number).unwrap()
    }

    fn numbers(going: Vec<(u32, End)>) -> Vec<u32> {
        going.into_iter().map(|(number, _)| number).collect()
    }

    #[test]
    fn only_the_days_decide_however_many_there_are() {
        let all: Vec<(u32, i64)> =
            (1..=40).map(|number| (number, i64::from(40 - number) / 5)).collect();
        for (days, gone) in [(7, 5), (3, 25), (30, 0)] {
            let record = announced(record(99, &all, days));
            assert_eq!(expired(&record).len(), gone, "{days} days");
        }
        assert_eq!(expired(&record(99, &all, 0)).len(), 40, "the settings keep none");
    }

    #[test]
    fn what_was_promised_stays_when_the_settings_say_less_later() {
        let mut record = announced(record(3, &[(1, 5), (2, 5)], 2));
        of(&mut record, 1).promised = Some(Utc::now() + TimeDelta::days(2));
        assert_eq!(expired(&record), [2]);
    }

    #[test]
    fn nothing_goes_that_no_command_has_spoken_of_a_day_before() {
        let mut record = record(3, &[(1, 30), (2, 6)], 7);
        assert_eq!(expired(&record), Vec::<u32>::new());
        assert_eq!(numbers(going(&record, Utc::now())), [2, 1], "2 goes in a day");
        assert_eq!(past_their_days(&record), [1], "gc shows it");
        of(&mut record, 1).announced = days_ago(23);
        assert_eq!(expired(&record), Vec::<u32>::new());
        of(&mut record, 1).announced = days_ago(25);
        assert_eq!(expired(&record), [1]);
        of(&mut record, 1).for_good = true;
        assert_eq!(expired(&record), Vec::<u32>::new());
        assert_eq!(past_their_days(&record), Vec::<u32>::new());
    }

    #[test]
    fn room_is_made_by_the_smallest_harm_first_and_never_by_one_younger_than_a_day() {
        let mut record = record(9, &[(1, 5), (2, 4), (3, 3), (4, 0)], 7);
        for generation in &mut record.generations {
            generation.bytes = Some(6 * GB);
        }
        of(&mut record, 3).why = Why::Found;
        let now = Utc::now();
        let over = |record: &Record, more: u64| {
            let over = beyond_room(record, now, more).into_iter();
            over.map(|(number, from)| (number, from <= now)).collect::<Vec<_>>()
        };
        assert_eq!(over(&record, 0), [(3, true)], "24 GB of 20");
        assert_eq!(over(&record, 6 * GB), [(3, true), (1, true)], "the next swap");
        assert_eq!(numbers(going(&record, now)), [3, 1], "a command says so before");
        assert_eq!(expired(&record), Vec::<u32>::new(), "only a swap makes room");
        of(&mut record, 3).worth = Worth::Untouched;
        of(&mut record, 3).created = now + TimeDelta::hours(1);
        assert_eq!(over(&record, 0), [(3, true)], "an undo went back from it");
        of(&mut record, 1).for_good = true;
        record.retention.bytes = GB;
        assert_eq!(over(&record, 0), [(3, true), (2, true), (4, false)]);
    }

    #[test]
    fn it_goes_for_the_reason_that_was_announced_and_not_before_the_time_that_was_said() {
        let mut record = record(9, &[(1, 6)], 7);
        let now = Utc::now();
        let end = lifetimes(&record, now)[0].1;
        assert!(matches!(end, End::At(end) if end >= now + NOTICE), "its days are nearly over");
        of(&mut record, 1).announced = end.announced(now);
        assert!(!may_make_room(of(&mut record, 1), now), "it was announced for its days");
        // There is no room any more. It goes for its days all the same.
        of(&mut record, 1).bytes = Some(21 * GB);
        assert_eq!(lifetimes(&record, now)[0].1, end);
        // Another one has no room either, and commands say so, up to its last day.
        of(&mut record, 1).announced = None;
        of(&mut record, 1).replaced = Some(now - TimeDelta::days(4));
        let end = lifetimes(&record, now)[0].1;
        assert!(matches!(end, End::NoRoom(after) if after <= now), "{end:?}");
        assert!(!is_announced(&record, now) && !may_make_room(of(&mut record, 1), now));
        of(&mut record, 1).announced = end.announced(now);
        assert!(is_announced(&record, now) && may_make_room(of(&mut record, 1), now));
        let later = now + TimeDelta::days(5);
        assert_eq!(lifetimes(&record, later)[0].1, end);
        assert_eq!(
            end_by_days(&record, of(&mut record.clone(), 1), later),
            End::At(later + NOTICE)
        );
        // The settings say less than they did when the command spoke.
        of(&mut record, 1).bytes = None;
        of(&mut record, 1).promised = Some(now);
        let after = now + TimeDelta::days(20);
        let said = Announced { reason: Reason::Days, since: now - TimeDelta::days(3), after };
        of(&mut record, 1).announced = Some(said);
        assert_eq!(lifetimes(&record, now), [(1, End::At(after))]);
    }

    #[test]
    fn what_a_person_gave_up_goes_at_once() {
        let mut record = record(3, &[(1, 2), (2, 1)], 7);
        // After an `undo` a generation that nobody wrote to would be kept; this one is not.
        of(&mut record, 2).created = Utc::now() + TimeDelta::hours(1);
        of(&mut record, 2).worth = Worth::Wiped;
        assert_eq!(expired(&record), [2]);
    }

    #[test]
    fn a_clock_that_was_ahead_keeps_nothing_for_ever() {
        let mut record = announced(record(9, &[(1, 0)], 7));
        let former = of(&mut record, 1);
        let now = Utc::now();
        former.replaced = Some(now + TimeDelta::days(100));
        former.promised = Some(now + TimeDelta::days(107));
        assert_eq!(lifetimes(&record, now), [(1, End::At(now + TimeDelta::days(7)))]);
    }

    #[test]
    fn what_nobody_wrote_to_is_kept_for_an_undo_of_the_undo_only() {
        let mut record = record(2, &[(1, 1), (3, 0)], 7);
        for generation in &mut record.generations {
            if generation.number == 3 {
                generation.worth = Worth::Untouched;
            }
            generation.created += TimeDelta::hours(generation.number.into());
        }
        assert_eq!(expired(&record), Vec::<u32>::new());
        of(&mut record, 2).created += TimeDelta::hours(2);
        assert_eq!(expired(&record), [3]);
    }
}
