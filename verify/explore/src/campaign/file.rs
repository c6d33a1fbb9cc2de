//! The file in which a campaign keeps its results: a line that says which campaign it is, and a line for each
//! world.
//!
//! Lines are only ever added, each with one write(2), so that whoever is interrupted keeps what is there. A
//! last line that has no end is dropped.

use super::Campaign;
use super::record::Record;
use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// What such a file begins with, and which form it has.
const MAGIC: &str = "explore-results 2 ";

/// What a file holds.
#[derive(Debug)]
pub struct Results {
    /// The campaign, as text: the same for all its shards.
    pub campaign: String,
    /// Which of how many shards.
    pub shard: (usize, usize),
    /// The worlds that are through.
    pub records: Vec<Record>,
}

/// Reads what is there.
///
/// # Errors
/// One line: the file cannot be read, or it is not such a file.
pub fn read(path: &Path) -> Result<Results, String> {
    let bytes = std::fs::read(path).map_err(|error| told(path, &error))?;
    parse(&bytes).map(|(results, _)| results).map_err(|why| format!("{}: {why}", path.display()))
}

/// The contents, and how many bytes of them count.
fn parse(bytes: &[u8]) -> Result<(Results, u64), String> {
    let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let none = || "not a file of results".to_owned();
    let text = std::str::from_utf8(&bytes[..whole]).map_err(|_| none())?;
    let mut lines = text.lines();
    let head = lines.next().and_then(|line| line.strip_prefix(MAGIC)).ok_or_else(none)?;
    let (shard, campaign) =
        head.strip_prefix("shard=").and_then(|rest| rest.split_once(' ')).ok_or_else(none)?;
    let shard = super::shard(shard).map_err(|_| none())?;
    let mut records: Vec<Record> = Vec::new();
    let mut known = HashSet::new();
    for (nth, line) in lines.enumerate() {
        let record: Record = line.parse().map_err(|()| format!("line {} is not a result", nth + 2))?;
        // Two that ran at the same time: one result of a world is as good as the other.
        if known.insert(record.number) {
            records.push(record);
        }
    }
    Ok((Results { campaign: campaign.into(), shard, records }, whole as u64))
}

fn told(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}

/// The file that results go to.
pub struct Save {
    file: File,
    path: PathBuf,
}

impl Save {
    /// Opens it; what it holds already. A new file gets its first line.
    ///
    /// # Errors
    /// One line: it cannot be written, or holds something else.
    pub fn open(path: &Path, campaign: &Campaign, text: &str) -> Result<(Self, Vec<Record>), String> {
        let io = |error: io::Error| told(path, &error);
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(io)?;
        match file.try_lock() {
            Ok(()) | Err(std::fs::TryLockError::Error(_)) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(format!("{}: another campaign is writing to it", path.display()));
            }
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io)?;
        let (nth, of) = campaign.shard;
        let head = format!("{MAGIC}shard={nth}/{of} {text}\n");
        // The very first line may be the torn one.
        let (records, whole) = if !bytes.contains(&b'\n') && head.as_bytes().starts_with(&bytes) {
            (Vec::new(), 0)
        } else {
            let (results, whole) = parse(&bytes).map_err(|why| format!("{}: {why}", path.display()))?;
            if results.campaign != text {
                return Err(format!("{}: holds another campaign: {}", path.display(), results.campaign));
            }
            if results.shard != campaign.shard {
                let (its, all) = results.shard;
                return Err(format!("{}: holds shard {its}/{all}, not {nth}/{of}", path.display()));
            }
            (results.records, whole)
        };
        file.set_len(whole).map_err(io)?;
        file.seek(SeekFrom::Start(whole)).map_err(io)?;
        if whole == 0 {
            file.write_all(head.as_bytes()).map_err(io)?;
        }
        Ok((Self { file, path: path.into() }, records))
    }

    /// Adds a line.
    ///
    /// # Errors
    /// One line: it cannot be written.
    pub fn add(&mut self, record: &Record) -> Result<(), String> {
        self.file.write_all(format!("{record}\n").as_bytes()).map_err(|error| told(&self.path, &error))
    }
}
