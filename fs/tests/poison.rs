//! Memory that lost its content under a file: reading says so, overwriting makes it good, mapped pages that
//! hold it are refused, and only those.

use crate::common::{
    BLOCK, Image, Machine, Scratch, View, at, create, mount, pattern, read_all, session, write,
};
use fs::Error;
use fs::ext2::Ext2;
use fs::platform::PageSize;
use fs::pmem::Pmem;
use fs::vfs::{Fallocate, FileSystem, InodeRef};
use std::sync::Arc;

const LINE: u64 = 64;
const SIZE: u64 = 4 << 20;

/// A file of 4 MiB in two runs, with what is in it.
fn stage() -> (Image, Machine, Arc<Ext2<Machine>>, InodeRef<Machine>, Vec<u8>) {
    let image = Image::with(Scratch::new(), (32 << 20) / BLOCK, &["-m", "0"]);
    let bytes = pattern(7, SIZE as usize);
    session(&image, |fs| write(&*create(fs, "file"), 0, &bytes));
    let machine = image.machine();
    let fs = mount(machine.clone());
    let file = at(&fs, "file");
    (image, machine, fs, file, bytes)
}

/// Byte offset, in the region, of byte `at` of the file.
fn place(file: &InodeRef<Machine>, at: u64) -> u64 {
    let shared = file.mapping().shared();
    file.place(shared.held(), at / BLOCK).expect("sound").expect("a block") + at % BLOCK
}

/// The line with byte `at` of the file goes bad, as a machine check tells it.
fn spoil(machine: &Machine, fs: &Ext2<Machine>, file: &InodeRef<Machine>, at: u64) -> u64 {
    let line = place(file, at) & !(LINE - 1);
    machine.ram.poison.add(line, 1).expect("room");
    fs.memory_failed(line, LINE);
    line
}

#[test]
fn a_read_ends_before_what_is_bad_and_fails_at_it() {
    let (_, machine, fs, file, bytes) = stage();
    let bad = 5 * BLOCK + 640;
    let line = spoil(&machine, &fs, &file, bad);
    let mut back = vec![0; SIZE as usize];
    assert_eq!(file.read_at(0, &mut back), Ok(bad as usize));
    assert!(back[..bad as usize] == bytes[..bad as usize]);
    assert_eq!(file.read_at(bad, &mut back), Err(Error::Poisoned(line)));
    assert_eq!(file.read_at(bad + 10, &mut back), Err(Error::Poisoned(line + 10)));
    // From a block's start, where the block before is fine.
    assert_eq!(file.read_at(5 * BLOCK, &mut back), Ok(640));
    let behind = (bad + LINE) as usize;
    assert_eq!(file.read_at(behind as u64, &mut back), Ok(bytes.len() - behind));
    assert!(back[..bytes.len() - behind] == bytes[behind..]);
    assert!(!fs.met_errors(), "the image is not to blame");
}

#[test]
fn whole_lines_overwritten_are_good_again_and_a_part_of_one_is_refused() {
    let (image, machine, fs, file, mut bytes) = stage();
    let bad = 5 * BLOCK + 640;
    let line = spoil(&machine, &fs, &file, bad);
    let before = machine.ram.to_bytes();
    for (at, len) in [(bad + 1, 1), (bad - 10, 11), (bad + 63, 200), (bad + 1, 63)] {
        assert_eq!(file.write_at(at, &vec![1; len]), Err(Error::Poisoned(line)), "{len} bytes at {at}");
        assert!(machine.ram.to_bytes() == before, "a write that failed changed something");
    }
    // Beside it, to the line's border.
    write(&*file, bad - 100, &[2; 100]);
    bytes[bad as usize - 100..bad as usize].fill(2);
    assert_eq!(machine.ram.poison.ranges().len(), 1);
    // The line alone, then a whole block of which it is a part.
    write(&*file, bad, &[3; 64]);
    bytes[bad as usize..][..64].fill(3);
    assert!(machine.ram.poison.ranges().is_empty());
    assert!(read_all(&*file) == bytes);
    spoil(&machine, &fs, &file, bad);
    write(&*file, 5 * BLOCK, &[4; 4096]);
    bytes[5 * BLOCK as usize..][..4096].fill(4);
    assert!(read_all(&*file) == bytes);
    // Zeroing a range, and a fresh block.
    spoil(&machine, &fs, &file, bad);
    file.fallocate(Fallocate::ZeroRange { keep_size: true }, 5 * BLOCK, BLOCK).expect("zero");
    bytes[5 * BLOCK as usize..][..4096].fill(0);
    spoil(&machine, &fs, &file, bad);
    file.fallocate(Fallocate::PunchHole, 5 * BLOCK, BLOCK).expect("punch");
    View::new(&file, 0..10).store(5 * BLOCK, b"x").expect("store");
    bytes[5 * BLOCK as usize] = b'x';
    assert!(machine.ram.poison.ranges().is_empty() && read_all(&*file) == bytes);
    drop(file);
    fs.unmount().expect("unmount");
    image.store(&machine);
    image.expect_clean();
}

#[test]
fn mappings_of_what_goes_bad_go_and_only_its_page_is_refused() {
    let (_, machine, fs, file, bytes) = stage();
    let mut large = View::new(&file, 0..SIZE / BLOCK);
    large.large = true;
    let small = View::new(&file, 0..SIZE / BLOCK);
    assert_eq!(large.fault_sized(5, true).map(|(_, size)| size), Ok(PageSize::Large));
    assert_eq!(large.fault_sized(600, false).map(|(_, size)| size), Ok(PageSize::Large));
    large.store(7 * BLOCK, b"stored").expect("store");
    small.load_byte(5 * BLOCK).expect("load");
    small.load_byte(6 * BLOCK).expect("load");
    let bad = 5 * BLOCK + 640;
    let line = spoil(&machine, &fs, &file, bad);
    // 1. Nothing leads there any more; what is far away stays mapped.
    assert!(large.entry(5).is_none() && small.entry(5).is_none());
    assert!(large.entry(600).is_some() && small.entry(6).is_some());
    // 2. Its page is refused, the others of the 2 MiB are served in small pages.
    for write in [false, true] {
        assert_eq!(small.fault(5, write), Err(Error::Poisoned(line)));
        assert_eq!(large.fault(5, write), Err(Error::Poisoned(line)));
    }
    assert_eq!(large.fault_sized(4, true).map(|(_, size)| size), Ok(PageSize::Small));
    assert_eq!(large.load_byte(7 * BLOCK), Ok(b's'));
    assert!(machine.ram.stats().pmd_fallback_poison.get() > 0);
    // 3. Overwritten, it is served again.
    write(&*file, 5 * BLOCK, &bytes[5 * BLOCK as usize..][..4096]);
    assert_eq!(small.load_byte(bad), Ok(bytes[bad as usize]));
    assert_eq!(large.load_byte(bad), Ok(bytes[bad as usize]));
    assert_eq!(small.load_byte(7 * BLOCK), Ok(b's'));
}

#[test]
fn what_was_stored_around_it_is_kept() {
    let (_, machine, fs, file, _) = stage();
    let view = View::new(&file, 0..10);
    view.store(5 * BLOCK, b"stored").expect("store");
    let flushed = machine.ram.stats().sync_pages.get();
    spoil(&machine, &fs, &file, 5 * BLOCK + 640);
    assert_eq!(
        machine.ram.stats().sync_pages.get(),
        flushed + 1,
        "the rest of the page was not written back"
    );
    let mut back = [0; 6];
    file.read_at(5 * BLOCK, &mut back).expect("read");
    assert_eq!(&back, b"stored");
}
