//! The wall clock: the CMOS real-time clock, read once at start.
//!
//! Reference: Motorola MC146818A data sheet; registers 0x00 to 0x09, status A (update in progress) and B
//! (BCD, 12 h).

use x86_64::instructions::port::Port;

/// Registers, in the order of [`Reading`].
const FIELDS: [u8; 6] = [0x00, 0x02, 0x04, 0x07, 0x08, 0x09];
const STATUS_A: u8 = 0x0a;
const STATUS_B: u8 = 0x0b;

/// Second, minute, hour, day, month, year, as the chip has them.
type Reading = [u8; 6];

fn register(index: u8) -> u8 {
    // SAFETY: CMOS index and data ports; bit 7 keeps NMIs on when clear, as it was.
    unsafe {
        Port::<u8>::new(0x70).write(index);
        Port::<u8>::new(0x71).read()
    }
}

/// A reading during which no update took place.
fn stable() -> Reading {
    let mut last = FIELDS.map(register);
    // A chip that is absent or stuck must not stop the boot.
    for _ in 0..10_000 {
        if register(STATUS_A) & 0x80 != 0 {
            continue;
        }
        let now = FIELDS.map(register);
        if now == last {
            break;
        }
        last = now;
    }
    last
}

/// Seconds since 1970-01-01 00:00:00 UTC, if the clock runs in UTC and shows a date that exists.
pub fn unix_seconds() -> i64 {
    let status = register(STATUS_B);
    let binary = status & 0x04 != 0;
    let decode = |value: u8| i64::from(if binary { value } else { (value >> 4) * 10 + (value & 15) });
    let [second, minute, raw_hour, day, month, year] = stable();
    let mut hour = decode(raw_hour & 0x7f);
    if status & 0x02 == 0 {
        hour = hour % 12 + if raw_hour & 0x80 != 0 { 12 } else { 0 };
    }
    let year = decode(year);
    let year = if year < 70 { 2000 + year } else { 1900 + year };
    let days = days_from_civil(year, decode(month).clamp(1, 12), decode(day).clamp(1, 31));
    ((days * 24 + hour) * 60 + decode(minute)) * 60 + decode(second)
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, counted in years that begin in March.
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

const _: () = assert!(days_from_civil(1970, 1, 1) == 0 && days_from_civil(2000, 2, 29) == 11_016);
