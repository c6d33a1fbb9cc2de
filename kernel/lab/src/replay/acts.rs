//! What a CPU of a story does, and what it says that it did.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::fmt;
use core::ops::Range;
use core::sync::atomic::Ordering::SeqCst;

use fs::PAGE_SIZE;
use fs::dax;
use fs::lab::schedule::{Effect, Op};
use fs::platform::Platform;
use fs::pmem::Pmem;
use fs::vfs::Fallocate;

use super::super::stage::{Answer, Turn};
use super::{Replay, within};
use crate::arch::percpu;
use crate::bad_memory;
use crate::entry::user_access;
use crate::mm::aspace::{Advice, MapRequest, Placement, Rights, VmaKind};
use crate::mounts;

/// Bytes of a line of persistent memory.
const LINE: u64 = 64;

/// What came of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Did {
    pub(super) op: Op,
    pub(super) came: ActResult,
    /// When the act began and ended: all of these moments differ.
    pub(super) when: Range<u64>,
}

impl Did {
    /// Returns the word that the act put into the first file or the second one, if it put one there.
    pub(super) fn stored(&self, in_other: bool) -> Option<u64> {
        match self.came {
            ActResult::Stored(word) if in_other == (self.op.effect() == Effect::WriteOther) => Some(word),
            _ => None,
        }
    }
}

/// Of a [`Did`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ActResult {
    /// A load or read(2) of this word.
    Saw(u64),
    /// A store or write(2) of this word.
    Stored(u64),
    /// A store of the first word to a private copy, which then showed the second one.
    Copied(u64, u64),
    /// The act is done; so many pages, or nothing to count.
    Done,
    /// There was nothing to do the act to.
    Nothing(&'static str),
    /// The act was refused.
    Refused(String),
}

impl fmt::Display for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (op, effect) = (self.op, self.op.effect());
        match &self.came {
            ActResult::Saw(word) if effect == Effect::Read => write!(f, "has read {word:#x}"),
            ActResult::Saw(word) if effect == Effect::Fork => {
                write!(f, "has forked; the child loaded {word:#x}")
            }
            ActResult::Saw(word) => write!(f, "has loaded {word:#x}"),
            ActResult::Stored(word) if effect == Effect::Store => write!(f, "has stored {word:#x}"),
            ActResult::Stored(word) => write!(f, "has written {word:#x}"),
            ActResult::Copied(word, seen) => write!(f, "private: stored {word:#x}, loaded {seen:#x}"),
            ActResult::Done => write!(f, "{op}: done"),
            ActResult::Nothing(why) => write!(f, "{op}: {why}"),
            ActResult::Refused(why) => write!(f, "{op} refused: {why}"),
        }
    }
}

impl Replay {
    /// Does the operation with that number of the actor's part.
    pub(super) fn operate(&self, turn: &Turn<'_>, number: usize) -> Did {
        let op = self.world.parts[turn.actor].ops[number];
        // 0 where nothing is stored, and then not looked at.
        let word = self.world.stored(turn.actor, number).unwrap_or_default();
        let begun = self.moments.fetch_add(1, SeqCst);
        let came = self.try_to(turn, op, number, word).unwrap_or_else(ActResult::Refused);
        Did { op, came, when: begun..self.moments.fetch_add(1, SeqCst) }
    }

