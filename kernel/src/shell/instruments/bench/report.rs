//! The figures of `bench`, on their way out: as a table, as values with commas, or as JSON.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;

use cli::human;
use cli::opts::Opts;
use cli::table::{CellAlign, Table};
use fs::dax::Protocol;
use fs::vfs::uuid_text;

use super::super::super::Shell;
use super::super::super::command::{CommandResult, Failure, On};
use super::{Samples, find};
use crate::arch::percpu;
use crate::mounts;

/// What is measured on: the device and the image that `/` is.
pub(super) struct Where {
    device: String,
    bytes: u64,
    /// The file system's UUID, by which an image is known wherever its file lies.
    uuid: String,
    cpus: usize,
}

impl Where {
    /// Finds where is measured.
    ///
    /// # Errors
    /// Nothing is mounted at `/`.
    pub(super) fn new() -> Result<Self, Failure> {
        let root = find(b"/")?;
        let mount = mounts::of(&root).ok_or("not mounted").on("/")?;
        let bytes = mount.region().end - mount.region().start;
        let uuid = uuid_text(&mount.fs.stat_fs().uuid);
        Ok(Self { device: mount.device.clone(), bytes, uuid, cpus: percpu::online() })
    }

    /// Returns the place of measurement as text: `pmem0 (256 MiB), 2 CPUs`.
    pub(super) fn text(&self) -> String {
        let Self { device, bytes, cpus, .. } = self;
        let word = if *cpus == 1 { "CPU" } else { "CPUs" };
        format!("{device} ({}), {cpus} {word}", human::iec(*bytes))
    }

    /// Returns the place of measurement as CSV: `device,image,cpus`.
    pub(super) fn csv(&self) -> String {
        format!("{},{},{}", self.device, self.uuid, self.cpus)
    }

    /// Returns the place of measurement as JSON: device, image, CPUs.
    pub(super) fn json(&self) -> String {
        let Self { device, uuid, cpus, .. } = self;
        format!("\"device\":\"{device}\",\"image\":\"{uuid}\",\"cpus\":{cpus}")
    }
}

/// Returns `a / b` with two digits after the point.
pub(super) fn ratio(a: u64, b: u64) -> String {
    let hundredths = (u128::from(a) * 100 + u128::from(b.max(1)) / 2) / u128::from(b.max(1));
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// Returns the value in the middle.
pub(super) fn median(values: &mut [u64]) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

/// Returns the median absolute deviation: half of the values are no farther from the median.
pub(super) fn deviation(values: &[u64], median_of_them: u64) -> u64 {
    let mut apart: Vec<u64> = values.iter().map(|value| value.abs_diff(median_of_them)).collect();
    median(&mut apart)
}

/// The figures.
pub(super) struct BenchReport {
    csv: bool,
    json: bool,
    unit: &'static str,
    /// There are several protocols: each row names its own, and tells the ratio to the first.
    compares: bool,
    place: Where,
    head: String,
    table: Table,
    /// The operation whose rows are being written, and its median under the first protocol.
    first: (String, u64),
}

impl BenchReport {
    /// Makes an empty report.
    ///
    /// # Errors
    /// Nothing is mounted at `/`.
    pub(super) fn new(opts: &Opts<'_>, protocols: &[Protocol], instructions: bool) -> Result<Self, Failure> {
        let place = Where::new()?;
        let compares = protocols.len() > 1;
        let (unit, words) =
            if instructions { ("instructions", "instructions") } else { ("ns", "nanoseconds") };
        let names: Vec<&str> = protocols.iter().map(|protocol| protocol.name()).collect();
        let head = format!("{words}; {}; {}", names.join(", "), place.text());
        let left = if compares { 2 } else { 1 };
        let aligns = [alloc::vec![CellAlign::Left; left], alloc::vec![CellAlign::Right; 8]].concat();
        let mut table = Table::new(&aligns);
        let mut cells = ["operation"].to_vec();
        if compares {
            cells.push("protocol");
        }
        cells.extend(["count", "min", "median", "p99", "mad"]);
        if compares {
            cells.push("ratio");
        }
        cells.extend(["data", "rest"]);
        table.row(cells);
        Ok(Self {
            csv: opts.has('c'),
            json: opts.has('j'),
            unit,
            compares,
            place,
            head,
            table,
            first: (String::new(), 0),
        })
    }

    pub(super) fn start(&self, sh: &mut Shell) -> CommandResult {
        if self.csv {
            writeln!(
                sh.out,
                "operation,count,min,median,p99,data,mad,ratio,unit,protocol,device,image,cpus"
            )?;
        }
        Ok(())
    }

    pub(super) fn add(
        &mut self,
        sh: &mut Shell,
        name: &str,
        protocol: Protocol,
        samples: Samples,
    ) -> CommandResult {
        let Samples { mut values, data } = samples;
        values.sort_unstable();
        let at = |share: usize| values.get((values.len() * share / 100).min(values.len() - 1)).copied();
        let [min, median, p99] = [0, 50, 99].map(|share| at(share).unwrap_or(0));
        let (count, mad) = (values.len(), deviation(&values, median));
        if self.first.0 != name {
            self.first = (name.to_string(), median);
        }
        let ratio = ratio(median, self.first.1);
        let (unit, place) = (self.unit, &self.place);
        if self.csv {
            let place = place.csv();
            writeln!(
                sh.out,
                "{name},{count},{min},{median},{p99},{data},{mad},{ratio},{unit},{protocol},{place}"
            )?;
        } else if self.json {
            let place = place.json();
            writeln!(
                sh.out,
                "{{\"operation\":\"{name}\",\"count\":{count},\"min\":{min},\"median\":{median},\"p99\":{p99},\
                 \"data\":{data},\"mad\":{mad},\"ratio\":{ratio},\"unit\":\"{unit}\",\"protocol\":\"{protocol}\",\
                 {place}}}"
            )?;
        } else {
            let mut cells = [name.to_string()].to_vec();
            if self.compares {
                cells.push(protocol.to_string());
            }
            cells.push(count.to_string());
            cells.extend([min, median, p99, mad].map(|value| value.to_string()));
            if self.compares {
                cells.push(ratio);
            }
            if data != 0 {
                // What is left when the data's own zeroing or copying is taken off.
                cells.extend([data, median.saturating_sub(data)].map(|value| value.to_string()));
            }
            self.table.row(cells);
        }
        Ok(())
    }

    pub(super) fn end(&self, sh: &mut Shell) -> CommandResult {
        if !self.csv && !self.json {
            write!(sh.out, "{}\n{}", self.head, self.table)?;
        }
        Ok(())
    }
}
