//! The write-ahead log: every frame of every partition and table, in one sequence of files.
//!
//! ```text
//! file    [ header, one sector | group | group | … | zeros ]          header names the predecessor's end
//! group   [ header 64 B | entry | entry | … | zeros to 4 KiB ]        chained by the predecessor's header CRC
//! entry   [ length, frame count | frame | frame | … ]                 atomic; numbered by LSN
//! frame   [ kind, lengths, id | fields of the kind | payload ]
//! ```
//!
//! One group is written and synced before the next one is begun, so a whole group behind a broken one proves
//! damage, not a torn write. A recycled file gets a new random epoch, so old groups in it never pass for new.

pub(crate) mod file;
pub(crate) mod frame;
pub(crate) mod layout;
pub(crate) mod reader;
pub(crate) mod recovery;
pub(crate) mod writer;
