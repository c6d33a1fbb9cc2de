//! `race`: a scenario of docs/races.md, by chance or by a script; a story of the explorer's.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Write;
use core::sync::atomic::AtomicBool;

use cli::opts::Opts;
use cli::size;
use cli::table::{CellAlign, Table};
use fs::dax::Protocol;
use fs::lab::schedule::{Story, World};
use fs::lab::{Mutant, Point};
use fs::vfs::FileKind;

use super::super::Shell;
use super::super::command::{ANY, Command, CommandResult, Failure, On, complaint};
use crate::arch::{percpu, time};
use crate::lab::Alone;
use crate::lab::race::{self, RaceOutcome, RaceSetting, RaceVerdict};
use crate::lab::replay::{self, Replay, ScriptedOrder};
use crate::lab::scenarios::{self, Breaks, Scenario};
use crate::lab::script::{Event, LineKind, Prevented, ScriptLine};
use crate::machine::File;
use crate::mounts;

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "race",
    operands: "[list | mistakes | all | SCENARIO... | replay STORY]",
    about: "let tasks race for a page, and see what is lost (docs/races.md)",
    options: &[
        ("-p, --protocol PROTOCOL", "as Tab lists them; racy loses data"),
        ("-m, --mutant MISTAKE", "make this mistake"),
        ("-s, --script", "hold the tasks at points, so that they meet in the order that fails"),
        ("-n, --rounds N", "without a script: so often (1000)"),
        ("--seed N", "without a script: who is held where, and for how long each waits"),
    ],
    spec: "p:m:sn:S: protocol=p mutant=m script=s rounds=n seed=S",
    count: 0..=ANY,
    run,
}];

const FILE: &[u8] = b"/.race";

/// The lab's script and its mistakes are the whole machine's.
static BUSY: AtomicBool = AtomicBool::new(false);

fn run(sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    match opts.operands() {
        [] | ["list"] => without_options(opts, "a list", "pmsnS").and_then(|()| list(sh)),
        ["mistakes"] => without_options(opts, "a list", "pmsnS").and_then(|()| mistakes(sh)),
        ["replay", texts @ ..] => replay(sh, opts, texts),
        ["all"] => {
            without_options(opts, "all goes through protocols and mistakes by itself, by script", "pms")?;
            with_file(|file| all(sh, opts, file))
        }
        names => {
            let find = |name: &&str| {
                let known = scenarios::all().find(|scenario| scenario.name.eq_ignore_ascii_case(name));
                known.ok_or_else(|| match scenarios::ABSENT.iter().find(|(absent, _)| absent == name) {
                    Some((name, why)) => complaint(format_args!("{name} cannot exist here: {why}")),
                    None => complaint(format_args!("{name}: no such scenario (`race list`)")),
                })
            };
            let scenarios: Vec<&Scenario> = names.iter().map(find).collect::<Result<_, _>>()?;
            if opts.has('s') {
                without_options(opts, "--script: it is played once, and nothing is left to chance", "nS")?;
            }
            with_file(|file| {
                let mut well = true;
                for scenario in scenarios {
                    well &= one(sh, opts, file, scenario)?;
                }
                if well { Ok(()) } else { Err(Failure::Said) }
            })
        }
    }
}

/// Refuses options that would be ignored.
fn without_options(opts: &Opts<'_>, why: &str, letters: &str) -> CommandResult {
    let name = |letter| match letter {
        'p' => "--protocol",
        'm' => "--mutant",
        's' => "--script",
        'n' => "--rounds",
        _ => "--seed",
    };
    match letters.chars().find(|&letter| opts.has(letter)) {
        Some(letter) => Err(complaint(format_args!("{} is not for this ({why})", name(letter)))),
        None => Ok(()),
    }
}

/// Takes away what a run that was cut off has left under `name`.
fn take_away(dir: &File, name: &[u8]) -> fs::Result<()> {
    match dir.unlink(name) {
        Err(fs::Error::Op(fs::Errno::NotFound)) => Ok(()),
        other => other,
    }
}

/// Runs `work` with a file that is taken away afterwards.
fn with_file(work: impl FnOnce(&File) -> CommandResult) -> CommandResult {
    with_file_in(|file, _, _| work(file))
}

