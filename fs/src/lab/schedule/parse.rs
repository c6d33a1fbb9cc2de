//! Reading the text of worlds and schedules, and what can be wrong with it.
//!
//! An error is one line that names the word, the piece of the text that it stands in, and what could stand
//! there.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use super::{
    MAX_OPS, MAX_PARTS, Mutant, Op, Part, Point, Protocol, Range, Segment, Start, Stop, Story, World,
};

/// What a word should have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WordKind {
    /// A [`Protocol`].
    Protocol,
    /// A [`Range`].
    Range,
    /// A [`Start`].
    Start,
    /// A letter, and perhaps a 4.
    Space,
    /// An [`Op`].
    Op,
    /// A [`Mutant`].
    Mutant,
    /// A [`Point`], or another word for how far.
    Stop,
}

/// What is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoryError {
    /// A word is none of its kind.
    Unknown {
        /// The kind.
        kind: WordKind,
        /// The word.
        word: String,
        /// The piece of the text that it stands in.
        within: String,
    },
    /// A piece is not of its form.
    Form {
        /// The piece.
        piece: String,
        /// The form.
        form: &'static str,
    },
    /// Not a number that can stand there.
    Number {
        /// The word.
        word: String,
        /// The piece of the text that it stands in.
        within: String,
    },
    /// There are no CPUs, or more than [`MAX_PARTS`].
    Parts(usize),
    /// A CPU does more than [`MAX_OPS`] operations.
    Ops {
        /// So many.
        count: usize,
        /// The CPU.
        within: String,
    },
    /// A mistake is named twice.
    Twice(Mutant),
    /// The schedule has a CPU that the world has not.
    Cpu {
        /// The segment.
        segment: String,
        /// So many CPUs the world has.
        parts: usize,
    },
    /// A schedule where a world alone should be.
    Schedule,
}

impl WordKind {
    /// What it is called, and every one.
    fn known(self) -> (&'static str, Vec<&'static str>) {
        match self {
            Self::Protocol => ("protocol", Protocol::ALL.iter().map(|one| one.name()).collect()),
            Self::Range => ("range", Range::ALL.iter().map(|one| one.name()).collect()),
            Self::Start => ("starting state", Start::ALL.iter().map(|one| one.name()).collect()),
            Self::Space => ("address space", ["a", "b", "c", "d", "a4", "b4", "c4", "d4"].into()),
            Self::Op => ("operation", Op::ALL.iter().map(|one| one.name()).collect()),
            Self::Mutant => ("mistake", Mutant::ALL.iter().map(|one| one.name()).collect()),
            Self::Stop => {
                let points = Point::ALL.iter().map(|one| one.name());
                ("point", ["end", "waits"].into_iter().chain(points).collect())
            }
        }
    }
}

/// How many bytes two words begin with together.
fn alike(one: &str, other: &str) -> usize {
    one.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count()
}

impl fmt::Display for StoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { kind, word, within } => {
                let (what, known) = kind.known();
                write!(f, "no such {what}: `{word}`")?;
                if word != within {
                    write!(f, " in `{within}`")?;
                }
                // What is known, if that is short; else what the word may have been meant to be.
                const SHORT: usize = 24;
                let near = known.iter().max_by_key(|name| alike(name, word));
                if known.len() <= SHORT {
                    write!(f, " (known: {})", known.join(" "))
                } else if let Some(near) = near.filter(|name| alike(name, word) >= 3) {
                    write!(f, " (`{near}`?)")
                } else {
                    Ok(())
                }
            }
            Self::Form { piece, form } => write!(f, "`{piece}` is not of the form {form}"),
            Self::Number { word, within } => write!(f, "no number that fits: `{word}` in `{within}`"),
            Self::Parts(0) => f.write_str("no CPUs: the form is PROTOCOL/RANGE.START/SPACE:OPERATION/..."),
            Self::Parts(count) => write!(f, "{count} CPUs, and a world has at most {MAX_PARTS}"),
            Self::Ops { count, within } => {
                write!(f, "{count} operations in `{within}`, and a CPU does at most {MAX_OPS}")
            }
            Self::Twice(mutant) => write!(f, "the mistake `{mutant}` is named twice"),
            Self::Cpu { segment, parts } => {
                write!(f, "the schedule's `{segment}`: the world's CPUs are 0 to {}", parts.saturating_sub(1))
            }
            Self::Schedule => f.write_str("a schedule (`@`) where a world alone is asked for"),
        }
    }
}

impl core::error::Error for StoryError {}

