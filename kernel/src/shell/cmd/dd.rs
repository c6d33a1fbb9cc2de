//! `dd`: blocks of one file into another, wherever they are to be.

use alloc::vec::Vec;

use cli::opts::Opts;
use cli::size;
use fs::vfs::FileKind;

use super::super::Shell;
use super::super::command::{ANY, Command, CommandResult, Failure, On, complaint};
use crate::arch::time;
use crate::console::{self, Stream};
use crate::machine::File;

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "dd",
    operands: "[if=FILE] [of=FILE] [bs=N] [count=N] [skip=N] [seek=N] [conv=notrunc,fsync] [status=none]",
    about: "copy blocks of bs bytes (512), from the input or to the output where there is no file",
    options: &[
        ("count=N", "so many blocks"),
        ("skip=N", "from that block of the input on"),
        ("seek=N", "to that block of the output"),
        ("conv=WORDS", "notrunc: what comes after stays; fsync: durable at the end"),
        ("status=none", "say nothing of how much it was"),
    ],
    spec: "-",
    count: 0..=ANY,
    run: dd,
}];

/// A block is in memory.
const LARGEST: u64 = 64 << 20;

/// What is to be done.
struct DdPlan<'a> {
    from: Option<&'a str>,
    to: Option<&'a str>,
    block: u64,
    count: u64,
    skip: u64,
    seek: u64,
    truncates: bool,
    fsync: bool,
    quiet: bool,
}

impl<'a> DdPlan<'a> {
    fn parse(operands: &[&'a str]) -> Result<Self, Failure> {
        let mut plan = Self {
            from: None,
            to: None,
            block: 512,
            count: u64::MAX,
            skip: 0,
            seek: 0,
            truncates: true,
            fsync: false,
            quiet: false,
        };
        for operand in operands {
            let unknown = || complaint(format_args!("unknown operand '{operand}'"));
            let (name, value) = operand.split_once('=').ok_or_else(unknown)?;
            let number = || size::parse(value, 4096, 512).on(operand);
            match name {
                "if" => plan.from = Some(value),
                "of" => plan.to = Some(value),
                "bs" => plan.block = number()?,
                "count" => plan.count = number()?,
                "skip" => plan.skip = number()?,
                "seek" => plan.seek = number()?,
                "conv" => {
                    for word in value.split(',') {
                        match word {
                            "notrunc" => plan.truncates = false,
                            "fsync" | "fdatasync" => plan.fsync = true,
                            _ => return Err(unknown()),
                        }
                    }
                }
                "status" if value == "none" => plan.quiet = true,
                _ => return Err(unknown()),
            }
        }
        if !(1..=LARGEST).contains(&plan.block) {
            return Err(complaint("bs: between 1 and 64 MiB"));
        }
        Ok(plan)
    }

    /// Returns where block `number` begins.
    fn at(&self, number: u64, what: &str) -> Result<u64, Failure> {
        number.checked_mul(self.block).ok_or(size::SizeError::Overflow).on(what)
    }
}

fn dd(sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let plan = DdPlan::parse(opts.operands())?;
    let from = plan.from.unwrap_or("-");
    let input = sh.open_input(from)?;
    let (mut read_at, mut write_at) = (plan.at(plan.skip, "skip")?, plan.at(plan.seek, "seek")?);
    let output = plan.to.map(|name| open_output(sh, name, &plan, write_at)).transpose()?;
    // Whole blocks and parts.
    let (mut taken, mut given, mut bytes) = ([0u64; 2], [0u64; 2], 0u64);
    let started = time::monotonic_ns();
    let mut buffer: Vec<u8> = Vec::new();
    buffer
        .try_reserve_exact(plan.block as usize)
        .map_err(|_| complaint("bs: there is not so much memory"))?;
    buffer.resize(plan.block as usize, 0);
    let mut copy = |sh: &mut Shell| {
        while taken[0] + taken[1] < plan.count {
            sh.out.poll()?;
            let got = input.read_at(read_at, &mut buffer).on(from)?;
            if got == 0 {
                break;
            }
            let part = usize::from(got < buffer.len());
            taken[part] += 1;
            match (&output, plan.to) {
                (Some(file), Some(name)) => sh.write_all(file, name, write_at, &buffer[..got])?,
                _ => sh.out.bytes(&buffer[..got])?,
            }
            given[part] += 1;
            read_at += got as u64;
            write_at += got as u64;
            bytes += got as u64;
        }
        match (&output, plan.to) {
            (Some(file), Some(name)) if plan.fsync => fs::dax::fsync(&**file).map(|_| ()).on(name),
            _ => Ok(()),
        }
    };
    let outcome = copy(sh);
    if !plan.quiet {
        sh.out.flush()?;
        let us = (time::monotonic_ns() - started) / 1000;
        let (seconds, micros) = (us / 1_000_000, us % 1_000_000);
        let ([taken, taken_part], [given, given_part]) = (taken, given);
        let records = alloc::format!("{taken}+{taken_part} records in\n{given}+{given_part} records out");
        let text = alloc::format!("{records}\n{bytes} bytes copied, {seconds}.{micros:06} s\n");
        console::write(Stream::Err, text.as_bytes());
    }
    outcome
}

/// Opens the output, and cuts it where the copy begins, unless what is there stays.
fn open_output(sh: &Shell, name: &str, plan: &DdPlan<'_>, cut: u64) -> Result<File, Failure> {
    let file = sh.open_or_create(name)?.0;
    match file.kind() {
        FileKind::File if plan.truncates => file.truncate(cut).on(name)?,
        FileKind::File => {}
        FileKind::Directory => return Err(fs::Errno::IsDirectory).on(name),
        // A raw device; a node of an image leads nowhere.
        FileKind::BlockDevice if file.expect_mappable().is_ok() => {}
        _ => return Err("not a regular file").on(name),
    }
    Ok(file)
}
