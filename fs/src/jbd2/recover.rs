//! Recovery: what a crash left in the log.
//!
//! [`scan`] walks the log and changes nothing. From `s_start` on it takes whole transactions, each with the
//! number after the one before; the first block that is none of the next transaction ends the log, and so
//! does a transaction without its commit block. What it finds is, for each block of the file system, the
//! newest image. Then revokes take images away: one of transaction *n* those of *n* and before. The checksums
//! of what is left are verified: an image that is damaged makes the journal corrupt, and nothing is changed.
//!
//! A [`Recovery`] is then read through, for a read-only mount ([`Recovery::read`]), or written home
//! ([`Recovery::replay`]). A crash during that is recovered from like any other: the log stays as it is until
//! everything is home.
//!
//! Transactions are counted from 0 here: their numbers go round after 2³². How far the log is walked, and how
//! much is remembered, is bounded by its length, whatever it says.

use super::format::*;
use super::log::LogMap;
use super::superblock::{AllHome, FAST_COMMIT, JournalSuper, NAMES};
use crate::error::{Corrupt, Errno, Error, Features, Result, Unsupported};
use crate::pmem::Pmem;
use crate::pmem::state::Staged;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

const WHAT: &str = "journal block";

/// What a crash left in a log.
#[derive(Debug)]
pub struct Recovery {
    sb: JournalSuper,
    /// The newest image of each block, by the block.
    images: BTreeMap<u64, LoggedImage>,
    block_size: u64,
    /// Blocks of the log that were walked, from `s_start` to the end of the last whole transaction.
    live: u32,
    transactions: u32,
    revokes: u64,
    fast_commits: bool,
}

/// An image of a block in the log.
#[derive(Clone, Copy, Debug)]
struct LoggedImage {
    /// The block of the log which it is.
    log: u32,
    /// Its byte offset in the region.
    offset: u64,
    /// The number of its transaction, from the first one's on.
    age: u32,
    escaped: bool,
    checksum: u32,
}

/// Looks through the log of a file system that was not unmounted. Changes nothing.
///
/// # Errors
/// "journal" or "journal block", with the block's number in the log, says what is wrong with them; features
/// that are not known are named; bad memory under a block that counts.
pub fn scan(pmem: &impl Pmem, log: &LogMap) -> Result<Recovery> {
    let sb = JournalSuper::read(pmem, log)?;
    let mut recovery = Recovery {
        images: BTreeMap::new(),
        block_size: log.block_size(),
        live: 0,
        transactions: 0,
        revokes: 0,
        fast_commits: false,
        sb,
    };
    if recovery.sb.start == 0 {
        return Ok(recovery);
    }
    let mut walk = LogWalk::new(pmem, log, &recovery.sb);
    let mut revokes = Vec::new();
    while let Some(found) = walk.transaction()? {
        recovery.images.extend(found.images);
        revokes.extend(found.revokes.into_iter().map(|block| (block, recovery.transactions)));
        recovery.transactions += 1;
        recovery.live = walk.walked;
    }
    for (block, age) in revokes {
        recovery.revokes += walk.revoke(&mut recovery.images, block, age)?;
    }
    for image in recovery.images.values() {
        walk.verify(image)?;
    }
    recovery.fast_commits = walk.has_fast_commits(recovery.next_sequence())?;
    Ok(recovery)
}

impl Recovery {
    /// Returns true if the log holds nothing to replay: whoever unmounted or recovered the file system was
    /// through.
    pub fn is_empty(&self) -> bool {
        self.sb.start == 0
    }

    /// Returns the number of the next transaction.
    pub fn next_sequence(&self) -> u32 {
        self.sb.sequence.wrapping_add(self.transactions)
    }

    /// Returns how many transactions are whole.
    pub fn transactions(&self) -> u32 {
        self.transactions
    }

    /// Returns how many blocks a replay writes.
    pub fn blocks(&self) -> usize {
        self.images.len()
    }

    /// Returns how many revokes there are.
    pub fn revokes(&self) -> u64 {
        self.revokes
    }

    /// Returns why the journal was aborted, as a negative number of Linux's; 0 if it was not. The file system
    /// is to be checked.
    pub fn errno(&self) -> i32 {
        self.sb.errno
    }

    /// Returns true if there are changes after the last transaction that only Linux and e2fsck know how to
    /// replay: what is read through this is older than them.
    pub fn has_fast_commits(&self) -> bool {
        self.fast_commits
    }

    /// Reads block `block` of the file system as a replay would leave it. `to` has the block's length.
    ///
    /// # Errors
    /// Bad memory.
    ///
    /// # Panics
    /// If there is no such block, or `to` is longer.
    pub fn read(&self, pmem: &impl Pmem, block: u64, to: &mut [u8]) -> Result<()> {
        let image = self.images.get(&block);
        read_good(pmem, image.map_or(block * self.block_size, |image| image.offset), to)?;
        if let Some(magic) = to.first_chunk_mut()
            && image.is_some_and(|image| image.escaped)
        {
            *magic = MAGIC.to_be_bytes();
        }
        Ok(())
    }

