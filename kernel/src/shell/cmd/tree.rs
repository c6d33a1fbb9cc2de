//! `tree`: a directory tree as a drawing.

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::{self, Vec};
use core::fmt::Write;

use cli::opts::Opts;
use fs::vfs::FileKind;

use super::super::command::{ANY, Command, CommandResult, Failure, On, complaint};
use super::super::{Shell, text};
use super::show::number;
use crate::mounts::Place;

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "tree",
    operands: "[DIRECTORY...]",
    about: "draw directory trees",
    options: &[
        ("-a", "names with a leading dot too"),
        ("-d", "directories only"),
        ("-L N", "not more than N deep"),
    ],
    spec: "adL:",
    count: 0..=ANY,
    run: tree,
}];

/// A directory that is being drawn.
struct DrawnDirectory {
    names: vec::IntoIter<(String, Place)>,
    /// What stands before each name in the directory.
    indent: String,
    path: String,
}

fn tree(sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let deepest = number(opts, 'L')?.unwrap_or(u64::MAX);
    if deepest == 0 {
        return Err(complaint("-L: at least 1"));
    }
    let operands = if opts.operands().is_empty() { &["."] } else { opts.operands() };
    let (mut dirs, mut files) = (0u64, 0u64);
    let mut failed = false;
    let outcome = sh.for_each("tree", operands, |sh, path| {
        let top = sh.find(path)?;
        top.file.expect_directory().on(path)?;
        let shown = sh.shown(path).into_owned();
        writeln!(sh.out, "{shown}")?;
        // A damaged image can have a directory in several places, or in itself.
        let mut seen = BTreeSet::from([(top.mount.id(), top.file.ino())]);
        let mut levels = Vec::from([level(sh, &top, path.to_string(), String::new(), opts, &mut failed)?]);
        while let Some(now) = levels.last_mut() {
            let Some((name, place)) = now.names.next() else {
                levels.pop();
                continue;
            };
            let last = now.names.len() == 0;
            let below = text::join(&now.path, &name);
            let branch = if last { "└── " } else { "├── " };
            let indent = alloc::format!("{}{}", now.indent, if last { "    " } else { "│   " });
            write!(sh.out, "{}{branch}{}", now.indent, sh.shown(&name).into_owned())?;
            if place.file.kind() == FileKind::Symlink
                && let Ok(target) = place.file.read_link()
            {
                let target = text::decode(&target);
                write!(sh.out, " -> {}", sh.shown(&target).into_owned())?;
            }
            writeln!(sh.out)?;
            if !place.is_directory() {
                files += 1;
                continue;
            }
            dirs += 1;
            if levels.len() as u64 >= deepest {
                continue;
            }
            let next = match seen.insert((place.mount.id(), place.file.ino())) {
                true => level(sh, &place, below, indent, opts, &mut failed),
                false => Err("the image is damaged: this directory is in more than one place").on(&below),
            };
            match next {
                Ok(next) => levels.push(next),
                Err(Failure::Complaint(why)) => {
                    sh.complain("tree", &why);
                    failed = true;
                }
                Err(other) => return Err(other),
            }
        }
        Ok(())
    });
    let plural =
        |count: u64, one: &str, more: &str| alloc::format!("{count} {}", if count == 1 { one } else { more });
    write!(sh.out, "\n{}", plural(dirs, "directory", "directories"))?;
    match opts.has('d') {
        true => writeln!(sh.out)?,
        false => writeln!(sh.out, ", {}", plural(files, "file", "files"))?,
    }
    outcome.and(if failed { Err(Failure::Said) } else { Ok(()) })
}

/// Reads a directory. A name in it that leads nowhere is reported, and sets `failed`.
fn level(
    sh: &mut Shell,
    dir: &Place,
    path: String,
    indent: String,
    opts: &Opts<'_>,
    failed: &mut bool,
) -> Result<DrawnDirectory, Failure> {
    let mut names = Vec::new();
    sh.entries(dir, &path, |sh, name, place| {
        if name.starts_with('.') && !opts.has('a') {
            return Ok(());
        }
        match place.on(&text::join(&path, &name)) {
            Ok(place) if place.is_directory() || !opts.has('d') => names.push((name, place)),
            Ok(_) => {}
            Err(Failure::Complaint(why)) => {
                sh.complain("tree", &why);
                *failed = true;
            }
            Err(other) => return Err(other),
        }
        Ok(())
    })?;
    names.sort_unstable_by(|(a, _), (b, _)| text::encode(a).cmp(&text::encode(b)));
    Ok(DrawnDirectory { names: names.into_iter(), indent, path })
}
