//! Unix file modes as letters and in octal, and changes to them as chmod takes them.
//!
//! A mode is the 16-bit `i_mode` of an ext2 inode: four bits of file type, then set-user-id, set-group-id and
//! sticky, then three times read, write, execute.
//!
//! References: "The Second Extended File System" (nongnu.org), 3.3 `i_mode`; POSIX `ls`, "long format", and
//! `chmod`, "extended description"; chmod(1) of GNU for what a directory keeps.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::fmt::Write;

/// The letters of a mode, ten characters: `-rw-r--r--`, `drwxr-xr-x`, `crw-------`, `drwxrwxrwt`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Letters(pub u16);

impl fmt::Display for Letters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0u8; 10];
        let mode = self.0;
        let kind = match mode >> 12 {
            0x1 => b'p',
            0x2 => b'c',
            0x4 => b'd',
            0x6 => b'b',
            0x8 => b'-',
            0xa => b'l',
            0xc => b's',
            _ => b'?', // no such type: a damaged inode
        };
        let bit = |bit: u16, letter| if mode & bit != 0 { letter } else { b'-' };
        // Set-id and sticky share the place of the execute letter: small if both are set, capital if it is
        // alone.
        let shared = |special: u16, execute: u16, letter: u8| match (mode & special != 0, mode & execute != 0)
        {
            (false, _) => bit(execute, b'x'),
            (true, true) => letter,
            (true, false) => letter.to_ascii_uppercase(),
        };
        let letters = [
            kind,
            bit(0o400, b'r'),
            bit(0o200, b'w'),
            shared(0o4000, 0o100, b's'),
            bit(0o040, b'r'),
            bit(0o020, b'w'),
            shared(0o2000, 0o010, b's'),
            bit(0o004, b'r'),
            bit(0o002, b'w'),
            shared(0o1000, 0o001, b't'),
        ];
        text.copy_from_slice(&letters);
        // Through a string, so that a width in the format is kept.
        match core::str::from_utf8(&text) {
            Ok(text) => f.pad(text),
            Err(_) => f.write_char('?'),
        }
    }
}

/// Why a text is not a mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModeError {
    /// The mode is empty or this character is not an octal digit.
    NotOctal(Option<char>),
    /// The mode has bits beyond 7777.
    TooLarge,
    /// The mode is neither octal nor like `u+x,go=r`: this character, or the end, comes where it may not.
    NotSymbolic(Option<char>),
}

impl fmt::Display for ModeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOctal(None) => write!(f, "empty mode"),
            Self::NotOctal(Some(c)) => write!(f, "'{}' is not an octal digit", c.escape_debug()),
            Self::TooLarge => write!(f, "mode above 7777"),
            Self::NotSymbolic(None) => write!(f, "no mode: + - or = is missing"),
            Self::NotSymbolic(Some(c)) => write!(f, "no mode: '{}' is out of place", c.escape_debug()),
        }
    }
}

impl core::error::Error for ModeError {}

/// Reads permissions in octal, `0` to `7777`, leading zeroes allowed.
///
/// # Errors
/// [`ModeError::NotOctal`], [`ModeError::TooLarge`].
pub fn parse_octal(text: &str) -> Result<u16, ModeError> {
    if text.is_empty() {
        return Err(ModeError::NotOctal(None));
    }
    let mut mode: u16 = 0;
    let mut too_large = false;
    for c in text.chars() {
        let digit = c.to_digit(8).ok_or(ModeError::NotOctal(Some(c)))?;
        mode = mode << 3 | digit as u16;
        too_large |= mode > 0o7777;
        mode &= 0o7777;
    }
    if too_large { Err(ModeError::TooLarge) } else { Ok(mode) }
}

/// A change of permissions: `644`, `u+x`, `go=,a+X`, `u=g`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModeChange(Vec<ModeStep>);

