//! A story of [`fs::lab::schedule`] played on real CPUs: the world is prepared, a task for each of its CPUs
//! does what it says, and a script brings them to the schedule's places in its order.
//!
//! | file | what it holds |
//! |---|---|
//! | this one | the play; the range's starting state |
//! | [`order`] | a schedule as a script's order |
//! | [`acts`] | the operations |
//! | [`check`] | what must hold afterwards |
//!
//! Parts with the same address space are threads of it, and share the mapping unless one of them has no huge
//! pages. The file is a little longer than its range. The name of the file may go (`unlink`); mappings and
//! the lab keep the file itself.

mod acts;
mod check;
mod order;

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range as Bytes;
use core::sync::atomic::AtomicU64;

use fs::PAGE_SIZE;
use fs::lab::schedule::{Effect, Range, Start, Story, Uses, World};
use fs::vfs::{Fallocate, FileKind};

use super::stage::{ActorView, Answer, Play, Role, Turn};
use crate::entry::user_access;
use crate::machine::File;
use crate::mm::aspace::{AddressSpace, MapRequest, Placement, Rights, VmaKind};
use crate::pmem::poison;
use crate::sync::{IrqLock, Mutex};
use crate::task::{self, Builder, ExitStatus, TaskSpace};
use acts::Did;
use check::ShownWord;
pub use order::{ScriptedOrder, order};

/// The second file, beside the first.
const OTHER: &[u8] = b".race-other";

/// A story, and what its actors have done.
pub struct Replay {
    world: World,
    text: String,
    /// What each actor is called: its part's text.
    names: Vec<String>,
    /// Where the file lies, under which name.
    dir: File,
    name: &'static [u8],
    /// The second file, if somebody writes to it.
    other: Option<File>,
    /// The private VMA of each actor that stores to one.
    private: Mutex<Vec<Option<u64>>>,
    did: Vec<IrqLock<Vec<Did>>>,
    /// Counts beginnings and ends of operations.
    moments: AtomicU64,
    seen: Vec<IrqLock<Option<ShownWord>>>,
    /// What became bad meanwhile, by physical address.
    bad: Mutex<Vec<Bytes<u64>>>,
}

impl Replay {
    /// Returns the play of `story`, about the file that `dir` has under `name`. [`clean`](Self::clean)
    /// undoes what it makes.
    ///
    /// # Errors
    /// The second file could not be made.
    pub fn new(story: &Story, dir: File, name: &'static [u8]) -> fs::Result<Self> {
        let world = story.world.clone();
        let other = match world.has(Effect::WriteOther) {
            true => {
                // A run that was cut off has left one.
                match dir.unlink(OTHER) {
                    Ok(()) | Err(fs::Error::Op(fs::Errno::NotFound)) => {}
                    Err(error) => return Err(error),
                }
                Some(dir.create(OTHER, FileKind::File, 0o600)?)
            }
            false => None,
        };
        let parts = || world.parts.iter();
        Ok(Self {
            text: story.to_string(),
            names: parts().map(|part| part.to_string()).collect(),
            dir,
            name,
            other,
            private: Mutex::new(parts().map(|_| None).collect()),
            did: parts().map(|part| IrqLock::new(Vec::with_capacity(part.ops.len()))).collect(),
            moments: AtomicU64::new(0),
            seen: parts().map(|_| IrqLock::new(None)).collect(),
            bad: Mutex::new(Vec::new()),
            world,
        })
    }

    /// Returns what each actor is called.
    pub fn names(&self) -> Vec<&str> {
        self.names.iter().map(String::as_str).collect()
    }

    /// Makes memory good again, and takes the second file away.
    ///
    /// # Errors
    /// It could not be taken away.
    pub fn clean(&self) -> fs::Result<()> {
        for bad in self.bad.lock().drain(..) {
            // What was put into the list was alone there: taking it out needs no room.
            let _ = poison::clear(bad.start, bad.end - bad.start);
        }
        match self.other {
            Some(_) => self.dir.unlink(OTHER),
            None => Ok(()),
        }
    }

    /// Returns the byte of the file at which the word is.
    fn word_offset(&self) -> u64 {
        self.world.range.word_page() * PAGE_SIZE
    }

    /// Returns the word's byte in the range.
    fn word_byte(&self) -> u64 {
        (self.world.range.word_page() - self.world.range.pages().0) * PAGE_SIZE
    }

    /// Returns the bytes of the range.
    fn len(&self) -> u64 {
        self.world.range.pages().1 * PAGE_SIZE
    }

    /// Returns the word, as read(2) sees it; none behind the end of the file.
    fn read_word(&self, file: &File) -> fs::Result<Option<u64>> {
        let mut bytes = [0; 8];
        let read = file.read_at(self.word_offset(), &mut bytes)?;
        Ok((read == bytes.len()).then(|| u64::from_le_bytes(bytes)))
    }

