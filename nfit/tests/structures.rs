//! The header and the list of structures: what is decoded and printed, and the exact error of each
//! bad input.

use crate::common::{HEADER, MAPPING, PERSISTENT, SPA, Table, VOLATILE, fix_checksum, fix_up};
use nfit::{Contents, Error, FixedText, Location, Nfit, Structure, StructureType};

fn place(structure_type: StructureType, ordinal: usize, offset: usize) -> Location {
    Location { structure_type, ordinal, offset }
}

/// All items of the iterator.
fn items(bytes: &[u8]) -> Vec<Result<Structure<'_>, Error>> {
    Nfit::parse(bytes).unwrap().structures().collect()
}

/// The only error among a table's structures, which is its only problem; and how many structures could be
/// read after it.
fn only_error(bytes: &[u8]) -> (Error, usize) {
    let items = items(bytes);
    let at = items.iter().position(Result::is_err).unwrap();
    assert!(items[at + 1..].iter().all(Result::is_ok), "more than one error: {items:?}");
    let error = items[at].unwrap_err();
    assert_eq!(Nfit::parse(bytes).unwrap().contents().unwrap().problems, [error]);
    (error, items.len() - at - 1)
}

/// Bases of the regions that the table is used for, and whether each may be written.
fn used(bytes: &[u8]) -> Vec<(u64, bool)> {
    let contents = Nfit::parse(bytes).unwrap().contents().unwrap();
    contents.regions.iter().map(|region| (region.base, region.armed)).collect()
}

