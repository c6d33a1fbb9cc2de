//! Names made, removed and moved.

use super::*;
use crate::vfs::Rename;
use std::collections::BTreeMap;

#[test]
fn a_big_directory_fills_empties_and_reads_in_steps() {
    let (machine, fs) = open(&mke2fs("64M", &["-N", "8192"]));
    let before = fs.stat_fs();
    let dir = root(&fs).create(b"big", FileKind::Directory, 0o755).unwrap();
    let name = |index: usize| format!("{index}{}", "n".repeat(index % 200)).into_bytes();
    for index in 0..3000 {
        dir.create(&name(index), FileKind::File, 0o644).unwrap();
    }
    // One entry a call.
    let (mut from, mut count) = (0, 0);
    loop {
        let mut next = None;
        dir.read_dir(from, &mut |entry| {
            next = Some(entry.next);
            ControlFlow::Break(())
        })
        .unwrap();
        let Some(next) = next else { break };
        assert!(next > from);
        (from, count) = (next, count + 1);
    }
    assert_eq!(count, 3002);
    for index in (0..3000).filter(|index| index % 3 != 0) {
        dir.unlink(&name(index)).unwrap();
    }
    fs.sync().unwrap();
    for index in (0..3000).filter(|index| index % 3 == 1) {
        dir.create(&name(index), FileKind::Directory, 0o755).unwrap();
    }
    assert_eq!(dir.attr().links, 1002);
    assert_eq!(errno(root(&fs).rmdir(b"big")), Errno::NotEmpty);
    for index in 0..3000 {
        match index % 3 {
            0 => dir.unlink(&name(index)).unwrap(),
            1 => dir.rmdir(&name(index)).unwrap(),
            _ => assert_eq!(errno(dir.lookup(&name(index))), Errno::NotFound),
        }
    }
    assert_eq!(names(&dir), [".", ".."]);
    root(&fs).rmdir(b"big").unwrap();
    // Removed, but still held: nothing can be made in it.
    assert_eq!(errno(dir.create(b"x", FileKind::File, 0)), Errno::NotFound);
    drop(dir);
    assert_eq!(fs.stat_fs(), before);
    close(&machine, fs);
}

#[test]
fn an_unlinked_file_lives_until_its_last_handle_goes() {
    let (machine, fs) = open(&mke2fs("16M", &[]));
    let before = fs.stat_fs();
    let file = root(&fs).create(b"file", FileKind::File, 0o644).unwrap();
    file.write_at(0, &pattern(1, 100_000)).unwrap();
    root(&fs).unlink(b"file").unwrap();
    assert_eq!(errno(root(&fs).lookup(b"file")), Errno::NotFound);
    assert!(content(&file) == pattern(1, 100_000));
    file.write_at(100_000, b"more").unwrap();
    assert!(fs.stat_fs().blocks_free < before.blocks_free);
    drop(file);
    assert_eq!(fs.stat_fs(), before);
    close(&machine, fs);
}

#[test]
fn names_that_cannot_be_are_refused() {
    let (machine, fs) = open(&mke2fs("16M", &[]));
    let dir = root(&fs);
    let long = [b'x'; 256];
    for (name, want) in [
        (&b""[..], Errno::NotFound),
        (&long, Errno::NameTooLong),
        (b"a/b", Errno::Invalid),
        (b"\0", Errno::Invalid),
    ] {
        assert_eq!(errno(dir.lookup(name)), want);
        assert_eq!(errno(dir.create(name, FileKind::File, 0)), want);
        assert_eq!(errno(dir.unlink(name)), want);
        assert_eq!(errno(fs.rename(2, b"x", 2, name, Rename::Replace)), want);
    }
    assert_eq!(errno(dir.create(b".", FileKind::File, 0)), Errno::Exists);
    assert_eq!(errno(dir.rmdir(b".")), Errno::Invalid);
    assert_eq!(errno(dir.rmdir(b"..")), Errno::NotEmpty);
    assert_eq!(errno(dir.rmdir(b"none")), Errno::NotFound);
    assert_eq!(errno(dir.unlink(b"lost+found")), Errno::IsDirectory);
    let file = dir.create(&long[..255], FileKind::File, 0).unwrap();
    assert_eq!(errno(dir.create(&long[..255], FileKind::File, 0)), Errno::Exists);
    assert_eq!(errno(file.lookup(b"x")), Errno::NotDirectory);
    assert_eq!(errno(dir.rmdir(&long[..255])), Errno::NotDirectory);
    assert_eq!(errno(dir.read_at(0, &mut [0])), Errno::IsDirectory);
    assert_eq!(errno(dir.truncate(0)), Errno::IsDirectory);
    assert_eq!(errno(file.read_link()), Errno::Invalid);
    assert_eq!(errno(dir.create(b"device", FileKind::CharDevice, 0)), Errno::Invalid);
    drop((dir, file));
    assert!(!fs.met_errors());
    close(&machine, fs);
}

