//! Where a command's output goes: the console, COM4 in exec mode, the next command's input, or the file after
//! `>`.
//!
//! Output is collected to whole lines or 4 KiB; of commands that run at the same time, to whole lines. On the
//! console, Ctrl-C is looked for whenever something is passed on; other keys wait for the next prompt.

use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use super::command::{CommandResult, Failure};
use super::text;
use crate::console::{self, Stream};
use crate::keyboard;
use crate::machine::File;

const COLLECT: usize = 4096;
const COLLECT_FOR_FILE: usize = 64 << 10;
/// The most that one command hands to the next: it is in memory.
const PIPE: usize = 16 << 20;
const CTRL_C: u8 = 3;

/// Standard output. Writing to it through [`fmt::Write`] takes the shell's text and passes on the bytes it
/// stands for.
#[derive(Default)]
pub(crate) struct Output {
    collected: Vec<u8>,
    file: Option<Redirected>,
    /// For the next command, unless there is a file.
    pipe: Option<Vec<u8>>,
    /// There was more output than the pipe holds.
    overflowed: bool,
    /// Typed while a command ran.
    typed: VecDeque<u8>,
    failure: Option<Failure>,
    /// Not the shell's own: others write at the same time, the keyboard is theirs, and this says when to
    /// stop.
    stop: Option<Arc<AtomicBool>>,
}

struct Redirected {
    file: File,
    offset: u64,
    name: String,
}

impl Output {
    /// Returns the output of a task beside the shell: it writes whole lines, and ends with
    /// [`Failure::Interrupted`] when `stop` is set.
    pub(super) fn of_task(stop: Arc<AtomicBool>) -> Self {
        Self { stop: Some(stop), ..Self::default() }
    }

    /// Redirects everything from here on to `file`, from byte `offset` on. `name` is for messages.
    pub(super) fn redirect(&mut self, file: File, offset: u64, name: &str) {
        self.file = Some(Redirected { file, offset, name: name.to_string() });
    }

    /// Keeps everything from here on in `pipe`, but for what goes to a file. Returns what was kept before.
    pub(super) fn swap_pipe(&mut self, pipe: Option<Vec<u8>>) -> Option<Vec<u8>> {
        core::mem::replace(&mut self.pipe, pipe)
    }

    /// Returns whether a pipe could not hold what was meant for it, since the last call.
    pub(super) fn take_overflow(&mut self) -> bool {
        core::mem::take(&mut self.overflowed)
    }

    /// Returns whether somebody at a keyboard sees the output at once.
    pub(super) fn is_console(&self) -> bool {
        self.file.is_none() && self.pipe.is_none() && self.stop.is_none() && !console::exec_mode()
    }

    /// Returns whether the output is that of a task beside the shell, which can be told to stop.
    pub(super) fn is_task(&self) -> bool {
        self.stop.is_some()
    }

    /// Returns whether the output goes to a file or to the next command.
    pub(super) fn is_kept(&self) -> bool {
        self.file.is_some() || self.pipe.is_some()
    }

    /// Returns whether all output goes to this file.
    pub(super) fn goes_to(&self, file: &File) -> bool {
        // One inode has one object in memory, however it was found.
        self.file.as_ref().is_some_and(|to| alloc::sync::Arc::ptr_eq(&to.file, file))
    }

    /// Ends a command's output: passes on what is left, and goes back to the console.
    pub(super) fn finish(&mut self) -> CommandResult {
        let flushed = self.pass_on(self.collected.len());
        self.file = None;
        self.collected.clear();
        match self.failure.take() {
            Some(failure) => Err(failure),
            None => flushed,
        }
    }

    /// Writes bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> CommandResult {
        // In pieces: a block of dd's is larger than what there may be of memory for a second one.
        for piece in bytes.chunks(COLLECT_FOR_FILE) {
            self.collected.extend_from_slice(piece);
            let ready = if self.is_kept() {
                self.collected.len() >= COLLECT_FOR_FILE
            } else {
                self.collected.len() >= COLLECT || piece.ends_with(b"\n")
            };
            if ready {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Passes on what was collected; beside others, up to the last line's end, unless that line is very long.
    pub(crate) fn flush(&mut self) -> CommandResult {
        let mut len = self.collected.len();
        if self.stop.is_some() && !self.is_kept() && len < COLLECT_FOR_FILE {
            len = self.collected.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        }
        self.pass_on(len)
    }

    fn pass_on(&mut self, len: usize) -> CommandResult {
        if len == 0 {
            return Ok(());
        }
        let rest = self.collected.split_off(len);
        let bytes = core::mem::replace(&mut self.collected, rest);
        if self.file.is_none()
            && let Some(pipe) = &mut self.pipe
        {
            if pipe.len() + bytes.len() > PIPE || pipe.try_reserve(bytes.len()).is_err() {
                self.overflowed = true;
                let text =
                    alloc::format!("|: holds no more than {} MiB, and what there is of memory", PIPE >> 20);
                return self.fail(Failure::Complaint(text));
            }
            pipe.extend_from_slice(&bytes);
            return self.poll();
        }
        let Some(to) = &mut self.file else {
            console::write(Stream::Out, &bytes);
            return self.poll();
        };
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            match to.file.write_at(to.offset, rest) {
                Ok(n) if n > 0 => {
                    to.offset += n as u64;
                    rest = &rest[n..];
                }
                outcome => {
                    let why = outcome.err().unwrap_or(fs::Errno::NoSpace.into());
                    let text = alloc::format!("{}: {why}", to.name);
                    return self.fail(Failure::Complaint(text));
                }
            }
        }
        Ok(())
    }

    /// Looks at the keyboard: a command that runs for long calls this now and then.
    ///
    /// # Errors
    /// [`Failure::Interrupted`] after Ctrl-C.
    pub(crate) fn poll(&mut self) -> CommandResult {
        if let Some(stop) = &self.stop {
            return match stop.load(Ordering::Relaxed) {
                true => self.fail(Failure::Interrupted),
                false => Ok(()),
            };
        }
        if console::exec_mode() {
            return Ok(());
        }
        while let Some(byte) = console::try_read() {
            if byte == CTRL_C {
                self.typed.clear();
                self.collected.clear();
                return self.fail(Failure::Interrupted);
            }
            self.typed.push_back(byte);
        }
        Ok(())
    }

    /// Returns the next byte typed. A task beside the shell is told that there are no more.
    pub(super) fn read_key(&mut self) -> u8 {
        const CTRL_D: u8 = 4;
        if self.stop.is_some() {
            return CTRL_D;
        }
        self.typed.pop_front().unwrap_or_else(keyboard::read)
    }

    /// Remembers a failure, for those who write through [`fmt::Write`] and only learn that there was one.
    fn fail(&mut self, failure: Failure) -> CommandResult {
        self.failure = Some(failure);
        Err(Failure::Output)
    }
}

impl fmt::Write for Output {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(&text::encode(text)).map_err(|_| fmt::Error)
    }
}
