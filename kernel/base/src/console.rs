//! The serial ports: COM1 is the console; in exec mode COM4 is standard output and COM3 standard error. (OVMF
//! takes COM2 for a console of its own and talks there while it boots.)
//!
//! The console turns `\n` into `\r\n`; the other two carry bytes as they are. Sending polls. Received bytes
//! come by IRQ 4 into a ring; [`crate::keyboard`] waits for them. A panic writes past the locks.
//!
//! References: NS16550A data sheet, through the `uart_16550` crate.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, Ordering};

use uart_16550::backend::PioBackend;
use uart_16550::spec::registers::{FifoTriggerLevel, IER};
use uart_16550::{BaudRate, Config, Uart16550};

use crate::sync::IrqLock;

/// Where bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// COM1: boot messages, the shell, panics.
    Console,
    /// A command's output: COM4 in exec mode, else the console.
    Out,
    /// A command's complaints: COM3 in exec mode, else the console.
    Err,
}

const COM1: u16 = 0x3f8;
const COM3: u16 = 0x3e8;
const COM4: u16 = 0x2e8;

type Uart = Uart16550<PioBackend>;

const fn uart(port: u16) -> Uart {
    // SAFETY: the three ports are the legacy PC addresses of serial ports, and nothing else drives them.
    // Where one is absent, reads give all ones and writes do nothing; `init` finds that out.
    match unsafe { Uart16550::new_port(port) } {
        Ok(uart) => uart,
        Err(_) => panic!("a valid port"),
    }
}

/// A port that may be absent.
struct Port {
    uart: Uart,
    present: bool,
}

impl Port {
    const fn new(port: u16) -> IrqLock<Self> {
        IrqLock::new(Self { uart: uart(port), present: false })
    }

    fn init(&mut self, interrupts: IER) {
        let fifo = Some(FifoTriggerLevel::One);
        let baud_rate = BaudRate::Baud115200;
        let config = Config { interrupts, fifo_trigger_level: fifo, baud_rate, ..Config::DEFAULT };
        self.present = self.uart.init(config).is_ok();
    }

    fn send(&mut self, bytes: &[u8], cook: bool) {
        if !self.present {
            return;
        }
        if !cook {
            return self.uart.send_bytes_exact(bytes);
        }
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            match line.split_last() {
                Some((b'\n', rest)) => {
                    self.uart.send_bytes_exact(rest);
                    self.uart.send_bytes_exact(b"\r\n");
                }
                _ => self.uart.send_bytes_exact(line),
            }
        }
    }
}

static CONSOLE: IrqLock<Port> = Port::new(COM1);
static OUT: IrqLock<Port> = Port::new(COM4);
static ERR: IrqLock<Port> = Port::new(COM3);
static EXEC: AtomicBool = AtomicBool::new(false);

/// Bytes received, not yet read.
struct InputRing {
    uart: Uart,
    present: bool,
    bytes: [u8; 1024],
    head: usize,
    len: usize,
}

static INPUT: IrqLock<InputRing> =
    IrqLock::new(InputRing { uart: uart(COM1), present: false, bytes: [0; 1024], head: 0, len: 0 });

impl InputRing {
    /// Moves what the port has into the ring. When that is full, bytes wait in the port. Where there is no
    /// port, nothing ever comes: it would read as all ones, byte after byte.
    fn fill(&mut self) {
        while self.present && self.len < self.bytes.len() {
            let Ok(byte) = self.uart.try_receive_byte() else { return };
            self.bytes[(self.head + self.len) % self.bytes.len()] = byte;
            self.len += 1;
        }
    }

    fn pop(&mut self) -> Option<u8> {
        self.fill();
        let byte = (self.len > 0).then(|| self.bytes[self.head])?;
        self.head = (self.head + 1) % self.bytes.len();
        self.len -= 1;
        Some(byte)
    }
}

/// Sets the ports up; the console raises interrupts for received bytes once IRQ 4 is let through.
pub fn init() {
    let present = {
        let mut console = CONSOLE.lock();
        console.init(IER::DATA_READY);
        console.present
    };
    INPUT.lock().present = present;
    OUT.lock().init(IER::empty());
    ERR.lock().init(IER::empty());
}

/// Sets exec mode, in which a command's output goes to COM4 and its complaints to COM3.
pub fn set_exec_mode(on: bool) {
    EXEC.store(on, Ordering::Relaxed);
}

/// Returns whether [`set_exec_mode`] was called with `true`.
pub fn exec_mode() -> bool {
    EXEC.load(Ordering::Relaxed)
}

/// Writes bytes to a stream: cooked where it is the console, else as they are.
pub fn write(stream: Stream, bytes: &[u8]) {
    match stream {
        Stream::Out if exec_mode() => OUT.lock().send(bytes, false),
        Stream::Err if exec_mode() => ERR.lock().send(bytes, false),
        _ => CONSOLE.lock().send(bytes, true),
    }
}

/// Returns a byte typed on the console, if one is there.
pub fn try_read() -> Option<u8> {
    INPUT.lock().pop()
}

/// Returns the key (an address) by which tasks wait for input.
pub fn input_key() -> usize {
    &raw const INPUT as usize
}

/// Takes what the port has received. Whether anything is there to be read.
pub fn take_input() -> bool {
    let mut input = INPUT.lock();
    input.fill();
    input.len > 0
}

/// Waits until every port has sent what it was given, however slowly somebody reads at its other end.
pub fn drain() {
    const LINE_STATUS: u16 = 5;
    const TRANSMITTER_EMPTY: u8 = 1 << 6;
    for port in [COM1, COM3, COM4] {
        // SAFETY: reading the line status has no effect on what is sent; an absent port reads as all ones.
        while unsafe { x86_64::instructions::port::Port::<u8>::new(port + LINE_STATUS).read() }
            & TRANSMITTER_EMPTY
            == 0
        {
            core::hint::spin_loop();
        }
    }
}

/// The panic's way out: a port of its own, whoever holds the locks.
pub struct Emergency {
    uart: Uart,
    cook: bool,
}

impl Emergency {
    /// Returns a writer to the console.
    pub const fn console() -> Self {
        Self { uart: uart(COM1), cook: true }
    }

    /// Returns a writer to standard error in exec mode; `None` outside it.
    pub fn err() -> Option<Self> {
        exec_mode().then(|| Self { uart: uart(COM3), cook: false })
    }
}

impl Write for Emergency {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if self.cook && byte == b'\n' {
                self.uart.send_bytes_exact(b"\r");
            }
            self.uart.send_bytes_exact(&[byte]);
        }
        Ok(())
    }
}
