//! libFuzzer's target: one input after the other goes to `fuzz_exec::run`. With DAXIOM_FUZZ_TELL set, each is
//! told in words first. With DAXIOM_FUZZ_START=FOLDER, the inputs to start from are written there, and that
//! is all.
#![no_main]

use fuzz_exec::input::Input;
use fuzz_exec::meter::Meter;
use fuzz_exec::mutate::mutate_bytes;
use fuzz_exec::start;
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use std::path::Path;
use std::sync::OnceLock;

#[global_allocator]
static GLOBAL: Meter = Meter;

fuzz_target!(|data: &[u8]| {
    static TELL: OnceLock<bool> = OnceLock::new();
    if *TELL.get_or_init(|| {
        if let Some(folder) = std::env::var_os("DAXIOM_FUZZ_START") {
            start::write_to(Path::new(&folder)).expect("the folder takes the inputs");
        }
        std::env::var_os("DAXIOM_FUZZ_TELL").is_some()
    }) {
        eprint!("{}", Input::decode(data));
    }
    fuzz_exec::run(data);
});

// libFuzzer's own mutations, which also cross inputs, once in four times.
fuzz_mutator!(|data: &mut [u8], len: usize, most: usize, seed: u32| {
    if seed % 4 == 0 { fuzzer_mutate(data, len, most) } else { mutate_bytes(data, len, most, seed) }
});
