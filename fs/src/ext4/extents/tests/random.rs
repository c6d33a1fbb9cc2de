//! Random edits against a model: what is behind each block of the file.

use super::*;
use core::ops::Range;
use fsx::Rng;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What came of it, or what was wrong.
type Told<T = ()> = core::result::Result<T, String>;

/// How a sequence goes.
#[derive(Clone, Copy)]
struct Rules {
    block_size: u64,
    /// Everything is a multiple of so many blocks: with many, what is joined becomes too long for one extent.
    unit: u32,
    /// The file has so many units.
    size: u32,
    /// Something fails in one of so many steps, at each place where it can.
    fails: u32,
    /// Everything is compared after one of so many steps.
    compares: u32,
    steps: u32,
    /// So many blocks are scattered over the file before.
    start: u32,
}

/// Trees of six entries a block, four levels and more.
const DEEP: Rules =
    Rules { block_size: SMALL, unit: 1, size: 1500, fails: 3, compares: 1, steps: 300, start: 500 };
/// Extents that are as long as they can be.
const LONG: Rules = Rules { unit: 5000, size: 300, start: 0, ..DEEP };
/// Real blocks.
const WIDE: Rules =
    Rules { block_size: REAL, unit: 1, size: 4000, fails: 30, compares: 20, steps: 400, start: 1500 };

/// What is behind a unit: the first of its blocks, and whether they are unwritten.
type Model = BTreeMap<u32, (u64, bool)>;

struct Play {
    rules: Rules,
    rng: Rng,
    tree: TestTree,
    model: Model,
    used: BTreeSet<u64>,
    next: u64,
    deepest: u16,
}

impl Play {
    fn new(rules: Rules, seed: u64, mistake: Option<Mistake>) -> Self {
        let checksums = (!seed.is_multiple_of(4)).then(|| Seed::new(Some(seed as u32), &[0; 16]));
        let tree = TestTree::new(rules.block_size, checksums, mistake);
        let rng = Rng::new(seed);
        Self { rules, rng, tree, model: Model::new(), used: BTreeSet::new(), next: 1 << 33, deepest: 0 }
    }

    /// A number below `limit`.
    fn below(&mut self, limit: u32) -> u32 {
        self.rng.below(limit.into()) as u32
    }

