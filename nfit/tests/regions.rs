//! The joined view: what is joined with what, and the exact error of each thing that does not fit.

use crate::common;
use crate::common::{GIB, PERSISTENT, PERSISTENT_DISK, Table, VOLATILE};
use nfit::{Error, Location, Nfit, Region, StateFlags, StructureType};

/// Where the structure with an ordinal lies.
fn at(bytes: &[u8], ordinal: usize) -> Location {
    let number = |offset: usize| u16::from_le_bytes([bytes[offset], bytes[offset + 1]]);
    let mut offset = common::HEADER;
    for _ in 0..ordinal {
        offset += usize::from(number(offset + 2));
    }
    Location { structure_type: StructureType(number(offset)), ordinal, offset }
}

/// What a good table says.
fn good(bytes: &[u8]) -> Vec<Region<'_>> {
    let contents = Nfit::parse(bytes).unwrap().contents().unwrap();
    assert_eq!(contents.problems, []);
    contents.regions
}

/// The only problem of a table, how many regions are left, and the table.
fn costs(table: Table) -> (Error, usize, Vec<u8>) {
    let bytes = table.finish();
    let contents = Nfit::parse(&bytes).unwrap().contents().unwrap();
    let [problem] = contents.problems[..] else { panic!("{:?}", contents.problems) };
    (problem, contents.regions.len(), bytes)
}

/// The only problem of a table, which costs its only range; and the table.
fn refused(table: Table) -> (Error, Vec<u8>) {
    // A good range further up is used all the same.
    let with_good = table.clone().spa(&PERSISTENT, 90, GIB * 1024, GIB).mapping(9, 90, 0, 0, 0);
    let (error, left, _) = costs(with_good);
    assert_eq!(left, 1, "{error}");
    let (alone, left, bytes) = costs(table);
    assert_eq!((alone, left), (error, 0));
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
    let regions = good(&bytes);
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
    let regions = good(&bytes);
    assert!(!regions[0].armed && regions[1].armed);
    let order = Table::new().mapping(2, 1, 0, 0, 8).mapping(1, 1, 0, 0, 0).spa(&PERSISTENT, 1, 0, GIB);
    let bytes = order.finish();
    let regions = good(&bytes);
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
    assert_eq!(good(&bytes)[0].end(), base);
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
    assert_eq!(good(&table.finish()), []);
}

#[test]
fn overlapping_ranges_are_both_left_out() {
    // (base, length) of spa 1 and spa 2; spa 1 starts first.
    for ((base1, length1), (base, length)) in [
        ((GIB, 2 * GIB), (2 * GIB, 2 * GIB)),
        ((GIB, 4 * GIB), (2 * GIB, GIB)),
        ((GIB, GIB), (GIB, GIB)),
        ((GIB, GIB + 4096), (2 * GIB, GIB)),
    ] {
        for (guid, other_guid) in [PERSISTENT, VOLATILE, [9; 16]].map(|guid| (PERSISTENT, guid)) {
            for (guid, other_guid) in [(guid, other_guid), (other_guid, guid)] {
                let table = Table::new().spa(&guid, 1, base1, length1).spa(&other_guid, 2, base, length);
                let bytes = table.spa(&PERSISTENT, 3, 8 * GIB, GIB).finish();
                let contents = Nfit::parse(&bytes).unwrap().contents().unwrap();
                let (one, two) = (at(&bytes, 0), at(&bytes, 1));
                let first = Error::Overlap {
                    at: one,
                    index: 1,
                    base: base1,
                    length: length1,
                    other: two,
                    other_index: 2,
                };
                let second = Error::Overlap { at: two, index: 2, base, length, other: one, other_index: 1 };
                let persistent = [(guid, first), (other_guid, second)];
                let told = persistent.into_iter().filter(|(guid, _)| *guid == PERSISTENT);
                assert_eq!(contents.problems, told.map(|(_, error)| error).collect::<Vec<_>>());
                // The third has nothing to do with it.
                assert_eq!(contents.regions.iter().map(|region| region.spa_index).collect::<Vec<_>>(), [3]);
            }
        }
    }
    let table = Table::new().spa(&PERSISTENT, 1, GIB, GIB).spa(&PERSISTENT, 2, 2 * GIB, GIB);
    assert_eq!(good(&table.finish()).len(), 2, "neighbours do not overlap");
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
    let table = Table::new().spa(&VOLATILE, 1, 2 * GIB - 1, GIB);
    let (error, _) = refused(table.spa(&PERSISTENT, 2, GIB, GIB));
    assert!(matches!(error, Error::Overlap { index: 2, other_index: 1, .. }), "{error}");
}

/// A range that is not of whole pages is somewhere all the same: what it overlaps is in doubt.
#[test]
fn a_range_that_is_refused_still_overlaps() {
    let table = Table::new().spa(&PERSISTENT, 1, GIB, GIB).spa(&PERSISTENT, 2, 2 * GIB - 512, 1024);
    let bytes = table.spa(&PERSISTENT, 3, 3 * GIB, GIB).finish();
    let contents = Nfit::parse(&bytes).unwrap().contents().unwrap();
    assert!(matches!(
        contents.problems[..],
        [Error::UnalignedRange { index: 2, .. }, Error::Overlap { index: 1, other_index: 2, .. }]
    ));
    assert_eq!(contents.regions.len(), 1);
}

