//! Random names added, removed and redirected, against a map; and directories of many names.

use super::*;
use crate::Errno;
use std::format;

/// A random name that is not in `model`, of up to `longest` bytes.
fn new_name(random: &mut Random, model: &Model, longest: usize) -> Vec<u8> {
    loop {
        let len = 1 + random.below(longest);
        let name: Vec<u8> = (0..len).map(|_| [b'a', b'Z', 0x80, 0xff, b'0'][random.below(5)]).collect();
        if !model.contains_key(&name) {
            return name;
        }
    }
}

/// Does `steps` random changes. Where there is no space, it is checked that nothing is lost, and tried again.
fn run(dir: &TestBlocks, random: &mut Random, steps: usize, most: usize, longest: usize) -> (usize, usize) {
    let (mut model, mut reached) = (Model::new(), (0, 0));
    let credits = AddedNameCredits::of(&dir.sb);
    for step in 0..steps {
        let is_growing = step / most % 3 != 2;
        let count = model.len();
        if count > 0 && (count == most || random.below(10) < if is_growing { 2 } else { 7 }) {
            let name = model.keys().nth(random.below(count)).unwrap().clone();
            let pos = dir.find(&name).unwrap().pos;
            if random.below(4) == 0 {
                dir.edit().redirect(pos, 99, 7).unwrap();
                model.insert(name, (99, 7));
            } else {
                dir.edit().remove(pos).unwrap();
                model.remove(&name);
                assert!(dir.find(&name).is_none());
            }
            dir.expect_credits(AddedNameCredits { changed: CHANGED_BY_ENTRY, appended: 0 });
        } else {
            let name = new_name(random, &model, longest);
            // No space at the first new block, then at the second, ...
            dir.left.set(0);
            while let Err(error) = dir.add(&name, 100 + step as u32) {
                assert_eq!(error, Errno::NoSpace.into());
                dir.verify(&model);
                dir.verify_found(model.iter());
                assert!(dir.find(&name).is_none());
                dir.left.set(1);
            }
            dir.expect_credits(credits);
            model.insert(name, (100 + step as u32, 1));
        }
        let (levels, collisions) = dir.verify(&model);
        reached = (reached.0.max(levels), reached.1.max(collisions));
        match most {
            ..=200 => dir.verify_found(model.iter()),
            _ => dir.verify_found(model.iter().skip(step % 37).step_by(37)),
        }
    }
    dir.verify_found(model.iter());
    reached
}

#[test]
fn random_changes_leave_the_names_that_a_map_has() {
    let mut random = Random(0x1234_5678_9abc_def1);
    for (size, unsigned, has_sums, mask, most, longest) in [
        (1024, false, true, u32::MAX, 150, 255),
        (1024, true, false, u32::MAX, 150, 40),
        (4096, false, false, u32::MAX, 200, 255),
        (4096, true, true, u32::MAX, 200, 255),
        // Some hashes for all names; one hash.
        (1024, false, true, 0x7000_0000, 120, 255),
        (1024, true, false, 0, 60, 255),
    ] {
        let sb = superblock(size, 0, unsigned);
        let mut dir = TestBlocks::new(sb, has_sums);
        dir.mask = mask;
        let dir = dir.started();
        let (levels, collisions) = run(&dir, &mut random, 6 * most, most, longest);
        assert!(levels >= 1, "it has an index");
        assert!(mask == u32::MAX || collisions > 1, "blocks that go on with a hash: {collisions}");
    }
}

#[test]
fn random_changes_reach_a_level_of_nodes() {
    let mut random = Random(0x1234_5678_9abc_def1);
    let dir = TestBlocks::new(superblock(1024, 0, true), true).started();
    let (levels, _) = run(&dir, &mut random, 700, 700, 255);
    assert_eq!(levels, 1);
    let mut dir = TestBlocks::new(superblock(1024, INCOMPAT_LARGEDIR, false), true);
    dir.mask = !0x00ff_ffff;
    let dir = dir.started();
    let mut model = Model::new();
    for number in 0..700 {
        let name = format!("{number:0200}").into_bytes();
        dir.add(&name, number + 1).unwrap();
        model.insert(name, (number + 1, 1));
    }
    assert_eq!(dir.verify(&model).0, 2);
    dir.verify_found(model.iter());
}

/// Adds names of `len` bytes, numbered, until there is no room or there are `most`.
fn fill(dir: &TestBlocks, len: usize, most: u32) -> (Model, Result<()>) {
    let mut model = Model::new();
    for number in 0..most {
        let name = format!("{number:0len$}").into_bytes();
        if let Err(error) = dir.add(&name, number % 4000 + 1) {
            return (model, Err(error));
        }
        dir.expect_credits(AddedNameCredits::of(&dir.sb));
        model.insert(name, (number % 4000 + 1, 1));
    }
    (model, Ok(()))
}

#[test]
fn a_hundred_thousand_names_are_found() {
    let mut dir = TestBlocks::new(superblock(4096, 0, true), false);
    dir.is_strict = false;
    let dir = dir.started();
    let (model, outcome) = fill(&dir, 40, 100_000);
    assert_eq!(outcome, Ok(()));
    assert_eq!(dir.verify(&model).0, 2);
    dir.verify_found(model.iter().step_by(7));
}

#[test]
fn a_full_index_is_an_error_of_its_own_and_largedir_has_a_level_more() {
    let mut dir = TestBlocks::new(superblock(1024, 0, false), false);
    dir.is_strict = false;
    let mut dir = dir.started();
    let (model, outcome) = fill(&dir, 250, u32::MAX);
    assert_eq!(outcome, Err(Errno::IndexFull.into()));
    assert!(model.len() > 20_000, "{} names", model.len());
    assert_eq!(dir.verify(&model).0, 2);
    dir.verify_found(model.iter().step_by(101));
    // The same directory, where there may be another level.
    dir.sb = superblock(1024, INCOMPAT_LARGEDIR, false);
    let mut model = model;
    for number in 0..2000 {
        let name = format!("{number:0249}").into_bytes();
        dir.add(&name, 7).unwrap();
        dir.expect_credits(AddedNameCredits::of(&dir.sb));
        model.insert(name, (7, 1));
    }
    assert_eq!(dir.verify(&model).0, 3);
    dir.verify_found(model.iter().step_by(101));
}
