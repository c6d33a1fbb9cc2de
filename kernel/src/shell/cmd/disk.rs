//! Commands about file systems: df, mount, umount, freeze, thaw, fsinfo, journal, sync.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Write;

use cli::date::DateTime;
use cli::human;
use cli::opts::Opts;
use cli::table::{CellAlign, Table};
use fs::vfs::Field;

use super::super::command::{ANY, Command, CommandResult, Failure, On, complaint};
use super::super::{Shell, text};
use super::machine::show_values;
use crate::counters;
use crate::mounts::{self, Mount, MountRequest};

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "df",
        operands: "[FILE...]",
        about: "show the space of file systems",
        options: &[("-h", "sizes with K, M, G"), ("-i", "inodes instead of blocks")],
        spec: "hik",
        count: 0..=ANY,
        run: df,
    },
    Command {
        name: "mount",
        operands: "[DEVICE DIRECTORY]",
        about: "show what is mounted, or mount pmem0, pmem1, ...; with -o remount and ro, rw or a protocol change a mount",
        options: &[
            (
                "-o OPTIONS",
                "ro, rw, remount, protocol=NAME (Tab lists them), sb=KIB (a copy of the superblock), errors=continue|remount-ro|panic; several with commas",
            ),
            ("-r", "as -o ro"),
            ("-t TYPE", "of this type, whatever its magic number; alone: show those of this type"),
        ],
        spec: "o:rt:",
        count: 0..=2,
        run: mount,
    },
    Command {
        name: "umount",
        operands: "DEVICE|DIRECTORY...",
        about: "write everything back and mark the image clean",
        options: &[],
        spec: "",
        count: 1..=ANY,
        run: |sh, opts| sh.for_each("umount", opts.operands(), umount),
    },
    Command {
        name: "freeze",
        operands: "DEVICE|DIRECTORY...",
        about: "make changes wait, so that the image stays as it is, clean, until thaw",
        options: &[],
        spec: "",
        count: 1..=ANY,
        run: |sh, opts| {
            sh.for_each("freeze", opts.operands(), |sh, name| mount_of(sh, name)?.fs.freeze().on(name))
        },
    },
    Command {
        name: "thaw",
        operands: "DEVICE|DIRECTORY...",
        about: "let changes go on after freeze",
        options: &[],
        spec: "",
        count: 1..=ANY,
        run: |sh, opts| {
            sh.for_each("thaw", opts.operands(), |sh, name| mount_of(sh, name)?.fs.thaw().on(name))
        },
    },
    Command {
        name: "fsinfo",
        operands: "[DEVICE|DIRECTORY]",
        about: "show what the superblock says, as tune2fs -l does, and what was repaired",
        options: &[],
        spec: "",
        count: 0..=1,
        run: fsinfo,
    },
    Command {
        name: "journal",
        operands: "[DEVICE|PATH]",
        about: "show what is in the journal of a file system, and what was counted of journals",
        options: &[("-j, --json", "as one JSON object")],
        spec: "j json=j",
        count: 0..=1,
        run: journal,
    },
    Command {
        name: "sync",
        operands: "[FILE...]",
        about: "make everything durable, or what was stored to files",
        options: &[],
        spec: "",
        count: 0..=ANY,
        run: sync,
    },
];

/// `used` of `total` in percent, rounded up, as df has it.
fn percent(used: u64, total: u64) -> String {
    match total {
        0 => "-".to_string(),
        _ => alloc::format!("{}%", (u128::from(used) * 100).div_ceil(total.into())),
    }
}

fn df(sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let mut table = Table::new(&[
        CellAlign::Left,
        CellAlign::Right,
        CellAlign::Right,
        CellAlign::Right,
        CellAlign::Right,
        CellAlign::Left,
    ])
    .gap(1);
    let table = table.row(match (opts.has('i'), opts.has('h')) {
        (true, _) => ["Filesystem", "Inodes", "IUsed", "IFree", "IUse%", "Mounted on"],
        (_, true) => ["Filesystem", "Size", "Used", "Avail", "Use%", "Mounted on"],
        _ => ["Filesystem", "1K-blocks", "Used", "Available", "Use%", "Mounted on"],
    });
    let mut add = |mount: &Mount| {
        let stat = mount.fs.stat_fs();
        let bytes = |blocks: u64| match opts.has('h') {
            true => human::short(blocks.saturating_mul(stat.block_size)).to_string(),
            false => (blocks.saturating_mul(stat.block_size) / 1024).to_string(),
        };
        let point = text::decode(&mount.point());
        let row = if opts.has('i') {
            let used = stat.inodes.saturating_sub(stat.inodes_free);
            let counts = [stat.inodes, used, stat.inodes_free].map(|count| count.to_string());
            let [all, busy, free] = counts;
            [mount.device.clone(), all, busy, free, percent(used, stat.inodes), point]
        } else {
            let used = stat.blocks.saturating_sub(stat.blocks_free);
            let [all, busy, free] = [stat.blocks, used, stat.blocks_available].map(bytes);
            let share = percent(used, used.saturating_add(stat.blocks_available));
            [mount.device.clone(), all, busy, free, share, point]
        };
        table.row(row);
    };
    let outcome = if opts.operands().is_empty() {
        mounts::all().iter().for_each(|mount| add(mount));
        Ok(())
    } else {
        sh.for_each("df", opts.operands(), |sh, path| {
            add(&sh.find(path)?.mount);
            Ok(())
        })
    };
    if table.rows() > 1 {
        write!(sh.out, "{table}")?;
    }
    outcome
}

