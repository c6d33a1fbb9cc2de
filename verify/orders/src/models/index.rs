//! The mapping index: the locks of its entries, marks, pins.

use std::rc::Rc;

use fs::lab::Mutant;
use fs::platform::{PageSize, Platform};
use fs::vfs::index::{LOCK_WORDS, PageIndex};
use fs::vfs::mapping::Mapping;

use super::{Guarded, Model, three, two};
use crate::machine::{Cpus, boot, cpus};

pub(super) const MODELS: &[Model] = &[
    Model {
        name: "entry-same",
        holds: "two that lock the entry of one page are in one after the other, and both get in",
        preemptions: None,
        run: || entries(&[(3, PageSize::Small), (3, PageSize::Small)]),
    },
    Model {
        name: "entry-sizes",
        holds: "one that locks a page's entry and one that locks its 2 MiB's are in one after the other, and both get in",
        preemptions: Some(3),
        run: || entries(&[(3, PageSize::Small), (0, PageSize::Large)]),
    },
    Model {
        name: "entry-last-word",
        holds: "the same, if the page is the last",
        preemptions: Some(3),
        run: || entries(&[(511, PageSize::Small), (0, PageSize::Large)]),
    },
    Model {
        name: "entry-2-large",
        holds: "two that lock the entry of the same 2 MiB are in one after the other, and both get in",
        preemptions: Some(3),
        run: || entries(&[(3, PageSize::Large), (0, PageSize::Large)]),
    },
    Model {
        name: "entry-3",
        holds: "the same of two that lock a page's entry and one that locks its 2 MiB's",
        preemptions: Some(3),
        run: || entries(&[(3, PageSize::Small), (0, PageSize::Large), (3, PageSize::Small)]),
    },
    Model {
        name: "entry-neighbours",
        holds: "two that lock entries of pages that share a word, and one that locks their 2 MiB's, all get in",
        preemptions: Some(2),
        run: neighbours,
    },
    Model {
        name: "entry-large-marks",
        holds: "what becomes known of 2 MiB while their entry's lock is tried, taken and let go stays known",
        preemptions: Some(3),
        run: large_marks,
    },
    Model {
        name: "dirty-take",
        holds: "of two pages that share a word, the one that becomes dirty while write-back takes is taken or is left",
        preemptions: None,
        run: dirty_take,
    },
    Model {
        name: "dirty-mark",
        holds: "two pages that share a word become dirty at once: both are taken",
        preemptions: None,
        run: dirty_mark,
    },
    Model {
        name: "dirty-tag",
        holds: "the same as dirty-take, of what is tagged first",
        preemptions: None,
        run: dirty_tag,
    },
    Model {
        name: "large-dirty-take",
        holds: "2 MiB that become dirty while write-back takes them are taken or are left",
        preemptions: None,
        run: large_dirty_take,
    },
    Model {
        name: "large-mark",
        holds: "2 MiB become dirty and zero at once: both are known",
        preemptions: None,
        run: large_mark,
    },
    Model {
        name: "large-dirty-zero",
        holds: "2 MiB that are dirty, and whose zero page is mapped while write-back takes them, are known as zero",
        preemptions: None,
        run: large_dirty_zero,
    },
    Model {
        name: "large-zero-take",
        holds: "that the zero page of 2 MiB was mapped is told once, and what becomes dirty meanwhile is known",
        preemptions: None,
        run: large_zero_take,
    },
    Model {
        name: "tag-2",
        holds: "two write-backs of pages that share a word: each takes what it tagged",
        preemptions: Some(3),
        run: tag_both,
    },
    Model {
        name: "zero-take",
        holds: "where the zero page was mapped is told once, also of what shares a word",
        preemptions: None,
        run: zero_take,
    },
    Model {
        name: "pins-2",
        holds: "two transfers to the same pages: while either is under way they are pinned, afterwards not",
        preemptions: Some(3),
        run: pins_both,
    },
    Model {
        name: "pins",
        holds: "who is about to free pinned blocks waits until the transfer is over, and gets on",
        preemptions: Some(3),
        run: pins,
    },
];

/// A file that has mapping entries for its first 2 MiB.
fn file() -> Rc<(Cpus, Mapping<Cpus>)> {
    boot();
    let file = Rc::new((cpus(), Mapping::new(4 << 20)));
    file.1.index.leaf(0, || true).expect("there is memory");
    file.1.index.is_pinned(0..1);
    drop(file.1.exclusive());
    file
}

