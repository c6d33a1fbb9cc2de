//! Every bit of every structure of an ext4, flipped once: a named error or the correct answer; with checksums
//! always the error, and it names the right structure.
//!
//! An ordinary run takes a sample, `--long` all of them. What is silent though checksums are on:
//!
//! * the bit of `metadata_csum` itself, which a crash may take and a mount puts back;
//! * in a node of an index, the room for entries that are not used;
//! * the blocks of long symbolic links' targets, of which there are no checksums;
//! * block bitmaps, and of inode bitmaps what is beyond the group's inodes: nobody reads them.

use crate::common::ext4_disk::{Disk, FORMATS, Format, Structure};
use crate::common::ext4_looks::{Answers, Sight, look, sights};
use crate::common::hostile::message;
use crate::common::{Machine, Rng, quiet, sample};
use fs::Error;
use fs::pmem::ram::{Ram, RamAccess};
use fuzz_exec::meter::largest_allocation;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Accesses to the memory that one case may take: a hundred times what a sound image takes.
const MOST_ACCESSES: u64 = 50_000_000;
/// Nobody who checks what an image of this size says needs more than this at once.
const LARGEST_ALLOCATION: usize = 4 << 20;

thread_local! {
    static ACCESSES: Cell<u64> = const { Cell::new(0) };
}

/// Counts accesses; nothing may be stored.
fn watch(_: &Ram, touch: RamAccess<'_>) {
    ACCESSES.set(ACCESSES.get() + 1);
    assert!(ACCESSES.get() < MOST_ACCESSES, "so many accesses: it may never end");
    let is_store = matches!(touch, RamAccess::Store(..) | RamAccess::Stream(..));
    assert!(!is_store, "a mount for reading stores");
}

/// An image, what is to be seen of it, and what is seen of it as long as it is sound.
pub(crate) struct Stage {
    pub(crate) disk: Disk,
    pub(crate) machine: Machine,
    pub(crate) sights: Vec<Sight>,
    pub(crate) sound: Answers,
}

/// What is seen of a damaged image; an error is the mount's.
pub(crate) type Outcome = fs::Result<(Answers, bool)>;

impl Stage {
    pub(crate) fn new(format: &Format) -> Self {
        let disk = Disk::of(format.image());
        let machine = Machine::new(Ram::watched(&disk.bytes, watch));
        ACCESSES.set(0);
        let sights = sights(&machine);
        let (sound, met) = look(&machine, &sights).unwrap_or_else(|error| panic!("{error}"));
        let is_bad = |answer: &Option<fs::Result<u64>>| matches!(answer, None | Some(Err(Error::Corrupt(_))));
        assert!(!met && !sound.iter().any(|(_, answer)| is_bad(answer)), "{met}: {sound:?}");
        Self { disk, machine, sights, sound }
    }

    /// The inodes that have names, and those that hold values of attributes, in order.
    pub(crate) fn inos(&self) -> Vec<u64> {
        let mut inos: Vec<u64> = self.sights.iter().map(|sight| sight.ino).collect();
        let is_value = |ino: &u64| self.disk.u32(self.disk.inode(*ino) + 0x20) & 0x20_0000 != 0;
        inos.extend((11..=128).filter(is_value));
        inos.sort_unstable();
        inos.dedup();
        inos
    }

    /// Puts bytes in place, looks at everything, puts back what was there. An error is a panic's text.
    pub(crate) fn damaged(&self, damage: &[(u64, Vec<u8>)]) -> Result<Outcome, String> {
        damage.iter().for_each(|(at, bytes)| self.machine.ram.poke(*at, bytes));
        ACCESSES.set(0);
        let result = catch_unwind(AssertUnwindSafe(|| look(&self.machine, &self.sights)));
        for (at, bytes) in damage {
            self.machine.ram.poke(*at, &self.disk.bytes[*at as usize..][..bytes.len()]);
        }
        result.map_err(|panic| message(&*panic))
    }

    /// What is wrong with the outcome of flipping bit `bit` of byte `at` in `structure`.
    fn complaint(&self, structure: &Structure, at: u64, outcome: &Outcome) -> Option<String> {
        let is_named = |error: &Error| match error {
            Error::Corrupt(corrupt) => structure.named.contains(&(corrupt.what, corrupt.index)),
            _ => false,
        };
        let (answers, met) = match outcome {
            // Features that are not there, sizes that are not supported: they are the superblock's, too.
            Err(_) if structure.name == "superblock" => return None,
            Err(error) => return (!is_named(error)).then(|| format!("the mount: {error}")),
            Ok(seen) => seen,
        };
        // There are no checksums of content.
        let is_content = structure.name.starts_with("target");
        let mut errors = 0;
        for ((_, answer), (_, sound)) in answers.iter().zip(&self.sound) {
            match answer {
                answer if answer == sound => {}
                None => {}
                _ if is_content => {}
                Some(Err(error)) if is_named(error) => errors += 1,
                other => return Some(format!("{other:?}, not {sound:?}")),
            }
        }
        let is_silent = structure.silent.iter().any(|range| range.contains(&at));
        (errors == 0 && !met && !is_silent).then(|| "nobody noticed".into())
    }
}

