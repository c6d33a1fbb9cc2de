//! Every interleaving of the fault protocol: the storage code that boots, under a scheduler that owns every
//! step.
//!
//! The `fs` crate as it is, `dax` and `ext2`, runs on a simulated machine: CPUs are coroutines that stop
//! before each step which another could notice, page tables and TLBs follow the processor's rules, persistent
//! memory knows what a power failure leaves. docs/exploration.md is the chapter about it.
//!
//! | folder | what it holds |
//! |---|---|
//! | [`sched`] | the scheduler: who goes next, and which orders are worth a run |
//! | [`hw`] | the machine |
//! | [`model`] | a file that does one thing at a time, and whether it explains what everybody saw |
//! | [`show`] | a run as it is told to people: a table, a trace, a drawing |
//! | [`find`] | one world explored |
//! | [`replay`] | a story repeated, and told to people |
//! | [`shrink`] | the shortest order that shows the same |
//! | [`mutants`] | each mistake, and where it is found |
//! | [`trace`] | a run in the words of [`show`] |
//! | [`story`] | an order as a schedule that can be read and repeated |
//! | [`world`] | what CPUs do to a file, and from which state on |
//! | [`worlds`] | all pairs and triples of operations |
//! | [`campaign`] | many worlds explored, in shards; results kept and merged |
//! | [`growth`] | how the number of schedules grows, with and without reduction |

pub mod campaign;
pub mod find;
pub mod growth;
pub mod hw;
pub mod model;
pub mod mutants;
pub mod replay;
pub mod sched;
pub mod show;
pub mod shrink;
pub mod story;
pub mod trace;
pub mod world;
pub mod worlds;
