//! What is known of each mapped page of a file: is it dirty, is the zero page mapped there?
//!
//! A tree of fixed height with a leaf for every 2 MiB of the file, as a page table has. Nodes appear on first use and
//! stay until the inode leaves memory; reading and changing bits takes no lock, a look-up is four dependent loads.
//!
//! ```text
//! page 29..23     22..16          15..9           8..0
//!  root[128]  →  middle[128]  →  bottom[128]  →  Leaf { dirty: 512 bits, zero: 512 bits }
//! ```

use alloc::boxed::Box;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
use once_cell::race::OnceBox;

const LEAF_PAGES: u64 = 512;
const FANOUT: usize = 128;
/// Pages that the index covers: files up to 4 TiB.
pub const MAX_PAGES: u64 = LEAF_PAGES * (FANOUT * FANOUT * FANOUT) as u64;

type Bits = [AtomicU64; 8];
type Bottom = Node<Leaf>;
type Middle = Node<Bottom>;

struct Node<T>([OnceBox<T>; FANOUT]);

impl<T> Node<T> {
    fn new() -> Box<Self> {
        Box::new(Self([const { OnceBox::new() }; FANOUT]))
    }
}

#[derive(Default)]
struct Leaf {
    dirty: Bits,
    zero: Bits,
}

/// The index of one file.
pub struct PageIndex {
    root: OnceBox<Node<Middle>>,
}

impl Default for PageIndex {
    fn default() -> Self {
        Self::new()
    }
}

fn slots(page: u64) -> [usize; 3] {
    assert!(page < MAX_PAGES, "page {page} beyond the index: files are limited before they are mapped");
    let slot = |shift: u32| (page >> shift) as usize % FANOUT;
    [slot(23), slot(16), slot(9)]
}

fn bit(page: u64) -> (usize, u64) {
    ((page % LEAF_PAGES / 64) as usize, 1 << (page % 64))
}

impl PageIndex {
    /// Knows nothing of any page.
    pub const fn new() -> Self {
        Self { root: OnceBox::new() }
    }

    /// The leaf of `page`, made if need be.
    fn leaf(&self, page: u64) -> &Leaf {
        let [a, b, c] = slots(page);
        let middle = self.root.get_or_init(Node::new).0[a].get_or_init(Node::new);
        middle.0[b].get_or_init(Node::new).0[c].get_or_init(Box::default)
    }

    /// The leaf of `page`, if it is there.
    fn existing(&self, page: u64) -> Option<&Leaf> {
        let [a, b, c] = slots(page);
        self.root.get()?.0[a].get()?.0[b].get()?.0[c].get()
    }

    /// A store to `page` may follow.
    pub fn mark_dirty(&self, page: u64) {
        let (word, mask) = bit(page);
        self.leaf(page).dirty[word].fetch_or(mask, SeqCst);
    }

    /// The zero page is about to be mapped at `page`.
    pub fn mark_zero(&self, page: u64) {
        let (word, mask) = bit(page);
        self.leaf(page).zero[word].fetch_or(mask, SeqCst);
    }

    /// True if `page` is dirty.
    pub fn is_dirty(&self, page: u64) -> bool {
        let (word, mask) = bit(page);
        self.existing(page).is_some_and(|leaf| leaf.dirty[word].load(SeqCst) & mask != 0)
    }

    /// Forgets that the zero page may be mapped at `page`; true if it was known.
    pub fn take_zero(&self, page: u64) -> bool {
        let (word, mask) = bit(page);
        self.existing(page).is_some_and(|leaf| leaf.zero[word].fetch_and(!mask, SeqCst) & mask != 0)
    }

    /// Forgets which pages of `pages` are dirty, calling `f` with each run of them, in order. Looks only where something
    /// was ever mapped.
    pub fn take_dirty(&self, pages: Range<u64>, mut f: impl FnMut(Range<u64>)) {
        let mut run = 0..0;
        self.for_each_word(pages, |first, mask, leaf, word| {
            let mut bits = leaf.dirty[word].fetch_and(!mask, SeqCst) & mask;
            while bits != 0 {
                let page = first + u64::from(bits.trailing_zeros());
                bits &= bits - 1;
                if page == run.end {
                    run.end += 1;
                } else {
                    if !run.is_empty() {
                        f(run.clone());
                    }
                    run = page..page + 1;
                }
            }
        });
        if !run.is_empty() {
            f(run);
        }
    }

    /// Forgets everything about `pages`.
    pub fn clear(&self, pages: Range<u64>) {
        self.for_each_word(pages, |_, mask, leaf, word| {
            leaf.dirty[word].fetch_and(!mask, SeqCst);
            leaf.zero[word].fetch_and(!mask, SeqCst);
        });
    }

    /// Calls `f(first page of the word, mask, leaf, word)` for each 64 pages of `pages` that have a leaf.
    fn for_each_word(&self, pages: Range<u64>, mut f: impl FnMut(u64, u64, &Leaf, usize)) {
        let Range { start: mut page, end } = pages.start..pages.end.min(MAX_PAGES);
        while page < end {
            let [a, b, c] = slots(page);
            let skip = |shift: u32| (page >> shift).wrapping_add(1) << shift;
            let Some(root) = self.root.get() else { return };
            let Some(middle) = root.0[a].get() else {
                page = skip(23);
                continue;
            };
            let Some(bottom) = middle.0[b].get() else {
                page = skip(16);
                continue;
            };
            let Some(leaf) = bottom.0[c].get() else {
                page = skip(9);
                continue;
            };
            let first = page & !63;
            let mut mask = u64::MAX << (page - first);
            if end - first < 64 {
                mask &= !(u64::MAX << (end - first));
            }
            f(first, mask, leaf, (page % LEAF_PAGES / 64) as usize);
            page = first + 64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn taken(index: &PageIndex, pages: Range<u64>) -> Vec<Range<u64>> {
        let mut runs = Vec::new();
        index.take_dirty(pages, |run| runs.push(run));
        runs
    }

    #[test]
    fn dirty_pages_come_out_once_and_in_runs() {
        let index = PageIndex::new();
        for page in [5, 6, 7, 63, 64, 511, 512, 70_000, MAX_PAGES - 1] {
            index.mark_dirty(page);
        }
        assert_eq!(taken(&index, 6..64), [6..8, 63..64]);
        assert_eq!(
            taken(&index, 0..u64::MAX),
            [5..6, 64..65, 511..513, 70_000..70_001, MAX_PAGES - 1..MAX_PAGES]
        );
        assert_eq!(taken(&index, 0..u64::MAX), []);
    }

    #[test]
    fn zero_and_dirty_are_apart() {
        let index = PageIndex::new();
        index.mark_zero(9);
        assert!(!index.is_dirty(9));
        assert!(!index.take_zero(8));
        assert!(index.take_zero(9));
        assert!(!index.take_zero(9));
    }

    proptest! {
        #[test]
        fn taking_and_clearing_agree_with_a_set(
            marks in prop::collection::vec(0u64..3000, 0..100),
            clear in (0u64..3000, 0u64..3000),
            take in (0u64..3000, 0u64..3000),
        ) {
            let (index, mut model) = (PageIndex::new(), BTreeSet::new());
            for page in marks {
                index.mark_dirty(page);
                model.insert(page);
            }
            let range = |(a, b): (u64, u64)| a.min(b)..a.max(b);
            index.clear(range(clear));
            model.retain(|page| !range(clear).contains(page));
            let got: Vec<u64> = taken(&index, range(take)).into_iter().flatten().collect();
            let want: Vec<u64> = model.range(range(take)).copied().collect();
            prop_assert_eq!(got, want);
        }
    }
}
