//! The options, from a command line and back.

use alloc::string::{String, ToString};
use cli::opts::Opts;
use cli::size;
use core::fmt;

/// The options, as [`Opts::parse`] takes them. `--replay-ops` (`<`) and `--record-ops` (`>`) are for whoever
/// has files; the rest is [`Options`].
pub const SPEC: &str = "N:S:l:o:r:w:t:c:p:b:D:g:e:s:xqdfyLRWXFHzCIKOnMZ replay-ops=<: record-ops=>:";

/// What the options mean, for people: letter with value, and what it does.
pub const HELP: &[(&str, &str)] = &[
    ("-N NUM", "do that many operations (default 1000)"),
    ("-S SEED", "seed of the random numbers (default 1; 0: the time)"),
    ("-l LEN", "the file's greatest length (default 256k)"),
    ("-o LEN", "the greatest length of an operation (default 64k)"),
    ("-O", "every operation as long as that"),
    ("-r NUM", "align reads (default 1)"),
    ("-w NUM", "align writes"),
    ("-t NUM", "align truncations"),
    ("-Z", "align ends as well, as direct I/O must"),
    ("-L", "no changes of size"),
    ("-R", "no reads through mappings"),
    ("-W", "no writes through mappings"),
    ("-M", "one mapping all the time, not one for each operation"),
    ("-F", "no fallocate"),
    ("-H", "no punching of holes"),
    ("-z", "no zeroing of ranges"),
    ("-C", "no collapsing of ranges"),
    ("-I", "no inserting of ranges"),
    ("-K", "nothing that keeps the size"),
    ("-x", "allocate blocks for the greatest length first"),
    ("-e 1", "before the file grows, store in its last page what must not be seen then"),
    ("-c NUM", "close and open after one in NUM operations"),
    ("-f", "flush, and forget what is cached, after each operation"),
    ("-y", "fsync after each operation"),
    ("-X", "compare the whole file after each operation"),
    ("-n", "don't compare the size after each operation"),
    ("-g CHAR", "write that character, not what tells operations apart"),
    ("-s 1", "truncations change less"),
    ("-b NUM", "number of the first operation (default 1)"),
    ("-p NUM", "print one in NUM operations"),
    ("-d", "print every operation"),
    ("-D NUM", "print every operation from that one on"),
    ("-q", "print only what went wrong, and the last line"),
    ("--replay-ops FILE", "do the operations in FILE"),
    ("--record-ops FILE", "write the operations to FILE"),
];

/// The most that `-l` and `-o` take: the exerciser may hold three times as much.
const LONGEST: u64 = 256 << 20;

/// What to do, how often, and how closely to look. See [`HELP`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// `-N`
    pub ops: u64,
    /// `-S`; 0 is a seed like others here: whoever has a clock replaces it.
    pub seed: u64,
    /// `-l`
    pub max_len: u64,
    /// `-o`
    pub max_op: u64,
    /// `-O`
    pub always_max: bool,
    /// `-r`, `-w`, `-t`
    pub align: Align,
    /// `-Z`
    pub direct: bool,
    /// `-L`
    pub lite: bool,
    /// `-R`, `-W`, `-F`, `-H`, `-z`, `-C`, `-I`, `-K`
    pub off: Off,
    /// `-M`: the target's part.
    pub one_mapping: bool,
    /// `-x`
    pub preallocate: bool,
    /// `-e 1`
    pub pollute: bool,
    /// `-c`; 0 never.
    pub close: u64,
    /// `-f`
    pub flush: bool,
    /// `-y`
    pub sync: bool,
    /// `-X`
    pub compare: bool,
    /// `-n`
    pub no_size: bool,
    /// `-g`
    pub fill: Option<u8>,
    /// `-s 1`
    pub small_truncates: bool,
    /// `-b`
    pub first: u64,
    /// `-p`; 0 never.
    pub progress: u64,
    /// `-d`: 1; `-D`.
    pub debug_from: Option<u64>,
    /// `-q`
    pub quiet: bool,
}

