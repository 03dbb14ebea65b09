//! What each verb of a client means, one file each.

pub(crate) mod connect;
pub(crate) mod ping;
pub(crate) mod publish;
pub(crate) mod subscribe;
pub(crate) mod unsubscribe;
