//! Numbers for people: `xfs_io`'s report after it read or wrote, sizes and times.
//!
//! ```text
//! wrote 4096/4096 bytes at offset 0
//! 4 KiB, 1 ops; 0.0001 sec (33.967 MiB/sec and 8695.6522 ops/sec)
//! ```
//! or, condensed (`-C`), one line `bytes,ops,time,bytes/sec,ops/sec`:
//! `4096,1,0:00:00.00,35617391.304,8695.652`.
//!
//! The formats are `xfs_io`'s down to their oddities: below 1 KiB a size has six decimals (`512.000000
//! bytes`); a whole number of bytes that fits an `int` is rounded to whole units (5000 bytes are `5 KiB`),
//! anything else has three decimals (4 GiB are `4.000 GiB`). Two things differ: the clock counts nanoseconds,
//! so that what takes less than a microsecond has a rate; and rates are exact fractions rounded half to even,
//! as `printf` rounds. In no time at all, something is `inf EiB/sec`, as in `xfs_io`, and nothing is 0 (there
//! it is `nan`).
//!
//! References: xfs_io(8); the formats as xfsprogs' `report_io_times`, `cvtstr` and `timestr` print them.

use alloc::format;
use alloc::string::String;
use core::fmt;

const UNITS: [(u32, &str); 6] = [(60, "E"), (50, "P"), (40, "T"), (30, "G"), (20, "M"), (10, "K")];
const NANOSECONDS: u64 = 1_000_000_000;

/// What a command read or wrote, and how long it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransferReport<'a> {
    /// `read`, `wrote`, ...
    pub verb: &'a str,
    /// Bytes read or written.
    pub done: u64,
    /// Bytes asked for.
    pub requested: u64,
    /// Where in the file, in bytes.
    pub offset: u64,
    /// How many operations reading or writing took.
    pub ops: u64,
    /// How long reading or writing took, in nanoseconds.
    pub elapsed: u64,
}

impl TransferReport<'_> {
    /// Returns the two-line report, without a newline at its end.
    pub fn full(&self) -> impl fmt::Display + '_ {
        fmt::from_fn(|f| {
            let Self { verb, done, requested, offset, ops, elapsed } = *self;
            writeln!(f, "{verb} {done}/{requested} bytes at offset {offset}")?;
            write!(
                f,
                "{}, {ops} ops; {} ({}/sec and ",
                size(done),
                time(elapsed),
                rate_of_bytes(done, elapsed)
            )?;
            write!(f, "{} ops/sec)", rate(ops, elapsed, 4))
        })
    }

    /// Returns the line of `-C`, without a newline at its end.
    pub fn condensed(&self) -> impl fmt::Display + '_ {
        fmt::from_fn(|f| {
            let Self { done, ops, elapsed, .. } = *self;
            write!(f, "{done},{ops},{},", long_time(elapsed))?;
            write!(f, "{},{}", rate(done, elapsed, 3), rate(ops, elapsed, 3))
        })
    }
}

/// Returns a size as `xfs_io` prints it: `4 KiB`, `4.000 GiB`, `12.000000 bytes`.
pub fn size(bytes: u64) -> impl fmt::Display {
    fmt::from_fn(move |f| f.pad(&Fraction { over: bytes.into(), under: 1 }.size()))
}

/// Returns a duration of `nanoseconds` as `xfs_io` prints it: `0.0421 sec`, from a second on `0:00:01.25`.
/// Not rounded.
pub fn time(nanoseconds: u64) -> impl fmt::Display {
    fmt::from_fn(move |f| {
        if nanoseconds >= NANOSECONDS {
            return write!(f, "{}", long_time(nanoseconds));
        }
        f.pad(&format!("0.{:04} sec", nanoseconds / 100_000))
    })
}

/// Returns a duration of `nanoseconds` as hours, minutes, seconds and hundredths: `1:02:03.45`. Not rounded.
pub fn long_time(nanoseconds: u64) -> impl fmt::Display {
    let seconds = nanoseconds / NANOSECONDS;
    let hundredths = nanoseconds % NANOSECONDS / 10_000_000;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    fmt::from_fn(move |f| f.pad(&format!("{hours}:{minutes:02}:{seconds:02}.{hundredths:02}")))
}

