//! The fault protocols, as values: under which lock does a fault look up, and where may it allocate?

use core::fmt;
use core::str::FromStr;

/// How faults on one file keep out of each other's way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Protocol {
    /// What Linux did before 2016: a write fault allocates under the shared lock, beside other faults. It loses data;
    /// for tests and the lab only.
    Racy,
    /// Look up under the shared lock; for a write to a hole let go, lock exclusively, look again, allocate.
    #[default]
    ReadFirst,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Racy, Self::ReadFirst];
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Racy => "racy",
            Self::ReadFirst => "read-first",
        })
    }
}

/// Not the name of a [`Protocol`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownProtocol;

impl FromStr for Protocol {
    type Err = UnknownProtocol;

    fn from_str(name: &str) -> Result<Self, UnknownProtocol> {
        match name {
            "racy" => Ok(Self::Racy),
            "read-first" => Ok(Self::ReadFirst),
            _ => Err(UnknownProtocol),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn every_protocol_is_found_by_the_name_it_prints() {
        for protocol in Protocol::ALL {
            assert_eq!(protocol.to_string().parse(), Ok(protocol));
        }
        assert_eq!("".parse::<Protocol>(), Err(UnknownProtocol));
    }
}
