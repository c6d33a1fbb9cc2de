//! A story repeated, and told to people.

use crate::show::{perfetto, svg, table};
use crate::story::follow;
use crate::trace::trace;
use crate::world::Images;
use fs::lab::schedule::Story;
use std::path::{Path, PathBuf};

/// Where and how a repeated story is told.
#[derive(Clone, Debug, Default)]
pub struct Telling {
    /// Every step, not only those with names; in a drawing, not only those that tell the story.
    pub full: bool,
    /// A drawing.
    pub svg: Option<PathBuf>,
    /// A trace that Perfetto opens.
    pub trace: Option<PathBuf>,
}

/// Repeats `story`; the text, and whether something does not hold.
///
/// # Errors
/// Where the schedule does not fit the world, or a file that cannot be written.
pub fn replay(story: &Story, images: &Images, how: &Telling) -> Result<(String, bool), String> {
    let (outcome, fits) = follow(story, images);
    fits.map_err(|why| format!("the schedule does not fit the world: {why}"))?;
    let trace = trace(story, &outcome);
    let write = |path: &Path, text: String| {
        std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
    };
    how.svg.as_deref().map_or(Ok(()), |path| write(path, svg(&trace, how.full)))?;
    how.trace.as_deref().map_or(Ok(()), |path| write(path, perfetto(&trace)))?;
    Ok((table(&trace, how.full), outcome.wrong.is_some()))
}
