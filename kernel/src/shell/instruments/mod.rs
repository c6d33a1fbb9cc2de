//! The instruments: commands that try, count and watch the machine and the storage. They use the shell as the
//! other commands do, and none of those needs them.
//!
//! | file | commands |
//! |---|---|
//! | `bench/` | bench |
//! | `race.rs`, `trace.rs` | race, trace |
//! | `exercise/`, `fsx.rs` | exercise, fsx |
//! | `poison.rs` | poison |

mod bench;
mod exercise;
mod fsx;
mod poison;
mod race;
mod trace;

use super::command::CommandSet;
use super::complete::owned;
use crate::lab::scenarios;

/// The instruments.
pub(crate) const ROOM: CommandSet = CommandSet {
    groups: &[
        ("Instruments", bench::COMMANDS),
        ("", trace::COMMANDS),
        ("", race::COMMANDS),
        ("", exercise::COMMANDS),
        ("", fsx::COMMANDS),
        ("", poison::COMMANDS),
    ],
    words: |kind| {
        Some(match kind {
            "SCENARIO" => owned(scenarios::all().map(|scenario| scenario.name)),
            "EXERCISE" => owned(exercise::names()),
            "OPERATION" => owned(bench::names()),
            _ => return None,
        })
    },
};
