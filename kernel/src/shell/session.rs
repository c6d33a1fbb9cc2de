//! A session from its first line to the machine's end.
//!
//! With a script (fw_cfg file `opt/daxiom/exec`) it is run: output goes to COM4, errors to COM3, and the
//! machine ends with what came of it. It stops at the first command that fails, unless `opt/daxiom/args` has
//! the word `keep-going`. Otherwise there is a prompt on COM1. With the word `trace`, steps are traced from
//! the beginning, and the trace is written to the debug console at the end.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use cli::edit::{ASK_SIZE, EditEvent, Editor, TerminalSize};

use super::command::CommandSet;
use super::{ROOMS, Shell, text};
use crate::arch::time;
use crate::console::{self, Stream};
use crate::debugcon::DebugConsole;
use crate::exit::{ExitOutcome, exit};
use crate::lab::chrome;
use crate::lab::trace::{self, TraceCounts};
use crate::mm::aspace;
use crate::{fw_cfg, klog, mounts};

/// After a pause of that length, in nanoseconds, the terminal is asked again how large it is.
const PAUSE_NS: u64 = 500_000_000;
const ESCAPE: u8 = 0x1b;
const CTRL_C: u8 = 3;
const CTRL_D: u8 = 4;
const SCRIPT: &str = "opt/daxiom/exec";

/// Runs the session with these commands: the last thing the kernel does.
pub(crate) fn run(rooms: &'static [&'static CommandSet]) -> ! {
    ROOMS.call_once(|| rooms);
    mounts::init();
    let traced = fw_cfg::asked_for("trace");
    let records = fw_cfg::value("trace-records").filter(|records| (1..=trace::MOST).contains(records));
    if traced && let Err(error) = trace::start(records) {
        klog!(Warn, "trace: {error}");
    }
    let well = match fw_cfg::read(SCRIPT) {
        Some(script) => {
            console::set_exec_mode(true);
            let keep_going = fw_cfg::asked_for("keep-going");
            let mut shell = Shell::new(false);
            let well = shell.run_script(&text::decode(&script), keep_going);
            shell.close() & shell.leave.unwrap_or(true) & well
        }
        None => {
            crate::klog::quiet();
            let mut shell = Shell::new(true);
            shell.terminal = terminal();
            console::write(Stream::Console, b"`help` lists the commands; `poweroff` or Ctrl-] X leaves.\n");
            shell.prompt();
            shell.close() & shell.leave.unwrap_or(true)
        }
    };
    if traced {
        hand_over_trace();
    }
    exit(if well { ExitOutcome::Success } else { ExitOutcome::Failure })
}

/// The size of the terminal, which qemu-run.sh tells as `terminal=24x80` if there is one.
fn terminal() -> Option<TerminalSize> {
    let text = fw_cfg::argument("terminal")?;
    let (rows, columns) = text.split_once('x')?;
    let size = TerminalSize { rows: rows.parse().ok()?, columns: columns.parse().ok()? };
    // One on a real serial line does not know its size until it is asked.
    Some(if size.rows > 1 && size.columns > 1 { size } else { TerminalSize::USUAL })
}

/// Writes what was traced to the debug console, in the Chrome trace-event format.
fn hand_over_trace() {
    trace::stop();
    let TraceCounts { kept, lost, most } = trace::counts();
    let Some(mut out) = DebugConsole::find() else {
        klog!(Warn, "trace: no debug console to write it to");
        return;
    };
    // The port takes everything.
    let written = trace::records().map(|records| chrome::write(&mut out, &records, lost));
    if let Err(error) = written {
        klog!(Warn, "trace: {error}");
    }
    if lost > 0 {
        let (all, enough) = (kept + lost, most.next_power_of_two());
        let line = alloc::format!(
            "trace: {lost} of {all} records are lost, the oldest ones; --trace-records {enough} keeps all\n"
        );
        console::write(Stream::Err, line.as_bytes());
    }
}

