//! Images: mke2fs makes them, debugfs reads them, e2fsck judges them.

use super::Machine;
use fs::pmem::ram::Ram;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, id};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use tests::here;
use tests::image::tool;

/// The second at which every image is made: the simulated clock starts there too.
const MADE: &str = "1767225600";
/// The name of every image, so that the same arguments give the same bytes.
pub(crate) const UUID: &str = "6461786d-0000-4000-8000-000000000001";
/// The second at which every image is judged: after all that the tests did to it.
const JUDGED: &str = "1893456000";

/// A folder of its own for each test, removed on drop.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// A new, empty folder.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("fs-{}-{}", id(), NEXT.fetch_add(1, SeqCst));
        let path = here(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).expect("a folder for the test");
        Self(path)
    }

    /// A path in it.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A new folder in it, for `mke2fs -d`.
    pub(crate) fn tree(&self) -> PathBuf {
        let tree = self.join("tree");
        std::fs::create_dir(&tree).expect("a folder for the tree");
        tree
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed stays behind in the target folder; the test has its verdict already.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An image file.
pub(crate) struct Image {
    scratch: Scratch,
    path: PathBuf,
    kind: &'static str,
}

impl Image {
    /// An empty ext2 of `blocks` blocks.
    pub(crate) fn new(blocks: u64) -> Self {
        Self::with(Scratch::new(), blocks, &[])
    }

    /// An ext2 of `blocks` blocks that holds a copy of `tree`.
    pub(crate) fn of_tree(scratch: Scratch, tree: &Path, blocks: u64, options: &[&str]) -> Self {
        let tree = tree.to_str().expect("a plain path").to_owned();
        Self::with(scratch, blocks, &[&["-d", &tree], options].concat())
    }

    /// An ext2 of `blocks` blocks, made with more options.
    pub(crate) fn with(scratch: Scratch, blocks: u64, options: &[&str]) -> Self {
        Self::of_type("ext2", scratch, blocks, options)
    }

    /// A file system of that type, of `blocks` blocks of 4 KiB, made with more options.
    pub(crate) fn of_type(kind: &'static str, scratch: Scratch, blocks: u64, options: &[&str]) -> Self {
        let path = scratch.join("image");
        File::create(&path).and_then(|file| file.set_len(blocks * super::BLOCK)).expect("an image file");
        let mut command = tool("mke2fs");
        command.env("E2FSPROGS_FAKE_TIME", MADE);
        command.args(["-q", "-F", "-t", kind, "-b", "4096", "-U", UUID]);
        command.args(["-E", &format!("hash_seed={UUID}")]);
        succeed(command.args(options).arg(&path));
        Self { scratch, path, kind }
    }

    /// Another image of the same bytes.
    pub(crate) fn copy(&self) -> Self {
        let scratch = Scratch::new();
        let path = scratch.join("image");
        std::fs::copy(&self.path, &path).expect("room for a copy");
        Self { scratch, path, kind: self.kind }
    }

    /// What mke2fs and Linux call its type.
    pub(crate) fn kind(&self) -> &'static str {
        self.kind
    }

    /// Where the image is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// All its bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.path).expect("the image can be read")
    }

    /// A machine with a copy of it.
    pub(crate) fn machine(&self) -> Machine {
        Machine::new(Ram::from_bytes(&self.bytes()))
    }

    /// Takes the machine's memory back into the file.
    pub(crate) fn store(&self, machine: &Machine) {
        self.store_bytes(&machine.ram.to_bytes());
    }

    /// Replaces all its bytes.
    pub(crate) fn store_bytes(&self, bytes: &[u8]) {
        let file = OpenOptions::new().write(true).open(&self.path);
        file.and_then(|file| file.write_all_at(bytes, 0)).expect("the image can be written");
    }

    /// Fails the test unless `e2fsck -fn` has nothing to complain of.
    #[track_caller]
    pub(crate) fn expect_clean(&self) {
        if let Err(complaints) = self.judge() {
            panic!("{complaints}");
        }
    }

    /// What `e2fsck -fn` has to complain of.
    pub(crate) fn judge(&self) -> Result<(), String> {
        let output = self.e2fsck("-fn").output().unwrap_or_else(|error| panic!("e2fsck: {error}"));
        if output.status.success() {
            return Ok(());
        }
        Err(format!("e2fsck -fn: {}\n{}", output.status, String::from_utf8_lossy(&output.stdout)))
    }

    /// What `e2fsck -n` says, which looks only at an image that says it needs it.
    pub(crate) fn check(&self) -> String {
        let output = self.e2fsck("-n").output().unwrap_or_else(|error| panic!("e2fsck: {error}"));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Lets e2fsck rebuild every directory, with a hash index where it is long enough.
    pub(crate) fn index_directories(&self) {
        self.repair("-fyD");
    }

    /// Lets e2fsck change the image: `-fp` puts right what needs no questions.
    pub(crate) fn repair(&self, how: &str) {
        let output = self.e2fsck(how).output().unwrap_or_else(|error| panic!("e2fsck: {error}"));
        // Exit status 1: "errors corrected", which is what rebuilding counts as.
        assert!(matches!(output.status.code(), Some(0 | 1)), "e2fsck {how}: {output:?}");
    }

    fn e2fsck(&self, how: &str) -> Command {
        let mut command = tool("e2fsck");
        command.env("E2FSCK_TIME", JUDGED).env("E2FSPROGS_FAKE_TIME", JUDGED);
        command.arg(how).arg(&self.path);
        command
    }

    /// What debugfs prints for `request`.
    pub(crate) fn debugfs(&self, request: &str) -> String {
        String::from_utf8_lossy(&self.debugfs_bytes(request)).into_owned()
    }

    /// The contents of a file, as debugfs reads them.
    pub(crate) fn cat(&self, path: &str) -> Vec<u8> {
        self.debugfs_bytes(&format!("cat \"{path}\""))
    }

    /// The block of page `page` of a file, as debugfs finds it; `None` for a hole.
    pub(crate) fn bmap(&self, path: &str, page: u64) -> Option<u64> {
        let answer = self.debugfs(&format!("bmap \"{path}\" {page}"));
        let block = answer.trim().parse().unwrap_or_else(|_| panic!("bmap {path}: {answer:?}"));
        (block != 0).then_some(block)
    }

    /// A copy of the whole tree, as debugfs reads it.
    pub(crate) fn dump(&self) -> PathBuf {
        let out = self.scratch.join("dump");
        let _ = std::fs::remove_dir_all(&out);
        std::fs::create_dir(&out).expect("a folder for the dump");
        self.debugfs(&format!("rdump / \"{}\"", out.to_str().expect("a plain path")));
        out
    }

    /// Lets debugfs change the image.
    pub(crate) fn debugfs_write(&self, request: &str) {
        let output = succeed(tool("debugfs").args(["-w", "-R", request]).arg(&self.path));
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        let errors: Vec<&str> = errors.lines().filter(|line| !line.starts_with("debugfs 1.")).collect();
        assert!(errors.is_empty(), "debugfs {request}: {errors:?}");
    }

    /// The numbers of the blocks that are free, as debugfs finds them.
    pub(crate) fn free_blocks(&self) -> Vec<u64> {
        let answer = self.debugfs("ffb 1000");
        answer.split_whitespace().filter_map(|word| word.parse().ok()).collect()
    }

    /// The number of the inode at `path`, as debugfs finds it.
    pub(crate) fn inode_number(&self, path: &str) -> u64 {
        let answer = self.debugfs(&format!("stat \"{path}\""));
        let number = answer.split_whitespace().nth(1).and_then(|word| word.parse().ok());
        number.unwrap_or_else(|| panic!("stat {path}: {answer}"))
    }

    fn debugfs_bytes(&self, request: &str) -> Vec<u8> {
        let output = succeed(tool("debugfs").args(["-R", request]).arg(&self.path));
        // debugfs exits with 0 whatever happened: what went wrong is on stderr, after its banner. Owners,
        // which rdump cannot give without being root, are not looked at.
        let errors = String::from_utf8_lossy(&output.stderr);
        let ignored = |line: &&str| {
            line.starts_with("debugfs 1.") || line.contains("Operation not permitted while changing")
        };
        let errors: Vec<&str> = errors.lines().filter(|line| !ignored(line)).collect();
        assert!(errors.is_empty(), "debugfs {request}: {errors:?}");
        output.stdout
    }
}

fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {output:?}");
    output
}
