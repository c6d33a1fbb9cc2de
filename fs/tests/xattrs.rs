//! Extended attributes: against a map in memory, against debugfs and Linux, through crashes, and where an
//! image lies.

use crate::common;
use crate::common::layout::{Layout, u32_at};
use crate::common::linux::LinuxMount;
use crate::common::tape::Tape;
use crate::common::{Image, Machine, Rng, Scratch, at, create, mkdir, mount, pattern, unlink, write};
use fs::ext::layout::*;
use fs::ext2::Ext2;
use fs::platform::Platform;
use fs::pmem::ram::Ram;
use fs::vfs::{FileSystem, Inode, InodeRef, SetXattr};
use fs::{Errno, Error, Result};
use std::collections::BTreeMap;
use std::process::{Command, Output};
use std::sync::Arc;
use tests::image::tool;

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// Every combination that the format has: bytes in a block, bytes in an inode.
const SIZES: [(&str, &str); 6] =
    [("1024", "128"), ("1024", "1024"), ("2048", "256"), ("4096", "128"), ("4096", "256"), ("4096", "1024")];

fn image(block: &str, inode: &str) -> Image {
    Image::with(Scratch::new(), 256, &["-b", block, "-I", inode, "-N", "64"])
}

fn run(command: &str, args: &[&str]) -> Output {
    tool(command).args(args).output().unwrap_or_else(|error| panic!("{command}: {error}"))
}

