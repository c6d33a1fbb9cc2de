//! Memory errors under an ext4: each is an error of the structure that it took, which is named, and hides
//! only what cannot be told without it. Under content it is an error of that place.

use crate::common::ext4_disk::{FORMATS, Structure};
use crate::common::ext4_looks::{look, mount};
use crate::common::{BLOCK, Machine, View, at, pattern, sample};
use crate::ext4_hostile::Stage;
use fs::Error;
use fs::pmem::ram::Ram;
use fs::vfs::FileSystem;
use std::collections::BTreeSet;

const LINE: u64 = 64;
const LOST: &str = "an uncorrectable memory error at this byte of the region";

/// The inodes at which something may be missing if `structure` is lost: its own, and what is below it.
fn hidden(stage: &Stage, structure: &Structure) -> BTreeSet<usize> {
    let mut hidden = BTreeSet::new();
    for (place, sight) in stage.sights.iter().enumerate() {
        let is_own = structure.inos.contains(&sight.ino);
        if is_own || (place > 0 && hidden.contains(&sight.parent)) {
            hidden.insert(place);
        }
    }
    hidden
}

fn lose(number: usize) {
    let stage = Stage::new(&FORMATS[number]);
    let machine = Machine::new(Ram::from_bytes(&stage.disk.bytes));
    let (mut tried, mut bad) = (0, Vec::new());
    for structure in stage.disk.structures(&stage.inos()).into_iter().step_by(sample(2, 1)) {
        let lines = (structure.bytes.end - structure.bytes.start) / LINE;
        let hidden = hidden(&stage, &structure);
        // Two small descriptors share one.
        let places = if lines == 0 { vec![] } else { vec![0, lines / 2, lines - 1] };
        for line in places {
            tried += 1;
            let name = format!("{}, line {line}", structure.name);
            machine.ram.poison.clear(0, stage.disk.bytes.len() as u64).expect("room");
            machine.ram.poison.add(structure.bytes.start + line * LINE, 1).expect("room");
            let is_named = |error: &Error| match error {
                Error::Corrupt(told) => {
                    told.why == LOST && structure.named.contains(&(told.what, told.index))
                }
                _ => false,
            };
            match look(&machine, &stage.sights) {
                // The number is its place.
                Err(Error::Corrupt(told)) if (told.what, told.why) == ("superblock", LOST) => {}
                Err(error) if is_named(&error) && hidden.contains(&0) => {}
                Err(error) => bad.push(format!("{name}: the mount: {error}")),
                Ok((answers, _)) => {
                    for ((place, answer), (_, sound)) in answers.iter().zip(&stage.sound) {
                        let fits = match answer {
                            answer if answer == sound => true,
                            None => hidden.contains(place),
                            Some(Err(error)) => is_named(error) && hidden.contains(place),
                            Some(Ok(_)) => false,
                        };
                        if !fits {
                            bad.push(format!("{name}: {place}: {answer:?}, not {sound:?}"));
                        }
                    }
                }
            }
        }
    }
    assert!(bad.is_empty(), "{} of {tried}: {:#?}", bad.len(), &bad[..bad.len().min(30)]);
    assert!(tried > 50, "{tried}");
}

#[test]
fn what_is_lost_of_structures_with_checksums_is_named_and_hides_nothing_else() {
    lose(0);
    lose(2);
}

#[test]
fn what_is_lost_of_structures_without_checksums_is_named_and_hides_nothing_else() {
    lose(1);
    lose(3);
}

#[test]
fn a_read_ends_before_what_is_lost_of_content_and_mappings_of_it_go() {
    let stage = Stage::new(&FORMATS[0]);
    let machine = Machine::new(Ram::from_bytes(&stage.disk.bytes));
    let fs = mount(&machine).unwrap_or_else(|error| panic!("{error}"));
    let file = at(&fs, "long");
    let view = View::new(&file, 0..13);
    view.load_byte(5 * BLOCK).expect("load");
    view.load_byte(6 * BLOCK).expect("load");
    let line = stage.disk.blocks(file.ino()).0[5] * BLOCK + 640;
    machine.ram.poison.add(line, 1).expect("room");
    fs.memory_failed(line, LINE);
    assert!(view.entry(5).is_none() && view.entry(6).is_some());
    assert_eq!(view.load_byte(5 * BLOCK), Err(Error::Poisoned(line)));
    let (mut back, bytes, bad) = (vec![0; 50_000], pattern(2, 50_000), 5 * 4096 + 640);
    assert_eq!(file.read_at(0, &mut back), Ok(bad));
    assert!(back[..bad] == bytes[..bad]);
    assert_eq!(file.read_at(bad as u64, &mut back), Err(Error::Poisoned(line)));
    assert_eq!(file.read_at(bad as u64 + LINE, &mut back), Ok(50_000 - bad - 64));
    assert!(back[..50_000 - bad - 64] == bytes[bad + 64..]);
    assert!(!fs.met_errors(), "the image is not to blame");
}