/// One that has no end, or no byte, is nowhere: it costs the others nothing.
#[test]
fn a_range_that_is_nowhere_overlaps_nothing() {
    for (base, length) in [(GIB, u64::MAX), (GIB + 4096, u64::MAX - GIB), (GIB + 4096, 0)] {
        let range = Table::new().spa(&PERSISTENT, 1, GIB, GIB);
        let (_, left, _) = costs(range.clone().spa(&PERSISTENT, 2, base, length));
        assert_eq!(left, 1);
        let (_, left, _) =
            costs(Table::new().spa(&PERSISTENT, 2, base, length).spa(&PERSISTENT, 1, GIB, GIB));
        assert_eq!(left, 1);
        assert_eq!(good(&range.spa(&VOLATILE, 2, base, length).finish()).len(), 1);
    }
}

#[test]
fn a_virtual_disk_at_the_start_of_a_neighbour_is_the_neighbours() {
    let table = Table::new().spa(&PERSISTENT, 1, GIB, GIB).spa(&PERSISTENT, 2, 2 * GIB, GIB);
    let bytes = table.spa(&PERSISTENT_DISK, 0, 2 * GIB, 4096).finish();
    let regions = good(&bytes);
    let counts = [regions[0].virtual_disks.len(), regions[1].virtual_disks.len()];
    assert_eq!(counts, [0, 1]);
}

#[test]
fn an_overlap_is_told_in_one_line() {
    let (error, _) = refused(Table::new().spa(&VOLATILE, 1, GIB, 2 * GIB).spa(&PERSISTENT, 2, 2 * GIB, GIB));
    let text = "spa range structure (type 0, ordinal 1, byte offset 96): spa 2 0x80000000..0xc0000000 \
                (1 GiB) overlaps spa 1, spa range structure (type 0, ordinal 0, byte offset 40)";
    assert_eq!(error.to_string(), text);
}

#[test]
fn ranges_that_are_not_persistent_may_overlap_each_other() {
    let table = Table::new().spa(&VOLATILE, 1, 1, GIB).spa(&VOLATILE, 2, 2, u64::MAX);
    assert_eq!(good(&table.finish()), []);
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
    let regions = good(&bytes);
    let bases =
        |region: usize| regions[region].virtual_disks.iter().map(|disk| disk.base).collect::<Vec<_>>();
    assert_eq!((bases(0), bases(1)), (vec![GIB], vec![3 * GIB - 4096]));
    assert!(regions[0].to_string().ends_with("dimms 0 virtual disks 1"));
}

#[test]
fn a_virtual_disk_across_a_border_costs_the_regions_it_touches() {
    for (base, length) in [(GIB - 4096, 8192), (2 * GIB - 4096, 8192), (GIB - 4096, 2 * GIB)] {
        let table = Table::new().spa(&PERSISTENT, 1, GIB, GIB).spa(&PERSISTENT_DISK, 0, base, length);
        let (error, bytes) = refused(table);
        let (at, other) = (at(&bytes, 0), at(&bytes, 1));
        assert_eq!(error, Error::Overlap { at, index: 1, base: GIB, length: GIB, other, other_index: 0 });
    }
    // One within its region, one that touches 3, 4 and 5, one of which the end is nowhere.
    let mut table = Table::new().spa(&PERSISTENT_DISK, 0, GIB + 4096, 4096);
    for index in 1..=6 {
        table = table.spa(&PERSISTENT, index, GIB * u64::from(index), GIB);
    }
    let table = table.spa(&PERSISTENT_DISK, 0, 4 * GIB - 4096, GIB + 8192);
    let bytes = table.spa(&PERSISTENT_DISK, 0, GIB, u64::MAX).finish();
    let contents = Nfit::parse(&bytes).unwrap().contents().unwrap();
    let left: Vec<_> = contents.regions.iter().map(|region| region.spa_index).collect();
    assert_eq!((left, contents.problems.len()), (vec![1, 2, 6], 3));
    assert_eq!(contents.regions[0].virtual_disks.len(), 1);
}

#[test]
fn a_duplicate_index_costs_both_ranges() {
    let table = Table::new().spa(&PERSISTENT, 6, 0, GIB).control(1).spa(&VOLATILE, 6, 4 * GIB, GIB);
    let (error, bytes) = refused(table);
    assert_eq!(error, Error::DuplicateIndex { at: at(&bytes, 2), first: at(&bytes, 0), index: 6 });
    let text = "spa range structure (type 0, ordinal 2, byte offset 128): index 6 is already taken by \
                spa range structure (type 0, ordinal 0, byte offset 40)";
    assert_eq!(error.to_string(), text);
    let table = Table::new().spa(&PERSISTENT, 6, 0, GIB).spa(&PERSISTENT, 6, 4 * GIB, GIB);
    refused(table.clone());
    let (table, contents) =
        (table.spa(&PERSISTENT, 6, 8 * GIB, GIB).spa(&PERSISTENT, 7, 9 * GIB, GIB).finish(), 2);
    let found = Nfit::parse(&table).unwrap().contents().unwrap();
    assert_eq!((found.problems.len(), found.regions.len()), (contents, 1));
}