/// Has debugfs change an image.
fn debugfs(image: &Image, request: &str) -> String {
    let output = run("debugfs", &["-w", "-R", request, image.path().to_str().expect("a plain path")]);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(errors.lines().all(|line| line.starts_with("debugfs 1.")), "{request}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// All attributes.
fn all<P: Platform>(inode: &dyn Inode<P>) -> Map {
    let names = inode.list_xattrs().expect("the names");
    let map: Map = names.iter().map(|name| (name.clone(), inode.xattr(name).expect("a value"))).collect();
    assert_eq!(map.len(), names.len(), "a name is listed twice");
    map
}

fn set<P: Platform>(inode: &InodeRef<P>, name: &str, value: &[u8]) {
    inode
        .set_xattr(name.as_bytes(), value, SetXattr::Any)
        .unwrap_or_else(|error| panic!("set {name}: {error}"));
}

fn mounted(bytes: &[u8]) -> Arc<Ext2<Machine>> {
    mount(Machine::new(Ram::from_bytes(bytes)))
}

#[test]
fn random_changes_agree_with_a_map_and_e2fsck() {
    for (seed, (block, inode)) in SIZES.into_iter().enumerate() {
        let image = image(block, inode);
        common::session(&image, |fs| {
            for n in 0..4 {
                write(&*create(fs, &format!("f{n}")), 0, &pattern(n, 5000));
            }
        });
        // Some that debugfs put into the inodes, where they have room.
        let mut maps = vec![Map::new(); 4];
        for (n, map) in maps.iter_mut().enumerate() {
            for (name, value) in [("user.own", "in the inode"), ("user.x", "1"), ("trusted.t", "xyz")] {
                debugfs(&image, &format!("ea_set f{n} {name} \"{value}\""));
                map.insert(name.into(), value.into());
            }
        }
        image.expect_clean();
        let mut rng = Rng::new(seed as u64 + 1);
        let (mut changed, mut full) = (0, 0);
        let block: usize = block.parse().expect("a number");
        for _ in 0..4 {
            common::session(&image, |fs| {
                let files: Vec<_> = (0..4).map(|n| at(fs, &format!("f{n}"))).collect();
                for _ in 0..400 {
                    let n = rng.below(4) as usize;
                    let (file, map) = (&files[n], &mut maps[n]);
                    let prefix = *rng.pick(&["user.", "trusted.", "security."]);
                    let known = *rng.pick(&["own", "x", "t", "y", "zz", "long name with a dot. and ü"]);
                    let name = format!("{prefix}{known}").into_bytes();
                    let len = if rng.one_in(6) { rng.below(block as u64 / 2) } else { rng.below(40) };
                    let value = pattern(rng.draw(), len as usize);
                    let there = map.contains_key(&name);
                    let what = rng.below(5);
                    let result = match what {
                        0 | 1 => file.set_xattr(&name, &value, SetXattr::Any),
                        2 => file.set_xattr(&name, &value, SetXattr::Create),
                        3 => file.set_xattr(&name, &value, SetXattr::Replace),
                        _ => file.remove_xattr(&name),
                    };
                    let expected: Result<()> = match what {
                        2 if there => Err(Errno::Exists.into()),
                        3 | 4 if !there => Err(Errno::NoData.into()),
                        _ => Ok(()),
                    };
                    if result == Err(Errno::NoSpace.into()) && expected.is_ok() {
                        let sum: usize = map.iter().map(|(name, value)| 24 + name.len() + value.len()).sum();
                        assert!(sum + 24 + name.len() + value.len() > block / 2, "{sum} bytes, and no space");
                        full += 1;
                    } else {
                        assert_eq!(result, expected, "{what} {}", String::from_utf8_lossy(&name));
                        if result.is_ok() {
                            changed += 1;
                            if what == 4 {
                                map.remove(&name)
                            } else {
                                map.insert(name, value)
                            };
                        }
                    }
                    assert_eq!(&all(&**file), map);
                }
            });
            // debugfs reads the same.
            for (n, map) in maps.iter().enumerate() {
                for (name, value) in map {
                    let name = String::from_utf8_lossy(name);
                    let text = image.debugfs(&format!("ea_get -x f{n} \"{name}\""));
                    let hex: String = value.iter().map(|byte| format!("{byte:02x} ")).collect();
                    assert!(text.replace('\n', " ").contains(hex.trim_end()), "{name}: {text} {hex}");
                }
                let list = image.debugfs(&format!("ea_list f{n}"));
                assert_eq!(list.lines().filter(|line| line.starts_with("  ")).count(), map.len(), "{list}");
            }
        }
        assert!(changed > 500, "{changed} changes, {full} times full");
        // With the files their blocks go too.
        common::session(&image, |fs| (0..4).for_each(|n| unlink(fs, &format!("f{n}")).expect("unlink")));
    }
}

#[test]
fn what_debugfs_put_into_an_inode_is_read_changed_in_place_or_moved_and_removed() {
    for (block, inode) in [("4096", "256"), ("1024", "1024"), ("4096", "1024")] {
        let image = image(block, inode);
        common::session(&image, |fs| drop(create(fs, "f")));
        debugfs(&image, "ea_set f user.a alpha");
        debugfs(&image, "ea_set f user.b beta");
        common::session(&image, |fs| {
            let f = at(fs, "f");
            assert_eq!(f.attr().blocks, 0, "debugfs put them elsewhere");
            set(&f, "user.a", b"ALPHA");
            assert_eq!(f.attr().blocks, 0, "what fits into the inode stays there");
            assert_eq!(f.xattr(b"user.a").as_deref(), Ok(&b"ALPHA"[..]));
        });
        let long = pattern(1, 700);
        common::session(&image, |fs| {
            let f = at(fs, "f");
            set(&f, "user.a", &long);
            assert_eq!(f.xattr(b"user.a").as_deref(), Ok(&long[..]));
            assert_eq!(f.xattr(b"user.b").as_deref(), Ok(&b"beta"[..]));
        });
        common::session(&image, |fs| {
            let f = at(fs, "f");
            f.remove_xattr(b"user.b").expect("remove");
            assert_eq!(all(&*f), Map::from([(b"user.a".to_vec(), long.clone())]));
            f.remove_xattr(b"user.a").expect("remove");
            assert_eq!((all(&*f), f.attr().blocks), (Map::new(), 0));
        });
    }
}

/// Mounts an image with Linux, lets `script` (Python) work on it in that folder, and unmounts. `None` if that
/// is not possible here.
fn with_linux(image: &Image, script: &str) -> Option<String> {
    if Command::new("python3").arg("-V").output().is_err() {
        println!("skipped: there is no python3");
        return None;
    }
    let mount = match LinuxMount::new(image, "rw") {
        Ok(mount) => mount,
        Err(why) => {
            println!("skipped: no ext2 can be mounted here (mount -o loop, as root): {why}");
            return None;
        }
    };
    let output = Command::new("python3").current_dir(mount.root()).args(["-c", script]).output();
    mount.unmount();
    let output = output.expect("python3");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn linux_reads_ours_and_we_read_linux() {
    for (block, inode) in SIZES {
        let image = image(block, inode);
        let value = pattern(3, 300);
        common::session(&image, |fs| {
            let (f, d) = (create(fs, "f"), mkdir(fs, "d"));
            set(&f, "user.a", &value);
            set(&f, "user.empty", b"");
            set(&f, "trusted.\u{fc}", b"not ASCII");
            set(&f, "security.x", b"y");
            set(&d, "user.of a directory", b"d");
            set(&create(fs, "g"), "user.gone", b"soon");
        });
        let script = "import os
for path in 'fd':
    for name in sorted(os.listxattr(path)): print(path, name, os.getxattr(path, name).hex())
os.setxattr('f', 'user.a', b'changed')
os.setxattr('f', 'user.new', bytes(range(200)))
os.removexattr('f', 'security.x')
os.removexattr('g', 'user.gone')
for name in ('s1', 's2', 's3'):
    open(name, 'w').close()
    os.setxattr(name, 'user.same', b'shared by all')";
        let Some(text) = with_linux(&image, script) else { return };
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let expected = [
            format!("f security.x {}", hex(b"y")),
            format!("f trusted.\u{fc} {}", hex(b"not ASCII")),
            format!("f user.a {}", hex(&value)),
            "f user.empty ".into(),
            format!("d user.of a directory {}", hex(b"d")),
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected, "blocks of {block}, inodes of {inode}");
        image.expect_clean();
        common::session(&image, |fs| {
            let map = all(&*at(fs, "f"));
            assert_eq!(map[&b"user.a"[..]], b"changed");
            assert_eq!(map[&b"user.new"[..]], (0..200).collect::<Vec<u8>>());
            assert_eq!(map.len(), 4, "{:?}", map.keys());
            assert_eq!(all(&*at(fs, "g")), Map::new());
            // Linux has one block for the three of them: each leaves it in its way.
            for name in ["s1", "s2", "s3"] {
                assert_eq!(at(fs, name).xattr(b"user.same").as_deref(), Ok(&b"shared by all"[..]));
            }
            set(&at(fs, "s1"), "user.same", b"not any more");
            unlink(fs, "s2").expect("unlink");
            assert_eq!(at(fs, "s3").xattr(b"user.same").as_deref(), Ok(&b"shared by all"[..]));
        });
        common::session(&image, |fs| at(fs, "s3").remove_xattr(b"user.same").expect("remove"));
        let script = "import os; print(os.getxattr('s1', 'user.same').decode(), os.listxattr('s3'))";
        assert_eq!(with_linux(&image, script).as_deref(), Some("not any more []\n"));
    }
}

/// An image where `f` and `g` share a block of attributes.
fn shared() -> Image {
    let image = image("4096", "256");
    common::session(&image, |fs| {
        set(&create(fs, "f"), "user.same", &pattern(1, 500));
        drop(create(fs, "g"));
    });
    let bytes = image.bytes();
    let (f, _) = places(&bytes);
    let block = u32_at(&bytes, f + I_FILE_ACL);
    debugfs(&image, &format!("set_inode_field g file_acl {block}"));
    debugfs(&image, "set_inode_field g blocks 8");
    let mut bytes = image.bytes();
    bytes[block as usize * 4096 + 4] = 2;
    image.store_bytes(&bytes);
    image.expect_clean();
    image
}

/// The places of inodes 12 and 13, which are `f` and `g` in the order in which tests make them.
fn places(bytes: &[u8]) -> (u64, u64) {
    let layout = Layout::of(bytes);
    (layout.inode(bytes, 12), layout.inode(bytes, 13))
}

#[test]
fn a_shared_block_is_copied_on_write_and_goes_with_its_last_user() {
    let image = shared();
    let free = common::session(&image, |fs| fs.stat_fs().blocks_free);
    let old = pattern(1, 500);
    common::session(&image, |fs| {
        set(&at(fs, "f"), "user.same", b"new");
        assert_eq!(at(fs, "g").xattr(b"user.same").as_deref(), Ok(&old[..]));
        assert_eq!(fs.stat_fs().blocks_free, free - 1);
    });
    common::session(&image, |fs| {
        unlink(fs, "g").expect("unlink");
        assert_eq!(fs.stat_fs().blocks_free, free);
    });
    let image = shared();
    common::session(&image, |fs| {
        unlink(fs, "g").expect("unlink");
        assert_eq!(fs.stat_fs().blocks_free, free, "the other one still uses it");
        at(fs, "f").remove_xattr(b"user.same").expect("remove");
        assert_eq!(fs.stat_fs().blocks_free, free + 1);
    });
}

#[test]
fn after_a_crash_an_attribute_has_its_old_value_or_the_new_one() {
    type Work = (&'static str, fn(&InodeRef<Machine>) -> Result<()>);
    let long = || pattern(9, 600);
    let works: [Work; 7] = [
        ("a first one", |g| g.set_xattr(b"user.n", b"1", SetXattr::Any)),
        ("a short one, in place", |f| f.set_xattr(b"user.a", b"ALPHA", SetXattr::Any)),
        ("a long one", |f| f.set_xattr(b"user.a", &pattern(9, 600), SetXattr::Any)),
        ("another long one", |f| f.set_xattr(b"user.long", &pattern(8, 650), SetXattr::Any)),
        ("one more", |f| f.set_xattr(b"trusted.n", b"12345", SetXattr::Create)),
        ("one less", |f| f.remove_xattr(b"user.a")),
        ("the last one", |f| f.remove_xattr(b"user.long")),
    ];
    for own in [false, true] {
        let image = image("4096", "256");
        common::session(&image, |fs| {
            let f = create(fs, "f");
            set(&f, "user.long", &long());
            drop(create(fs, "g"));
        });
        if own {
            debugfs(&image, "ea_set f user.a alpha");
            debugfs(&image, "ea_set f user.z omega");
        } else {
            common::session(&image, |fs| set(&at(fs, "f"), "user.a", b"alpha"));
        }
        let images = [image.bytes(), shared().bytes()];
        for (n, (what, work)) in works.iter().enumerate() {
            for (is_shared, bytes) in [false, true].into_iter().zip(&images) {
                let file = if n == 0 && !is_shared { "g" } else { "f" };
                let (mut tape, rig) = Tape::record(bytes);
                let fs = mount(rig.clone());
                let inode = at(&fs, file);
                let before = all(&*inode);
                tape.rewind(&rig);
                if work(&inode).is_err() {
                    continue;
                }
                let after = all(&*inode);
                assert_ne!(before, after);
                let judge = Image::new(64);
                let mut seen = [0, 0];
                tape.crashes(20, |at_point, bytes| {
                    let machine = Machine::new(Ram::from_bytes(&bytes));
                    let fs = mount(machine.clone());
                    let map = all(&*at(&fs, file));
                    assert!(map == before || map == after, "{what} ({is_shared}), {at_point}: {map:?}");
                    let new = usize::from(map == after);
                    seen[new] += 1;
                    // Every so often e2fsck looks too: what leaked, the mount has found.
                    if seen[new] % 16 == 1 {
                        fs.unmount().expect("unmount");
                        judge.store_bytes(&machine.ram.to_bytes());
                        judge.judge().unwrap_or_else(|complaints| {
                            panic!("{what} ({is_shared}), {at_point}: {complaints}")
                        });
                    }
                });
                assert!(seen[0] > 0 && seen[1] > 0, "{what}: {seen:?}");
            }
        }
    }
}

#[test]
fn what_cannot_be_is_refused_with_the_errno_that_linux_gives() {
    let image = image("1024", "128");
    common::session(&image, |fs| {
        let f = create(fs, "f");
        let any = |name: &[u8], value: &[u8]| f.set_xattr(name, value, SetXattr::Any);
        let op = |errno: Errno| Err(Error::Op(errno));
        assert_eq!(any(b"", b"1"), op(Errno::Range));
        assert_eq!(any(&[b"user.".to_vec(), vec![b'n'; 251]].concat(), b"1"), op(Errno::Range));
        assert_eq!(any(b"user.", b"1"), op(Errno::Invalid));
        assert!(matches!(any(b"mine.x", b"1"), Err(Error::Unsupported(_))));
        assert!(matches!(any(b"system.posix_acl_access", b"1"), Err(Error::Unsupported(_))));
        assert!(matches!(f.xattr(b"mine.x"), Err(Error::Unsupported(_))));
        assert_eq!(f.xattr(b"user.x").map(|_| ()), op(Errno::NoData));
        assert_eq!(f.remove_xattr(b"user.x"), op(Errno::NoData));
        assert_eq!(any(b"user.x", &[0; 1024]), op(Errno::NoSpace));
        // Head, one entry of 16 + 1 bytes, the end of the list: what is left is the longest value.
        let most = 1024 - 32 - 20 - 4;
        assert_eq!(any(b"user.x", &vec![1; most + 1]), op(Errno::NoSpace));
        assert_eq!(any(b"user.x", &vec![1; most]), Ok(()));
        assert_eq!(any(b"user.y", b""), op(Errno::NoSpace));
        assert_eq!(f.xattr(b"user.x"), Ok(vec![1; most]));
        let ctime = f.attr().ctime;
        assert_eq!(any(&[b"user.".to_vec(), vec![b'n'; 250]].concat(), b""), op(Errno::NoSpace));
        f.remove_xattr(b"user.x").expect("remove");
        assert!(f.attr().ctime > ctime);
        assert_eq!(any(&[b"user.".to_vec(), vec![b'n'; 250]].concat(), b"1"), Ok(()));
    });
    debugfs(&image, "symlink s target");
    debugfs(&image, "set_inode_field f flags 0x10");
    common::session(&image, |fs| {
        let root = fs.root().expect("root");
        let s = root.lookup(b"s").expect("the link");
        let f = root.lookup(b"f").expect("the file");
        common::expect_errno(s.set_xattr(b"user.x", b"1", SetXattr::Any), Errno::NotPermitted);
        common::expect_errno(f.set_xattr(b"user.x", b"1", SetXattr::Any), Errno::NotPermitted);
        s.set_xattr(b"trusted.x", b"1", SetXattr::Any).expect("trusted attributes are for every kind");
        assert_eq!(s.read_link().as_deref(), Ok(&b"target"[..]), "a block of attributes is no target's");
    });
}

#[test]
fn a_full_disk_refuses_a_new_block_and_changes_what_is_there() {
    let image = Image::with(Scratch::new(), 64, &["-N", "16", "-m", "0"]);
    common::session(&image, |fs| {
        let (f, g) = (create(fs, "f"), create(fs, "g"));
        set(&f, "user.a", b"1");
        set(&f, "user.b", b"2");
        let big = create(fs, "big");
        while big.write_at(big.attr().size, &[7; 4096]).is_ok_and(|count| count == 4096) {}
        assert_eq!(fs.stat_fs().blocks_free, 0);
        common::expect_errno(g.set_xattr(b"user.a", b"1", SetXattr::Any), Errno::NoSpace);
        set(&f, "user.a", b"changed");
        f.remove_xattr(b"user.b").expect("remove");
        assert_eq!(all(&*f), Map::from([(b"user.a".to_vec(), b"changed".to_vec())]));
    });
}

#[test]
fn a_lying_image_is_refused_not_believed() {
    let image = image("1024", "256");
    common::session(&image, |fs| {
        set(&create(fs, "f"), "user.a", &pattern(1, 100));
        drop(create(fs, "g"));
    });
    debugfs(&image, "ea_set g user.own inside");
    let sound = image.bytes();
    // Blocks of 1 KiB: `Layout` counts in 4.
    let table = u64::from(u32_at(&sound, 2048 + 8)) * 1024;
    let (f, g) = (table + 11 * 256, table + 12 * 256);
    let block = u64::from(u32_at(&sound, f + I_FILE_ACL)) * 1024;
    assert_eq!(u32_at(&sound, block), XATTR_MAGIC);
    let own = g + 128 + 32;
    assert_eq!(u32_at(&sound, own), XATTR_MAGIC);
    let is_corrupt = |bytes: &[u8], name: &str| {
        let fs = mounted(bytes);
        let inode = at(&fs, name);
        let read = inode.list_xattrs().map(|_| ());
        let changed = inode.set_xattr(b"user.new", b"1", SetXattr::Any);
        matches!((read, changed), (Err(Error::Corrupt(_)), Err(Error::Corrupt(_)))) && fs.met_errors()
    };
    let put = |at: u64, value: u32| {
        let mut bytes = sound.clone();
        bytes[at as usize..at as usize + 4].copy_from_slice(&value.to_le_bytes());
        bytes
    };
    for (what, at, value, name) in [
        ("no magic", block, 0, "f"),
        ("two blocks", block + 8, 2, "f"),
        ("a value elsewhere", block + 32 + 4, 9, "f"),
        ("a value beyond the end", block + 32 + 8, 2000, "f"),
        ("a value without end", block + 32 + 8, u32::MAX, "f"),
        ("a value among the names", block + 32, 0x0020_0101, "f"),
        ("the superblock", f + I_FILE_ACL, 1, "f"),
        ("a free block", f + I_FILE_ACL, 1000, "f"),
        ("beyond the end", f + I_FILE_ACL, 1 << 30, "f"),
        ("a long extra part", g + 128, 200, "g"),
        ("an odd extra part", g + 128, 33, "g"),
        ("a value beyond the inode", own + 4 + 8, 200, "g"),
    ] {
        assert!(is_corrupt(&put(at, value), name), "{what}");
    }
    // Any byte of both may be anything: an error or an answer, never a panic, and nothing outside is touched.
    let mut rng = Rng::new(5);
    for _ in 0..3000 {
        let mut bytes = sound.clone();
        for _ in 0..1 + rng.below(3) {
            let at = if rng.one_in(2) { block + rng.below(64) } else { own + rng.below(96) };
            bytes[at as usize] = rng.draw() as u8;
        }
        let fs = mounted(&bytes);
        for name in ["f", "g"] {
            let inode = at(&fs, name);
            if let Ok(names) = inode.list_xattrs() {
                names.iter().for_each(|name| drop(inode.xattr(name)));
            }
            let _ = inode.set_xattr(b"user.a", &[1; 60], SetXattr::Any);
            let _ = inode.set_xattr(b"user.own", b"2", SetXattr::Any);
            let _ = inode.remove_xattr(b"user.a");
            drop(inode);
            let _ = unlink(&fs, name);
        }
    }
}

#[test]
fn revision_0_has_no_attributes() {
    let image = Image::with(Scratch::new(), 64, &["-r", "0"]);
    common::session(&image, |fs| {
        let f = create(fs, "f");
        assert_eq!(f.list_xattrs(), Ok(vec![]));
        assert!(matches!(f.set_xattr(b"user.a", b"1", SetXattr::Any), Err(Error::Unsupported(_))));
    });
}

#[test]
fn the_feature_is_noted_with_the_first_attribute() {
    let image = Image::with(Scratch::new(), 64, &["-O", "^ext_attr"]);
    common::session(&image, |fs| set(&create(fs, "f"), "user.a", b"1"));
    assert!(image.debugfs("stats -h").contains("ext_attr"));
}
