//! Mistakes, and their text.
//!
//! `locks/src/rwlock.rs:leave:load:1 relaxed` is the first `load` in function `leave`, without an order;
//! `lab wake-wrong-key` is a mistake that `fs` knows by its name; `wait look-early` is one of the machine's.
//! Lines and columns are looked up in the source: a text stays right when code moves.

use std::fmt;
use std::path::Path;

use fs::lab::Mutant;
use loomed::Wrong;

/// An access in the source, found again by its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct AccessPlace {
    /// From the workspace's root.
    pub(crate) file: String,
    /// The function it is in.
    pub(crate) function: String,
    /// The method, or `fence`.
    pub(crate) method: String,
    /// Which of those in the function, from 1.
    pub(crate) nth: usize,
}

/// A mistake.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mistake {
    /// An access is wrong.
    Access(AccessPlace, Wrong),
    /// A mistake of `fs`' lab, by name.
    Lab(&'static str),
    /// Who waits looks at its condition before it locks the list, not after.
    LookEarly,
}

const LOOK_EARLY: &str = "wait look-early";

/// Those of the lab that are about what the models are about.
pub(crate) const LAB: [Mutant; 4] =
    [Mutant::WakeWrongKey, Mutant::IgnorePins, Mutant::LargeIgnoresSmallLocks, Mutant::LargeOverSmall];

impl fmt::Display for AccessPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}:{}", self.file, self.function, self.method, self.nth)
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Access(place, wrong) => write!(f, "{place} {}", wrong.name()),
            Self::Lab(name) => write!(f, "lab {name}"),
            Self::LookEarly => f.write_str(LOOK_EARLY),
        }
    }
}

impl Mistake {
    /// Parses what `text` says.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text == LOOK_EARLY {
            return Ok(Self::LookEarly);
        }
        let (what, how) = text.split_once(' ').ok_or_else(|| format!("{text}: not a mistake"))?;
        if what == "lab" {
            let known = LAB.iter().map(|mutant| mutant.name()).find(|name| *name == how);
            return known
                .map(Self::Lab)
                .ok_or_else(|| format!("{how}: no mistake of the lab that is tried here"));
        }
        let mut parts = what.split(':');
        let (Some(file), Some(function), Some(method), Some(nth), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(format!("{what}: not FILE:FUNCTION:METHOD:NUMBER"));
        };
        let nth = nth.parse().map_err(|_| format!("{nth}: not a number"))?;
        let wrong = Wrong::ALL.into_iter().find(|wrong| wrong.name() == how);
        let wrong = wrong.ok_or_else(|| format!("{how}: nothing that can be wrong with an access"))?;
        let place = AccessPlace { file: file.into(), function: function.into(), method: method.into(), nth };
        Ok(Self::Access(place, wrong))
    }
}

impl AccessPlace {
    /// Finds what is at `line` and `column` of `file`.
    ///
    /// # Errors
    /// The source can't be read, or isn't what was compiled.
    pub(crate) fn at(file: &str, line: u32, column: u32) -> Result<Self, String> {
        let found = places(file)?.into_iter().find(|(_, at)| *at == (line, column));
        found.map(|(place, _)| place).ok_or_else(|| format!("{file}:{line}:{column}: no access there"))
    }

    /// Returns its line and column.
    ///
    /// # Errors
    /// There is none of that name.
    pub(crate) fn find(&self) -> Result<(u32, u32), String> {
        let found = places(&self.file)?.into_iter().find(|(place, _)| place == self);
        found.map(|(_, at)| at).ok_or_else(|| format!("{self}: no such access"))
    }
}

const METHODS: [&str; 11] = [
    "load",
    "store",
    "swap",
    "compare_exchange",
    "fetch_add",
    "fetch_sub",
    "fetch_and",
    "fetch_or",
    "fetch_max",
    "fetch_min",
    "fence",
];

/// A line and a column.
type LineColumn = (u32, u32);

/// Every access of a source file, with its line and column.
fn places(file: &str) -> Result<Vec<(AccessPlace, LineColumn)>, String> {
    let now = std::env::var("CARGO_MANIFEST_DIR");
    let root = Path::new(now.as_deref().unwrap_or(env!("CARGO_MANIFEST_DIR"))).join("../..");
    let text = std::fs::read_to_string(root.join(file)).map_err(|error| format!("{file}: {error}"))?;
    let (mut found, mut function): (Vec<(AccessPlace, LineColumn)>, _) = (Vec::new(), "");
    for (line, text) in (1..).zip(text.lines()) {
        let code = text.split("//").next().unwrap_or_default();
        if let Some((_, name)) = code.split_once("fn ") {
            function = name.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
        }
        for (at, _) in code.match_indices('(') {
            let before = &code[..at];
            let word = before.rfind(|c: char| !c.is_alphanumeric() && c != '_').map_or(0, |end| end + 1);
            let method = &before[word..];
            if !METHODS.contains(&method) || (method != "fence" && !before[..word].ends_with('.')) {
                continue;
            }
            let same = |(place, _): &&(AccessPlace, LineColumn)| {
                place.function == function && place.method == method
            };
            let nth = found.iter().filter(same).count() + 1;
            let place =
                AccessPlace { file: file.into(), function: function.into(), method: method.into(), nth };
            found.push((place, (line, u32::try_from(word).unwrap_or(u32::MAX) + 1)));
        }
    }
    Ok(found)
}