/// The console, for the editor's echo: every key's answer is there at once.
struct Echo;

impl fmt::Write for Echo {
    fn write_str(&mut self, echo: &str) -> fmt::Result {
        // The editor writes CR LF; the console makes one of a bare LF.
        console::write(Stream::Console, echo.replace("\r\n", "\n").as_bytes());
        Ok(())
    }
}

impl Shell {
    /// Reads and runs lines until somebody leaves.
    fn prompt(&mut self) {
        while self.leave.is_none() {
            let prompt = alloc::format!("daxiom:{}# ", text::harmless(&self.cwd));
            let mut editor = core::mem::take(&mut self.editor);
            let event = self.read_line(&mut editor, &prompt, Self::completions);
            self.editor = editor;
            match event {
                EditEvent::Line(line) => {
                    self.run_script(&line, true);
                }
                EditEvent::Interrupt => {}
                EditEvent::EndOfInput => self.leave = Some(true),
            }
        }
    }

    /// Reads a line from the console. Tab asks `completions` what the last word, after the words before it,
    /// may become.
    pub(super) fn read_line(
        &mut self,
        editor: &mut Editor,
        prompt: &str,
        completions: fn(&Self, &[String], &str) -> Vec<String>,
    ) -> EditEvent {
        editor.set_size(self.terminal_size());
        editor.start(prompt, &mut Echo);
        // Before the first key, and after each pause: the window may have been changed meanwhile. The answer
        // comes among the keys; where nobody answers, nobody waits. An answer begins with an escape, and asks
        // for no other. A key that ends the line asks for none: it would come among the keys of the command.
        let mut last = None;
        loop {
            if self.is_terminal() && last.is_none() {
                console::write(Stream::Console, ASK_SIZE.as_bytes());
            }
            let byte = self.out.read_key();
            let now = time::monotonic_ns();
            let paused = last.is_some_and(|last| now - last > PAUSE_NS);
            let asks = !matches!(byte, ESCAPE | b'\r' | b'\n' | CTRL_C | CTRL_D);
            if self.is_terminal() && paused && asks {
                console::write(Stream::Console, ASK_SIZE.as_bytes());
            }
            last = Some(now);
            let mut completer = |before: &[String], word: &str| completions(self, before, word);
            if let Some(event) = editor.feed_with(byte, &mut completer, &mut Echo) {
                self.set_terminal_size(editor.size());
                return event;
            }
        }
    }

    /// Returns whether a terminal listens that answers if it is asked.
    pub(super) fn is_terminal(&self) -> bool {
        self.terminal.is_some()
    }

    /// Returns the terminal's size, as far as it is known.
    pub(super) fn terminal_size(&self) -> TerminalSize {
        self.terminal.unwrap_or(TerminalSize::USUAL)
    }

    /// Sets the terminal's size, as the terminal has told it.
    pub(super) fn set_terminal_size(&mut self, size: TerminalSize) {
        self.terminal = self.terminal.map(|_| size);
    }

    /// Unmaps, writes back and unmounts everything; `true` if that went well.
    fn close(&mut self) -> bool {
        // Tasks may wait for a thaw: nobody else would bring it.
        for mount in mounts::all().iter() {
            // Mostly none is frozen.
            let _ = mount.fs.thaw();
        }
        self.end_jobs();
        let space = aspace::current();
        for vma in space.vmas() {
            if let Err(error) = space.munmap(vma.start, vma.len) {
                self.complain("poweroff", &alloc::format!("{}: {error}", vma.name));
            }
        }
        let mut well = true;
        self.here = None;
        // What was mounted last may be mounted on what was mounted first, and holds that.
        let mut mounts = mounts::all().to_vec();
        while let Some(mount) = mounts.pop() {
            let device = mount.device.clone();
            if let Err(why) = mounts::unmount(mount, None) {
                self.complain("poweroff", &alloc::format!("{device}: {why}"));
                well = false;
            }
        }
        well
    }
}
