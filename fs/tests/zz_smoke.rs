use crate::common::{Machine};
use fs::pmem::ram::Ram;
use fs::vfs::{FileKind, MountOptions, Inode, FileSystem, InodeRef};
use fs::registry;
use std::ops::ControlFlow;
use std::collections::BTreeMap;

fn walk(fs: &dyn FileSystem<Machine>, dir: &InodeRef<Machine>, at: &std::path::Path, out: &mut BTreeMap<String, u64>) {
    let mut list = Vec::new();
    dir.read_dir(0, &mut |e| { list.push((String::from_utf8_lossy(e.name).into_owned(), e.ino)); ControlFlow::Continue(()) }).expect("read_dir");
    for (name, ino) in list {
        if name == "." || name == ".." { continue; }
        let inode = dir.lookup(name.as_bytes()).unwrap_or_else(|e| panic!("{at:?}/{name}: {e}"));
        assert_eq!(inode.ino(), ino);
        let real = at.join(&name);
        match inode.kind() {
            FileKind::Directory => walk(fs, &inode, &real, out),
            FileKind::File => {
                let mut data = vec![0; inode.attr().size as usize];
                let n = inode.read_at(0, &mut data).unwrap_or_else(|e| panic!("{real:?}: {e}"));
                assert_eq!(n, data.len());
                if let Ok(expected) = std::fs::read(&real) { assert!(expected == data, "{real:?}"); out.insert(real.display().to_string(), n as u64); }
            }
            FileKind::Symlink => { assert_eq!(inode.read_link().expect("link"), std::os::unix::ffi::OsStrExt::as_bytes(std::fs::read_link(&real).expect("x").as_os_str())); }
            _ => {}
        }
        for x in inode.list_xattrs().expect("xattrs") { inode.xattr(&x).expect("value"); }
    }
}

#[test]
fn smoke() {
    let bytes = std::fs::read("/tmp/smoke.img").expect("img");
    let machine = Machine::new(Ram::from_bytes(&bytes)); let back = machine.clone();
    let fs = registry::mount(machine, MountOptions { read_only: std::env::var("RO").is_ok(), ..MountOptions::default() }).unwrap_or_else(|e| panic!("{e}"));
    fs.mount_notes(&mut |n| println!("{n}"));
    println!("{} {:?}", fs.type_name(), fs.stat_fs());
    let mut out = BTreeMap::new();
    walk(&*fs, &fs.root().expect("root"), std::path::Path::new("/tmp/smoke"), &mut out);
    println!("{} files, {} bytes", out.len(), out.values().sum::<u64>());
    fs.unmount().expect("unmount");
    std::fs::write("/tmp/smoke.after", back.ram.to_bytes()).expect("w");
}
