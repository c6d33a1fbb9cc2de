//! Dates: seconds since the epoch to calendar and back, the PC's clock chip, and the dates of `ls`.
//!
//! The calendar is the proleptic Gregorian one and the time UTC without leap seconds, as POSIX counts. All of
//! it works for every `i64`, years in the hundreds of billions and before Christ (astronomical: year 0 is 1
//! BC).
//!
//! References: POSIX.1-2024, XBD 4.19 "Seconds Since the Epoch"; POSIX `ls` for the six months; Motorola
//! MC146818A data sheet, and ACPI 6.5, 5.2.9 (`CENTURY`), for the clock chip.

use core::fmt;

const DAY: i64 = 86_400;
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/// A moment, broken down. Displays as `2026-11-22 19:14:55`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DateTime {
    /// The year, astronomical.
    pub year: i64,
    /// 1 to 12.
    pub month: u8,
    /// Day of the month, 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
}

impl DateTime {
    /// Returns the moment that many seconds after (before, if negative) 1970-01-01 00:00:00 UTC.
    pub fn from_epoch(seconds: i64) -> Self {
        let (year, month, day) = civil(seconds.div_euclid(DAY));
        let of_day = seconds.rem_euclid(DAY);
        let [hour, minute, second] = [of_day / 3600, of_day / 60 % 60, of_day % 60].map(|n| n as u8);
        Self { year, month, day, hour, minute, second }
    }

    /// Returns the seconds since the epoch; `None` if a field is out of its range (31 April, 24:00) or the
    /// result out of `i64`'s.
    pub fn to_epoch(&self) -> Option<i64> {
        let day_exists = (1..=days_in_month(self.year, self.month)?).contains(&self.day);
        if !day_exists || self.hour > 23 || self.minute > 59 || self.second > 59 {
            return None;
        }
        let days = days(self.year, self.month, self.day)?;
        let of_day = i128::from(self.hour) * 3600 + i128::from(self.minute) * 60 + i128::from(self.second);
        i64::try_from(i128::from(days) * i128::from(DAY) + of_day).ok()
    }

    /// Returns the day's name, `Sun` to `Sat`; `None` if the date does not exist.
    pub fn weekday(&self) -> Option<&'static str> {
        let days = self.to_epoch()?.div_euclid(DAY);
        // The epoch was a Thursday.
        WEEKDAYS.get((days + 4).rem_euclid(7) as usize).copied()
    }

    /// Returns `Sun Nov 22 22:40:17 2026`, as ctime(3) has it, without its line end.
    pub fn ctime(&self) -> impl fmt::Display {
        let Self { year, day, hour, minute, second, .. } = *self;
        let (weekday, month) = (self.weekday().unwrap_or("???"), self.month_name());
        fmt::from_fn(move |f| write!(f, "{weekday} {month} {day:2} {hour:02}:{minute:02}:{second:02} {year}"))
    }

    /// Returns the month's name, `Jan` to `Dec`; `???` if there is no such month.
    pub fn month_name(&self) -> &'static str {
        MONTHS.get(usize::from(self.month).wrapping_sub(1)).copied().unwrap_or("???")
    }
}

impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day, hour, minute, second } = self;
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
    }
}

/// Returns a date as `ls -l` shows it at the time `now`, both in seconds since the epoch: `Nov 22 19:14`,
/// but `Nov 22
pub fn ls_style(seconds: i64, now: i64) -> impl fmt::Display {
    // Half of the mean Gregorian year of 31 556 952 seconds, as GNU ls has it.
    const SIX_MONTHS: i64 = 31_556_952 / 2;
    let date = DateTime::from_epoch(seconds);
    let recent = seconds <= now && seconds > now.saturating_sub(SIX_MONTHS);
    fmt::from_fn(move |f| {
        write!(f, "{} {:2} ", date.month_name(), date.day)?;
        if recent { write!(f, "{:02}:{:02}", date.hour, date.minute) } else { write!(f, "{:5}", date.year) }
    })
}

