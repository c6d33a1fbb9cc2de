//! Commands and their options. To add one: a line in [`USAGE`], and in [`run`] a name and a function that
//! takes the parser.

use explore::campaign::file::Save;
use explore::campaign::record::Record;
use explore::campaign::summary::{Totals, coverage, findings, memory_peak};
use explore::campaign::{self, Campaign, merge::merge};
use explore::find::{Mode, Report, explore};
use explore::growth;
use explore::replay::{Telling, replay};
use explore::story::tell;
use explore::world::Images;
use explore::worlds::Filter;
use fs::lab::schedule::{Story, StoryError, WordKind, World};
use lexopt::{Arg, Parser, ValueExt};
use std::collections::HashSet;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, Instant};

const USAGE: &str = "\
explore pairs|triples [--protocol P] [--range R] [--start S] [--op OP]... [--most N]
                      [--shard I/N] [--jobs N] [--save FILE | --list]
    every pair or triple of operations, from each starting state, in every order.
    --protocol, --range, --start, --op   only worlds with these; each can be given again
    --most N      a world is given up after so many schedules (pairs: never; triples: 10000)
    --shard I/N   every N-th world, from the I-th on
    --jobs N      threads (as many as there are CPUs)
    --save FILE   keeps each world's result; goes on with a file that is there
    --list        prints numbers and worlds, and runs none
explore merge FILE...
    the results of all shards, and what is missing
explore world TEXT... [--most N | --random RUNS [--depth D] [--seed S]]
    those worlds, as read-first/page.hole/a:load/b:store
explore mutants [NAME]...
    each mistake is made and has to be found; with the shortest schedule that shows it. `racy` is the protocol
explore replay STORY [--full] [--svg FILE] [--trace FILE]
    repeats a schedule, as it is printed with what was found, and tells what each CPU did; --svg draws it for a slide,
    --trace is for Perfetto; --full tells and draws each step
explore growth [--most N]
    how the number of schedules grows with CPUs and operations, with and without reduction

Exit status: 0 nothing was found, 1 something was found or is missing, 2 bad use.
";

/// Schedules after which a triple is given up, if nothing else is said.
const MOST_OF_A_TRIPLE: u64 = 10_000;

/// The same for the table of growth.
const MOST_OF_GROWTH: u64 = 100_000;

/// Runs the command; its exit status.
///
/// # Errors
/// One line: bad use.
pub(crate) fn run(arguments: impl Iterator<Item = OsString>) -> Result<u8, String> {
    let mut parser = Parser::from_args(arguments);
    let Some(first) = parser.next().map_err(|error| error.to_string())? else {
        return Err("which command? (--help tells)".into());
    };
    let command = match first {
        Arg::Value(command) => command,
        Arg::Long("help") | Arg::Short('h') => {
            print!("{USAGE}");
            return Ok(0);
        }
        other => return Err(other.unexpected().to_string()),
    };
    match command.to_str() {
        Some("pairs") => pairs(2, parser),
        Some("triples") => pairs(3, parser),
        Some("world") => world(parser),
        Some("merge") => merged(parser),
        Some("mutants") => mutants(parser),
        Some("replay") => replayed(parser),
        Some("growth") => grown(parser),
        _ => Err(format!("no such command: `{}` (--help tells)", command.to_string_lossy().escape_debug())),
    }
}

/// The value of the option, as one of its kind.
fn named<T: FromStr>(parser: &mut Parser, kind: WordKind) -> Result<T, String> {
    let word = text(parser)?;
    let unknown = || StoryError::Unknown {
        kind,
        word: word.escape_debug().to_string(),
        within: word.escape_debug().to_string(),
    };
    word.parse().map_err(|_| unknown().to_string())
}

/// The value of the option, as text.
fn text(parser: &mut Parser) -> Result<String, String> {
    parser.value().and_then(ValueExt::string).map_err(|error| error.to_string())
}

/// The value of the option, as a number of at least `least`.
fn number<T: FromStr + PartialOrd + std::fmt::Display>(
    parser: &mut Parser,
    option: &str,
    least: T,
) -> Result<T, String> {
    let word = text(parser)?;
    let number = word.parse().ok().filter(|number| *number >= least);
    number.ok_or_else(|| format!("{option}: `{}` is no number from {least} on", word.escape_debug()))
}

