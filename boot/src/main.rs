//! Turns the kernel's ELF file into a disk image that a PC's firmware boots.
//!
//! ```text
//! boot KERNEL IMAGE --bios|--uefi
//! ```
//!
//! All the work is the `bootloader` crate's: it puts its own stages in front of the kernel (BIOS: an MBR disk; UEFI: a
//! GPT disk with a FAT partition). Left out on purpose: building the kernel, and running anything. `scripts/build.sh`
//! does the first, `qemu-run.sh` the second.
//!
//! The image is written beside its final place and renamed, so a virtual machine that has the old image open keeps
//! it, and nobody ever boots half an image. Exit status: 0, 1 when the image could not be made, 2 for wrong arguments.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bootloader::DiskImageBuilder;
use bootloader_boot_config::{BootConfig, LevelFilter};

const USAGE: &str = "usage: boot KERNEL IMAGE --bios|--uefi";

/// Which firmware the image is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Firmware {
    Bios,
    Uefi,
}

struct Arguments {
    kernel: PathBuf,
    image: PathBuf,
    firmware: Firmware,
}

fn main() -> ExitCode {
    let arguments = match parse(env::args_os().skip(1)) {
        Ok(arguments) => arguments,
        Err(why) => {
            eprintln!("boot: {why}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match make_image(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("boot: {}: {why}", arguments.image.display());
            ExitCode::FAILURE
        }
    }
}

fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Arguments, String> {
    let mut paths = Vec::new();
    let mut firmware = None;
    for argument in arguments {
        match argument.to_str() {
            Some("--bios") => firmware = Some(Firmware::Bios),
            Some("--uefi") => firmware = Some(Firmware::Uefi),
            Some(option) if option.starts_with('-') => {
                return Err(format!("{option}: unknown option"));
            }
            _ => paths.push(PathBuf::from(argument)),
        }
    }
    let [kernel, image] =
        <[PathBuf; 2]>::try_from(paths).map_err(|_| "expected a kernel and an image file")?;
    let firmware = firmware.ok_or("say --bios or --uefi")?;
    Ok(Arguments { kernel, image, firmware })
}

fn make_image(arguments: &Arguments) -> Result<(), String> {
    check_kernel(&arguments.kernel)?;

    // The stages' own messages would come before the kernel's on the console, 40 lines of them; keep their errors.
    let mut config = BootConfig::default();
    config.log_level = LevelFilter::Error;
    config.frame_buffer_logging = false;

    let mut builder = DiskImageBuilder::new(arguments.kernel.clone());
    builder.set_boot_config(&config);

    let mut unfinished = arguments.image.clone().into_os_string();
    unfinished.push(format!(".{}", std::process::id()));
    let unfinished = PathBuf::from(unfinished);
    let made = write_image(&builder, arguments.firmware, &unfinished)
        .and_then(|()| fs::rename(&unfinished, &arguments.image).map_err(|e| e.to_string()));
    if made.is_err() {
        // Best effort: the error that counts is the one being returned.
        let _ = fs::remove_file(&unfinished);
    }
    made
}

/// Answers early, and by name, for what would otherwise be a machine that does not start.
fn check_kernel(kernel: &Path) -> Result<(), String> {
    let bytes = fs::read(kernel).map_err(|e| format!("kernel {}: {e}", kernel.display()))?;
    if bytes.starts_with(b"\x7fELF") {
        Ok(())
    } else {
        Err(format!("kernel {}: not an ELF file", kernel.display()))
    }
}

fn write_image(builder: &DiskImageBuilder, firmware: Firmware, to: &Path) -> Result<(), String> {
    match firmware {
        #[cfg(feature = "bios")]
        Firmware::Bios => builder.create_bios_image(to).map_err(|e| format!("{e:#}")),
        #[cfg(feature = "uefi")]
        Firmware::Uefi => builder.create_uefi_image(to).map_err(|e| format!("{e:#}")),
        #[allow(unreachable_patterns)] // reached by the builds that leave a firmware out
        left_out => {
            // Without any firmware nothing else uses these two.
            let _ = (builder, to);
            Err(format!(
                "this `boot` was built without {left_out:?}: cargo build -p boot --features {}",
                format!("{left_out:?}").to_lowercase()
            ))
        }
    }
}
