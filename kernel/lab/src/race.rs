//! Races: a play, as a scenario is one, under a protocol, with a mistake or without, by chance or by a
//! script, and the verdict.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use fs::PAGE_SIZE;
use fs::dax::Protocol;
use fs::lab::Mutant;
use fs::vfs::Fallocate;

use super::chance::{self, mix};
use super::script::{self, Event, Prevented, ScriptLine};
use super::stage::{LabStage, Play, Turn};
use super::waiting::until;
use crate::arch::time;
use crate::machine::File;
use crate::steps::LAB;
use crate::task::{self, TaskRef};

/// Nobody who acts does anything for so long, in so many looks: stuck.
const ASLEEP_NS: u64 = 300_000_000;
const ASLEEP_LOOKS: u32 = 1000;
/// How often somebody asks whether the race is to end, in nanoseconds.
const ASK_NS: u64 = 5_000_000;
/// How long a part may take, in nanoseconds, before the race is stuck.
const LONGEST_NS: u64 = 60_000_000_000;

/// How a race is run.
#[derive(Clone, Copy, Debug)]
pub struct RaceSetting<'a> {
    pub protocol: Protocol,
    pub mutants: &'a [Mutant],
    /// The order that a script brings about; none: by chance.
    pub order: Option<&'a [Event]>,
    /// By chance: so often.
    pub rounds: u64,
    pub seed: u64,
}

/// What came of a race.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RaceVerdict {
    /// Everything was as it must be, in every round.
    Kept,
    /// Something was lost, or seen that must not be, in so many rounds; the first time this.
    Lost(u64, String),
    /// The race came to no end by itself.
    Stuck(String),
}

/// A race's verdict, and how it was reached.
pub struct RaceOutcome {
    pub verdict: RaceVerdict,
    pub rounds: u64,
    /// Somebody ended the race before its end: the verdict is that of the rounds until then.
    pub interrupted: bool,
    /// By script: why the order did not come about, if it did not.
    pub prevented: Option<Prevented>,
    /// By script: who did what.
    pub lines: Vec<ScriptLine>,
}

impl fmt::Display for RaceVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kept => f.write_str("kept"),
            Self::Lost(_, what) => write!(f, "lost: {what}"),
            Self::Stuck(why) => write!(f, "stuck: {why}"),
        }
    }
}

/// Plays `play` on `file`, whose content is lost, until `stop` says that the race is to end. Mistakes are
/// healed afterwards, and nobody is held.
///
/// # Errors
/// What could not be prepared.
pub fn run(
    play: Arc<dyn Play>,
    file: &File,
    setting: RaceSetting<'_>,
    stop: &mut dyn FnMut() -> bool,
) -> Result<RaceOutcome, String> {
    let text = |error: fs::Error| alloc::format!("{error}");
    file.truncate(0).map_err(text)?;
    file.truncate(play.units() * play.pages() * PAGE_SIZE).map_err(text)?;
    let script = match setting.order {
        None => None,
        Some(order) => Some(script::play(order, play.actors()).map_err(|error| text(error.into()))?),
    };
    let chance = script.is_none().then(|| chance::play(play.actors(), setting.seed));
    let stage = LabStage::new(play, file.clone(), setting.protocol, script.clone(), chance);
    let played = stage.map_err(text).and_then(|stage| {
        let stage = Arc::new(stage);
        let tasks = stage.start().map_err(text)?;
        let mut asked = 0;
        let played = rounds(&stage, &tasks, setting, &mut || {
            let now = time::monotonic_ns();
            now - asked > ASK_NS && {
                asked = now;
                stop()
            }
        });
        LAB.heal();
        stage.end();
        tasks.iter().for_each(|task| drop(task.join()));
        played
    });
    LAB.heal();
    script::end();
    chance::end();
    let Played { verdict, rounds, interrupted } = played?;
    let prevented = script.as_ref().and_then(|script| script.prevented());
    let lines = script.map_or_else(Vec::new, |script| script.lines());
    Ok(RaceOutcome { verdict, rounds, interrupted, prevented, lines })
}

/// What came of the rounds, and how many there were.
struct Played {
    verdict: RaceVerdict,
    rounds: u64,
    interrupted: bool,
}

