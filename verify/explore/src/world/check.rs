//! What must hold, at every step and in the end.

use super::ops::{self, word_at};
use super::order;
use super::space::Which;
use super::{BEFORE_START, OTHER_PAGE, Stage, WORD, image};
use crate::hw::memory::BASE;
use crate::hw::tables::COPIES;
use crate::hw::{Machine, Memory, machine};
use crate::model::{Done, Final, Look, Seen, explain};
use crate::sched::engine::{self, Need, visible};
use crate::sched::touch::{SharedPlace, Touch};
use fs::PAGE_SIZE;
use fs::lab::schedule::{Effect, Start, World};
use fs::lab::{Point, Step};
use fs::platform::PageSize;
use fs::vfs::{Extent, FileSystem, InodeRef};
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Looks at each step that is reported, from now on.
pub(crate) fn watch(stage: &Arc<Stage>) {
    let weak = Arc::downgrade(stage);
    stage.machine.kit.watch(Some(Box::new(move |step| {
        if let Some(stage) = weak.upgrade() {
            look(&stage, step);
        }
    })));
}

fn look(stage: &Stage, step: Step) {
    match step.point {
        Point::Freed => nobody_maps(stage, step.page, step.arg),
        Point::FaultBegin => stage.was_bad.get()[engine::current()] = bad_block(stage).is_some(),
        Point::Installed => {
            writable_is_dirty(stage);
            good_is_mapped(stage);
        }
        _ => {}
    }
}

/// No translation, in a table or in a TLB, leads to blocks that were freed just now, and no transfer uses
/// them.
fn nobody_maps(stage: &Stage, first: u64, count: u64) {
    let leads = |frame: u64, size: PageSize| {
        let start = frame.wrapping_sub(BASE) / PAGE_SIZE;
        (BASE..COPIES).contains(&frame) && start < first + count && first < start + size.pages()
    };
    for space in stage.spaces.get().iter() {
        for (_, entry, size) in space.entries() {
            if leads(entry.frame, size) {
                let letter = space.letter();
                engine::fail(|| format!("block {first} was freed while address space {letter} maps it"));
            }
        }
    }
    for (cpu, place) in stage.pinned.get().iter().enumerate() {
        if place.is_some_and(|place| leads(BASE + place, PageSize::Small)) {
            engine::fail(|| format!("block {first} was freed while CPU {cpu} has it pinned"));
        }
    }
    for (cpu, _, entry, size) in stage.machine.kit.hw.stale() {
        if leads(entry.frame, size) {
            engine::fail(|| format!("block {first} was freed while the TLB of CPU {cpu} may lead to it"));
        }
    }
}

/// The file, if a CPU has a handle to it.
fn file(stage: &Stage) -> Option<InodeRef<Machine>> {
    stage.handles.iter().find_map(|handle| handle.get().clone())
}

/// Where the block of the word's page is, without a step.
fn word_block(stage: &Stage) -> Option<u64> {
    let file = file(stage)?;
    engine::unwatched(|| {
        let shared = file.mapping().shared();
        file.place(shared.held(), stage.world.range.word_page()).ok().flatten()
    })
}

/// The same, if the word's line is bad.
fn bad_block(stage: &Stage) -> Option<u64> {
    let is_bad = |place: &u64| stage.machine.ram.poison.first_in(*place + WORD, 8).is_some();
    word_block(stage).filter(|place| engine::unwatched(|| is_bad(place)))
}

/// A fault that began when the line was bad does not map its page.
fn good_is_mapped(stage: &Stage) {
    let cpu = engine::current();
    if !stage.was_bad.get()[cpu] {
        return;
    }
    let Some(bad) = bad_block(stage) else { return };
    let space = stage.spaces.get()[usize::from(stage.world.parts[cpu].space)].clone();
    let leads = |which: Which| space.peek(which).is_some_and(|(says, _)| says.frame == BASE + bad);
    if leads(Which::Shared) || leads(Which::Small) {
        engine::fail(|| "a fault has mapped a page that had lost its content before".into());
    }
}

/// Checks that no page can be stored to while the file system is frozen.
pub(crate) fn nothing_to_store_to(stage: &Stage) {
    for space in stage.spaces.get().iter() {
        if space.entries().iter().any(|(_, entry, _)| entry.writable && entry.leads_to_a_block()) {
            let letter = space.letter();
            engine::fail(|| {
                format!("the file system is frozen, and address space {letter} can store to a page")
            });
        }
    }
}