/// A piece of the text as an error shows it: on one line.
fn quoted(piece: &str) -> String {
    piece.escape_debug().collect()
}

/// A word as one of its kind.
fn word<T: FromStr>(kind: WordKind, word: &str, within: &str) -> Result<T, StoryError> {
    word.parse().map_err(|_| StoryError::Unknown { kind, word: quoted(word), within: quoted(within) })
}

/// Digits alone: no sign.
fn number<T: FromStr>(digits: &str, within: &str) -> Result<T, StoryError> {
    let wrong = || StoryError::Number { word: quoted(digits), within: quoted(within) };
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    digits.parse().map_err(|_| wrong())
}

/// The two sides of a character.
fn split<'a>(piece: &'a str, at: char, form: &'static str) -> Result<(&'a str, &'a str), StoryError> {
    piece.split_once(at).ok_or_else(|| StoryError::Form { piece: quoted(piece), form })
}

impl FromStr for Part {
    type Err = StoryError;

    fn from_str(text: &str) -> Result<Self, StoryError> {
        let (place, names) = split(text, ':', "SPACE:OPERATION[+OPERATION]")?;
        let (letter, small) = match place.strip_suffix('4') {
            Some(letter) => (letter, true),
            None => (place, false),
        };
        let spaces = b'a'..b'a' + MAX_PARTS as u8;
        let &[letter] = letter.as_bytes() else { return Err(space(place, text)) };
        if !spaces.contains(&letter) {
            return Err(space(place, text));
        }
        let ops =
            names.split('+').map(|name| word(WordKind::Op, name, text)).collect::<Result<Vec<_>, _>>()?;
        if ops.len() > MAX_OPS {
            return Err(StoryError::Ops { count: ops.len(), within: quoted(text) });
        }
        Ok(Self { space: letter - b'a', small, ops })
    }
}

/// No such address space.
fn space(word: &str, within: &str) -> StoryError {
    StoryError::Unknown { kind: WordKind::Space, word: quoted(word), within: quoted(within) }
}

impl FromStr for World {
    type Err = StoryError;

    fn from_str(text: &str) -> Result<Self, StoryError> {
        if text.contains('@') {
            return Err(StoryError::Schedule);
        }
        let (text, mistakes) = match text.split_once('!') {
            Some((text, mistakes)) => (text, Some(mistakes)),
            None => (text, None),
        };
        let mut pieces = text.split('/');
        let protocol = pieces.next().unwrap_or_default();
        let protocol = word(WordKind::Protocol, protocol, protocol)?;
        let state = pieces.next().ok_or(StoryError::Parts(0))?;
        let (range, start) = split(state, '.', "RANGE.START")?;
        let (range, start) = (word(WordKind::Range, range, state)?, word(WordKind::Start, start, state)?);
        let parts: Vec<&str> = pieces.collect();
        if !(1..=MAX_PARTS).contains(&parts.len()) {
            return Err(StoryError::Parts(parts.len()));
        }
        let parts = parts.into_iter().map(str::parse).collect::<Result<_, _>>()?;
        let mut mutants = Vec::new();
        for name in mistakes.iter().flat_map(|names| names.split(',')) {
            let mutant = word(WordKind::Mutant, name, name)?;
            if mutants.contains(&mutant) {
                return Err(StoryError::Twice(mutant));
            }
            mutants.push(mutant);
        }
        Ok(Self { protocol, range, start, parts, mutants })
    }
}

impl FromStr for Stop {
    type Err = StoryError;

    fn from_str(text: &str) -> Result<Self, StoryError> {
        match text {
            "end" => return Ok(Self::End),
            "waits" => return Ok(Self::Waits),
            _ => {}
        }
        let (place, steps) = match text.split_once('+') {
            Some((place, steps)) => (place, number(steps, text)?),
            None => (text, 0),
        };
        if place.is_empty() && !text.is_empty() {
            return Ok(Self::Place { point: None, steps });
        }
        let (name, time) = match place.split_once('#') {
            Some((name, time)) => (name, number(time, text)?),
            None => (place, 1),
        };
        let point = word(WordKind::Stop, name, text)?;
        if time == 0 {
            return Err(StoryError::Number { word: "0".into(), within: quoted(text) });
        }
        Ok(Self::Place { point: Some((point, time)), steps })
    }
}

impl FromStr for Segment {
    type Err = StoryError;

