//! QEMU's firmware-configuration device, read by I/O port: how `qemu-run.sh --exec` passes its script.
//!
//! Reference: QEMU `docs/specs/fw_cfg.rst` (selector 0x510, data 0x511; directory entries big-endian).

use alloc::string::String;
use alloc::vec::Vec;

use x86_64::instructions::port::Port;

const SELECTOR: u16 = 0x510;
const DATA: u16 = 0x511;
const KEY_SIGNATURE: u16 = 0;
const KEY_DIRECTORY: u16 = 0x19;
/// No directory of QEMU's has more files.
const MOST_FILES: u32 = 4096;
/// Longer files are refused: a script or a list of words is meant.
const LONGEST: u32 = 1 << 20;

/// The words that qemu-run.sh passes on from its options, with blanks between.
const ARGUMENTS: &str = "opt/daxiom/args";

struct FwCfg {
    data: Port<u8>,
}

impl FwCfg {
    /// Begins to read an item.
    fn select(key: u16) -> Self {
        // SAFETY: the ports are fw_cfg's or nobody's; selecting an item only resets the read position.
        unsafe { Port::<u16>::new(SELECTOR).write(key) };
        Self { data: Port::new(DATA) }
    }

    fn byte(&mut self) -> u8 {
        // SAFETY: as above; reading moves the position on.
        unsafe { self.data.read() }
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        core::array::from_fn(|_| self.byte())
    }
}

/// Returns the contents of the file `name`; `None` without the device, without the file, or if it is over 1
/// MiB.
pub fn read(name: &str) -> Option<Vec<u8>> {
    if FwCfg::select(KEY_SIGNATURE).bytes() != *b"QEMU" {
        return None;
    }
    let mut directory = FwCfg::select(KEY_DIRECTORY);
    let count = u32::from_be_bytes(directory.bytes()).min(MOST_FILES);
    // struct FWCfgFile { size: u32, select: u16, reserved: u16, name: [u8; 56] }
    for _ in 0..count {
        let size = u32::from_be_bytes(directory.bytes());
        let key = u16::from_be_bytes(directory.bytes());
        let _reserved: [u8; 2] = directory.bytes();
        let field: [u8; 56] = directory.bytes();
        let len = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
        if &field[..len] == name.as_bytes() {
            if size > LONGEST {
                return None;
            }
            let mut file = FwCfg::select(key);
            return Some((0..size).map(|_| file.byte()).collect());
        }
    }
    None
}

/// Returns whether qemu-run.sh was started with the option that stands for `word`.
pub fn asked_for(word: &str) -> bool {
    let arguments = read(ARGUMENTS).unwrap_or_default();
    arguments.split(u8::is_ascii_whitespace).any(|argument| argument == word.as_bytes())
}

/// Returns the number of `word=NUMBER`, if qemu-run.sh was started with the option that stands for it.
pub fn value(word: &str) -> Option<usize> {
    argument(word)?.parse().ok()
}

/// Returns the value of the word `name=value` from qemu-run.sh.
pub fn argument(name: &str) -> Option<String> {
    let arguments = String::from_utf8(read(ARGUMENTS)?).ok()?;
    let mut words = arguments.split_ascii_whitespace().filter_map(|word| word.split_once('='));
    words.find(|(known, _)| *known == name).map(|(_, value)| value.into())
}
