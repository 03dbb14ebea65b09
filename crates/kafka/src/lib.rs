//! x
pub mod apis { 
//! x
pub mod fetch { 
//! x
pub mod session; pub mod table; pub mod response; } }
pub mod budget;
pub mod config;
pub mod errors;
pub mod frame;
pub mod session;
