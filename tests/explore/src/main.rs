//! The explorer.
use explore::find::{Mode, explore};
use explore::world::Images;
fn main() {
    let images = Images::make().unwrap();
    for text in std::env::args().skip(1) {
        let world: fs::lab::schedule::World = text.parse().unwrap_or_else(|e| panic!("{e}"));
        let r = explore(&world, &images, Mode::Exhaustive { most: 1000000 });
        println!(
            "{text}: runs {} cut {} longest {} states {} {:?} {:?}",
            r.schedules,
            r.cut,
            r.longest,
            r.states.len(),
            r.time,
            r.found.map(|f| f.what)
        );
    }
}
