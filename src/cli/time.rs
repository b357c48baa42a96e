//! Times as options take them.

use std::time::Duration;

/// The longest time that an option takes. What is added to a clock must not overflow.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// A time, which may be zero.
pub(super) fn any_time(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time <= LONGEST => Ok(time),
        Ok(_) => Err("the longest time is 365 days".into()),
        Err(_) => Err("this is not a time; write a number and its unit: 90s, 5m, 1h".into()),
    }
}

/// A time that is more than zero.
pub(super) fn some_time(text: &str) -> Result<Duration, String> {
    match any_time(text)? {
        Duration::ZERO => {
            Err("the time must be more than zero; write a number and its unit: 90s, 5m, 1h".into())
        }
        some => Ok(some),
    }
}