    /// Returns the blocks that a replay writes, in order.
    pub fn homes(&self) -> impl Iterator<Item = u64> {
        self.images.keys().copied()
    }

    /// Has `write` store every image at home, past the cache, and empties the log. Durable on return; a crash
    /// on the way leaves it to the next recovery. Whatever was read of the file system before has to be read
    /// again.
    ///
    /// # Errors
    /// Fast commits, whose replay is not known here: nothing is changed. A region that is not writable. Bad
    /// memory under an image: the log stays as it is.
    pub fn replay(
        mut self,
        pmem: &impl Pmem,
        log: &LogMap,
        write: &mut impl FnMut(u64, &[u8]),
    ) -> Result<()> {
        if self.fast_commits {
            let hint = "fast commits to replay: mount it once with Linux, or e2fsck -fp";
            return Err(Unsupported::Features(Features { bits: FAST_COMMIT, names: NAMES, hint }).into());
        }
        if self.is_empty() {
            return Ok(());
        }
        if !pmem.writable() {
            return Err(Errno::ReadOnly.into());
        }
        let mut block = alloc::vec![0; self.block_size as usize];
        for &home in self.images.keys() {
            self.read(pmem, home, &mut block)?;
            pmem.clear_poison(home * self.block_size, self.block_size);
            write(home, &block);
        }
        let home = Staged::streamed(AllHome, 0, 0).fence(pmem);
        // A transaction that was cut short has had the next number.
        let sequence = self.next_sequence().wrapping_add(1);
        self.sb.restart(pmem, log, self.live, (sequence, 0), home);
        Ok(())
    }
}

/// Reads bytes that must be good.
fn read_good(pmem: &impl Pmem, at: u64, to: &mut [u8]) -> Result<()> {
    if let Some(bad) = pmem.poisoned(at, to.len() as u64) {
        return Err(Error::Poisoned(bad));
    }
    pmem.read(at, to);
    Ok(())
}

/// A walk through the log.
struct LogWalk<'a, M> {
    pmem: &'a M,
    log: &'a LogMap,
    sb: &'a JournalSuper,
    format: LogFormat,
    /// The block of the log that is looked at, and its bytes.
    at: u32,
    block: Vec<u8>,
    /// Blocks that were walked, this one not yet.
    walked: u32,
    /// The transaction that is next, from the first one's on.
    age: u32,
    /// When the one before it was committed.
    seconds: u64,
}

/// What is found of a transaction.
struct LoggedTransaction {
    images: Vec<(u64, LoggedImage)>,
    /// Blocks of the log with revokes.
    revokes: Vec<u32>,
    /// The first block that may be another's, by its checksum: the time of the commit will tell.
    doubt: Option<Corrupt>,
    /// An image that belongs nowhere.
    astray: Option<Corrupt>,
    /// The checksum of it as a whole.
    whole: u32,
}

impl<'a, M: Pmem> LogWalk<'a, M> {
    fn new(pmem: &'a M, log: &'a LogMap, sb: &'a JournalSuper) -> Self {
        let format = sb.format();
        let block = alloc::vec![0; format.block_size];
        Self { pmem, log, sb, format, at: sb.start, block, walked: 0, age: 0, seconds: 0 }
    }

    fn sequence(&self, age: u32) -> u32 {
        self.sb.sequence.wrapping_add(age)
    }

    /// Reads block `at` of the log.
    fn load(&mut self, at: u32) -> Result<()> {
        read_good(self.pmem, self.log.offset(at), &mut self.block)
    }

    /// Goes on by `count` blocks; false once the ring has been walked as a whole.
    fn advance(&mut self, count: u32) -> bool {
        self.walked = self.walked.saturating_add(count);
        let whole = self.sb.ring.len() as u32;
        if self.walked <= whole {
            self.at = self.sb.after(self.at, count);
        }
        self.walked <= whole
    }

    /// Reads the next transaction; `None` if there is no whole one.
    fn transaction(&mut self) -> Result<Option<LoggedTransaction>> {
        let mut found = LoggedTransaction {
            images: Vec::new(),
            revokes: Vec::new(),
            doubt: None,
            astray: None,
            whole: WHOLE_START,
        };
        loop {
            let at = self.at;
            self.load(at)?;
            let header = [be32(&self.block, 0), be32(&self.block, 8)];
            if header != [MAGIC, self.sequence(self.age)] {
                return Ok(None);
            }
            let fits = self.advance(1)
                && match be32(&self.block, 4) {
                    DESCRIPTOR => self.descriptor(at, &mut found)?,
                    REVOKE => {
                        self.check_tail(at, &mut found);
                        found.revokes.push(at);
                        true
                    }
                    COMMIT => return self.commit(at, found),
                    _ => return Ok(None),
                };
            if !fits {
                // Leftovers that are not this transaction's may say anything.
                let endless = Corrupt::new(WHAT, at.into(), "its transaction is longer than the log");
                return if found.doubt.is_some() { Ok(None) } else { Err(endless.into()) };
            }
        }
    }