/// What offsets (and with `-Z` lengths) are multiples of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Align {
    /// Of reads.
    pub read: u64,
    /// Of writes.
    pub write: u64,
    /// Of sizes.
    pub truncate: u64,
}

/// Operations that are not done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Off {
    /// `-R`
    pub map_read: bool,
    /// `-W`
    pub map_write: bool,
    /// `-F`
    pub allocate: bool,
    /// `-H`
    pub punch: bool,
    /// `-z`
    pub zero: bool,
    /// `-C`
    pub collapse: bool,
    /// `-I`
    pub insert: bool,
    /// `-K`
    pub keep_size: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ops: 1000,
            seed: 1,
            max_len: 256 << 10,
            max_op: 64 << 10,
            always_max: false,
            align: Align { read: 1, write: 1, truncate: 1 },
            direct: false,
            lite: false,
            off: Off::default(),
            one_mapping: false,
            preallocate: false,
            pollute: false,
            close: 0,
            flush: false,
            sync: false,
            compare: false,
            no_size: false,
            fill: None,
            small_truncates: false,
            first: 1,
            progress: 0,
            debug_from: None,
            quiet: false,
        }
    }
}

impl Options {
    /// Makes the options from those of a command line that [`SPEC`] sorted.
    ///
    /// # Errors
    /// What is wrong, with the option: a bad number, one out of range.
    pub fn new(opts: &Opts<'_>) -> Result<Self, String> {
        let number = |letter, default, least, most| match opts.value(letter) {
            None => Ok(default),
            Some(text) => match size::parse(text, 4096, 512) {
                Ok(value) if (least..=most).contains(&value) => Ok(value),
                Ok(_) => Err(alloc::format!("-{letter} {text}: must be from {least} to {most}")),
                Err(why) => Err(alloc::format!("-{letter} {text}: {why}")),
            },
        };
        let any = u64::MAX;
        let default = Self::default();
        let first = number('b', default.first, 1, any)?;
        let max_len = number('l', default.max_len, 1, LONGEST)?;
        let fill = match opts.value('g') {
            None => None,
            Some(text) => match *text.as_bytes() {
                [byte] => Some(byte),
                _ => return Err(alloc::format!("-g {text}: must be one character")),
            },
        };
        let debug_from = opts.value('D').map(|_| number('D', 1, 1, any)).transpose()?;
        Ok(Self {
            ops: number('N', default.ops, 0, any)?,
            seed: number('S', default.seed, 0, any)?,
            max_len,
            max_op: number('o', default.max_op, 1, LONGEST)?,
            always_max: opts.has('O'),
            align: Align {
                read: number('r', 1, 1, max_len)?,
                write: number('w', 1, 1, max_len)?,
                truncate: number('t', 1, 1, max_len)?,
            },
            direct: opts.has('Z'),
            lite: opts.has('L'),
            off: Off {
                map_read: opts.has('R'),
                map_write: opts.has('W'),
                allocate: opts.has('F'),
                punch: opts.has('H'),
                zero: opts.has('z'),
                collapse: opts.has('C'),
                insert: opts.has('I'),
                keep_size: opts.has('K'),
            },
            one_mapping: opts.has('M'),
            preallocate: opts.has('x'),
            pollute: number('e', 0, 0, 1)? == 1,
            close: number('c', 0, 1, any)?,
            flush: opts.has('f'),
            sync: opts.has('y'),
            compare: opts.has('X'),
            no_size: opts.has('n'),
            fill,
            small_truncates: number('s', 0, 0, 1)? == 1,
            first,
            progress: number('p', 0, 1, any)?,
            debug_from: if opts.has('d') { Some(1) } else { debug_from },
            quiet: opts.has('q'),
        })
    }

    /// Makes the options from words, as in a command line.
    ///
    /// # Errors
    /// Those of [`new`](Self::new); an unknown option; an operand.
    pub fn parse(line: &str) -> Result<Self, String> {
        let words: alloc::vec::Vec<&str> = line.split_ascii_whitespace().collect();
        let opts = Opts::parse(SPEC, &words).map_err(|why| why.to_string())?;
        match opts.operands() {
            [] => Self::new(&opts),
            [extra, ..] => Err(alloc::format!("extra operand '{extra}'")),
        }
    }
}

