//! The joined view: what is joined with what, and the exact error of each thing that does not fit.

use crate::common;
use crate::common::{GIB, PERSISTENT, PERSISTENT_DISK, Table, VOLATILE};
use nfit::{Error, Nfit, Place, StateFlags, StructureType};

/// Where the structure with an ordinal lies.
fn at(bytes: &[u8], ordinal: usize) -> Place {
    let number = |offset: usize| u16::from_le_bytes([bytes[offset], bytes[offset + 1]]);
    let mut offset = common::HEADER;
    for _ in 0..ordinal {
        offset += usize::from(number(offset + 2));
    }
    Place { structure_type: StructureType(number(offset)), ordinal, offset }
}

/// What `regions` refuses about a table, and the table.
fn refused(table: Table) -> (Error, Vec<u8>) {
    let bytes = table.finish();
    let error = Nfit::parse(&bytes).unwrap().regions().unwrap_err();
    (error, bytes)
}

#[test]
fn a_region_has_all_that_belongs_to_it() {
    // In an order in which every reference goes to a structure further down.
    let bytes = Table::new()
        .flush_hints(0x11, &[0xa000])
        .mapping(0x11, 1, 9, 3, 0)
        .mapping(0x12, 1, 0, 0, 0x10)
        .mapping(0x13, 2, 9, 0, 0)
        .mapping(0x14, 0, 9, 0, 0)
        .mapping(0x15, 8, 77, 0, 0)
        .spa(&PERSISTENT, 1, 8 * GIB, 2 * GIB)
        .spa(&PERSISTENT, 2, 4 * GIB, GIB)
        .spa(&VOLATILE, 8, 0, GIB)
        .flush_hints(0x11, &[0xb000])
        .flush_hints(0x12, &[0xc000, 0xd000])
        .interleave(3, &[0, 1])
        .control(9)
        .finish();
    let regions = Nfit::parse(&bytes).unwrap().regions().unwrap();
    let [low, high] = &regions[..] else { panic!("{regions:?}") };
    assert_eq!((low.spa_index, low.base, low.length, low.end()), (2, 4 * GIB, GIB, 5 * GIB));
    assert_eq!((high.spa_index, high.base, high.length), (1, 8 * GIB, 2 * GIB));
    assert_eq!((low.proximity_domain, low.attribute.0, low.armed), (Some(5), 0x8008, true));
    let handles: Vec<_> = high.dimms.iter().map(|dimm| dimm.mapping.device_handle.0).collect();
    assert_eq!(handles, [0x11, 0x12]);
    assert_eq!(high.dimms[0].control_region.unwrap().serial_number, 0xdead_beef);
    assert_eq!(high.dimms[0].interleave.unwrap().number_of_lines, 2);
    assert_eq!((high.dimms[1].control_region, high.dimms[1].interleave), (None, None));
    assert_eq!(high.state, StateFlags::SMART_HEALTH_OBSERVED);
    // The first structure of a DIMM's flush hints counts.
    assert_eq!(high.flush_hint_addresses().collect::<Vec<_>>(), [0xa000, 0xc000, 0xd000]);
    assert_eq!(low.flush_hint_addresses().count(), 0);
    let text = "region 1: 0x200000000..0x280000000 (2 GiB) proximity 5 attribute WB|NV armed state \
                smart-health-observed dimms 2";
    assert_eq!(high.to_string(), text);
    let text = "dimm: handle 0x11 (dimm 1 channel 1 controller 0 socket 0 node 0) spa 1 vendor 0x8086 serial \
                0xdeadbeef flush hints 1 state none";
    assert_eq!(high.dimms[0].to_string(), text);
}

#[test]
fn one_unarmed_dimm_makes_its_region_read_only() {
    let table = Table::new().spa(&PERSISTENT, 1, 0, GIB).spa(&PERSISTENT, 2, GIB, GIB);
    let bytes = table.mapping(1, 1, 0, 0, 0).mapping(2, 1, 0, 0, 8).mapping(3, 2, 0, 0, 0).finish();
    let regions = Nfit::parse(&bytes).unwrap().regions().unwrap();
    assert!(!regions[0].armed && regions[1].armed);
    let order = Table::new().mapping(2, 1, 0, 0, 8).mapping(1, 1, 0, 0, 0).spa(&PERSISTENT, 1, 0, GIB);
    let bytes = order.finish();
    let regions = Nfit::parse(&bytes).unwrap().regions().unwrap();
    assert!(!regions[0].armed, "an armed DIMM later must not make up for it");
    assert!(regions[0].to_string().contains(" read-only state not-armed dimms 2"));
}

#[test]
fn an_empty_range_is_refused() {
    let (error, bytes) = refused(Table::new().spa(&PERSISTENT, 4, GIB, 0));
    assert_eq!(error, Error::EmptyRange { at: at(&bytes, 0), index: 4 });
    let text = "spa range structure (type 0, ordinal 0, byte offset 40): spa 4 has length 0";
    assert_eq!(error.to_string(), text);
}

