//! The commands, in groups. A new one is an entry in its group's table; a new group one line here.
//!
//! | file | commands |
//! |---|---|
//! | `list.rs` | ls |
//! | `show.rs` | cat, head, hexdump, sha256sum, wc |
//! | `attributes.rs` | stat, touch, truncate |
//! | `names.rs` | mkdir, rmdir, rm |
//! | `copy.rs` | cp, mv |
//! | `disk.rs` | df, mount, umount, sync |
//! | `memory.rs` | mmap, munmap, maps, peek, poke, ptwalk, free |
//! | `bench.rs` | bench |
//! | `fsx.rs` | fsx |
//! | `machine.rs` | nfit, cpuid, dmesg, stats, date, uptime, crash |
//! | `shell.rs` | help, cd, pwd, echo, history, clear, true, false, poweroff |

mod attributes;
mod bench;
mod copy;
mod disk;
mod fsx;
mod list;
mod machine;
mod memory;
mod names;
mod shell;
mod show;

use super::command::Command;
pub(super) use list::whole_mode;

/// Every group, in the order in which `help` shows them.
pub(super) const GROUPS: &[(&str, &[Command])] = &[
    ("Files", list::COMMANDS),
    ("", show::COMMANDS),
    ("", attributes::COMMANDS),
    ("", names::COMMANDS),
    ("", copy::COMMANDS),
    ("File systems", disk::COMMANDS),
    ("Mapped files", super::io::COMMANDS),
    ("", memory::COMMANDS),
    ("", fsx::COMMANDS),
    ("Machine", machine::COMMANDS),
    ("", bench::COMMANDS),
    ("Shell", shell::COMMANDS),
];
