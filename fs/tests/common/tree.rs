//! Everything that can be seen of a file system, by Linux or through our traits, to compare the two.

use super::linux::LinuxMount;
use super::{Image, names};
use fs::platform::{Platform, Timestamp};
use fs::vfs::{FileKind, FileSystem, Inode, State};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::UNIX_EPOCH;
use tests::image::{sha256, tool};

/// All that can be seen of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    kind: &'static str,
    mode: u32,
    owner: (u32, u32),
    links: u64,
    size: u64,
    /// Space taken, in units of 512 bytes.
    blocks: u64,
    device: (u32, u32),
    mtime: (i64, u32),
    atime: (i64, u32),
    ctime: (i64, u32),
    crtime: Option<(i64, u32)>,
    /// A symbolic link's target.
    target: Vec<u8>,
    /// The SHA-256 of a file's bytes.
    digest: String,
    /// Where a file's bytes are, up to its end.
    pieces: Vec<Piece>,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// Bytes of a file that follow each other in the image, too. What is in none is a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    offset: u64,
    len: u64,
    place: u64,
    unwritten: bool,
}

/// Everything below a root, by path.
pub(crate) type Tree = BTreeMap<Vec<u8>, Seen>;

/// What Linux sees in an image that it mounts read-only.
pub(crate) fn tree_of_linux(image: &Image) -> Tree {
    let mount = LinuxMount::new(image, "ro").unwrap_or_else(|why| panic!("mount -o ro: {why}"));
    let tree = tree_below(mount.root());
    mount.unmount();
    tree
}

/// What Linux sees in a folder that is the root of a file system.
pub(crate) fn tree_below(root: &Path) -> Tree {
    let (mut tree, mut files) = (Tree::new(), Vec::new());
    let mut left = vec![root.to_owned()];
    while let Some(path) = left.pop() {
        let metadata = path.symlink_metadata().expect("it was listed");
        let file_type = metadata.file_type();
        let rdev = metadata.rdev();
        let mut seen = Seen {
            mode: metadata.permissions().mode() & 0o7777,
            owner: (metadata.uid(), metadata.gid()),
            links: metadata.nlink(),
            size: metadata.size(),
            blocks: metadata.blocks(),
            mtime: (metadata.mtime(), metadata.mtime_nsec() as u32),
            atime: (metadata.atime(), metadata.atime_nsec() as u32),
            ctime: (metadata.ctime(), metadata.ctime_nsec() as u32),
            crtime: metadata.created().ok().map(|time| match time.duration_since(UNIX_EPOCH) {
                Ok(after) => (after.as_secs() as i64, after.subsec_nanos()),
                Err(before) => panic!("{}: made {:?} before 1970", path.display(), before.duration()),
            }),
            ..Seen::default()
        };
        let relative = path.strip_prefix(root).expect("below the root").as_os_str().as_bytes().to_vec();
        seen.kind = if file_type.is_dir() {
            left.extend(
                std::fs::read_dir(&path).expect("a directory").map(|entry| entry.expect("an entry").path()),
            );
            "directory"
        } else if file_type.is_symlink() {
            seen.target = std::fs::read_link(&path).expect("a link").into_os_string().into_vec();
            "link"
        } else if file_type.is_file() {
            seen.digest = sha256(&std::fs::read(&path).expect("a file"));
            if seen.blocks != 0 {
                files.push(relative.clone());
            }
            "file"
        } else if file_type.is_fifo() {
            "fifo"
        } else if file_type.is_socket() {
            "socket"
        } else {
            seen.device = (
                (rdev >> 8 & 0xfff) as u32 | (rdev >> 32) as u32 & !0xfff,
                (rdev & 0xff) as u32 | (rdev >> 12) as u32 & !0xff,
            );
            if file_type.is_block_device() { "block device" } else { "character device" }
        };
        for name in xattr::list(&path).expect("attributes") {
            let value = xattr::get(&path, &name).expect("an attribute").expect("it was listed");
            seen.xattrs.insert(name.into_vec(), value);
        }
        tree.insert(relative, seen);
    }
    for files in files.chunks(200) {
        for (file, (pieces, inline)) in files.iter().zip(pieces_by_linux(root, files)) {
            let seen = tree.get_mut(file).expect("it was put there");
            // Linux adds what the bytes in the inode would take outside of it: the image does not say so.
            if inline {
                seen.blocks -= seen.size.div_ceil(512);
            }
            seen.pieces = joined(pieces, seen.size);
        }
    }
    tree
}

