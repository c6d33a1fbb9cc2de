//! Where a race is played: a file, address spaces that map it, tasks on CPUs, and the turns they take
//! together.
//!
//! Each round has two parts, which the tasks do at the same time: they *act*, and when all are through, they
//! *look* at what they see now. Between the parts the director ([`super::race`]) prepares and judges.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};

use fs::PAGE_SIZE;
use fs::dax::Protocol;
use fs::lab::Point;

use super::chance::Chance;
use super::script::{Milestone, Script};
use super::waiting::{until, until_soon};
use crate::arch::percpu;
use crate::entry::user_access;
use crate::machine::File;
use crate::mm::aspace::{AddressSpace, MapRequest, Placement, Rights, VmaKind};
use crate::task::{self, Builder, ExitStatus, TaskRef, TaskSpace, TaskState};

/// What an actor's part comes to; a failure says what did not work.
pub type Answer<T = ()> = Result<T, String>;

/// How an actor maps the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActorView {
    /// Shared; by huge pages if the play is about so many.
    Shared,
    /// Shared, by pages of 4 KiB.
    Small,
    /// Private.
    Private,
}

/// Who an actor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Role<'a> {
    pub name: &'a str,
    /// The number of the actor's address space. Actors with the same number share the address space, and the
    /// mapping too if they look at the file in the same way.
    pub space: usize,
    pub look: ActorView,
}

