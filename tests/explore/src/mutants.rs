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
    worlds
}

/// Looks for the mistake in each of the worlds, up to `most` runs in each; the first that shows it.
pub fn hunt(mutant: Mutant, worlds: &[World], images: &Images, most: u64) -> Option<Found> {
    worlds.iter().find_map(|world| {
        let world = World { mutants: vec![mutant], ..world.clone() };
        explore(&world, images, Mode::Exhaustive { most }).found
    })
}