fn entries(jobs: &'static [(u64, PageSize)]) {
    let file = Rc::new((file(), Guarded::new()));
    let job = |of: usize| {
        let file = file.clone();
        let (page, size) = jobs[of];
        move || {
            let (platform, mapping) = &*file.0;
            let leaf = mapping.index.existing(page).expect("it was made");
            // As the fault path does.
            let looks_at = match platform.lab() {
                lab if lab.has(Mutant::LargeIgnoresSmallLocks) => 0,
                lab if lab.has(Mutant::LargeOverSmall) => 1,
                _ => LOCK_WORDS,
            };
            let locked = leaf.lock(platform, page, size, looks_at);
            file.1.change();
            drop(locked);
        }
    };
    three(job(0), job(1), (jobs.len() > 2).then(|| job(2)));
    assert_eq!(file.1.look(), jobs.len() as u64);
}

fn neighbours() {
    let file = file();
    let job = |page, size| {
        let file = file.clone();
        move || {
            let leaf = file.1.index.existing(page).expect("it was made");
            drop(leaf.lock(&file.0, page, size, LOCK_WORDS));
        }
    };
    three(job(3, PageSize::Small), job(4, PageSize::Small), Some(job(0, PageSize::Large)));
    let again = job(0, PageSize::Large);
    again();
}

fn large_marks() {
    let file = file();
    let (second, third) = (file.clone(), file.clone());
    let leaf = file.1.index.existing(3).expect("it was made");
    let small = leaf.lock(&file.0, 3, PageSize::Small, LOCK_WORDS);
    let large = move || {
        let leaf = second.1.index.existing(0).expect("it was made");
        drop(leaf.lock(&second.0, 0, PageSize::Large, LOCK_WORDS));
    };
    let mark = move || third.1.index.existing(0).expect("it was made").mark_large_dirty();
    three(|| drop(small), large, Some(mark));
    assert!(file.1.index.is_dirty(7));
    drop(leaf.lock(&file.0, 3, PageSize::Small, LOCK_WORDS));
}

fn mark(index: &PageIndex, page: u64) {
    index.existing(page).expect("it was made").mark_dirty(page);
}

/// The pages that write-back takes.
fn take(index: &PageIndex, tagged: bool) -> Vec<u64> {
    let mut pages = Vec::new();
    if let Some((_, taken)) = index.take(&(0..64), tagged) {
        taken.each_run(|run| pages.extend(run));
    }
    pages
}

fn dirty_take() {
    let file = file();
    mark(&file.1.index, 3);
    let other = file.clone();
    let mut first = Vec::new();
    two(
        || first = take(&file.1.index, false),
        move || {
            mark(&other.1.index, 4);
            mark(&other.1.index, 3);
        },
    );
    assert!(first.contains(&3), "page 3 was dirty before");
    let second = take(&file.1.index, false);
    assert_eq!(
        [&first, &second].into_iter().filter(|pages| pages.contains(&4)).count(),
        1,
        "page 4 is taken once"
    );
}

fn dirty_mark() {
    let file = file();
    let other = file.clone();
    two(|| mark(&file.1.index, 3), move || mark(&other.1.index, 4));
    assert_eq!(take(&file.1.index, false), [3, 4]);
}

fn dirty_tag() {
    let file = file();
    mark(&file.1.index, 3);
    let other = file.clone();
    let mut first = Vec::new();
    two(
        || {
            file.1.index.tag(0..64);
            first = take(&file.1.index, true);
        },
        move || mark(&other.1.index, 4),
    );
    assert!(first.contains(&3), "page 3 was dirty when what is dirty was tagged");
    let second = take(&file.1.index, false);
    assert_eq!(
        [&first, &second].into_iter().filter(|pages| pages.contains(&4)).count(),
        1,
        "page 4 is taken once"
    );
    assert_eq!(file.1.index.next_tagged(0, 64), None, "what was taken is tagged no more");
}

