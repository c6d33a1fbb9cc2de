//! The results of shards, put together.

use super::Campaign;
use super::file::{self, Results};
use super::record::Record;
use fs::lab::schedule::World;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

/// All results, and what is missing.
pub struct Merged {
    /// The campaign.
    pub campaign: Campaign,
    /// Its text.
    pub text: String,
    /// Worlds that it has.
    pub worlds: usize,
    /// Results, by number.
    pub records: Vec<Record>,
    /// Shards of which worlds are missing: which, how many worlds of how many; none at all if there is no
    /// file.
    pub missing: Vec<(usize, usize, usize)>,
}

/// Puts the files together.
///
/// # Errors
/// One line: a file cannot be read, or they are not of one campaign.
pub fn merge(paths: &[PathBuf]) -> Result<Merged, String> {
    let mut first: Option<(&PathBuf, Results)> = None;
    let mut records: BTreeMap<usize, Record> = BTreeMap::new();
    for path in paths {
        let mut results = file::read(path)?;
        for record in results.records.drain(..) {
            records.entry(record.number).or_insert(record);
        }
        match &first {
            None => first = Some((path, results)),
            Some((other, begun)) => {
                let (path, other) = (path.display(), other.display());
                if begun.campaign != results.campaign {
                    return Err(format!("{path}: another campaign than {other}: {}", results.campaign));
                }
                if begun.shard.1 != results.shard.1 {
                    return Err(format!(
                        "{path}: one of {} shards, {other} one of {}",
                        results.shard.1, begun.shard.1
                    ));
                }
            }
        }
    }
    let (path, first) = first.ok_or("no files")?;
    let mut campaign: Campaign =
        super::parsed(&first.campaign).map_err(|why| format!("{}: {why}", path.display()))?;
    campaign.shard = (1, first.shard.1);
    let all = campaign.all();
    if campaign.text(&all) != first.campaign {
        return Err(format!("{}: of another version of the explorer, whose worlds differ", path.display()));
    }
    let known: HashMap<usize, &World> = all.iter().map(|one| (one.number, &one.world)).collect();
    let is_known =
        |record: &Record| known.get(&record.number).is_some_and(|world| world.to_string() == record.world);
    if let Some(record) = records.values().find(|record| !is_known(record)) {
        return Err(format!(
            "{}: world {} is none of the campaign: {}",
            path.display(),
            record.number,
            record.world
        ));
    }
    let missing = (1..=campaign.shard.1).filter_map(|nth| {
        let own = Campaign { shard: (nth, campaign.shard.1), ..campaign.clone() }.own(&all);
        let gone = own.iter().filter(|one| !records.contains_key(&one.number)).count();
        (gone > 0).then_some((nth, gone, own.len()))
    });
    let missing = missing.collect();
    let records = records.into_values().collect();
    Ok(Merged { text: first.campaign, worlds: all.len(), campaign, records, missing })
}
