//! Puts the boot loader and the kernel's ELF file into a disk image that a PC's firmware boots.
//!
//! ```text
//! boot --bios|--uefi STAGES KERNEL IMAGE
//! ```
//!
//! STAGES is a folder with what the `bootloader` project's crates compile to, as flat binaries: for BIOS
//! `boot-sector` (512 bytes), `stage-2`, `stage-3` and `stage-4`, for UEFI `loader.efi`. Left out on purpose:
//! building any of it, and running. `scripts/build.sh` does the first, `qemu-run.sh` the second.
//!
//! The image has a master boot record. For BIOS the first partition is stage 2, the second a FAT file system
//! with the other stages and the kernel; for UEFI the only partition is the FAT file system, which that calls
//! a system partition.
//!
//! The image is written beside its final place and renamed, so a virtual machine that has the old image open
//! keeps it, and nobody ever boots half an image. Exit status: 0, 1 when the image could not be made, 2 for
//! wrong arguments.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use fatfs::{FileSystem, FormatVolumeOptions, FsOptions, format_volume};

const USAGE: &str = "usage: boot --bios|--uefi STAGES KERNEL IMAGE";

const SECTOR: usize = 512;
/// Where the partition table begins in the boot record, and its signature.
const PARTITIONS: usize = 446;
const SIGNATURE: [u8; 2] = [0x55, 0xaa];
/// Partition types: stage 2's own; FAT, by block numbers; a UEFI system partition.
const STAGE_2: u8 = 0x20;
const FAT: u8 = 0x0c;
const SYSTEM: u8 = 0xef;

/// FAT's largest clusters. Stage 2 reads the file table for each cluster, and 16 KiB of it however small it
/// is: with the 4 KiB that FAT would choose for so small a volume, it reads four times the kernel's size.
const CLUSTER: usize = 32 * 1024;
/// One sector of names: stage 2 reads the root directory once for each file. There are four, of two entries
/// each, and the volume's name.
const ROOT_ENTRIES: u16 = 16;

/// What stage 4 and the UEFI loader read for their configuration. Messages of theirs would come before the
/// kernel's on the console, 40 lines of them; their errors are kept.
const CONFIG: &[u8] = br#"{"log_level":"Error","frame_buffer_logging":false}"#;

/// Which firmware the image is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Firmware {
    Bios,
    Uefi,
}

struct Arguments {
    firmware: Firmware,
    stages: PathBuf,
    kernel: PathBuf,
    image: PathBuf,
}

/// A partition: its type and contents.
struct Partition(u8, Vec<u8>);

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
    let [stages, kernel, image] = <[PathBuf; 3]>::try_from(paths)
        .map_err(|_| "expected the stages' folder, a kernel and an image file")?;
    let firmware = firmware.ok_or("say --bios or --uefi")?;
    Ok(Arguments { firmware, stages, kernel, image })
}

fn make_image(arguments: &Arguments) -> Result<(), String> {
    let kernel = read(&arguments.kernel)?;
    // Answers early, and by name, for what would otherwise be a machine that does not start.
    if !kernel.starts_with(b"\x7fELF") {
        return Err(format!("kernel {}: not an ELF file", arguments.kernel.display()));
    }
    let stage = |name: &str| read(&arguments.stages.join(name));
    let disk = match arguments.firmware {
        Firmware::Bios => {
            let (stage_3, stage_4) = (stage("stage-3")?, stage("stage-4")?);
            let files =
                [("boot-stage-3", &*stage_3), ("boot-stage-4", &*stage_4), ("kernel-x86_64", &*kernel)];
            let fat = fat(&files).map_err(|e| format!("FAT file system: {e}"))?;
            disk(&stage("boot-sector")?, &[Partition(STAGE_2, stage("stage-2")?), Partition(FAT, fat)])?
        }
        Firmware::Uefi => {
            let files = [("efi/boot/bootx64.efi", &*stage("loader.efi")?), ("kernel-x86_64", &*kernel)];
            let fat = fat(&files).map_err(|e| format!("FAT file system: {e}"))?;
            disk(&[], &[Partition(SYSTEM, fat)])?
        }
    };

    let mut unfinished = arguments.image.clone().into_os_string();
    unfinished.push(format!(".{}", std::process::id()));
    let unfinished = PathBuf::from(unfinished);
    let made = fs::write(&unfinished, disk).and_then(|()| fs::rename(&unfinished, &arguments.image));
    if made.is_err() {
        // Best effort: the error that counts is the one being returned.
        let _ = fs::remove_file(&unfinished);
    }
    made.map_err(|e| e.to_string())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|e| format!("{}: {e}", path.display()))
}

/// A FAT file system that holds these files, folders of their paths included, and the configuration.
fn fat(files: &[(&str, &[u8])]) -> std::io::Result<Vec<u8>> {
    let clusters: usize = files.iter().map(|(_, contents)| contents.len().div_ceil(CLUSTER)).sum();
    // Some more: the configuration, two folders, boot sector and tables, which are small at this cluster
    // size.
    let mut volume = Cursor::new(vec![0; (clusters + 6) * CLUSTER]);
    let options = FormatVolumeOptions::new()
        .bytes_per_cluster(CLUSTER as u32)
        .max_root_dir_entries(ROOT_ENTRIES)
        .volume_label(*b"DAXIOM     ");
    format_volume(&mut volume, options)?;
    {
        let volume = FileSystem::new(&mut volume, FsOptions::new())?;
        let root = volume.root_dir();
        for (path, contents) in files.iter().chain(&[("boot.json", CONFIG)]) {
            for (end, _) in path.match_indices('/') {
                root.create_dir(&path[..end])?;
            }
            root.create_file(path)?.write_all(contents)?;
        }
    }
    Ok(volume.into_inner())
}

/// A disk with this boot code and these partitions, one behind the other. The first may be booted from.
fn disk(boot_code: &[u8], partitions: &[Partition]) -> Result<Vec<u8>, String> {
    if !boot_code.is_empty() && (boot_code.len() != SECTOR || !boot_code.ends_with(&SIGNATURE)) {
        return Err(format!("the boot sector is no boot sector, of {} bytes", boot_code.len()));
    }
    let mut disk = boot_code.to_vec();
    disk.resize(SECTOR, 0);
    disk[SECTOR - SIGNATURE.len()..].copy_from_slice(&SIGNATURE);
    for (number, Partition(kind, contents)) in partitions.iter().enumerate() {
        let block = |bytes: usize| {
            u32::try_from(bytes / SECTOR).map_err(|_| "larger than 2 TiB").map(u32::to_le_bytes)
        };
        let (start, padded) = (disk.len(), contents.len().next_multiple_of(SECTOR));
        let entry = &mut disk[PARTITIONS + 16 * number..][..16];
        // The BIOS boots from an active one. First and last sector are given by block numbers alone.
        entry[0] = if boot_code.is_empty() { 0 } else { 0x80 };
        entry[4] = *kind;
        entry[8..12].copy_from_slice(&block(start)?);
        entry[12..16].copy_from_slice(&block(padded)?);
        disk.extend_from_slice(contents);
        disk.resize(start + padded, 0);
    }
    Ok(disk)
}
