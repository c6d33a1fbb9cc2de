//! Formats like `stat -c '%-10s %n'`: directives with flags, a width and a precision, and what stands for
//! them.
//!
//! Reference: stat(1) of GNU coreutils; printf(3) for flags, width and precision.

use alloc::string::String;

/// What a directive is replaced with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Text. A precision cuts it.
    Text(String),
    /// A number in decimal.
    Number(i128),
    /// A number in octal; `#` puts a 0 in front.
    Octal(u64),
    /// A number in hexadecimal; `#` puts 0x in front.
    Hex(u64),
    /// Seconds and nanoseconds, as a decimal fraction: the precision is its digits, 0 of them unless asked
    /// for (9 for a dot alone).
    Time(i64, u32),
}

/// Widths beyond are cut to this: nobody reads that many blanks.
const WIDEST: usize = 4096;

/// Replaces each directive of `format` with what `f` has for its letter (`?` if it has nothing); `%%` is a
/// percent sign. With `escapes`, `\n`, `\t`, `\\`, `\"`, `\a`, `\b`, `\e`, `\f`, `\r`, `\v`, `\101` and
/// `\x41` mean what they do in C; others stand for the letter itself.
///
/// # Errors
/// Those of `f`.
pub fn expand<E>(
    format: &str,
    escapes: bool,
    mut f: impl FnMut(char) -> Result<Option<Value>, E>,
) -> Result<String, E> {
    let mut out = String::new();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\\' && escapes {
            out.extend(escape(&mut chars));
            continue;
        }
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut flags = ConversionFlags::default();
        while let Some(c) = chars.next_if(|c| "-+ #0'".contains(*c)) {
            match c {
                '-' => flags.left = true,
                '+' => flags.plus = true,
                ' ' => flags.blank = true,
                '#' => flags.alternate = true,
                '0' => flags.zeros = true,
                _ => {}
            }
        }
        flags.width = number(&mut chars).unwrap_or(0);
        if chars.next_if_eq(&'.').is_some() {
            flags.precision = Some(number(&mut chars));
        }
        match chars.next() {
            Some('%') => out.push('%'),
            Some(letter) => match f(letter)? {
                Some(value) => flags.print(&value, &mut out),
                None => out.push('?'),
            },
            None => out.push('%'),
        }
    }
    Ok(out)
}

type Chars<'a> = core::iter::Peekable<core::str::Chars<'a>>;

fn number(chars: &mut Chars<'_>) -> Option<usize> {
    let mut value = None;
    while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
        chars.next();
        value = Some((value.unwrap_or(0) * 10 + digit as usize).min(WIDEST));
    }
    value
}

fn escape(chars: &mut Chars<'_>) -> Option<char> {
    let code = |chars: &mut Chars<'_>, radix, most| {
        let mut value = 0;
        for _ in 0..most {
            let Some(digit) = chars.peek().and_then(|c| c.to_digit(radix)) else { break };
            chars.next();
            value = value * radix + digit;
        }
        char::from((value & 0xff) as u8)
    };
    Some(match chars.peek().copied() {
        Some('0'..='7') => code(chars, 8, 3),
        Some('x') => {
            chars.next();
            code(chars, 16, 2)
        }
        Some(c) => {
            chars.next();
            match c {
                'a' => '\x07',
                'b' => '\x08',
                'e' => '\x1b',
                'f' => '\x0c',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'v' => '\x0b',
                other => other,
            }
        }
        None => '\\',
    })
}

#[derive(Clone, Copy, Default)]
struct ConversionFlags {
    left: bool,
    plus: bool,
    blank: bool,
    alternate: bool,
    zeros: bool,
    width: usize,
    /// `.` was there, and perhaps a number.
    precision: Option<Option<usize>>,
}

