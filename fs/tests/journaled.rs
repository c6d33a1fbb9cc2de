//! What `dax` does for a file system with a journal, on one made up for it: unwritten extents read as zeros
//! and are filled like holes, transactions are opened in their place of the lock order, `MAP_SYNC` waits for
//! a commit.

use crate::common::journaled::{Event, Journaled};
use crate::common::rig::on_each_step;
use crate::common::{BLOCK, Machine, View, expect_errno};
use fs::Errno;
use fs::dax::{Outcome, Protocol, fsync, msync, sync};
use fs::lab::{Mutant, Point};
use fs::platform::{PageSize, Platform};
use fs::pmem::ram::Ram;
use fs::sim::{LARGE_ZERO_FRAME, ZERO_FRAME};
use fs::vfs::{Backing, Inode, InodeRef};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

const PAGES: u64 = 1024;

struct Stage {
    file: Arc<Journaled<Machine>>,
    view: View,
}

/// A file of 4 MiB of old bytes, each page of it behind `backing`.
fn stage(protocol: Protocol, backing: fn(u64) -> Backing) -> Stage {
    let machine = Machine::new(Ram::from_bytes(&vec![0xab; (PAGES * BLOCK) as usize]));
    let file = Arc::new(Journaled::new(machine, backing));
    let handle: InodeRef<Machine> = file.clone();
    let mut view = View::new(&handle, 0..PAGES);
    view.protocol = protocol;
    Stage { file, view }
}

fn hole(_: u64) -> Backing {
    Backing::HOLE
}

#[test]
fn what_was_never_written_reads_as_zeros_and_the_old_bytes_are_never_seen() {
    for protocol in Protocol::SOUND {
        let Stage { file, view } = stage(protocol, Backing::unwritten);
        assert_eq!(view.fault(3, false), Ok(Outcome::ZeroPage), "{protocol}");
        assert_eq!(view.entry(3).map(|entry| (entry.frame, entry.writable)), Some((ZERO_FRAME, false)));
        assert_eq!(file.events(), [], "a load changes nothing");
        // A store fills it: zeros first, and the zero page goes from where it is shown.
        let other = View::new(&view.file, 0..PAGES);
        assert_eq!(other.fault(3, false), Ok(Outcome::ZeroPage));
        assert_eq!(view.fault(3, true), Ok(Outcome::Allocated));
        assert_eq!(file.events(), [Event::Begin(1), Event::Fill(3, 1), Event::End]);
        assert_eq!(other.entry(3), None, "{protocol}: the zero page over a block");
        let mut page = [1; BLOCK as usize];
        other.load(3 * BLOCK, &mut page).expect("load");
        assert!(page == [0; BLOCK as usize], "{protocol}: old bytes");
        // What is mapped takes no transaction.
        assert_eq!(
            (view.fault(3, true), other.fault(3, true)),
            (Ok(Outcome::Spurious), Ok(Outcome::MkWrite))
        );
        assert_eq!(file.events(), []);
    }
}

#[test]
fn two_mib_that_were_never_written_are_one_zero_page_and_one_fill() {
    for protocol in Protocol::SOUND {
        let Stage { file, mut view } = stage(protocol, Backing::unwritten);
        view.large = true;
        assert_eq!(view.fault_sized(5, false), Ok((Outcome::ZeroPage, PageSize::Large)), "{protocol}");
        assert_eq!(view.entry(0).map(|entry| entry.frame), Some(LARGE_ZERO_FRAME));
        assert_eq!(view.fault_sized(5, true), Ok((Outcome::Allocated, PageSize::Large)));
        assert_eq!(file.events(), [Event::Begin(512), Event::Fill(0, 512), Event::End]);
        // Written in part, the rest is filled page by page.
        let Stage { file, mut view } = stage(protocol, Backing::unwritten);
        view.fault(700, true).expect("a page");
        view.large = true;
        file.events();
        assert_eq!(view.fault_sized(701, true), Ok((Outcome::Allocated, PageSize::Small)));
        let events = file.events();
        assert!(
            events.ends_with(&[Event::Begin(1), Event::Fill(701, 1), Event::End]),
            "{protocol}: {events:?}"
        );
    }
}

