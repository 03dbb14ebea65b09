//! The NATS door.