fn pairs(cpus: usize, mut parser: Parser) -> Result<u8, String> {
    let most = if cpus == 2 { u64::MAX } else { MOST_OF_A_TRIPLE };
    let mut campaign = Campaign { cpus, filter: Filter::default(), most, shard: (1, 1) };
    let mut jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let mut save: Option<PathBuf> = None;
    let mut list = false;
    while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
        match argument {
            Arg::Long("protocol") => campaign.filter.protocols.push(named(&mut parser, WordKind::Protocol)?),
            Arg::Long("range") => campaign.filter.ranges.push(named(&mut parser, WordKind::Range)?),
            Arg::Long("start") => campaign.filter.starts.push(named(&mut parser, WordKind::Start)?),
            Arg::Long("op") => campaign.filter.ops.push(named(&mut parser, WordKind::Op)?),
            Arg::Long("most") => campaign.most = number(&mut parser, "--most", 1)?,
            Arg::Long("jobs") => jobs = number(&mut parser, "--jobs", 1)?,
            Arg::Long("shard") => campaign.shard = campaign::shard(&text(&mut parser)?)?,
            Arg::Long("list") => list = true,
            Arg::Long("save") => save = Some(parser.value().map_err(|error| error.to_string())?.into()),
            other => return Err(other.unexpected().to_string()),
        }
    }
    campaign.filter.normalize();
    let all = campaign.all();
    if all.is_empty() {
        return Err(format!("no {} are like that", campaign.name()));
    }
    let mut worlds = campaign.own(&all);
    if list {
        worlds.iter().for_each(|one| print(&format!("{} {}\n", one.number, one.world)));
        return Ok(0);
    }
    let count = worlds.len();
    let text = campaign.text(&all);
    let (mut save, mut records) = match save {
        Some(path) => {
            let (save, records) = Save::open(&path, &campaign, &text)?;
            let done: HashSet<usize> = records.iter().map(|record| record.number).collect();
            worlds.retain(|one| !done.contains(&one.number));
            if !records.is_empty() {
                println!("goes on: {} of {count} worlds are in {}", count - worlds.len(), path.display());
            }
            (Some(save), records)
        }
        None => (None, Vec::new()),
    };
    let images = Images::make()?;
    hush();
    let (begun, mut progress) = (Instant::now(), Progress::new(worlds.len()));
    let new = campaign::run(&worlds, &images, campaign.mode(), jobs, |record, done| {
        progress.show(done, record);
        if record.found.is_some() {
            print(&findings(std::slice::from_ref(record)));
        }
        save.as_mut().map_or(Ok(()), |save| save.add(record))
    });
    progress.end();
    print(&findings(&records));
    records.extend(new?);
    println!(
        "campaign: {campaign}, shard {}/{}: {count} of {} worlds",
        campaign.shard.0,
        campaign.shard.1,
        all.len()
    );
    print!("{}{}", coverage(campaign.mode(), false), Totals::of(&records).text());
    println!(
        "took: {:.1} s on {jobs} threads, memory peak {} MiB",
        begun.elapsed().as_secs_f64(),
        memory_peak() / 1024
    );
    Ok(verdict(&records))
}

/// The last line, and the exit status.
fn verdict(records: &[Record]) -> u8 {
    let found = records.iter().filter(|record| record.found.is_some()).count();
    println!("findings: {found}");
    u8::from(found > 0)
}

fn mutants(mut parser: Parser) -> Result<u8, String> {
    let mut quarries = Vec::new();
    while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
        match argument {
            Arg::Value(name) => quarries.push(explore::mutants::named(&name.to_string_lossy())?),
            other => return Err(other.unexpected().to_string()),
        }
    }
    let images = Images::make()?;
    let survived = explore::mutants::all(&quarries, &images, &|line| print(&format!("{line}\n")));
    Ok(u8::from(survived))
}

fn replayed(mut parser: Parser) -> Result<u8, String> {
    let (mut story, mut how) = (None, Telling::default());
    while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
        match argument {
            Arg::Long("full") => how.full = true,
            Arg::Long("svg") => how.svg = Some(parser.value().map_err(|error| error.to_string())?.into()),
            Arg::Long("trace") => how.trace = Some(parser.value().map_err(|error| error.to_string())?.into()),
            Arg::Value(text) if story.is_none() => {
                let text: Story =
                    text.to_string_lossy().parse().map_err(|error: StoryError| error.to_string())?;
                story = Some(text);
            }
            other => return Err(other.unexpected().to_string()),
        }
    }
    let story = story.ok_or("replay: which story?")?;
    let (text, wrong) = replay(&story, &Images::make()?, &how)?;
    print(&text);
    Ok(u8::from(wrong))
}

fn merged(mut parser: Parser) -> Result<u8, String> {
    let mut files = Vec::new();
    while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
        match argument {
            Arg::Value(file) => files.push(PathBuf::from(file)),
            other => return Err(other.unexpected().to_string()),
        }
    }
    if files.is_empty() {
        return Err("merge: which files?".into());
    }
    let merged = merge(&files)?;
    let of = merged.campaign.shard.1;
    print(&findings(&merged.records));
    println!(
        "campaign: {}, {of} shards: {} of {} worlds",
        merged.campaign,
        merged.records.len(),
        merged.worlds
    );
    print!("{}{}", coverage(merged.campaign.mode(), false), Totals::of(&merged.records).text());
    for (nth, gone, own) in &merged.missing {
        if gone == own {
            println!("missing: shard {nth}/{of}, all of its {own} worlds");
        } else {
            println!("missing: shard {nth}/{of}, {gone} of its {own} worlds");
        }
    }
    let status = verdict(&merged.records);
    Ok(status | u8::from(!merged.missing.is_empty()))
}