/// One step of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ModeStep {
    /// Whose bits, set-id and sticky included; 0 if nobody was named.
    who: u16,
    op: char,
    what: ModeBits,
    /// Set-id bits that are asked for: a directory keeps the others.
    mentioned: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ModeBits {
    /// These bits.
    Bits(u16),
    /// These bits, and execution if the file is a directory or anyone may execute it (`X`).
    BitsAndMaybeExecute(u16),
    /// The permissions that this one of user, group and others has, as a shift.
    Copy(u32),
}

const ALL: u16 = 0o7777;
const SET_IDS: u16 = 0o6000;

impl ModeChange {
    /// Reads a mode in octal, or steps with letters, commas between.
    ///
    /// # Errors
    /// [`ModeError`], naming the first character that is out of place.
    pub fn parse(text: &str) -> Result<Self, ModeError> {
        if text.starts_with(|c: char| c.is_ascii_digit()) || text.is_empty() {
            let mode = parse_octal(text)?;
            // With five digits, a directory's set-id bits are meant too.
            let mentioned = if text.len() < 5 { mode } else { ALL };
            return Ok(Self(Vec::from([ModeStep {
                who: ALL,
                op: '=',
                what: ModeBits::Bits(mode),
                mentioned,
            }])));
        }
        let mut steps = Vec::new();
        for clause in text.split(',') {
            let mut chars = clause.chars().peekable();
            let mut who = 0;
            while let Some(bits) = chars.peek().and_then(|c| Self::who(*c)) {
                who |= bits;
                chars.next();
            }
            if chars.peek().is_none() {
                return Err(ModeError::NotSymbolic(None));
            }
            while let Some(op) = chars.next() {
                if !matches!(op, '+' | '-' | '=') {
                    return Err(ModeError::NotSymbolic(Some(op)));
                }
                // `=755`, `+2000`: all that the number names is meant, for directories too.
                let digits: String = core::iter::from_fn(|| chars.next_if(char::is_ascii_digit)).collect();
                if !digits.is_empty() {
                    if who != 0 || chars.peek().is_some() {
                        return Err(ModeError::NotSymbolic(digits.chars().next()));
                    }
                    let what = ModeBits::Bits(parse_octal(&digits)?);
                    steps.push(ModeStep { who: ALL, op, what, mentioned: ALL });
                    continue;
                }
                let copied = match chars.peek() {
                    Some('u') => Some(6),
                    Some('g') => Some(3),
                    Some('o') => Some(0),
                    _ => None,
                };
                let (mut bits, mut maybe) = (0, false);
                if copied.is_some() {
                    chars.next();
                } else {
                    while let Some(c) = chars.next_if(|c| !matches!(c, '+' | '-' | '=')) {
                        match c {
                            'r' => bits |= 0o444,
                            'w' => bits |= 0o222,
                            'x' => bits |= 0o111,
                            'X' => maybe = true,
                            's' => bits |= SET_IDS,
                            't' => bits |= 0o1000,
                            other => return Err(ModeError::NotSymbolic(Some(other))),
                        }
                    }
                }
                let mentioned = if who == 0 { bits } else { bits & who };
                let what = match (copied, maybe) {
                    (Some(shift), _) => ModeBits::Copy(shift),
                    (_, true) => ModeBits::BitsAndMaybeExecute(bits),
                    _ => ModeBits::Bits(bits),
                };
                steps.push(ModeStep { who, op, what, mentioned });
            }
        }
        Ok(Self(steps))
    }

    fn who(letter: char) -> Option<u16> {
        Some(match letter {
            'u' => 0o4700,
            'g' => 0o2070,
            'o' => 0o1007,
            'a' => ALL,
            _ => return None,
        })
    }