#[test]
fn rename_in_all_its_cases() {
    let (machine, fs) = open(&mke2fs("16M", &[]));
    let top = root(&fs);
    let dir = |path: &str| {
        let (parent, name) = path::parent(&top, path.as_bytes()).unwrap();
        parent.create(name, FileKind::Directory, 0o755).unwrap().ino()
    };
    let file = |path: &str, text: &[u8]| {
        let (parent, name) = path::parent(&top, path.as_bytes()).unwrap();
        let file = parent.create(name, FileKind::File, 0o644).unwrap();
        file.write_at(0, text).unwrap();
    };
    let mv = |old: &str, new: &str| -> Result<()> {
        let (old_dir, old) = path::parent(&top, old.as_bytes())?;
        let (new_dir, new) = path::parent(&top, new.as_bytes())?;
        fs.rename(old_dir.ino(), old, new_dir.ino(), new, Rename::Replace)
    };
    dir("/a");
    dir("/a/b");
    dir("/a/b/c");
    dir("/z");
    file("/f", b"f");
    file("/g", b"g");
    // Files: to a new name, over another, onto itself, across.
    mv("/f", "/a rather longer name than before").unwrap();
    mv("/a rather longer name than before", "/g").unwrap();
    assert_eq!(content(&at(&fs, "/g")), b"f");
    mv("/g", "/g").unwrap();
    mv("/g", "/a/b/g").unwrap();
    assert_eq!(content(&at(&fs, "/a/b/g")), b"f");
    // Directories: into themselves, over what is above them, over what is not empty.
    assert_eq!(errno(mv("/a", "/a/x")), Errno::Invalid);
    assert_eq!(errno(mv("/a", "/a/b/c/x")), Errno::Invalid);
    assert_eq!(errno(mv("/a/b/c", "/a")), Errno::NotEmpty);
    assert_eq!(errno(mv("/a/b/c", "/a/b")), Errno::NotEmpty);
    assert_eq!(errno(mv("/z", "/a")), Errno::NotEmpty);
    assert_eq!(errno(mv("/z", "/a/b/g")), Errno::NotDirectory);
    assert_eq!(errno(mv("/a/b/g", "/z")), Errno::IsDirectory);
    assert_eq!(errno(mv("/none", "/z")), Errno::NotFound);
    assert_eq!(errno(fs.rename(999_999, b"x", 2, b"y", Rename::Replace)), Errno::NotFound);
    // Over an empty one, and across with `..` following.
    mv("/a/b/c", "/z").unwrap();
    assert_eq!(at(&fs, "/z/..").ino(), 2);
    mv("/a/b", "/z/b").unwrap();
    assert_eq!(at(&fs, "/z/b/..").ino(), at(&fs, "/z").ino());
    assert_eq!((at(&fs, "/a").attr().links, at(&fs, "/z").attr().links), (2, 3));
    mv("/z/b/g", "/g").unwrap();
    mv("/z/b", "/c").unwrap();
    drop(top);
    assert!(!fs.met_errors());
    close(&machine, fs);
}

#[test]
fn random_operations_agree_with_a_model_and_e2fsck() {
    for seed in 1..=12u64 {
        let options: &[&str] = match seed % 4 {
            0 => &["-O", "^filetype"],
            1 => &["-I", "128"],
            2 => &["-g", "256", "-N", "256"],
            _ => &[],
        };
        let (machine, fs) = open(&mke2fs("16M", options));
        let mut model: BTreeMap<String, Option<Vec<u8>>> = BTreeMap::new();
        let mut state = seed;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for step in 0..600 {
            random_step(&fs, &mut model, step, &mut random);
        }
        for (name, content_of) in &model {
            let node = at(&fs, name);
            match content_of {
                Some(bytes) => assert!(content(&node) == *bytes, "seed {seed}: {name}"),
                None => assert_eq!(node.kind(), FileKind::Directory),
            }
        }
        assert!(!fs.met_errors(), "seed {seed}");
        let image = close(&machine, fs);
        // And again after a second mount.
        let (machine, fs) = open(&image);
        for (name, content_of) in model.iter().rev() {
            let (parent, last) = path::parent(&root(&fs), name.as_bytes()).unwrap();
            match content_of {
                Some(bytes) => {
                    assert!(content(&at(&fs, name)) == *bytes, "seed {seed}: {name}");
                    parent.unlink(last).unwrap();
                }
                None => parent.rmdir(last).unwrap(),
            }
        }
        assert_eq!(names(&root(&fs)), [".", "..", "lost+found"]);
        close(&machine, fs);
    }
}

