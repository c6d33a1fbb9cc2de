//! ext4 images of every format that mke2fs makes, filled by it or by Linux.

use super::fill::{Fill, fill};
use crate::common::linux::LinuxMount;
use crate::common::{Image, Scratch, pattern};
use std::fs::{File, remove_file, write};

/// One way to make an image.
pub(crate) struct Format {
    /// What tests call it.
    pub(crate) name: &'static str,
    kind: &'static str,
    options: &'static [&'static str],
    mib: u64,
    fill: Fill,
}

const FILL: Fill =
    Fill { block: 4096, names: 1500, extents: true, wide: true, far: false, values: false, special: true };

/// Four groups, and a journal that leaves room.
const fn large(name: &'static str, options: &'static [&'static str], fill: Fill) -> Format {
    Format { name, kind: "ext4", options, mib: 64, fill: Fill { block: 4096, ..fill } }
}

const fn small(name: &'static str, options: &'static [&'static str], fill: Fill) -> Format {
    Format { name, kind: "ext4", options, mib: 32, fill: Fill { block: 1024, ..fill } }
}

/// What a format of 4 KiB blocks starts with.
macro_rules! ext4 {
    ($($more:literal),*) => {
        &["-b", "4096", "-g", "4096", "-J", "size=4" $(, $more)*]
    };
}
/// The same for 1 KiB.
macro_rules! ext4_1k {
    ($($more:literal),*) => {
        &["-b", "1024", "-J", "size=2" $(, $more)*]
    };
}

/// Every format.
pub(crate) const FORMATS: &[Format] = &[
    large("Debian's defaults", ext4!("-O", "^orphan_file"), Fill { names: 10_000, ..FILL }),
    large("upstream's defaults", ext4!("-O", "orphan_file,metadata_csum_seed"), FILL),
    small("1 KiB", ext4_1k!(), Fill { names: 10_000, far: true, ..FILL }),
    small(
        "1 KiB, orphan_file",
        ext4_1k!("-O", "orphan_file,metadata_csum_seed"),
        Fill { names: 4500, ..FILL },
    ),
    Format {
        name: "2 KiB",
        kind: "ext4",
        options: &["-b", "2048", "-g", "4096", "-J", "size=2"],
        mib: 16,
        fill: Fill { block: 2048, ..FILL },
    },
    large("^metadata_csum", ext4!("-O", "^metadata_csum"), FILL),
    large("uninit_bg", ext4!("-O", "^metadata_csum,uninit_bg"), FILL),
    large("^64bit", ext4!("-O", "^64bit"), FILL),
    small("^extent", ext4_1k!("-O", "^extent,^64bit"), Fill { extents: false, far: true, ..FILL }),
    large("^dir_index", ext4!("-O", "^dir_index"), FILL),
    large("^flex_bg", ext4!("-O", "^flex_bg"), FILL),
    large("meta_bg", ext4!("-O", "meta_bg,^resize_inode"), FILL),
    small("meta_bg, ^flex_bg, 1 KiB", ext4_1k!("-g", "512", "-O", "meta_bg,^resize_inode,^flex_bg"), FILL),
    large("sparse_super2", ext4!("-O", "sparse_super2"), FILL),
    large("inline_data", ext4!("-O", "inline_data"), FILL),
    large("bigalloc", &["-b", "4096", "-C", "16384", "-J", "size=4", "-O", "bigalloc"], FILL),
    small("large_dir", ext4_1k!("-O", "large_dir"), Fill { names: 10_000, ..FILL }),
    large("ea_inode", ext4!("-O", "ea_inode"), Fill { values: true, ..FILL }),
    large("inodes of 128", ext4!("-I", "128"), Fill { wide: false, ..FILL }),
    large("inodes of 512", ext4!("-I", "512"), FILL),
    Format {
        name: "ext3",
        kind: "ext3",
        options: &["-b", "1024", "-J", "size=2"],
        mib: 32,
        fill: Fill { block: 1024, extents: false, far: true, ..FILL },
    },
    large("^has_journal", &["-b", "4096", "-g", "4096", "-O", "^has_journal"], FILL),
];

impl Format {
    /// An empty image.
    pub(crate) fn empty(&self) -> Image {
        Image::of_type(self.kind, Scratch::new(), self.mib << 8, self.options)
    }

    /// An image into which mke2fs copied a tree, with its directories indexed by e2fsck, attributes and
    /// unwritten blocks by debugfs: that takes no root.
    pub(crate) fn by_mke2fs(&self) -> Image {
        let scratch = Scratch::new();
        let tree = scratch.tree();
        fill(&tree, &Fill { special: false, ..self.fill });
        let tree = tree.to_str().expect("a plain path").to_owned();
        let image =
            Image::of_type(self.kind, scratch, self.mib << 8, &[self.options, &["-d", &tree]].concat());
        image.index_directories();
        image.debugfs_write(&format!("ea_set files/100 user.long {}", "x".repeat(500)));
        if self.fill.extents {
            image.debugfs_write("fallocate files/300000 3000 3200");
        }
        image
    }

    /// An image that Linux filled, which takes root.
    pub(crate) fn by_linux(&self) -> Image {
        let image = self.empty();
        on_linux(&image, |mount| fill(mount.root(), &self.fill));
        image
    }

    /// An image that Linux filled and was cut off from: its journal is to be replayed, files without a name
    /// were open.
    pub(crate) fn cut_off(&self) -> Image {
        let image = self.empty();
        on_linux(&image, |mount| {
            let root = mount.root();
            fill(root, &Fill { names: 300, ..self.fill });
            let open: Vec<_> = (0..5)
                .map(|number| {
                    let path = root.join(format!("open {number}"));
                    write(&path, pattern(number, 50_000)).expect("room");
                    File::open(path).expect("it is there")
                })
                .collect();
            File::open(root).and_then(|root| root.sync_all()).expect("sync");
            for number in 0..5 {
                remove_file(root.join(format!("open {number}"))).expect("it is there");
            }
            write(root.join("synced"), b"this is on the disk").expect("room");
            File::open(root.join("synced")).and_then(|file| file.sync_all()).expect("sync");
            write(root.join("not synced"), b"this is not").expect("room");
            mount.shut_down(false);
            drop(open);
        });
        image
    }
}

/// A copy of an image that Linux was cut off from, as Linux mounts it again and unmounts it.
pub(crate) fn recovered_by_linux(image: &Image) -> Image {
    let copy = image.copy();
    on_linux(&copy, |_| {});
    copy
}

/// Lets `work` change an image that Linux has mounted.
fn on_linux(image: &Image, work: impl FnOnce(&LinuxMount)) {
    let mount = LinuxMount::new(image, "rw").unwrap_or_else(|why| panic!("mount: {why}"));
    work(&mount);
    mount.unmount();
}
