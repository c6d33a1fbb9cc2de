//! What becomes of a file system in which a contradiction was met: the superblock's `s_errors`, or the mount
//! option `errors=`.
//!
//! In any case the image says that it has errors, at once and durably, so that e2fsck looks at it, whatever
//! comes after; and it counts them, in the fields that ext4 has for that. Nothing is written to a file system
//! that is mounted read-only, nor to a frozen one: the thaw makes up for that. An error that is met while
//! somebody freezes, remounts or unmounts is told when that is over.
//!
//! # Locking
//! Takes the superblock's mutex, a leaf; before it `ice`, but never waits for that: whoever has it may have
//! met the error.

use super::fs::Ext2;
use crate::error::{Corrupt, Error, Result};
use crate::ext::geometry::on_error_of;
use crate::platform::Platform;
use crate::vfs::OnError;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};

impl<P: Platform> Ext2<P> {
    /// Returns what is done when a contradiction is met.
    pub fn on_error(&self) -> OnError {
        on_error_of(self.on_error.load(Relaxed) as u16)
    }

    /// Remembers that a contradiction was met, and does what is to be done then.
    #[inline]
    pub(super) fn noted<T>(&self, result: Result<T>) -> Result<T> {
        if let Err(Error::Corrupt(what)) = result {
            self.note(what);
        }
        result
    }

    #[cold]
    #[inline(never)]
    fn note(&self, what: Corrupt) {
        self.errors.store(true, SeqCst);
        let policy = self.on_error();
        let was_writable = self.check_writable().is_ok();
        if was_writable {
            // Nobody freezes, remounts or unmounts while it is stored.
            match self.ice.try_lock() {
                Some(ice) if ice.is_none() && self.check_writable().is_ok() => {
                    self.super_in_place().store_error(&what)
                }
                _ => self.unsaid.store(true, SeqCst),
            }
        }
        if policy != OnError::Continue && was_writable {
            self.stopped.store(true, SeqCst);
            self.unwritable.store(true, SeqCst);
        }
        self.say_unsaid();
        match policy {
            OnError::Panic => self.platform.fatal(&what),
            OnError::ReadOnly if was_writable => self.platform.stopped(&what),
            _ => {}
        }
    }

    /// Says on the image that it has errors, if one was met while somebody held `ice`, who calls this when it
    /// is free again: also if it may not be changed any more because of that. A thaw says it of what is
    /// frozen now.
    pub(super) fn say_unsaid(&self) {
        while self.unsaid.load(SeqCst) {
            // Whoever holds it comes here after that.
            let Some(ice) = self.ice.try_lock() else { return };
            if ice.is_some() || !self.unsaid.swap(false, SeqCst) {
                return;
            }
            if self.check_writable().is_ok() || self.stopped.load(SeqCst) {
                self.super_in_place().store_error_state();
            }
        }
    }
}
