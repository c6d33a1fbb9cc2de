//! One model, in a process of its own: however it ends, the campaign goes on.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::mistake::{Mistake, Place};
use crate::{machine, models};

/// Who takes longer has got lost.
const MOST: Duration = Duration::from_secs(60);

/// Runs the model in every order. Its last lines are `made FILE:FUNCTION:METHOD:NUMBER WRONG,WRONG` for each access that it
/// made, and `orders NUMBER`.
///
/// # Errors
/// The model or the mistake doesn't exist. If the model fails, this process ends with status 2, after `failed: WHY`.
pub(crate) fn run(model: &str, mistake: Option<&str>) -> Result<(), String> {
    let model =
        models::all().find(|known| known.name == model).ok_or_else(|| format!("{model}: no such model"))?;
    match mistake.map(Mistake::parse).transpose()? {
        Some(Mistake::Access(place, wrong)) => {
            let (line, column) = place.find()?;
            loomed::sabotage(&place.file, line, column, wrong);
        }
        Some(Mistake::Lab(name)) => machine::mistake(name),
        Some(Mistake::LookEarly) => machine::look_early(),
        None => {}
    }
    // Nothing is unwound: the first panic is the finding.
    std::panic::set_hook(Box::new(|info| {
        let text = info.to_string();
        let mut lines = text.lines();
        let (place, why) =
            (lines.next().unwrap_or_default(), lines.find(|line| !line.is_empty()).unwrap_or_default());
        let _ = writeln!(std::io::stdout(), "failed: {why} ({})", place.trim_start_matches("panicked at "));
        std::process::exit(2);
    }));
    std::thread::spawn(|| {
        std::thread::sleep(MOST);
        println!("unknown: no end after {} s", MOST.as_secs());
        std::process::exit(3);
    });
    println!("{}: {}", model.name, model.holds);
    let executions = Arc::new(AtomicU64::new(0));
    let counted = executions.clone();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = model.preemptions;
    let run = model.run;
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        run();
    });
    for (site, wrongs) in loomed::sites() {
        let wrongs: Vec<_> = wrongs.into_iter().map(loomed::Wrong::name).collect();
        println!("made {} {}", Place::at(site.file, site.line, site.column)?, wrongs.join(","));
    }
    println!("orders {}", executions.load(Ordering::Relaxed));
    Ok(())
}
