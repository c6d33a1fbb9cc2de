//! What a command reads that is told no file, or `-`: what the command before `|` wrote, or the file after
//! `<`. Nobody types a command's input.

use alloc::vec::Vec;

use super::Shell;
use super::command::{CommandResult, Failure, On, complaint};
use super::files::BUFFER;
use crate::machine::File;

/// Bytes to be read.
pub(super) enum ShellInput {
    /// Of a file.
    File(File),
    /// Of the command before.
    Bytes(Vec<u8>),
}

/// The operand that means the input.
const DASH: &str = "-";

impl ShellInput {
    /// Returns how many bytes there are.
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::File(file) => file.attr().size,
            Self::Bytes(bytes) => bytes.len() as u64,
        }
    }

    /// Reads from byte `from` on; how many bytes came: fewer than there is room for only at the end.
    pub(super) fn read_at(&self, from: u64, to: &mut [u8]) -> fs::Result<usize> {
        match self {
            Self::File(file) => file.read_at(from, to),
            Self::Bytes(bytes) => {
                let rest = usize::try_from(from).ok().and_then(|from| bytes.get(from..)).unwrap_or_default();
                let len = rest.len().min(to.len());
                to[..len].copy_from_slice(&rest[..len]);
                Ok(len)
            }
        }
    }
}

impl Shell {
    /// Returns what a command reads: its operands, or its input if it has none.
    pub(super) fn inputs<'a>(&self, operands: &[&'a str]) -> Result<Vec<&'a str>, Failure> {
        match operands {
            [] if self.input.is_some() => Ok([DASH].into()),
            [] => Err(complaint("missing operand")),
            named => Ok(named.to_vec()),
        }
    }

    /// Opens what can be read as bytes; `-` is the input, which is empty when it is read again.
    pub(super) fn open_input(&mut self, path: &str) -> Result<ShellInput, Failure> {
        if path != DASH {
            return self.open(path).map(ShellInput::File);
        }
        let empty = self.input.as_ref().map(|_| ShellInput::Bytes(Vec::new()));
        core::mem::replace(&mut self.input, empty)
            .ok_or("there is no input (it comes from a command before |, or from a file after <)")
            .on(path)
    }

    /// Calls `f` with each piece of an input from byte `from` on, up to `limit` bytes.
    pub(super) fn read_input(
        &mut self,
        input: &ShellInput,
        path: &str,
        mut from: u64,
        mut limit: u64,
        mut f: impl FnMut(&mut Self, &[u8]) -> CommandResult,
    ) -> CommandResult {
        if let ShellInput::File(file) = input
            && self.out.goes_to(file)
            && file.attr().size > from
        {
            // It would grow as fast as it is read.
            return Err("input file is output file").on(path);
        }
        let mut buffer = alloc::vec![0; (limit.min(BUFFER as u64) as usize).max(1)];
        while limit > 0 {
            self.out.poll()?;
            let want = limit.min(buffer.len() as u64) as usize;
            let got = input.read_at(from, &mut buffer[..want]).on(path)?;
            if got == 0 {
                break;
            }
            f(self, &buffer[..got])?;
            from += got as u64;
            limit -= got as u64;
        }
        Ok(())
    }
}