/// The registers of the PC's clock chip (MC146818), as read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rtc {
    /// Register 0x00.
    pub second: u8,
    /// Register 0x02.
    pub minute: u8,
    /// Register 0x04.
    pub hour: u8,
    /// Register 0x07.
    pub day: u8,
    /// Register 0x08.
    pub month: u8,
    /// Register 0x09, two digits.
    pub year: u8,
    /// The register that the FADT's `CENTURY` names, if the FADT names one. Without such a register, or with
    /// one that makes no sense, years are 2000 to 2099.
    pub century: Option<u8>,
    /// Register B: bit 2 set means binary instead of BCD, bit 1 set 24 hours instead of 12.
    pub status_b: u8,
}

impl Rtc {
    /// Reads the chip by `register`; `century` is what the FADT names. While the chip counts a second on, its
    /// registers make no sense: they are read when it says that it does not, until two readings agree. A chip
    /// that never says so is read all the same, after ten thousand looks.
    pub fn read(century: Option<u8>, mut register: impl FnMut(u8) -> u8) -> Self {
        const STATUS_A: u8 = 0x0a;
        const UPDATING: u8 = 1 << 7;
        let once = |register: &mut dyn FnMut(u8) -> u8| Self {
            second: register(0x00),
            minute: register(0x02),
            hour: register(0x04),
            day: register(0x07),
            month: register(0x08),
            year: register(0x09),
            century: century.map(&mut *register),
            status_b: register(0x0b),
        };
        let mut last = None;
        for _ in 0..10_000 {
            if register(STATUS_A) & UPDATING != 0 {
                continue;
            }
            let now = once(&mut register);
            if last == Some(now) {
                return now;
            }
            last = Some(now);
        }
        last.unwrap_or_else(|| once(&mut register))
    }

    /// Returns the moment the registers say. `None` if they make no sense (read during an update, or no
    /// clock there).
    pub fn decode(&self) -> Option<DateTime> {
        const BINARY: u8 = 1 << 2;
        const HOURS_24: u8 = 1 << 1;
        const PM: u8 = 1 << 7;
        let number = |raw: u8| match (raw >> 4, raw & 0xf) {
            _ if self.status_b & BINARY != 0 => Some(raw),
            (tens @ 0..=9, ones @ 0..=9) => Some(tens * 10 + ones),
            _ => None,
        };
        let hour = if self.status_b & HOURS_24 != 0 {
            number(self.hour)?
        } else {
            // 12 AM is midnight and 12 PM noon.
            let hour = number(self.hour & !PM).filter(|hour| (1..=12).contains(hour))?;
            hour % 12 + if self.hour & PM != 0 { 12 } else { 0 }
        };
        // No PC is from before 1900, whatever is left in that register.
        let century = self.century.and_then(number).filter(|century| *century >= 19).unwrap_or(20);
        let date = DateTime {
            year: i64::from(century) * 100 + i64::from(number(self.year).filter(|year| *year < 100)?),
            month: number(self.month)?,
            day: number(self.day)?,
            hour,
            minute: number(self.minute)?,
            second: number(self.second)?,
        };
        date.to_epoch().map(|_| date)
    }