    /// Returns each mapping that there is, as the first actor that has it.
    fn mappings<'a>(&self, turn: &'a Turn<'_>) -> impl Iterator<Item = usize> + 'a {
        let views = &turn.stage.views;
        let same = |a: usize, b: usize| {
            Arc::ptr_eq(&views[a].space, &views[b].space) && views[a].start == views[b].start
        };
        (0..views.len()).filter(move |&actor| !(0..actor).any(|before| same(before, actor)))
    }

    /// Loads the word through every mapping, or stores it.
    fn touch(&self, turn: &Turn<'_>, store: Option<u64>) -> Answer {
        for actor in self.mappings(turn) {
            let view = &turn.stage.views[actor];
            let at = view.start + turn.offset() + self.word_byte();
            let touched = within(&view.space, None, move || match store {
                Some(word) => user_access::store_u64(at, word).map_err(|fault| fault.to_string()),
                None => user_access::load_u64(at).map(|_| ()).map_err(|fault| fault.to_string()),
            });
            touched.map_err(|why| alloc::format!("the starting state: {why}"))?;
        }
        Ok(())
    }
}

/// Does `work` in an address space that is not ours, on that CPU, and waits for it.
fn within<T: Send + 'static>(
    space: &Arc<AddressSpace>,
    cpu: Option<usize>,
    work: impl FnOnce() -> Answer<T> + Send + 'static,
) -> Answer<T> {
    let result: Arc<IrqLock<Option<Answer<T>>>> = Arc::new(IrqLock::new(None));
    let to = result.clone();
    let builder = Builder { name: "helper", space: TaskSpace::Shared(space.clone()), cpu };
    let body = move || {
        let done = work();
        *to.lock() = Some(done);
        ExitStatus::SUCCESS
    };
    task::spawn(builder, body).map_err(|error| error.to_string())?.join();
    result.lock().take().unwrap_or_else(|| Err("it did not end well".into()))
}

impl Play for Replay {
    fn name(&self) -> &str {
        &self.text
    }

    fn actors(&self) -> usize {
        self.world.parts.len()
    }

    fn role(&self, actor: usize) -> Role<'_> {
        let part = &self.world.parts[actor];
        let look = if part.small { ActorView::Small } else { ActorView::Shared };
        Role { name: &self.names[actor], space: part.space.into(), look }
    }

    fn pages(&self) -> u64 {
        self.world.range.pages().1
    }

    fn units(&self) -> u64 {
        match self.world.range {
            Range::Page => 4,
            Range::Pmd => 2,
        }
    }

    fn page(&self, _: u64) -> u64 {
        self.world.range.pages().0
    }

    fn prepare(&self, turn: &Turn<'_>) -> Answer {
        let text = |error: fs::Error| alloc::format!("the starting state: {error}");
        let file = &turn.stage.file;
        let start = self.world.start;
        if matches!(start, Start::Block | Start::Dirty | Start::Clean) {
            // All at once, so that 2 MiB of blocks lie together.
            let how = Fallocate::Allocate { keep_size: true };
            file.fallocate(how, turn.offset(), self.len()).map_err(text)?;
            file.write_at(self.word_offset(), &start.word().to_le_bytes()).map_err(text)?;
        }
        match start {
            Start::Hole | Start::Block => {}
            Start::Zero => self.touch(turn, None)?,
            Start::Dirty => self.touch(turn, Some(start.word()))?,
            Start::Clean => {
                self.touch(turn, Some(start.word()))?;
                fs::dax::fsync(&**file).map_err(text)?;
            }
        }
        if let Some(other) = &self.other {
            other.truncate(PAGE_SIZE).map_err(text)?;
        }
        for (actor, part) in self.world.parts.iter().enumerate() {
            if part.ops.iter().any(|op| op.about().uses == Uses::Private) {
                let kind = VmaKind {
                    private: true,
                    large: false,
                    ..VmaKind::shared(Rights::READ_WRITE, self.world.protocol)
                };
                let (name, offset, len) = (&Arc::from(self.text.as_str()), turn.offset(), self.len());
                let request =
                    MapRequest { file, name, offset, len, at: Placement::Any, kind, populate: false };
                let start = turn.stage.views[actor].space.map(&request).map_err(text)?;
                self.private.lock()[actor] = Some(start);
            }
        }
        Ok(())
    }

    fn act(&self, turn: &Turn<'_>) -> Answer {
        for number in 0..self.world.parts[turn.actor].ops.len() {
            let did = self.operate(turn, number);
            turn.say(|| did.to_string());
            self.did[turn.actor].lock().push(did);
        }
        Ok(())
    }

    fn look(&self, turn: &Turn<'_>) -> Answer<u64> {
        let seen = turn.load(self.word_byte()).map_or_else(ShownWord::Refused, ShownWord::Word);
        *self.seen[turn.actor].lock() = Some(seen);
        Ok(0)
    }

    fn check(&self, turn: &Turn<'_>) -> Answer {
        self.judge(turn)
    }
}
