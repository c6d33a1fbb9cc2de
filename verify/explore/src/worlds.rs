//! All pairs and all triples of operations, from each starting state: the worlds of a campaign, in an order
//! that never changes.
//!
//! A world of two or three CPUs, one operation each. What differs only in who is called CPU 0, or which
//! address space is called `a`, is one world. Operations that do nothing with their address space have no
//! choice of one: they are in `a`. On 2 MiB one of those that use it may do so through an area without 2 MiB
//! pages (`a4`), beside one that has them.
//!
//! The order is that of a hash of each world's text: dear worlds and cheap ones are spread evenly over
//! shards, and it is the same on every machine.

use fs::dax::Protocol;
use fs::lab::schedule::{Op, Part, Range, Start, Uses, World};
use std::collections::BTreeSet;

/// Which worlds; an empty list is all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those with one of these protocols.
    pub protocols: Vec<Protocol>,
    /// On one of these ranges.
    pub ranges: Vec<Range>,
    /// From one of these states.
    pub starts: Vec<Start>,
    /// With each of these operations; one that is named twice must be there twice.
    pub ops: Vec<Op>,
}

impl Filter {
    /// Writes the same in one way: without repetitions, in order; and everything there is, is no filter.
    pub fn normalize(&mut self) {
        fn list<T: Ord + PartialEq>(list: &mut Vec<T>, all: &[T]) {
            list.sort_unstable();
            list.dedup();
            if all.iter().all(|one| list.contains(one)) {
                list.clear();
            }
        }
        list(&mut self.protocols, &Protocol::SOUND);
        list(&mut self.ranges, Range::ALL);
        list(&mut self.starts, Start::ALL);
        self.ops.sort_unstable();
    }

    /// Returns whether it lets the world through.
    pub fn admits(&self, world: &World) -> bool {
        fn any<T: PartialEq>(list: &[T], one: &T) -> bool {
            list.is_empty() || list.contains(one)
        }
        let count =
            |op: &Op| world.parts.iter().flat_map(|part| &part.ops).filter(|other| *other == op).count();
        let wanted = |op: &Op| self.ops.iter().filter(|other| *other == op).count();
        any(&self.protocols, &world.protocol)
            && any(&self.ranges, &world.range)
            && any(&self.starts, &world.start)
            && self.ops.iter().all(|op| count(op) >= wanted(op))
    }
}

/// A world and its number, from 0 on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbered {
    /// Its place among all worlds of as many CPUs.
    pub number: usize,
    /// The world.
    pub world: World,
}

/// Whether the operation does something with its CPU's address space.
fn uses_space(op: Op) -> bool {
    op.about().uses != Uses::Nothing
}

/// Whether it does that in an area that can be one without 2 MiB pages: a private store has an area of its
/// own.
fn can_be_small(op: Op) -> bool {
    op.about().uses == Uses::Shared
}

/// Lists all worlds of so many CPUs that the filter lets through, in their order.
pub fn worlds(cpus: usize, filter: &Filter) -> Vec<Numbered> {
    let mut all = Vec::new();
    for &range in Range::ALL {
        for parts in combinations(cpus, range) {
            for protocol in Protocol::SOUND {
                for &start in Start::ALL {
                    all.push(World { protocol, range, start, parts: parts.clone(), mutants: Vec::new() });
                }
            }
        }
    }
    all.sort_by_cached_key(|world| {
        let text = world.to_string();
        (digest(text.as_bytes()), text)
    });
    let numbered = all.into_iter().enumerate().map(|(number, world)| Numbered { number, world });
    numbered.filter(|one| filter.admits(&one.world)).collect()
}

/// The parts of so many CPUs, those alike left out.
fn combinations(cpus: usize, range: Range) -> BTreeSet<Vec<Part>> {
    let mut all = BTreeSet::new();
    let mut ops = Vec::new();
    each_multiset(cpus, 0, &mut ops, &mut |ops| {
        for spaces in partitions(ops) {
            let small = (0..ops.len()).filter(|&cpu| range == Range::Pmd && can_be_small(ops[cpu]));
            for small in [None].into_iter().chain(small.map(Some)) {
                let part =
                    |cpu: usize| Part { space: spaces[cpu], small: small == Some(cpu), ops: vec![ops[cpu]] };
                all.insert(canonical((0..ops.len()).map(part).collect()));
            }
        }
    });
    all
}

