//! The commands, in groups. A new one is an entry in its group's table; a new group one line here.
//!
//! | file | commands |
//! |---|---|
//! | `list.rs` | ls |
//! | `find.rs` | find |
//! | `tree.rs` | tree |
//! | `usage.rs` | du |
//! | `show.rs` | cat, head, hexdump, sha256sum, wc, cmp |
//! | `page.rs` | less, more, tail |
//! | `grep.rs` | grep |
//! | `stat.rs` | stat |
//! | `attributes.rs` | touch, truncate, fallocate |
//! | `owner.rs` | chmod, chown |
//! | `xattrs.rs` | getfattr, setfattr |
//! | `names.rs` | mkdir, rmdir, rm |
//! | `links.rs` | ln, readlink, mknod, mkfifo |
//! | `copy.rs` | cp, mv |
//! | `dd.rs` | dd |
//! | `disk.rs` | df, mount, umount, freeze, thaw, fsinfo, journal, sync |
//! | `memory.rs` | mmap, munmap, maps, peek, poke, ptwalk, free |
//! | `tasks.rs` | ps, run, wait, sleep, cpus |
//! | `machine.rs` | nfit, cpuid, dmesg, stats, date, uptime, selftest, crash |
//! | `shell.rs` | help, cd, pwd, echo, history, clear, true, false, poweroff |

mod attributes;
mod copy;
mod dd;
mod disk;
mod find;
mod grep;
mod links;
mod list;
mod machine;
mod memory;
mod names;
mod owner;
mod page;
mod shell;
mod show;
mod stat;
mod tasks;
mod tree;
mod usage;
mod xattrs;

use super::command::CommandSet;
use super::complete::owned;
use super::io;

/// Permissions that new files do not get, and that a change which names nobody leaves alone.
const UMASK: u16 = 0o022;

/// The commands that are no instruments.
pub(crate) const ROOM: CommandSet = CommandSet {
    groups: &[
        ("Files", list::COMMANDS),
        ("", find::COMMANDS),
        ("", tree::COMMANDS),
        ("", usage::COMMANDS),
        ("", show::COMMANDS),
        ("", page::COMMANDS),
        ("", grep::COMMANDS),
        ("", stat::COMMANDS),
        ("", attributes::COMMANDS),
        ("", owner::COMMANDS),
        ("", xattrs::COMMANDS),
        ("", names::COMMANDS),
        ("", links::COMMANDS),
        ("", copy::COMMANDS),
        ("", dd::COMMANDS),
        ("File systems", disk::COMMANDS),
        ("Mapped files", io::COMMANDS),
        ("", memory::COMMANDS),
        ("Tasks", tasks::COMMANDS),
        ("Machine", machine::COMMANDS),
        ("Shell", shell::COMMANDS),
    ],
    words: |kind| (kind == "CMD").then(|| owned(io::all().map(|command| command.name))),
};
