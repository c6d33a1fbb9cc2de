//! The file system as it should be: names and contents in ordinary collections.

use super::attributes::Attributes;
use crate::common::contents::Contents;
use fs::Errno;
use fs::vfs::Rename;
use std::collections::BTreeMap;

/// A file or directory.
pub(crate) enum Kind {
    File(Contents),
    Directory(BTreeMap<Vec<u8>, usize>),
}

/// A node of the tree, and under which name it hangs where; `None` once it was removed.
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) place: Option<(usize, Vec<u8>)>,
    pub(crate) attributes: Attributes,
}

/// The whole tree; node 0 is the root.
pub(crate) struct Reference {
    pub(crate) nodes: Vec<Node>,
}

impl Reference {
    /// As mke2fs leaves it.
    pub(crate) fn new() -> Self {
        let place = Some((0, b"/".to_vec()));
        let mut all = Self {
            nodes: vec![Node {
                kind: Kind::Directory(BTreeMap::new()),
                place,
                attributes: Attributes::new(),
            }],
        };
        all.add(0, b"lost+found", Kind::Directory(BTreeMap::new()));
        all
    }

    /// What is in directory `dir`.
    pub(crate) fn entries(&self, dir: usize) -> &BTreeMap<Vec<u8>, usize> {
        match &self.nodes[dir].kind {
            Kind::Directory(entries) => entries,
            Kind::File(_) => panic!("node {dir} is no directory"),
        }
    }

    fn entries_mut(&mut self, dir: usize) -> &mut BTreeMap<Vec<u8>, usize> {
        match &mut self.nodes[dir].kind {
            Kind::Directory(entries) => entries,
            Kind::File(_) => panic!("node {dir} is no directory"),
        }
    }

    /// What file `node` holds.
    pub(crate) fn contents(&mut self, node: usize) -> &mut Contents {
        match &mut self.nodes[node].kind {
            Kind::File(contents) => contents,
            Kind::Directory(_) => panic!("node {node} is no file"),
        }
    }

    /// True for a directory.
    pub(crate) fn is_directory(&self, node: usize) -> bool {
        matches!(self.nodes[node].kind, Kind::Directory(_))
    }

    /// All nodes that have a name and are directories, or are not.
    pub(crate) fn living(&self, directories: bool) -> Vec<usize> {
        let living = (0..self.nodes.len()).filter(|&node| self.nodes[node].place.is_some());
        living.filter(|&node| self.is_directory(node) == directories).collect()
    }

    /// Links that stat(2) shows.
    pub(crate) fn links(&self, node: usize) -> u32 {
        match &self.nodes[node] {
            Node { place: None, .. } => 0,
            Node { kind: Kind::File(_), .. } => 1,
            Node { kind: Kind::Directory(entries), .. } => {
                2 + entries.values().filter(|&&inner| self.is_directory(inner)).count() as u32
            }
        }
    }

    /// The names from the root to `node`.
    pub(crate) fn path(&self, node: usize) -> Vec<u8> {
        match (&self.nodes[node].place, node) {
            (_, 0) => Vec::new(),
            (Some((dir, name)), _) => [self.path(*dir), b"/".to_vec(), name.clone()].concat(),
            (None, _) => panic!("node {node} has no name"),
        }
    }

    /// Hangs a new node into `dir`.
    pub(crate) fn add(&mut self, dir: usize, name: &[u8], kind: Kind) -> usize {
        let node = self.nodes.len();
        self.nodes.push(Node { kind, place: Some((dir, name.to_vec())), attributes: Attributes::new() });
        self.entries_mut(dir).insert(name.to_vec(), node);
        node
    }

    /// Takes a name away.
    pub(crate) fn remove(&mut self, dir: usize, name: &[u8]) {
        let node = self.entries_mut(dir).remove(name).expect("the name is there");
        self.nodes[node].place = None;
    }

    /// What unlink(2), or rmdir(2), has to answer.
    pub(crate) fn removal(&self, dir: usize, name: &[u8], directory: bool) -> Result<(), Errno> {
        let node = *self.entries(dir).get(name).ok_or(Errno::NotFound)?;
        match (directory, &self.nodes[node].kind) {
            (false, Kind::Directory(_)) => Err(Errno::IsDirectory),
            (true, Kind::File(_)) => Err(Errno::NotDirectory),
            (true, Kind::Directory(entries)) if !entries.is_empty() => Err(Errno::NotEmpty),
            _ => Ok(()),
        }
    }

    /// What rename(2) may answer: no answer but success, or any of these errors.
    pub(crate) fn rename_errors(
        &self,
        (old_dir, old): (usize, &[u8]),
        (new_dir, new): (usize, &[u8]),
        how: Rename,
    ) -> Vec<Errno> {
        let Some(&source) = self.entries(old_dir).get(old) else { return vec![Errno::NotFound] };
        let target = self.entries(new_dir).get(new).copied();
        match (how, target) {
            (Rename::NoReplace, Some(_)) => return vec![Errno::Exists],
            (Rename::Exchange, None) => return vec![Errno::NotFound],
            _ => {}
        }
        if target == Some(source) {
            return Vec::new();
        }
        let mut errors = Vec::new();
        if self.is_below(new_dir, source) {
            errors.push(Errno::Invalid);
        }
        if how == Rename::Exchange {
            if target.is_some_and(|target| self.is_below(old_dir, target)) {
                errors.push(Errno::Invalid);
            }
            return errors;
        }
        match target.map(|target| (self.is_directory(source), &self.nodes[target].kind)) {
            Some((true, Kind::File(_))) => errors.push(Errno::NotDirectory),
            Some((false, Kind::Directory(_))) => errors.push(Errno::IsDirectory),
            Some((true, Kind::Directory(entries))) if !entries.is_empty() => errors.push(Errno::NotEmpty),
            _ => {}
        }
        // A directory over one that it is in: POSIX leaves open which of the two mistakes counts.
        if errors == [Errno::IsDirectory] && target.is_some_and(|target| self.is_below(old_dir, target)) {
            errors.push(Errno::NotEmpty);
        }
        errors
    }

    /// Moves a name.
    pub(crate) fn rename(
        &mut self,
        (old_dir, old): (usize, &[u8]),
        (new_dir, new): (usize, &[u8]),
        how: Rename,
    ) {
        let source = self.entries_mut(old_dir).remove(old).expect("the name is there");
        if how == Rename::Exchange {
            let target = self.entries_mut(new_dir).get(new).copied().unwrap_or(source);
            self.entries_mut(old_dir).insert(old.to_vec(), target);
            self.nodes[target].place = Some((old_dir, old.to_vec()));
            self.entries_mut(new_dir).insert(new.to_vec(), source);
            self.nodes[source].place = Some((new_dir, new.to_vec()));
            return;
        }
        if let Some(replaced) = self.entries_mut(new_dir).insert(new.to_vec(), source)
            && replaced != source
        {
            self.nodes[replaced].place = None;
        }
        self.nodes[source].place = Some((new_dir, new.to_vec()));
    }

    fn is_below(&self, mut node: usize, top: usize) -> bool {
        loop {
            match &self.nodes[node].place {
                _ if node == top => return true,
                Some((dir, _)) if node != 0 => node = *dir,
                _ => return false,
            }
        }
    }
}
