//! The words.

use std::cell::Cell;
use std::panic::Location;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use crate::sabotage::{AccessKind, Wrong, reached, weakened};
use loom::sync::{Mutex, atomic};

thread_local! {
    static CONCURRENT: Cell<bool> = const { Cell::new(false) };
}

/// Sets whether there are threads from now on.
pub fn concurrent(is: bool) {
    CONCURRENT.set(is);
}

/// Fences as `core`'s does; not if its site says so.
#[track_caller]
pub fn fence(order: Ordering) {
    let wrong = reached(Location::caller(), AccessKind::Fence, order);
    if wrong != Some(Wrong::Relaxed) {
        atomic::fence(weakened(order, AccessKind::Fence, wrong));
    }
}

macro_rules! words {
    ($($name:ident: $value:ty, [$($change:ident($old:ident, $new:ident) = $result:expr),*];)*) => {$(
        #[doc = concat!("An [`", stringify!($name), "`](std::sync::atomic::", stringify!($name), ") of loom's.")]
        #[derive(Debug)]
        pub struct $name { first: $value, word: OnceLock<(atomic::$name, Option<Mutex<()>>)> }

        impl Default for $name {
            fn default() -> Self {
                let word = Self::new(<$value>::default());
                word.prepare();
                word
            }
        }

        #[allow(missing_docs)]
        impl $name {
            pub const fn new(first: $value) -> Self {
                Self { first, word: OnceLock::new() }
            }

            /// Makes it known to loom.
            pub fn prepare(&self) {
                self.word();
            }

            fn both(&self) -> &(atomic::$name, Option<Mutex<()>>) {
                self.word.get_or_init(|| {
                    let word = atomic::$name::new(self.first);
                    // Both let other threads go first, which must not find this cell half made.
                    let taken = (!CONCURRENT.get()).then(|| {
                        word.store(self.first, Ordering::SeqCst);
                        let taken = Mutex::new(());
                        std::mem::forget(taken.try_lock());
                        taken
                    });
                    (word, taken)
                })
            }

            /// A load is about to come. loom remembers a word's last access only, so that a thread's own load
            /// hides from it that a change which follows must also be tried before another thread's load.
            /// Trying a lock that is taken for good orders nothing, but is a step that loom tries before and
            /// after each other one.
            fn announce(&self) {
                if let Some(taken) = &self.both().1 {
                    let _ = taken.try_lock();
                }
            }

            fn word(&self) -> &atomic::$name {
                &self.both().0
            }

            pub fn get_mut(&mut self) -> &mut $value {
                unimplemented!("no model needs it")
            }

            #[track_caller]
            pub fn load(&self, order: Ordering) -> $value {
                let wrong = reached(Location::caller(), AccessKind::Load, order);
                self.announce();
                self.word().load(weakened(order, AccessKind::Load, wrong))
            }

            #[track_caller]
            pub fn store(&self, value: $value, order: Ordering) {
                let wrong = reached(Location::caller(), AccessKind::Store, order);
                if wrong != Some(Wrong::Skipped) {
                    self.word().store(value, weakened(order, AccessKind::Store, wrong));
                }
            }

            #[track_caller]
            pub fn swap(&self, value: $value, order: Ordering) -> $value {
                let wrong = reached(Location::caller(), AccessKind::Change, order);
                match self.in_two(order, wrong, |_| Some(value)) {
                    Some(Ok(old) | Err(old)) => old,
                    None => self.word().swap(value, weakened(order, AccessKind::Change, wrong)),
                }
            }

            #[track_caller]
            pub fn compare_exchange(
                &self,
                old: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                let wrong = reached(Location::caller(), AccessKind::Change, success);
                self.in_two(success, wrong, |now| (now == old).then_some(new)).unwrap_or_else(|| {
                    let success = weakened(success, AccessKind::Change, wrong);
                    self.word().compare_exchange(old, new, success, weakened(failure, AccessKind::Load, wrong))
                })
            }

            pub fn fetch_update(
                &self,
                set: Ordering,
                fetch: Ordering,
                change: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                self.word().fetch_update(set, fetch, change)
            }

            $(
                #[track_caller]
                pub fn $change(&self, $new: $value, order: Ordering) -> $value {
                    let wrong = reached(Location::caller(), AccessKind::Change, order);
                    match self.in_two(order, wrong, |$old| Some($result)) {
                        Some(Ok(old) | Err(old)) => old,
                        None => self.word().$change($new, weakened(order, AccessKind::Change, wrong)),
                    }
                }
            )*

            /// A change that is torn or skipped; `None` if it is neither.
            fn in_two(
                &self,
                order: Ordering,
                wrong: Option<Wrong>,
                change: impl Fn($value) -> Option<$value>,
            ) -> Option<Result<$value, $value>> {
                let torn = match wrong? {
                    Wrong::Torn => true,
                    Wrong::Skipped => false,
                    Wrong::Relaxed | Wrong::NotSeqCst => return None,
                };
                let (load, store) = match order {
                    Ordering::Acquire => (Ordering::Acquire, Ordering::Relaxed),
                    Ordering::Release => (Ordering::Relaxed, Ordering::Release),
                    Ordering::AcqRel => (Ordering::Acquire, Ordering::Release),
                    order => (order, order),
                };
                self.announce();
                let old = self.word().load(load);
                let Some(new) = change(old) else { return Some(Err(old)) };
                if torn {
                    self.word().store(new, store);
                }
                Some(Ok(old))
            }
        }
    )*};
}

words! {
    AtomicBool: bool, [fetch_and(old, value) = old & value, fetch_or(old, value) = old | value];
    AtomicI64: i64, [
        fetch_add(old, value) = old.wrapping_add(value),
        fetch_sub(old, value) = old.wrapping_sub(value),
        fetch_max(old, value) = old.max(value)
    ];
    AtomicU32: u32, [
        fetch_add(old, value) = old.wrapping_add(value),
        fetch_sub(old, value) = old.wrapping_sub(value),
        fetch_and(old, value) = old & value,
        fetch_or(old, value) = old | value,
        fetch_max(old, value) = old.max(value),
        fetch_min(old, value) = old.min(value)
    ];
    AtomicU64: u64, [
        fetch_add(old, value) = old.wrapping_add(value),
        fetch_sub(old, value) = old.wrapping_sub(value),
        fetch_and(old, value) = old & value,
        fetch_or(old, value) = old | value,
        fetch_max(old, value) = old.max(value)
    ];
    AtomicUsize: usize, [
        fetch_add(old, value) = old.wrapping_add(value),
        fetch_sub(old, value) = old.wrapping_sub(value),
        fetch_max(old, value) = old.max(value)
    ];
}
