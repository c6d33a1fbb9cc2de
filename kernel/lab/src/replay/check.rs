//! What must hold when the CPUs of a story are through, whatever the order was.

use alloc::string::String;
use alloc::vec::Vec;

use fs::lab::schedule::{Effect, Start};

use super::super::stage::{Answer, Turn};
use super::Replay;
use super::acts::{ActResult, Did};

/// What an actor's mapping shows of the word in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ShownWord {
    Word(u64),
    Refused(String),
}

/// Returns `what` as the error unless `holds`.
fn expect(holds: bool, what: impl FnOnce() -> String) -> Answer {
    if holds { Ok(()) } else { Err(what()) }
}

impl Replay {
    /// Checks what must hold of all that was seen; the error says what does not.
    pub(super) fn judge(&self, turn: &Turn<'_>) -> Answer {
        let did: Vec<Vec<Did>> = self.did.iter().map(|did| did.lock().clone()).collect();
        let all: Vec<Did> = did.iter().flatten().cloned().collect();
        for (name, did) in self.names.iter().zip(&did) {
            self.refusals(name, did)?;
            self.in_order(name, did, &all)?;
        }
        self.ends(turn, &all)?;
        self.other_file(&all)
    }

    /// Returns whether an act can make the word a hole, or nothing, again.
    fn erases(&self) -> bool {
        self.world.ops().any(|op| op.effect().erases())
    }

    /// Returns whether somebody may have stored `word`, or the word was there at first, or zeros were.
    fn was_there(&self, word: u64) -> bool {
        let parts = self.world.parts.iter().enumerate();
        let mut all = parts
            .flat_map(|(cpu, part)| (0..part.ops.len()).map(move |number| (cpu, number, part.ops[number])));
        word == self.world.start.word()
            || word == 0 && self.erases()
            || all.any(|(cpu, number, op)| {
                op.effect().puts_word() && self.world.stored(cpu, number) == Some(word)
            })
    }

    /// Checks that nothing is refused without a reason.
    fn refusals(&self, name: &str, did: &[Did]) -> Answer {
        for Did { op, came, .. } in did {
            let ActResult::Refused(why) = came else { continue };
            // One that can be in its own way is there twice then: the second one finds it done.
            let times = |other| self.world.ops().filter(|&one| one == other).count();
            let in_its_way = |other| times(other) > usize::from(other == *op);
            let refused_after = op.about().refused_after;
            let reason =
                self.world.has(Effect::Spoil) || refused_after.iter().any(|&other| in_its_way(other));
            expect(reason, || alloc::format!("{name}: {op} was refused: {why}"))?;
        }
        Ok(())
    }

