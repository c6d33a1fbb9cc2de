//! What a step touches: two steps of different CPUs that touch nothing in common can be taken in either
//! order.

/// Something that CPUs share, as a number: what kind it is, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SharedPlace(u64);

impl SharedPlace {
    const fn new(kind: u64, number: u64) -> Self {
        Self(kind << 60 | number & ((1 << 60) - 1))
    }

    /// Identifies what is durable: who waits for his flushes reads, who relies on it writes.
    pub const fn durable() -> Self {
        Self::new(0, 0)
    }

    /// Identifies how many handles a file has.
    pub const fn handles() -> Self {
        Self::new(0, 1)
    }

    /// Identifies an atomic word, by its address.
    pub const fn word(address: usize) -> Self {
        Self::new(1, address as u64)
    }

    /// Identifies a line of persistent memory, by its number.
    pub const fn line(number: u64) -> Self {
        Self::new(2, number)
    }

    /// Identifies a page of persistent memory as a whole: those who touch a line of it read this, who touches
    /// all of it writes it.
    pub const fn page(number: u64) -> Self {
        Self::new(3, number)
    }

    /// Identifies an entry of an address space's page tables: the level of its table, and the first address
    /// that it translates.
    pub const fn entry(space: usize, level: u32, va: u64) -> Self {
        let shift = 12 + 9 * (level - 1);
        Self::new(4, (space as u64) << 40 | (level as u64) << 36 | va >> shift)
    }

    /// Identifies whether a block may be mapped: who maps it or unmaps it reads, who frees or takes it
    /// writes.
    pub const fn block(number: u64) -> Self {
        Self::new(5, number)
    }

    /// Identifies a lock, or the list of those who wait for a key, by its address.
    pub const fn lock(address: usize) -> Self {
        Self::new(6, address as u64)
    }

    /// Returns whether it is a lock at one of these addresses.
    pub fn is_lock_in(self, addresses: &std::ops::Range<usize>) -> bool {
        (Self::lock(addresses.start)..Self::lock(addresses.end)).contains(&self)
    }

    /// Identifies how many address spaces have a private copy.
    pub const fn sharers(frame: u64) -> Self {
        Self::new(8, frame)
    }

    /// Identifies the bytes of a private copy.
    pub const fn copied(frame: u64) -> Self {
        Self::new(9, frame)
    }

    /// Identifies what a CPU has in its TLB.
    pub const fn tlb(cpu: usize) -> Self {
        Self::new(7, cpu as u64)
    }
}

/// What one step touches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Touch {
    /// Nothing that others could see.
    #[default]
    Nothing,
    /// One place; the flag tells whether it is changed.
    One(SharedPlace, bool),
    /// Two places.
    Two([(SharedPlace, bool); 2]),
    /// Three places.
    Three([(SharedPlace, bool); 3]),
    /// So many whole pages of persistent memory from this one on.
    Pages(u64, u64, bool),
    /// A lock is taken: shared or not.
    Take(SharedPlace, bool),
    /// The same, unless that means waiting: as things are, it does.
    Try(SharedPlace, bool),
    /// The same, and it is free: it is taken.
    Got(SharedPlace, bool),
    /// A lock is let go.
    LetGo(SharedPlace, bool),
}

impl Touch {
    /// Makes the touch of a part of a line of persistent memory.
    pub const fn line(number: u64, change: bool) -> Self {
        Self::Two([(SharedPlace::line(number), change), (SharedPlace::page(number / 64), false)])
    }

    /// Calls `f` with each place, and whether it is changed; not for locks.
    #[inline]
    pub fn each(&self, mut f: impl FnMut(SharedPlace, bool)) {
        match *self {
            Self::Nothing | Self::Take(..) | Self::Try(..) | Self::Got(..) | Self::LetGo(..) => {}
            Self::One(place, change) => f(place, change),
            Self::Two(places) => places.into_iter().for_each(|(place, change)| f(place, change)),
            Self::Three(places) => places.into_iter().for_each(|(place, change)| f(place, change)),
            // A page as a whole is changed also by who reads all of it: as far as lines of it are concerned.
            Self::Pages(first, count, _) => {
                (first..first + count).for_each(|page| f(SharedPlace::page(page), true))
            }
        }
    }

    /// Returns whether the order of two steps matters that could both be taken now.
    pub fn meets(&self, other: &Self) -> bool {
        match (*self, *other) {
            (Self::Nothing, _) | (_, Self::Nothing) => false,
            // Who fails does not change anything; those who share it are not in each other's way.
            (Self::Try(..), Self::Try(..)) => false,
            (
                Self::Take(a, shared) | Self::Try(a, shared) | Self::Got(a, shared),
                Self::Take(b, also) | Self::Try(b, also) | Self::Got(b, also),
            )
            | (Self::LetGo(a, shared), Self::Try(b, also))
            | (Self::Try(a, shared), Self::LetGo(b, also)) => a == b && !(shared && also),
            // Who lets a lock go holds it: nobody else can take it now, unless both are shared.
            (Self::Take(..) | Self::Try(..) | Self::Got(..) | Self::LetGo(..), _)
            | (_, Self::Take(..) | Self::Try(..) | Self::Got(..) | Self::LetGo(..)) => false,
            _ => {
                let mut meets = false;
                self.each(|mine, change| {
                    other.each(|theirs, also| meets |= mine == theirs && (change || also));
                });
                meets
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_meet_where_one_changes_what_the_other_touches() {
        let load = Touch::One(SharedPlace::word(64), false);
        let store = Touch::One(SharedPlace::word(64), true);
        assert!(!load.meets(&load) && load.meets(&store) && store.meets(&store));
        assert!(!store.meets(&Touch::One(SharedPlace::word(72), true)) && !store.meets(&Touch::Nothing));
        assert!(!store.meets(&Touch::One(SharedPlace::lock(64), true)), "another kind of place");
    }

    #[test]
    fn a_page_as_a_whole_meets_each_of_its_lines_and_lines_meet_only_themselves() {
        let line = |number, change| Touch::line(number, change);
        assert!(line(64, true).meets(&line(64, false)) && !line(64, true).meets(&line(65, true)));
        assert!(
            Touch::Pages(1, 2, true).meets(&line(64, false))
                && Touch::Pages(1, 2, true).meets(&line(191, false))
        );
        assert!(
            !Touch::Pages(1, 2, true).meets(&line(63, true))
                && !Touch::Pages(1, 2, true).meets(&line(192, true))
        );
    }

    #[test]
    fn locks_meet_where_one_wants_it_alone() {
        let (a, b) = (SharedPlace::lock(8), SharedPlace::lock(16));
        assert!(
            Touch::Take(a, false).meets(&Touch::Take(a, true))
                && !Touch::Take(a, true).meets(&Touch::Take(a, true))
        );
        assert!(!Touch::Take(a, false).meets(&Touch::Take(b, false)));
        assert!(
            Touch::Got(a, false).meets(&Touch::Got(a, true))
                && !Touch::Got(a, true).meets(&Touch::Got(a, true))
        );
        assert!(!Touch::Try(a, false).meets(&Touch::Try(a, false)), "both fail");
        assert!(
            Touch::LetGo(a, false).meets(&Touch::Try(a, false))
                && !Touch::LetGo(a, true).meets(&Touch::Take(a, true))
        );
    }
}
