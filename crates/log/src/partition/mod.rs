//! One partition: what is appended, where its records stand, and how they are read back.

mod append;
pub(crate) mod core;
mod find;
mod handle;
pub(crate) mod memory;
pub(crate) mod read;

pub use append::Appended;
pub use core::Extent;
pub use handle::{Bounds, Partition};
pub use read::{Chunk, ColdRead, Read, ReadSpec};
