//! hunt
use explore::mutants::*;
use explore::world::Images;
use fs::lab::Mutant;
use std::sync::atomic::{AtomicUsize, Ordering};
fn main() {
    std::panic::set_hook(Box::new(|_| {}));
    let images = Images::make().unwrap();
    let worlds = hunting_grounds();
    let names: Vec<String> = std::env::args().skip(1).collect();
    let list: Vec<Mutant> =
        Mutant::ALL.iter().copied().filter(|m| names.is_empty() || names.contains(&m.to_string())).collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|s| {
        for _ in 0..2 {
            s.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(&m) = list.get(at) else { break };
                    let t = std::time::Instant::now();
                    match hunt(m, &worlds, &images, 300) {
                        None => println!("{m}: NOT FOUND {:?}", t.elapsed()),
                        Some(f) => {
                            let f = explore::shrink::shrink(&f, &images, 2000);
                            let (story, out) = explore::story::tell(&f.world, &images, f.order.clone());
                            let (again, fit) = explore::story::follow(&story, &images);
                            println!(
                                "{m}: {story} | {} | {:?} | replay {:?} {}",
                                f.what,
                                t.elapsed(),
                                fit,
                                again.wrong.is_some() && again.wrong == out.wrong
                            );
                        }
                    }
                }
            });
        }
    });
}
