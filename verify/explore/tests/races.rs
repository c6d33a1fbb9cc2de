//! The races that are known ([`RACES`]), played: each is lost by its story, and the same story without its
//! mistake is not. The kernel plays the same ones, in `tests/tests/replay.rs`.

use explore::find::{Mode, explore};
use explore::story::follow;
use explore::world::Images;
use fs::dax::Protocol;
use fs::lab::Mutant;
use fs::lab::schedule::Story;
use fs::lab::schedule::races::RACES;

/// Runs of a world in which nothing is lost.
const SOME: u64 = 200;

/// What is wrong in the story: in its order or, if it has none, in any.
fn wrong(story: &Story, images: &Images) -> Option<String> {
    if story.schedule.is_empty() {
        return explore(&story.world, images, Mode::Exhaustive { most: 20_000 })
            .found
            .map(|found| found.what);
    }
    let (outcome, fits) = follow(story, images);
    assert_eq!(fits, Ok(()), "{story}");
    outcome.wrong
}

#[test]
fn each_is_lost_by_its_story_and_not_without_its_mistake() {
    let images = Images::make().expect("images");
    for race in RACES {
        for &protocol in race.on {
            let mut story = race.on(protocol).expect("a story");
            let says = wrong(&story, &images).unwrap_or_else(|| panic!("{story}: kept"));
            assert!(says.contains(race.explored), "{story}: {says}");
            story.world.mutants.clear();
            if protocol == Protocol::Racy {
                story.world.protocol = Protocol::ReadFirst;
            }
            // The order may not come about: then whoever can goes on.
            assert_eq!(follow(&story, &images).0.wrong, None, "{story}");
            assert_eq!(
                explore(&story.world, &images, Mode::Exhaustive { most: SOME }).found,
                None,
                "{story}"
            );
        }
    }
}

/// So that nobody adds a mistake without the race that it loses.
#[test]
fn each_mistake_is_in_one_unless_no_story_can_show_it() {
    for &mutant in Mutant::ALL {
        let shown = RACES.iter().any(|race| race.story.contains(&format!("!{mutant}")));
        let elsewhere = explore::mutants::ELSEWHERE.iter().any(|(other, _)| *other == mutant);
        assert_ne!(shown, elsewhere, "{mutant}");
    }
}
