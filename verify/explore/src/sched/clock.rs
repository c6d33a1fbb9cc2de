//! Vector clocks: which steps happened before which, whatever the order they were taken in.

use super::CPUS;

/// For each CPU, how many of its steps are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock([u32; CPUS]);

impl Clock {
    /// Returns how many steps of `cpu` are known.
    #[inline]
    pub fn of(&self, cpu: usize) -> u32 {
        self.0[cpu]
    }

    /// Counts one more step of `cpu` itself. Returns its number, from 1 on.
    #[inline]
    pub fn tick(&mut self, cpu: usize) -> u32 {
        self.0[cpu] += 1;
        self.0[cpu]
    }

    /// Adds what the other knows.
    #[inline]
    pub fn join(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine = theirs.max(*mine);
        }
    }
}
