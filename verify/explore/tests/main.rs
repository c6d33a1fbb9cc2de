//! The explorer's own tests, in one program.

mod campaign;
mod found;
mod model;
mod mutants;
mod races;
mod reduction;
mod runs;
mod show;
