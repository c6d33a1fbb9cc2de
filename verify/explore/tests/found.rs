//! What exploring has found in the storage code itself: each stays found when the mistake is made again, by
//! the schedule that showed it, and the world is whole without it.

use explore::find::{Mode, explore};
use explore::story::follow;
use explore::world::Images;
use fs::lab::schedule::Story;

/// The story fails as it did; its world, with the mistake mended, holds in every order.
fn stays_mended(story: &str, says: &str) {
    let images = Images::make().expect("images");
    let story: Story = story.parse().expect("a story");
    let (outcome, fits) = follow(&story, &images);
    assert_eq!(fits, Ok(()));
    let wrong = outcome.wrong.expect("the mistake is made again, and not seen");
    assert!(wrong.contains(says), "{wrong}");
    let mut world = story.world;
    world.mutants.clear();
    let report = explore(&world, &images, Mode::Exhaustive { most: 100_000 });
    assert!(report.whole && report.schedules > 1, "{} schedules, not all", report.schedules);
    assert_eq!(report.found, None);
}

/// The first fsync has taken the dirty mark and flushed, and not fenced yet; the second found nothing to do.
#[test]
fn a_sync_waits_for_the_write_back_that_took_its_tags() {
    let story = "read-first/page.dirty/a:fsync/b:fsync!sync-trusts-tags@0:flushed,1:end";
    stays_mended(story, "a sync has returned, and the store that the world began with is not durable");
}

/// A fault on 2 MiB gave its entry up for a page's, and a fault on that page gave up for the 2 MiB: each woke
/// the other, in a fair order without end. No schedule shows that in so many steps; that the orders have an
/// end does.
#[test]
fn entries_that_exclude_each_other_do_not_both_give_way_for_ever() {
    let images = Images::make().expect("images");
    for world in ["entry-lock/pmd.clean/a:store/a:private", "entry-lock/pmd.block/a:store/b4:store"] {
        let world = world.parse().expect("a world");
        let report = explore(&world, &images, Mode::Exhaustive { most: 5_000 });
        assert!(
            report.whole,
            "{world}: more than {} schedules, of {} steps",
            report.schedules, report.longest
        );
        assert_eq!(report.found, None);
    }
}
