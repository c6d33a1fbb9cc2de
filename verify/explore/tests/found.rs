//! What exploring has found in the storage code itself, and no mistake by name brings back.

use explore::find::{Mode, explore};
use explore::world::Images;

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
