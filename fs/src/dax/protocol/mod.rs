//! The fault protocols, as values: under which lock does a fault look up, and where may it allocate?
//!
//! Each is one function in a file of its own, over the steps of [`fault`](super::fault): take `dax_sem`
//! shared or exclusively, lock an entry, [`attempt`](super::fault) to look up and install. A new one is one
//! file and one line of the list here. What must not be lost is tested and explored on each that the list
//! calls sound.
//!
//! | protocol | invalidate lock | entry lock | allocates under |
//! |---|---|---|---|
//! | `racy` (only in the lab) | shared | none | the shared lock: loses data |
//! | `read-first` | shared; exclusive to allocate | none | the exclusive invalidate lock |
//! | `entry-lock` | shared | yes | the entry's lock |
//!
//! Those that take their steps in a wrong order, for the lab, are in `mistaken.rs`.

mod entry_lock;
#[cfg(feature = "lab")]
mod mistaken;
#[cfg(feature = "lab")]
mod racy;
mod read_first;

use super::fault::{FaultResult, Request, Served};
use crate::platform::Platform;
use core::fmt;
use core::str::FromStr;

macro_rules! protocols {
    (@sound) => { true };
    (@loses_data) => { false };
    ($(
        $(#[$doc:meta])*
        $name:ident => $text:literal, $module:ident, $sound:ident $(, only with $feature:literal)?;
    )*) => {
        /// How faults on one file keep out of each other's way.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Protocol {
            $($(#[$doc])* $(#[cfg(feature = $feature)])? $name,)*
        }

        impl Protocol {
            /// All of them.
            pub const ALL: &[Self] = &[$($(#[cfg(feature = $feature)])? Self::$name,)*];

            /// Returns the protocol's name, which is printed and parsed.
            pub const fn name(self) -> &'static str {
                match self { $($(#[cfg(feature = $feature)])? Self::$name => $text,)* }
            }

            /// Returns whether the protocol loses nothing.
            pub const fn is_sound(self) -> bool {
                match self { $($(#[cfg(feature = $feature)])? Self::$name => protocols!(@$sound),)* }
            }

            /// Serves the fault as the protocol says.
            #[inline(always)]
            fn follow<P: Platform, const LAB: bool>(self, request: &Request<'_, P, LAB>) -> FaultResult<Served> {
                match self { $($(#[cfg(feature = $feature)])? Self::$name => $module::serve(request),)* }
            }
        }
    };
}

protocols! {
    /// What Linux did before 2016: a write fault allocates under the shared lock, beside other faults. It
    /// loses data; for tests and the lab only.
    Racy => "racy", racy, loses_data, only with "lab";
    /// Look up under the shared lock; for a write to a hole let go, lock exclusively, look again, allocate.
    #[default]
    ReadFirst => "read-first", read_first, sound;
    /// Lock the page's entry, then look up and allocate; the invalidate lock is shared by all faults.
    EntryLock => "entry-lock", entry_lock, sound;
}

impl Protocol {
    /// Serves the fault; in the lab by a protocol with its steps in a wrong order, if that mistake is to be
    /// made.
    #[inline(always)]
    pub(super) fn serve<P: Platform, const LAB: bool>(
        self,
        request: &Request<'_, P, LAB>,
    ) -> FaultResult<Served> {
        #[cfg(feature = "lab")]
        if LAB {
            return mistaken::serve(self, request);
        }
        self.follow(request)
    }

    /// Those that lose nothing, in the list's order.
    pub const SOUND: [Self; Self::count_sound()] = {
        let mut sound = [Self::ReadFirst; Self::count_sound()];
        let (mut from, mut to) = (0, 0);
        while from < Self::ALL.len() {
            if Self::ALL[from].is_sound() {
                sound[to] = Self::ALL[from];
                to += 1;
            }
            from += 1;
        }
        sound
    };

    const fn count_sound() -> usize {
        let (mut count, mut at) = (0, 0);
        while at < Self::ALL.len() {
            count += Self::ALL[at].is_sound() as usize;
            at += 1;
        }
        count
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Not the name of a [`Protocol`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownProtocol;

impl FromStr for Protocol {
    type Err = UnknownProtocol;

    fn from_str(name: &str) -> core::result::Result<Self, UnknownProtocol> {
        Self::ALL.iter().copied().find(|one| one.name() == name).ok_or(UnknownProtocol)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    /// The list's line is all that there is to say.
    #[test]
    fn those_that_are_sound_are_what_the_list_says() {
        assert!(Protocol::SOUND.iter().all(|protocol| protocol.is_sound()));
        let others = Protocol::ALL.iter().filter(|protocol| !Protocol::SOUND.contains(protocol));
        assert!(others.copied().eq([Protocol::Racy]), "one loses data, on purpose");
        assert!(Protocol::SOUND.is_sorted() && Protocol::SOUND.contains(&Protocol::default()));
    }

    #[test]
    fn every_protocol_is_found_by_the_name_it_prints() {
        for &protocol in Protocol::ALL {
            assert_eq!(protocol.to_string().parse(), Ok(protocol));
        }
        assert_eq!("".parse::<Protocol>(), Err(UnknownProtocol));
    }
}
