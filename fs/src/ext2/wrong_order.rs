//! The wrong order of stores, or too few locks, do not compile. Built only by `tests/wrong_order.rs`, with
//! `--cfg daxiom_order="right"`, which compiles, and `"wrong"`, which must not: with an error in each line
//! that ends in `WRONG`, and nowhere else.
//!
//! Each function here publishes or frees something with the real functions. In the right order it waits for
//! what has to be durable before; in the wrong one it does not. The last ones change what others may be
//! looking at.

use super::facts::{Cut, LinksStored, NameGone, Nameable, Nameless};
use super::fs::Ext2;
use super::inode::{Changes, Ext2Inode};
use super::map::grow::Chain;
use super::names::Dir;
use super::names::dir::FoundName;
use super::names::diredit::Prepared;
use super::names::room::Room;
use super::redo::Words;
use crate::error::Result;
use crate::platform::{Platform, Timestamp};
use crate::pmem::state::{Clean, InFlight, Staged, fence_all};
use crate::vfs::{AllocOk, ChangeOk, FileKind};

/// Publishes a pointer to a block whose content and bitmap bit are on their way.
pub(super) fn publish_a_block<P: Platform>(
    inode: &Ext2Inode<P>,
    map: &mut Changes,
    chain: Staged<Chain, InFlight>,
) {
    #[cfg(daxiom_order = "right")]
    let chain = chain.fence(inode.pmem());
    inode.map().publish(map, chain).unfenced(); // WRONG
}

/// Publishes a directory's next block before it is written.
pub(super) fn publish_a_directory_block<P: Platform>(
    dir: Dir<'_, P>,
    lock: ChangeOk<'_>,
    lblk: u64,
) -> Result<()> {
    let chain = dir.fresh_dir_block(lock, lblk, &[])?;
    #[cfg(daxiom_order = "right")]
    let chain = chain.fence(dir.pmem());
    dir.publish_dir_block(lock, chain) // WRONG
}

/// Publishes a name for an inode whose content is not durable.
pub(super) fn name_an_inode<P: Platform>(
    dir: Dir<'_, P>,
    lock: ChangeOk<'_>,
    entry: Prepared<Clean>,
    inode: Staged<Nameable, InFlight>,
) -> Result<()> {
    #[cfg(daxiom_order = "right")]
    let inode = inode.fence(dir.pmem());
    let now = Timestamp::default();
    dir.publish_entry(lock, entry, inode, b"name", now) // WRONG
}

/// Publishes a name that is not durable itself.
pub(super) fn show_a_name<P: Platform>(
    dir: Dir<'_, P>,
    lock: ChangeOk<'_>,
    room: Room,
    inode: Staged<Nameable, Clean>,
) -> Result<()> {
    let entry = dir.prepare(lock, room, b"name", inode.fact())?;
    #[cfg(daxiom_order = "right")]
    let entry = fence_all(dir.pmem(), entry);
    let now = Timestamp::default();
    dir.publish_entry(lock, entry, inode, b"name", now) // WRONG
}

/// Takes a link away while the name may survive.
pub(super) fn take_a_link_away<P: Platform>(
    inode: &Ext2Inode<P>,
    lock: ChangeOk<'_>,
    gone: Staged<NameGone, InFlight>,
) {
    #[cfg(daxiom_order = "right")]
    let gone = gone.fence(inode.pmem());
    inode.lose_name(lock, &gone, 0, Timestamp::default()).unordered(); // WRONG
}

/// Takes the last name of an inode away while its link may survive.
pub(super) fn take_the_last_name_away<P: Platform>(
    dir: Dir<'_, P>,
    lock: ChangeOk<'_>,
    found: &FoundName,
    goes: Staged<LinksStored, InFlight>,
) {
    #[cfg(daxiom_order = "right")]
    let goes = goes.fence(dir.pmem());
    dir.take_out_last(lock, found, b"name", Timestamp::default(), &goes).unordered(); // WRONG
}

/// Leaves an inode to its last handle while its link may survive.
pub(super) fn leave_an_inode<P: Platform>(
    inode: &Ext2Inode<P>,
    lock: ChangeOk<'_>,
    stored: Staged<LinksStored, InFlight>,
    gone: &Staged<NameGone, Clean>,
) {
    #[cfg(daxiom_order = "right")]
    let stored = stored.fence(inode.pmem());
    inode.links_left(lock, stored, gone); // WRONG
}

/// Leaves an inode to its last handle while its name may survive.
pub(super) fn leave_a_named_inode<P: Platform>(
    inode: &Ext2Inode<P>,
    lock: ChangeOk<'_>,
    stored: Staged<LinksStored, Clean>,
    gone: Staged<NameGone, InFlight>,
) {
    #[cfg(daxiom_order = "right")]
    let gone = gone.fence(inode.pmem());
    inode.links_left(lock, stored, &gone); // WRONG
}

/// Frees blocks while the pointer to them may survive.
pub(super) fn free_blocks<P: Platform>(fs: &Ext2<P>, cut: Staged<Cut, InFlight>) -> Result<()> {
    #[cfg(daxiom_order = "right")]
    let cut = cut.fence(fs.pmem());
    fs.groups().free_run(&cut, 7, 1) // WRONG
}

/// Frees an inode while a link to it may survive.
pub(super) fn free_an_inode<P: Platform>(fs: &Ext2<P>, nameless: Staged<Nameless, InFlight>) -> Result<()> {
    #[cfg(daxiom_order = "right")]
    let nameless = nameless.fence(fs.pmem());
    fs.groups().free_inode(12, FileKind::File, nameless) // WRONG
}

/// Frees all that an inode holds while a link to it may survive.
pub(super) fn release_an_inode<P: Platform>(
    inode: &Ext2Inode<P>,
    nameless: Staged<Nameless, InFlight>,
) -> Result<()> {
    #[cfg(daxiom_order = "right")]
    let nameless = nameless.fence(inode.pmem());
    inode.release(nameless) // WRONG
}

/// Commits a record that changes pointers, or names, to what is not durable.
pub(super) fn commit_a_record<P: Platform>(fs: &Ext2<P>, chain: Staged<Chain, InFlight>) -> Result<()> {
    #[cfg(daxiom_order = "right")]
    let chain = chain.fence(fs.pmem());
    fs.redo().commit(Words::new(), chain)?; // WRONG
    Ok(())
}

/// Stores a file's size while others read it.
pub(super) fn store_a_size<P: Platform>(inode: &Ext2Inode<P>, lock: ChangeOk<'_>) -> Result<()> {
    #[cfg(daxiom_order = "wrong")]
    let lock = lock.held();
    inode.store_size(lock, 0) // WRONG
}

/// Frees a file's blocks while faults map them.
pub(super) fn cut_blocks<P: Platform>(
    inode: &Ext2Inode<P>,
    lock: ChangeOk<'_>,
    ok: AllocOk<'_>,
) -> Result<()> {
    #[cfg(daxiom_order = "wrong")]
    let ok = ok.held();
    inode.map().cut(lock, ok, 0) // WRONG
}
