//! Operations cut short by crashes: recorded on a tape, every image that a crash can leave is mounted, which
//! repairs it, and must hold what was there before the operation or after it; e2fsck judges the result.

use super::snapshot::Snapshot;
use super::tape::{Moment, Tape};
use super::{Image, Machine, mount, try_mount};
use fs::ext2::Ext2;
use fs::pmem::ram::Ram;
use fs::vfs::FileSystem;
use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher;
use std::ops::Range;
use std::sync::Arc;

/// A recorded file system.
pub(crate) type Fs = Arc<Ext2<Machine>>;
/// What an operation is called, and what it does.
pub(crate) type Step<'a> = (&'a str, Box<dyn FnMut(&Fs) + 'a>);

/// A sequence of operations on a tape, and what was to be seen before and after each.
pub(crate) struct Recording {
    image: Image,
    pub(crate) tape: Tape,
    names: Vec<String>,
    states: Vec<Snapshot>,
}

/// How often things happened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Different images that a crash can leave.
    pub(crate) images: usize,
    /// Different images after their repair, each judged by e2fsck.
    pub(crate) judged: usize,
    /// Images in which something was repaired.
    pub(crate) repaired: usize,
}

pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

impl Recording {
    /// Runs `steps` on `image`, which is not changed, and records them.
    pub(crate) fn of(image: Image, steps: Vec<Step<'_>>) -> Self {
        let (mut tape, rig) = Tape::record(&image.bytes());
        let fs = mount(rig.clone());
        let mut states = vec![Snapshot::of(&fs).expect("a sound image")];
        let mut names = Vec::new();
        tape.rewind(&rig);
        for (name, mut step) in steps {
            step(&fs);
            tape.mark();
            names.push(name.to_owned());
            states.push(Snapshot::of(&fs).unwrap_or_else(|error| panic!("after {name}: {error}")));
        }
        Self { image, tape, names, states }
    }

    /// The image before the first operation.
    pub(crate) fn start(&self) -> Vec<u8> {
        self.tape.start()
    }

    /// What the operation after `marks` others is called.
    pub(crate) fn name(&self, marks: usize) -> String {
        self.names.get(marks).cloned().unwrap_or_else(|| "the end".to_owned())
    }

    /// Judges crashes of `tape`, which is the recording's or a changed one, at fences in `range`. An error
    /// tells the first that went wrong. Without `e2fsck`, its opinion is not asked.
    pub(crate) fn judge(
        &self,
        tape: &Tape,
        range: Range<usize>,
        (random, seed): (usize, u64),
        e2fsck: bool,
    ) -> Result<Counts, String> {
        let (mut seen, mut results) = (HashSet::new(), HashSet::new());
        let (mut counts, mut failure) = (Counts::default(), None);
        tape.crashes_at(range, random, seed, |moment, how, image| {
            if failure.is_some() {
                return;
            }
            let image = image();
            if !seen.insert((hash(&image), moment.marks, moment.returned)) {
                return;
            }
            counts.images += 1;
            let name = self.name(moment.marks);
            let result = self.examine(moment, &image).and_then(|(repaired, anything)| {
                counts.repaired += usize::from(anything);
                if e2fsck && results.insert(hash(&repaired)) {
                    counts.judged += 1;
                    self.image.store_bytes(&repaired);
                    self.image.judge()?;
                }
                Ok(())
            });
            failure = result.err().map(|error| format!("{name}, crash at {moment:?}, {how}: {error}"));
        });
        failure.map_or(Ok(counts), Err)
    }

    /// Mounts `image`, looks, unmounts. Returns what is left, and whether anything was repaired.
    fn examine(&self, moment: Moment, image: &[u8]) -> Result<(Vec<u8>, bool), String> {
        let machine = Machine::new(Ram::from_bytes(image));
        let fs = try_mount(machine.clone()).map_err(|error| format!("mount: {error}"))?;
        if let Some(reason) = fs.read_only_reason() {
            return Err(format!("mounted read-only: {reason}"));
        }
        let recovered = *fs.recovered().ok_or("nobody looked for damage")?;
        if !recovered.ours {
            return Err("taken for another system's crash".into());
        }
        let found = Snapshot::of(&fs)?;
        let after = &self.states[(moment.marks + 1).min(self.names.len())];
        let before = if moment.returned { after } else { &self.states[moment.marks.min(self.names.len())] };
        if !found.is_between(before, after) {
            return Err(format!(
                "{recovered}\n  from before: {}\n  from after: {}",
                before.difference(&found),
                after.difference(&found)
            ));
        }
        fs.unmount().map_err(|error| format!("unmount: {error}"))?;
        drop(fs);
        Ok((machine.ram.to_bytes(), !recovered.is_nothing()))
    }
}
