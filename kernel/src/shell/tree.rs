//! Directory trees, visited without recursion and without long paths: names are read from the directory that
//! is being visited together with what they lead to, so a tree may be deeper than any path is long, and no
//! name is searched for. The depth is the image's, not ours, and so are the names: one that is no name is
//! refused, and so is a directory that is met twice. Of a directory only some names are read at once, and
//! fewer further down, so that memory is needed for the depth, not for the size. Names come in the
//! directory's order; those that were read together, sorted.
//!
//! ```text
//! tree.enter(sh, top)
//! while let Some(visit) = tree.next(sh)     Found: tree.enter(sh, place) to go into a directory
//!                                           Left: after the last name in it
//! ```

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::{self, Vec};

use super::command::{CommandResult, Failure, On};
use super::files::Named;
use super::{Shell, text};
use crate::mounts::Place;

/// Names read at once in the first levels of a tree.
const SOME: usize = 256;
/// How many levels those are.
const BROAD: usize = 16;
/// Names read at once further down.
const FEW: usize = 8;

/// A visit to a tree.
pub(super) struct Tree {
    /// The directories that are being visited, the top first.
    levels: Vec<OpenDirectory>,
    /// The path of what was visited last, as it is shown, and where its last name begins.
    path: String,
    name: usize,
    /// Mount and number of every directory that was entered.
    seen: BTreeSet<(u64, u64)>,
}

struct OpenDirectory {
    dir: Place,
    /// What was read and not visited yet.
    read: vec::IntoIter<Named>,
    /// The position to read on from; none at the directory's end.
    next: Option<u64>,
    /// The length of the directory's path, in bytes.
    path: usize,
}

/// What [`Tree::next`] comes to.
pub(super) enum Visit {
    /// A name in the directory [`Tree::dir`]; links are not followed.
    Found(Place),
    /// The directory was entered and is done with. [`Tree::dir`] is the one that holds it; none for the top.
    Left(Place),
}

impl Tree {
    /// Returns the tree that is shown as `path`, to be entered first.
    pub(super) fn new(path: &str) -> Self {
        Self { levels: Vec::new(), path: path.to_string(), name: 0, seen: BTreeSet::new() }
    }

    /// Returns the path of what was visited last, as it is shown: maybe too long to be walked.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Returns the name of what was visited last in [`dir`](Self::dir).
    pub(super) fn name(&self) -> &str {
        &self.path[self.name..]
    }

    /// Returns the directory that holds what was visited last.
    pub(super) fn dir(&self) -> Option<&Place> {
        self.levels.last().map(|level| &level.dir)
    }

    /// Returns how deep [`dir`](Self::dir) is: 1 for the top.
    pub(super) fn depth(&self) -> usize {
        self.levels.len()
    }

    /// Goes into a directory that was found, or into the top.
    pub(super) fn enter(&mut self, sh: &mut Shell, dir: Place) -> CommandResult {
        if !self.seen.insert((dir.mount.id(), dir.file.ino())) {
            return Err("the image is damaged: this directory is in more than one place").on(&self.path);
        }
        self.levels.push(OpenDirectory {
            dir,
            read: Vec::new().into_iter(),
            next: Some(0),
            path: self.path.len(),
        });
        // An error that nobody could come behind would come again.
        let read = self.read(sh);
        if read.is_err() {
            self.levels.pop();
        }
        read
    }

    /// Reads on in the directory that is being visited, if nothing that was read is left.
    fn read(&mut self, sh: &mut Shell) -> CommandResult {
        let most = if self.levels.len() <= BROAD { SOME } else { FEW };
        while let Some(level) = self.levels.last_mut()
            && let Some(from) = level.next
            && level.read.len() == 0
        {
            let (mut read, next) = sh.read_some(&level.dir, from, most).on(&self.path[..level.path])?;
            read.sort_unstable_by(|(a, _), (b, _)| text::encode(a).cmp(&text::encode(b)));
            (level.read, level.next) = (read.into_iter(), next);
        }
        Ok(())
    }

    /// Returns the next visit; after the top was left, none.
    ///
    /// # Errors
    /// A name that leads nowhere; the next call goes on behind it.
    pub(super) fn next(&mut self, sh: &mut Shell) -> Result<Option<Visit>, Failure> {
        sh.out.poll()?;
        if let Err(failure) = self.read(sh) {
            // The rest of this directory is lost, not that of the tree.
            if let Some(level) = self.levels.last_mut() {
                level.next = None;
            }
            return Err(failure);
        }
        let Some(level) = self.levels.last_mut() else { return Ok(None) };
        self.path.truncate(level.path);
        let Some((name, place)) = level.read.next() else {
            let left = self.levels.pop().map(|level| Visit::Left(level.dir));
            let above = self.levels.last().map(|level| level.path);
            self.name = above.map_or(0, |path| path + usize::from(!self.path[..path].ends_with('/')));
            return Ok(left);
        };
        if !self.path.ends_with('/') {
            self.path.push('/');
        }
        self.name = self.path.len();
        self.path.push_str(&name);
        place.map(|place| Some(Visit::Found(place))).on(&self.path)
    }
}

/// Calls `f` with everything in a tree, `top` first, directories before what is in them. A failure is
/// reported for `command`, and the rest goes on.
pub(super) fn each_of_tree(
    sh: &mut Shell,
    command: &str,
    path: &str,
    top: Place,
    mut f: impl FnMut(&mut Shell, &Place, &str) -> CommandResult,
) -> CommandResult {
    let mut tree = Tree::new(path);
    let mut failed = false;
    let mut next = Some(top);
    loop {
        let mut step = |sh: &mut Shell| {
            if let Some(place) = next.take() {
                // Into a directory, whatever could not be done with it.
                let done = f(sh, &place, tree.path());
                let entered = if place.is_directory() { tree.enter(sh, place) } else { Ok(()) };
                return done.and(entered).map(|()| true);
            }
            match tree.next(sh)? {
                Some(Visit::Found(place)) => next = Some(place),
                Some(Visit::Left(_)) => {}
                None => return Ok(false),
            }
            Ok(true)
        };
        match step(sh) {
            Ok(true) => {}
            Ok(false) => break,
            Err(Failure::Complaint(text)) => {
                sh.complain(command, &text);
                failed = true;
            }
            Err(other) => return Err(other),
        }
    }
    if failed { Err(Failure::Said) } else { Ok(()) }
}
