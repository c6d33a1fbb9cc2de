//! How locks, page tables and TLBs are, in words.

use super::{Lock, Stage, space};
use crate::hw::Says;
use crate::hw::memory::BASE;
use crate::hw::tables::COPIES;
use crate::sched::engine;
use fs::PAGE_SIZE;
use fs::platform::PageSize;
use std::ops::Range;
use std::sync::Arc;

/// Tells after each step, from now on, how they are: parts joined by `; `.
pub(crate) fn state_of(stage: &Arc<Stage>) {
    let weak = Arc::downgrade(stage);
    engine::tell_state(Some(Box::new(move || {
        weak.upgrade().map_or_else(String::new, |stage| state(&stage))
    })));
}

/// Lists the locks that there are, by their names.
pub(crate) fn locks(stage: &Stage) -> Vec<Lock> {
    let mut locks = Vec::new();
    let mut add = |name: String, at: Range<usize>| locks.push(Lock { name, at });
    stage.fs.locks(&mut |name, at| add(name.into(), at));
    if let Some(file) = stage.handles.iter().find_map(|handle| handle.get().clone()) {
        file.locks(&mut |name, at| add(name.into(), at));
    }
    stage.other.locks(&mut |name, at| add(format!("{name} of the second file"), at));
    for space in stage.spaces.get().iter() {
        let letter = space.letter();
        add(format!("areas of {letter}"), lies(&space.space));
        add(format!("removal of {letter}"), lies(&**space.space.page_tables()));
    }
    for cpu in 0..stage.world.parts.len() {
        let inside = stage.machine.kit.hw.inside(cpu);
        add(format!("instruction of CPU {cpu}"), inside..inside + 1);
    }
    locks
}

/// Where something lies, with the one lock in it.
fn lies<T>(of: &T) -> Range<usize> {
    let start = std::ptr::from_ref(of).addr();
    start..start + size_of::<T>()
}

fn state(stage: &Stage) -> String {
    let mut parts = Vec::new();
    match engine::holders(stage.dax_sem) {
        (0, None) => {}
        (_, Some(cpu)) => parts.push(format!("dax_sem: alone, CPU {cpu}")),
        (count, None) => parts.push(format!("dax_sem: {count} shared")),
    }
    let page = stage.world.range.word_page();
    let stale = stage.machine.kit.hw.stale();
    for space in stage.spaces.get().iter() {
        let letter = space.letter();
        for which in space::ALL {
            let what = match which {
                space::Which::Shared => "",
                space::Which::Small => " small",
                space::Which::Private => " private",
            };
            if let Some((entry, size)) = space.peek(which) {
                parts.push(format!("{letter}{what}: page {page} → {}", told(entry, size)));
            }
        }
    }
    for (cpu, space, entry, size) in stale {
        let letter = char::from(b'a' + space as u8);
        parts.push(format!("TLB {cpu}: {letter} → {}", told(entry, size)));
    }
    parts.join("; ")
}

fn told(entry: Says, size: PageSize) -> String {
    let rights = if entry.writable { "rw" } else { "r" };
    let size = if size == PageSize::Large { ", 2 MiB" } else { "" };
    match entry.frame {
        ..BASE => format!("zero page, {rights}{size}"),
        COPIES.. => format!("a copy, {rights}"),
        frame => format!("block {}, {rights}{size}", (frame - BASE) / PAGE_SIZE),
    }
}
