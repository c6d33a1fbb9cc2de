//! All models, then all mistakes or a sample of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::known::{known, stale};
use crate::mistake::{AccessPlace, LAB, Mistake};
use crate::models;
use loomed::Wrong;

/// How a model ended.
enum ModelEnd {
    /// It holds in so many executions.
    Holds(u64),
    /// It doesn't; why.
    Fails(String),
    /// loom itself gave up: nothing is known.
    Unknown(String),
}

/// What a process said.
struct ModelRun {
    end: ModelEnd,
    /// The accesses it made, and what can be wrong with each.
    made: Vec<(String, Vec<String>)>,
    took: Duration,
}

/// What loom says when the fault is its own.
const OF_LOOM: [&str; 2] = ["VersionVec", "fully deterministic"];

fn run_one(model: &str, mistake: Option<&Mistake>) -> Result<ModelRun, String> {
    let start = Instant::now();
    let program = std::env::current_exe().map_err(|error| format!("this program: {error}"))?;
    let mut command = Command::new(program);
    command.arg(model).args(mistake.map(ToString::to_string));
    let output = command.output().map_err(|error| format!("{model}: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let (mut end, mut made) = (None, Vec::new());
    for line in text.lines() {
        if let Some(count) = line.strip_prefix("orders ") {
            end = count.parse().ok().map(ModelEnd::Holds);
        } else if let Some(why) = line.strip_prefix("failed: ") {
            let own = OF_LOOM.iter().any(|sign| why.contains(sign));
            end = Some(if own { ModelEnd::Unknown(why.into()) } else { ModelEnd::Fails(why.into()) });
        } else if let Some(why) = line.strip_prefix("unknown: ") {
            end = Some(ModelEnd::Unknown(why.into()));
        } else if let Some((place, wrongs)) = line.strip_prefix("made ").and_then(|line| line.split_once(' '))
        {
            let wrongs = wrongs.split(',').filter(|wrong| !wrong.is_empty()).map(Into::into).collect();
            made.push((place.into(), wrongs));
        }
    }
    let end = end.ok_or_else(|| format!("{model}: {}", String::from_utf8_lossy(&output.stderr).trim()))?;
    Ok(ModelRun { end, made, took: start.elapsed() })
}

/// Runs `work` on each of `items` with as many threads as there are CPUs; the answers in the order of the
/// items.
fn on_all_cpus<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let answers = Mutex::new(BTreeMap::new());
    let cpus = std::thread::available_parallelism().map_or(1, Into::into);
    std::thread::scope(|scope| {
        for _ in 0..cpus.min(items.len()) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(number) else { return };
                    let answer = work(item);
                    answers.lock().expect("no worker panics").insert(number, answer);
                }
            });
        }
    });
    answers.into_inner().expect("no worker panics").into_values().collect()
}

/// What is told at length: a file, for who wants to know.
struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    fn new() -> Result<Self, String> {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
        let path = target.join("orders.txt");
        let file = File::create(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { path, file })
    }

    fn line(&mut self, line: &str) -> Result<(), String> {
        writeln!(self.file, "{line}").map_err(|error| format!("{}: {error}", self.path.display()))
    }
}