fn large_dirty_take() {
    let file = file();
    let other = file.clone();
    let mut taken = 0;
    let mut take =
        || taken += u32::from(file.1.index.take(&(0..64), false).is_some_and(|(_, taken)| taken.large));
    two(&mut take, move || {
        let leaf = other.1.index.existing(0).expect("it was made");
        leaf.mark_large_zero();
        leaf.mark_large_dirty();
    });
    take();
    assert_eq!(taken, 1);
    let mut zero = Vec::new();
    file.1.index.take_zero(0..1, |pages| zero.push(pages));
    assert_eq!(zero.into_iter().flatten().count(), 512, "what is written back is as zero as before");
}

/// Whether the zero page of the 2 MiB was mapped; it is forgotten.
fn was_zero(index: &PageIndex) -> bool {
    let mut pages = Vec::new();
    index.take_zero(0..1, |range| pages.extend(range));
    pages.len() == 512
}

fn large_mark() {
    let file = file();
    let other = file.clone();
    two(
        || file.1.index.existing(0).expect("it was made").mark_large_zero(),
        move || other.1.index.existing(0).expect("it was made").mark_large_dirty(),
    );
    assert!(file.1.index.is_dirty(5) && was_zero(&file.1.index));
}

fn large_dirty_zero() {
    let file = file();
    let other = file.clone();
    file.1.index.existing(0).expect("it was made").mark_large_dirty();
    two(
        || assert!(file.1.index.take(&(0..64), false).is_some_and(|(_, taken)| taken.large)),
        move || other.1.index.existing(0).expect("it was made").mark_large_zero(),
    );
    assert!(!file.1.index.is_dirty(5) && was_zero(&file.1.index));
}

fn large_zero_take() {
    let file = file();
    let other = file.clone();
    file.1.index.existing(0).expect("it was made").mark_large_zero();
    two(
        || assert!(was_zero(&file.1.index)),
        move || other.1.index.existing(0).expect("it was made").mark_large_dirty(),
    );
    assert!(file.1.index.is_dirty(5) && !was_zero(&file.1.index));
}

fn tag_both() {
    let file = file();
    for page in [3, 11] {
        mark(&file.1.index, page);
    }
    let write_back = |pages: std::ops::Range<u64>| {
        let file = file.clone();
        move || {
            let index = &file.1.index;
            index.tag(pages.clone());
            assert!(index.next_tagged(pages.start, pages.end).is_some(), "what was dirty is tagged");
            assert!(index.take(&pages, true).is_some(), "what was tagged is taken");
            assert_eq!(index.next_tagged(pages.start, pages.end), None, "what was taken is tagged no more");
        }
    };
    two(write_back(0..8), write_back(8..16));
}

fn zero_take() {
    let file = file();
    let other = file.clone();
    let zero = |page| file.1.index.existing(page).expect("it was made").mark_zero(page);
    zero(3);
    let mut told = Vec::new();
    let mut take = || file.1.index.take_zero(0..8, |pages| told.extend(pages));
    two(&mut take, move || {
        other.1.index.existing(4).expect("it was made").mark_zero(4);
    });
    take();
    told.sort_unstable();
    assert_eq!(told, [3, 4]);
}

fn pins_both() {
    let file = file();
    let transfer = || {
        let file = file.clone();
        move || {
            let index = &file.1.index;
            index.pin(0..2).expect("the leaf is there");
            assert!(index.is_pinned(1..2));
            index.unpin(&file.0, 0..2);
        }
    };
    two(transfer(), transfer());
    let index = &file.1.index;
    assert!(!index.is_pinned(0..2));
    // As long as there is no transfer at all, nobody looks at the leaves.
    index.pin(600..601).expect("there is memory");
    assert!(index.is_pinned(600..601) && !index.is_pinned(0..2));
    index.unpin(&file.0, 600..601);
}

fn pins() {
    let file = Rc::new((file(), Guarded::new()));
    let pages = 0..2;
    file.0.1.index.pin(pages.clone()).expect("the leaf is there");
    let transfer = {
        let (file, pages) = (file.clone(), pages.clone());
        move || {
            file.1.change();
            file.0.1.index.unpin(&file.0.0, pages);
        }
    };
    two(
        || {
            let (platform, mapping) = &*file.0;
            let ((), exclusive) =
                mapping.exclusive_unpinned(platform, pages.clone(), || Ok(())).expect("begun");
            file.1.change();
            drop(exclusive);
        },
        transfer,
    );
}
