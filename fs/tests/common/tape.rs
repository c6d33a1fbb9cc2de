//! Every store, flush and fence of some work on a tape; from it, the images that a crash can leave.
//!
//! Units are 8 aligned bytes. Of each, memory may hold any content that it had since the last one that is
//! certain to be there: one that was flushed (or streamed) before a fence. So the images that are possible
//! just before a fence include all that were possible since the fence before.

use super::{Machine, Rng};
use fs::pmem::ram::{Ram, RamAccess};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};

#[derive(Clone)]
enum Event {
    Store(u64, Vec<u8>),
    Stream(u64, Vec<u8>),
    Flush(u64, u64),
    Fence,
    /// An operation returned.
    Mark,
}

/// A flush or a fence.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Barrier {
    /// Its place on the tape.
    pub(crate) at: usize,
    /// What is flushed, from where and how much; `None` for a fence.
    pub(crate) flush: Option<(u64, u64)>,
    /// Marks before it.
    pub(crate) marks: usize,
    /// Fences before it.
    pub(crate) fences: usize,
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
/// Of this many neighbouring bytes no more than this many units are tried alone: more is a block's content.
const AREA: u64 = 4096;
const ALONE: usize = 24;

/// A place on the tape for which crashes are made up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Marks before it.
    pub(crate) marks: usize,
    /// Fences before it.
    pub(crate) fences: usize,
    /// It is a mark, or the end: an operation has just returned.
    pub(crate) returned: bool,
}

impl Tape {
    /// A machine over a copy of `image`, whose stores are recorded.
    pub(crate) fn record(image: &[u8]) -> (Self, Machine) {
        let events = Arc::new(Mutex::new(Vec::new()));
        let tape = events.clone();
        let spy = Ram::watched(image, move |_, touch| {
            let event = match touch {
                RamAccess::Load(_) => return,
                RamAccess::Store(at, bytes) => Event::Store(at, bytes.to_vec()),
                RamAccess::Stream(at, bytes) => Event::Stream(at, bytes.to_vec()),
                RamAccess::Flush(at, len) => Event::Flush(at, len),
                RamAccess::Fence => Event::Fence,
            };
            tape.lock().expect("the tape").push(event);
        });
        (Self { start: image.to_vec(), events }, Machine::new(spy))
    }

    /// Starts anew from what is in memory now, which is taken to be durable.
    pub(crate) fn rewind(&mut self, rig: &Machine) {
        self.start = rig.ram.to_bytes();
        self.events.lock().expect("the tape").clear();
    }

    /// Fences on the tape.
    pub(crate) fn fences(&self) -> usize {
        self.events.lock().expect("the tape").iter().filter(|event| matches!(event, Event::Fence)).count()
    }

    /// What was in memory at its start.
    pub(crate) fn start(&self) -> Vec<u8> {
        self.start.clone()
    }

    /// Notes that an operation returned.
    pub(crate) fn mark(&self) {
        self.events.lock().expect("the tape").push(Event::Mark);
    }

    /// The places on the tape where something is flushed or fenced, and what.
    pub(crate) fn barriers(&self) -> Vec<Barrier> {
        let (mut marks, mut fences) = (0, 0);
        let mut list = Vec::new();
        for (at, event) in self.events.lock().expect("the tape").iter().enumerate() {
            let flush = match *event {
                Event::Flush(offset, len) => Some((offset, len)),
                Event::Fence => None,
                Event::Mark => {
                    marks += 1;
                    continue;
                }
                _ => continue,
            };
            list.push(Barrier { at, flush, marks, fences });
            fences += usize::from(flush.is_none());
        }
        list
    }

    /// The same tape as if event `at` had been forgotten.
    pub(crate) fn without(&self, at: usize) -> Self {
        let mut events = self.events.lock().expect("the tape").clone();
        events.remove(at);
        Self { start: self.start.clone(), events: Arc::new(Mutex::new(events)) }
    }

    /// Calls `judge(number, memory)` before each fence, with all that was stored until then.
    pub(crate) fn at_fences(&self, mut judge: impl FnMut(usize, &[u8])) {
        let mut live = self.start.clone();
        let mut fences = 0;
        for event in self.events.lock().expect("the tape").iter() {
            match event {
                Event::Store(at, bytes) | Event::Stream(at, bytes) => {
                    live[*at as usize..*at as usize + bytes.len()].copy_from_slice(bytes);
                }
                Event::Fence => {
                    judge(fences, &live);
                    fences += 1;
                }
                Event::Flush(..) | Event::Mark => {}
            }
        }
    }