/// Makes a mistake, if there is one, while it does `work` with `watch` told of each step.
fn watched<R>(
    file: &Journaled<Machine>,
    mutant: Option<Mutant>,
    mut watch: impl FnMut(Point) + 'static,
    work: impl FnOnce() -> R,
) -> R {
    on_each_step(move |step| watch(step.point));
    let lab = file.platform().lab();
    mutant.into_iter().for_each(|mutant| lab.add(mutant));
    lab.set_hooks(true);
    let result = work();
    lab.set_hooks(false);
    lab.heal();
    result
}

/// Where a store to a hole opens its transaction, if not in the right place.
fn opened_wrongly(protocol: Protocol, mutant: Option<Mutant>) -> Option<&'static str> {
    let Stage { file, view } = stage(protocol, hole);
    let seen = Rc::new(RefCell::new(Vec::new()));
    let (list, asked) = (seen.clone(), file.clone());
    let watch = move |point| list.borrow_mut().push((point, !asked.events().is_empty()));
    assert_eq!(watched(&file, mutant, watch, || view.fault(9, true)), Ok(Outcome::Allocated));
    let seen = seen.take();
    let first = seen.iter().position(|(_, begun)| *begun).expect("it was opened");
    let mut since_retry = seen[..first].rsplit(|(point, _)| *point == Point::Retry);
    let is_lock = |(point, _): &(Point, bool)| matches!(point, Point::SharedLocked | Point::ExclusiveLocked);
    if !since_retry.next().is_some_and(|steps| steps.iter().any(is_lock)) {
        return Some("before dax_sem");
    }
    // The entry is locked after it was opened; a lock that is not let go of before would never be had again.
    let entries =
        |steps: &[(Point, bool)]| steps.iter().filter(|(point, _)| *point == Point::EntryLocked).count();
    (entries(&seen[first..]) != usize::from(entries(&seen) > 0)).then_some("under the entry")
}

/// A handle may wait for a commit, and a commit for whoever waits for the entry: no entry is locked when it
/// is opened.
#[test]
fn a_transaction_is_opened_under_the_invalidate_lock_and_before_the_entry() {
    for protocol in Protocol::SOUND {
        assert_eq!(opened_wrongly(protocol, None), None, "{protocol}");
        let too_early = opened_wrongly(protocol, Some(Mutant::BeginBeforeLock));
        assert_eq!(too_early, Some("before dax_sem"), "{protocol}");
        let too_late = opened_wrongly(protocol, Some(Mutant::BeginUnderEntry));
        let locks_entries = protocol == Protocol::EntryLock;
        assert_eq!(too_late, locks_entries.then_some("under the entry"), "{protocol}");
    }
}

/// Whether a store to a `MAP_SYNC` area gets through before what leads there is committed.
fn stores_too_early(
    protocol: Protocol,
    large: bool,
    backing: fn(u64) -> Backing,
    mutant: Option<Mutant>,
) -> bool {
    let Stage { file, mut view } = stage(protocol, backing);
    (view.sync, view.large) = (true, large);
    let early = Rc::new(Cell::new(false));
    let (note, asked) = (early.clone(), file.clone());
    let watch = move |point| {
        if point == Point::Installed {
            note.set(asked.backing(4).is_dirty());
        }
    };
    watched(&file, mutant, watch, || view.fault(4, true)).expect("a fault");
    assert!(view.entry(if large { 0 } else { 4 }).is_some_and(|entry| entry.writable));
    early.get()
}

#[test]
fn no_store_gets_to_a_map_sync_area_before_the_commit() {
    let backings: [fn(u64) -> Backing; 2] = [hole, |place| Backing::mapped(place).dirty()];
    for protocol in Protocol::SOUND {
        for (large, backing) in [false, true].into_iter().flat_map(|large| backings.map(|one| (large, one))) {
            for mutant in [None, Some(Mutant::IgnoreUncommitted)] {
                let early = stores_too_early(protocol, large, backing, mutant);
                assert_eq!(early, mutant.is_some(), "{protocol}, large: {large}, {mutant:?}");
            }
        }
    }
}

