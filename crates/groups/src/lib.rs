//! Kafka's classic consumer groups and their committed offsets, as a pure state machine.
//!
//! ```text
//!  door ──Event──►┌────────────────────── Shard ──────────────────────┐──Effect::Persist──► log
//!                 │ GroupId → ClassicGroup (who belongs, which turn)  │
//!  host ──Tick───►│           GroupOffsets (how far each has read)    │──Effect::Reply────► door
//!                 └───────────────────────────────────────────────────┘
//! ```
//!
//! Owns every decision of Kafka's classic group coordinator: membership, rebalances, generations, static
//! members, who may commit, when offsets expire. `Shard::step(event, now)` returns effects; it reads no clock,
//! draws no random number, opens no file and knows no wire format, so every rule is a table and every history
//! can be replayed. Does not own: the log that keeps the records, timers (the host asks [`Shard::next_deadline`]
//! and sends [`Event::Tick`]), error codes (the door maps [`GroupError`]), topics (the host says when one goes).
//!
//! # Invariants
//! - GROUPS-1: every request is answered exactly once, also when its member is removed while it waits.
//! - GROUPS-2: a generation number of a group is given out once, across restarts too (`Record::Generation`).
//! - GROUPS-3: one member at a time is told that it leads a generation.
//! - GROUPS-4: a committed offset changes only by a commit that passed the checks, a delete, or expiry.
//! - GROUPS-5: what a reply reveals was handed out as `Effect::Persist` before it, in the same or an earlier step.
//!
//! # What the host owes
//! - Effects are carried out in order; all `Persist` of one step are one atomic entry of the log.
//! - A reply whose [`Reply::reveals_state`] is true leaves only when the newest entry that this shard has
//!   queued is durable.
//! - After [`Shard::restore`] of all records, [`Shard::loaded`] is called once, before the first event.

mod classic;
mod config;
mod durable;
mod effect;
mod error;
mod event;
mod offsets;
mod shard;
mod subscription;

pub use classic::{GroupDescription, MemberDescription, State};
pub use config::Config;
pub use durable::{DecodeError, GroupRecord, MemberRecord, Record};
pub use effect::{Effect, JoinRefused, Joined, JoinedMember, LeftMember, Reply, Synced};
pub use error::GroupError;
pub use event::{
    CommitOffsets, CommitPartition, DeleteOffsets, Event, Heartbeat, JoinGroup, LeaveGroup, LeavingMember,
    MemberRef, Now, Protocol, ReplyTo, SyncGroup, TopicPartition,
};
pub use offsets::{CommittedOffset, GroupOffsets, METADATA_BYTES_MAX, TopicName};
pub use shard::{ListedGroup, Shard};
pub use subscription::{SubscriptionError, subscribed_topics};
