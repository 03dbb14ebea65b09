//! NATS on the wire: bytes ⇄ messages. No I/O, no runtime, no clock.
//!
//! ```text
//! bytes ─► parser ─► Op (slices of the input)        encode ─► MSG, HMSG, INFO, -ERR …
//!                     │ connect  options of CONNECT   info    fields of INFO
//!                     │ headers  the block of HPUB    subject validity, wildcards, overlap
//! ```
//!
//! Nothing here allocates from a number off the wire, and nothing panics on outside bytes (`fuzz/nats_parser`).

pub mod connect;
pub mod encode;
pub mod error;
pub mod headers;
pub mod info;
pub mod parser;
pub mod subject;

pub use connect::ConnectOptions;
pub use error::ErrorText;
pub use info::ServerInfo;
pub use parser::{Limits, Op, ParseError, Parser, Publish, Step};