/// Checks, when an operation has just ended that makes stores durable, that those are that had ended when it
/// began. For worlds of loads, stores and syncs; what a change of the file's blocks leaves is looked at in
/// the end.
pub(crate) fn survives_now(stage: &Stage) {
    if !stage.world.ops().all(|op| op.about().judged_at_once) {
        return;
    }
    // Whoever still has something to wait for can do that before this, or after.
    visible(Touch::One(SharedPlace::durable(), true), Need::Nothing, 1, "the sync returns");
    let Some(place) = word_block(stage) else { return };
    let history = order::as_run(&stage.history.get());
    let durable = stage.machine.ram.durable_word(place + WORD);
    let parts = &stage.world.parts;
    let stored = (0..parts.len())
        .flat_map(|cpu| (0..parts[cpu].ops.len()).filter_map(move |nth| stage.world.stored(cpu, nth)));
    let stored: Vec<u64> = stored.collect();
    let is_synced = |store: &&Done| {
        store.op.effect() == Effect::Store
            && history.iter().any(|sync| sync.op.about().syncs && store.ended < sync.begun)
    };
    if stage.world.start == Start::Dirty && durable == BEFORE_START {
        engine::fail(|| "a sync has returned, and the store that the world began with is not durable".into());
    }
    for store in history.iter().filter(is_synced) {
        // A later store, or one beside it, may have taken its place; an earlier one may not.
        let is_earlier =
            |value: u64| history.iter().any(|other| other.value == value && other.ended < store.begun);
        if !stored.contains(&durable) || is_earlier(durable) {
            let (cpu, value) = (store.cpu, store.value);
            engine::fail(|| {
                format!("a sync has returned, and CPU {cpu}'s store of {value:#x} before it is not durable")
            });
        }
    }
}

/// Where stores go through, the index knows that the page is dirty.
fn writable_is_dirty(stage: &Stage) {
    let Some(file) = file(stage) else { return };
    for space in stage.spaces.get().iter() {
        for (va, entry, size) in space.entries() {
            let page = space.page_at(va).filter(|_| entry.writable && entry.leads_to_a_block());
            if let Some(page) = page
                && !engine::unwatched(|| file.mapping().index.is_dirty(page))
            {
                let what = if size == PageSize::Large { "2 MiB are" } else { "a page is" };
                engine::fail(|| {
                    format!("{what} mapped for stores, and the index does not know them as dirty")
                });
            }
        }
    }
}

/// Checks everything that can be said when all are through. On success, the same number for the same state.
pub(crate) fn finish(stage: &Stage) -> Result<u64, String> {
    let mut state = DefaultHasher::new();
    // 1. Translations.
    if let Some((cpu, ..)) = stage.machine.kit.hw.stale().first() {
        return Err(format!(
            "all are through, and CPU {cpu} may still have in its TLB what no table says any more"
        ));
    }
    let file = stage.fs.root().and_then(|root| root.lookup(b"f")).ok();
    for space in stage.spaces.get().iter() {
        for (va, entry, size) in space.entries() {
            (space.number(), va, entry, size.pages()).hash(&mut state);
            let Some(page) = space.page_at(va) else { continue };
            if entry.frame >= COPIES {
                continue;
            }
            // Where it has no name any more, its mappings keep it.
            let Some(file) = &file else { continue };
            let shared = file.mapping().shared();
            for nth in 0..size.pages() {
                let place = file.place(shared.held(), page + nth).map_err(|error| error.to_string())?;
                let frame =
                    if entry.frame < BASE { None } else { Some(entry.frame - BASE + nth * PAGE_SIZE) };
                if place != frame {
                    let letter = space.letter();
                    return Err(format!(
                        "address space {letter} shows {} at page {}, where the file has {}",
                        told(frame),
                        page + nth,
                        told(place)
                    ));
                }
            }
            if entry.writable && !file.mapping().index.is_dirty(page) {
                return Err(format!("page {page} is mapped for stores, and not known as dirty"));
            }
        }
    }
    // 2. What a power failure leaves.
    let read = file.as_ref().map(|file| ops::read(&**file, word_at(&stage.world)));
    format!("{read:?}").hash(&mut state);
    let survives = survives(stage)?;
    format!("{survives:?}").hash(&mut state);
    if let (Some(file), Some(survives), Some(read)) = (&file, &survives, &read)
        && survives != read
        && matches!((survives, read), (Seen::Word(_), Seen::Word(_)))
        && !file.mapping().index.is_dirty(stage.world.range.word_page())
    {
        return Err(format!(
            "the page is not known as dirty; read {read}, and after a power failure {survives}"
        ));
    }
    // 3. The file's bytes, as everybody sees them.
    let mut last = Final { read, ..Final::default() };
    let spaces = stage.spaces.get().clone();
    for space in spaces.iter().take(stage.world_spaces) {
        for (which, small) in [(Which::Shared, false), (Which::Small, true)] {
            if space.has(which) {
                let seen = space.load(small).map_or_else(|seen| seen, Seen::Word);
                last.loads.push(Look { space: space.number() as u8, small, seen });
            }
        }
        if space.has(Which::Private) {
            last.privates.push((space.number() as u8, space.load_private()));
        }
    }
    drop(spaces);
    let history = std::mem::take(&mut *stage.history.get());
    other_file(stage, &order::as_run(&history))?;
    order::each(&history, stage.world.parts.len(), |history| {
        explain(&stage.world, history, &last)?;
        survives.as_ref().map_or(Ok(()), |survives| order::survived(&stage.world, history, survives))
    })?;
    // 4. Blocks.
    drop(file);
    blocks(stage, &mut state)?;
    Ok(state.finish())
}

