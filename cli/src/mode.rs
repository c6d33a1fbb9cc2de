//! Unix file modes as letters and in octal.
//!
//! A mode is the 16-bit `i_mode` of an ext2 inode: four bits of file type, then set-user-id, set-group-id and
//! sticky, then three times read, write, execute.
//!
//! References: "The Second Extended File System" (nongnu.org), 3.3 `i_mode`; POSIX `ls`, "long format".

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

/// Why a text is not an octal mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModeError {
    /// It is empty or this character is not an octal digit.
    NotOctal(Option<char>),
    /// It has bits beyond 7777.
    TooLarge,
}

impl fmt::Display for ModeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOctal(None) => write!(f, "empty mode"),
            Self::NotOctal(Some(c)) => write!(f, "'{}' is not an octal digit", c.escape_debug()),
            Self::TooLarge => write!(f, "mode above 7777"),
        }
    }
}

impl core::error::Error for ModeError {}

/// Reads permissions in octal, `0` to `7777`, leading zeroes allowed.
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
}
