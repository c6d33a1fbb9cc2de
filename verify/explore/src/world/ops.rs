//! The operations: what a CPU does to the file, and what it came to.

use super::space::{Which, uses};
use super::{OTHER_PAGE, Performed, Stage, WORD, check, image};
use crate::model::Seen;
use crate::sched::engine::{self, Body, Need, Noted, visible};
use crate::sched::touch::{SharedPlace, Touch};
use fs::PAGE_SIZE;
use fs::dax::{fsync, msync};
use fs::lab::schedule::{Effect, Op, World};
use fs::pmem::{LINE, Pmem};
use fs::vfs::{Fallocate, FileSystem, Inode, InodeRef};
use std::sync::Arc;

/// Makes what CPU `cpu` does from the first operation of its part to the last.
pub(crate) fn body(stage: Arc<Stage>, cpu: usize) -> Body {
    Box::new(move || {
        let part = stage.world.parts[cpu].clone();
        for (nth, &op) in part.ops.iter().enumerate() {
            let value = stage.world.stored(cpu, nth).unwrap_or(0);
            let (begun, at) = (engine::own_steps(), engine::steps());
            // A step of its own, so that nothing of the operation happens before it is this CPU's turn.
            visible(Touch::Nothing, Need::Nothing, 1, "an operation begins");
            engine::note(|| Noted::Begins(told(op, value)));
            let seen = perform(&stage, cpu, op, value);
            engine::note(|| Noted::Ends(format!("{op}: {seen}")));
            let steps = begun..engine::own_steps();
            stage.history.get().push(Performed {
                cpu,
                space: part.space,
                op,
                value,
                seen,
                steps,
                times: at..engine::steps(),
            });
            if op.about().syncs {
                check::survives_now(&stage);
            }
        }
        // A handle that is the last frees what it can in the CPU's own time.
        let handle = stage.handles[cpu].get().take();
        let_go(&stage.world, handle);
    })
}

/// Lets a handle go. Where a file can lose its name, it is a step: whoever lets the last one go frees the
/// file.
pub(crate) fn let_go<T>(world: &World, handle: T) {
    if world.has(Effect::Close) {
        visible(Touch::One(SharedPlace::handles(), true), Need::Nothing, 1, "a handle goes");
    }
    drop(handle);
}

fn told(op: Op, value: u64) -> String {
    if op.effect().stores() { format!("{op} {value:#x}") } else { op.to_string() }
}

fn outcome(result: fs::Result<()>) -> Seen {
    match result {
        Ok(()) => Seen::Done,
        Err(error) => Seen::Error(error.to_string()),
    }
}

/// As [`outcome`], where [`NoMemory`](fs::Errno::NoMemory) and [`BadAddress`](fs::Errno::BadAddress) say that
/// there is no area.
fn of_area(result: fs::Result<()>) -> Seen {
    match result {
        Err(fs::Error::Op(fs::Errno::NoMemory | fs::Errno::BadAddress)) => Seen::Segv,
        other => outcome(other),
    }
}

/// Returns where the word is, in bytes of the file.
pub(crate) fn word_at(world: &World) -> u64 {
    world.range.word_page() * PAGE_SIZE + WORD
}

/// Reads the word as read(2) does.
pub(crate) fn read(file: &dyn Inode<crate::hw::Machine>, at: u64) -> Seen {
    let mut bytes = [0; 8];
    match file.read_at(at, &mut bytes) {
        Ok(8) => Seen::Word(u64::from_le_bytes(bytes)),
        Ok(_) => Seen::Bus,
        Err(error) => Seen::Error(error.to_string()),
    }
}