/// Calls `f` with each choice of so many operations, with repetition, whatever their order.
fn each_multiset(left: usize, from: usize, ops: &mut Vec<Op>, f: &mut impl FnMut(&[Op])) {
    if left == 0 {
        return f(ops);
    }
    for at in from..Op::ALL.len() {
        ops.push(Op::ALL[at]);
        each_multiset(left - 1, at, ops, f);
        ops.pop();
    }
}

/// The ways to share address spaces out among the operations that use one.
fn partitions(ops: &[Op]) -> Vec<Vec<u8>> {
    let mut all: Vec<(Vec<u8>, u8)> = vec![(Vec::new(), 0)];
    for &op in ops {
        let more = |(spaces, count): (Vec<u8>, u8)| {
            let choices = if uses_space(op) { 0..=count } else { 0..=0 };
            choices.map(move |space| {
                let count = if uses_space(op) { count.max(space + 1) } else { count };
                ([&spaces[..], &[space]].concat(), count)
            })
        };
        all = all.into_iter().flat_map(more).collect();
    }
    all.into_iter().map(|(spaces, _)| spaces).collect()
}

/// The least of those that are the same but for the names of CPUs and address spaces.
fn canonical(parts: Vec<Part>) -> Vec<Part> {
    let mut least = renamed(&parts);
    let mut order: Vec<usize> = (0..parts.len()).collect();
    each_order(&mut order, 0, &mut |order| {
        // Operations stay in order: those that are alike change places.
        if order.is_sorted_by_key(|&cpu| &parts[cpu].ops) {
            let other = renamed(&order.iter().map(|&cpu| parts[cpu].clone()).collect::<Vec<_>>());
            if other < least {
                least = other;
            }
        }
    });
    least
}

/// Address spaces get their letters as they come.
fn renamed(parts: &[Part]) -> Vec<Part> {
    let mut known: Vec<u8> = Vec::new();
    let mut parts = parts.to_vec();
    for part in &mut parts {
        if uses_space(part.ops[0]) {
            let at = known.iter().position(|&space| space == part.space).unwrap_or_else(|| {
                known.push(part.space);
                known.len() - 1
            });
            part.space = at as u8;
        }
    }
    parts
}

fn each_order(order: &mut [usize], at: usize, f: &mut impl FnMut(&[usize])) {
    if at == order.len() {
        return f(order);
    }
    for other in at..order.len() {
        order.swap(at, other);
        each_order(order, at + 1, f);
        order.swap(at, other);
    }
}