    fn from_str(text: &str) -> Result<Self, StoryError> {
        let (cpu, until) = split(text, ':', "CPU:PLACE")?;
        let (until, ways) = until.split_once('~').unwrap_or((until, "0"));
        let digit = |way: char| way.to_digit(10).map(|way| way as u8);
        let wrong = || StoryError::Number { word: quoted(ways), within: quoted(text) };
        let ways: Option<Vec<u8>> = ways.chars().map(digit).collect();
        let mut ways = ways.filter(|ways| !ways.is_empty()).ok_or_else(wrong)?;
        // What is not there is the first.
        while ways.last() == Some(&0) {
            ways.pop();
        }
        Ok(Self { cpu: number(cpu, text)?, until: until.parse()?, ways })
    }
}

impl FromStr for Story {
    type Err = StoryError;

    fn from_str(text: &str) -> Result<Self, StoryError> {
        let (world, schedule) = match text.split_once('@') {
            Some((world, schedule)) => (world, Some(schedule)),
            None => (text, None),
        };
        let world: World = world.parse()?;
        let mut segments = Vec::new();
        for text in schedule.iter().flat_map(|all| all.split(',')) {
            let segment: Segment = text.parse()?;
            if segment.cpu >= world.parts.len() {
                return Err(StoryError::Cpu { segment: quoted(text), parts: world.parts.len() });
            }
            segments.push(segment);
        }
        Ok(Self { world, schedule: segments })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::{select, subsequence};
    use std::string::ToString;

    fn part() -> impl Strategy<Value = Part> {
        (0..MAX_PARTS as u8, any::<bool>(), vec(select(Op::ALL), 1..=MAX_OPS))
            .prop_map(|(space, small, ops)| Part { space, small, ops })
    }

    fn world() -> impl Strategy<Value = World> {
        let mutants = subsequence(Mutant::ALL, 0..=Mutant::ALL.len()).prop_shuffle();
        let setting = (select(Protocol::ALL), select(Range::ALL), select(Start::ALL));
        (setting, vec(part(), 1..=MAX_PARTS), mutants).prop_map(
            |((protocol, range, start), parts, mutants)| World { protocol, range, start, parts, mutants },
        )
    }

    fn stop() -> impl Strategy<Value = Stop> {
        let point = proptest::option::of((select(Point::ALL), prop_oneof![Just(1), 1..=u32::MAX]));
        let place = (point, prop_oneof![Just(0), any::<u32>()]);
        prop_oneof![
            Just(Stop::End),
            Just(Stop::Waits),
            place.prop_map(|(point, steps)| Stop::Place { point, steps })
        ]
    }

    fn story() -> impl Strategy<Value = Story> {
        world().prop_flat_map(|world| {
            let ways = (vec(0..10_u8, 0..3), 1..10_u8, any::<bool>()).prop_map(|(mut ways, last, some)| {
                ways.push(last);
                if some { ways } else { Vec::new() }
            });
            let segment = (0..world.parts.len(), stop(), ways).prop_map(|(cpu, until, ways)| Segment {
                cpu,
                until,
                ways,
            });
            vec(segment, 0..12).prop_map(move |schedule| Story { world: world.clone(), schedule })
        })
    }

    proptest! {
        #[test]
        fn what_is_printed_is_parsed_to_the_same(story in story()) {
            let text = story.to_string();
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-/.:+!,@#~".contains(&byte);
            prop_assert!(text.bytes().all(plain), "{}", &text);
            prop_assert_eq!(text.parse::<Story>(), Ok(story.clone()), "{}", &text);
            prop_assert_eq!(story.world.to_string().parse(), Ok(story.world));
        }

        /// Each change of a character is refused with one line, or is the text of another story.
        #[test]
        fn a_changed_text_is_refused_or_means_what_it_says(
            story in story(), at in any::<prop::sample::Index>(), put in "[ -~é\n\t]?",
        ) {
            let mut text = story.to_string();
            let at = at.index(text.len());
            text.replace_range(at..at + 1, &put);
            match text.parse::<Story>() {
                Ok(other) => prop_assert_eq!(other.to_string().parse::<Story>(), Ok(other)),
                Err(error) => prop_assert!(!error.to_string().contains('\n')),
            }
        }
    }

    #[test]
    fn the_example_means_what_the_head_says() {
        let text = "racy/page.hole/a:load/b:store@0:looked-up+3,1:end,0:end";
        let story: Story = text.parse().unwrap();
        let part = |space, op| Part { space, small: false, ops: [op].into() };
        assert_eq!(story.world.parts, [part(0, Op::Load), part(1, Op::Store)]);
        let looked_up = Stop::Place { point: Some((Point::LookedUp, 1)), steps: 3 };
        let segment = |cpu, until| Segment { cpu, until, ways: [].into() };
        assert_eq!(story.schedule, [segment(0, looked_up), segment(1, Stop::End), segment(0, Stop::End)]);
        assert_eq!(story.to_string(), text);
        let long = "entry-lock/pmd.clean/a4:load+punch-beside/a:fork!no-shootdown,zero-twice@1:waits~01,0:+7,1:installed#2~2";
        assert_eq!(long.parse::<Story>().unwrap().to_string(), long);
    }

    #[test]
    fn each_store_has_a_word_of_its_own() {
        let text = "racy/page.hole/a:store+load+write/b:private+write-other+store/b:truncate";
        let world: World = text.parse().unwrap();
        let words = |cpu| (0..3).map(|op| world.stored(cpu, op)).collect::<Vec<_>>();
        assert_eq!(words(0), [Some(0x1001), None, Some(0x1003)]);
        assert_eq!(words(1), [Some(0x2001), Some(0x2002), Some(0x2003)]);
        assert_eq!([words(2), words(3)], [[None; 3], [None; 3]]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        // Lists that grow.
        let protocols: Vec<&str> = Protocol::ALL.iter().map(|one| one.name()).collect();
        let operations: Vec<&str> = Op::ALL.iter().map(|one| one.name()).collect();
        let (protocols, operations) = (protocols.join(" "), operations.join(" "));
        for (text, says) in [
            ("", "no such protocol: `` (known: PROTOCOLS)"),
            ("none/page.hole/a:load", "no such protocol: `none` (known: PROTOCOLS)"),
            ("racy", "no CPUs: the form is PROTOCOL/RANGE.START/SPACE:OPERATION/..."),
            ("racy/page.hole", "no CPUs: the form is PROTOCOL/RANGE.START/SPACE:OPERATION/..."),
            ("racy/page/a:load", "`page` is not of the form RANGE.START"),
            ("racy/book.hole/a:load", "no such range: `book` in `book.hole` (known: page pmd)"),
            (
                "racy/page.full/a:load",
                "no such starting state: `full` in `page.full` (known: hole zero block dirty clean)",
            ),
            ("racy/page.hole/load", "`load` is not of the form SPACE:OPERATION[+OPERATION]"),
            ("racy/page.hole/e:load", "no such address space: `e` in `e:load` (known: a b c d a4 b4 c4 d4)"),
            ("racy/page.hole/a:", "no such operation: `` in `a:` (known: OPERATIONS)"),
            (
                "racy/page.hole/a:load+load+load+load",
                "4 operations in `a:load+load+load+load`, and a CPU does at most 3",
            ),
            ("racy/page.hole/a:load/a:load/a:load/a:load/a:load", "5 CPUs, and a world has at most 4"),
            ("racy/page.hole/a:load!", "no such mistake: ``"),
            ("racy/page.hole/a:load!zero-once", "no such mistake: `zero-once` (`zero-twice`?)"),
            ("racy/page.hole/a:load!zero-twice,zero-twice", "the mistake `zero-twice` is named twice"),
            ("racy/page.hole/a:load@", "`` is not of the form CPU:PLACE"),
            ("racy/page.hole/a:load@0:end~\n", r"no number that fits: `\n` in `0:end~\n`"),
            ("racy/page.hole/a:load@0:end~", "no number that fits: `` in `0:end~`"),
            ("racy/page.hole/a:load@0", "`0` is not of the form CPU:PLACE"),
            ("racy/page.hole/a:load@1:end", "the schedule's `1:end`: the world's CPUs are 0 to 0"),
            ("racy/page.hole/a:load@x:end", "no number that fits: `x` in `x:end`"),
            ("racy/page.hole/a:load@:end", "no number that fits: `` in `:end`"),
            ("racy/page.hole/a:load@0:", "no such point: ``"),
            ("racy/page.hole/a:load@0:looked", "no such point: `looked` (`looked-up`?)"),
            ("racy/page.hole/a:load@0:looked-up#0", "no number that fits: `0` in `looked-up#0`"),
            ("racy/page.hole/a:load@0:looked-up++1", "no number that fits: `+1` in `looked-up++1`"),
            ("racy/page.hole/a:load@0:+4294967296", "no number that fits: `4294967296` in `+4294967296`"),
        ] {
            let error = text.parse::<Story>().expect_err(text);
            let says = says.replace("PROTOCOLS", &protocols).replace("OPERATIONS", &operations);
            assert_eq!(error.to_string(), says, "{text}");
        }
        assert_eq!("racy/page.hole/a:load@0:end".parse::<World>(), Err(StoryError::Schedule));
    }
}
