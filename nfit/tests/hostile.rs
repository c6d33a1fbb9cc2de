//! Bytes that mean harm: whatever they are, every way in answers, in bounded time, and what it
//! vouches for holds.

use std::time::{Duration, Instant};

use crate::common;
use crate::common::{GIB, PERSISTENT, PERSISTENT_DISK, Table, VOLATILE, fix_checksum, fix_up};
use nfit::{Error, Nfit, PAGE_BYTES, Region};
use proptest::prelude::*;

const QEMU_TWO: &[u8] = include_bytes!("data/qemu72-two.bin");

/// Goes every way in, prints everything, and checks what must hold for any table.
fn exercise(bytes: &[u8]) {
    let nfit = match Nfit::parse(bytes) {
        Ok(nfit) => nfit,
        Err(error) => return one_line(&error.to_string()),
    };
    one_line(&nfit.to_string());
    let (mut structures, mut unread) = (0, Vec::new());
    for item in nfit.structures() {
        structures += 1;
        match item {
            Ok(structure) => one_line(&structure.to_string()),
            Err(error) => unread.push(error),
        }
    }
    assert!(structures <= bytes.len() / 4, "more structures than the table has room for");
    let contents = nfit.contents().unwrap();
    assert!(contents.problems.starts_with(&unread), "{unread:?} {:?}", contents.problems);
    // At most what each structure can have wrong: of a mapping, three references.
    assert!(contents.problems.len() <= 3 * structures);
    contents.problems.iter().for_each(|problem| one_line(&problem.to_string()));
    for region in &contents.regions {
        one_line(&region.to_string());
        region.dimms.iter().for_each(|dimm| one_line(&dimm.to_string()));
        assert!(region.length != 0 && region.spa_index != 0);
        assert!(region.base % PAGE_BYTES == 0 && region.length % PAGE_BYTES == 0);
        assert_eq!(region.base.checked_add(region.length), Some(region.end()));
        assert!(!region.armed || unread.is_empty() || !region.dimms.is_empty());
    }
    let apart = |pair: &[Region<'_>]| pair[0].end() <= pair[1].base;
    assert!(contents.regions.windows(2).all(apart), "regions overlap");
}

fn one_line(text: &str) {
    assert!(!text.is_empty() && text.chars().all(|character| (' '..='~').contains(&character)), "{text:?}");
}

#[test]
fn every_truncation_is_an_answer() {
    for table in [Table::everything().finish(), QEMU_TWO.to_vec()] {
        for length in 0..table.len() {
            let mut cut = table[..length].to_vec();
            assert!(Nfit::parse(&cut).is_err(), "cut to {length}");
            exercise(&cut);
            if length >= common::HEADER {
                fix_up(&mut cut);
                exercise(&cut);
            }
        }
    }
}

#[test]
fn every_corrupted_byte_is_an_answer() {
    for table in [Table::everything().finish(), QEMU_TWO.to_vec()] {
        for position in 0..table.len() {
            for value in 0..=255 {
                let mut bytes = table.clone();
                bytes[position] = value;
                // A smaller length takes bytes off the sum, and may by chance take off 0.
                if value != table[position] && !(4..8).contains(&position) {
                    assert!(Nfit::parse(&bytes).is_err(), "byte {position} set to {value} went unnoticed");
                }
                fix_checksum(&mut bytes);
                // Printing everything takes longest, so it is done for the flipped bits.
                if (value ^ table[position]).is_power_of_two() {
                    exercise(&bytes);
                } else if let Ok(nfit) = Nfit::parse(&bytes) {
                    assert!(nfit.structures().count() <= bytes.len() / 4);
                    nfit.contents().unwrap();
                }
            }
        }
    }
}

/// Builds a table from parts, and fails if going through it takes longer than a debug build could
/// need.
fn bounded(name: &str, table: Table) {
    let bytes = table.finish();
    let start = Instant::now();
    exercise(&bytes);
    let took = start.elapsed();
    assert!(took < Duration::from_secs(200), "{name}: {took:?} for {} bytes", bytes.len());
}

#[test]
fn large_tables_take_bounded_work() {
    let addresses: Vec<u64> = (0..8000).collect();
    let mut mappings = Table::new().spa(&PERSISTENT, 1, 0, GIB).flush_hints(1, &addresses);
    let mut disks = Table::new();
    let mut neighbours = Table::new();
    let mut nested = Table::new();
    for number in 1..=60_000u16 {
        let base = u64::from(number) * 8192;
        mappings = mappings.mapping(1, 1, 0, 0, 0);
        neighbours = neighbours.spa(&PERSISTENT, number, base, 8192);
        nested = nested.spa(&VOLATILE, number, base, GIB);
        let guid = if number % 2 == 0 { PERSISTENT } else { PERSISTENT_DISK };
        let base = if number % 2 == 0 { base } else { base + 8192 };
        disks = disks.spa(&guid, number, base, 8192);
    }
    bounded("mappings that share long flush hints", mappings);
    bounded("60000 regions", neighbours.clone());
    bounded("60000 nested ranges", nested);
    bounded("regions and virtual disks", disks);
    let mut tiny = Table::new();
    for _ in 0..1 << 20 {
        tiny = tiny.raw(&[0xff, 0xff, 4, 0]);
    }
    bounded("a million empty structures", tiny);
}

/// A structure with plausible fields: small indexes and page-sized ranges, so that references often
/// hit.
fn plausible(table: Table, (kind, a, b, c): (u8, u16, u16, u16)) -> Table {
    let (base, length) = (u64::from(b) * 4096, u64::from(c) * 4096);
    match kind {
        0..3 => table.spa(&PERSISTENT, a, base, length),
        3 => table.spa(&PERSISTENT_DISK, 0, base, length),
        4 => table.spa(&VOLATILE, a, base, length),
        5..9 => table.mapping(a.into(), b, c, 0, a),
        9 => table.control(a),
        10 => table.control_with_windows(a),
        11 => table.interleave(a, &[b.into(), c.into()]),
        12 => table.flush_hints(a.into(), &[b.into()]),
        13 => table.capabilities(b as u8, c.into()),
        14 => table.data_window(a),
        _ => table.structure(a, &b.to_le_bytes()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn random_bytes_are_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        exercise(&bytes);
    }

    #[test]
    fn random_bytes_behind_a_good_header_are_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        exercise(&Table::new().raw(&bytes).finish());
    }

    #[test]
    fn random_structures_are_an_answer(
        soup in prop::collection::vec((0u16..9, 0u16..100, prop::collection::vec(any::<u8>(), 100)), 0..20),
    ) {
        let mut table = Table::new();
        for (structure_type, length, bytes) in soup {
            let body = usize::from(length).saturating_sub(4);
            table = table.raw(&structure_type.to_le_bytes()).raw(&length.to_le_bytes()).raw(&bytes[..body]);
        }
        exercise(&table.finish());
    }

    #[test]
    fn random_plausible_structures_are_an_answer(
        soup in prop::collection::vec((0u8..16, 0u16..6, 0u16..40, 0u16..4), 0..12),
    ) {
        let table = soup.into_iter().fold(Table::new(), plausible);
        exercise(&table.finish());
    }

    #[test]
    fn overlap_is_what_pairwise_comparison_says(
        ranges in prop::collection::vec((any::<bool>(), 0u64..60, 1u64..9), 1..8),
    ) {
        let mut table = Table::new();
        for (number, (persistent, base, length)) in ranges.iter().enumerate() {
            let guid = if *persistent { PERSISTENT } else { VOLATILE };
            table = table.spa(&guid, number as u16 + 1, base * PAGE_BYTES, length * PAGE_BYTES);
        }
        // A persistent range is used if it lies apart from every other, and a problem otherwise.
        let used = ranges.iter().enumerate().filter(|(position, (persistent, base, length))| {
            let apart = |(other, (_, other_base, other_length)): (usize, &(bool, u64, u64))| {
                other == *position || base + length <= *other_base || other_base + other_length <= *base
            };
            *persistent && ranges.iter().enumerate().all(apart)
        });
        let mut expected: Vec<_> = used.map(|(_, (_, base, _))| base * PAGE_BYTES).collect();
        expected.sort_unstable();
        let bytes = table.finish();
        let contents = Nfit::parse(&bytes).unwrap().contents().unwrap();
        let bases: Vec<_> = contents.regions.iter().map(|region| region.base).collect();
        prop_assert_eq!(bases, expected);
        let refused = ranges.iter().filter(|(persistent, ..)| *persistent).count() - contents.regions.len();
        prop_assert_eq!(contents.problems.len(), refused);
        for problem in contents.problems {
            let overlap = matches!(problem, Error::Overlap { index, other_index, .. } if index != other_index);
            prop_assert!(overlap, "{}", problem);
        }
    }
}