#[test]
fn a_store_to_a_map_sync_area_comes_after_the_commit_of_what_leads_there() {
    for protocol in Protocol::SOUND {
        for (large, page, range) in [(false, 4, 4..5), (true, 4, 0..512)] {
            let Stage { file, mut view } = stage(protocol, hole);
            (view.sync, view.large) = (true, large);
            view.fault(page, true).expect("a fault");
            let filled = Event::Fill(range.start, range.end - range.start);
            let begun = Event::Begin(range.end - range.start);
            assert_eq!(
                file.events(),
                [begun, filled, Event::End, Event::Commit(range.clone(), true)],
                "{protocol}"
            );
            assert!(!file.backing(page).is_dirty() && view.entry(page).is_some_and(|entry| entry.writable));
            assert_eq!(file.platform().stats().fault_sync.get(), 1);
        }
    }
}

#[test]
fn others_and_loads_do_not_wait_for_a_commit() {
    let dirty = |place| Backing::mapped(place).dirty();
    for protocol in Protocol::SOUND {
        let Stage { file, mut view } = stage(protocol, dirty);
        assert_eq!(view.fault(1, true), Ok(Outcome::Block), "no MAP_SYNC");
        view.sync = true;
        assert_eq!(view.fault(2, false), Ok(Outcome::Block), "a load");
        assert_eq!(file.events(), []);
        // The load's entry is read-only: the store comes here.
        assert_eq!(view.fault(2, true), Ok(Outcome::MkWrite));
        assert_eq!(file.events(), [Event::Commit(2..3, true)]);
    }
}

#[test]
fn a_commit_that_fails_maps_nothing() {
    for protocol in Protocol::SOUND {
        for large in [false, true] {
            let Stage { file, mut view } = stage(protocol, hole);
            (view.sync, view.large) = (true, large);
            file.given_up.store(true, SeqCst);
            expect_errno(view.fault(7, true), Errno::ReadOnly);
            assert_eq!(view.entry(7), None);
            file.given_up.store(false, SeqCst);
            view.fault(7, true).expect("a fault");
            expect_durable(&file, 7);
        }
    }
}

fn expect_durable(file: &Journaled<Machine>, page: u64) {
    assert!(file.backing(page).is_mapped() && !file.backing(page).is_dirty());
}

/// A run of 2 MiB that is not committed is in no index: the index keeps no flags.
#[test]
fn what_is_not_committed_is_looked_up_until_it_is() {
    for protocol in Protocol::SOUND {
        let Stage { file, mut view } = stage(protocol, hole);
        view.large = true;
        view.fault(0, true).expect("a fault");
        assert_eq!(file.events().len(), 3, "no commit without MAP_SYNC");
        let mut other = View::new(&view.file, 0..PAGES);
        other.sync = true;
        other.fault(1, true).expect("a fault");
        assert_eq!(file.events(), [Event::Commit(1..2, true)], "{protocol}");
    }
}

#[test]
fn every_sync_commits_what_it_promises_and_tells_what_failed() {
    for mutant in [None, Some(Mutant::NoCommit)] {
        let Stage { file, view } = stage(Protocol::default(), hole);
        for page in [1, 2, 200] {
            view.fault(page, true).expect("a fault");
        }
        file.events();
        mutant.into_iter().for_each(|mutant| file.platform().lab().add(mutant));
        let expect = |pages, datasync, why: &str| {
            let wanted = [Event::Commit(pages, datasync)];
            assert_eq!(file.events(), wanted[..if mutant.is_some() { 0 } else { 1 }], "{why}");
        };
        assert_eq!(msync(&*view.file, 1..3), Ok(2));
        expect(1..3, false, "within 64 pages");
        assert_eq!(msync(&*view.file, 0..500), Ok(1));
        expect(0..500, false, "in more");
        assert_eq!(fsync(&*view.file), Ok(0));
        expect(0..u64::MAX, false, "nothing dirty, but for the metadata");
        assert_eq!(sync(&*view.file, 0..u64::MAX, true), Ok(0));
        expect(0..u64::MAX, true, "no other metadata");
        file.given_up.store(true, SeqCst);
        for pages in [0..4, 0..500, 0..u64::MAX] {
            match mutant {
                None => expect_errno(msync(&*view.file, pages), Errno::ReadOnly),
                Some(_) => assert_eq!(msync(&*view.file, pages), Ok(0)),
            }
        }
    }
}