    /// Calls `judge(where, image)` with images that a crash can leave: before each fence and at the end, with
    /// all that is uncertain as it was, all as it became, each unit alone as it became or as it was (of whole
    /// blocks of content: some), and `random` mixtures.
    pub(crate) fn crashes(&self, random: usize, mut judge: impl FnMut(&str, Vec<u8>)) {
        self.crashes_at(0..usize::MAX, random, 1, |moment, how, image| {
            judge(&format!("before fence {}, {how}", moment.fences), image());
        });
    }

    /// As [`crashes`](Tape::crashes), and at each mark, with so many fences before it; tells what came
    /// before. `seed` gives the mixtures. An image is made when it is asked for.
    pub(crate) fn crashes_at(
        &self,
        range: Range<usize>,
        random: usize,
        seed: u64,
        mut judge: impl FnMut(Moment, &str, &dyn Fn() -> Vec<u8>),
    ) {
        let mut rng = Rng::new(seed);
        let mut live = self.start.clone();
        let mut durable = self.start.clone();
        let mut units: BTreeMap<u64, Unit> = BTreeMap::new();
        let mut moment = Moment { marks: 0, fences: 0, returned: false };
        let events = self.events.lock().expect("the tape");
        for event in events.iter().chain([&Event::Mark]) {
            match event {
                Event::Store(at, bytes) => store(&mut live, &mut units, *at, bytes, false),
                Event::Stream(at, bytes) => store(&mut live, &mut units, *at, bytes, true),
                Event::Flush(at, len) => {
                    let lines = at / 64 * 64..(at + len).next_multiple_of(64);
                    units.range_mut(lines).for_each(|(_, unit)| unit.flushed = unit.versions.len() - 1);
                }
                Event::Mark => {
                    moment.returned = true;
                    if range.contains(&moment.fences) {
                        images(&durable, &units, random, &mut rng, |how, image| judge(moment, how, image));
                    }
                    moment = Moment { marks: moment.marks + 1, returned: false, ..moment };
                }
                Event::Fence => {
                    if range.contains(&moment.fences) {
                        images(&durable, &units, random, &mut rng, |how, image| judge(moment, how, image));
                    }
                    moment.fences += 1;
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
    mut judge: impl FnMut(&str, &dyn Fn() -> Vec<u8>),
) {
    let uncertain: Vec<(u64, &Vec<[u8; 8]>)> = units
        .iter()
        .filter(|(_, unit)| unit.versions.len() > 1)
        .map(|(&at, unit)| (at, &unit.versions))
        .collect();
    let mut with = |how: &str, choose: &mut dyn FnMut(usize, usize) -> usize| {
        let chosen = uncertain.iter().enumerate();
        let chosen: Vec<_> = chosen
            .map(|(index, (at, versions))| (*at as usize, versions[choose(index, versions.len() - 1)]))
            .collect();
        judge(how, &|| {
            let mut image = durable.to_vec();
            chosen.iter().for_each(|&(at, version)| image[at..at + 8].copy_from_slice(&version));
            image
        });
    };
    if uncertain.len() <= ALL_UP_TO {
        for choice in 0..1usize << uncertain.len() {
            with(&format!("mixture {choice:#b}"), &mut |index, last| (choice >> index & 1) * last);
        }
        return;
    }
    with("nothing more", &mut |_, _| 0);
    with("everything", &mut |_, last| last);
    let mut area = (0, 0);
    for (only, (at, _)) in uncertain.iter().enumerate() {
        let number = at / AREA;
        area = if area.0 == number { (number, area.1 + 1) } else { (number, 0) };
        if area.1 >= ALONE {
            continue;
        }
        with(&format!("unit {only} alone"), &mut |index, last| if index == only { last } else { 0 });
        with(&format!("all but unit {only}"), &mut |index, last| if index == only { 0 } else { last });
    }
    for number in 0..random {
        with(&format!("random {number}"), &mut |_, last| rng.below(last as u64 + 1) as usize);
    }
}