/// Where the bytes of these files are, as FIEMAP tells it, and whether that is in the inode.
fn pieces_by_linux(root: &Path, files: &[Vec<u8>]) -> Vec<(Vec<Piece>, bool)> {
    let mut command = tool("filefrag");
    command.current_dir(root).args(["-s", "-v", "-b1024", "--"]);
    let output = command.args(files.iter().map(|file| OsStr::from_bytes(file))).output().expect("filefrag");
    assert!(output.status.success(), "{output:?}");
    let (mut all, mut of_file, mut inline) = (Vec::new(), Vec::new(), false);
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        if line.contains(" found") && line.contains(" extent") {
            all.push((std::mem::take(&mut of_file), std::mem::take(&mut inline)));
        }
        // Number, first and last block in the file, first and last in the image, how many, expected, flags.
        let fields: Vec<_> = line.split(':').map(str::trim).collect();
        if let [number, logical, physical, count, .., flags] = fields[..]
            && number.parse::<u64>().is_ok()
        {
            let kib = |text: &str| {
                let first = text.split("..").next().unwrap_or_default();
                first.trim().parse::<u64>().unwrap_or_else(|_| panic!("filefrag: {line}")) << 10
            };
            // Bytes in the inode have no place of their own.
            if flags.contains("inline") {
                inline = true;
            } else {
                let unwritten = flags.contains("unwritten");
                let (offset, place, len) = (kib(logical), kib(physical), kib(count));
                of_file.push(Piece { offset, len, place, unwritten });
            }
        }
    }
    assert_eq!(all.len(), files.len(), "{}", String::from_utf8_lossy(&output.stdout));
    all
}

/// What follows each other joined, what is beyond the end cut off.
fn joined(pieces: Vec<Piece>, size: u64) -> Vec<Piece> {
    let mut list: Vec<Piece> = Vec::new();
    for piece in pieces.into_iter().filter(|piece| piece.offset < size) {
        let len = piece.len.min(size - piece.offset);
        match list.last_mut() {
            Some(last)
                if last.offset + last.len == piece.offset
                    && last.place + last.len == piece.place
                    && last.unwritten == piece.unwritten =>
            {
                last.len += len;
            }
            _ => list.push(Piece { len, ..piece }),
        }
    }
    list
}

/// What is seen through the traits of a mounted file system.
pub(crate) fn tree_of<P: Platform>(fs: &dyn FileSystem<P>) -> Tree {
    let mut tree = Tree::new();
    let mut left = vec![(Vec::new(), fs.root().expect("root"))];
    while let Some((path, inode)) = left.pop() {
        let seen = seen_of(&path, &*inode);
        if inode.kind() == FileKind::Directory {
            for name in names(&*inode).into_iter().filter(|name| name != b"." && name != b"..") {
                let below = if path.is_empty() { name.clone() } else { [&path[..], b"/", &name].concat() };
                let child = inode.lookup(&name);
                let child =
                    child.unwrap_or_else(|error| panic!("{}: {error}", String::from_utf8_lossy(&below)));
                left.push((below, child));
            }
        }
        tree.insert(path, seen);
    }
    tree
}

