//! One model, in a process of its own: however it ends, the campaign goes on.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::mistake::{AccessPlace, Mistake};
use crate::{machine, models};

/// Who computes longer has got lost. Of the clock it may take longer, for others have the processors too.
const MOST: Duration = Duration::from_secs(60);
const MOST_BY_THE_CLOCK: Duration = Duration::from_secs(1200);

/// The processor time of this process, as far as Linux tells it.
fn computed() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name, which may hold anything, user and system time are fields 12 and 13, in hundredths of a
    // second.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    Duration::from_millis(
        fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum::<u64>() * 10,
    )
}

/// Runs the model in every order. Its last lines are `made FILE:FUNCTION:METHOD:NUMBER WRONG,WRONG` for each
/// access that it made, and `orders NUMBER`.
///
/// # Errors
/// The model or the mistake doesn't exist. If the model fails, this process ends with status 2, after
/// `failed: WHY`.
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
        let start = Instant::now();
        while computed() < MOST && start.elapsed() < MOST_BY_THE_CLOCK {
            std::thread::sleep(Duration::from_millis(500));
        }
        println!("unknown: no end after {} s of CPU time", computed().as_secs());
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
        println!("made {} {}", AccessPlace::at(site.file, site.line, site.column)?, wrongs.join(","));
    }
    println!("orders {}", executions.load(Ordering::Relaxed));
    Ok(())
}