fn rounds(
    stage: &Arc<LabStage>,
    tasks: &[TaskRef],
    setting: RaceSetting<'_>,
    stop: &mut dyn FnMut() -> bool,
) -> Result<Played, String> {
    let play = &*stage.play;
    let rounds = if setting.order.is_some() { 1 } else { setting.rounds };
    let mut lost: Option<(u64, String)> = None;
    let mut random = mix(setting.seed);
    let verdict = |lost: Option<(u64, String)>| {
        lost.map_or(RaceVerdict::Kept, |(count, what)| RaceVerdict::Lost(count, what))
    };
    for round in 0..rounds {
        if stop() {
            return Ok(Played { verdict: verdict(lost), rounds: round, interrupted: true });
        }
        let page = play.page(round);
        let (offset, len) = (page * PAGE_SIZE, play.pages() * PAGE_SIZE);
        let holes = stage.file.fallocate(Fallocate::PunchHole, offset, len);
        holes.map_err(|error| alloc::format!("punching a hole: {error}"))?;
        stage.set_page(page);
        let turn = Turn { stage, actor: 0, page };
        play.prepare(&turn)?;
        // The mistake is made while they act, and at no other time.
        setting.mutants.iter().for_each(|&mutant| LAB.add(mutant));
        if let Some(chance) = &stage.chance {
            chance.deal(&mut random);
        }
        stage.begin();
        let acted = finish(stage, tasks, stop);
        LAB.heal();
        // What they do to look is no part of the story.
        script::end();
        let looked = acted.and_then(|()| {
            stage.begin();
            finish(stage, tasks, stop)
        });
        match looked {
            Ok(()) => {}
            Err(EarlyEnd::Interrupted) => {
                return Ok(Played { verdict: verdict(lost), rounds: round, interrupted: true });
            }
            Err(EarlyEnd::Stuck(why)) => {
                let verdict = RaceVerdict::Stuck(why.into());
                return Ok(Played { verdict, rounds: round + 1, interrupted: false });
            }
        }
        let what = stage.failure().or_else(|| play.check(&turn).err());
        if let Some(what) = what {
            lost = Some(lost.map_or((1, what), |(count, first)| (count + 1, first)));
        }
    }
    Ok(Played { verdict: verdict(lost), rounds, interrupted: false })
}

/// How a part ends that does not end by itself.
enum EarlyEnd {
    /// For this reason.
    Stuck(&'static str),
    /// Somebody wants the race to end.
    Interrupted,
}

/// Waits for the end of a part. Who is stuck is freed: mistakes are healed, everybody is woken.
///
/// # Errors
/// How else it ended.
fn finish(stage: &LabStage, tasks: &[TaskRef], stop: &mut dyn FnMut() -> bool) -> Result<(), EarlyEnd> {
    let begun = time::monotonic_ns();
    let (mut asleep_since, mut looks, mut end) = (None, 0, None);
    until(|| {
        if stage.is_through() {
            return true;
        }
        let now = time::monotonic_ns();
        (asleep_since, looks) =
            if stage.sleeps(tasks) { (asleep_since.or(Some(now)), looks + 1) } else { (None, 0) };
        let full = stage.script.as_ref().is_some_and(|script| script.is_full());
        if looks > ASLEEP_LOOKS && asleep_since.is_some_and(|since| now - since > ASLEEP_NS) {
            end = Some(EarlyEnd::Stuck("everybody waits"));
        } else if full {
            end = Some(EarlyEnd::Stuck("somebody goes round and round"));
        } else if now - begun > LONGEST_NS {
            end = Some(EarlyEnd::Stuck("it takes too long"));
        } else if stop() {
            end = Some(EarlyEnd::Interrupted);
        }
        end.is_some()
    });
    let Some(end) = end else { return Ok(()) };
    LAB.heal();
    stage.end();
    if let Some(script) = &stage.script {
        script.release(0);
    }
    // Whoever was not woken, or waited for something that healing has changed, looks again.
    until(|| {
        task::wake_everybody();
        stage.is_through() || tasks.iter().all(|task| task.status().is_some())
    });
    Err(end)
}
