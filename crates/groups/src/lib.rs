//! Placeholder of the crate's doc.