/// Runs `work` with a new file; `work` gets the directory and the file's name in it too. The name may be
/// gone afterwards.
fn with_file_in(work: impl FnOnce(&File, &File, &'static [u8]) -> CommandResult) -> CommandResult {
    let _alone = Alone::new(&BUSY).ok_or_else(|| complaint("another race is being played"))?;
    let (dir, name) = mounts::parent(None, FILE).on("/.race")?;
    take_away(&dir.file, name).on("/.race")?;
    let file = dir.file.create(name, FileKind::File, 0o600).on("/.race")?;
    let outcome = work(&file, &dir.file, name);
    drop(file);
    outcome.and(take_away(&dir.file, name).on("/.race"))
}

/// Plays a story of the explorer's in its order.
fn replay(sh: &mut Shell, opts: &Opts<'_>, texts: &[&str]) -> CommandResult {
    if let Some(option) = ['p', 'm', 's', 'n', 'S'].into_iter().find(|&option| opts.has(option)) {
        return Err(complaint(format_args!("-{option}: the story says that itself")));
    }
    let [text] = texts else { return Err(complaint("replay: one STORY, as the explorer prints it")) };
    let story: Story = text.parse().map_err(complaint)?;
    // The only one that the storage code has no place for: the scenario makes it.
    if story.world.mutants.contains(&Mutant::CopyUnderLock) {
        return Err(complaint(
            "copy-under-lock is made by the scenario R12 alone (`race R12 -s -m copy-under-lock`)",
        ));
    }
    let ScriptedOrder { events, finer } = replay::order(&story).map_err(complaint)?;
    with_file_in(|file, dir, name| {
        let play = Arc::new(Replay::new(&story, dir.clone(), name).on("the second file")?);
        let World { protocol, mutants, .. } = &story.world;
        let setting = RaceSetting { protocol: *protocol, mutants, order: Some(&events), rounds: 1, seed: 1 };
        let outcome = race::run(play.clone(), file, setting, &mut || sh.out.poll().is_err());
        let outcome = outcome.map_err(complaint);
        let cleaned = play.clean().on("the second file");
        let outcome = outcome?;
        told(sh, &play.names(), &outcome)?;
        if let Some(finer) = finer {
            writeln!(sh.out, "left out are steps behind a point, and what a TLB serves, as in {finer}")?;
        }
        writeln!(sh.out, "{story}: {}", outcome.verdict)?;
        cleaned?;
        not_interrupted(&outcome)?;
        if outcome.verdict == RaceVerdict::Kept { Ok(()) } else { Err(Failure::Said) }
    })
}

fn list(sh: &mut Shell) -> CommandResult {
    for scenario in scenarios::all() {
        writeln!(sh.out, "{:<6} {}", scenario.name, scenario.about)?;
        let mut told: Vec<(Protocol, Option<Mutant>)> = Vec::new();
        for &Breaks { protocol, mutant, .. } in scenario.breaks {
            // In several orders, perhaps.
            if !told.contains(&(protocol, mutant)) {
                told.push((protocol, mutant));
                writeln!(sh.out, "       fails: {}", how(protocol, mutant))?;
            }
        }
    }
    writeln!(sh.out, "\nnot here:")?;
    for (name, why) in scenarios::ABSENT {
        writeln!(sh.out, "{name:<6} {why}")?;
    }
    Ok(())
}

/// Each mistake's name, and in the next line what is wrong and where.
fn mistakes(sh: &mut Shell) -> CommandResult {
    for &mutant in Mutant::ALL {
        writeln!(sh.out, "{:<26}{}", mutant.name(), mutant.place())?;
        writeln!(sh.out, "       {}", mutant.meaning())?;
        for scenario in scenarios::all() {
            if scenario.breaks.iter().any(|breaks| breaks.mutant == Some(mutant)) {
                writeln!(sh.out, "       race {} --script --mutant {mutant}", scenario.name)?;
            }
        }
    }
    Ok(())
}

/// Ends the command after Ctrl-C, which [`Output::poll`](super::super::output::Output::poll) has noticed.
fn not_interrupted(outcome: &RaceOutcome) -> CommandResult {
    if outcome.interrupted { Err(Failure::Output) } else { Ok(()) }
}

/// `--protocol racy`, `--protocol read-first --mutant zero-twice`.
fn how(protocol: Protocol, mutant: Option<Mutant>) -> String {
    match mutant {
        None => alloc::format!("--protocol {protocol}"),
        Some(mutant) => alloc::format!("--protocol {protocol} --mutant {mutant}"),
    }
}

fn number(opts: &Opts<'_>, option: char) -> Result<Option<u64>, Failure> {
    opts.value(option).map(|text| size::parse(text, 4096, 512).on(text)).transpose()
}

/// What the options say of a run.
#[derive(Clone, Copy)]
struct Asked {
    protocol: Protocol,
    mutant: Option<Mutant>,
    rounds: u64,
    seed: u64,
}

impl Asked {
    fn setting<'a>(&'a self, order: Option<&'a [Event]>) -> RaceSetting<'a> {
        let Self { protocol, rounds, seed, .. } = *self;
        RaceSetting { protocol, mutants: self.mutant.as_slice(), order, rounds, seed }
    }
}

fn asked(opts: &Opts<'_>) -> Result<Asked, Failure> {
    let protocol = opts.value('p').map(|name| {
        name.parse::<Protocol>().map_err(|_| complaint(format_args!("{name}: no such protocol")))
    });
    let mutant = opts
        .value('m')
        .map(|name| name.parse::<Mutant>().map_err(|_| complaint(format_args!("{name}: no such mistake"))));
    Ok(Asked {
        protocol: protocol.transpose()?.unwrap_or_default(),
        mutant: mutant.transpose()?,
        rounds: match number(opts, 'n')?.unwrap_or(1000) {
            0 => return Err(complaint("--rounds: 1 at least")),
            rounds => rounds,
        },
        seed: number(opts, 'S')?.unwrap_or_else(time::ticks),
    })
}

/// One scenario as the options say; whether nothing was lost.
fn one(sh: &mut Shell, opts: &Opts<'_>, file: &File, scenario: &'static Scenario) -> Result<bool, Failure> {
    let mut asked = asked(opts)?;
    let fitting = |breaks: &&Breaks| breaks.mutant == asked.mutant && breaks.protocol == asked.protocol;
    let fits = scenario.breaks.iter().find(fitting);
    // A mistake without a protocol: on the one where it matters.
    if fits.is_none()
        && !opts.has('p')
        && let Some(breaks) = scenario.breaks.iter().find(|breaks| breaks.mutant == asked.mutant)
        && asked.mutant.is_some()
    {
        asked.protocol = breaks.protocol;
    }
    let can_fail = scenario
        .breaks
        .iter()
        .any(|breaks| (breaks.mutant, breaks.protocol) == (asked.mutant, asked.protocol));
    if !opts.has('s') {
        let stop = &mut || sh.out.poll().is_err();
        let outcome = race::run(Arc::new(scenario), file, asked.setting(None), stop).map_err(complaint)?;
        let Asked { protocol, mutant, seed, .. } = asked;
        let kept = outcome.verdict == RaceVerdict::Kept;
        let lost = match outcome.verdict {
            RaceVerdict::Lost(count, _) => alloc::format!(" ({count} of them)"),
            _ => String::new(),
        };
        let (name, how, rounds) = (scenario.name, how(protocol, mutant), outcome.rounds);
        writeln!(sh.out, "{name} {how} --seed {seed}: {rounds} rounds{lost}: {}", outcome.verdict)?;
        not_interrupted(&outcome)?;
        if kept && can_fail {
            writeln!(
                sh.out,
                "{name} fails with {how}: more rounds may show it, `race {name} --script {how}` will"
            )?;
        }
        return Ok(kept);
    }
    let fitting = |breaks: &&Breaks| breaks.mutant == asked.mutant && breaks.protocol == asked.protocol;
    let orders: Vec<&'static [Event]> = match scenario.breaks.iter().find(fitting) {
        Some(breaks) => [breaks.order].to_vec(),
        None => orders(scenario),
    };
    let mut kept = true;
    for order in orders {
        let stop = &mut || sh.out.poll().is_err();
        let outcome = race::run(Arc::new(scenario), file, asked.setting(Some(order)), stop);
        let outcome = outcome.map_err(complaint)?;
        not_interrupted(&outcome)?;
        kept &= outcome.verdict == RaceVerdict::Kept;
        writeln!(sh.out, "{}: {}", scenario.name, scenario.about)?;
        let names: Vec<&str> = scenario.parts.iter().map(|part| part.name).collect();
        told(sh, &names, &outcome)?;
        let (name, how) = (scenario.name, how(asked.protocol, asked.mutant));
        writeln!(sh.out, "{name} {how} --script: {}\n", outcome.verdict)?;
    }
    Ok(kept)
}

