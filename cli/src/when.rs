//! Moments as people type them, for `touch -d` and `touch -t`. UTC, as everything here.
//!
//! | `-d` | |
//! |---|---|
//! | `@1795374895.25` | seconds since the epoch, also negative |
//! | `2026-11-22` | midnight |
//! | `2026-11-22 19:14`, `2026-11-22T19:14:55.123456789` | the fraction may have any number of digits |
//! | … `Z`, ` UTC`, ` +0200`, `+02:00` | a zone after a time of day |
//! | `now` | |
//!
//! `-t` takes `[[CC]YY]MMDDhhmm[.ss]`.
//!
//! Reference: POSIX `touch`, "options"; GNU touch takes more.

use crate::date::DateTime;

const DAY_SECONDS: i64 = 86_400;

/// Seconds since the epoch, and nanoseconds after them.
pub type Moment = (i64, u32);

/// Reads what `touch -d` takes. `now` is what `now` means. `None` if it is no moment, or beyond `i64`
/// seconds.
pub fn parse_date(text: &str, now: Moment) -> Option<Moment> {
    let text = text.trim_matches(' ');
    if text == "now" {
        return Some(now);
    }
    if let Some(seconds) = text.strip_prefix('@') {
        return epoch_seconds(seconds);
    }
    let (day, rest) = match text.find(['T', ' ']) {
        Some(at) => (text.get(..at)?, text.get(at + 1..)?),
        None => (text, "00:00"),
    };
    let mut parts = day.split('-');
    let (year, month, of_month) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || year.len() < 4 {
        return None;
    }
    let (clock, zone) = match rest.find(['Z', 'U', '+', '-', ' ']) {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let mut parts = clock.split(':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next().unwrap_or("0"));
    if parts.next().is_some() {
        return None;
    }
    let (second, fraction) = second.split_once('.').unwrap_or((second, "0"));
    let date = DateTime {
        year: digits(year)?,
        month: digits(month)?.try_into().ok()?,
        day: digits(of_month)?.try_into().ok()?,
        hour: digits(hour)?.try_into().ok()?,
        minute: digits(minute)?.try_into().ok()?,
        second: digits(second)?.try_into().ok()?,
    };
    let seconds = date.to_epoch()?.checked_sub(zone_offset(zone.trim_start_matches(' '))?)?;
    Some((seconds, nanoseconds(fraction)?))
}

/// Reads what `touch -t` takes; without a year it is that of `now`, in seconds since the epoch.
pub fn parse_stamp(text: &str, now: i64) -> Option<Moment> {
    let (stamp, second) = text.split_once('.').unwrap_or((text, "00"));
    if second.len() != 2 || !stamp.is_ascii() {
        return None;
    }
    let (year, rest) = stamp.split_at(stamp.len().checked_sub(8)?);
    let year = match (year.len(), digits(year)) {
        (0, _) => DateTime::from_epoch(now).year,
        // POSIX: 69 to 99 are of the 20th century.
        (2, Some(year)) => year + if year >= 69 { 1900 } else { 2000 },
        (4, Some(year)) => year,
        _ => return None,
    };
    let pair = |at: usize| digits(rest.get(at..at + 2)?)?.try_into().ok();
    let date = DateTime {
        year,
        month: pair(0)?,
        day: pair(2)?,
        hour: pair(4)?,
        minute: pair(6)?,
        second: digits(second)?.try_into().ok()?,
    };
    Some((date.to_epoch()?, 0))
}

/// `-1.25` is a quarter after second -2.
fn epoch_seconds(text: &str) -> Option<Moment> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(text) => (true, text),
        None => (false, text),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let (whole, nanos) = (digits(whole)?, nanoseconds(fraction)?);
    match (negative, nanos) {
        (false, _) => Some((whole, nanos)),
        (true, 0) => Some((-whole, 0)),
        (true, _) => Some(((-whole).checked_sub(1)?, 1_000_000_000 - nanos)),
    }
}

/// Digits, at least one, and nothing else.
fn digits(text: &str) -> Option<i64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// Digits after the point as nanoseconds; what is finer is cut off.
fn nanoseconds(fraction: &str) -> Option<u32> {
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(
        fraction.bytes().chain(core::iter::repeat(b'0')).take(9).fold(0, |n, d| n * 10 + u32::from(d - b'0')),
    )
}

/// Seconds that a zone is ahead of UTC.
fn zone_offset(zone: &str) -> Option<i64> {
    if matches!(zone, "" | "Z" | "UTC") {
        return Some(0);
    }
    let (sign, rest) = match (zone.strip_prefix('+'), zone.strip_prefix('-')) {
        (Some(rest), _) => (1, rest),
        (_, Some(rest)) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = match rest.split_once(':') {
        Some(parts) => parts,
        None if rest.len() == 4 && rest.is_ascii() => rest.split_at(2),
        None => (rest, "0"),
    };
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    let ahead = hours.checked_mul(3600)?.checked_add(minutes.checked_mul(60)?)?;
    if minutes < 60 && ahead < DAY_SECONDS { Some(sign * ahead) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> Option<Moment> {
        parse_date(text, (7, 8))
    }

    /// Compared with GNU `date -u +%s.%N -d`.
    #[test]
    fn dates() {
        for (text, seconds, nanos) in [
            ("@0", 0, 0),
            ("@1795374895.25", 1_795_374_895, 250_000_000),
            ("@-1", -1, 0),
            ("@-1.25", -2, 750_000_000),
            ("@4294967296", 1 << 32, 0),
            ("2026-11-22", 1_795_305_600, 0),
            ("2026-11-22 19:14", 1_795_374_840, 0),
            ("2026-11-22T19:14:55.123456789", 1_795_374_895, 123_456_789),
            ("2026-11-22 19:14:55.1234567899 +0000", 1_795_374_895, 123_456_789),
            ("2026-11-22 19:14:55Z", 1_795_374_895, 0),
            ("2026-11-22 19:14:55 UTC", 1_795_374_895, 0),
            ("2026-11-22 21:14:55 +02:00", 1_795_374_895, 0),
            ("2026-11-22 21:14:55+02", 1_795_374_895, 0),
            ("2026-11-22 13:44:55 -0530", 1_795_374_895, 0),
            ("1901-12-13 20:45:52", -(1 << 31), 0),
            ("2446-05-10 22:38:55.999999999", 15_032_385_535, 999_999_999),
        ] {
            assert_eq!(date(text), Some((seconds, nanos)), "{text}");
        }
        assert_eq!(date("now"), Some((7, 8)));
    }

    #[test]
    fn what_is_no_date() {
        for text in [
            "",
            "garbage",
            "@",
            "@x",
            "@1.",
            "@--1",
            "@99999999999999999999",
            "2026-13-01",
            "2026-02-30",
            "2026-11",
            "26-11-22",
            "2026-11-22-1",
            "2026-11-22 24:00",
            "2026-11-22 1",
            "2026-11-22 1:2:3:4",
            "2026-11-22 1:2 CET",
            "2026-11-22 1:2 +99",
            "2026-11-22 1:2 +01:60",
            "2026-+1-22",
            "é",
            "2026-11-22 é",
        ] {
            assert_eq!(date(text), None, "{text}");
        }
    }

    /// Compared with GNU touch.
    #[test]
    fn stamps() {
        let now = 1_795_374_895;
        assert_eq!(parse_stamp("202611221914.55", now), Some((now, 0)));
        assert_eq!(parse_stamp("2611221914.55", now), Some((now, 0)));
        assert_eq!(parse_stamp("11221914", now), Some((now - 55, 0)));
        assert_eq!(parse_stamp("7001010000", now), Some((0, 0)));
        for text in
            ["", "13", "1122191", "112219145", "202613221914", "11221914.5", "11221914.60", "1122é914"]
        {
            assert_eq!(parse_stamp(text, now), None, "{text}");
        }
    }
}