#[test]
fn a_range_that_overflows_is_refused() {
    let base = u64::MAX - 0xfff;
    for length in [0x1000, 0x2000, u64::MAX - 0xfff] {
        let (error, bytes) = refused(Table::new().spa(&PERSISTENT, 4, base, length));
        assert_eq!(error, Error::RangeOverflow { at: at(&bytes, 0), index: 4, base, length });
    }
    let bytes = Table::new().spa(&PERSISTENT, 4, base - 0x1000, 0x1000).finish();
    assert_eq!(Nfit::parse(&bytes).unwrap().regions().unwrap()[0].end(), base);
}

#[test]
fn a_range_that_is_not_of_whole_pages_is_refused() {
    for (base, length) in [(GIB + 512, GIB), (GIB, GIB + 4095), (1, 1), (GIB + 2048, 2048)] {
        let (error, bytes) = refused(Table::new().spa(&PERSISTENT, 4, base, length));
        assert_eq!(error, Error::UnalignedRange { at: at(&bytes, 0), index: 4, base, length });
    }
}

#[test]
fn index_0_is_refused_for_persistent_memory_only() {
    let (error, bytes) = refused(Table::new().spa(&PERSISTENT, 0, 0, GIB));
    assert_eq!(error, Error::ReservedIndex { at: at(&bytes, 0) });
    // Virtual disks have index 0, all of them.
    let table = Table::new().spa(&VOLATILE, 0, 0, GIB).spa(&VOLATILE, 0, 4 * GIB, GIB);
    assert_eq!(Nfit::parse(&table.finish()).unwrap().regions(), Ok(vec![]));
}

#[test]
fn overlapping_ranges_are_refused_with_both_indexes() {
    // (base, length) of spa 1 and spa 2; spa 1 starts first.
    for ((base1, length1), (base, length)) in [
        ((GIB, 2 * GIB), (2 * GIB, 2 * GIB)),
        ((GIB, 4 * GIB), (2 * GIB, GIB)),
        ((GIB, GIB), (GIB, GIB)),
        ((GIB, GIB + 4096), (2 * GIB, GIB)),
    ] {
        for other_guid in [PERSISTENT, VOLATILE, [9; 16]] {
            let table = Table::new().spa(&PERSISTENT, 1, base1, length1).spa(&other_guid, 2, base, length);
            let (error, bytes) = refused(table);
            let (other, at) = (at(&bytes, 0), at(&bytes, 1));
            assert_eq!(error, Error::Overlap { at, index: 2, base, length, other, other_index: 1 });
            let table = Table::new().spa(&other_guid, 1, base1, length1).spa(&PERSISTENT, 2, base, length);
            let (error, _) = refused(table);
            assert!(matches!(error, Error::Overlap { index: 2, other_index: 1, .. }), "{error}");
        }
    }
    let table = Table::new().spa(&PERSISTENT, 1, GIB, GIB).spa(&PERSISTENT, 2, 2 * GIB, GIB);
    assert_eq!(
        Nfit::parse(&table.finish()).unwrap().regions().unwrap().len(),
        2,
        "neighbours do not overlap"
    );
}

#[test]
fn an_overlap_with_a_range_long_before_is_seen() {
    // spa 1 covers everything; 2 and 3 are not persistent and lie within, 4 is the first that
    // matters.
    let table = Table::new()
        .spa(&VOLATILE, 1, 0, 64 * GIB)
        .spa(&VOLATILE, 2, GIB, GIB)
        .spa(&VOLATILE, 3, 4 * GIB, GIB)
        .spa(&PERSISTENT, 4, 32 * GIB, GIB);
    let (error, _) = refused(table);
    assert!(matches!(error, Error::Overlap { index: 4, other_index: 1, .. }), "{error}");
}

#[test]
fn an_overlap_of_one_byte_is_seen() {
    let table = Table::new().spa(&VOLATILE, 1, GIB, GIB + 1);
    let (error, _) = refused(table.spa(&PERSISTENT, 2, 2 * GIB, GIB));
    assert!(matches!(error, Error::Overlap { index: 2, other_index: 1, .. }), "{error}");
}

#[test]
fn a_virtual_disk_at_the_start_of_a_neighbour_is_the_neighbours() {
    let table = Table::new().spa(&PERSISTENT, 1, GIB, GIB).spa(&PERSISTENT, 2, 2 * GIB, GIB);
    let bytes = table.spa(&PERSISTENT_DISK, 0, 2 * GIB, 4096).finish();
    let regions = Nfit::parse(&bytes).unwrap().regions().unwrap();
    let counts = [regions[0].virtual_disks.len(), regions[1].virtual_disks.len()];
    assert_eq!(counts, [0, 1]);
}

#[test]
fn an_overlap_is_told_in_one_line() {
    let (error, _) =
        refused(Table::new().spa(&PERSISTENT, 1, GIB, 2 * GIB).spa(&PERSISTENT, 2, 2 * GIB, GIB));
    let text = "spa range structure (type 0, ordinal 1, byte offset 96): spa 2 0x80000000..0xc0000000 \
                (1 GiB) overlaps spa 1, spa range structure (type 0, ordinal 0, byte offset 40)";
    assert_eq!(error.to_string(), text);
}