fn world(mut parser: Parser) -> Result<u8, String> {
    let mut worlds: Vec<World> = Vec::new();
    let (mut most, mut random, mut depth, mut seed) = (None, None, None, None);
    while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
        match argument {
            Arg::Long("most") => most = Some(number(&mut parser, "--most", 1)?),
            Arg::Long("random") => random = Some(number(&mut parser, "--random", 1)?),
            Arg::Long("depth") => depth = Some(number(&mut parser, "--depth", 1)?),
            Arg::Long("seed") => seed = Some(number(&mut parser, "--seed", 0)?),
            Arg::Value(text) => {
                let text = text.string().map_err(|error| error.to_string())?;
                worlds.push(text.parse().map_err(|error: StoryError| error.to_string())?);
            }
            other => return Err(other.unexpected().to_string()),
        }
    }
    let mode = match (most, random) {
        (Some(_), Some(_)) => return Err("--most is for every order, --random for some: not both".into()),
        (None, Some(runs)) => Mode::Random { runs, depth: depth.unwrap_or(3), seed: seed.unwrap_or(1) },
        (most, None) if depth.is_none() && seed.is_none() => {
            Mode::Exhaustive { most: most.unwrap_or(u64::MAX) }
        }
        _ => return Err("--depth and --seed go with --random".into()),
    };
    if worlds.is_empty() {
        return Err("world: which? (the form is PROTOCOL/RANGE.START/SPACE:OPERATION/...)".into());
    }
    let images = Images::make()?;
    hush();
    print!(
        "{}",
        coverage(mode, worlds.iter().any(|world| world.parts.iter().any(|part| part.ops.len() > 1)))
    );
    let mut status = 0;
    for world in &worlds {
        let Report { schedules, cut, places, longest, states, whole, time, found } =
            explore_apart(world, &images, mode);
        let came = match (&found, mode) {
            (None, Mode::Exhaustive { .. }) if whole => "kept".into(),
            (None, Mode::Exhaustive { .. }) => "given up".into(),
            (None, Mode::Random { .. }) => "kept by those drawn".into(),
            (Some(found), _) => found.verdict.to_string(),
        };
        println!(
            "{world}: {came}; {schedules} schedules ({cut} broken off), {places} places, longest {longest} steps, {} end \
             states, {:.3} s",
            states.len(),
            time.as_secs_f64()
        );
        if let Some(found) = found {
            status = 1;
            println!("{world}: {}: {}", found.verdict, found.what.replace('\n', " "));
            println!("  story: {}", tell(world, &images, found.order).0);
        }
    }
    Ok(status)
}

/// On a thread of its own, whose panics are not printed.
fn explore_apart(world: &World, images: &Images, mode: Mode) -> Report {
    let explored = std::thread::scope(|scope| scope.spawn(|| explore(world, images, mode)).join());
    explored.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn grown(mut parser: Parser) -> Result<u8, String> {
    let mut most = MOST_OF_GROWTH;
    while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
        match argument {
            Arg::Long("most") => most = number(&mut parser, "--most", 1)?,
            other => return Err(other.unexpected().to_string()),
        }
    }
    growth::table(&Images::make()?, most, print);
    Ok(0)
}

/// What panics in explored code is a finding, and told as one.
fn hush() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().name().is_some() {
            usual(panic);
        }
    }));
}

/// To stdout, at once. Whoever has gone away is not told.
fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// How far it has come: on a terminal only.
struct Progress {
    of: usize,
    begun: Instant,
    shown: Option<Instant>,
    wanted: bool,
}

impl Progress {
    fn new(of: usize) -> Self {
        Self { of, begun: Instant::now(), shown: None, wanted: io::stderr().is_terminal() }
    }

    fn show(&mut self, done: usize, record: &Record) {
        let due = self.shown.is_none_or(|at| at.elapsed() > Duration::from_millis(200));
        if self.wanted && (due || record.found.is_some()) {
            self.shown = Some(Instant::now());
            eprint!(
                "\r\x1b[K{done} of {} worlds, {} s: {}",
                self.of,
                self.begun.elapsed().as_secs(),
                record.world
            );
            if record.found.is_some() {
                eprint!("\r\x1b[K");
            }
        }
    }

    fn end(&self) {
        if self.wanted {
            eprint!("\r\x1b[K");
        }
    }
}