/// One step of a random walk, done here and in the model.
fn random_step(
    fs: &Fs,
    model: &mut BTreeMap<String, Option<Vec<u8>>>,
    step: u64,
    random: &mut impl FnMut(u64) -> u64,
) {
    let top = root(fs);
    let pick = |model: &BTreeMap<String, Option<Vec<u8>>>, dirs: bool, at: u64| {
        let fitting = model.iter().filter(|(_, content)| content.is_none() == dirs);
        let all: Vec<_> = fitting.map(|(name, _)| name.clone()).collect();
        (!all.is_empty()).then(|| all[at as usize % all.len()].clone())
    };
    let home = pick(model, true, random(100)).filter(|_| random(3) > 0).unwrap_or_default();
    let fresh = format!("{home}/{}{}", step, "y".repeat(random(120) as usize));
    match random(10) {
        0 | 1 => {
            let (parent, name) = path::parent(&top, fresh.as_bytes()).unwrap();
            parent.create(name, FileKind::File, 0o644).unwrap();
            model.insert(fresh, Some(Vec::new()));
        }
        2 => {
            let (parent, name) = path::parent(&top, fresh.as_bytes()).unwrap();
            parent.create(name, FileKind::Directory, 0o755).unwrap();
            model.insert(fresh, None);
        }
        3..=5 => {
            let Some(name) = pick(model, false, random(100)) else { return };
            let (offset, len) = (random(120_000), 1 + random(30_000) as usize);
            let bytes = pattern(step, len);
            let done = match at(fs, &name).write_at(offset, &bytes) {
                Ok(done) => done,
                Err(Error::Op(Errno::NoSpace)) => return,
                Err(error) => panic!("{error}"),
            };
            let file = model.get_mut(&name).unwrap().as_mut().unwrap();
            file.resize(file.len().max(offset as usize + done), 0);
            file[offset as usize..offset as usize + done].copy_from_slice(&bytes[..done]);
        }
        6 => {
            let Some(name) = pick(model, false, random(100)) else { return };
            let size = random(150_000);
            at(fs, &name).truncate(size).unwrap();
            model.get_mut(&name).unwrap().as_mut().unwrap().resize(size as usize, 0);
        }
        7 => {
            let Some(name) = pick(model, false, random(100)) else { return };
            let (parent, last) = path::parent(&top, name.as_bytes()).unwrap();
            parent.unlink(last).unwrap();
            model.remove(&name);
        }
        8 => {
            let Some(name) = pick(model, true, random(100)) else { return };
            let (parent, last) = path::parent(&top, name.as_bytes()).unwrap();
            let prefix = format!("{name}/");
            if model.keys().any(|other| other.starts_with(&prefix)) {
                assert_eq!(errno(parent.rmdir(last)), Errno::NotEmpty);
            } else {
                parent.rmdir(last).unwrap();
                model.remove(&name);
            }
        }
        _ => {
            let dirs = random(2) == 0;
            let Some(name) = pick(model, dirs, random(100)) else { return };
            let over = pick(model, dirs, random(100)).filter(|_| random(2) == 0);
            let goal = over.unwrap_or(fresh);
            let (old_dir, old) = path::parent(&top, name.as_bytes()).unwrap();
            let (new_dir, new) = path::parent(&top, goal.as_bytes()).unwrap();
            let result = fs.rename(old_dir.ino(), old, new_dir.ino(), new, Rename::Replace);
            let (prefix, goal_prefix) = (format!("{name}/"), format!("{goal}/"));
            if goal == name {
                result.unwrap();
            } else if goal.starts_with(&prefix) {
                assert_eq!(errno(result), Errno::Invalid);
            } else if model.keys().any(|other| other.starts_with(&goal_prefix)) {
                assert_eq!(errno(result), Errno::NotEmpty);
            } else {
                result.unwrap();
                let moved: Vec<_> =
                    model.keys().filter(|key| **key == name || key.starts_with(&prefix)).cloned().collect();
                for key in moved {
                    let content = model.remove(&key).unwrap();
                    model.insert(format!("{goal}{}", &key[name.len()..]), content);
                }
            }
        }
    }
}
