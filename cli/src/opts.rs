//! Options: a small getopt.
//!
//! A specification is a string of option letters, each followed by `:` if the option takes a value:
//! `"b:fqS:"`. Options may be clustered (`-fq`), values attached or separate (`-b4k`, `-b 4k`), options and
//! operands mixed as GNU programs and `xfs_io` allow (`pwrite 0 4k -q`). `--` ends the options, `-` alone is
//! an operand. With a `+` at the start of the specification the first operand ends the options too, for
//! commands whose operands are a command of their own (`time ls -l`). A specification that is just `-` makes
//! every argument an operand, for commands with a language of their own (`find / -name x`).
//!
//! Long options follow the letters, each after a blank, as `name=c`: `--name` counts as the option `c`. With
//! a `:` at its end, or if the letter `c` takes a value, so does the long option: `--name=value` or
//! `--name value`. A `c` that is not among the letters has the long name only.
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
    /// The command has no such long option.
    UnknownLong(String),
    /// The option's value is missing.
    NeedsValue(char),
    /// The long option's value is missing.
    LongNeedsValue(String),
    /// The long option takes none.
    LongTakesNone(String),
}

impl fmt::Display for OptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(c) => write!(f, "unknown option -{}", c.escape_debug()),
            Self::UnknownLong(name) => write!(f, "unknown option {}", name.escape_debug()),
            Self::NeedsValue(c) => write!(f, "option -{c} needs a value"),
            Self::LongNeedsValue(name) => write!(f, "option --{name} needs a value"),
            Self::LongTakesNone(name) => write!(f, "option --{name} takes no value"),
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
    ///
    /// # Errors
    /// The first option that is unknown, or whose value is missing or not wanted.
    pub fn parse<S: AsRef<str>>(spec: &str, args: &'a [S]) -> Result<Self, OptError> {
        let mut found = Self::default();
        let mut args = args.iter().map(AsRef::as_ref);
        if spec == "-" {
            found.operands.extend(args);
            return Ok(found);
        }
        let (spec, first_operand_ends) = match spec.strip_prefix('+') {
            Some(spec) => (spec, true),
            None => (spec, false),
        };
        let (spec, long) = spec.split_once(' ').unwrap_or((spec, ""));
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
            if let Some(text) = cluster.strip_prefix('-') {
                let (name, attached) = match text.split_once('=') {
                    Some((name, value)) => (name, Some(value)),
                    None => (text, None),
                };
                let (letter, valued) =
                    long_option(spec, long, name).ok_or_else(|| OptError::UnknownLong(arg.into()))?;
                let value = match (valued, attached) {
                    (true, None) => Some(args.next().ok_or_else(|| OptError::LongNeedsValue(name.into()))?),
                    (false, Some(_)) => return Err(OptError::LongTakesNone(name.into())),
                    (_, attached) => attached,
                };
                found.options.push((letter, value));
                continue;
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

    /// Returns whether `-letter` was given.
    pub fn has(&self, letter: char) -> bool {
        self.options.iter().any(|(l, _)| *l == letter)
    }

    /// Returns how often `-letter` was given.
    pub fn count(&self, letter: char) -> usize {
        self.options.iter().filter(|(l, _)| *l == letter).count()
    }

    /// Returns the value of `-letter`; of several, the last.
    pub fn value(&self, letter: char) -> Option<&'a str> {
        self.options.iter().rev().find(|(l, _)| *l == letter).and_then(|(_, value)| *value)
    }

    /// Returns all options in order, with the values of those that take one.
    pub fn options(&self) -> &[(char, Option<&'a str>)] {
        &self.options
    }

    /// Returns the operands, in order.
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

/// The letter that a long option stands for, and whether it takes a value; `None` if there is none of that
/// name.
fn long_option(spec: &str, long: &str, name: &str) -> Option<(char, bool)> {
    let (_, letter) = long.split(' ').filter_map(|entry| entry.split_once('=')).find(|(n, _)| *n == name)?;
    let valued = letter.ends_with(':');
    let letter = letter.chars().next()?;
    Some((letter, valued || takes_value(spec, letter) == Some(true)))
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
    fn long_options_stand_for_letters() {
        let spec = "fb: exchange=X size=b printf=P:";
        let args = ["--exchange", "--size", "4k", "--printf=a=b", "x", "--", "--size"];
        let opts = Opts::parse(spec, &args).unwrap();
        assert_eq!(opts.options(), [('X', None), ('b', Some("4k")), ('P', Some("a=b"))]);
        assert_eq!(opts.operands(), ["x", "--size"]);
        let error = |args: &[&str]| Opts::parse(spec, args).unwrap_err().to_string();
        // A letter of a long name only is no short option, and neither is the list of long names.
        assert_eq!(error(&["-X"]), "unknown option -X");
        assert_eq!(error(&["-e"]), "unknown option -e");
        assert_eq!(error(&["- "]), "unknown option - ");
        assert_eq!(error(&["--exchange=1"]), "option --exchange takes no value");
        assert_eq!(error(&["--size"]), "option --size needs a value");
        assert_eq!(error(&["--siz=1"]), "unknown option --siz=1");
        assert_eq!(error(&["--=1"]), "unknown option --=1");
    }

    #[test]
    fn a_language_of_its_own_has_no_options() {
        let opts = Opts::parse("-", &["-x", "--", "--y", "-"]).unwrap();
        assert_eq!((opts.options().len(), opts.operands()), (0, &["-x", "--", "--y", "-"][..]));
    }

    #[test]
    fn no_arguments_is_fine() {
        assert_eq!(Opts::parse::<&str>("", &[]), Ok(Opts::default()));
    }
}