fn seen_of<P: Platform>(path: &[u8], inode: &dyn Inode<P>) -> Seen {
    let attr = inode.attr();
    let time = |time: Timestamp| (time.secs, time.nanos);
    let mut seen = Seen {
        mode: attr.mode.into(),
        owner: (attr.uid, attr.gid),
        links: attr.links.into(),
        size: attr.size,
        blocks: attr.blocks,
        device: (attr.device.major, attr.device.minor),
        mtime: time(attr.mtime),
        atime: time(attr.atime),
        ctime: time(attr.ctime),
        crtime: attr.crtime.map(time),
        ..Seen::default()
    };
    let text = String::from_utf8_lossy(path);
    seen.kind = match attr.kind {
        FileKind::Directory => "directory",
        FileKind::Symlink => {
            seen.target = inode.read_link().unwrap_or_else(|error| panic!("{text}: {error}"));
            "link"
        }
        FileKind::File => {
            seen.digest = sha256(&super::read_all(inode));
            let mut pieces = Vec::new();
            let result = inode.extents(0, &mut |extent| {
                let (place, unwritten) = match extent.backing.state() {
                    State::Hole => return ControlFlow::Continue(()),
                    State::Unwritten(place) => (place, true),
                    State::Mapped(place) => (place, false),
                };
                pieces.push(Piece { offset: extent.offset, len: extent.len, place, unwritten });
                ControlFlow::Continue(())
            });
            result.unwrap_or_else(|error| panic!("{text}: {error}"));
            seen.pieces = joined(pieces, attr.size);
            "file"
        }
        FileKind::Fifo => "fifo",
        FileKind::Socket => "socket",
        FileKind::BlockDevice => "block device",
        FileKind::CharDevice => "character device",
    };
    for name in inode.list_xattrs().unwrap_or_else(|error| panic!("{text}: attributes: {error}")) {
        let value = inode.xattr(&name);
        let value =
            value.unwrap_or_else(|error| panic!("{text}: {}: {error}", String::from_utf8_lossy(&name)));
        seen.xattrs.insert(name, value);
    }
    seen
}

impl Seen {
    /// Every field as text.
    fn fields(&self) -> [(&'static str, String); 15] {
        let xattrs: Vec<_> = self
            .xattrs
            .iter()
            .map(|(name, value)| {
                format!("{} ({} bytes {})", String::from_utf8_lossy(name), value.len(), sha256(value))
            })
            .collect();
        [
            ("kind", self.kind.to_owned()),
            ("mode", format!("{:o}", self.mode)),
            ("owner and group", format!("{:?}", self.owner)),
            ("links", self.links.to_string()),
            ("size", self.size.to_string()),
            ("blocks", self.blocks.to_string()),
            ("device", format!("{:?}", self.device)),
            ("mtime", format!("{:?}", self.mtime)),
            ("atime", format!("{:?}", self.atime)),
            ("ctime", format!("{:?}", self.ctime)),
            ("crtime", format!("{:?}", self.crtime)),
            ("target", String::from_utf8_lossy(&self.target).into_owned()),
            ("digest", self.digest.clone()),
            ("pieces", first_of(&self.pieces)),
            ("attributes", xattrs.join(", ")),
        ]
    }
}

/// The first few of a list, and how many there are.
fn first_of(pieces: &[Piece]) -> String {
    let text = |piece: &Piece| {
        let Piece { offset, len, place, unwritten } = piece;
        format!("{offset}+{len} at {place}{}", if *unwritten { " unwritten" } else { "" })
    };
    let list: Vec<_> = pieces.iter().take(8).map(text).collect();
    format!("{} of them: {}", pieces.len(), list.join(", "))
}

/// Fails with the first paths and fields in which two trees differ.
#[track_caller]
pub(crate) fn expect_equal(ours: &Tree, linux: &Tree, what: &str) {
    let paths: BTreeSet<_> = ours.keys().chain(linux.keys()).collect();
    let mut lines = Vec::new();
    for path in paths {
        let text = String::from_utf8_lossy(path);
        match (ours.get(path), linux.get(path)) {
            (Some(our), Some(their)) if our != their => {
                for ((field, our), (_, their)) in our.fields().into_iter().zip(their.fields()) {
                    if our != their {
                        lines.push(format!("/{text}: {field}: ours {our}\n    Linux {their}"));
                    }
                }
            }
            (None, _) => lines.push(format!("/{text}: only Linux sees it")),
            (_, None) => lines.push(format!("/{text}: only we see it")),
            _ => {}
        }
    }
    let (count, first) = (lines.len(), lines.into_iter().take(12).collect::<Vec<_>>().join("\n"));
    assert!(count == 0, "{what}: {count} differences\n{first}");
}
