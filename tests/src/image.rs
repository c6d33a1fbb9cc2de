//! Images: made by mke2fs, looked into by debugfs, judged by e2fsck.

use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// An image file in a folder of its own; both go when the value is dropped.
pub struct Image {
    folder: TempDir,
    path: PathBuf,
}

impl Image {
    /// Returns a file of `size` zero bytes.
    pub fn zeros(size: u64) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the image");
        let path = folder.path().join("pmem.img");
        fs::File::create(&path).and_then(|file| file.set_len(size)).expect("an image file");
        Self { folder, path }
    }

    /// Returns an empty ext2 of `size` bytes, as plain `mke2fs -t ext2 -b 4096` makes it.
    pub fn ext2(size: u64) -> Self {
        Self::mke2fs(size, &["-t", "ext2", "-b", "4096"])
    }

    /// Returns an ext2 of `size` bytes that holds a copy of the folder `tree`.
    pub fn ext2_of(size: u64, tree: &Path) -> Self {
        Self::mke2fs(size, &["-t", "ext2", "-b", "4096", "-d", tree.to_str().expect("a plain path")])
    }

    /// Returns an ext4 of `size` bytes that holds a copy of the folder `tree`, made with more `options` than
    /// plain `mke2fs -t ext4 -b 4096` has.
    pub fn ext4_of(size: u64, tree: &Path, options: &[&str]) -> Self {
        let tree = tree.to_str().expect("a plain path");
        Self::mke2fs(size, &[&["-t", "ext4", "-b", "4096", "-d", tree], options].concat())
    }

    /// Makes an image by mke2fs with `args`.
    pub fn mke2fs(size: u64, args: &[&str]) -> Self {
        let image = Self::zeros(size);
        let output = tool("mke2fs").arg("-qF").args(args).arg(&image.path).output();
        expect_success("mke2fs", output);
        image
    }

    /// Returns a DIMM of `size` bytes as Linux has it in fsdax mode: an information block at byte 4096, and
    /// an empty ext2 from byte `data` on.
    pub fn fsdax(size: u64, data: u64) -> Self {
        let (offset, blocks) = (format!("offset={data}"), ((size - data) / 4096).to_string());
        let image = Self::zeros(size);
        let output = tool("mke2fs")
            .args(["-qF", "-t", "ext2", "-b", "4096", "-E", &offset])
            .arg(&image.path)
            .arg(blocks)
            .output();
        expect_success("mke2fs", output);
        image.poke(4096, &fsdax_block(size, data));
        image
    }

    /// Returns what is in the file from byte `from` on, as an image of its own.
    pub fn tail(&self, from: u64) -> Self {
        let bytes = fs::read(&self.path).expect("the image can be read");
        let image = Self::zeros(bytes.len() as u64 - from);
        image.poke(0, &bytes[from as usize..]);
        image
    }

    /// Returns the file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the folder's path, for whatever else the test needs beside the image.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the SHA-256 of the whole file, to see that nothing touched it.
    pub fn digest(&self) -> String {
        sha256(&fs::read(&self.path).expect("the image can be read"))
    }

    /// Fails the test unless `e2fsck -fn` finds nothing at all.
    pub fn expect_clean(&self) {
        let output = tool("e2fsck").arg("-fn").arg(&self.path).output();
        expect_success("e2fsck -fn", output);
    }

    /// Returns what debugfs prints for `request`, e.g. `stat /f`.
    pub fn debugfs(&self, request: &str) -> Vec<u8> {
        let output = tool("debugfs").args(["-R", request]).arg(&self.path).output();
        expect_success("debugfs", output).stdout
    }

    /// Returns the contents of a file in the image, as debugfs reads them.
    pub fn file(&self, path: &str) -> Vec<u8> {
        self.debugfs(&format!("cat \"{path}\""))
    }

    /// Lets debugfs change the image.
    pub fn debugfs_write(&self, request: &str) {
        let output = tool("debugfs").args(["-w", "-R", request]).arg(&self.path).output();
        expect_success("debugfs -w", output);
    }

    /// Overwrites bytes of the image file: damage for bad-input tests.
    pub fn poke(&self, offset: u64, bytes: &[u8]) {
        use std::os::unix::fs::FileExt;
        let file = fs::OpenOptions::new().write(true).open(&self.path).expect("the image can be written");
        file.write_all_at(bytes, offset).expect("the image takes the bytes");
    }
}

/// Returns the block at byte 4096 that Linux 5.4 and later leave on a DIMM of `size` bytes in fsdax mode,
/// its page structures in RAM, with the data from byte `data` on: `struct nd_pfn_sb` of version 1.4.
pub fn fsdax_block(size: u64, data: u64) -> Vec<u8> {
    let mut block = vec![0; 4096];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"NVDIMM_PFN_INFO\0");
    put(16, b"an uuid of tests");
    put(52, &[1, 0, 4, 0]);
    put(56, &data.to_le_bytes());
    put(64, &((size - data) / 4096).to_le_bytes());
    put(72, &1_u32.to_le_bytes());
    put(84, &(2_u32 << 20).to_le_bytes());
    put(88, &4096_u32.to_le_bytes());
    put(92, &64_u16.to_le_bytes());
    let words = block.chunks(4).map(|word| u32::from_le_bytes(word.try_into().expect("4 bytes")));
    let (low, high) = words.fold((0_u32, 0_u32), |(low, high), word| {
        let low = low.wrapping_add(word);
        (low, high.wrapping_add(low))
    });
    block[4088..4092].copy_from_slice(&low.to_le_bytes());
    block[4092..].copy_from_slice(&high.to_le_bytes());
    block
}

/// Returns the SHA-256 in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns a command of e2fsprogs, found where Debian puts it even if the caller's PATH has no sbin.
///
/// # Panics
/// It is not installed.
pub fn tool(name: &str) -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    let place = folders.map(|folder| folder.join(name)).find(|place| place.is_file());
    Command::new(place.unwrap_or_else(|| panic!("{name} is not here: `apt-get install e2fsprogs`")))
}

fn expect_success(what: &str, output: std::io::Result<Output>) -> Output {
    let output = output.unwrap_or_else(|error| panic!("{what}: {error}: apt-get install e2fsprogs"));
    assert!(
        output.status.success(),
        "{what}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}
