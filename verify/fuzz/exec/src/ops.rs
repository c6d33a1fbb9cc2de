//! From an input's numbers to operations: those on content and names are the language of the crate `fsx`,
//! which the tests of `fs` and the exerciser speak, too.

use crate::input::Op;
use fs::vfs::{Device, FileKind, Rename};
use fsx::{FileOp, NameOp, OpKind};
use std::ops::ControlFlow;

/// Operations; the number is the place in the list, for ever.
const OPS: [&str; 43] = [
    "walk the tree",
    "read",
    "write",
    "truncate",
    "fallocate",
    "seek",
    "extents",
    "stat",
    "read directory",
    "create",
    "make device",
    "symlink",
    "link",
    "unlink",
    "rmdir",
    "read link",
    "get attribute",
    "set attribute",
    "remove attribute",
    "list attributes",
    "change attributes",
    "rename",
    "open",
    "close",
    "map",
    "load through a mapping",
    "store through a mapping",
    "msync",
    "fsync",
    "unmap",
    "statfs",
    "sync",
    "unmount and mount",
    "unmount while in use",
    "crash",
    "crash after some stores",
    "shrink caches",
    "create many",
    "unlink many",
    "append much",
    "become a user",
    "fill the disk",
    "resolve a path",
];

/// How many operations there are.
pub const COUNT: u8 = OPS.len() as u8;

/// Returns what operation `code` does.
pub fn name(code: u8) -> &'static str {
    OPS.get(usize::from(code & 63)).copied().unwrap_or("nothing")
}

/// Returns the number of the operation called `name`.
pub fn code(name: &str) -> u8 {
    OPS.iter().position(|&op| op == name).expect("an operation's name") as u8
}

/// Names of what is there, and of what may be made.
const NAMES: [&str; 30] = [
    "",
    "dir",
    "dir/file",
    "dir/sub",
    "long",
    "sparse",
    "fast",
    "slow",
    "many",
    "dir/hard",
    "fifo",
    "device",
    "lost+found",
    "loop",
    "new",
    "dir/new",
    "dir/sub/new",
    "many/new",
    "new/inside",
    "made",
    "made/inside",
    "made/sub/deep",
    ".",
    "..",
    "dir/..",
    "dir/sub/.",
    "dir/sub/../../long",
    "slow/through/a/file",
    "nul\0and/\u{fffd}",
    "///",
];
/// How many names there are: two long ones come last.
const NAMES_COUNT: u8 = NAMES.len() as u8 + 2;

const ATTRIBUTES: [&str; 12] = [
    "user.one",
    "user.two",
    "user.shared",
    "trusted.of_dir",
    "user.",
    "",
    "system.posix_acl_access",
    "security.selinux",
    "nonsense",
    "user.a-much-longer-name-than-all-the-others-have-so-that-entries-are-of-many-sizes",
    "user.z",
    "trusted.z",
];

/// The most bytes that one operation reads or writes.
pub(crate) const MOST_COPIED: u64 = 1 << 16;

/// Returns the path that `number` stands for.
pub(crate) fn path(number: u8) -> Vec<u8> {
    match NAMES.get(usize::from(number % NAMES_COUNT)) {
        Some(name) => name.as_bytes().to_vec(),
        None if number % NAMES_COUNT == NAMES_COUNT - 1 => vec![b'o'; 256],
        None => vec![b'm'; 255],
    }
}

/// Returns a place in a file of `size` bytes, or a length: ends of things are likelier than others.
pub(crate) fn place(coded: u32, size: u64, block: u64) -> u64 {
    let (small, which) = (u64::from(coded & 0xFFFF), u64::from(coded >> 16 & 0xFF));
    let around = |middle: u64| middle.wrapping_add(small).wrapping_sub(0x8000);
    let per = block / 4;
    match coded >> 29 {
        0 => u64::from(coded),
        1 => small,
        2 => around([12, 12 + per, 12 + per + per * per][(which % 3) as usize] * block),
        3 => around(size),
        4 => size.saturating_sub(small),
        5 => around(1 << (which % 64)),
        6 => (u64::MAX >> (which & 1)) - small,
        _ => (small & 0x3FF) * block,
    }
}

/// Returns what `op` does to the content of a file, in which its numbers say this place and length, if it
/// does anything to that.
pub(crate) fn file_op(op: &Op, offset: u64, len: u64) -> Option<FileOp> {
    use OpKind::{Allocate, Collapse, Fsync, Insert, Punch, Read, Truncate, Write, Zero};
    let what = match name(op.code) {
        "read" => FileOp::new(Read, offset, len % MOST_COPIED),
        "write" => FileOp::new(Write, offset, len % MOST_COPIED),
        "truncate" => FileOp::new(Truncate, 0, offset),
        "fallocate" => {
            FileOp::new([Allocate, Punch, Zero, Collapse, Insert][usize::from(op.how) % 5], offset, len)
        }
        "fsync" => FileOp::new(Fsync, 0, 0),
        _ => return None,
    };
    Some(FileOp { keep_size: op.how & 0x80 != 0, ..what })
}

/// Returns what `op` does to a name, if it needs no second one.
pub(crate) fn name_op(op: &Op) -> NameOp {
    use FileKind::{BlockDevice, CharDevice, Directory, Fifo, File, Socket, Symlink};
    match name(op.code) {
        "create" => {
            let kinds = [File, Directory, File, Directory, Fifo, Socket, Symlink, CharDevice];
            NameOp::Create(kinds[usize::from(op.how) % 8], mode(op))
        }
        "make device" => {
            let kind = [CharDevice, BlockDevice, File][usize::from(op.how) % 3];
            NameOp::MakeDevice(kind, mode(op), Device { major: op.offset, minor: op.len })
        }
        "symlink" => NameOp::Symlink(match op.how % 4 {
            0 => path(op.other),
            1 => vec![b't'; (op.len % 64) as usize],
            2 => b"../".repeat((op.len % 1600) as usize),
            _ => vec![b't'; (op.len % 5000) as usize],
        }),
        "unlink" => NameOp::Unlink,
        _ => NameOp::Rmdir,
    }
}

/// Returns the permission bits of what `op` makes.
pub(crate) fn mode(op: &Op) -> u16 {
    op.len as u16 & 0o7777
}

/// Returns how `op` renames.
pub(crate) fn rename(op: &Op) -> Rename {
    [Rename::Replace, Rename::NoReplace, Rename::Exchange][usize::from(op.how) % 3]
}

/// Returns one of many names: the same for the same `offset` and `other`, short or long.
pub(crate) fn one_of_many(op: &Op, number: u32) -> String {
    let length = usize::from(op.other) % 250;
    format!("{:0length$}", (op.offset & 0xF) * 100 + number)
}

/// Returns the name of an attribute that `number` stands for.
pub(crate) fn attribute(number: u8) -> &'static [u8] {
    ATTRIBUTES[usize::from(number) % ATTRIBUTES.len()].as_bytes()
}

/// Counts down what is still to be looked at.
pub(crate) fn next(left: &mut u32) -> ControlFlow<()> {
    *left = left.saturating_sub(1);
    if *left > 0 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}
