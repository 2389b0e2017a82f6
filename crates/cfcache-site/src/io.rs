//! What reads and writes files. Nothing else in this crate does.

pub mod directory;
pub mod records;
pub mod state_file;
