//! What cannot be, in words: the first thing that no order explains, what was before it, and what it could
//! have been.

use std::fmt::Write;

use fs::lab::schedule::{Effect, Uses, World};

use super::search::{is_explained, precedes};
use super::{Done, Final, Look, NEVER, START_BESIDE, START_WORD, Seen};

/// Says what is wrong with a history that has no order.
pub(super) fn blame(world: &World, history: &[Done], last: &Final) -> String {
    let mut ended: Vec<usize> = (0..history.len()).filter(|&index| history[index].ended != NEVER).collect();
    ended.sort_by_key(|&index| (history[index].ended, history[index].begun));
    for index in ended {
        let (known, index) = known(history, index);
        if !is_explained(world, &known, None) {
            return operation(world, &known, index);
        }
    }
    in_the_end(world, history, last)
}

/// What is known of the history when the operation `index` is over, and where that operation is there.
fn known(history: &[Done], index: usize) -> (Vec<Done>, usize) {
    let now = history[index].ended;
    let mut place = 0;
    let mut known = Vec::new();
    for (other, done) in history.iter().enumerate() {
        if other == index {
            place = known.len();
        } else if done.begun >= now && !precedes(history, other, index) {
            continue;
        }
        let ended = if done.ended > now { NEVER } else { done.ended };
        known.push(Done { ended, ..done.clone() });
    }
    (known, place)
}

/// All words that there are.
fn words(history: &[Done]) -> Vec<u64> {
    let mut words = vec![0, START_WORD];
    words.extend(history.iter().map(|done| done.value));
    words.sort_unstable();
    words.dedup();
    words
}

/// All that somebody who accesses the word could see.
fn words_or_not(words: &[u64]) -> Vec<Seen> {
    words.iter().map(|&word| Seen::Word(word)).chain([Seen::Bus, Seen::Segv]).collect()
}

/// All that somebody could find in a private area.
fn private_or_not(words: &[u64]) -> Vec<Seen> {
    let pairs = words.iter().flat_map(|&own| [0, START_BESIDE].map(|beside| Seen::Private { own, beside }));
    pairs.chain([Seen::Bus, Seen::Segv]).collect()
}

/// "; it could only be 0x1000 or SIGBUS": nothing if it could be nothing of `all`.
fn instead(all: Vec<Seen>, mut could: impl FnMut(&Seen) -> bool) -> String {
    let could: Vec<String> = all.iter().filter(|seen| could(seen)).map(Seen::to_string).collect();
    if could.is_empty() { String::new() } else { format!("; it could only be {}", could.join(" or ")) }
}

fn operation(world: &World, known: &[Done], index: usize) -> String {
    let done = &known[index];
    let mut text = format!("CPU {} {}", done.cpu, came_to(done));
    let earlier: Vec<&Done> = (0..known.len())
        .filter(|&other| other != index && precedes(known, other, index))
        .map(|other| &known[other])
        .collect();
    text += &after(earlier.into_iter().filter(|other| matters(other, done)));
    let meanwhile = (0..known.len()).filter(|&other| {
        let together = !precedes(known, other, index) && !precedes(known, index, other);
        other != index && together && changes(&known[other])
    });
    for (nth, other) in meanwhile.map(|other| &known[other]).enumerate() {
        let _ =
            write!(text, "{} CPU {} {}", if nth == 0 { ", while" } else { " and" }, other.cpu, did(other));
    }
    let all = match done.op.effect() {
        effect if effect.looks() => words_or_not(&words(known)),
        Effect::Private => private_or_not(&words(known)),
        _ => vec![Seen::Done, Seen::Bus, Seen::Segv],
    };
    let mut other = known.to_vec();
    text + &instead(all, |seen| {
        other[index].seen = seen.clone();
        is_explained(world, &other, None)
    })
}

/// The latest two of those that were over: " after CPU 0 had stored 0x1000".
fn after<'a>(earlier: impl Iterator<Item = &'a Done>) -> String {
    let mut earlier: Vec<&Done> = earlier.collect();
    earlier.sort_by_key(|done| done.ended);
    let mut text = String::new();
    for (nth, done) in earlier[earlier.len().saturating_sub(2)..].iter().enumerate() {
        let word = if nth == 0 { " after" } else { " and" };
        let _ = write!(text, "{word} CPU {} had {}", done.cpu, had(done));
    }
    text
}