/// Calls `f` with a sample of the bits of `structures`, spread over all of them.
fn bits(structures: &[Structure], most: u64, mut f: impl FnMut(&Structure, u64, u8)) {
    let all: u64 = structures.iter().map(|structure| 8 * (structure.bytes.end - structure.bytes.start)).sum();
    // An odd step comes by each bit of a byte.
    let step = (all / most).max(1) | 1;
    let mut next = 0;
    for structure in structures {
        let count = 8 * (structure.bytes.end - structure.bytes.start);
        while next < count {
            f(structure, structure.bytes.start + next / 8, 1 << (next % 8));
            next += step;
        }
        next -= count;
    }
}

fn flip(number: usize, most: u64) {
    let (format, stage) = (&FORMATS[number], Stage::new(&FORMATS[number]));
    let structures = stage.disk.structures(&stage.inos());
    let (mut tried, mut bad) = (0, Vec::new());
    quiet(true);
    bits(&structures, most, |structure, at, bit| {
        tried += 1;
        let damage = [(at, vec![stage.disk.bytes[at as usize] ^ bit])];
        let (largest, result) = largest_allocation(|| stage.damaged(&damage));
        let wrong = match result {
            Err(panic) => Some(panic),
            Ok(_) if largest > LARGEST_ALLOCATION => Some(format!("{largest} bytes were allocated at once")),
            // `metadata_csum`
            Ok(_) if (at, bit) == (1024 + 0x65, 4) => None,
            Ok(outcome) if format.has_checksums() => stage.complaint(structure, at, &outcome),
            Ok(_) => None,
        };
        if let Some(wrong) = wrong {
            let byte = at - structure.bytes.start;
            bad.push(format!("{}, byte {byte:#x}, bit {bit:#x}: {wrong}", structure.name));
        }
    });
    quiet(false);
    println!("{tried} flips, {} structures, {} looks", structures.len(), stage.sound.len());
    assert!(bad.is_empty(), "{} of {tried}: {:#?}", bad.len(), &bad[..bad.len().min(40)]);
}

fn most() -> u64 {
    sample(600, u64::MAX)
}

#[test]
fn every_bit_with_checksums_in_blocks_of_4_kib() {
    flip(0, most());
}

#[test]
fn every_bit_without_checksums_in_blocks_of_4_kib() {
    flip(1, most());
}

#[test]
fn every_bit_with_checksums_in_blocks_of_1_kib() {
    flip(2, most());
}

#[test]
fn every_bit_without_checksums_and_extents() {
    flip(3, most());
}

/// Some changes to structures that a seed makes up: fields, parts, whole structures that take others' places.
fn made_up(stage: &Stage, structures: &[Structure], seed: u64) -> Vec<(u64, Vec<u8>)> {
    let mut rng = Rng::new(seed);
    let blocks = stage.disk.bytes.len() as u64 / stage.disk.block;
    let one = |rng: &mut Rng| &structures[rng.below(structures.len() as u64) as usize];
    let count = 1 + rng.below(4);
    let mut damage = Vec::new();
    for _ in 0..count {
        let (to, other) = (one(&mut rng), one(&mut rng));
        let len = to.bytes.end - to.bytes.start;
        // Mostly where the structure begins.
        let within = if rng.one_in(2) { rng.below(len) } else { rng.below(len.min(64)) };
        let start = other.bytes.start;
        let ino = *other.inos.first().unwrap_or(&11);
        let edges = [0, 1, 2, 8, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, u64::MAX, blocks - 1, blocks];
        let numbers = [edges[rng.below(11) as usize], start / stage.disk.block, ino, rng.below(blocks)];
        let number = numbers[rng.below(4) as usize].to_le_bytes();
        let (at, bytes) = match rng.below(6) {
            0 | 1 => (within & !3, number[..4].to_vec()),
            2 => (within & !1, number[..2].to_vec()),
            3 => (within, vec![stage.disk.bytes[(to.bytes.start + within) as usize] ^ 1 << rng.below(8)]),
            4 => {
                let mut bytes = vec![0; 1 + rng.below(64) as usize];
                rng.fill(&mut bytes);
                (within, bytes)
            }
            _ => (0, stage.disk.bytes[start as usize..other.bytes.end as usize].to_vec()),
        };
        let room = (len - at) as usize;
        damage.push((to.bytes.start + at, bytes[..bytes.len().min(room)].to_vec()));
    }
    damage
}

#[test]
fn made_up_damage_gets_an_answer() {
    for number in [1, 3] {
        let stage = Stage::new(&FORMATS[number]);
        let structures = stage.disk.structures(&stage.inos());
        let (mut mounted, mut bad, seeds) = (0, Vec::new(), sample(400, 50_000));
        quiet(true);
        for seed in 0..seeds {
            let damage = made_up(&stage, &structures, seed);
            let (largest, result) = largest_allocation(|| stage.damaged(&damage));
            match result {
                Err(panic) => bad.push(format!("seed {seed}: {panic}: {damage:x?}")),
                Ok(_) if largest > LARGEST_ALLOCATION => bad.push(format!("seed {seed}: {largest} bytes")),
                Ok(outcome) => mounted += u64::from(outcome.is_ok()),
            }
        }
        quiet(false);
        assert!(bad.is_empty(), "{} of {seeds}: {:#?}", bad.len(), &bad[..bad.len().min(5)]);
        assert!(mounted > seeds / 3, "{mounted} mounted");
    }
}
