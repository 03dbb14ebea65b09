//! The broker's settings: one table of keys, and where each value comes from.
//!
//! A value is taken from the first of these that has one: flag, environment, file, default. The table
//! ([`table`]) is the only list of keys: the struct that the broker reads, the parser of file, environment and
//! flags, `duolog config show` and docs/config.md are all made of it.
//!
//! All settings are read once, at start; a change takes effect at the next one.

mod error;
mod file;
mod layers;
mod reference;
mod table;
mod value;

pub use error::ConfigError;
pub use layers::{Layers, Loaded, Origin};
pub use reference::{reference, yaml};
pub use table::{Config, KEYS};
pub use value::{ByteSize, Durability, HostPort, LogFormat, Setting};