/// Returns a size in a few characters: `512 B`, `64 MiB` if it is that exactly, else one decimal, rounded:
/// `1.5 GiB`.
pub fn iec(bytes: u64) -> impl fmt::Display {
    fmt::from_fn(move |f| {
        let Some(mut unit) = UNITS.iter().rposition(|(shift, _)| bytes >> shift < 1024) else {
            return f.pad(&format!("{bytes} B")); // not reached: 2^64 bytes are 16 EiB
        };
        if bytes < 1024 {
            return f.pad(&format!("{bytes} B"));
        }
        let in_unit = |unit: usize, decimals| {
            let (shift, letter) = UNITS.get(unit).copied().unwrap_or((0, ""));
            (Fraction { over: bytes.into(), under: 1 << shift }.decimals(decimals), letter)
        };
        // 1023.96 KiB would round to 1024.0 KiB: that is 1.0 MiB.
        if unit > 0 && in_unit(unit, 1).0 == "1024.0" {
            unit -= 1;
        }
        let (shift, _) = UNITS.get(unit).copied().unwrap_or((0, ""));
        let (number, letter) = in_unit(unit, u32::from(bytes & ((1 << shift) - 1) != 0));
        f.pad(&format!("{number} {letter}iB"))
    })
}

/// Returns a size as `df -h` and `ls -h` print it: `0`, `512`, `4.0K`, `128M`; rounded up, so that no size
/// looks smaller than it is.
pub fn short(bytes: u64) -> impl fmt::Display {
    fmt::from_fn(move |f| {
        for (shift, letter) in UNITS.iter().rev() {
            let (bytes, unit) = (u128::from(bytes), 1u128 << shift);
            let (tenths, whole) = ((bytes * 10).div_ceil(unit), bytes.div_ceil(unit));
            match bytes {
                0..1024 => return f.pad(&format!("{bytes}")),
                _ if tenths < 100 => return f.pad(&format!("{}.{}{letter}", tenths / 10, tenths % 10)),
                _ if whole < 1024 => return f.pad(&format!("{whole}{letter}")),
                _ => {}
            }
        }
        Ok(()) // not reached: 2^64 bytes are 16E
    })
}

fn rate_of_bytes(count: u64, elapsed: u64) -> String {
    match Fraction::per_second(count, elapsed) {
        Some(rate) => rate.size(),
        None => "inf EiB".into(),
    }
}

fn rate(count: u64, elapsed: u64, decimals: u32) -> String {
    match Fraction::per_second(count, elapsed) {
        Some(rate) => rate.decimals(decimals),
        None => "inf".into(),
    }
}

/// `over / under`, exactly. Here `over` stays below 2^94 and `under` between 1 and 2^64.
#[derive(Clone, Copy)]
struct Fraction {
    over: u128,
    under: u128,
}

impl Fraction {
    /// Returns the fraction per second; `None` if infinite.
    fn per_second(count: u64, elapsed: u64) -> Option<Self> {
        match (count, elapsed) {
            (0, _) => Some(Self { over: 0, under: 1 }),
            (_, 0) => None,
            _ => Some(Self { over: u128::from(count) * u128::from(NANOSECONDS), under: elapsed.into() }),
        }
    }

    /// Returns the fraction in decimal with `decimals` decimals (at most 6), rounded half to even.
    fn decimals(self, decimals: u32) -> String {
        let scale = 10u128.pow(decimals);
        let (quotient, rest) = (self.over * scale / self.under, self.over * scale % self.under);
        let up = rest * 2 > self.under || (rest * 2 == self.under && quotient % 2 == 1);
        let rounded = quotient + u128::from(up);
        match decimals {
            0 => format!("{rounded}"),
            _ => format!("{}.{:0width$}", rounded / scale, rounded % scale, width = decimals as usize),
        }
    }

    fn size(self) -> String {
        let whole = self.over.is_multiple_of(self.under) && self.over / self.under <= i32::MAX as u128;
        for (shift, letter) in UNITS {
            if self.over >= self.under << shift {
                let in_unit = Self { over: self.over, under: self.under << shift };
                return format!("{} {letter}iB", in_unit.decimals(if whole { 0 } else { 3 }));
            }
        }
        format!("{} bytes", self.decimals(6))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn wrote(done: u64, ops: u64, elapsed: u64) -> TransferReport<'static> {
        TransferReport { verb: "wrote", done, requested: 4096, offset: 8192, ops, elapsed }
    }