fn perform(stage: &Arc<Stage>, cpu: usize, op: Op, value: u64) -> Seen {
    let world = &stage.world;
    let part = &world.parts[cpu];
    let space = stage.spaces.get()[usize::from(part.space)].clone();
    let file: InodeRef<_> = match stage.handles[cpu].get().as_ref() {
        Some(file) => file.clone(),
        // Its part has dropped it: what needs the file finds none.
        None if op.about().handle => return Seen::Error("the handle is closed".into()),
        None => stage.other.clone(),
    };
    let (first, pages) = world.range.pages();
    let (start, len) = (first * PAGE_SIZE, pages * PAGE_SIZE);
    let at = word_at(world);
    // Its shared area, and the private one if its address space has one.
    let each = |what: &dyn Fn(Which) -> fs::Result<()>| {
        what(Which::shared(part.small))?;
        if uses(world, part.space, Which::Private) { what(Which::Private) } else { Ok(()) }
    };
    let seen = match op {
        Op::Load => space.load(part.small).map_or_else(|seen| seen, Seen::Word),
        Op::Store => space.store(part.small, value).map_or_else(|seen| seen, |()| Seen::Done),
        Op::Read => read(&*file, at),
        Op::Direct => direct(stage, cpu, &*file),
        Op::Write => outcome(file.write_at(at, &value.to_le_bytes()).map(|_| ())),
        Op::WriteOther => {
            outcome(stage.other.write_at(OTHER_PAGE * PAGE_SIZE + WORD, &value.to_le_bytes()).map(|_| ()))
        }
        Op::Truncate => outcome(file.truncate(start)),
        Op::Grow => outcome(file.truncate(image::file_size(world.range))),
        Op::Punch => outcome(file.fallocate(Fallocate::PunchHole, start, len)),
        Op::PunchBeside => {
            let beside = (world.range.word_page() + 1) * PAGE_SIZE;
            outcome(file.fallocate(Fallocate::PunchHole, beside, PAGE_SIZE))
        }
        Op::Fallocate => outcome(file.fallocate(Fallocate::Allocate { keep_size: false }, start, len)),
        Op::Msync => outcome(msync(&*file, first..first + pages).map(|_| ())),
        Op::Fsync => outcome(fsync(&*file).map(|_| ())),
        Op::Munmap => outcome(space.unmap(Which::shared(part.small))),
        Op::Mprotect => of_area(space.protect(Which::shared(part.small))),
        Op::MapOver => outcome(space.map(Which::shared(part.small), &file).map(|_| ())),
        Op::Mremap => of_area(each(&|which| space.move_and_back(which, cpu))),
        Op::Madvise => of_area(each(&|which| space.forget(which))),
        Op::Private => space.store_private(value),
        Op::Fork => fork(stage, cpu, &space),
        Op::Freeze => freeze(stage),
        Op::Unlink => {
            let unlinked = stage.fs.root().and_then(|root| root.unlink(b"f"));
            let handle = stage.handles[cpu].get().take();
            let_go(world, handle);
            match unlinked {
                // Another CPU was faster.
                Err(fs::Error::Op(fs::Errno::NotFound)) => Seen::Done,
                other => outcome(other),
            }
        }
        Op::Poison => {
            poison(stage, &*file);
            Seen::Done
        }
    };
    let_go(world, file);
    seen
}

/// Reads the word as direct I/O does: from its block, which is pinned meanwhile.
fn direct(stage: &Stage, cpu: usize, file: &dyn Inode<crate::hw::Machine>) -> Seen {
    let page = stage.world.range.word_page();
    let (index, memory) = (&file.mapping().index, &stage.machine.ram);
    let place = {
        let shared = file.mapping().shared();
        if page >= file.size(shared.held()).div_ceil(PAGE_SIZE) {
            return Seen::Bus;
        }
        index.pin(page..page + 1).expect("memory for the index");
        file.place(shared.held(), page)
    };
    stage.pinned.get()[cpu] = place.ok().flatten();
    // Whoever frees the block can do that before, in between, or after.
    let uses = |what| {
        if let Some(place) = place.as_ref().ok().copied().flatten() {
            visible(Touch::One(SharedPlace::block(place / PAGE_SIZE), false), Need::Nothing, 1, what);
        }
    };
    uses("a transfer begins");
    let seen = match &place {
        Ok(None) => Seen::Word(0),
        Ok(Some(place)) if memory.poison.first_in(*place + WORD, 8).is_some() => Seen::Bus,
        Ok(Some(place)) => Seen::Word(memory.load_u64(*place + WORD)),
        Err(error) => Seen::Error(error.to_string()),
    };
    uses("a transfer ends");
    stage.pinned.get()[cpu] = None;
    index.unpin(&stage.machine, page..page + 1);
    seen
}

/// The child loads the word, and ends.
fn fork(stage: &Stage, cpu: usize, space: &super::Space) -> Seen {
    let child = match space.fork() {
        Ok(child) => Arc::new(child),
        Err(error) => return Seen::Error(error.to_string()),
    };
    stage.spaces.get().push(child.clone());
    stage.machine.kit.hw.run_in(cpu, child.number());
    let seen = child.load(stage.world.parts[cpu].small).map_or_else(|seen| seen, Seen::Word);
    child.unmap_all();
    stage.machine.kit.hw.run_in(cpu, space.number());
    seen
}

/// Freezes and thaws; in between nothing may change.
fn freeze(stage: &Stage) -> Seen {
    match stage.fs.freeze() {
        Ok(()) => {}
        // Another CPU was faster.
        Err(fs::Error::Op(fs::Errno::Busy)) => return Seen::Done,
        Err(error) => return Seen::Error(error.to_string()),
    }
    check::nothing_to_store_to(stage);
    let before = stage.machine.ram.stores();
    // Whoever changes something has a chance to do it between these two.
    stage.machine.ram.look_whole();
    let after = stage.machine.ram.stores();
    if after != before {
        engine::fail(|| "something was stored while the file system was frozen".into());
    }
    outcome(stage.fs.thaw())
}

/// The line of the word loses its content, where it has a block.
fn poison(stage: &Stage, file: &dyn Inode<crate::hw::Machine>) {
    let place = {
        let shared = file.mapping().shared();
        file.place(shared.held(), stage.world.range.word_page()).ok().flatten()
    };
    if let Some(place) = place {
        let _ = stage.machine.ram.poison.add(place + WORD, LINE);
    }
}
