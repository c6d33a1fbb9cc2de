//! A scheduler that owns every step.
//!
//! | file | what it holds |
//! |---|---|
//! | [`engine`] | CPUs as coroutines that stop before each step others could notice |
//! | [`touch`] | what a step touches |
//! | [`clock`], [`races`] | which steps happened before which, and which could come the other way round |
//! | [`dpor`] | every order that matters, once: source sets and sleep sets |
//! | [`naive`] | every order, without reduction: to compare with |
//! | [`other`] | random orders with a guarantee (PCT); a given order |

pub mod clock;
pub mod dpor;
pub mod engine;
pub mod naive;
pub mod other;
pub mod races;
pub mod touch;

/// The most CPUs a world can have.
pub const CPUS: usize = 4;

/// The number of a CPU.
pub type Cpu = usize;
