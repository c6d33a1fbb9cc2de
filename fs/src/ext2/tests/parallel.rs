//! Several threads at once: the counts agree afterwards, and nobody got another's block.

use super::*;
use crate::vfs::Rename;
use std::thread;

#[test]
fn threads_share_groups_directories_and_files() {
    let (machine, fs) = open(&mke2fs("64M", &["-g", "2048", "-N", "2048"]));
    let shared = root(&fs).create(b"shared", FileKind::File, 0o644).unwrap();
    shared.truncate(4 << 20).unwrap();
    let common = root(&fs).create(b"common", FileKind::Directory, 0o755).unwrap();
    let other = root(&fs).create(b"other", FileKind::Directory, 0o755).unwrap();
    thread::scope(|scope| {
        for number in 0..4u64 {
            let (fs, shared, common, other) = (&fs, &shared, &common, &other);
            scope.spawn(move || {
                let name = |step: u64| format!("{number}-{step}").into_bytes();
                for step in 0..150 {
                    let file = common.create(&name(step), FileKind::File, 0o644).unwrap();
                    file.write_at(step * 5000, &pattern(number, 20_000)).unwrap();
                    let page = (step * 7 + number * 3) % 1024;
                    let exclusive = shared.mapping().exclusive();
                    shared.look_up_for_write(exclusive.alloc_ok(), &Transaction::none(), page, 1).unwrap();
                    drop(exclusive);
                    match step % 4 {
                        0 => common.unlink(&name(step)).unwrap(),
                        1 => fs
                            .rename(common.ino(), &name(step), other.ino(), &name(step), Rename::Replace)
                            .unwrap(),
                        2 => {
                            let made =
                                other.create(&[&name(step)[..], b"d"].concat(), FileKind::Directory, 0o755);
                            fs.rename(
                                common.ino(),
                                &name(step),
                                made.unwrap().ino(),
                                b"inside",
                                Rename::Replace,
                            )
                            .unwrap();
                        }
                        _ => file.truncate(step * 10).unwrap(),
                    }
                    let mut back = vec![0; 20_000];
                    if step % 4 != 3 {
                        assert_eq!(file.read_at(step * 5000, &mut back).unwrap(), 20_000);
                        assert!(back == pattern(number, 20_000));
                    }
                }
            });
        }
    });
    drop((shared, common, other));
    assert!(!fs.met_errors());
    close(&machine, fs);
}

#[test]
fn directories_that_move_both_ways_do_not_wait_for_each_other() {
    let (machine, fs) = open(&mke2fs("16M", &[]));
    for name in ["a", "b", "c"] {
        root(&fs).create(name.as_bytes(), FileKind::Directory, 0o755).unwrap();
    }
    let inos = ["a", "b", "c"].map(|name| at(&fs, name).ino());
    thread::scope(|scope| {
        for number in 0..3usize {
            let (fs, inos) = (&fs, &inos);
            scope.spawn(move || {
                let names = [&b"a"[..], b"b", b"c"];
                let places = [2, inos[0], inos[1], inos[2]];
                let mut state = number as u64 + 1;
                let mut random = |below: usize| {
                    state =
                        state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (state >> 33) as usize % below
                };
                for _ in 0..2000 {
                    let name = names[random(3)];
                    // Whatever it answers, it answers.
                    let _ = fs.rename(places[random(4)], name, places[random(4)], name, Rename::Replace);
                }
            });
        }
    });
    assert!(!fs.met_errors());
    close(&machine, fs);
}
