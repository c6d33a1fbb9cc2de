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
//! | `disk.rs` | df, mount, umount, freeze, thaw, fsinfo, sync |
//! | `poison.rs` | poison |
//! | `memory.rs` | mmap, munmap, maps, peek, poke, ptwalk, free |
//! | `bench/` | bench |
//! | `trace.rs`, `race.rs` | trace, race |
//! | `fsx.rs` | fsx |
//! | `exercise/` | exercise |
//! | `tasks.rs` | ps, run, wait, sleep, cpus |
//! | `machine.rs` | nfit, cpuid, dmesg, stats, date, uptime, crash |
//! | `shell.rs` | help, cd, pwd, echo, history, clear, true, false, poweroff |

mod attributes;
pub(super) mod bench;
mod copy;
mod dd;
mod disk;
pub(super) mod exercise;
mod find;
mod fsx;
mod grep;
mod links;
mod list;
mod machine;
mod memory;
mod names;
mod owner;
mod page;
mod poison;
mod race;
mod shell;
mod show;
mod stat;
mod tasks;
mod trace;
mod tree;
mod usage;
mod xattrs;

use super::command::Command;
pub(super) use stat::device_number;

/// Permissions that new files do not get, and that a change which names nobody leaves alone.
const UMASK: u16 = 0o022;

/// Every group, in the order in which `help` shows them.
pub(super) const GROUPS: &[(&str, &[Command])] = &[
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
    ("", poison::COMMANDS),
    ("Mapped files", super::io::COMMANDS),
    ("", memory::COMMANDS),
    ("", fsx::COMMANDS),
    ("", exercise::COMMANDS),
    ("Tasks", tasks::COMMANDS),
    ("Machine", machine::COMMANDS),
    ("", bench::COMMANDS),
    ("", trace::COMMANDS),
    ("", race::COMMANDS),
    ("Shell", shell::COMMANDS),
];
