//! What is known of each mapped page of a file: is it dirty, is the zero page mapped there?
//!
//! A tree of fixed height with a leaf for every 2 MiB of the file, as a page table has. Nodes appear on first use and
//! stay until the inode leaves memory; reading and changing bits takes no lock, a look-up is four dependent loads.
//!
//! ```text
//! page 29..23     22..16          15..9           8..0
//!  root[128]  →  middle[128]  →  bottom[128]  →  Leaf { dirty: 512 bits, zero: 512 bits }
//! ```

use crate::error::{Errno, Result};
use alloc::boxed::Box;
use alloc::vec::Vec;
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

/// A node that appears on first use. (An array of one: the only box that safe, stable Rust makes fallibly.)
type Lazy<T> = OnceBox<[T; 1]>;

struct Node<T>([Lazy<T>; FANOUT]);

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self([const { OnceBox::new() }; FANOUT])
    }
}

/// What `lazy` holds, made now if need be.
#[inline]
fn existing_or_new<T: Default>(lazy: &Lazy<T>) -> Result<&T> {
    lazy.get_or_try_init(allocate).map(|[node]| node)
}

#[cold]
fn allocate<T: Default>() -> Result<Box<[T; 1]>> {
    let mut one = Vec::new();
    one.try_reserve_exact(1).map_err(|_| Errno::NoMemory)?;
    one.push(T::default());
    Box::try_from(one.into_boxed_slice()).map_err(|_| Errno::NoMemory.into())
}

/// What `lazy` holds, if it is there.
#[inline]
fn existing<T>(lazy: &Lazy<T>) -> Option<&T> {
    lazy.get().map(|[node]| node)
}

#[derive(Default)]
struct Leaf {
    dirty: Bits,
    zero: Bits,
}

/// The index of one file.
pub struct PageIndex {
    root: Lazy<Node<Middle>>,
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
    #[inline]
    fn leaf(&self, page: u64) -> Result<&Leaf> {
        let [a, b, c] = slots(page);
        let middle = existing_or_new(&existing_or_new(&self.root)?.0[a])?;
        existing_or_new(&existing_or_new(&middle.0[b])?.0[c])
    }

    /// The leaf of `page`, if it is there.
    fn existing(&self, page: u64) -> Option<&Leaf> {
        let [a, b, c] = slots(page);
        existing(&existing(&existing(&existing(&self.root)?.0[a])?.0[b])?.0[c])
    }

    /// A store to `page` may follow.
    ///
    /// # Errors
    /// [`Errno::NoMemory`] for a node; the page is not marked.
    #[inline]
    pub fn mark_dirty(&self, page: u64) -> Result<()> {
        let (word, mask) = bit(page);
        self.leaf(page)?.dirty[word].fetch_or(mask, SeqCst);
        Ok(())
    }

    /// The zero page is about to be mapped at `page`.
    ///
    /// # Errors
    /// As for [`mark_dirty`](Self::mark_dirty).
    #[inline]
    pub fn mark_zero(&self, page: u64) -> Result<()> {
        let (word, mask) = bit(page);
        self.leaf(page)?.zero[word].fetch_or(mask, SeqCst);
        Ok(())
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
            let Some(root) = existing(&self.root) else { return };
            let Some(middle) = existing(&root.0[a]) else {
                page = skip(23);
                continue;
            };
            let Some(bottom) = existing(&middle.0[b]) else {
                page = skip(16);
                continue;
            };
            let Some(leaf) = existing(&bottom.0[c]) else {
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
            index.mark_dirty(page).unwrap();
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
        index.mark_zero(9).unwrap();
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
                index.mark_dirty(page).unwrap();
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
