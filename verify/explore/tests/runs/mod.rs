//! Runs to show.

use explore::show::{Kind, ShownStep, Trace};

fn trace(story: &str, cpus: &[&str], verdict: &str, steps: &[(u64, usize, Kind, &str, &str)]) -> Trace {
    let step = |&(number, cpu, kind, what, state): &(u64, usize, Kind, &str, &str)| {
        let (what, state) = (what.to_string(), state.to_string());
        ShownStep { cpu, kind, what, state, number }
    };
    Trace {
        story: story.into(),
        cpus: cpus.iter().map(|cpu| cpu.to_string()).collect(),
        steps: steps.iter().map(step).collect(),
        verdict: verdict.into(),
    }
}

/// The race that the RFC is about.
pub(crate) fn rfc() -> Trace {
    use Kind::*;
    trace(
        "racy/page.hole/a:load/a:store+load@0:looked-up,1:+14,0:end,1:end",
        &["CPU 0, space a: load", "CPU 1, space a: store"],
        "CPU 1 loaded 0x0 after its own store of 0x1000 had ended",
        &[
            (1, 0, Begins, "load", ""),
            (2, 0, Tlb, "miss, page 1", ""),
            (3, 0, Memory, "load pointer 1 of inode 12", ""),
            (4, 0, Point, "looked-up: hole", ""),
            (5, 1, Begins, "store", ""),
            (6, 1, Tlb, "miss, page 1", ""),
            (7, 1, Memory, "load pointer 1 of inode 12", ""),
            (8, 1, Point, "looked-up: hole", ""),
            (9, 1, Memory, "store zeros to block 2051", ""),
            (10, 1, Fence, "", ""),
            (11, 1, Memory, "store pointer 1 of inode 12", ""),
            (12, 1, Point, "allocated block 2051", ""),
            (13, 1, Lock, "page table a", ""),
            (15, 1, Table, "a: page 1 → block 2051, rw", "a: page 1 → block 2051, rw"),
            (16, 1, Unlock, "page table a", ""),
            (17, 1, Memory, "store 0x1000 to block 2051", ""),
            (18, 1, Ends, "done", ""),
            (19, 0, Lock, "page table a", ""),
            (20, 0, Table, "a: page 1 → zero page, r", "a: page 1 → zero page, r"),
            (21, 0, Unlock, "page table a", ""),
            (22, 1, Begins, "load", ""),
            (23, 1, Ends, "0x0", ""),
            (23, 1, Wrong, "a finished store is lost", ""),
        ],
    )
}

/// Three CPUs, locks that cross, a step outside of operations, long texts, and one CPU that waits for ever.
pub(crate) fn three() -> Trace {
    use Kind::*;
    let long = "write-back looked at 512 pages of the range, took the dirty mark from one of them and write-protected it";
    trace(
        "read-first/page.block/a:load/b:msync/b:truncate!wake-wrong-key@0:+4,1:waits,0:end,1:+4,2:+1,1:+1,2:end",
        &["CPU 0, space a: load", "CPU 1, space b: msync", "CPU 2, space b: truncate"],
        "CPU 2 waits for dax_sem, which nobody holds: it was let go after the last one who waits had been woken, and a \
         wake-up on the wrong index went to nobody",
        &[
            (1, 0, Begins, "load", ""),
            (2, 0, Lock, "dax_sem shared", "dax_sem: 1 shared"),
            (4, 0, Point, "looked-up: block 77", ""),
            (5, 0, Lock, "entry 1", "entry 1: CPU 0"),
            (6, 1, Begins, "msync", ""),
            (7, 1, Waits, "dax_sem exclusive", ""),
            (8, 0, Memory, "load word 0 of block 77: 0x1000", ""),
            (9, 0, Table, "a: page 1 → block 77, r", "a: page 1 → block 77, r"),
            (10, 0, Unlock, "dax_sem", "dax_sem: free"),
            (11, 0, Unlock, "entry 1", "entry 1: free"),
            (12, 0, Ends, "0x1000", ""),
            (13, 1, Lock, "dax_sem exclusive", "dax_sem: CPU 1"),
            (14, 1, Memory, "flush line 0x40", ""),
            (14, 1, Memory, "flush line 0x80", ""),
            (15, 1, Fence, "", ""),
            (15, 1, Point, long, ""),
            (16, 2, Begins, "truncate", ""),
            (
                17,
                1,
                Table,
                "a: page 1 taken out",
                "a: page 1 → nothing; b: page 1 → nothing; a's TLBs: one pending",
            ),
            (18, 0, Tlb, "emptied", "a's TLBs: none pending"),
            (19, 2, Waits, "dax_sem exclusive", ""),
            (20, 2, Wrong, "somebody waits for ever for dax_sem, which nobody holds", ""),
        ],
    )
}