/// Every order in which the scenario can fail, once.
fn orders(scenario: &Scenario) -> Vec<&'static [Event]> {
    let mut orders: Vec<&'static [Event]> = Vec::new();
    for breaks in scenario.breaks {
        if !orders.contains(&breaks.order) {
            orders.push(breaks.order);
        }
    }
    orders
}

/// Prints what each actor did, and why the order did not come about, if it did not.
fn told(sh: &mut Shell, names: &[&str], outcome: &RaceOutcome) -> CommandResult {
    columns(sh, names, &outcome.lines)?;
    if let Some(prevented) = outcome.prevented {
        writeln!(sh.out, "the order was prevented: {}", why(names, prevented))?;
    }
    Ok(())
}

fn why(names: &[&str], prevented: Prevented) -> String {
    let name = |actor: usize| names[actor];
    match prevented {
        Prevented::Waits(actor) => alloc::format!("{} waits for a lock", name(actor)),
        Prevented::Elsewhere(actor) => alloc::format!("{} does not come by there", name(actor)),
        Prevented::Late(actor) => alloc::format!("{} did not come in time", name(actor)),
    }
}

/// What each did, side by side.
fn columns(sh: &mut Shell, names: &[&str], lines: &[ScriptLine]) -> CommandResult {
    const WIDTH: usize = 38;
    let cpus = percpu::online().max(1);
    let mut head = String::new();
    for (actor, name) in names.iter().enumerate() {
        let title = alloc::format!("CPU {}: {name}", actor % cpus);
        let _ = write!(head, "{title:<WIDTH$}");
    }
    writeln!(sh.out, "{}", head.trim_end())?;
    // Of somebody who goes round and round, the beginning is enough.
    const MOST: usize = 100;
    for line in lines.iter().take(MOST) {
        let text = match &line.what {
            LineKind::Says(text) => text.clone(),
            LineKind::Held((actor, at)) => {
                alloc::format!("(held until {} {at})", names[*actor])
            }
            LineKind::LetGo => "(let go: the order is prevented)".into(),
            LineKind::Step(step) => match (step.point, step.arg) {
                (Point::LookedUp, u64::MAX) => "looked-up: a hole".into(),
                (Point::LookedUp | Point::Allocated, place) => alloc::format!("{}: {place:#x}", step.point),
                (point, _) => point.to_string(),
            },
        };
        writeln!(sh.out, "{:1$}{text}", "", line.actor * WIDTH)?;
    }
    if lines.len() > MOST {
        writeln!(sh.out, "... {} more", lines.len() - MOST)?;
    }
    Ok(())
}

