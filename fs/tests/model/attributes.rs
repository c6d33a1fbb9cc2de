//! The steps on extended attributes.

use super::world::World;
use crate::common::pattern;
use fs::vfs::{InodeRef, SetXattr};
use fs::{Errno, Error};
use std::collections::BTreeMap;

/// Attributes by name.
pub(crate) type Attributes = BTreeMap<Vec<u8>, Vec<u8>>;

impl World {
    /// Sets or removes an attribute of a file or directory.
    pub(crate) fn change_attribute(&mut self) {
        let node = match self.any_file() {
            Some(file) if !self.rng.one_in(4) => file,
            _ => self.any_directory(),
        };
        let name: Vec<u8> =
            self.rng.pick(&[&b"user.a"[..], b"user.bb", b"trusted.a", b"security.long one"]).to_vec();
        let len = if self.rng.one_in(4) { 700 } else { 12 };
        let value = pattern(self.rng.draw(), self.rng.below(len) as usize);
        let how = self.rng.below(4);
        self.note(format!("attribute {} of node {node}, {how}", String::from_utf8_lossy(&name)));
        let inode = self.inode(node);
        let result = match how {
            0 => inode.set_xattr(&name, &value, SetXattr::Create),
            1 => inode.set_xattr(&name, &value, SetXattr::Replace),
            2 => inode.set_xattr(&name, &value, SetXattr::Any),
            _ => inode.remove_xattr(&name),
        };
        let attributes = &self.model.node(node).more.attributes;
        let there = attributes.contains_key(&name);
        match (how, there) {
            (0, true) => assert_eq!(result, Err(Error::Op(Errno::Exists))),
            (1 | 3, false) => assert_eq!(result, Err(Error::Op(Errno::NoData))),
            _ => self.expect_full(&result, 1),
        }
        if result.is_ok() {
            let attributes = &mut self.model.node_mut(node).more.attributes;
            if how == 3 {
                attributes.remove(&name)
            } else {
                attributes.insert(name, value)
            };
        }
    }

    pub(crate) fn compare_attributes(&self, node: u64, inode: &InodeRef<crate::common::Machine>) {
        let names = inode.list_xattrs().expect("the names of attributes");
        let all: Attributes =
            names.into_iter().map(|name| (name.clone(), inode.xattr(&name).expect("a value"))).collect();
        assert_eq!(all, self.model.node(node).more.attributes, "attributes of node {node}");
    }
}
