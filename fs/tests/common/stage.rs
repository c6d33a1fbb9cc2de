//! A stage for races: two address spaces that show one hole, and a script that two threads follow.
//!
//! Each thread hooks into the places where it can be overtaken ([`Point`](super::rig::Point)) and waits there
//! for the other thread to get somewhere. A wait that never ends is a deadlock: it is reported, after a time
//! that no sound run needs.

use super::{BLOCK, Image, Machine, View, create, mount};
use fs::dax::Protocol;
use fs::ext2::Ext2;
use fs::platform::Platform;
use fs::vfs::FileSystem;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// What has happened so far, for threads to wait on.
#[derive(Clone, Default)]
pub(crate) struct Script(Arc<(Mutex<Vec<&'static str>>, Condvar)>);

impl Script {
    /// Something happened.
    pub(crate) fn say(&self, event: &'static str) {
        self.0.0.lock().expect("the script").push(event);
        self.0.1.notify_all();
    }

    /// True if `event` has been said.
    pub(crate) fn said(&self, event: &str) -> bool {
        self.0.0.lock().expect("the script").contains(&event)
    }

    /// Waits until one of `events` has been said.
    pub(crate) fn wait(&self, events: &[&'static str]) {
        let said = self.0.0.lock().expect("the script");
        let missing = |said: &mut Vec<&'static str>| !said.iter().any(|event| events.contains(event));
        let result = self.0.1.wait_timeout_while(said, Duration::from_secs(300), missing);
        let (said, timeout) = result.expect("the script");
        assert!(!timeout.timed_out(), "deadlock: waiting for {events:?} after {:?}", *said);
    }
}

/// An image, a file on it that is one hole, and two address spaces that show it.
pub(crate) struct Stage {
    image: Image,
    pub(crate) machine: Machine,
    pub(crate) fs: Arc<Ext2<Machine>>,
    pub(crate) views: [View; 2],
}

impl Stage {
    /// Mounted, with all counters at zero, and steps told.
    pub(crate) fn new(protocol: Protocol) -> Self {
        let image = Image::new(256);
        let machine = image.machine();
        machine.lab.set_hooks(true);
        let fs = mount(machine.clone());
        let file = create(&fs, "f");
        file.truncate(4 * BLOCK).expect("truncate");
        let views = [(); 2].map(|()| {
            let mut view = View::new(&file, 0..4);
            view.protocol = protocol;
            view
        });
        machine.stats().reset();
        Self { image, machine, fs, views }
    }

    /// Whatever was raced for: the image must be sound in the end, and nothing may have leaked.
    pub(crate) fn finish(self) {
        drop(self.views);
        self.fs.sync().expect("sync");
        self.fs.unmount().expect("unmount");
        self.image.store_bytes(&self.machine.ram.to_bytes());
        self.image.expect_clean();
    }
}