/// The command line that does the same, without the file: what was not said is left out.
impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ops, seed, max_len, max_op, align, off, close, first, .. } = self;
        let default = Self::default();
        write!(f, "-N {ops} -S {seed} -l {max_len} -o {max_op}")?;
        let numbers = [
            ('r', align.read, 1),
            ('w', align.write, 1),
            ('t', align.truncate, 1),
            ('c', *close, 0),
            ('e', u64::from(self.pollute), 0),
            ('s', u64::from(self.small_truncates), 0),
            ('b', *first, default.first),
        ];
        for (letter, value, _) in numbers.iter().filter(|(_, value, default)| value != default) {
            write!(f, " -{letter} {value}")?;
        }
        if let Some(byte) = self.fill {
            write!(f, " -g {}", char::from(byte))?;
        }
        let switches = [
            ('O', self.always_max),
            ('Z', self.direct),
            ('L', self.lite),
            ('R', off.map_read),
            ('W', off.map_write),
            ('F', off.allocate),
            ('H', off.punch),
            ('z', off.zero),
            ('C', off.collapse),
            ('I', off.insert),
            ('K', off.keep_size),
            ('M', self.one_mapping),
            ('x', self.preallocate),
            ('f', self.flush),
            ('y', self.sync),
            ('X', self.compare),
            ('n', self.no_size),
        ];
        for (letter, _) in switches.iter().filter(|(_, on)| *on) {
            write!(f, " -{letter}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_that_repeats_a_run_means_the_same() {
        let line = "-N 57 -S 191110531 -l 262144 -o 65536 -r 4k -w 512 -t 2 -c 9 -e 1 -s 1 -b 3 -g Q -OZLRWFHzCIKMxfyXn";
        let options = Options::parse(line).unwrap();
        assert_eq!(Options::parse(&options.to_string()), Ok(options.clone()));
        assert_ne!(options, Options::default());
        assert_eq!(Options::default().to_string(), "-N 1000 -S 1 -l 262144 -o 65536");
    }

    #[test]
    fn what_is_printed_is_an_option_too() {
        let options = Options::parse("-d -q -p 10").unwrap();
        assert_eq!((options.debug_from, options.quiet, options.progress), (Some(1), true, 10));
        assert_eq!(Options::parse("-D 7").unwrap().debug_from, Some(7));
    }

    #[test]
    fn bad_options_are_named() {
        for (line, why) in [
            ("-N x", "-N x: not a number"),
            ("-l 0", "-l 0: must be from 1 to 268435456"),
            ("-l 1g", "-l 1g: must be from 1 to 268435456"),
            ("-l 100 -r 101", "-r 101: must be from 1 to 100"),
            ("-w 0", "-w 0: must be from 1 to 262144"),
            ("-e 2", "-e 2: must be from 0 to 1"),
            ("-c 0", "-c 0: must be from 1 to 18446744073709551615"),
            ("-g ab", "-g ab: must be one character"),
            ("-A", "unknown option -A"),
            ("-N", "option -N needs a value"),
            ("file", "extra operand 'file'"),
        ] {
            assert_eq!(Options::parse(line).unwrap_err(), why);
        }
    }

    #[test]
    fn every_option_is_explained_and_every_explained_one_is_taken() {
        let (letters, _) = SPEC.split_once(' ').unwrap();
        let mut letters: alloc::vec::Vec<char> = letters.chars().filter(|letter| *letter != ':').collect();
        for (option, _) in HELP {
            let words: alloc::vec::Vec<&str> = option.split(' ').collect();
            let opts = Opts::parse(SPEC, &words).unwrap();
            assert_eq!(opts.operands(), [""; 0], "{option}");
            letters.retain(|letter| !opts.has(*letter));
        }
        assert_eq!(letters, [], "unexplained");
    }
}
