//! Sparse files: data behind every level of the block map, and holes that are holes.

use crate::common::{
    BLOCK, Image, LEVELS, POINTERS, Scratch, allocated_pages, at, blocks_for, create, extents, mount,
};
use crate::common::{mount_read_only, pattern, read_range, session, write};
use fs::pmem::Pmem;
use fs::vfs::FileSystem;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Pages behind each level: its first, one in the middle, its last or (for the last level) one far out.
const PAGES: [u64; 14] = [
    0,
    5,
    LEVELS[1] - 1,
    LEVELS[1],
    LEVELS[1] + 500,
    LEVELS[2] - 1,
    LEVELS[2],
    LEVELS[2] + POINTERS - 1,
    LEVELS[2] + 3 * POINTERS + 7,
    LEVELS[3] - 1,
    LEVELS[3],
    LEVELS[3] + POINTERS,
    LEVELS[3] + 2 * POINTERS * POINTERS + 5,
    LEVELS[3] + 3 * POINTERS * POINTERS - 1,
];

#[test]
fn sparse_files_of_mke2fs_read_equal_and_their_holes_are_holes() {
    let scratch = Scratch::new();
    let tree = scratch.tree();
    let host = File::create(tree.join("sparse")).expect("a file");
    for page in PAGES {
        let data = pattern(page, BLOCK as usize);
        host.write_all_at(&data, page * BLOCK).expect("the host takes sparse files");
    }
    let size = (PAGES[13] + 1000) * BLOCK + 123;
    host.set_len(size).expect("a hole at the end");
    let only_hole = File::create(tree.join("hole")).expect("a file");
    only_hole.set_len(5 * BLOCK + 1).expect("nothing but a hole");
    drop(host);

    let image = Image::of_tree(scratch, &tree, 2048, &[]);
    let fs = mount_read_only(image.machine());
    let file = at(&fs, "sparse");
    assert_eq!(file.attr().size, size);
    assert_eq!(allocated_pages(&*file), PAGES);
    for page in PAGES {
        let place = image.bmap("/sparse", page).expect("debugfs finds the block");
        let mut bytes = vec![0; BLOCK as usize];
        image.machine().ram.read(place * BLOCK, &mut bytes);
        assert!(bytes == pattern(page, BLOCK as usize), "debugfs and the source differ at {page}");
        assert!(read_range(&*file, page * BLOCK, BLOCK as usize) == bytes, "page {page}");
        let run = extents(&*file).into_iter().find(|run| run.offset + run.len > page * BLOCK);
        let run = run.expect("an extent");
        assert_eq!(run.place(), Some(place * BLOCK - (page * BLOCK - run.offset)), "page {page}");
        // Across both edges of the page: holes read as zeros, unless the neighbour has data too.
        if page > 0 && !PAGES.contains(&(page - 1)) {
            assert_eq!(read_range(&*file, page * BLOCK - 9, 9), [0; 9]);
        }
        if !PAGES.contains(&(page + 1)) {
            assert_eq!(read_range(&*file, (page + 1) * BLOCK, 9), [0; 9]);
        }
    }
    assert_eq!(read_range(&*file, size - 50, 100), [0; 50]);
    let hole = at(&fs, "hole");
    assert_eq!(allocated_pages(&*hole), []);
    assert_eq!(hole.attr().blocks, 0);
    assert_eq!(read_range(&*hole, 0, 1 << 20), vec![0; 5 * BLOCK as usize + 1]);
}

#[test]
fn extents_can_be_asked_for_from_the_middle() {
    let image = Image::new(512);
    let fs = mount(image.machine());
    let file = create(&fs, "f");
    for page in [2, 3, 20, LEVELS[2] + 1] {
        write(&*file, page * BLOCK, &[1]);
    }
    let all = extents(&*file);
    for from in [0, 1, 2 * BLOCK, 3 * BLOCK + 5, 4 * BLOCK, 19 * BLOCK, 21 * BLOCK, LEVELS[2] * BLOCK] {
        let mut some = Vec::new();
        let result = file.extents(from, &mut |extent| {
            some.push(extent);
            std::ops::ControlFlow::Continue(())
        });
        result.expect("extents");
        let first = some.first().expect("one at least");
        assert!(first.offset <= from && from < first.offset + first.len, "{first:?} from {from}");
        let end = |list: &[fs::vfs::Extent]| list.last().map(|extent| extent.offset + extent.len);
        assert_eq!(end(&some), end(&all));
        // The same from the second on, whatever part of the first is shown.
        assert!(all.ends_with(&some[1..]), "from {from}: {some:?}");
    }
}

#[test]
fn what_is_written_sparsely_is_where_debugfs_looks_and_goes_when_truncated() {
    let image = Image::new(1024);
    let before = mount_read_only(image.machine()).stat_fs();
    session(&image, |fs| {
        let file = create(fs, "f");
        for page in PAGES {
            write(&*file, page * BLOCK + 100, &pattern(page, 1000));
        }
        assert_eq!(allocated_pages(&*file), PAGES);
    });
    for page in PAGES {
        let place = image.bmap("/f", page).expect("debugfs finds the block");
        let mut bytes = vec![0xEE; BLOCK as usize];
        image.machine().ram.read(place * BLOCK, &mut bytes);
        let mut want = vec![0; BLOCK as usize];
        want[100..1100].copy_from_slice(&pattern(page, 1000));
        assert!(bytes == want, "page {page}");
    }
    // Level by level, from the far end: nothing but what lies beyond goes, and the rest stays readable.
    for (index, page) in PAGES.into_iter().enumerate().rev() {
        session(&image, |fs| {
            let file = at(fs, "f");
            file.truncate(page * BLOCK + 600).expect("truncate");
            assert_eq!(allocated_pages(&*file), PAGES[..=index]);
            assert!(read_range(&*file, page * BLOCK + 100, 500) == pattern(page, 1000)[..500]);
            file.truncate(page * BLOCK).expect("truncate");
            assert_eq!(allocated_pages(&*file), PAGES[..index]);
            assert_eq!(file.attr().blocks, 8 * blocks_for(&PAGES[..index]), "cut to page {page}");
        });
    }
    session(&image, |fs| {
        let file = at(fs, "f");
        file.truncate(0).expect("truncate");
        assert_eq!(file.attr().blocks, 0, "pointer blocks are left in an empty file");
        assert_eq!(fs.stat_fs().blocks_free, before.blocks_free);
    });
}