/// Whether it changes what others see of the file.
fn changes(done: &Done) -> bool {
    let changed = done.ended == NEVER || matches!(done.seen, Seen::Done | Seen::Error(_));
    changed && done.op.effect().changes_file()
}

/// Whether `earlier` has to do with what `done` sees.
fn matters(earlier: &Done, done: &Done) -> bool {
    let [was, is] = [earlier, done].map(|done| done.op.effect());
    let shared = done.op.about().uses == Uses::Shared && is != Effect::Unmap;
    let area = matches!(was, Effect::Unmap | Effect::Protect | Effect::Remap | Effect::Move) && shared;
    let private = matches!(was, Effect::Private | Effect::Forget | Effect::Move) && is == Effect::Private;
    let looked = was.looks() && is.looks();
    changes(earlier) || (area || private) && earlier.space == done.space || looked
}

/// What it did, in three forms: "stored 0x1000", "had" and "stored 0x1000".
fn did(done: &Done) -> String {
    match done.op.effect() {
        Effect::Write => format!("wrote {:#x}", done.value),
        _ => had(done),
    }
}

fn had(done: &Done) -> String {
    let (effect, had, Done { value, seen, .. }) = (done.op.effect(), done.op.about().had, done);
    match effect {
        Effect::Private => format!("stored {value:#x} to its copy"),
        _ if effect.stores() => format!("{had} {value:#x}"),
        _ if effect.looks() => format!("{had} {seen}"),
        _ => had.into(),
    }
}

/// What it did and what came of that, if the two are not one.
fn came_to(done: &Done) -> String {
    match (done.op.effect(), &done.seen) {
        (_, Seen::Done) => did(done),
        (effect, Seen::Word(_)) if effect.looks() => did(done),
        (Effect::Private, seen @ Seen::Private { .. }) => {
            format!("stored {:#x} to its private area, and found {seen}", done.value)
        }
        (_, seen) => format!("got {seen} from its {}", done.op),
    }
}

fn in_the_end(world: &World, history: &[Done], last: &Final) -> String {
    let words = words(history);
    let tail = after(history.iter().filter(|done| changes(done) || done.op.effect() == Effect::Unmap));
    let holds = |last: Final| is_explained(world, history, Some(&last));
    let wrong = |who: String, seen: &Seen, all: Vec<Seen>, single: &dyn Fn(Seen) -> Final| {
        let instead = || instead(all, |seen| holds(single(seen.clone())));
        (!holds(single(seen.clone()))).then(|| format!("in the end {who} {seen}{tail}{}", instead()))
    };
    let read = last.read.iter().find_map(|seen| {
        let single = |seen| Final { read: Some(seen), ..Final::default() };
        wrong("read(2) gives".into(), seen, words_or_not(&words), &single)
    });
    let mut loads = last.loads.iter().filter_map(|look| {
        let &Look { space, small, ref seen } = look;
        let single = |seen| Final { loads: vec![Look { space, small, seen }], ..Final::default() };
        wrong(format!("address space {} loads", letter(space)), seen, words_or_not(&words), &single)
    });
    let mut privates = last.privates.iter().filter_map(|(space, seen)| {
        let single = |seen| Final { privates: vec![(*space, seen)], ..Final::default() };
        wrong(
            format!("address space {}'s private area has", letter(*space)),
            seen,
            private_or_not(&words),
            &single,
        )
    });
    let wrong = read.or_else(|| loads.next()).or_else(|| privates.next());
    wrong.unwrap_or_else(|| {
        let mut text = String::from("in the end not all see the same file:");
        if let Some(seen) = &last.read {
            let _ = write!(text, " read(2) gives {seen},");
        }
        for look in &last.loads {
            let _ = write!(text, " address space {} loads {},", letter(look.space), look.seen);
        }
        for (space, seen) in &last.privates {
            let _ = write!(text, " its private area in {} has {seen},", letter(*space));
        }
        text.trim_end_matches(',').to_string() + &tail
    })
}

fn letter(space: u8) -> char {
    char::from(b'a'.saturating_add(space))
}