/// Runs all models and one mistake of so many; prints what came out of it, and where the list is.
///
/// # Errors
/// A model fails; a mistake that should be found isn't, or one that was known not to be is; no mistake fails
/// a model.
pub(crate) fn run(one_of: usize) -> Result<(), String> {
    let mut wrong = Vec::new();
    let mut log = Log::new()?;
    let start = Instant::now();
    let all: Vec<_> = models::all().collect();
    log.line(&format!("{:<24} {:>11} {:>9}  what holds", "model", "preemptions", "orders"))?;
    let runs = on_all_cpus(&all, |model| run_one(model.name, None));
    // For each mistake, the models that come by there, the quickest first.
    let mut by_mistake: BTreeMap<Mistake, Vec<(Duration, &str)>> = BTreeMap::new();
    for (model, run) in all.iter().zip(runs) {
        let run = run?;
        let bound = model.preemptions.map_or_else(|| "any".into(), |most| format!("at most {most}"));
        let orders = match &run.end {
            ModelEnd::Holds(orders) => orders.to_string(),
            ModelEnd::Fails(why) | ModelEnd::Unknown(why) => {
                wrong.push(format!("{}: {why}", model.name));
                "FAILED".into()
            }
        };
        log.line(&format!("{:<24} {bound:>11} {orders:>9}  {}", model.name, model.holds))?;
        for (place, wrongs) in &run.made {
            for how in wrongs {
                let mistake = Mistake::parse(&format!("{place} {how}"))?;
                by_mistake.entry(mistake).or_default().push((run.took, model.name));
            }
        }
        if run.made.iter().any(|(place, _)| place.starts_with("fs/")) {
            for mutant in LAB {
                by_mistake.entry(Mistake::Lab(mutant.name())).or_default().push((run.took, model.name));
            }
        }
    }
    let waiting = by_mistake.iter().filter(
        |(mistake, _)| matches!(mistake, Mistake::Access(place, _) if place.file.ends_with("lists.rs")),
    );
    let waiting = waiting.flat_map(|(_, models)| models.clone()).collect::<BTreeSet<_>>();
    by_mistake.insert(Mistake::LookEarly, waiting.into_iter().collect());
    if !wrong.is_empty() {
        return Err(wrong.join("\norders: "));
    }
    // What orders nothing is worse than what is only acquire and release: where nobody finds that, nobody
    // finds this.
    by_mistake.retain(|mistake, _| match mistake {
        Mistake::Access(place, Wrong::NotSeqCst) => {
            known(&place.to_string(), Wrong::Relaxed.name()).is_none()
        }
        _ => true,
    });
    for models in by_mistake.values_mut() {
        models.sort();
    }
    let accesses: BTreeSet<&AccessPlace> = by_mistake
        .keys()
        .filter_map(|mistake| if let Mistake::Access(place, _) = mistake { Some(place) } else { None })
        .collect();
    println!("{} models hold ({:.0} s)", all.len(), start.elapsed().as_secs_f32());

    let mistakes: Vec<_> = by_mistake.iter().step_by(one_of).collect();
    let found = on_all_cpus(&mistakes, |(mistake, models)| {
        let mut unknown = None;
        for (_, model) in *models {
            match run_one(model, Some(mistake))?.end {
                ModelEnd::Fails(why) => return Ok(Ok((*model, why))),
                ModelEnd::Unknown(why) => unknown = Some(why),
                ModelEnd::Holds(_) => {}
            }
        }
        Ok::<_, String>(Err(unknown))
    });
    let (mut killers, mut survivors) = (BTreeSet::new(), BTreeSet::new());
    for ((mistake, _), found) in mistakes.iter().zip(found) {
        let text = mistake.to_string();
        let known = match mistake {
            Mistake::Access(place, wrong) => known(&place.to_string(), wrong.name()),
            _ => None,
        };
        match (found?, known) {
            (Ok((model, why)), None) => {
                killers.insert(model);
                log.line(&format!("found      {text}: {model}: {why}"))?;
            }
            (Err(_), Some(why)) => {
                survivors.insert(text.clone());
                log.line(&format!("not found  {text}: {why}"))?;
            }
            (Ok((model, _)), Some(_)) => {
                wrong.push(format!("{text}: found by {model}, but known.rs says that nothing finds it"))
            }
            (Err(unknown), None) => {
                let why = unknown.map(|why| format!(" (loom gave up: {why})")).unwrap_or_default();
                wrong.push(format!("{text}: survives{why}"));
            }
        }
    }
    let named: Vec<_> = by_mistake
        .keys()
        .filter_map(|mistake| match mistake {
            Mistake::Access(place, wrong) => Some((place.to_string(), wrong.name())),
            _ => None,
        })
        .collect();
    wrong.extend(
        stale(&named).into_iter().map(|known| format!("{known}: in known.rs, but no model comes by there")),
    );
    // Each model is there for something: a mistake that it finds, whether others do or not. A sample cannot
    // tell.
    let rest: Vec<_> = all.iter().filter(|model| one_of == 1 && !killers.contains(model.name)).collect();
    let proofs = on_all_cpus(&rest, |model| {
        for (mistake, _) in
            mistakes.iter().filter(|(_, models)| models.iter().any(|(_, name)| *name == model.name))
        {
            if !survivors.contains(&mistake.to_string())
                && let ModelEnd::Fails(why) = run_one(model.name, Some(mistake))?.end
            {
                return Ok(Some(format!("{mistake}: {why}")));
            }
        }
        Ok::<_, String>(None)
    });
    for (model, proof) in rest.iter().zip(proofs) {
        match proof? {
            Some(proof) => log.line(&format!("found too  by {}: {proof}", model.name))?,
            None => wrong.push(format!("{}: no mistake fails it", model.name)),
        }
    }
    println!(
        "{} models, {} accesses, {} of {} mistakes made: {} found, {} of no consequence ({:.0} s; the list: {})",
        all.len(),
        accesses.len(),
        mistakes.len(),
        by_mistake.len(),
        mistakes.len() - survivors.len() - wrong.len(),
        survivors.len(),
        start.elapsed().as_secs_f32(),
        log.path.display()
    );
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\norders: ")) }
}
