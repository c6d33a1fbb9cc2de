//! Random sequences against a model: which page of which file each page of the address space shows, and what
//! it holds.

use super::*;
use std::collections::BTreeMap;
use vm::{Advice, Refusal};

/// The model's pages lie from here on.
const START: u64 = vm::MMAP;
/// So many of them are used.
const ROOM: u64 = 24;
/// Pages of a file.
const FILE: u64 = 12;

/// What a page of the address space shows.
#[derive(Clone, PartialEq, Debug)]
struct Shown {
    file: usize,
    page: u64,
    private: bool,
    write: bool,
    /// What a private copy holds.
    copy: Option<u64>,
}

type Pages = BTreeMap<u64, Shown>;

struct Model {
    /// What each page of the two files begins with.
    words: [[u64; FILE as usize]; 2],
    /// What each address space shows, by page.
    spaces: Vec<Pages>,
}

struct Rng(u64);

impl Rng {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

#[test]
fn address_spaces_show_what_a_list_of_pages_says() {
    let seeds = if std::env::var_os("DAXIOM_LONG").is_some() { 1..2000 } else { 1..100 };
    for seed in seeds {
        sequence(seed);
    }
}

fn sequence(seed: u64) {
    let stage = Stage::new();
    let files = [stage.file("f", FILE), stage.file("g", FILE)];
    let mut words = [[0; FILE as usize]; 2];
    for (file, name) in ["f", "g"].into_iter().enumerate() {
        words[file] = std::array::from_fn(|page| word(name, page as u64));
    }
    let mut model = Model { words, spaces: vec![Pages::new()] };
    let mut spaces = vec![stage.space()];
    let mut rng = Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut told = Vec::new();
    for step in 0..60 {
        let which = rng.below(spaces.len() as u64) as usize;
        let text = one_step(&mut rng, which, step, &files, &mut spaces, &mut model);
        told.push(format!("{which}: {text}"));
        check(&files, &spaces, &model)
            .unwrap_or_else(|why| panic!("seed {seed}: {why}\n{}", told.join("\n")));
    }
    drop(spaces);
    assert!(files.iter().all(|file| !is_mapped(&**file)), "seed {seed}: a file is mapped nowhere");
    assert_eq!((stage.memory.tables(), stage.memory.copies()), (0, 0), "seed {seed}: frames are left");
}

fn one_step(
    rng: &mut Rng,
    which: usize,
    step: u64,
    files: &[File; 2],
    spaces: &mut Vec<Space>,
    model: &mut Model,
) -> String {
    let space = &spaces[which];
    let first = rng.below(ROOM);
    let count = 1 + rng.below((ROOM - first).min(6));
    let at = |page: u64| START + page * PAGE;
    let range = first..first + count;
    let pages = &mut model.spaces[which];
    match rng.below(12) {
        0..3 => {
            let (file, from) = (rng.below(2) as usize, rng.below(FILE - 6));
            let (private, write) = (rng.below(2) == 1, rng.below(3) > 0);
            let kind = VmaKind { private, ..kind(if write { RW } else { RO }) };
            assert_eq!(
                map(space, &files[file], from, count, Placement::Exactly(at(first)), kind),
                Ok(at(first))
            );
            for (nth, page) in range.clone().enumerate() {
                pages.insert(page, Shown { file, page: from + nth as u64, private, write, copy: None });
            }
            format!("map {range:?} of file {file} from {from}, private: {private}, write: {write}")
        }
        3 => {
            space.munmap(at(first), count * PAGE).unwrap();
            pages.retain(|page, _| !range.contains(page));
            format!("munmap {range:?}")
        }
        4 => {
            let write = rng.below(2) == 1;
            let so_far: Vec<u64> = range.clone().take_while(|page| pages.contains_key(page)).collect();
            let result = space.mprotect(at(first), count * PAGE, if write { RW } else { RO });
            assert_eq!(result.is_ok(), so_far.len() as u64 == count);
            for page in so_far {
                pages.get_mut(&page).unwrap().write = write;
            }
            format!("mprotect {range:?}, write: {write}")
        }
        5 => {
            let result = space.madvise(at(first), count * PAGE, Advice::DontNeed);
            assert_eq!(result.is_ok(), range.clone().all(|page| pages.contains_key(&page)));
            pages
                .iter_mut()
                .filter(|(page, _)| range.contains(page))
                .for_each(|(_, shown)| shown.copy = None);
            format!("forget {range:?}")
        }
        6 => {
            let to = rng.below(ROOM - count);
            let result = space.mremap(at(first), count * PAGE, count * PAGE, true, Some(at(to)));
            let apart = to + count <= first || first + count <= to;
            match result {
                Ok(moved) => {
                    assert!(apart && moved == at(to));
                    let old: Vec<Shown> =
                        range.clone().map(|page| pages.remove(&page).expect("it was mapped")).collect();
                    for (nth, shown) in old.into_iter().enumerate() {
                        pages.insert(to + nth as u64, shown);
                    }
                }
                // Not in one VMA, or onto itself: of the latter there is a test by name.
                Err(_) => assert!(!apart || !one_area(pages, &range)),
            }
            format!("mremap {range:?} to {to}: {result:?}")
        }
        7 if spaces.len() < 3 => {
            let child = space.fork().unwrap();
            let copy = model.spaces[which].clone();
            model.spaces.push(copy);
            spaces.push(child);
            "fork".into()
        }
        7 if spaces.len() > 1 => {
            model.spaces.remove(which);
            spaces.remove(which);
            "exit".into()
        }
        _ => {
            let value = 0x1_0000_0000_0000 + step;
            let stored = space.store(at(first), value);
            let Some(shown) = pages.get_mut(&first) else {
                assert_eq!(stored, Err(Refusal::NoVma));
                return format!("store {first}");
            };
            assert_eq!(stored.is_ok(), shown.write);
            match (shown.write, shown.private) {
                (true, true) => shown.copy = Some(value),
                (true, false) => model.words[shown.file][shown.page as usize] = value,
                (false, _) => {}
            }
            format!("store {first}")
        }
    }
}

/// The pages are one VMA: each goes on where the one before ends.
fn one_area(pages: &Pages, range: &std::ops::Range<u64>) -> bool {
    let all: Option<Vec<&Shown>> = range.clone().map(|page| pages.get(&page)).collect();
    all.is_some_and(|all| {
        all.windows(2).all(|pair| {
            let rights = |shown: &Shown| (shown.file, shown.private, shown.write);
            rights(pair[0]) == rights(pair[1]) && pair[0].page + 1 == pair[1].page
        })
    })
}

fn check(files: &[File; 2], spaces: &[Space], model: &Model) -> Result<(), String> {
    for (number, (space, pages)) in spaces.iter().zip(&model.spaces).enumerate() {
        // 1. The VMAs, as few as can be.
        let vmas = space.vmas();
        let mut listed = Pages::new();
        for vma in &vmas {
            let file = usize::from(std::ptr::eq(vma.file.mapping(), files[1].mapping()));
            for nth in 0..vma.len / PAGE {
                let page = (vma.start - START) / PAGE + nth;
                let copy = pages.get(&page).and_then(|shown| shown.copy);
                let (private, write) = (vma.kind.private, vma.kind.rights.write);
                listed.insert(page, Shown { file, page: vma.offset / PAGE + nth, private, write, copy });
            }
        }
        if listed != *pages {
            return Err(format!("space {number} lists {listed:?}\ninstead of {pages:?}"));
        }
        let breaks =
            pages.keys().filter(|&&page| page == 0 || !one_area(pages, &(page - 1..page + 1))).count();
        if vmas.len() != breaks {
            return Err(format!("space {number} has {} VMAs, and needs {breaks}", vmas.len()));
        }
        // 2. What is seen, by whatever a TLB or a table still says.
        for page in 0..ROOM {
            let wanted = match pages.get(&page) {
                None => Err(Refusal::NoVma),
                Some(shown) => Ok(shown.copy.unwrap_or(model.words[shown.file][shown.page as usize])),
            };
            let seen = space.load(START + page * PAGE);
            if seen != wanted {
                return Err(format!("space {number} has {seen:x?} at page {page}, not {wanted:x?}"));
            }
        }
    }
    // 3. Each file finds all that shows it: no store gets through without a fault after this.
    for file in files {
        let shared = file.mapping().shared();
        file.mapping().write_protect(shared.held(), 0..FILE);
    }
    for (number, space) in spaces.iter().enumerate() {
        for page in 0..ROOM {
            let leaf = space.walk(START + page * PAGE).leaf();
            let copy = model.spaces[number].get(&page).is_some_and(|shown| shown.copy.is_some());
            if leaf.is_some_and(|(entry, _)| entry.is_writable()) && !copy {
                return Err(format!(
                    "space {number} can store to page {page}, and the file does not know of it"
                ));
            }
        }
    }
    Ok(())
}