/// Computes a hash that is the same everywhere: FNV-1a, and a last mix so that short texts differ in every
/// bit.
pub fn digest(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for &byte in bytes {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    }
    hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ hash >> 33
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{HashMap, HashSet};
    use std::path::{Path, PathBuf};

    fn texts(cpus: usize, filter: &Filter) -> Vec<String> {
        worlds(cpus, filter).iter().map(|one| one.world.to_string()).collect()
    }

    /// Counted by hand. Of 23 operations 9 use their address space, 8 of them in an area that can be small.
    /// On a page: pairs of the other 14: 105; one of 9 and one of 14: 126; two of 9: 45, in one space or two:
    /// 90. On 2 MiB: 105; 8 × 2 × 14 + 14; two of 9 that differ: 28 with three choices, 8 with two, and 9
    /// alike: 8 with two, 1 with one, all times two spaces: 234.
    #[test]
    fn every_pair_is_there_once() {
        let texts = texts(2, &Filter::default());
        let page = 105 + 126 + 90;
        let pmd = 105 + 238 + 234;
        assert_eq!(texts.len(), (page + pmd) * Start::ALL.len() * Protocol::SOUND.len());
        assert_eq!(texts.len(), 4490 * Protocol::SOUND.len());
        assert_eq!(texts.iter().collect::<HashSet<_>>().len(), texts.len());
        for text in [
            "read-first/page.hole/a:store/a:store",
            "entry-lock/page.zero/a:load/b:store",
            "read-first/pmd.clean/a:load/a4:store",
            "read-first/pmd.clean/a4:load/b:store",
            "entry-lock/pmd.block/a:freeze/a:poison",
        ] {
            assert!(texts.contains(&text.to_owned()), "{text}");
        }
    }

    /// On a page: three of the 14: 560; one of 9 with two: 9 × 105; two of 9 with one: the pairs' 90 × 14;
    /// three of 9: 84 that differ in 5 ways each, 72 with two alike in 4, 9 alike in 3. On 2 MiB each of
    /// these ways once with no area that is small, and once for each operation that can have one and is not
    /// the same as another.
    #[test]
    fn every_triple_is_there_once() {
        let texts = texts(3, &Filter::default());
        assert_eq!(texts.iter().collect::<HashSet<_>>().len(), texts.len());
        let setting = "read-first/page.hole/";
        let of = |ops: &[&str]| {
            let has = |text: &&String| {
                text.strip_prefix(setting)
                    .is_some_and(|parts| parts.split('/').map(|part| &part[2..]).eq(ops.iter().copied()))
            };
            texts.iter().filter(has).count()
        };
        // All alike: one space, two, three. Two alike: together, or apart with the third beside one or alone;
        // or all together.
        assert_eq!(of(&["store", "store", "store"]), 3);
        assert_eq!(of(&["load", "store", "store"]), 4);
        assert_eq!(of(&["load", "store", "munmap"]), 5);
        assert_eq!(of(&["load", "store", "truncate"]), 2);
        assert_eq!(of(&["load", "truncate", "punch"]), 1);
        let page = 560 + 9 * 105 + 45 * 2 * 14 + (84 * 5 + 72 * 4 + 9 * 3);
        let differ = 56 * 5 * (1 + 3) + 28 * 5 * (1 + 2);
        let two_alike = 56 * (4 + 4 + 5) + 8 * (4 + 5) + 8 * (4 + 4);
        let all_alike = 8 * (2 + 3 + 2) + 3;
        let pmd = 560 + 17 * 105 + 234 * 14 + differ + two_alike + all_alike;
        assert_eq!(texts.len(), (page + pmd) * Start::ALL.len() * Protocol::SOUND.len());
        assert_eq!(texts.len(), 57_920 * Protocol::SOUND.len());
    }

    /// A shard is every n-th world, so numbers must mean the same worlds everywhere and for ever.
    #[test]
    fn the_order_is_known_and_spreads_what_is_alike() {
        let all = worlds(2, &Filter::default());
        assert!(all.iter().enumerate().all(|(at, one)| one.number == at));
        // Of protocols that came later some have lower hashes.
        let old = |one: &&Numbered| [Protocol::ReadFirst, Protocol::EntryLock].contains(&one.world.protocol);
        let first = all.iter().find(old).map(|one| one.world.to_string());
        assert_eq!(first.as_deref(), Some("read-first/page.zero/a:store/b:map-over"));
        let mut shares: HashMap<(Range, Start), [usize; 5]> = HashMap::new();
        for one in &all {
            shares.entry((one.world.range, one.world.start)).or_default()[one.number % 5] += 1;
        }
        for (kind, shares) in shares {
            let total: usize = shares.iter().sum();
            assert!(shares.iter().all(|&share| share * 5 * 3 > total * 2), "{kind:?}: {shares:?}");
        }
    }

    /// Whoever judges an operation asks `Op::about`. A list of names somewhere else is one that a new
    /// operation is not in.
    #[test]
    fn operations_are_known_by_name_only_where_they_are_done() {
        fn files(folder: &Path, all: &mut Vec<PathBuf>) {
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                match path.is_dir() {
                    true => files(&path, all),
                    false => all.push(path),
                }
            }
        }
        let now = std::env::var("CARGO_MANIFEST_DIR");
        let root = Path::new(now.as_deref().unwrap_or(env!("CARGO_MANIFEST_DIR")));
        let mut all = Vec::new();
        files(&root.join("src"), &mut all);
        files(&root.join("../../kernel/lab/src"), &mut all);
        let (mut doing, mut naming) = (0, Vec::new());
        for path in all {
            let text = std::fs::read_to_string(&path).expect("a source");
            let code = text.split("#[cfg(test)]").next().expect("the code");
            let names = |name: &Op| code.contains(&format!("Op::{name:?}"));
            match Op::ALL.iter().any(names) || code.contains("Op::*") {
                true if path.ends_with("world/ops.rs") || path.ends_with("replay/acts.rs") => doing += 1,
                true => naming.push(path),
                false => {}
            }
        }
        assert_eq!((doing, naming), (2, Vec::<PathBuf>::new()));
    }

    #[test]
    fn a_filter_keeps_numbers() {
        let filter =
            Filter { ops: vec![Op::Store, Op::Store], ranges: vec![Range::Page], ..Filter::default() };
        let some = worlds(2, &filter);
        assert_eq!(some.len(), 2 * Start::ALL.len() * Protocol::SOUND.len());
        let all = worlds(2, &Filter::default());
        assert!(
            some.iter()
                .all(|one| all[one.number] == *one
                    && one.world.parts.iter().all(|part| part.ops == [Op::Store]))
        );
    }
}