/// The other file holds what was written to it, and nothing that was written to the file under test.
fn other_file(stage: &Stage, history: &[Done]) -> Result<(), String> {
    let written: Vec<u64> = history
        .iter()
        .filter(|done| done.op.effect() == Effect::WriteOther && done.seen == Seen::Done)
        .map(|done| done.value)
        .collect();
    let read = ops::read(&*stage.other, OTHER_PAGE * PAGE_SIZE + WORD);
    match read {
        Seen::Word(0) if written.is_empty() => Ok(()),
        Seen::Word(word) if written.contains(&word) => Ok(()),
        read => Err(format!("the other file has {read}, where {written:x?} was written")),
    }
}

fn told(place: Option<u64>) -> String {
    place.map_or_else(|| "a hole".into(), |place| format!("block {}", place / PAGE_SIZE))
}

/// What read(2) gives of the word after a power failure that leaves as little as it may; `None` if nobody
/// asks.
fn survives(stage: &Stage) -> Result<Option<Seen>, String> {
    if !wants_durable(&stage.world) {
        return Ok(None);
    }
    let memory = Arc::new(stage.machine.ram.after_power_failure(false));
    let fs = image::mount(machine(memory)).map_err(|error| format!("after a power failure: {error}"))?;
    let file = fs.root().and_then(|root| root.lookup(b"f")).ok();
    Ok(file.map(|file| ops::read(&*file, word_at(&stage.world))))
}

/// Returns whether something in the world is to survive a power failure that does not survive anyway.
pub(crate) fn wants_durable(world: &World) -> bool {
    world.ops().any(|op| op.about().syncs) || world.start == Start::Clean
}

/// One block for each offset, none used twice, none lost.
fn blocks(stage: &Stage, state: &mut DefaultHasher) -> Result<(), String> {
    let memory: &Memory = &stage.machine.ram;
    // Whoever still has the file open or mapped lets it go.
    for space in stage.spaces.get().iter() {
        space.unmap_all();
    }
    stage.handles.iter().for_each(|handle| drop(handle.get().take()));
    let mut used: BTreeSet<u64> = BTreeSet::new();
    let mut held = 0;
    for name in [b"f", b"g"] {
        let Ok(file) = stage.fs.root().and_then(|root| root.lookup(name)) else { continue };
        let attr = file.attr();
        (attr.size, attr.blocks).hash(state);
        held += attr.blocks / (PAGE_SIZE / 512);
        let mut twice = None;
        let mut each = |extent: Extent| {
            for place in extent
                .place()
                .into_iter()
                .flat_map(|place| (place..place + extent.len).step_by(PAGE_SIZE as usize))
            {
                if !used.insert(place / PAGE_SIZE) {
                    twice = Some(place / PAGE_SIZE);
                }
            }
            ControlFlow::Continue(())
        };
        file.extents(0, &mut each).map_err(|error| error.to_string())?;
        if let Some(block) = twice {
            return Err(format!("block {block} is at two offsets"));
        }
    }
    let in_use = image::in_use(memory);
    if let Some(block) = used.iter().find(|&&block| !in_use(block)) {
        return Err(format!("block {block} is a file's, and the bitmap has it as free"));
    }
    let count = (0..memory.pages()).filter(|&block| in_use(block)).count() as u64;
    let own = stage.own_blocks;
    if count != own + held {
        return Err(format!("{count} blocks are in use: the file system's own {own}, the files' {held}"));
    }
    Ok(())
}