#[test]
fn ranges_that_are_not_persistent_may_overlap_each_other() {
    let table = Table::new().spa(&VOLATILE, 1, 1, GIB).spa(&VOLATILE, 2, 2, u64::MAX);
    assert_eq!(Nfit::parse(&table.finish()).unwrap().regions(), Ok(vec![]));
}

#[test]
fn virtual_disks_inside_a_region_belong_to_it() {
    let table = Table::new()
        .spa(&PERSISTENT_DISK, 0, GIB, 4096)
        .spa(&PERSISTENT, 1, GIB, GIB)
        .spa(&PERSISTENT, 2, 2 * GIB, GIB)
        .spa(&PERSISTENT_DISK, 0, 3 * GIB - 4096, 4096)
        .spa(&PERSISTENT_DISK, 0, 9 * GIB, 4096);
    let bytes = table.finish();
    let regions = Nfit::parse(&bytes).unwrap().regions().unwrap();
    let bases =
        |region: usize| regions[region].virtual_disks.iter().map(|disk| disk.base).collect::<Vec<_>>();
    assert_eq!((bases(0), bases(1)), (vec![GIB], vec![3 * GIB - 4096]));
    assert!(regions[0].to_string().ends_with("dimms 0 virtual disks 1"));
}

#[test]
fn a_virtual_disk_across_a_border_is_refused() {
    for (base, length) in [(GIB - 4096, 8192), (2 * GIB - 4096, 8192), (GIB - 4096, 2 * GIB), (GIB, u64::MAX)]
    {
        let table = Table::new().spa(&PERSISTENT, 1, GIB, GIB).spa(&PERSISTENT_DISK, 0, base, length);
        let (error, bytes) = refused(table);
        let (other, at) = (at(&bytes, 0), at(&bytes, 1));
        assert_eq!(error, Error::Overlap { at, index: 0, base, length, other, other_index: 1 });
    }
}

#[test]
fn a_duplicate_index_is_refused() {
    let table = Table::new().spa(&PERSISTENT, 6, 0, GIB).control(1).spa(&VOLATILE, 6, 4 * GIB, GIB);
    let (error, bytes) = refused(table);
    assert_eq!(error, Error::DuplicateIndex { at: at(&bytes, 2), first: at(&bytes, 0), index: 6 });
    let text = "spa range structure (type 0, ordinal 2, byte offset 128): index 6 is already taken by \
                spa range structure (type 0, ordinal 0, byte offset 40)";
    assert_eq!(error.to_string(), text);
    let (error, bytes) = refused(Table::new().control(5).control_with_windows(5));
    assert_eq!(error, Error::DuplicateIndex { at: at(&bytes, 1), first: at(&bytes, 0), index: 5 });
    let (error, bytes) = refused(Table::new().interleave(5, &[]).interleave(5, &[1]));
    assert_eq!(error, Error::DuplicateIndex { at: at(&bytes, 1), first: at(&bytes, 0), index: 5 });
}

#[test]
fn a_mapping_into_nothing_is_refused() {
    let (error, bytes) = refused(Table::new().spa(&PERSISTENT, 1, 0, GIB).mapping(1, 2, 0, 0, 0));
    assert_eq!(error, Error::MissingSpaRange { at: at(&bytes, 1), index: 2 });
    let text = "region mapping structure (type 1, ordinal 1, byte offset 96): refers to \
                spa 2, which does not exist";
    assert_eq!(error.to_string(), text);
    // A DIMM that firmware says it did not map, and one with index 0, are in no range.
    let table = Table::new().spa(&PERSISTENT, 1, 0, GIB).mapping(1, 2, 0, 0, 0x40).mapping(1, 0, 0, 0, 0);
    assert_eq!(Nfit::parse(&table.finish()).unwrap().regions().unwrap()[0].dimms, []);
}

#[test]
fn a_missing_control_region_or_interleave_is_refused() {
    let table = Table::new().spa(&PERSISTENT, 1, 0, GIB).mapping(1, 1, 3, 0, 0).control(4);
    let (error, bytes) = refused(table);
    assert_eq!(error, Error::MissingControlRegion { at: at(&bytes, 1), index: 3, spa_index: 1 });
    let table = Table::new().spa(&PERSISTENT, 1, 0, GIB).mapping(1, 1, 4, 7, 0).control(4);
    let (error, bytes) = refused(table);
    assert_eq!(error, Error::MissingInterleave { at: at(&bytes, 1), index: 7, spa_index: 1 });
    // Control region 0 is nobody's, even if one says that it is it.
    let bytes = Table::new().spa(&PERSISTENT, 1, 0, GIB).mapping(1, 1, 0, 0, 0).control(0).finish();
    assert_eq!(Nfit::parse(&bytes).unwrap().regions().unwrap()[0].dimms[0].control_region, None);
}
