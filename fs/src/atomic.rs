//! The atomic words that CPUs share beside what locks guard.
//!
//! In the kernel they are `core`'s. With the feature `watched` each access is told to a function first, so
//! that a scheduler that owns every step can let another CPU go between any two of them, and knows which
//! accesses touch the same word. As this crate is free of `unsafe`, what CPUs share is either such a word, or
//! guarded by a lock, or behind [`Platform`](crate::platform::Platform): nothing escapes that scheduler. With
//! `--cfg loom` they are loom's, for `verify/orders`: each load may return whatever the memory orders allow
//! (docs/memory-orders.md).

#[cfg(not(any(feature = "watched", loom)))]
pub use core::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize};
#[cfg(loom)]
pub use loomed::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize};
#[cfg(all(feature = "watched", not(loom)))]
pub use watched::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize};

#[cfg(feature = "watched")]
pub mod watched {
    //! Words whose accesses are told.

    use core::sync::atomic::{self, Ordering};
    use once_cell::race::OnceRef;

    /// What is about to happen to a word.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Access {
        /// It is loaded.
        Load,
        /// It is stored to, or changed in one step.
        Change,
    }

    /// Is told of each access before it happens: the word's address, and what is to come.
    pub type Watcher = fn(usize, Access);

    static WATCHER: OnceRef<'static, Watcher> = OnceRef::new();

    /// Tells `watcher` of each access from now on. Only the first call counts: there is one watcher for a
    /// process.
    pub fn watch(watcher: &'static Watcher) {
        let _ = WATCHER.set(watcher);
    }

    #[inline]
    fn tell<T>(word: &T, access: Access) {
        if let Some(watcher) = WATCHER.get() {
            watcher(core::ptr::from_ref(word).addr(), access);
        }
    }

    macro_rules! watched {
        ($($name:ident: $value:ty, [$($change:ident),*];)*) => {$(
            #[doc = concat!("A watched [`", stringify!($name), "`](core::sync::atomic::", stringify!($name), ").")]
            #[derive(Debug, Default)]
            pub struct $name(atomic::$name);

            #[allow(missing_docs)]
            impl $name {
                #[inline]
                pub const fn new(value: $value) -> Self {
                    Self(atomic::$name::new(value))
                }
                /// Returns the value, to change it. Nobody else can see the word, so there is nothing to
                /// tell.
                #[inline]
                pub fn get_mut(&mut self) -> &mut $value {
                    self.0.get_mut()
                }
                #[inline]
                pub fn load(&self, order: Ordering) -> $value {
                    tell(self, Access::Load);
                    self.0.load(order)
                }
                #[inline]
                pub fn store(&self, value: $value, order: Ordering) {
                    tell(self, Access::Change);
                    self.0.store(value, order);
                }
                #[inline]
                pub fn swap(&self, value: $value, order: Ordering) -> $value {
                    tell(self, Access::Change);
                    self.0.swap(value, order)
                }
                #[inline]
                pub fn compare_exchange(
                    &self,
                    old: $value,
                    new: $value,
                    success: Ordering,
                    failure: Ordering,
                ) -> Result<$value, $value> {
                    tell(self, Access::Change);
                    self.0.compare_exchange(old, new, success, failure)
                }
                /// Changes the word as the real one does, but in one step here, where that is a loop: what
                /// others change in between only makes a loop go round.
                #[inline]
                pub fn fetch_update(
                    &self,
                    set: Ordering,
                    fetch: Ordering,
                    change: impl FnMut($value) -> Option<$value>,
                ) -> Result<$value, $value> {
                    tell(self, Access::Change);
                    self.0.fetch_update(set, fetch, change)
                }
                $(
                    #[inline]
                    pub fn $change(&self, value: $value, order: Ordering) -> $value {
                        tell(self, Access::Change);
                        self.0.$change(value, order)
                    }
                )*
            }
        )*};
    }

    watched! {
        AtomicBool: bool, [fetch_and, fetch_or];
        AtomicI64: i64, [fetch_add, fetch_sub, fetch_max];
        AtomicU32: u32, [fetch_add, fetch_sub, fetch_and, fetch_or, fetch_max, fetch_min];
        AtomicU64: u64, [fetch_add, fetch_sub, fetch_and, fetch_or, fetch_max];
        AtomicUsize: usize, [fetch_add, fetch_sub, fetch_max];
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use core::sync::atomic::Ordering::SeqCst;
        use std::vec::Vec;

        std::thread_local! {
            static TOLD: core::cell::RefCell<Vec<(usize, Access)>> = const { core::cell::RefCell::new(Vec::new()) };
        }

        #[test]
        fn each_access_is_told_with_its_word_before_it_happens() {
            static HERE: Watcher = |word, access| TOLD.with_borrow_mut(|told| told.push((word, access)));
            watch(&HERE);
            let word = AtomicU64::new(5);
            assert_eq!((word.load(SeqCst), word.fetch_or(2, SeqCst), word.swap(1, SeqCst)), (5, 5, 7));
            let at = core::ptr::from_ref(&word).addr();
            let told = TOLD.take();
            assert_eq!(told, [(at, Access::Load), (at, Access::Change), (at, Access::Change)]);
        }
    }
}
