//! No heap on a fault's way: neither to a block that is there, nor into a hole once the file's index has its leaf.

mod common;

use common::{BLOCK, Image, LEVELS, View, create, mount, write};
use fs::dax::Outcome;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    // A count for each thread: the other tests' allocations are no business of this one's.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: `System` keeps the contract; counting touches a thread-local that needs no allocation.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are `System`'s.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are `System`'s.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static GLOBAL: Counting = Counting;

/// Allocations that `work` makes on this thread.
fn allocations<R>(work: impl FnOnce() -> R) -> (u64, R) {
    let before = ALLOCATIONS.get();
    let result = work();
    (ALLOCATIONS.get() - before, result)
}

#[test]
fn faults_allocate_no_heap_once_the_index_has_its_leaf() {
    // The simulated page tables are a map and do allocate: every entry is there already, for the first part, or ...
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

    // ... for the second, where the zero page's entry is taken out and the block's put in, whatever the map itself takes
    // for one entry out and one in, measured on a map with the same history.
    let twin = View::new(&file, 0..LEVELS[2] + 600);
    for page in [1, 5, 20, far, far + 5] {
        twin.fault(page, false).expect("the same entries");
    }
    for page in [5, 20, far + 5] {
        use fs::platform::PageTables;
        let (of_map, _) = allocations(|| {
            twin.tables.unmap(twin.va(page), 1);
            twin.tables.map(twin.va(page), fs::pmem::ram::BASE, true)
        });
        let (of_fault, outcome) = allocations(|| view.fault(page, true));
        assert_eq!((of_fault, outcome), (of_map, Ok(Outcome::Allocated)), "page {page}");
    }
}