/// What is played on a stage.
pub trait Play: Send + Sync {
    /// Returns the play's name.
    fn name(&self) -> &str;
    /// Returns how many actors take part.
    fn actors(&self) -> usize;
    /// Returns who the actor is.
    fn role(&self, actor: usize) -> Role<'_>;
    /// Returns how many pages of the file a round is about, and how many such pieces there are.
    fn pages(&self) -> u64;
    fn units(&self) -> u64;
    /// Returns the number of the first page that a round is about. The first round is not about page 0,
    /// whose number is what many a mistake comes to.
    fn page(&self, round: u64) -> u64 {
        (round + 1) % self.units() * self.pages()
    }
    /// Makes the pages ready, which are holes and mapped nowhere.
    fn prepare(&self, turn: &Turn<'_>) -> Answer;
    /// Does the actor's part of a round.
    fn act(&self, turn: &Turn<'_>) -> Answer;
    /// Returns the word that the actor sees after the acts.
    fn look(&self, turn: &Turn<'_>) -> Answer<u64>;
    /// Returns what was lost, if anything, when all have acted and looked.
    fn check(&self, turn: &Turn<'_>) -> Answer;
}

/// A mapping of the whole file.
pub struct FileMapping {
    pub space: Arc<AddressSpace>,
    pub start: u64,
}

/// Everything that those who take part share.
pub struct LabStage {
    pub file: File,
    pub play: Arc<dyn Play>,
    pub views: Vec<FileMapping>,
    pub script: Option<Arc<Script>>,
    /// Without a script: who is held where.
    pub chance: Option<Arc<Chance>>,
    /// What each actor saw.
    seen: Vec<AtomicU64>,
    /// Words that actors leave for each other; zeros when a round begins.
    pub notes: [AtomicU64; 4],
    /// The first thing that did not work.
    failure: crate::sync::IrqLock<Option<String>>,
    acting: Vec<AtomicBool>,
    /// Odd: they act. Even: they look.
    part: AtomicU64,
    ready: AtomicUsize,
    through: AtomicUsize,
    /// The page of this round.
    page: AtomicU64,
    /// Nobody waits for anybody any more.
    over: AtomicBool,
}

/// One actor's part of a round.
pub struct Turn<'a> {
    pub stage: &'a LabStage,
    pub actor: usize,
    /// The first page that this round is about.
    pub page: u64,
}

impl Turn<'_> {
    /// Returns the address of byte `byte` of the round's pages, as this actor has them mapped.
    pub fn at(&self, byte: u64) -> u64 {
        self.stage.views[self.actor].start + self.page * PAGE_SIZE + byte
    }

    /// Loads the 8 bytes from byte `byte` of the round's pages on.
    ///
    /// # Errors
    /// The refused fault, as text.
    pub fn load(&self, byte: u64) -> Answer<u64> {
        user_access::load_u64(self.at(byte)).map_err(|fault| fault.to_string())
    }

    /// Stores 8 bytes from byte `byte` of the round's pages on.
    ///
    /// # Errors
    /// The refused fault, as text.
    pub fn store(&self, byte: u64, value: u64) -> Answer {
        user_access::store_u64(self.at(byte), value).map_err(|fault| fault.to_string())
    }

    /// Stores like [`store`](Self::store), and tells the script.
    ///
    /// # Errors
    /// Those of [`store`](Self::store).
    pub fn store_told(&self, byte: u64, value: u64) -> Answer {
        self.store(byte, value)?;
        self.say(|| alloc::format!("has stored {value:#x}"));
        Ok(())
    }

    /// Says something, if somebody writes it down.
    pub fn say(&self, text: impl FnOnce() -> String) {
        if let Some(script) = &self.stage.script {
            script.say(self.actor, text());
        }
    }

    /// Comes to a place of the script in the middle of the actor's part; without a script, takes time there.
    pub fn mark(&self, number: u8) {
        if let Some(script) = &self.stage.script {
            script.pass(self.actor, Milestone::Mark(number));
        }
        if let Some(chance) = &self.stage.chance {
            chance.stagger(self.actor, 19);
            chance.step(self.actor);
        }
    }

    /// Returns whether `actor` has come by `point` in this round. Nobody asks with a script: the script says
    /// so itself.
    pub fn has_passed(&self, actor: usize, point: Point) -> bool {
        self.stage.chance.as_ref().is_some_and(|chance| chance.has_passed(actor, point))
    }

    /// Sleeps until another actor has left word `note`, or all is over.
    pub fn wait_for(&self, note: usize) {
        let note = &self.stage.notes[note];
        let mut missing = || note.load(SeqCst) == 0 && !self.stage.is_over();
        while missing() {
            task::wait(core::ptr::from_ref(note) as usize, &mut missing);
        }
    }

    /// Leaves word `note` for other actors.
    pub fn leave(&self, note: usize, value: u64) {
        let note = &self.stage.notes[note];
        note.store(value, SeqCst);
        task::wake(core::ptr::from_ref(note) as usize);
    }

    /// Returns the byte of the file at which the round's pages begin.
    pub fn offset(&self) -> u64 {
        self.page * PAGE_SIZE
    }
}

impl LabStage {
    /// Returns a stage for `play` on `file`, with the address spaces and mappings that its actors want.
    ///
    /// # Errors
    /// Those of making address spaces and of mapping the file.
    pub fn new(
        play: Arc<dyn Play>,
        file: File,
        protocol: Protocol,
        script: Option<Arc<Script>>,
        chance: Option<Arc<Chance>>,
    ) -> fs::Result<Self> {
        let len = file.attr().size;
        let large = play.pages() >= fs::platform::LARGE_PAGES;
        let actors = play.actors();
        let mut views: Vec<FileMapping> = Vec::new();
        for actor in 0..actors {
            let role = play.role(actor);
            let mut with = (0..actor).filter(|&other| play.role(other).space == role.space);
            let space = match with.clone().next() {
                Some(other) => views[other].space.clone(),
                None => Arc::new(AddressSpace::new()?),
            };
            let start = match with.find(|&other| play.role(other).look == role.look) {
                Some(other) => views[other].start,
                None => {
                    let (private, large) =
                        (role.look == ActorView::Private, large && role.look == ActorView::Shared);
                    let kind = VmaKind { private, large, ..VmaKind::shared(Rights::READ_WRITE, protocol) };
                    let (name, at) = (&Arc::from(play.name()), Placement::Any);
                    space.map(&MapRequest { file: &file, name, offset: 0, len, at, kind, populate: false })?
                }
            };
            views.push(FileMapping { space, start });
        }
        Ok(Self {
            file,
            play,
            views,
            script,
            chance,
            seen: (0..actors).map(|_| AtomicU64::new(0)).collect(),
            notes: [const { AtomicU64::new(0) }; 4],
            failure: crate::sync::IrqLock::new(None),
            acting: (0..actors).map(|_| AtomicBool::new(false)).collect(),
            part: AtomicU64::new(0),
            ready: AtomicUsize::new(0),
            through: AtomicUsize::new(0),
            page: AtomicU64::new(0),
            over: AtomicBool::new(false),
        })
    }

    /// Starts the actors, each on a CPU of its own as far as there are enough.
    ///
    /// # Errors
    /// A task could not be started.
    pub fn start(self: &Arc<Self>) -> fs::Result<Vec<TaskRef>> {
        let cpus: Vec<usize> = percpu::all().filter(|cpu| cpu.is_online()).map(|cpu| cpu.number()).collect();
        let mut tasks = Vec::new();
        for actor in 0..self.play.actors() {
            let stage = self.clone();
            let space = TaskSpace::Shared(self.views[actor].space.clone());
            let cpu = Some(cpus[actor % cpus.len()]);
            let name = self.play.role(actor).name;
            let spawned = task::spawn(Builder { name, space, cpu }, move || stage.perform(actor));
            match spawned {
                Ok(task) => tasks.push(task),
                Err(error) => {
                    self.end();
                    tasks.iter().for_each(|task: &TaskRef| drop(task.join()));
                    return Err(error);
                }
            }
        }
        Ok(tasks)
    }

    /// Does what an actor does, from the first round to the last.
    fn perform(&self, actor: usize) -> ExitStatus {
        let name = self.play.role(actor).name;
        if let Some(script) = &self.script {
            script.enter(actor);
        }
        if let Some(chance) = &self.chance {
            chance.enter(actor);
        }
        for number in 1.. {
            until(|| self.part.load(SeqCst) >= number || self.over.load(SeqCst));
            if self.over.load(SeqCst) {
                break;
            }
            let turn = Turn { stage: self, actor, page: self.page.load(SeqCst) };
            if number % 2 == 1 {
                // All stand ready; then each waits a little, differently each time.
                self.ready.fetch_add(1, SeqCst);
                until_soon(|| self.ready.load(SeqCst) >= self.play.actors() || self.over.load(SeqCst));
                self.acting[actor].store(true, SeqCst);
                if let Some(script) = &self.script {
                    script.pass(actor, Milestone::Start);
                }
                if let Some(chance) = &self.chance {
                    chance.stagger(actor, 15);
                }
                let done = self.play.act(&turn);
                self.note_failure(name, done.err());
                if let Some(script) = &self.script {
                    script.pass(actor, Milestone::Done);
                }
                if let Some(chance) = &self.chance {
                    chance.through(actor);
                }
                self.acting[actor].store(false, SeqCst);
            } else {
                match self.play.look(&turn) {
                    Ok(value) => self.seen[actor].store(value, SeqCst),
                    Err(why) => self.note_failure(name, Some(why)),
                }
            }
            self.through.fetch_add(1, SeqCst);
        }
        ExitStatus::SUCCESS
    }

    fn note_failure(&self, who: &str, why: Option<String>) {
        if let Some(why) = why {
            self.failure.lock().get_or_insert_with(|| alloc::format!("{who}: {why}"));
        }
    }

    /// Returns what did not work, if anything.
    pub fn failure(&self) -> Option<String> {
        self.failure.lock().take()
    }

    /// Returns what the actor saw when it looked.
    pub fn seen(&self, actor: usize) -> u64 {
        self.seen[actor].load(SeqCst)
    }

    /// Begins a round about `page`.
    pub fn set_page(&self, page: u64) {
        self.page.store(page, SeqCst);
        self.notes.iter().for_each(|note| note.store(0, SeqCst));
        self.ready.store(0, SeqCst);
    }

    /// Begins the next part of the round.
    pub fn begin(&self) {
        self.through.store(0, SeqCst);
        self.part.fetch_add(1, SeqCst);
    }

    /// Returns whether everybody is through with the part.
    pub fn is_through(&self) -> bool {
        self.through.load(SeqCst) >= self.play.actors()
    }

    /// Returns whether everybody who still acts is asleep, and not because a script holds it.
    pub fn sleeps(&self, tasks: &[TaskRef]) -> bool {
        let held = |actor| self.script.as_ref().is_some_and(|script| script.holds(actor));
        let mut acting = (0..tasks.len()).filter(|&actor| self.acting[actor].load(SeqCst)).peekable();
        acting.peek().is_some()
            && acting.all(|actor| tasks[actor].state() == TaskState::Waiting && !held(actor))
    }

    /// Makes the tasks end when they are through with what they do.
    pub fn end(&self) {
        self.over.store(true, SeqCst);
    }

    /// Returns whether the play is over.
    pub fn is_over(&self) -> bool {
        self.over.load(SeqCst)
    }
}