    /// Returns the date and time as seconds since 1970-01-01 00:00:00 UTC; `None` if a field is out of its
    /// range.
    pub fn to_epoch(&self) -> Option<i64> {
        self.decode()?.to_epoch()
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: u8) -> Option<u8> {
    match month {
        2 => Some(28 + u8::from(is_leap(year))),
        4 | 6 | 9 | 11 => Some(30),
        1..=12 => Some(31),
        _ => None,
    }
}

// The two functions below count years from 1 March, so that a leap day is the last day of its year, in cycles
// of 400 years, which have 146 097 days. Month 0 is March; the months up to month m have (153 m + 2) / 5
// days.
const CYCLE_DAYS: i64 = 146_097;
/// From 1 March of year 0 to the epoch.
const EPOCH_DAYS: i64 = 719_468;

/// Days from the epoch to a date; the month is 1 to 12. `None` if that is beyond `i64`.
fn days(year: i64, month: u8, day: u8) -> Option<i64> {
    let year = if month < 3 { year.checked_sub(1)? } else { year };
    let (cycle, of_cycle) = (year.div_euclid(400), year.rem_euclid(400));
    let march_based = (i64::from(month) + 9) % 12;
    let of_year = (153 * march_based + 2) / 5 + i64::from(day) - 1;
    let in_cycle = of_cycle * 365 + of_cycle / 4 - of_cycle / 100 + of_year;
    cycle.checked_mul(CYCLE_DAYS)?.checked_add(in_cycle - EPOCH_DAYS)
}

/// Year, month and day of the date that many days after the epoch (at most 2^63 seconds away).
fn civil(days: i64) -> (i64, u8, u8) {
    let days = days + EPOCH_DAYS;
    let (cycle, in_cycle) = (days.div_euclid(CYCLE_DAYS), days.rem_euclid(CYCLE_DAYS));
    // Taking the leap days out leaves years of 365 days: one every 4 years (1460 days after its predecessor),
    // none every 100 (36 524), one every 400 (the cycle's last day).
    let of_cycle = (in_cycle - in_cycle / 1460 + in_cycle / 36_524 - in_cycle / (CYCLE_DAYS - 1)) / 365;
    let of_year = in_cycle - (of_cycle * 365 + of_cycle / 4 - of_cycle / 100);
    let march_based = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_based + 2) / 5 + 1;
    let month = (march_based + 2) % 12 + 1;
    (cycle * 400 + of_cycle + i64::from(month < 3), month as u8, day as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    /// Compared with GNU `date -u -d @N`.
    #[test]
    fn known_moments() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00"),
            (-1, "1969-12-31 23:59:59"),
            (951_782_400, "2000-02-29 00:00:00"),
            (1_000_000_000, "2001-09-09 01:46:40"),
            (1_795_374_895, "2026-11-22 19:14:55"),
            (2_147_483_647, "2038-01-19 03:14:07"),
            (4_107_542_400, "2100-03-01 00:00:00"),
            (-2_208_988_800, "1900-01-01 00:00:00"),
            (-62_135_596_800, "0001-01-01 00:00:00"),
            (253_402_300_799, "9999-12-31 23:59:59"),
        ] {
            let date = DateTime::from_epoch(seconds);
            assert_eq!(date.to_string(), text);
            assert_eq!(date.to_epoch(), Some(seconds));
        }
    }

    #[test]
    fn every_day_of_800_years_follows_the_one_before() {
        let mut expected = (1600, 1, 1);
        let start = days(1600, 1, 1).unwrap();
        for day in start..start + 2 * CYCLE_DAYS {
            assert_eq!(civil(day), expected);
            assert_eq!(days(expected.0, expected.1, expected.2), Some(day));
            expected.2 += 1;
            if expected.2 > days_in_month(expected.0, expected.1).unwrap() {
                expected = (expected.0, expected.1 + 1, 1);
            }
            if expected.1 > 12 {
                expected = (expected.0 + 1, 1, 1);
            }
        }
    }

    #[test]
    fn the_ends_of_i64_come_back() {
        for seconds in [i64::MIN, i64::MIN + 1, i64::MAX] {
            assert_eq!(DateTime::from_epoch(seconds).to_epoch(), Some(seconds));
        }
        let late = DateTime { year: i64::MAX, ..DateTime::from_epoch(0) };
        assert_eq!(late.to_epoch(), None);
        assert_eq!(DateTime { year: i64::MIN, ..late }.to_epoch(), None);
    }

    #[test]
    fn ctime_is_as_wide_for_every_day() {
        assert_eq!(DateTime::from_epoch(1_795_387_217).ctime().to_string(), "Sun Nov 22 22:40:17 2026");
        assert_eq!(DateTime::from_epoch(0).ctime().to_string(), "Thu Jan  1 00:00:00 1970");
    }

    #[test]
    fn dates_that_do_not_exist_have_no_seconds() {
        let date = DateTime::from_epoch(951_782_400);
        assert_eq!(DateTime { year: 2001, ..date }.to_epoch(), None);
        assert_eq!(DateTime { day: 0, ..date }.to_epoch(), None);
        assert_eq!(DateTime { month: 13, ..date }.to_epoch(), None);
        assert_eq!(DateTime { month: 0, ..date }.month_name(), "???");
        assert_eq!(DateTime { hour: 24, ..date }.to_epoch(), None);
        assert_eq!(DateTime { second: 60, ..date }.to_epoch(), None);
    }

    #[test]
    fn weekdays() {
        assert_eq!(DateTime::from_epoch(0).weekday(), Some("Thu"));
        assert_eq!(DateTime::from_epoch(-1).weekday(), Some("Wed"));
        assert_eq!(DateTime::from_epoch(1_795_374_895).weekday(), Some("Sun"));
    }

    #[test]
    fn ls_shows_the_year_of_old_and_future_dates() {
        let now = 1_795_374_895;
        assert_eq!(ls_style(now, now).to_string(), "Nov 22 19:14");
        assert_eq!(ls_style(now - 15_778_475, now).to_string(), "May 24 04:20");
        assert_eq!(ls_style(now - 15_778_476, now).to_string(), "May 24  2026");
        assert_eq!(ls_style(now + 1, now).to_string(), "Nov 22  2026");
        assert_eq!(ls_style(0, i64::MIN).to_string(), "Jan  1  1970");
    }

    #[test]
    fn clock_registers_in_every_format() {
        let bcd = Rtc {
            second: 0x55,
            minute: 0x14,
            hour: 0x19,
            day: 0x22,
            month: 0x11,
            year: 0x26,
            century: None,
            status_b: 2,
        };
        assert_eq!(bcd.to_epoch(), Some(1_795_374_895));
        assert_eq!(Rtc { century: Some(0x20), ..bcd }.to_epoch(), Some(1_795_374_895));
        assert_eq!(Rtc { hour: 0x87, status_b: 0, ..bcd }.to_epoch(), Some(1_795_374_895));
        let binary = Rtc {
            second: 55,
            minute: 14,
            hour: 19,
            day: 22,
            month: 11,
            year: 26,
            century: None,
            status_b: 6,
        };
        assert_eq!(binary.to_epoch(), Some(1_795_374_895));
        assert_eq!(Rtc { hour: 7 | 0x80, status_b: 4, ..binary }.to_epoch(), Some(1_795_374_895));
        let hour = |hour| Rtc { hour, status_b: 0, ..bcd }.decode().map(|date| date.hour);
        assert_eq!([hour(0x12), hour(0x92), hour(0x01), hour(0x00)], [Some(0), Some(12), Some(1), None]);
    }

    /// What ext2 can hold with large inodes ends in 2446.
    #[test]
    fn the_century_counts_where_it_makes_sense() {
        let last = Rtc {
            second: 0x55,
            minute: 0x38,
            hour: 0x22,
            day: 0x10,
            month: 0x05,
            year: 0x46,
            century: Some(0x24),
            status_b: 2,
        };
        let year = |century, status_b| Rtc { century, status_b, ..last }.decode().map(|date| date.year);
        assert_eq!(last.to_epoch(), Some(15_032_385_535));
        assert_eq!([year(Some(0x19), 2), year(Some(0x20), 2)], [Some(1946), Some(2046)]);
        assert_eq!([year(Some(0x99), 2), year(None, 2)], [Some(9946), Some(2046)]);
        // Never set, no memory there, no number.
        for left_over in [0x00, 0xff, 0x1a, 0x18] {
            assert_eq!(year(Some(left_over), 2), Some(2046), "{left_over:#x}");
        }
        let binary = Rtc { second: 55, minute: 38, hour: 22, day: 10, year: 46, ..last };
        assert_eq!(Rtc { century: Some(24), status_b: 6, ..binary }.to_epoch(), Some(15_032_385_535));
        // 2100 is no leap year, 2400 is one.
        let leap = |century, year| Rtc { century: Some(century), year, month: 2, day: 0x29, ..last }.decode();
        assert_eq!(leap(0x21, 0), None);
        assert!(leap(0x24, 0).is_some() && leap(0x20, 0).is_some());
    }

    /// A chip that counts on while it is read: after every so many reads a second goes by, and during some of
    /// them its registers are half of the old time and half of the new.
    struct Chip {
        seconds: i64,
        reads: u64,
        reads_a_second: u64,
        updating: u64,
        flagged: bool,
    }

    impl Chip {
        fn register(&mut self, index: u8) -> u8 {
            self.reads += 1;
            let phase = self.reads % self.reads_a_second;
            let updating = phase >= self.reads_a_second - self.updating;
            if phase == 0 {
                self.seconds += 1;
            }
            let date = DateTime::from_epoch(self.seconds + i64::from(updating && index >= 0x07));
            let number = match index {
                0x00 => i64::from(date.second),
                0x02 => i64::from(date.minute),
                0x04 => i64::from(date.hour),
                0x07 => i64::from(date.day),
                0x08 => i64::from(date.month),
                0x09 => date.year % 100,
                0x32 => date.year / 100,
                0x0a => return if updating && self.flagged { 0xa6 } else { 0x26 },
                0x0b => return 2,
                _ => return 0xff,
            };
            (number / 10 * 16 + number % 10) as u8
        }
    }

    #[test]
    fn the_clock_is_not_read_while_it_counts_on() {
        // The last second of a century, so that every register changes; from each phase.
        let end = 4_102_444_800;
        for (reads_a_second, updating, flagged) in [(97, 11, true), (40, 3, true), (61, 1, false)] {
            for phase in 0..2 * reads_a_second {
                let mut chip = Chip { seconds: end - 2, reads: phase, reads_a_second, updating, flagged };
                let before = chip.seconds;
                let read = Rtc::read(Some(0x32), |index| chip.register(index)).to_epoch().unwrap();
                assert!(
                    (before..=chip.seconds).contains(&read),
                    "{read} is not in {before}..={}",
                    chip.seconds
                );
            }
        }
    }

    /// No chip, and one whose update never ends: an answer in bounded time.
    #[test]
    fn a_clock_that_is_absent_or_stuck_is_no_endless_wait() {
        assert_eq!(Rtc::read(Some(0x32), |_| 0xff).decode(), None);
        let mut reads = 0;
        let stuck = Rtc::read(None, |index| {
            reads += 1;
            [0x55, 0, 0x14, 0, 0x19, 0, 0, 0x22, 0x11, 0x26, 0x80, 2][usize::from(index)]
        });
        assert_eq!(stuck.to_epoch(), Some(1_795_374_895));
        assert!(reads < 20_000);
        // One that is never twice the same.
        let mut second = 0;
        Rtc::read(None, |index| {
            second = (second + 1) % 60;
            if index == 0 { second } else { 1 }
        });
    }

    #[test]
    fn clock_registers_that_make_no_sense() {
        let ff = Rtc {
            second: 255,
            minute: 255,
            hour: 255,
            day: 255,
            month: 255,
            year: 255,
            century: Some(255),
            status_b: 255,
        };
        assert_eq!(ff.decode(), None);
        assert_eq!(Rtc { status_b: 0, ..ff }.decode(), None);
    }
}
