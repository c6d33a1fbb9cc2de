//! The test kit (being written)