fn mount(sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let mut options = MountRequest::default();
    for (option, value) in opts.options() {
        match option {
            'r' => options.parse("ro"),
            'o' => options.parse(value.unwrap_or_default()),
            _ => Ok(()),
        }
        .map_err(complaint)?;
    }
    let kind = opts.value('t');
    if let Some(kind) = kind.filter(|_| !opts.operands().is_empty()) {
        options.set_type(kind).map_err(complaint)?;
    }
    if options.remount {
        let [name] = opts.operands() else {
            return Err(complaint("-o remount takes one device or mount point"));
        };
        let mount = mounts::find(name, sh.here(), &text::encode(name)).on(name)?;
        if options == (MountRequest { remount: true, kind: options.kind, ..MountRequest::default() }) {
            return Err(complaint(
                "-o remount: nothing to change (ro, rw, protocol=PROTOCOL or errors=POLICY)",
            ));
        }
        return mounts::remount(&mount, options).on(name);
    }
    let [device, point] = opts.operands() else {
        if !opts.operands().is_empty() || opts.has('o') || opts.has('r') {
            return Err(complaint("missing operand"));
        }
        let wanted = |mount: &&Arc<Mount>| {
            kind.is_none_or(|kind| matches!(kind, "auto") || kind == mount.fs.type_name())
        };
        for mount in mounts::all().iter().filter(wanted) {
            let mode = if mount.read_only() { "ro" } else { "rw" };
            let point = text::decode(&mount.point());
            let (device, protocol) = (&mount.device, mount.protocol());
            let kind = mount.fs.type_name();
            write!(sh.out, "{device} on {point} type {kind} ({mode},protocol={protocol}")?;
            if mount.offset != 0 {
                write!(sh.out, ",offset={}", mount.offset)?;
            }
            writeln!(sh.out, ")")?;
        }
        return Ok(());
    };
    // The first mount makes `/`: there is nothing yet to look the mount point up in.
    if !mounts::all().is_empty() {
        let place = sh.find(point)?;
        place.file.expect_directory().on(point)?;
    }
    mounts::mount(device, sh.here(), &text::encode(point), options).on(device)
}

/// The mount that holds `name`, or that `name` is the device of.
fn mount_of(sh: &Shell, name: &str) -> Result<Arc<Mount>, Failure> {
    match sh.find(name) {
        Ok(place) => Ok(place.mount),
        Err(_) => mounts::find(name, sh.here(), &text::encode(name)).on(name),
    }
}

fn umount(sh: &mut Shell, name: &str) -> CommandResult {
    let mount = mounts::find(name, sh.here(), &text::encode(name)).on(name)?;
    if !mount.is_root() {
        return mounts::unmount(mount, sh.here()).on(name);
    }
    // A handle to where we are would hold it.
    let cwd = core::mem::replace(&mut sh.cwd, "/".to_string());
    sh.here = None;
    let done = mounts::unmount(mount, None).on(name);
    if done.is_err() {
        // If it was removed, nobody can go back.
        let _ = sh.change_dir(&cwd);
    }
    done
}

fn fsinfo(sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let name = opts.operands().first().copied().unwrap_or("/");
    let mount = mounts::find(name, sh.here(), &text::encode(name)).on(name)?;
    let mut lines = String::new();
    let each = &mut |name: &'static str, field: Field| {
        let value = match field {
            Field::Text(text) => text,
            Field::Time(0) => "n/a".to_string(),
            Field::Time(time) => DateTime::from_epoch(time as i64).ctime().to_string(),
        };
        lines.push_str(&alloc::format!("{name:<26}{value}\n"));
    };
    mount.fs.describe(each).on(name)?;
    write!(sh.out, "{lines}")?;
    Ok(())
}

fn journal(sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let name = opts.operands().first().copied().unwrap_or("/");
    let mount = mount_of(sh, name)?;
    let mode = if mount.read_only() { "ro" } else { "rw" };
    let none = || alloc::format!("no journal is written there ({}, {mode})", mount.fs.type_name());
    let info = mount.fs.journal_info().ok_or_else(none).on(name)?;
    let mut values = Vec::new();
    info.each(|name, value| values.push((name, value)));
    counters::total().each(|name, value| {
        if name.starts_with("journal.") {
            values.push((name, value));
        }
    });
    show_values(sh, opts.has('j'), &values)
}

fn sync(sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    if !opts.operands().is_empty() {
        return sh.for_each("sync", opts.operands(), |sh, path| {
            let file = sh.find(path)?.file;
            fs::dax::fsync(&*file).map(|_| ()).on(path)
        });
    }
    let failures = mounts::sync_all();
    for (device, error) in &failures {
        sh.complain("sync", &alloc::format!("{device}: {error}"));
    }
    if failures.is_empty() { Ok(()) } else { Err(Failure::Said) }
}
