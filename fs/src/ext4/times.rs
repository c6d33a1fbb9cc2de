//! An inode's times, stored in memory: the next commit takes them to the disk.

use super::edit::Edit;
use super::inode::Ext4Inode;
use crate::ext::inode::{TimeOffsets, encode};
use crate::platform::{Platform, Timestamp};

impl<P: Platform> Ext4Inode<P> {
    /// Stores `now` into each of `times`.
    pub(super) fn touch(&self, times: &[TimeOffsets], now: Timestamp) {
        let (edit, end) = (self.edit(), self.raw().fields_end());
        for &TimeOffsets(low, extra) in times {
            let has_extra = extra + 4 <= end;
            let (secs, more) = encode(now, has_extra);
            edit.store_u32(low, secs);
            if has_extra {
                edit.store_u32(extra, more);
            }
        }
    }
}
