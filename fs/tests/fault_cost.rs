//! What a fault does not cost: no heap, neither for a block that is there nor for a hole once the file's
//! index has its leaf; and no lock taken exclusively as long as nothing is allocated.

use crate::common::rig::exclusive_count;
use crate::common::{BLOCK, Image, LEVELS, View, create, mount, pattern, write};
use fs::Errno;
use fs::dax::{Outcome, Protocol};
use fs::vfs::{Fallocate, Seek, SetAttr};
use fuzz_exec::meter::allocations;

#[test]
fn faults_allocate_no_heap_once_the_index_has_its_leaf() {
    // The simulated page tables are a map and do allocate: every entry is there already, for the first part,
    // or ...
    let image = Image::new(512);
    let fs = mount(image.machine());
    let file = create(&fs, "f");
    file.truncate((LEVELS[2] + 600) * BLOCK).expect("truncate");
    let far = LEVELS[2] + 100;
    for page in [0, 1, far] {
        write(&*file, page * BLOCK, &[1]);
    }
    let view = View::new(&file, 0..LEVELS[2] + 600);
    for page in [1, 5, 20, far, far + 5] {
        view.fault(page, false).expect("the leaf of the index, and the entry");
    }
    assert_eq!(allocations(|| view.fault(1, false)), (0, Ok(Outcome::Spurious)));
    assert_eq!(allocations(|| view.fault(1, true)), (0, Ok(Outcome::MkWrite)));
    assert_eq!(allocations(|| view.fault(far, true)), (0, Ok(Outcome::MkWrite)));

    // ... for the second, where the zero page's entry is taken out and the block's put in, whatever the map
    // itself takes for one entry out and one in, measured on a map with the same history.
    let twin = View::new(&file, 0..LEVELS[2] + 600);
    for page in [1, 5, 20, far, far + 5] {
        twin.fault(page, false).expect("the same entries");
    }
    for page in [5, 20, far + 5] {
        use fs::platform::PageTables;
        let (of_map, _) = allocations(|| {
            twin.tables.unmap(twin.va(page), 1, true);
            twin.tables.map(twin.va(page), fs::pmem::ram::BASE, fs::platform::PageSize::Small, true)
        });
        let (of_fault, outcome) = allocations(|| view.fault(page, true));
        assert_eq!((of_fault, outcome), (of_map, Ok(Outcome::Allocated)), "page {page}");
    }
}

#[test]
fn a_fault_that_allocates_nothing_takes_no_lock_exclusively() {
    let image = Image::new(256);
    let rig = image.machine();
    let fs = mount(rig.clone());
    let file = create(&fs, "f");
    file.truncate(5 * BLOCK).expect("truncate");
    write(&*file, BLOCK, &pattern(1, 2 * BLOCK as usize));
    let view = View::new(&file, 0..8);
    let mut before = exclusive_count();
    let mut taken = || std::mem::replace(&mut before, exclusive_count()).abs_diff(exclusive_count());
    for (page, write, outcome) in [
        (0, false, Ok(Outcome::ZeroPage)),
        (1, false, Ok(Outcome::Block)),
        (1, true, Ok(Outcome::MkWrite)),
        (2, true, Ok(Outcome::Block)),
        (2, true, Ok(Outcome::Spurious)),
        (6, true, Err(Errno::BeyondEnd.into())),
    ] {
        assert_eq!((view.fault(page, write), taken()), (outcome, 0), "page {page}, write {write}");
    }
    assert_eq!((view.fault(3, true), taken()), (Ok(Outcome::Allocated), 1));
    // Nor one that does, where the entry's lock is enough.
    let mut view = View::new(&file, 0..8);
    view.protocol = Protocol::EntryLock;
    assert_eq!((view.fault(4, true), taken()), (Ok(Outcome::Allocated), 0));
    assert_eq!((view.fault(3, false), taken()), (Ok(Outcome::Block), 0));
}

/// What a call takes exclusively: the inode lock, to change anything; `dax_sem` too, where faults have to
/// keep out. A call that waits for the fault that is on its way here waits for ever.
#[test]
fn overwriting_and_reading_run_beside_faults_and_msync_takes_no_inode_lock() {
    let rig = Image::new(256).machine();
    let fs = mount(rig.clone());
    let file = create(&fs, "f");
    file.truncate(5 * BLOCK).expect("truncate");
    write(&*file, BLOCK, &pattern(1, 2 * BLOCK as usize));
    let view = View::new(&file, 0..8);
    view.store(BLOCK, b"x").expect("store");
    let mut before = exclusive_count();
    let mut taken = || std::mem::replace(&mut before, exclusive_count()).abs_diff(exclusive_count());
    {
        let _fault = file.mapping().shared();
        assert_eq!((file.write_at(BLOCK + 100, b"y"), taken()), (Ok(1), 1), "overwriting");
        let mut bytes = [0; 8];
        assert_eq!((file.read_at(0, &mut bytes), taken()), (Ok(8), 0), "reading, a hole");
        assert_eq!((file.read_at(BLOCK, &mut bytes), taken()), (Ok(8), 0), "reading");
        assert_eq!((file.attr().size, file.seek(0, Seek::Data), taken()), (5 * BLOCK, Ok(BLOCK), 0));
        file.set_attr(&SetAttr { mode: Some(0o600), ..SetAttr::default() }).expect("mode");
        assert_eq!(taken(), 1, "attributes");
    }
    assert_eq!((view.msync(), taken()), (Ok(1), 1), "msync: one word of the index");
    assert_eq!((file.write_at(0, b"z"), taken()), (Ok(1), 2), "a hole");
    assert_eq!((file.write_at(5 * BLOCK, b"z"), taken()), (Ok(1), 2), "beyond the end");
    assert_eq!((file.truncate(3 * BLOCK), taken()), (Ok(()), 2), "truncation");
    assert_eq!((file.fallocate(Fallocate::PunchHole, BLOCK, BLOCK), taken()), (Ok(()), 2), "punching");
}
