//! The modules that read and write files. No other module of this crate does.

pub mod directory;
pub mod records;
pub mod state_file;