impl ConversionFlags {
    fn print(&self, value: &Value, out: &mut String) {
        let prefix = |negative: bool| match (negative, self.plus, self.blank) {
            (true, ..) => "-",
            (_, true, _) => "+",
            (_, _, true) => " ",
            _ => "",
        };
        let digits = self.precision.map(Option::unwrap_or_default);
        let (sign, mut body) = match value {
            Value::Text(text) => {
                let most = digits.unwrap_or(usize::MAX);
                (String::new(), text.chars().take(most).collect())
            }
            Value::Number(n) => (prefix(*n < 0).into(), alloc::format!("{}", n.unsigned_abs())),
            Value::Octal(n) if self.alternate && *n != 0 => (String::new(), alloc::format!("0{n:o}")),
            Value::Octal(n) => (String::new(), alloc::format!("{n:o}")),
            Value::Hex(n) if self.alternate && *n != 0 => ("0x".into(), alloc::format!("{n:x}")),
            Value::Hex(n) => (String::new(), alloc::format!("{n:x}")),
            Value::Time(seconds, nanos) => {
                let (seconds, nanos) = (*seconds, *nanos);
                let places = self.precision.map_or(0, |digits| digits.unwrap_or(9));
                // Before the epoch, the fraction counts away from it; without one it is the second before.
                let negative = seconds < 0;
                let (whole, rest) = match (negative && places > 0, nanos) {
                    (true, 1..) => ((seconds + 1).unsigned_abs(), 1_000_000_000 - nanos),
                    _ => (seconds.unsigned_abs(), nanos),
                };
                let mut text = alloc::format!("{whole}");
                if places > 0 {
                    text.push('.');
                    let fraction = alloc::format!("{rest:09}");
                    text.extend(fraction.chars().chain(core::iter::repeat('0')).take(places));
                }
                (prefix(negative).into(), text)
            }
        };
        let is_number = matches!(value, Value::Number(_) | Value::Octal(_) | Value::Hex(_));
        if let Some(least) = digits.filter(|_| is_number) {
            body = alloc::format!("{}{body}", "0".repeat(least.saturating_sub(body.len())));
        }
        let blanks = self.width.saturating_sub(sign.chars().count() + body.chars().count());
        let zeros = self.zeros && !self.left && !matches!(value, Value::Text(_));
        match (self.left, zeros) {
            (true, _) => out.extend([sign.as_str(), &body, &" ".repeat(blanks)]),
            (_, true) => out.extend([sign.as_str(), &"0".repeat(blanks), &body]),
            _ => out.extend([" ".repeat(blanks).as_str(), &sign, &body]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::convert::Infallible;

    fn expanded(format: &str, escapes: bool) -> String {
        let Ok(text) = expand(format, escapes, |letter| {
            Ok::<_, Infallible>(match letter {
                'n' => Some(Value::Text("name".into())),
                's' => Some(Value::Number(1234)),
                'm' => Some(Value::Number(-5)),
                'a' => Some(Value::Octal(0o644)),
                'f' => Some(Value::Hex(0x81a4)),
                'X' => Some(Value::Time(1_795_386_988, 928_654_401)),
                'Y' => Some(Value::Time(-2, 750_000_000)),
                _ => None,
            })
        });
        text
    }

    /// Compared with stat(1).
    #[test]
    fn directives() {
        for (format, text) in [
            ("", ""),
            ("%n%%", "name%"),
            ("a\\n%q|", "a\\n?|"),
            ("%10n|%-10n|%.2n|", "      name|name      |na|"),
            ("%10s|%-10s|%010s|%+s|% s|%.6s|", "      1234|1234      |0000001234|+1234| 1234|001234|"),
            ("%5m|%05m|", "   -5|-0005|"),
            ("%a|%#a|%06a|%f|%#f|%#8f", "644|0644|000644|81a4|0x81a4|  0x81a4"),
            ("%X|%.X|%.3X|%.12X|", "1795386988|1795386988.928654401|1795386988.928|1795386988.928654401000|"),
            ("%Y|%.2Y|", "-2|-1.25|"),
            ("%", "%"),
            ("%99999999999999999999n", &(" ".repeat(WIDEST - 4) + "name")),
        ] {
            assert_eq!(expanded(format, false), text, "{format}");
        }
    }

    #[test]
    fn escapes() {
        assert_eq!(expanded("a\\n\\t\\\\\\101\\x41\\q\\", true), "a\n\t\\AAq\\");
        assert_eq!(expanded("\\n", false), "\\n");
    }
}
