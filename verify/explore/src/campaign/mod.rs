//! A campaign: many worlds explored, on several threads, in shards that share nothing, with results that
//! survive.
//!
//! | file | what it holds |
//! |---|---|
//! | this one | which worlds, and running them |
//! | [`record`] | what is kept of a world: a line of text |
//! | [`file`] | the file of such lines |
//! | [`merge`] | the results of shards, put together |
//! | [`summary`] | what is said in the end |
//!
//! Everything of a world stays on one thread: the simulated machine belongs to it. Threads share the list of
//! worlds, the images, and a mutex around the results.

pub mod file;
pub mod merge;
pub mod record;
pub mod summary;

use crate::find::{Mode, explore};
use crate::story::tell;
use crate::world::Images;
use crate::worlds::{Filter, Numbered, digest, worlds};
use fs::dax::Protocol;
use fs::lab::schedule::{Range, Start};
use record::Record;
use std::fmt::{self, Write as _};
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

/// Which worlds are explored, and how far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Campaign {
    /// CPUs of each world: 2 for pairs, 3 for triples.
    pub cpus: usize,
    /// Which of them.
    pub filter: Filter,
    /// After so many schedules a world is given up.
    pub most: u64,
    /// This part, from 1 on, of so many.
    pub shard: (usize, usize),
}

impl Campaign {
    /// Returns "pairs" or "triples".
    pub fn name(&self) -> &'static str {
        if self.cpus == 2 { "pairs" } else { "triples" }
    }

    /// Lists all its worlds, whatever the shard.
    pub fn all(&self) -> Vec<Numbered> {
        worlds(self.cpus, &self.filter)
    }

    /// Picks of all worlds those of the shard: every n-th.
    pub fn own(&self, all: &[Numbered]) -> Vec<Numbered> {
        let (nth, of) = self.shard;
        all.iter().skip(nth - 1).step_by(of).cloned().collect()
    }

    /// Returns how each world is explored.
    pub fn mode(&self) -> Mode {
        Mode::Exhaustive { most: self.most }
    }

    /// Says what it is, on one line; the same for all its shards. Files begin with it.
    pub fn text(&self, all: &[Numbered]) -> String {
        let mut texts = String::new();
        for one in all {
            let _ = writeln!(texts, "{} {}", one.number, one.world);
        }
        let most = if self.most == u64::MAX { "all".into() } else { self.most.to_string() };
        format!("{self} most={most} worlds={} list={:016x}", all.len(), digest(texts.as_bytes()))
    }
}

/// Reads what [`Campaign::text`] wrote.
///
/// # Errors
/// What is wrong with it.
pub fn parsed(text: &str) -> Result<Campaign, String> {
    fn list<T: FromStr>(text: &str) -> Result<Vec<T>, String> {
        text.split(',')
            .map(|word| word.parse().map_err(|_| format!("unknown: `{}`", word.escape_debug())))
            .collect()
    }
    let mut words = text.split(' ');
    let cpus = match words.next() {
        Some("pairs") => 2,
        Some("triples") => 3,
        _ => return Err("neither pairs nor triples".into()),
    };
    let mut campaign = Campaign { cpus, filter: Filter::default(), most: u64::MAX, shard: (1, 1) };
    for word in words {
        let filter = &mut campaign.filter;
        match word.split_once('=') {
            Some(("protocol", all)) => filter.protocols = list(all)?,
            Some(("range", all)) => filter.ranges = list(all)?,
            Some(("start", all)) => filter.starts = list(all)?,
            Some(("op", "any")) | Some(("most", "all")) => {}
            Some(("op", all)) => filter.ops = list(all)?,
            Some(("most", most)) => {
                campaign.most = most.parse().map_err(|_| format!("no number: `{most}`"))?
            }
            Some(("worlds" | "list", _)) => {}
            _ => return Err(format!("unknown: `{}`", word.escape_debug())),
        }
    }
    campaign.filter.normalize();
    Ok(campaign)
}

/// Parses a shard, as `2/8`.
///
/// # Errors
/// One line: it is none.
pub fn shard(text: &str) -> Result<(usize, usize), String> {
    let number =
        |text: &str| text.parse::<usize>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    let form = || format!("no shard: `{}` (the form is 2/8)", text.escape_debug());
    let (nth, of) = text.split_once('/').ok_or_else(form)?;
    let (nth, of) = number(nth).zip(number(of)).ok_or_else(form)?;
    if (1..=of).contains(&nth) {
        Ok((nth, of))
    } else if of == 0 {
        Err(format!("shard {nth}/0: there are no shards then"))
    } else {
        Err(format!("shard {nth}/{of} is outside of 1/{of} to {of}/{of}"))
    }
}

/// A list, or all that could stand in it.
fn listed<T: fmt::Display>(list: &[T], all: &[T]) -> String {
    let list = if list.is_empty() { all } else { list };
    list.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}

impl fmt::Display for Campaign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let filter = &self.filter;
        let ops = if filter.ops.is_empty() { "any".into() } else { listed(&filter.ops, &[]) };
        let (protocols, ranges) =
            (listed(&filter.protocols, &Protocol::SOUND), listed(&filter.ranges, Range::ALL));
        let starts = listed(&filter.starts, Start::ALL);
        write!(f, "{} protocol={protocols} range={ranges} start={starts} op={ops}", self.name())
    }
}

/// Explores `worlds` on so many threads; `each` is told of every result as it comes, with how many there are
/// now.
///
/// # Errors
/// What `each` answered: no more worlds are begun then.
pub fn run(
    worlds: &[Numbered],
    images: &Images,
    mode: Mode,
    jobs: usize,
    each: impl FnMut(&Record, usize) -> Result<(), String> + Send,
) -> Result<Vec<Record>, String> {
    struct CampaignState<F> {
        each: F,
        records: Vec<Record>,
        failed: Option<String>,
    }
    fn locked<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
        state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    let state = Mutex::new(CampaignState { each, records: Vec::new(), failed: None });
    let next = AtomicUsize::new(0);
    let finished = |record: Record| {
        let mut state = locked(&state);
        let count = state.records.len() + 1;
        if let Err(why) = (state.each)(&record, count) {
            state.failed.get_or_insert(why);
            next.store(worlds.len(), Ordering::Relaxed);
        }
        state.records.push(record);
    };
    // One after the other until there are no more; `now` says which, should it panic.
    let work = |now: &AtomicUsize| {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(one) = worlds.get(at) else { break };
            now.store(at, Ordering::Relaxed);
            let report = explore(&one.world, images, mode);
            let found = report.found.as_ref();
            let story = found.map(|found| tell(&found.world, images, found.order.clone()).0);
            finished(Record::new(one.number, &one.world, &report, story.as_ref()));
        }
    };
    let (work, finished) = (&work, &finished);
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(move || {
                let now = AtomicUsize::new(usize::MAX);
                // What a panic outside of a run leaves behind belongs to that thread: a new one goes on.
                while let Err(panic) = thread::scope(|scope| scope.spawn(|| work(&now)).join()) {
                    let text = panic.downcast_ref::<String>().map(String::as_str);
                    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
                    let Some(one) = worlds.get(now.load(Ordering::Relaxed)) else { break };
                    finished(Record::panicked(one.number, &one.world, text));
                }
            });
        }
    });
    let CampaignState { records, failed, .. } = state.into_inner().unwrap_or_else(PoisonError::into_inner);
    failed.map_or(Ok(records), Err)
}
