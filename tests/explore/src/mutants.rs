//! Each mistake, and where it is found.

use crate::find::{Found, Mode, explore};
use crate::world::Images;
use fs::dax::Protocol;
use fs::lab::Mutant;
use fs::lab::schedule::{Op, Part, Range, Start, World};

/// All worlds of one and two operations, the small ones first.
pub fn hunting_grounds() -> Vec<World> {
    let mut worlds = Vec::new();
    for cpus in 1..=2 {
        for &range in Range::ALL {
            for &start in Start::ALL {
                for protocol in Protocol::SOUND {
                    let mut add = |parts: Vec<(u8, bool, Op)>| {
                        let parts = parts.into_iter();
                        let parts =
                            parts.map(|(space, small, op)| Part { space, small, ops: vec![op] }).collect();
                        worlds.push(World { protocol, range, start, parts, mutants: Vec::new() });
                    };
                    for (nth, &a) in Op::ALL.iter().enumerate() {
                        if cpus == 1 {
                            add(vec![(0, false, a)]);
                            continue;
                        }
                        for &b in &Op::ALL[nth..] {
                            add(vec![(0, false, a), (1, false, b)]);
                            add(vec![(0, false, a), (0, false, b)]);
                            if range == Range::Pmd {
                                add(vec![(0, false, a), (1, true, b)]);
                                add(vec![(0, true, a), (1, false, b)]);
                            }
                        }
                    }
                }
            }
        }
    }
    // Who looks again at once sees what is put right later.
    for &range in Range::ALL {
        for protocol in Protocol::SOUND {
            for &start in Start::ALL {
                let parts = |a: &[Op], b: &[Op]| {
                    [a, b]
                        .iter()
                        .zip(0..)
                        .map(|(ops, space)| Part { space, small: false, ops: ops.to_vec() })
                        .collect()
                };
                let mut add = |a: &[Op], b: &[Op]| {
                    let parts = parts(a, b);
                    worlds.push(World { protocol, range, start, parts, mutants: Vec::new() });
                };
                add(&[Op::Store, Op::Load], &[Op::Store]);
                add(&[Op::Poison, Op::Load], &[Op::Load]);
                add(&[Op::Store, Op::Msync], &[Op::Msync]);
                add(&[Op::Read], &[Op::Truncate, Op::WriteOther]);
                add(&[Op::Load], &[Op::Punch, Op::WriteOther]);
            }
        }
    }
    worlds
}

/// Looks for the mistake in each of the worlds, up to `most` runs in each; the first that shows it.
pub fn hunt(mutant: Mutant, worlds: &[World], images: &Images, most: u64) -> Option<Found> {
    worlds.iter().find_map(|world| {
        let world = World { mutants: vec![mutant], ..world.clone() };
        explore(&world, images, Mode::Exhaustive { most }).found
    })
}
