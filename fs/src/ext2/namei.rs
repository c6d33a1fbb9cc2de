//! (being written)
use super::{Ext2, inode::Inode};
use crate::error::*;
use crate::platform::Platform;
use crate::vfs::FileKind;
use alloc::sync::Arc;
type R<T> = Result<T>;
fn no<T>() -> R<T> { Err(Unsupported::Operation("writing").into()) }
impl<P: Platform> Ext2<P> {
    pub(super) fn rename_name(&self, _: u64, _: &[u8], _: u64, _: &[u8]) -> R<()> { no() }
}
impl<P: Platform> Inode<P> {
    pub(super) fn create_name(&self, _: &[u8], _: FileKind, _: u16) -> R<Arc<Self>> { no() }
    pub(super) fn unlink_name(&self, _: &[u8]) -> R<()> { no() }
    pub(super) fn rmdir_name(&self, _: &[u8]) -> R<()> { no() }
}