    fn try_to(&self, turn: &Turn<'_>, op: Op, number: usize, word: u64) -> Answer<ActResult> {
        let text = |error: fs::Error| error.to_string();
        let stage = turn.stage;
        let (file, view) = (&stage.file, &stage.views[turn.actor]);
        let (offset, len, byte) = (turn.offset(), self.len(), self.word_byte());
        let bytes = word.to_le_bytes();
        let before = &self.world.parts[turn.actor].ops[..number];
        if op.about().handle && before.iter().any(|op| op.effect() == Effect::Close) {
            return Ok(ActResult::Nothing("its handle is closed"));
        }
        match op {
            Op::Load => return turn.load(byte).map(ActResult::Saw),
            Op::Store => return turn.store(byte, word).map(|()| ActResult::Stored(word)),
            Op::Read => {
                let read = self.read_word(file).map_err(text)?;
                return Ok(read.map_or(ActResult::Nothing("the end of the file"), ActResult::Saw));
            }
            Op::Direct => return self.direct(file).map_err(text),
            Op::Write => {
                file.write_at(self.word_offset(), &bytes).map_err(text)?;
                return Ok(ActResult::Stored(word));
            }
            Op::WriteOther => {
                let other = self.other.as_ref().ok_or("there is no second file")?;
                other.write_at(0, &bytes).map_err(text)?;
                return Ok(ActResult::Stored(word));
            }
            Op::Private => {
                let at = self.private.lock()[turn.actor].ok_or("there is no private area")? + byte;
                user_access::store_u64(at, word).map_err(|fault| fault.to_string())?;
                let seen = user_access::load_u64(at).map_err(|fault| fault.to_string())?;
                return Ok(ActResult::Copied(word, seen));
            }
            Op::Fork => return self.fork(turn).map(ActResult::Saw),
            Op::Poison => return self.poison(turn),
            Op::Truncate => file.truncate(offset),
            Op::Grow => file.truncate(self.size()),
            Op::Punch => file.fallocate(Fallocate::PunchHole, offset, len),
            Op::PunchBeside => {
                file.fallocate(Fallocate::PunchHole, self.word_offset() + PAGE_SIZE, PAGE_SIZE)
            }
            Op::Fallocate => file.fallocate(Fallocate::Allocate { keep_size: false }, offset, len),
            Op::Msync => {
                let pages = turn.page..turn.page + len / PAGE_SIZE;
                dax::msync(&**file, pages).map(|_| ())
            }
            Op::Fsync => dax::fsync(&**file).map(|_| ()),
            Op::Munmap => view.space.munmap(turn.at(0), len),
            Op::Mprotect => {
                let rights = Rights { write: false, ..Rights::READ_WRITE };
                view.space.mprotect(turn.at(0), len, rights)
            }
            Op::MapOver => {
                let large = !self.world.parts[turn.actor].small;
                let kind = VmaKind { large, ..VmaKind::shared(Rights::READ_WRITE, self.world.protocol) };
                let (name, at) = (&Arc::from(self.text.as_str()), Placement::Exactly(turn.at(0)));
                view.space.map(&MapRequest { file, name, offset, len, at, kind, populate: false }).map(|_| ())
            }
            Op::Mremap => self.each_vma(turn, |at| {
                // Far from everything, and each actor to its own place.
                let away = at + ((turn.actor as u64 + 1) << 42);
                view.space.mremap(at, len, len, true, Some(away))?;
                view.space.mremap(away, len, len, true, Some(at)).map(|_| ())
            }),
            Op::Madvise => self.each_vma(turn, |at| view.space.madvise(at, len, Advice::DontNeed)),
            Op::Freeze => {
                let mount = mounts::of(file).ok_or("not mounted")?;
                mount.fs.freeze().and_then(|()| mount.fs.thaw())
            }
            Op::Unlink => self.dir.unlink(self.name),
        }
        .map(|()| ActResult::Done)
        .map_err(text)
    }

    /// Calls `f` with the range's address in the actor's VMA, then in each private VMA of the actor's
    /// address space.
    fn each_vma(&self, turn: &Turn<'_>, f: impl Fn(u64) -> fs::Result<()>) -> fs::Result<()> {
        f(turn.at(0))?;
        let own = self.world.parts[turn.actor].space;
        let private = self.private.lock().clone();
        let same = self.world.parts.iter().zip(private).filter(|(part, _)| part.space == own);
        same.filter_map(|(_, at)| at).try_for_each(f)
    }

    /// Reads the word from its block, which is pinned meanwhile.
    fn direct(&self, file: &crate::machine::File) -> fs::Result<ActResult> {
        let (index, page) = (&file.mapping().index, self.word_offset() / PAGE_SIZE);
        let place = {
            let lock = file.mapping().shared();
            if page >= file.size(lock.held()).div_ceil(PAGE_SIZE) {
                return Ok(ActResult::Nothing("the end of the file"));
            }
            index.pin(page..page + 1)?;
            file.place(lock.held(), page)
        };
        let came = place.and_then(|place| {
            let Some(place) = place else { return Ok(ActResult::Saw(0)) };
            let (pmem, at) = (file.platform().pmem(), place + self.word_offset() % PAGE_SIZE);
            match pmem.poisoned(at, 8) {
                Some(bad) => Err(fs::Error::Poisoned(bad)),
                None => Ok(ActResult::Saw(pmem.load_u64(at))),
            }
        });
        index.unpin(file.platform(), page..page + 1);
        came
    }

    /// Returns the file's size at first.
    fn size(&self) -> u64 {
        use super::Play;
        self.units() * self.len()
    }

    /// Forks the address space, and has the child run on this CPU, in the actor's place of the script.
    fn fork(&self, turn: &Turn<'_>) -> Answer<u64> {
        let child = turn.stage.views[turn.actor].space.fork().map_err(|error| error.to_string())?;
        let (at, actor, script) = (turn.at(self.word_byte()), turn.actor, turn.stage.script.clone());
        let loads = script.clone();
        let loaded = within(&child, Some(percpu::number()), move || {
            if let Some(script) = &loads {
                script.enter(actor);
            }
            user_access::load_u64(at).map_err(|fault| fault.to_string())
        });
        if let Some(script) = &script {
            script.enter(actor);
        }
        loaded
    }

    /// Makes the word's line go bad.
    fn poison(&self, turn: &Turn<'_>) -> Answer<ActResult> {
        let file = &turn.stage.file;
        let place = {
            let lock = file.mapping().shared();
            file.place(lock.held(), self.world.range.word_page()).map_err(|error| error.to_string())?
        };
        let Some(place) = place else { return Ok(ActResult::Nothing("there is a hole")) };
        let physical = file.platform().pmem().frame(0) + place;
        bad_memory::add(physical, LINE).map_err(|_| String::from("the list is full"))?;
        self.bad.lock().push(physical..physical + LINE);
        Ok(ActResult::Done)
    }
}