    /// Notes the images behind a descriptor, which is loaded. False if they do not fit into the log.
    fn descriptor(&mut self, at: u32, found: &mut LoggedTransaction) -> Result<bool> {
        self.check_tail(at, found);
        self.add_to_whole(found);
        let descriptor = self.block.clone();
        for tag in self.format.tags(&descriptor) {
            let log = self.at;
            if !self.advance(1) {
                return Ok(false);
            }
            if !self.log.is_home(tag.block) {
                let why = "an image belongs into the journal, or out of the file system";
                found.astray.get_or_insert(Corrupt::with(WHAT, at.into(), why, tag.block));
            }
            if self.format.checksums == Checksums::Whole {
                self.load(log)?;
                self.add_to_whole(found);
            }
            let image = LoggedImage {
                log,
                offset: self.log.offset(log),
                age: self.age,
                escaped: tag.flags & ESCAPED != 0,
                checksum: tag.checksum,
            };
            found.images.push((tag.block, image));
        }
        Ok(true)
    }

    /// Adds the block that is loaded to the checksum of the transaction as a whole, if there is one.
    fn add_to_whole(&self, found: &mut LoggedTransaction) {
        if self.format.checksums == Checksums::Whole {
            found.whole = LogFormat::whole(found.whole, &self.block);
        }
    }

    /// Looks at the checksum of a descriptor or revoke block, which is loaded.
    fn check_tail(&self, at: u32, found: &mut LoggedTransaction) {
        let (right, stored) = self.format.tail(&self.block);
        if self.format.has_tails() && right != stored {
            found.doubt.get_or_insert(Corrupt::with(WHAT, at.into(), "bad checksum", stored.into()));
        }
    }

    /// Ends a transaction with its commit block, which is loaded.
    fn commit(&mut self, at: u32, found: LoggedTransaction) -> Result<Option<LoggedTransaction>> {
        let seconds = LogFormat::commit_seconds(&self.block);
        let is_right = self.format.is_commit_right(&self.block, found.whole);
        let bad_commit = || Corrupt::new(WHAT, at.into(), "bad checksum of a commit block");
        if let Some(wrong) = found.doubt.or((!is_right).then(bad_commit)) {
            // An older log's leftovers; or a commit block that came before what it commits.
            let is_older = seconds < self.seconds;
            let is_cut_short = found.doubt.is_none() && self.sb.is_async();
            return if is_older || is_cut_short { Ok(None) } else { Err(wrong.into()) };
        }
        if let Some(astray) = found.astray {
            return Err(astray.into());
        }
        self.seconds = seconds;
        self.age += 1;
        Ok(Some(found))
    }

    /// Takes away the images that block `at` of the log, of transaction `age`, revokes. Returns how many
    /// revokes it has.
    fn revoke(&mut self, images: &mut BTreeMap<u64, LoggedImage>, at: u32, age: u32) -> Result<u64> {
        self.load(at)?;
        let length = || be32(&self.block, REVOKE_COUNT).into();
        let wrong = || Corrupt::with(WHAT, at.into(), "bad length of its revokes", length());
        let mut count = 0;
        for block in self.format.records(&self.block).ok_or_else(wrong)? {
            count += 1;
            if images.get(&block).is_some_and(|image| image.age <= age) {
                images.remove(&block);
            }
        }
        Ok(count)
    }

    /// Verifies an image that is to be written home.
    fn verify(&mut self, image: &LoggedImage) -> Result<()> {
        self.load(image.log)?;
        let sum = || self.format.image_checksum(self.sequence(image.age), &self.block);
        if self.format.has_tails() && sum() != image.checksum {
            let log = image.log.into();
            return Err(Corrupt::with(WHAT, log, "bad checksum of an image", image.checksum.into()).into());
        }
        Ok(())
    }

    /// Returns true if the blocks for fast commits hold one that belongs after the last transaction.
    fn has_fast_commits(&self, next_sequence: u32) -> Result<bool> {
        /// The tag that is the head of one: its number, in two bytes and little-endian, as all of it.
        const HEAD: [u8; 2] = [9, 0];
        /// Where it says which transaction it follows.
        const SEQUENCE: usize = 8;
        if self.sb.fast.is_empty() {
            return Ok(false);
        }
        let mut head = [0; SEQUENCE + 4];
        read_good(self.pmem, self.log.offset(self.sb.fast.start), &mut head)?;
        Ok(head[..2] == HEAD && head[SEQUENCE..] == next_sequence.to_le_bytes())
    }
}
