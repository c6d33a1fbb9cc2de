//! The memory orders of the locks and of the mapping index, under loom. docs/memory-orders.md is the page
//! about it.
//!
//! ```text
//! scripts/orders.sh                 every model; then every access they make, made wrong, must fail a model
//! scripts/orders.sh --sample        every model; then each eighth of those mistakes
//! scripts/orders.sh MODEL           one model
//! scripts/orders.sh MODEL MISTAKE   one model with a mistake, as the first form prints it
//! ```

#[cfg(loom)]
mod campaign;
#[cfg(loom)]
mod child;
#[cfg(loom)]
mod known;
#[cfg(loom)]
mod machine;
#[cfg(loom)]
mod mistake;
#[cfg(loom)]
mod models;

use std::process::ExitCode;

/// Of so many mistakes that follow each other, one is in the sample.
#[cfg(loom)]
const SAMPLE: usize = 8;

#[cfg(loom)]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => campaign::run(1),
        ["--sample"] => campaign::run(SAMPLE),
        [model] => child::run(model, None),
        [model, mistake] => child::run(model, Some(mistake)),
        _ => Err("usage: orders [--sample | MODEL [MISTAKE]]".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("orders: {why}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(not(loom))]
fn main() -> ExitCode {
    eprintln!("orders: not built for loom; scripts/orders.sh does it");
    ExitCode::FAILURE
}
