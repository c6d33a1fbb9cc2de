//! The tests of `fs` through what it shows to others, in one program: `cargo test -p fs crash::` runs
//! tests/crash.rs alone.
//!
//! Tests share this process. What one of them changes of it (a panic hook, a counter, a file's name) must not
//! be seen by another that runs beside it.

#[global_allocator]
static METER: fuzz_exec::meter::Meter = fuzz_exec::meter::Meter;

mod after_crash;
mod block_sizes;
mod booted_and_explored;
mod common;
mod crash;
mod dax;
mod device;
mod durable_on_return;
mod error_policy;
mod ext4_crafted;
mod ext4_files;
mod ext4_hostile;
mod ext4_journal;
mod ext4_names;
mod ext4_oracle;
mod ext4_poison;
mod ext4_reading;
mod fallocate;
mod fault_cost;
mod formats;
mod freeze;
mod fsx;
mod full;
mod fuzz_regressions;
mod hostile;
mod hostile_crafted;
mod interop;
mod jbd2;
mod jbd2_interop;
mod jbd2_writer;
mod journaled;
mod known_damage;
mod large_runs;
mod links;
mod lost_metadata;
mod model;
mod name_index;
mod nameless;
mod names;
mod order;
mod path_allocations;
mod paths;
mod pmd;
mod poison;
mod race;
mod race_cut;
mod race_handles;
mod reading;
mod recover;
mod redo;
mod refused;
mod registry;
mod renames;
mod runs;
mod sparse;
mod writing;
mod wrong_order;
mod xattrs;
