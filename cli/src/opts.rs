//! Short options: a small getopt.
//!
//! A specification is a string of option letters, each followed by `:` if the option takes a value:
//! `"b:fqS:"`. Options may be clustered (`-fq`), values attached or separate (`-b4k`, `-b 4k`), options and
//! operands mixed as GNU programs and `xfs_io` allow (`pwrite 0 4k -q`). `--` ends the options, `-` alone is
//! an operand. With a `+` at the start of the specification the first operand ends the options too, for
//! commands whose operands are a command of their own (`time ls -l`). There are no long options.
//!
//! Reference: POSIX.1-2024, XBD 12.2, and getopt(3) for the mixing and the `+`.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// What is wrong with the options of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OptError {
    /// The command has no such option.
    Unknown(char),
    /// The command has no long options.
    UnknownLong(String),
    /// The option's value is missing.
    NeedsValue(char),
}

impl fmt::Display for OptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(c) => write!(f, "unknown option -{}", c.escape_debug()),
            Self::UnknownLong(name) => write!(f, "unknown option {}", name.escape_debug()),
            Self::NeedsValue(c) => write!(f, "option -{c} needs a value"),
        }
    }
}

impl core::error::Error for OptError {}

/// The options and operands of one command, both in the order given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opts<'a> {
    options: Vec<(char, Option<&'a str>)>,
    operands: Vec<&'a str>,
}

impl<'a> Opts<'a> {
    /// Sorts `args` (without the command's name) by the specification `spec`.
    pub fn parse<S: AsRef<str>>(spec: &str, args: &'a [S]) -> Result<Self, OptError> {
        let (spec, first_operand_ends) = match spec.strip_prefix('+') {
            Some(spec) => (spec, true),
            None => (spec, false),
        };
        let mut found = Self::default();
        let mut args = args.iter().map(AsRef::as_ref);
        while let Some(arg) = args.next() {
            let Some(cluster) = arg.strip_prefix('-').filter(|cluster| !cluster.is_empty()) else {
                found.operands.push(arg);
                if first_operand_ends {
                    break;
                }
                continue;
            };
            if cluster == "-" {
                break;
            }
            if cluster.starts_with('-') {
                return Err(OptError::UnknownLong(arg.into()));
            }
            let mut letters = cluster.chars();
            while let Some(letter) = letters.next() {
                if !takes_value(spec, letter).ok_or(OptError::Unknown(letter))? {
                    found.options.push((letter, None));
                    continue;
                }
                // The rest of the cluster is the value; if there is none, the next argument, whatever it
                // looks like.
                let value = match letters.as_str() {
                    "" => args.next().ok_or(OptError::NeedsValue(letter))?,
                    attached => attached,
                };
                found.options.push((letter, Some(value)));
                break;
            }
        }
        found.operands.extend(args);
        Ok(found)
    }

    /// Whether `-letter` was given.
    pub fn has(&self, letter: char) -> bool {
        self.options.iter().any(|(l, _)| *l == letter)
    }

    /// How often `-letter` was given.
    pub fn count(&self, letter: char) -> usize {
        self.options.iter().filter(|(l, _)| *l == letter).count()
    }

    /// The value of `-letter`; of several, the last.
    pub fn value(&self, letter: char) -> Option<&'a str> {
        self.options.iter().rev().find(|(l, _)| *l == letter).and_then(|(_, value)| *value)
    }

    /// All options in order, with the values of those that take one.
    pub fn options(&self) -> &[(char, Option<&'a str>)] {
        &self.options
    }

    /// The operands, in order.
    pub fn operands(&self) -> &[&'a str] {
        &self.operands
    }
}

/// Whether the option takes a value; `None` if it is not in the specification.
fn takes_value(spec: &str, letter: char) -> Option<bool> {
    if letter == ':' {
        return None;
    }
    let (_, after) = spec.split_once(letter)?;
    Some(after.starts_with(':'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn clusters_values_and_operands_mix() {
        let args = ["0", "-fqb4k", "-S", "0x61", "4k", "-q", "-", "--", "-f"];
        let opts = Opts::parse("b:fqS:", &args).unwrap();
        assert!(opts.has('f') && opts.has('q') && !opts.has('z'));
        assert_eq!(opts.count('q'), 2);
        assert_eq!((opts.value('b'), opts.value('S'), opts.value('f')), (Some("4k"), Some("0x61"), None));
        assert_eq!(opts.operands(), ["0", "4k", "-", "-f"]);
        assert_eq!(opts.options()[2], ('b', Some("4k")));
    }

    #[test]
    fn a_value_may_look_like_an_option() {
        let opts = Opts::parse("s:", &["-s", "-4k"]).unwrap();
        assert_eq!(opts.value('s'), Some("-4k"));
        let opts = Opts::parse("s:", &["-s--", "--", "-s"]).unwrap();
        assert_eq!((opts.value('s'), opts.operands()), (Some("--"), &["-s"][..]));
    }

    #[test]
    fn the_last_of_several_values_counts() {
        assert_eq!(Opts::parse("b:", &["-b1", "-b2"]).unwrap().value('b'), Some("2"));
    }

    #[test]
    fn plus_stops_at_the_first_operand() {
        let opts = Opts::parse("+q", &["-q", "ls", "-l", "--", "x"]).unwrap();
        assert_eq!(opts.operands(), ["ls", "-l", "--", "x"]);
        assert_eq!(Opts::parse("+q", &["--", "-l"]).unwrap().operands(), ["-l"]);
    }

    #[test]
    fn errors_name_the_option() {
        let error = |args: &[&str]| Opts::parse("+b:fS:", args).unwrap_err().to_string();
        assert_eq!(error(&["-fx"]), "unknown option -x");
        assert_eq!(error(&["-S"]), "option -S needs a value");
        assert_eq!(error(&["-f:"]), "unknown option -:");
        assert_eq!(error(&["-+"]), "unknown option -+");
        assert_eq!(error(&["--force"]), "unknown option --force");
        assert_eq!(error(&["-é"]), "unknown option -é");
    }

    #[test]
    fn no_arguments_is_fine() {
        assert_eq!(Opts::parse::<&str>("", &[]), Ok(Opts::default()));
    }
}
