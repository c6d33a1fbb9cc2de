//! The explorer.
use explore::sched::dpor::Dpor;
use explore::world::{Images, run};
use std::any::Any;
fn main() {
    let images = Images::make().unwrap();
    for text in std::env::args().skip(1) {
        let world: fs::lab::schedule::World = text.parse().unwrap_or_else(|e| panic!("{e}"));
        let start = std::time::Instant::now();
        let mut dpor = Box::new(Dpor::new());
        let (mut runs, mut stopped, mut steps) = (0u64, 0u64, 0usize);
        let mut states = std::collections::BTreeSet::new();
        let mut bad = None;
        loop {
            let outcome = run(&world, &images, dpor, false);
            runs += 1;
            steps += outcome.steps;
            if outcome.end == explore::sched::engine::End::Stopped {
                stopped += 1;
            } else {
                states.insert(outcome.state);
            }
            let any: Box<dyn Any> = outcome.chooser;
            dpor = any.downcast::<Dpor>().unwrap();
            if let Some(w) = outcome.wrong {
                bad = Some(w);
                break;
            }
            if !dpor.next() || start.elapsed().as_secs() > 60 {
                break;
            }
        }
        println!(
            "{text}: runs {runs} stopped {stopped} steps/run {} states {} {:?} {:?}",
            steps as u64 / runs,
            states.len(),
            start.elapsed(),
            bad
        );
    }
}
