//! Every store, flush and fence of some work on a tape; from it, the images that a crash can leave.
//!
//! Units are 8 aligned bytes. Of each, memory may hold any content that it had since the last one that is certain to be
//! there: one that was flushed (or streamed) before a fence. So the images that are possible just before a fence include
//! all that were possible since the fence before.

use super::Rng;
use super::rig::Rig;
use super::spy::{Spy, Touch};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

enum Event {
    Store(u64, Vec<u8>),
    Stream(u64, Vec<u8>),
    Flush(u64, u64),
    Fence,
}

/// A tape of what was done to a memory, by one thread.
pub(crate) struct Tape {
    start: Vec<u8>,
    events: Arc<Mutex<Vec<Event>>>,
}

/// One unit: what it may hold, oldest first; the first is durable.
struct Unit {
    versions: Vec<[u8; 8]>,
    /// The version that the next fence makes durable.
    flushed: usize,
}

/// Up to so many uncertain units, all combinations are tried.
const ALL_UP_TO: usize = 6;

impl Tape {
    /// A machine over a copy of `image`, whose stores are recorded.
    pub(crate) fn record(image: &[u8]) -> (Self, Rig<Spy>) {
        let events = Arc::new(Mutex::new(Vec::new()));
        let tape = events.clone();
        let spy = Spy::new(image, move |touch| {
            let event = match touch {
                Touch::Load => return,
                Touch::Store(at, bytes) => Event::Store(at, bytes.to_vec()),
                Touch::Stream(at, bytes) => Event::Stream(at, bytes.to_vec()),
                Touch::Flush(at, len) => Event::Flush(at, len),
                Touch::Fence => Event::Fence,
            };
            tape.lock().expect("the tape").push(event);
        });
        (Self { start: image.to_vec(), events }, Rig::new(spy))
    }

    /// Starts anew from what is in memory now, which is taken to be durable.
    pub(crate) fn rewind(&mut self, rig: &Rig<Spy>) {
        self.start = rig.pmem.ram.to_bytes();
        self.events.lock().expect("the tape").clear();
    }

    /// Fences on the tape.
    pub(crate) fn fences(&self) -> usize {
        self.events.lock().expect("the tape").iter().filter(|event| matches!(event, Event::Fence)).count()
    }

    /// Calls `judge(where, image)` with images that a crash can leave: before each fence and at the end, with all that is
    /// uncertain as it was, all as it became, each unit alone as it became or as it was, and `random` mixtures.
    pub(crate) fn crashes(&self, random: usize, mut judge: impl FnMut(&str, Vec<u8>)) {
        let mut rng = Rng::new(1);
        let mut live = self.start.clone();
        let mut durable = self.start.clone();
        let mut units: BTreeMap<u64, Unit> = BTreeMap::new();
        let mut fences = 0;
        let events = self.events.lock().expect("the tape");
        for event in events.iter().chain([&Event::Fence]) {
            match event {
                Event::Store(at, bytes) => store(&mut live, &mut units, *at, bytes, false),
                Event::Stream(at, bytes) => store(&mut live, &mut units, *at, bytes, true),
                Event::Flush(at, len) => {
                    let lines = at / 64 * 64..(at + len).next_multiple_of(64);
                    units.range_mut(lines).for_each(|(_, unit)| unit.flushed = unit.versions.len() - 1);
                }
                Event::Fence => {
                    images(&durable, &units, random, &mut rng, |how, image| {
                        judge(&format!("before fence {fences}, {how}"), image);
                    });
                    fences += 1;
                    for (at, unit) in &mut units {
                        unit.versions.drain(..unit.flushed);
                        unit.flushed = 0;
                        durable[*at as usize..*at as usize + 8].copy_from_slice(&unit.versions[0]);
                    }
                    units.retain(|_, unit| unit.versions.len() > 1);
                }
            }
        }
    }
}

fn store(live: &mut [u8], units: &mut BTreeMap<u64, Unit>, at: u64, bytes: &[u8], streamed: bool) {
    let range = at / 8 * 8..(at + bytes.len() as u64).next_multiple_of(8);
    let old = live[range.start as usize..range.end as usize].to_vec();
    live[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
    for (unit, old) in range.step_by(8).zip(old.as_chunks::<8>().0) {
        let new: [u8; 8] = live[unit as usize..unit as usize + 8].try_into().expect("a unit");
        let known = units.entry(unit).or_insert_with(|| Unit { versions: vec![*old], flushed: 0 });
        if known.versions.last() != Some(&new) {
            known.versions.push(new);
        }
        if streamed {
            known.flushed = known.versions.len() - 1;
        }
    }
}

fn images(
    durable: &[u8],
    units: &BTreeMap<u64, Unit>,
    random: usize,
    rng: &mut Rng,
    mut judge: impl FnMut(&str, Vec<u8>),
) {
    let uncertain: Vec<(u64, &Vec<[u8; 8]>)> = units
        .iter()
        .filter(|(_, unit)| unit.versions.len() > 1)
        .map(|(&at, unit)| (at, &unit.versions))
        .collect();
    let mut with = |how: &str, choose: &mut dyn FnMut(usize, usize) -> usize| {
        let mut image = durable.to_vec();
        for (index, (at, versions)) in uncertain.iter().enumerate() {
            let version = versions[choose(index, versions.len() - 1)];
            image[*at as usize..*at as usize + 8].copy_from_slice(&version);
        }
        judge(how, image);
    };
    if uncertain.len() <= ALL_UP_TO {
        for choice in 0..1usize << uncertain.len() {
            with(&format!("mixture {choice:#b}"), &mut |index, last| (choice >> index & 1) * last);
        }
        return;
    }
    with("nothing more", &mut |_, _| 0);
    with("everything", &mut |_, last| last);
    for only in 0..uncertain.len() {
        with(&format!("unit {only} alone"), &mut |index, last| if index == only { last } else { 0 });
        with(&format!("all but unit {only}"), &mut |index, last| if index == only { 0 } else { last });
    }
    for number in 0..random {
        with(&format!("random {number}"), &mut |_, last| rng.below(last as u64 + 1) as usize);
    }
}
