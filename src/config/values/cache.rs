//! How many golden states devdb keeps.

use bytesize::ByteSize;

use super::{Checked, problem};

/// `cache.states`: how many states. At least one, because devdb uses the state that it just made.
pub fn states(text: &str) -> Checked<usize> {
    match text.parse::<usize>() {
        Ok(number @ 1..=1000) => Ok(number),
        _ => problem(
            format!("{text:?} is not a number of golden states"),
            "use a whole number from 1 to 1000",
        ),
    }
}

/// `cache.size`, `generations.size`: a number of bytes with a unit.
pub fn size(text: &str) -> Checked<u64> {
    match text.parse::<ByteSize>() {
        Ok(size) if size.as_u64() > 0 => Ok(size.as_u64()),
        _ => problem(format!("{text:?} is not a size"), "write it like 500MB or 10GB"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_and_numbers_have_bounds() {
        assert_eq!(size("10GB"), Ok(10_000_000_000));
        assert_eq!(size("1.5 GiB"), Ok(1_610_612_736));
        assert!(size("0").is_err() && size("much").is_err() && size("-1GB").is_err());
        assert_eq!(states("3"), Ok(3));
        assert!(states("0").is_err() && states("1001").is_err() && states("x").is_err());
    }
}