    /// Returns the low 12 bits that `mode` gets. A step that names nobody leaves the bits in `umask` alone;
    /// a directory keeps set-id bits that are not asked for.
    pub fn apply(&self, mode: u16, is_dir: bool, umask: u16) -> u16 {
        let mut mode = mode & ALL;
        for step in &self.0 {
            let kept = if is_dir { SET_IDS & !step.mentioned } else { 0 };
            let bits = match step.what {
                ModeBits::Bits(bits) => bits,
                ModeBits::BitsAndMaybeExecute(bits) if is_dir || mode & 0o111 != 0 => bits | 0o111,
                ModeBits::BitsAndMaybeExecute(bits) => bits,
                ModeBits::Copy(shift) => (mode >> shift & 7) * 0o111,
            };
            let bits = bits & if step.who == 0 { !umask } else { step.who } & !kept;
            mode = match step.op {
                '+' => mode | bits,
                '-' => mode & !bits,
                _ => mode & (if step.who == 0 { 0 } else { !step.who } | kept) | bits,
            };
        }
        mode
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString;

    #[test]
    fn letters_of_every_type() {
        for (mode, letters) in [
            (0o100644, "-rw-r--r--"),
            (0o040755, "drwxr-xr-x"),
            (0o120777, "lrwxrwxrwx"),
            (0o020600, "crw-------"),
            (0o060660, "brw-rw----"),
            (0o010000, "p---------"),
            (0o140111, "s--x--x--x"),
            (0o000000, "?---------"),
            (0o170000, "?---------"),
        ] {
            assert_eq!(Letters(mode).to_string(), letters);
        }
    }

    #[test]
    fn set_id_and_sticky_with_and_without_execute() {
        assert_eq!(Letters(0o104755).to_string(), "-rwsr-xr-x");
        assert_eq!(Letters(0o104644).to_string(), "-rwSr--r--");
        assert_eq!(Letters(0o102755).to_string(), "-rwxr-sr-x");
        assert_eq!(Letters(0o102745).to_string(), "-rwxr-Sr-x");
        assert_eq!(Letters(0o041777).to_string(), "drwxrwxrwt");
        assert_eq!(Letters(0o041776).to_string(), "drwxrwxrwT");
    }

    #[test]
    fn letters_keep_a_width() {
        assert_eq!(format!("{:>12}|", Letters(0o100644)), "  -rw-r--r--|");
    }

    #[test]
    fn octal_permissions() {
        assert_eq!(parse_octal("644"), Ok(0o644));
        assert_eq!(parse_octal("0"), Ok(0));
        assert_eq!(parse_octal("00007777"), Ok(0o7777));
        assert_eq!(parse_octal("10000"), Err(ModeError::TooLarge));
        assert_eq!(parse_octal("77777777777777777777777"), Err(ModeError::TooLarge));
        assert_eq!(parse_octal("648"), Err(ModeError::NotOctal(Some('8'))));
        assert_eq!(parse_octal("+x"), Err(ModeError::NotOctal(Some('+'))));
        assert_eq!(parse_octal(""), Err(ModeError::NotOctal(None)));
    }
    fn change(text: &str, mode: u16) -> u16 {
        ModeChange::parse(text).unwrap().apply(mode, false, 0o022)
    }

    /// Compared with GNU chmod under umask 022.
    #[test]
    fn symbolic_changes_of_files() {
        for (text, before, after) in [
            ("u+x", 0o644, 0o744),
            ("+x", 0o600, 0o711),
            ("+w", 0o444, 0o644),
            ("-w", 0o666, 0o466),
            ("=r", 0o777, 0o444),
            ("a=rw", 0o755, 0o666),
            ("go=", 0o777, 0o700),
            ("u=g,g=o", 0o751, 0o511),
            ("o=u", 0o750, 0o757),
            ("u+s,g+s,+t", 0o755, 0o7755),
            ("ug-s", 0o6755, 0o755),
            ("a+X", 0o644, 0o644),
            ("a+X", 0o744, 0o755),
            ("u=rwX,go=rX", 0o600, 0o644),
            ("u+x-w", 0o644, 0o544),
            ("u=", 0o4755, 0o055),
            ("644", 0o6755, 0o644),
            ("01777", 0, 0o1777),
        ] {
            assert_eq!(change(text, before), after, "{text} on {before:o}");
        }
    }

    #[test]
    fn a_directory_keeps_set_id_bits_nobody_asked_about() {
        let change = |text: &str, mode| ModeChange::parse(text).unwrap().apply(mode, true, 0o022);
        for (text, before, after) in [
            ("755", 0o2700, 0o2755),
            ("00755", 0o2700, 0o755),
            ("4755", 0o2700, 0o6755),
            ("u=rwx", 0o4500, 0o4700),
            ("g-s", 0o2755, 0o755),
            ("a+X", 0o600, 0o711),
        ] {
            assert_eq!(change(text, before), after, "{text} on {before:o}");
        }
    }

    /// What GNU chmod 9.1 makes, under umask 022, of a directory and a file with modes 755, 6755, 2750 and
    /// 4711.
    #[test]
    fn every_way_to_write_a_mode_does_what_chmod_does_to_directories_and_files() {
        #[rustfmt::skip]
        let table: &[(&str, [(u16, u16); 4])] = &[
            ("755", [(0o755, 0o755), (0o6755, 0o755), (0o2755, 0o755), (0o4755, 0o755)]),
            ("0755", [(0o755, 0o755), (0o6755, 0o755), (0o2755, 0o755), (0o4755, 0o755)]),
            ("00755", [(0o755, 0o755), (0o755, 0o755), (0o755, 0o755), (0o755, 0o755)]),
            ("=755", [(0o755, 0o755), (0o755, 0o755), (0o755, 0o755), (0o755, 0o755)]),
            ("=0755", [(0o755, 0o755), (0o755, 0o755), (0o755, 0o755), (0o755, 0o755)]),
            ("u=rwx", [(0o755, 0o755), (0o6755, 0o2755), (0o2750, 0o2750), (0o4711, 0o711)]),
            ("ug=rwx", [(0o775, 0o775), (0o6775, 0o775), (0o2770, 0o770), (0o4771, 0o771)]),
            ("a=rwx", [(0o777, 0o777), (0o6777, 0o777), (0o2777, 0o777), (0o4777, 0o777)]),
            ("=rwx", [(0o755, 0o755), (0o6755, 0o755), (0o2755, 0o755), (0o4755, 0o755)]),
            ("a=g", [(0o555, 0o555), (0o6555, 0o555), (0o2555, 0o555), (0o4111, 0o111)]),
            ("g=u", [(0o775, 0o775), (0o6775, 0o4775), (0o2770, 0o770), (0o4771, 0o4771)]),
            ("u-s", [(0o755, 0o755), (0o2755, 0o2755), (0o2750, 0o2750), (0o711, 0o711)]),
            ("g-s", [(0o755, 0o755), (0o4755, 0o4755), (0o750, 0o750), (0o4711, 0o4711)]),
            ("a-s", [(0o755, 0o755), (0o755, 0o755), (0o750, 0o750), (0o711, 0o711)]),
            ("-s", [(0o755, 0o755), (0o755, 0o755), (0o750, 0o750), (0o711, 0o711)]),
            ("+s", [(0o6755, 0o6755), (0o6755, 0o6755), (0o6750, 0o6750), (0o6711, 0o6711)]),
            ("a+s", [(0o6755, 0o6755), (0o6755, 0o6755), (0o6750, 0o6750), (0o6711, 0o6711)]),
            ("u+s,g-s", [(0o4755, 0o4755), (0o4755, 0o4755), (0o4750, 0o4750), (0o4711, 0o4711)]),
            ("ug=rwxs", [(0o6775, 0o6775), (0o6775, 0o6775), (0o6770, 0o6770), (0o6771, 0o6771)]),
            ("u=s", [(0o4055, 0o4055), (0o6055, 0o6055), (0o6050, 0o6050), (0o4011, 0o4011)]),
            ("2755", [(0o2755, 0o2755), (0o6755, 0o2755), (0o2755, 0o2755), (0o6755, 0o2755)]),
            ("4755", [(0o4755, 0o4755), (0o6755, 0o4755), (0o6755, 0o4755), (0o4755, 0o4755)]),
            ("02755", [(0o2755, 0o2755), (0o2755, 0o2755), (0o2755, 0o2755), (0o2755, 0o2755)]),
            ("=2755", [(0o2755, 0o2755), (0o2755, 0o2755), (0o2755, 0o2755), (0o2755, 0o2755)]),
            ("-2000", [(0o755, 0o755), (0o4755, 0o4755), (0o750, 0o750), (0o4711, 0o4711)]),
            ("-6000", [(0o755, 0o755), (0o755, 0o755), (0o750, 0o750), (0o711, 0o711)]),
            ("+6000", [(0o6755, 0o6755), (0o6755, 0o6755), (0o6750, 0o6750), (0o6711, 0o6711)]),
            ("g=rxs", [(0o2755, 0o2755), (0o6755, 0o6755), (0o2750, 0o2750), (0o6751, 0o6751)]),
            ("go=", [(0o700, 0o700), (0o6700, 0o4700), (0o2700, 0o700), (0o4700, 0o4700)]),
            ("a=", [(0o0, 0o0), (0o6000, 0o0), (0o2000, 0o0), (0o4000, 0o0)]),
            ("=,u+rwx", [(0o700, 0o700), (0o6700, 0o700), (0o2700, 0o700), (0o4700, 0o700)]),
            ("u=rwx,g=rx,o=rx", [(0o755, 0o755), (0o6755, 0o755), (0o2755, 0o755), (0o4755, 0o755)]),
            ("a-x", [(0o644, 0o644), (0o6644, 0o6644), (0o2640, 0o2640), (0o4600, 0o4600)]),
            ("g=o", [(0o755, 0o755), (0o6755, 0o4755), (0o2700, 0o700), (0o4711, 0o4711)]),
            ("u=g,g+s", [(0o2555, 0o2555), (0o6555, 0o2555), (0o2550, 0o2550), (0o6111, 0o2111)]),
            ("+2000", [(0o2755, 0o2755), (0o6755, 0o6755), (0o2750, 0o2750), (0o6711, 0o6711)]),
            ("-0", [(0o755, 0o755), (0o6755, 0o6755), (0o2750, 0o2750), (0o4711, 0o4711)]),
        ];
        for (text, after) in table {
            let change = ModeChange::parse(text).unwrap();
            for (before, (dir, file)) in [0o755, 0o6755, 0o2750, 0o4711].into_iter().zip(after) {
                let both = (change.apply(before, true, 0o022), change.apply(before, false, 0o022));
                assert_eq!(both, (*dir, *file), "{text} on {before:o}: directory, file");
            }
        }
    }

    #[test]
    fn what_is_no_mode_says_what_is_wrong_with_it() {
        let error = |text| ModeChange::parse(text).unwrap_err();
        assert_eq!(error("u+q"), ModeError::NotSymbolic(Some('q')));
        assert_eq!(error("u"), ModeError::NotSymbolic(None));
        assert_eq!(error("u+x,"), ModeError::NotSymbolic(None));
        assert_eq!(error("z=r"), ModeError::NotSymbolic(Some('z')));
        assert_eq!(error("u+755"), ModeError::NotSymbolic(Some('7')));
        assert_eq!(error("=755x"), ModeError::NotSymbolic(Some('7')));
        assert_eq!(error("=19"), ModeError::NotOctal(Some('9')));
        assert_eq!(error("u+gr"), ModeError::NotSymbolic(Some('r')));
        assert_eq!(error("9"), ModeError::NotOctal(Some('9')));
        assert_eq!(error("17777"), ModeError::TooLarge);
        assert_eq!(error(""), ModeError::NotOctal(None));
    }
}
