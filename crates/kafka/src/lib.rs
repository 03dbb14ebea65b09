//! x
pub mod budget;
pub mod config;
pub mod frame;
pub mod session;