    /// Does one step of an edit, and sees that it takes no more than it said. Where it fails because it was
    /// made to, nothing may have changed. Returns what it freed, too.
    fn step<T>(
        &mut self,
        credits: fn(u16) -> TreeCredits,
        edit: impl Fn(&ExtentTree<'_, TestChange, fn(u64, u32) -> bool>) -> Result<T>,
    ) -> Told<T> {
        let most = credits(self.tree.depth());
        let fails = self.rng.one_in(self.rules.fails.into());
        for after in 0.. {
            let before = fails.then(|| self.tree.image());
            let change = &self.tree.change;
            *change.asked.borrow_mut() = Asked::default();
            change.fails_after.set(fails.then_some(after));
            change.has_failed.set(false);
            let result = edit(&self.tree.edit());
            change.fails_after.set(None);
            match (result, before) {
                (Ok(result), before) => {
                    self.expect_credits(&most, before)?;
                    self.deepest = self.deepest.max(self.tree.depth());
                    return Ok(result);
                }
                (Err(error), None) => return Err(format!("{error}")),
                (Err(error), Some(_)) if !change.has_failed.get() => return Err(format!("{error}")),
                (Err(error), Some(before)) => {
                    if self.tree.image() != before || !change.asked.borrow().freed.is_empty() {
                        return Err(format!("something changed, and then: {error}"));
                    }
                }
            }
        }
        unreachable!("an edit takes a finite number of blocks");
    }

    fn expect_credits(&self, most: &TreeCredits, before: Option<Image>) -> Told {
        let asked = self.tree.change.asked.borrow();
        let count = |blocks: &BTreeSet<u64>| blocks.len() as u32;
        let (changed, created, forgotten) =
            (count(&asked.changed), count(&asked.created), count(&asked.forgotten));
        if changed > most.changed || created > most.created || forgotten > most.forgotten {
            return Err(format!("{most:?}, but {changed}, {created}, {forgotten}"));
        }
        let blocks = self.tree.change.blocks.borrow();
        for (block, bytes) in before.into_iter().flat_map(|(_, blocks)| blocks) {
            let is_same = blocks.get(&block).is_some_and(|now| *now.0.borrow() == bytes);
            if is_same && asked.changed.contains(&block) {
                return Err(format!("block {block} was to be changed and was not"));
            }
        }
        Ok(())
    }

    /// Takes the units `range` out of the model: what was behind them is what was freed.
    fn take_out(&mut self, range: Range<u32>) -> Told {
        let unit = u64::from(self.rules.unit);
        let mut gone = Vec::new();
        for lblk in range {
            if let Some((block, _)) = self.model.remove(&lblk) {
                gone.extend(block..block + unit);
                self.used.remove(&block);
            }
        }
        let mut freed = core::mem::take(&mut self.tree.change.asked.borrow_mut().freed);
        freed.sort();
        gone.sort();
        if freed == gone { Ok(()) } else { Err(format!("{freed:?} freed instead of {gone:?}")) }
    }

    /// Compares the tree with the model.
    fn compare(&self) -> Told {
        let (mut found, unit) = (Model::new(), self.rules.unit);
        for extent in self.tree.extents().map_err(|error| format!("{error}"))? {
            if !extent.lblk.is_multiple_of(unit) || !extent.len.is_multiple_of(unit) {
                return Err(format!("{extent:?}"));
            }
            for i in 0..extent.len / unit {
                let backing = (extent.block + u64::from(i * unit), extent.unwritten);
                found.insert(extent.lblk / unit + i, backing);
            }
        }
        if found == self.model { Ok(()) } else { Err("the tree is not what it should be".into()) }
    }

    fn after_step(&mut self) -> Told {
        if self.rng.one_in(self.rules.compares.into()) { self.compare() } else { Ok(()) }
    }

    /// `count` units of the region, often next to those of neighbours.
    fn blocks(&mut self, lblk: u32, count: u32) -> u64 {
        let unit = u64::from(self.rules.unit);
        let len = u64::from(count) * unit;
        let side = self.below(3);
        let before = lblk.checked_sub(1).and_then(|before| self.model.get(&before));
        let near = match side {
            0 => before.map(|(block, _)| block + unit),
            1 => self.model.get(&(lblk + count)).map(|(block, _)| block - len),
            _ => None,
        };
        let is_free = |block: &u64| self.used.range(*block..block + len).next().is_none();
        near.filter(is_free).unwrap_or_else(|| {
            self.next += 1 << 24;
            self.next
        })
    }

    fn insert(&mut self) -> Told {
        let lblk = self.below(self.rules.size);
        let Some(lblk) = (lblk..self.rules.size).find(|lblk| !self.model.contains_key(lblk)) else {
            return Ok(());
        };
        let unwritten = self.rng.one_in(2);
        let most = 6.min(DiskExtent::most(unwritten) / self.rules.unit).min(self.rules.size - lblk);
        let most = if self.rng.one_in(3) { most } else { 1 };
        let count = 1 + self.below(most);
        let count = (1..count).find(|i| self.model.contains_key(&(lblk + i))).unwrap_or(count);
        let (block, unit) = (self.blocks(lblk, count), self.rules.unit);
        let run = DiskExtent { lblk: lblk * unit, block, len: count * unit, unwritten };
        self.step(TreeCredits::of_filling, |tree| tree.insert(run))?;
        for i in 0..count {
            let block = block + u64::from(i * unit);
            self.model.insert(lblk + i, (block, unwritten));
            self.used.insert(block);
        }
        self.after_step()
    }

    /// A range of units.
    fn range(&mut self, most: u32) -> Range<u32> {
        let start = self.below(self.rules.size);
        start..start + 1 + self.below(most)
    }

    fn convert(&mut self) -> Told {
        let (mut range, unwritten, unit) = (self.range(20), self.rng.one_in(2), self.rules.unit);
        while !range.is_empty() {
            let lblks = range.start * unit..range.end * unit;
            let done = self.step(TreeCredits::of_filling, |tree| tree.convert(&lblks, unwritten))?;
            if !done.is_multiple_of(unit) || done <= lblks.start || done > lblks.end {
                return Err(format!("converted up to {done}"));
            }
            for (_, backing) in self.model.range_mut(range.start..done / unit) {
                backing.1 = unwritten;
            }
            range.start = done / unit;
            self.after_step()?;
        }
        Ok(())
    }

    fn remove(&mut self, range: Range<u32>) -> Told {
        let (most, unit) = (1 + self.below(8) as u16, self.rules.unit);
        let mut left = Some(range);
        while let Some(Range { start, end }) = left {
            let lblks = start * unit..end.saturating_mul(unit);
            let rest = self.step(TreeCredits::of_removal, |tree| tree.remove(&lblks, most))?;
            if rest.as_ref().is_some_and(|rest| rest.start != lblks.start || rest.end >= lblks.end) {
                return Err(format!("{rest:?} left of {lblks:?}"));
            }
            left = rest.map(|rest| start..rest.end / unit);
            self.take_out(left.as_ref().map_or(start, |left| left.end)..end.min(2 * self.rules.size))?;
            self.after_step()?;
        }
        Ok(())
    }

    /// Moves what is in the model in `range` to `to(lblk)`.
    fn relocate(&mut self, range: Range<u32>, to: impl Fn(u32) -> u32) {
        let moving: Vec<_> =
            self.model.range(range.clone()).map(|(lblk, backing)| (*lblk, *backing)).collect();
        self.model.retain(|lblk, _| !range.contains(lblk));
        self.model.extend(moving.into_iter().map(|(lblk, backing)| (to(lblk), backing)));
    }

    fn collapse(&mut self) -> Told {
        let (range, unit) = (self.range(20), self.rules.unit);
        let by = range.end - range.start;
        self.remove(range.clone())?;
        let mut left = Some(range.end * unit..u32::MAX);
        while let Some(lblks) = left {
            left = self.step(TreeCredits::of_removal, |tree| tree.shift_down(&lblks, by * unit))?;
            let end = left.as_ref().map_or(u32::MAX, |left| left.start);
            if end <= lblks.start {
                return Err(format!("{left:?} left of {lblks:?}"));
            }
            self.relocate(lblks.start / unit..end.div_ceil(unit), |lblk| lblk - by);
            self.after_step()?;
        }
        Ok(())
    }

    fn expand(&mut self) -> Told {
        let (range, unit) = (self.range(20), self.rules.unit);
        let (by, start) = (range.end - range.start, range.start * unit);
        self.step(TreeCredits::of_filling, |tree| tree.make_room(start, by * unit))?;
        let mut left = Some(start..u32::MAX);
        while let Some(lblks) = left {
            left = self.step(TreeCredits::of_removal, |tree| tree.shift_up(&lblks, by * unit))?;
            let from = left.as_ref().map_or(start, |left| left.end);
            if from >= lblks.end {
                return Err(format!("{left:?} left of {lblks:?}"));
            }
            self.relocate(from / unit..lblks.end.div_ceil(unit), |lblk| lblk + by);
            self.after_step()?;
        }
        // As long as it was.
        self.remove(self.rules.size..u32::MAX)
    }

    fn any(&mut self, grows: bool) -> Told {
        match self.below(if grows { 30 } else { 10 }) {
            0..2 => {
                let range = self.range(self.rules.size / 20);
                self.remove(range)
            }
            2 => self.collapse(),
            3 => self.expand(),
            4..7 => self.convert(),
            7 if self.rng.one_in(40) => {
                let start = self.below(self.rules.size);
                self.remove(start..u32::MAX)
            }
            _ => self.insert(),
        }
    }

    fn run(&mut self) -> Told {
        for i in 0..self.rules.start {
            self.next += 2;
            let lblk = 2 * i;
            self.tree.edit().insert(written(lblk, self.next, 1)).map_err(|error| format!("{error}"))?;
            self.model.insert(lblk, (self.next, false));
            self.used.insert(self.next);
        }
        for i in 0..self.rules.steps {
            let grows = i % (self.rules.steps / 2) < self.rules.steps / 3;
            self.any(grows).map_err(|error| format!("step {i}: {error}"))?;
        }
        self.compare()?;
        self.remove(0..u32::MAX)?;
        self.compare()?;
        let is_empty = self.tree.depth() == 0 && self.tree.change.blocks.borrow().is_empty();
        if is_empty { Ok(()) } else { Err("blocks are left of an empty tree".into()) }
    }
}

/// Runs sequences; returns the depth of the deepest tree.
fn run(rules: Rules, seeds: u64) -> u16 {
    let seeds = if std::env::var_os("DAXIOM_LONG").is_some() { 50 * seeds } else { seeds };
    let deepest = (1..=seeds).map(|seed| {
        let mut play = Play::new(rules, seed, None);
        play.run().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        play.deepest
    });
    deepest.max().unwrap_or(0)
}

#[test]
fn deep_trees_are_what_a_list_of_blocks_says() {
    let deepest = run(DEEP, 8);
    assert!(deepest >= 4, "{deepest}");
}

#[test]
fn long_extents_are_what_a_list_of_blocks_says() {
    assert!(run(LONG, 12) >= 2);
}

#[test]
fn trees_of_real_blocks_are_what_a_list_of_blocks_says() {
    let deepest = run(WIDE, 2);
    assert!(deepest >= 2, "{deepest}");
}

#[test]
fn each_mistake_is_found() {
    use Mistake::*;
    let all = [
        ParentKey, Checksum, Entries, Depth, Unwritten, HighBits, Moved, Copied, Shift, Forget, GiveBack,
        Keep, FreeMore,
    ];
    for mistake in all {
        let is_found = |rules, seed| {
            let run = || Play::new(rules, seed, Some(mistake)).run();
            catch_unwind(AssertUnwindSafe(run)).map_or(true, |result| result.is_err())
        };
        assert!((1..4).any(|seed| is_found(DEEP, seed)), "{mistake:?}");
    }
}
