//! The kernel's log: lines with a time and a level in a ring of fixed size, for `dmesg`.
//!
//! Nothing is allocated, so it works from the first line of `main` on. Until [`quiet`] is called at the end
//! of start-up, lines of level info and above go to the console too; warnings and errors always do. The `log`
//! facade, which the `acpi` crate uses, ends here as well.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, Ordering};

use crate::arch::time;
use crate::console::{self, Stream};
use crate::sync::IrqLock;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Something does not work.
    Error,
    /// Something is odd.
    Warn,
    /// What a reader of the boot log wants to know.
    Info,
    /// Details, in the ring only.
    Debug,
}

const SIZE: usize = 32 * 1024;
const LINE: usize = 240;

/// Text lines, oldest overwritten first.
struct LogRing {
    bytes: [u8; SIZE],
    /// Total bytes ever written; the next one goes to `written % SIZE`.
    written: usize,
}

static RING: IrqLock<LogRing> = IrqLock::new(LogRing { bytes: [0; SIZE], written: 0 });
static QUIET: AtomicBool = AtomicBool::new(false);

/// One line, cut off at its end if too long.
struct LogLine {
    bytes: [u8; LINE],
    len: usize,
}

impl Write for LogLine {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // Names from an image end up here: nothing that controls a terminal, and no line of its own.
        for byte in text.bytes().take(LINE - 1 - self.len) {
            self.bytes[self.len] = if byte.is_ascii_control() { b'?' } else { byte };
            self.len += 1;
        }
        Ok(())
    }
}

/// Adds a line. Use it through `klog!`.
pub fn log(level: LogLevel, args: fmt::Arguments<'_>) {
    let now = time::monotonic_ns() / 1000;
    let mut line = LogLine { bytes: [0; LINE], len: 0 };
    let mark = match level {
        LogLevel::Error => "error: ",
        LogLevel::Warn => "warning: ",
        LogLevel::Info | LogLevel::Debug => "",
    };
    // `LogLine` takes what fits and never fails.
    let _ = write!(line, "[{:3}.{:06}] {mark}{args}", now / 1_000_000, now % 1_000_000);
    line.bytes[line.len] = b'\n';
    let text = &line.bytes[..=line.len];
    {
        let mut ring = RING.lock();
        for byte in text {
            let at = ring.written % SIZE;
            ring.bytes[at] = *byte;
            ring.written += 1;
        }
    }
    let shown = level <= LogLevel::Warn || (level == LogLevel::Info && !QUIET.load(Ordering::Relaxed));
    if shown {
        console::write(Stream::Console, text);
    }
}

/// Sets that only warnings and errors go to the console from now on.
pub fn quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

/// Passes what the ring holds to `out`, in pieces, oldest first (`dmesg`).
pub fn replay(mut out: impl FnMut(&[u8])) {
    let (mut at, end) = {
        let ring = RING.lock();
        (ring.written.saturating_sub(SIZE), ring.written)
    };
    let mut first = at > 0;
    while at < end {
        let mut piece = [0; 256];
        let len = piece.len().min(end - at);
        {
            let ring = RING.lock();
            for (i, byte) in piece[..len].iter_mut().enumerate() {
                *byte = ring.bytes[(at + i) % SIZE];
            }
        }
        at += len;
        let mut text = &piece[..len];
        if first {
            // The oldest line has lost its beginning.
            let Some(cut) = text.iter().position(|byte| *byte == b'\n') else { continue };
            text = &text[cut + 1..];
            first = false;
        }
        out(text);
    }
}

struct Facade;

impl log::Log for Facade {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let level = match record.level() {
            log::Level::Error => LogLevel::Error,
            log::Level::Warn => LogLevel::Warn,
            log::Level::Info => LogLevel::Info,
            log::Level::Debug | log::Level::Trace => LogLevel::Debug,
        };
        log(level, format_args!("{}: {}", record.target(), record.args()));
    }

    fn flush(&self) {}
}

/// Connects the `log` facade.
pub fn init() {
    if log::set_logger(&Facade).is_ok() {
        log::set_max_level(log::LevelFilter::Info);
    }
}

/// Logs a line: `klog!(Info, "{} frames", n)`.
#[macro_export]
macro_rules! klog {
    ($level:ident, $($arg:tt)*) => {
        $crate::klog::log($crate::klog::LogLevel::$level, format_args!($($arg)*))
    };
}