    /// Checks that what an actor sees was stored by somebody, and not before something that was there when
    /// the actor looked.
    fn in_order(&self, name: &str, did: &[Did], all: &[Did]) -> Answer {
        for Did { came, op, when } in did {
            match *came {
                ActResult::Saw(word) => {
                    let never = || alloc::format!("{name}: {op} saw {word:#x}, which nobody stored");
                    expect(self.was_there(word), never)?;
                    match self.newer(word, when.start, all) {
                        Some(newer) if !self.erases() => {
                            return Err(alloc::format!(
                                "{newer:#x} was stored, then {name}: {op} saw {word:#x}"
                            ));
                        }
                        _ => {}
                    }
                }
                ActResult::Copied(word, seen) => expect(word == seen, || {
                    alloc::format!(
                        "{name}: {word:#x} was stored to a private copy, which then showed {seen:#x}"
                    )
                })?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Returns what was stored as a whole when `word` was there, and was through at the moment: then the
    /// word was gone.
    fn newer(&self, word: u64, moment: u64, all: &[Did]) -> Option<u64> {
        stored_over(word, self.world.start.word(), moment, all, false)
    }

    /// Checks that file and mappings agree on a word that somebody stored last.
    fn ends(&self, turn: &Turn<'_>, all: &[Did]) -> Answer {
        let (stage, page) = (turn.stage, self.world.range.word_page());
        let file = &stage.file;
        let read = match self.read_word(file) {
            Ok(read) => Some(read),
            Err(_) if self.world.has(Effect::Spoil) => None,
            Err(error) => return Err(alloc::format!("read(2) in the end: {error}")),
        };
        if let Some(Some(word)) = read {
            expect(self.was_there(word), || alloc::format!("the file has {word:#x}, which nobody stored"))?;
            match self.newer(word, u64::MAX, all) {
                Some(newer) if !self.erases() => {
                    return Err(alloc::format!("{newer:#x} was stored last, the file has {word:#x}"));
                }
                _ => {}
            }
        }
        expect(read != Some(None) || self.world.has(Effect::Cut), || "the file has become shorter".into())?;
        for (actor, name) in self.names.iter().enumerate() {
            let seen = self.seen[actor].lock().take();
            match (seen, read) {
                (Some(ShownWord::Word(word)), Some(Some(found))) => expect(word == found, || {
                    alloc::format!("the file has {found:#x}, the mapping of {name} shows {word:#x}")
                })?,
                (Some(ShownWord::Word(word)), Some(None)) => {
                    return Err(alloc::format!(
                        "the mapping of {name} shows {word:#x} behind the file's end"
                    ));
                }
                (Some(ShownWord::Word(word)), None) => {
                    return Err(alloc::format!("the mapping of {name} shows {word:#x} of bad memory"));
                }
                (Some(ShownWord::Refused(why)), Some(Some(found))) => {
                    expect(self.is_unmapped(actor), || {
                        alloc::format!("the file has {found:#x}, the mapping of {name} refuses it: {why}")
                    })?
                }
                (Some(ShownWord::Refused(_)) | None, _) => {}
            }
            let leaf = stage.views[actor].space.walk(self.at(turn, actor)).leaf();
            if leaf.is_some_and(|(entry, _)| entry.is_writable()) {
                let dirty = file.mapping().index.is_dirty(page);
                expect(dirty, || {
                    alloc::format!("{name} has a page mapped writable that is not known as dirty")
                })?;
            }
        }
        for (actor, start) in self.private.lock().iter().enumerate() {
            let Some(start) = *start else { continue };
            let copies = stage.views[actor].space.count(start, self.len()).copies;
            expect(read != Some(None) || copies == 0, || {
                alloc::format!("{} has a private copy of what is behind the file's end", self.names[actor])
            })?;
        }
        let only_read = !self.world.ops().any(|op| op.effect().fills());
        if matches!(self.world.start, Start::Hole | Start::Zero) && only_read {
            let lock = file.mapping().shared();
            let block = file.place(lock.held(), page);
            expect(matches!(block, Ok(None)), || "the hole was only read, and has a block".into())?;
        }
        Ok(())
    }

    /// Returns the address of the word, as the actor has it mapped.
    fn at(&self, turn: &Turn<'_>, actor: usize) -> u64 {
        turn.stage.views[actor].start + turn.offset() + self.word_byte()
    }

    /// Returns whether the actor's mapping may be gone.
    fn is_unmapped(&self, actor: usize) -> bool {
        let own = &self.world.parts[actor];
        let same = self.world.parts.iter().filter(|part| part.space == own.space && part.small == own.small);
        same.flat_map(|part| &part.ops).any(|op| op.effect() == Effect::Unmap)
    }

    /// Checks that what was written to the second file is there.
    fn other_file(&self, all: &[Did]) -> Answer {
        let Some(other) = &self.other else { return Ok(()) };
        let mut bytes = [0; 8];
        let read = other.read_at(0, &mut bytes);
        read.map_err(|error| alloc::format!("read(2) of the second file: {error}"))?;
        let found = u64::from_le_bytes(bytes);
        let known = found == 0 || all.iter().any(|did| did.stored(true) == Some(found));
        expect(known, || alloc::format!("the second file has {found:#x}, which nobody wrote"))?;
        match stored_over(found, 0, u64::MAX, all, true) {
            Some(newer) => {
                Err(alloc::format!("{newer:#x} was written to the second file, it has {found:#x}"))
            }
            None => Ok(()),
        }
    }
}

/// What was stored as a whole when `word` was there, and was through at the moment: then the word was gone.
fn stored_over(word: u64, first: u64, moment: u64, all: &[Did], in_other: bool) -> Option<u64> {
    let stores = || all.iter().filter_map(|did| Some((did.stored(in_other)?, &did.when)));
    // The first word was there before everything. What is still being stored is newer than all.
    let own = stores().find(|(stored, _)| *stored == word);
    if own.is_none() && word != first {
        return None;
    }
    let after = |begun: u64| own.as_ref().is_none_or(|(_, when)| begun > when.end);
    stores().find(|(_, when)| after(when.start) && when.end < moment).map(|(stored, _)| stored)
}