/// They only describe: the memory is where it is.
#[test]
fn of_descriptions_with_one_index_the_first_counts() {
    let range = Table::new().spa(&PERSISTENT, 1, 0, GIB).mapping(1, 1, 5, 5, 0);
    let (error, left, bytes) = costs(range.clone().control(5).control_with_windows(5).interleave(5, &[]));
    assert_eq!(error, Error::DuplicateIndex { at: at(&bytes, 3), first: at(&bytes, 2), index: 5 });
    assert_eq!(left, 1);
    let contents = Nfit::parse(&bytes).unwrap().contents().unwrap();
    assert_eq!(contents.regions[0].dimms[0].control_region.unwrap().vendor_id, 0x8086);
    let (error, left, bytes) = costs(range.interleave(5, &[]).interleave(5, &[1]).control(5));
    assert_eq!(error, Error::DuplicateIndex { at: at(&bytes, 3), first: at(&bytes, 2), index: 5 });
    assert_eq!(left, 1);
    let contents = Nfit::parse(&bytes).unwrap().contents().unwrap();
    assert_eq!(contents.regions[0].dimms[0].interleave.unwrap().number_of_lines, 0);
}

#[test]
fn a_mapping_into_nothing_is_told() {
    let table = Table::new().spa(&PERSISTENT, 1, 0, GIB).mapping(1, 2, 0, 0, 0);
    let (error, left, bytes) = costs(table);
    assert_eq!((error, left), (Error::MissingSpaRange { at: at(&bytes, 1), index: 2 }, 1));
    let text = "region mapping structure (type 1, ordinal 1, byte offset 96): refers to \
                spa 2, which does not exist";
    assert_eq!(error.to_string(), text);
    // A DIMM that firmware says it did not map, and one with index 0, are in no range.
    let table = Table::new().spa(&PERSISTENT, 1, 0, GIB).mapping(1, 2, 0, 0, 0x40).mapping(1, 0, 0, 0, 0);
    assert_eq!(good(&table.finish())[0].dimms, []);
    // One in a range that is refused has its range.
    refused(Table::new().spa(&PERSISTENT, 1, GIB, 0).mapping(1, 1, 0, 0, 0));
}

#[test]
fn a_missing_control_region_or_interleave_costs_the_description() {
    let table = Table::new().spa(&PERSISTENT, 1, 0, GIB).mapping(1, 1, 3, 0, 8).control(4);
    let (error, left, bytes) = costs(table);
    assert_eq!(error, Error::MissingControlRegion { at: at(&bytes, 1), index: 3, spa_index: 1 });
    assert_eq!(left, 1);
    // What the mapping says of itself holds.
    assert!(!Nfit::parse(&bytes).unwrap().contents().unwrap().regions[0].armed);
    let table = Table::new().spa(&PERSISTENT, 1, 0, GIB).mapping(1, 1, 4, 7, 0).control(4);
    let (error, left, bytes) = costs(table);
    assert_eq!(error, Error::MissingInterleave { at: at(&bytes, 1), index: 7, spa_index: 1 });
    assert_eq!(left, 1);
    let contents = Nfit::parse(&bytes).unwrap().contents().unwrap();
    assert!(contents.regions[0].dimms[0].control_region.is_some());
    // Control region 0 is nobody's, even if one says that it is it.
    let bytes = Table::new().spa(&PERSISTENT, 1, 0, GIB).mapping(1, 1, 0, 0, 0).control(0).finish();
    assert_eq!(good(&bytes)[0].dimms[0].control_region, None);
}

/// Each kind of bad range at once, between good ones.
#[test]
fn one_bad_range_does_not_cost_the_good_ones() {
    let bytes = Table::new()
        .spa(&PERSISTENT, 1, 4 * GIB, GIB)
        .spa(&PERSISTENT, 2, 6 * GIB, 0)
        .spa(&PERSISTENT, 3, 7 * GIB, GIB - 1)
        .spa(&PERSISTENT, 4, u64::MAX - 4095, 8192)
        .spa(&PERSISTENT, 0, 8 * GIB, GIB)
        .spa(&PERSISTENT, 5, 10 * GIB, 2 * GIB)
        .spa(&PERSISTENT, 6, 11 * GIB, 2 * GIB)
        .spa(&PERSISTENT, 7, 14 * GIB, GIB)
        .spa(&PERSISTENT, 7, 16 * GIB, GIB)
        .mapping(1, 1, 0, 0, 0)
        .mapping(2, 66, 0, 0, 0)
        .spa(&PERSISTENT, 8, 18 * GIB, GIB)
        .finish();
    let contents = Nfit::parse(&bytes).unwrap().contents().unwrap();
    let left: Vec<_> = contents.regions.iter().map(|region| (region.base / GIB, region.armed)).collect();
    assert_eq!(left, [(4, true), (18, true)]);
    assert_eq!(contents.problems.len(), 8, "{:?}", contents.problems);
}