#[test]
fn one_of_everything_prints_one_line_each() {
    let bytes = Table::everything().finish();
    let nfit = Nfit::parse(&bytes).unwrap();
    assert_eq!(nfit.to_string(), format!("nfit: oem DAXIOM table TEST revision 1 length {}", bytes.len()));
    assert_eq!((nfit.oem_id(), nfit.revision(), nfit.oem_revision()), (FixedText(*b"DAXIOM"), 1, 7));
    let lines: Vec<_> = nfit.structures().map(|structure| structure.unwrap().to_string()).collect();
    let expected = [
        "spa 1: persistent memory 0x100000000..0x140000000 (1 GiB) proximity 5 attribute WB|NV",
        "mapping: handle 0x12345 (dimm 5 channel 4 controller 3 socket 2 node 1) physical id 17 region id 4 \
         spa 1 control region 9 size 1 GiB offset 0x1000 dpa 0x2000 interleave 3 ways 1 state none",
        "interleave 3: lines 3 of 256 B",
        "smbios: 6 bytes",
        "control region 9: vendor 0x8086 device 0x2 revision 0x3 subsystem 0x1af4:0x5:0x6 serial 0xdeadbeef \
         format 0x101 (byte-addressable energy-backed) made at 0x21 on 0x4223 block windows 0",
        "control region 10: vendor 0x0 device 0x0 revision 0x0 subsystem 0x0:0x0:0x0 serial 0x0 format 0x0 \
         block windows 2 of 8 KiB",
        "block data window: control region 10 windows 2 of 8 KiB start 0x40 capacity 1 GiB first block 0x80",
        "flush hints: handle 0x12345 (dimm 5 channel 4 controller 3 socket 2 node 1) addresses 2 at \
         0xfed00000 0xfed00040",
        "capabilities: cpu cache flush, memory controller flush",
        "unknown structure: type 30583 length 18",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn fields_behind_the_line_are_decoded() {
    let bytes = Table::everything().finish();
    let items = items(&bytes);
    let Ok(Structure::Interleave(interleave)) = items[2] else { panic!() };
    assert_eq!(interleave.line_offsets().collect::<Vec<_>>(), [0, 2, 4]);
    let Ok(Structure::ControlRegion(control)) = items[5] else { panic!() };
    let windows = control.block_control_windows.unwrap();
    assert_eq!((windows.number, windows.window_size, windows.flags), (2, 0x2000, 1));
    assert_eq!((windows.command_register_offset, windows.command_register_size), (8, 9));
    assert_eq!((windows.status_register_offset, windows.status_register_size), (10, 11));
    assert_eq!(control.manufactured(), None);
}

#[test]
fn many_flush_hints_are_one_short_line() {
    let bytes = Table::new().flush_hints(1, &[1, 2, 3, 4, 5, 6]).flush_hints(2, &[]).finish();
    let lines: Vec<_> = items(&bytes).into_iter().map(|item| item.unwrap().to_string()).collect();
    assert!(lines[0].ends_with("addresses 6 at 0x1 0x2 0x3 0x4 +2 more"), "{}", lines[0]);
    assert!(lines[1].ends_with("addresses 0"), "{}", lines[1]);
}

#[test]
fn the_location_cookie_is_read_only_if_flagged() {
    let spa = |flags: u8, cookie: &[u8]| {
        let mut bytes = Table::new().spa(&VOLATILE, 1, 0, 4096).raw(cookie).finish();
        bytes[HEADER + 2] += u8::try_from(cookie.len()).unwrap();
        bytes[HEADER + 6] = flags;
        fix_checksum(&mut bytes);
        bytes
    };
    let bytes = spa(5, &[0xef, 0xcd, 0, 0, 0, 0, 0, 0]);
    let text = "spa 1: volatile memory 0x0..0x1000 (4 KiB) proximity unknown attribute WB|NV hot-add-only \
                cookie 0xcdef";
    assert_eq!(items(&bytes)[0].unwrap().to_string(), text);
    let bytes = spa(1, &[0xef, 0xcd, 0, 0, 0, 0, 0, 0]);
    assert!(!items(&bytes)[0].unwrap().to_string().contains("cookie"));
    let at = place(StructureType::SPA_RANGE, 0, HEADER);
    assert_eq!(only_error(&spa(4, &[])), (Error::StructureTooShort { at, length: 56, needed: 64 }, 0));
}

#[test]
fn an_empty_table_is_fine() {
    let bytes = Table::new().finish();
    assert_eq!(items(&bytes), []);
    let nfit = Nfit::parse(&bytes).unwrap();
    assert_eq!(nfit.contents(), Ok(Contents::default()));
}

#[test]
fn bytes_after_the_table_are_ignored() {
    let mut bytes = Table::everything().finish();
    let length = bytes.len();
    bytes.extend_from_slice(&[0xff; 100]);
    assert_eq!(Nfit::parse(&bytes).unwrap().bytes().len(), length);
}

#[test]
fn a_bad_header_is_named() {
    let good = Table::everything().finish();
    assert_eq!(Nfit::parse(&good[..39]).unwrap_err(), Error::HeaderTruncated { given: 39 });
    assert_eq!(Nfit::parse(&[]).unwrap_err(), Error::HeaderTruncated { given: 0 });

    let mut bytes = good.clone();
    bytes[..4].copy_from_slice(b"APIC");
    fix_checksum(&mut bytes);
    let error = Nfit::parse(&bytes).unwrap_err();
    assert_eq!(error, Error::Signature { found: FixedText(*b"APIC") });
    assert_eq!(error.to_string(), "nfit header: signature is APIC, not NFIT");

    for length in [0u32, 36, 39] {
        let mut bytes = good.clone();
        bytes[4..8].copy_from_slice(&length.to_le_bytes());
        assert_eq!(Nfit::parse(&bytes).unwrap_err(), Error::LengthTooShort { length });
    }
    let (length, given) = (u32::try_from(good.len()).unwrap(), good.len() - 1);
    let error = Nfit::parse(&good[..given]).unwrap_err();
    assert_eq!(error, Error::LengthPastBytes { length, given });
    assert_eq!(error.to_string(), format!("nfit header: length field is {length}, only {given} bytes given"));
    let mut bytes = good.clone();
    bytes[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(
        Nfit::parse(&bytes).unwrap_err(),
        Error::LengthPastBytes { length: u32::MAX, given: good.len() }
    );

    let mut bytes = good.clone();
    bytes[9] = bytes[9].wrapping_add(3);
    let error = Nfit::parse(&bytes).unwrap_err();
    assert_eq!(error, Error::Checksum { length, sum: 3 });
    let text = format!("nfit header: checksum is wrong, the table's {length} bytes sum to 0x3, not 0");
    assert_eq!(error.to_string(), text);
}

/// As Linux does it: firmware with such a table exists.
#[test]
fn a_structure_of_length_0_ends_the_table_and_what_came_before_is_used() {
    let before = Table::new().spa(&PERSISTENT, 1, 0, 4096).mapping(1, 1, 0, 0, 0).capabilities(1, 3);
    let after = before.raw(&[0, 0, 0, 0]).spa(&PERSISTENT, 2, 8192, 4096).mapping(1, 2, 0, 0, 0);
    let bytes = after.finish();
    let (error, after) = only_error(&bytes);
    let offset = HEADER + SPA + MAPPING + 16;
    assert_eq!(error, Error::ZeroLength { at: place(StructureType::SPA_RANGE, 3, offset) });
    let text = "spa range structure (type 0, ordinal 3, byte offset 160): length is 0";
    assert_eq!((error.to_string().as_str(), after), (text, 0));
    assert_eq!(used(&bytes), [(0, true)]);
    let contents = Nfit::parse(&bytes).unwrap().contents().unwrap();
    assert!(contents.capabilities.unwrap().cpu_cache_flush());
    assert_eq!(contents.regions[0].dimms.len(), 1);
}

/// What could not be read may have been the mapping that says "not armed": writes would be lost with the
/// power.
#[test]
fn a_region_whose_dimms_may_not_have_been_read_is_read_only() {
    let range = Table::new().spa(&PERSISTENT, 1, 0, 4096);
    assert_eq!(used(&range.clone().finish()), [(0, true)]);
    assert_eq!(used(&range.clone().raw(&[1, 0, 0, 0]).mapping(1, 1, 0, 0, 0).finish()), [(0, false)]);
    assert_eq!(used(&range.clone().structure(1, &[0; 40]).finish()), [(0, false)]);
    assert_eq!(used(&range.mapping(1, 1, 0, 0, 0).raw(&[1, 0, 0, 0]).finish()), [(0, true)]);
}

#[test]
fn a_structure_below_its_minimum_is_skipped() {
    let minimums = [(0, 56), (1, 48), (2, 16), (3, 8), (4, 32), (5, 40), (6, 16), (7, 16)];
    for (number, needed) in minimums {
        let at = place(StructureType(number), 2, HEADER + SPA + MAPPING);
        let before = Table::new().spa(&PERSISTENT, 1, 0, 4096).mapping(1, 1, 0, 0, 0);
        for length in 4..u16::try_from(needed).unwrap() {
            let body = vec![0; usize::from(length) - 4];
            let table = before.clone().structure(number, &body);
            let bytes = table.spa(&PERSISTENT, 2, 8192, 4096).mapping(2, 2, 0, 0, 8).finish();
            assert_eq!(only_error(&bytes), (Error::StructureTooShort { at, length, needed }, 2));
            assert_eq!(used(&bytes), [(0, true), (8192, false)], "type {number} with {length} bytes");
        }
        let body = vec![0; needed - 4];
        let bytes = Table::new().structure(number, &body).finish();
        assert!(items(&bytes)[0].is_ok(), "type {number} with its minimum of {needed} bytes");
    }
}

#[test]
fn a_length_that_does_not_cover_itself_ends_the_table() {
    for (structure_type, length) in (0..9u16).flat_map(|number| [(number, 1u16), (number, 2), (number, 3)]) {
        let at = place(StructureType(structure_type), 2, HEADER + SPA + MAPPING);
        let table = Table::new().spa(&PERSISTENT, 1, 0, 4096).mapping(1, 1, 0, 0, 0);
        let table = table.raw(&structure_type.to_le_bytes()).raw(&length.to_le_bytes());
        let bytes = table.spa(&PERSISTENT, 2, 8192, 4096).finish();
        assert_eq!(only_error(&bytes), (Error::StructureTooShort { at, length, needed: 4 }, 0));
        assert_eq!(used(&bytes), [(0, true)]);
    }
}

#[test]
fn unknown_structures_are_skipped() {
    let table = Table::new().structure(8, &[]).spa(&PERSISTENT, 1, 0, 4096).structure(0xffff, &[0xff; 7]);
    let bytes = table.mapping(1, 1, 0, 0, 0).spa(&PERSISTENT, 2, 8192, 4096).finish();
    assert_eq!(used(&bytes), [(0, true), (8192, true)]);
    assert_eq!(Nfit::parse(&bytes).unwrap().contents().unwrap().problems, []);
}

#[test]
fn a_list_longer_than_its_structure_is_named() {
    // (structure, where its count is, count, bytes it would need)
    let cases = [
        (Table::new().interleave(1, &[1, 2]), 8, 3u32, 28),
        (Table::new().interleave(1, &[1, 2]), 8, u32::MAX, 16 + 4 * u32::MAX as usize),
        (Table::new().flush_hints(1, &[1, 2]), 8, 3, 40),
        (Table::new().flush_hints(1, &[1, 2]), 8, 0xffff, 16 + 8 * 0xffff),
        (Table::new().control(1), 30, 1, 80),
    ];
    for (table, field, count, needed) in cases {
        let mut bytes = table.finish();
        let length = u16::try_from(bytes.len() - HEADER).unwrap();
        let width = if field == 30 { 2 } else { 4 };
        bytes[HEADER + field..HEADER + field + width].copy_from_slice(&count.to_le_bytes()[..width]);
        fix_up(&mut bytes);
        let structure_type = StructureType(bytes[HEADER].into());
        let at = place(structure_type, 0, HEADER);
        assert_eq!(only_error(&bytes), (Error::StructureTooShort { at, length, needed }, 0));
    }
}

#[test]
fn a_structure_past_the_end_is_named_and_what_came_before_is_used() {
    let mut bytes = Table::new().spa(&PERSISTENT, 1, 0, 4096).mapping(1, 1, 0, 0, 0).finish();
    bytes[HEADER + SPA + 2] += 1;
    fix_checksum(&mut bytes);
    let (error, _) = only_error(&bytes);
    assert_eq!(used(&bytes), [(0, false)]);
    let at = place(StructureType::REGION_MAPPING, 1, HEADER + SPA);
    assert_eq!(error, Error::PastEnd { at, length: 49, remaining: MAPPING });
    let text = "region mapping structure (type 1, ordinal 1, byte offset 96): length is 49, only 48 \
                bytes are left in the table";
    assert_eq!(error.to_string(), text);
}

#[test]
fn an_odd_remainder_is_named() {
    for remaining in 1..4 {
        let rest = vec![0; remaining];
        let bytes = Table::new().spa(&PERSISTENT, 1, 0, 4096).raw(&rest).finish();
        let (error, _) = only_error(&bytes);
        assert_eq!(used(&bytes), [(0, false)]);
        assert_eq!(error, Error::Remainder { ordinal: 1, offset: HEADER + SPA, remaining });
        assert!(error.to_string().starts_with("nfit structure (ordinal 1, byte offset 96): "));
    }
}

#[test]
fn capabilities_are_believed_once() {
    let contents = |bytes: &[u8]| {
        let contents = Nfit::parse(bytes).unwrap().contents().unwrap();
        (contents.capabilities, contents.problems)
    };
    let (capabilities, problems) = contents(&Table::new().capabilities(1, 2).finish());
    let capabilities = capabilities.unwrap();
    assert!(capabilities.memory_controller_flush() && !capabilities.cpu_cache_flush());
    assert_eq!(problems, []);
    let bytes = Table::new().capabilities(1, 2).capabilities(1, 3).spa(&PERSISTENT, 1, 0, 4096).finish();
    let (first, at) = (place(StructureType::CAPABILITIES, 0, 40), place(StructureType::CAPABILITIES, 1, 56));
    assert_eq!(contents(&bytes), (None, vec![Error::DuplicateCapabilities { at, first }]));
    assert_eq!(used(&bytes), [(0, true)]);
}
