//! The explorer's command line.
//!
//! Exit status: 0 nothing was found, 1 something was found (or is missing, when results are merged), 2 bad
//! use.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run(std::env::args_os().skip(1)) {
        Ok(status) => ExitCode::from(status),
        Err(why) => {
            eprintln!("explore: {why}");
            ExitCode::from(2)
        }
    }
}
