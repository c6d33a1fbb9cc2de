//! Which operation comes next, and whether it can be done.

use super::Fsx;
use crate::op::{FileOp, OpKind};
use crate::options::Options;
use crate::target::Target;
use fs::PAGE_SIZE;

impl<T: Target> Fsx<T> {
    /// Returns the next random operation. As many random numbers for each, so that the same seed chooses
    /// alike.
    pub(super) fn draw(&mut self) -> FileOp {
        let [what, at, long, flags, close] = core::array::from_fn(|_| self.rng.draw());
        let kind = self.kinds[(what % self.kinds.len() as u64) as usize];
        let Options { max_len, max_op, ref align, .. } = self.options;
        let size = self.model.size();
        let long = if self.options.always_max { max_op } else { long % (max_op + 1) };
        // One in eight begins, and one in eight ends, where a page does.
        let (snap_start, snap_end) = ((flags >> 8) % 8 == 0, (flags >> 16) % 8 == 0);
        let range = |limit: u64, align: u64| {
            if limit == 0 {
                return (0, 0);
            }
            let mut offset = at % limit;
            if snap_start {
                offset -= offset % PAGE_SIZE;
            }
            offset -= offset % align;
            let mut end = (offset + long).min(limit);
            if snap_end {
                end = end.next_multiple_of(PAGE_SIZE).min(limit).min(offset + max_op);
            }
            let len = end - offset;
            (offset, if self.options.direct { len - len % align } else { len })
        };
        let whole = self.target.block_size();
        let (offset, len) = match kind {
            OpKind::Read | OpKind::MapRead => range(size, align.read),
            OpKind::Write | OpKind::MapWrite => range(self.limit(kind), align.write),
            OpKind::Allocate | OpKind::Zero => range(self.limit(kind), 1),
            // Beyond the end there may be blocks, and there is nothing to be seen.
            OpKind::Punch => range(if (flags >> 24) % 8 == 0 { max_len } else { size }, 1),
            OpKind::Truncate if self.options.small_truncates => {
                let size = (size + at % (2 * max_op + 1)).saturating_sub(max_op).min(max_len);
                (0, size - size % align.truncate)
            }
            OpKind::Truncate => {
                let size = at % (max_len + 1);
                (0, size - size % align.truncate)
            }
            OpKind::Collapse => {
                let (offset, len) = range(self.limit(kind), whole);
                (offset, len - len % whole)
            }
            OpKind::Insert => {
                let (offset, _) = range(size, whole);
                let len = long.min(max_len - size);
                (offset, len - len % whole)
            }
            OpKind::Fsync => (0, 0),
        };
        let may_keep = matches!(kind, OpKind::Allocate | OpKind::Zero);
        let may_keep = may_keep && !self.options.off.keep_size && !self.no_keep.contains(&kind);
        FileOp {
            keep_size: may_keep && flags % 2 == 0,
            close_open: self.options.close > 0 && close % self.options.close == 0,
            ..FileOp::new(kind, offset, len)
        }
    }

    /// Returns where the range of an operation of this kind must end.
    pub(super) fn limit(&self, kind: OpKind) -> u64 {
        let size = self.model.size();
        match kind {
            OpKind::Read | OpKind::MapRead => size,
            OpKind::Collapse => size.saturating_sub(1),
            OpKind::Write | OpKind::MapWrite | OpKind::Allocate | OpKind::Zero if self.options.lite => size,
            _ => self.options.max_len,
        }
    }

    /// Returns why an operation cannot be done now.
    pub(super) fn unfit(&self, op: &FileOp) -> Option<&'static str> {
        let size = self.model.size();
        if op.skip {
            return Some("asked for");
        }
        match op.kind {
            OpKind::Fsync => return None,
            OpKind::Truncate if op.len > self.options.max_len => return Some("longer than -l"),
            OpKind::Truncate if op.len != size && self.options.lite => return Some("-L"),
            OpKind::Truncate => return None,
            OpKind::Collapse | OpKind::Insert if self.options.lite => return Some("-L"),
            _ if op.len == 0 => return Some("nothing to do"),
            _ => {}
        }
        if op.len > self.options.max_op {
            return Some("longer than -o");
        }
        if op.offset.checked_add(op.len).is_none_or(|end| end > self.limit(op.kind))
            && op.kind != OpKind::Insert
        {
            return Some("beyond the end");
        }
        if matches!(op.kind, OpKind::Collapse | OpKind::Insert)
            && !(op.offset | op.len).is_multiple_of(self.target.block_size())
        {
            return Some("not whole blocks");
        }
        if op.kind == OpKind::Insert && (op.offset >= size || op.len > self.options.max_len - size) {
            return Some("beyond the end");
        }
        None
    }
}