    #[test]
    fn the_report_is_that_of_pwrite() {
        let text = "wrote 4096/4096 bytes at offset 8192\n\
                    4 KiB, 1 ops; 0.0001 sec (33.967 MiB/sec and 8695.6522 ops/sec)";
        assert_eq!(wrote(4096, 1, 115_000).full().to_string(), text);
    }

    /// `cvtstr` rounds a rate that is a whole number of bytes to whole units.
    #[test]
    fn a_whole_rate_has_no_decimals() {
        let report = wrote(4096, 1, 100_000).full().to_string();
        assert!(report.ends_with("4 KiB, 1 ops; 0.0001 sec (39 MiB/sec and 10000.0000 ops/sec)"), "{report}");
    }

    #[test]
    fn the_condensed_report_is_that_of_dash_c() {
        assert_eq!(
            wrote(4096, 1, 115_000).condensed().to_string(),
            "4096,1,0:00:00.00,35617391.304,8695.652"
        );
        assert_eq!(wrote(10, 4, 3_725_250_000_000).condensed().to_string(), "10,4,1:02:05.25,0.003,0.001");
    }

    #[test]
    fn no_time_at_all_does_not_divide_by_zero() {
        let report = wrote(4096, 1, 0).full().to_string();
        assert!(report.ends_with("4 KiB, 1 ops; 0.0000 sec (inf EiB/sec and inf ops/sec)"), "{report}");
        assert_eq!(wrote(4096, 1, 0).condensed().to_string(), "4096,1,0:00:00.00,inf,inf");
        let report = wrote(0, 0, 0).full().to_string();
        let end = "0.000000 bytes, 0 ops; 0.0000 sec (0.000000 bytes/sec and 0.0000 ops/sec)";
        assert!(report.ends_with(end), "{report}");
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() {
        let report = wrote(u64::MAX, u64::MAX, 1);
        assert!(
            report
                .full()
                .to_string()
                .contains("(16000000000.000 EiB/sec and 18446744073709551615000000000.0000")
        );
        assert!(report.condensed().to_string().ends_with(",18446744073709551615000000000.000"));
        let report = wrote(u64::MAX, 1, u64::MAX);
        assert!(
            report.full().to_string().contains("16.000 EiB, 1 ops; 5124095:34:33.70 (954 MiB/sec and 0.0000")
        );
    }

    #[test]
    fn sizes_follow_cvtstr() {
        for (bytes, text) in [
            (0, "0.000000 bytes"),
            (1023, "1023.000000 bytes"),
            (1024, "1 KiB"),
            (5000, "5 KiB"),
            (1536, "2 KiB"), // half to even
            (2560, "2 KiB"),
            (1 << 20, "1 MiB"),
            (1 << 30, "1 GiB"),
            (1 << 32, "4.000 GiB"),
            ((1 << 32) + (1 << 29), "4.500 GiB"),
            (1 << 60, "1.000 EiB"),
        ] {
            assert_eq!(size(bytes).to_string(), text);
        }
    }

    #[test]
    fn times_follow_timestr() {
        assert_eq!(time(0).to_string(), "0.0000 sec");
        assert_eq!(time(999_999_999).to_string(), "0.9999 sec");
        assert_eq!(time(NANOSECONDS).to_string(), "0:00:01.00");
        assert_eq!(time(3_661_990_000_000).to_string(), "1:01:01.99");
        assert_eq!(long_time(u64::MAX).to_string(), "5124095:34:33.70");
    }

    #[test]
    fn iec_sizes_round_into_the_next_unit() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (1 << 26, "64 MiB"),
            ((1 << 20) - 1, "1.0 MiB"),
            ((1 << 20) - 52, "1023.9 KiB"),
            ((1 << 60) - 1, "1.0 EiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(iec(bytes).to_string(), text);
        }
        assert_eq!(format!("{:>8}|{:<8}|", iec(1024), iec(0)), "   1 KiB|0 B     |");
    }

    /// Compared with GNU `df -h`, which rounds up.
    #[test]
    fn short_sizes_round_up() {
        for (bytes, text) in [
            (0, "0"),
            (1023, "1023"),
            (1024, "1.0K"),
            (1025, "1.1K"),
            (4096, "4.0K"),
            (10 * 1024, "10K"),
            (10 * 1024 - 1, "10K"),
            ((1 << 20) - 1, "1.0M"),
            (128 << 20, "128M"),
            ((128 << 20) + 1, "129M"),
            (u64::MAX, "16E"),
        ] {
            assert_eq!(short(bytes).to_string(), text);
        }
    }
}