/// Runs every scenario by script, on what it must fail on and on every sound protocol, and tells whether
/// each does what it must. With `--rounds` also that often by chance on the sound ones.
fn all(sh: &mut Shell, opts: &Opts<'_>, file: &File) -> CommandResult {
    let base = asked(opts)?;
    let mut table = Table::new(&[CellAlign::Left, CellAlign::Left, CellAlign::Left, CellAlign::Left]);
    table.row(["scenario", "on", "", "verdict"]);
    let (mut wrong, mut runs) = (0, 0);
    let mut row = |sh: &mut Shell,
                   scenario: &'static Scenario,
                   asked: Asked,
                   order,
                   must_fail: bool|
     -> CommandResult {
        let stop = &mut || sh.out.poll().is_err();
        let outcome = race::run(Arc::new(scenario), file, asked.setting(order), stop).on(scenario.name)?;
        not_interrupted(&outcome)?;
        let as_it_must = (outcome.verdict != RaceVerdict::Kept) == must_fail;
        (runs, wrong) = (runs + 1, wrong + u64::from(!as_it_must));
        let way = if order.is_some() { "script" } else { "chance" };
        let verdict = match as_it_must {
            true => outcome.verdict.to_string(),
            false => alloc::format!("WRONG: {}", outcome.verdict),
        };
        let on = how(asked.protocol, asked.mutant);
        table.row([scenario.name.to_string(), on, way.to_string(), verdict]);
        Ok(())
    };
    for scenario in scenarios::all() {
        for breaks in scenario.breaks {
            let Breaks { protocol, mutant, order } = *breaks;
            row(sh, scenario, Asked { protocol, mutant, ..base }, Some(order), true)?;
        }
        for protocol in Protocol::SOUND {
            let sound = Asked { protocol, mutant: None, ..base };
            for order in orders(scenario) {
                row(sh, scenario, sound, Some(order), false)?;
            }
            if opts.has('n') {
                row(sh, scenario, sound, None, false)?;
            }
        }
    }
    write!(sh.out, "{table}")?;
    writeln!(sh.out, "{runs} races, {wrong} with the wrong verdict")?;
    if wrong == 0 { Ok(()) } else { Err(complaint("not every verdict is what it must be")) }
}
