//! Directory trees, visited without recursion and without long paths: names are looked up in the directory that is
//! being visited, so a tree may be deeper than any path is long. The depth is the image's, not ours, and so are the
//! names: one that is no name is refused, and so is a directory that is met twice.
//!
//! ```text
//! tree.enter(sh, top)
//! while let Some(visit) = tree.next(sh)     Found: tree.enter(sh, place) to go into a directory
//!                                           Left: after the last name in it
//! ```

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::{self, Vec};

use super::command::{Done, Failure, On};
use super::{Shell, text};
use crate::mounts::{self, Place};

/// A visit to a tree.
pub(super) struct Tree {
    /// The directories that are being visited, the top first.
    levels: Vec<Level>,
    /// The path of what was visited last, as it is shown, and where its last name begins.
    path: String,
    name: usize,
    /// Mount and number of every directory that was entered.
    seen: BTreeSet<(u64, u64)>,
}

struct Level {
    dir: Place,
    /// What is left to visit.
    names: vec::IntoIter<String>,
    /// The length of its path.
    path: usize,
}

/// What [`Tree::next`] comes to.
pub(super) enum Visit {
    /// A name in the directory [`Tree::dir`]; links are not followed.
    Found(Place),
    /// This directory was entered and is done with. [`Tree::dir`] is the one it is in; none for the top.
    Left(Place),
}

impl Tree {
    /// The tree that is shown as `path`, to be entered first.
    pub(super) fn new(path: &str) -> Self {
        Self { levels: Vec::new(), path: path.to_string(), name: 0, seen: BTreeSet::new() }
    }

    /// The path of what was visited last, as it is shown: maybe too long to be walked.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The name of what was visited last in [`dir`](Self::dir).
    pub(super) fn name(&self) -> &str {
        &self.path[self.name..]
    }

    /// The directory that holds what was visited last.
    pub(super) fn dir(&self) -> Option<&Place> {
        self.levels.last().map(|level| &level.dir)
    }

    /// How deep [`dir`](Self::dir) is: 1 for the top.
    #[allow(dead_code)]
    pub(super) fn depth(&self) -> usize {
        self.levels.len()
    }

    /// Goes into a directory that was found, or into the top.
    pub(super) fn enter(&mut self, sh: &mut Shell, dir: Place) -> Done {
        if !self.seen.insert((dir.mount.id(), dir.file.ino())) {
            return Err("the image is damaged: this directory is in more than one place").on(&self.path);
        }
        let names = sh.names(&dir.file, &self.path)?.into_iter();
        self.levels.push(Level { dir, names, path: self.path.len() });
        Ok(())
    }

    /// The next visit; after the top was left, none.
    ///
    /// # Errors
    /// A name that leads nowhere; the next call goes on behind it.
    pub(super) fn next(&mut self, sh: &mut Shell) -> Result<Option<Visit>, Failure> {
        sh.out.poll()?;
        let Some(level) = self.levels.last_mut() else { return Ok(None) };
        self.path.truncate(level.path);
        let Some(name) = level.names.next() else {
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
        mounts::child(&level.dir, &text::encode(&name)).map(|place| Some(Visit::Found(place))).on(&self.path)
    }
}
