//! ext2 (being written)
pub mod features {
    //! feature names
    /// Writes the names of incompat bits, each preceded by a blank.
    pub fn write_incompat(f: &mut core::fmt::Formatter<'_>, bits: u32) -> core::fmt::Result {
        write!(f, " {bits:#x}")
    }
}
