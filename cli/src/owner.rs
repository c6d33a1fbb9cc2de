//! `USER`, `USER:GROUP`, `:GROUP`: owners as chown takes them, in numbers (the one name known is `root`).
//!
//! Reference: POSIX `chown`, "operands".

use core::fmt;

/// Who a file is to belong to; `None` leaves it as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewOwner {
    /// The user.
    pub uid: Option<u32>,
    /// The group.
    pub gid: Option<u32>,
}

/// Why a text is no owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerError {
    /// The part for the user is no number.
    User,
    /// The part for the group is no number.
    Group,
}

impl fmt::Display for OwnerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = if *self == Self::User { "user" } else { "group" };
        write!(f, "invalid {whose}: a number from 0 to 4294967294 is wanted")
    }
}

impl core::error::Error for OwnerError {}

impl NewOwner {
    /// Reads an owner.
    ///
    /// # Errors
    /// [`OwnerError`], for names, signs and what does not fit into 32 bits, or fills them: chown(2) takes −1
    /// for "as it is".
    pub fn parse(text: &str) -> Result<Self, OwnerError> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        // `:` alone would change nothing, and `5:` would mean a login group, which nobody has here.
        let uid = match (user, group) {
            ("", Some(_)) => None,
            _ => Some(Self::id(user).ok_or(OwnerError::User)?),
        };
        let gid = group.map(|group| Self::id(group).ok_or(OwnerError::Group)).transpose()?;
        Ok(Self { uid, gid })
    }

    fn id(text: &str) -> Option<u32> {
        match text {
            "root" => Some(0),
            _ if text.starts_with(|c: char| c.is_ascii_digit()) => {
                text.parse().ok().filter(|id| *id != u32::MAX)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_groups() {
        let parse = |text| NewOwner::parse(text).map(|owner| (owner.uid, owner.gid));
        assert_eq!(parse("1000"), Ok((Some(1000), None)));
        assert_eq!(parse("0:100"), Ok((Some(0), Some(100))));
        assert_eq!(parse(":7"), Ok((None, Some(7))));
        assert_eq!(parse("root:root"), Ok((Some(0), Some(0))));
        assert_eq!(parse("4294967294:4294967294"), Ok((Some(u32::MAX - 1), Some(u32::MAX - 1))));
    }

    #[test]
    fn what_is_no_owner() {
        for text in ["", "abc", "-1", "+1", "4294967295", "4294967296", "1.2", " 1"] {
            assert_eq!(NewOwner::parse(text), Err(OwnerError::User), "{text}");
        }
        for text in ["1:", ":", "1:2:3", ":abc", "1:-2", ":4294967295"] {
            assert_eq!(NewOwner::parse(text), Err(OwnerError::Group), "{text}");
        }
    }
}
