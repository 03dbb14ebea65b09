//! A door that writes down what consumers hand it, each thing with the entry that it waits for.
#![allow(dead_code, clippy::unwrap_used, reason = "each test binary uses its part")]

use bytes::Bytes;
use duolog_broker::Lsn;
use duolog_broker::consumers::{
    Advisory, Consumer, ConsumerConfig, Delivery, Heartbeat, Outgoing, PullRequest, ReplyTo, Sink, Status,
};
use duolog_types::Nanos;
use std::sync::Mutex;

/// What a client is told, once what it waits for is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// A message.
    Delivery { consumer: String, sequence: u64, number: u64, count: u32, payload: String },
    /// That an acknowledgement is certain: the reply address says which.
    Confirmed { to: String },
}

/// See the module.
#[derive(Debug, Default)]
pub struct Door {
    waiting: Mutex<Vec<(Lsn, Told)>>,
}

impl Door {
    fn wait(&self, lsn: Lsn, told: Told) {
        self.waiting.lock().unwrap().push((lsn, told));
    }

    /// What may leave now, in order.
    pub fn leaving(&self, durable: Lsn) -> Vec<Told> {
        let mut waiting = self.waiting.lock().unwrap();
        let (now, later) = std::mem::take(&mut *waiting).into_iter().partition(|(lsn, _)| *lsn <= durable);
        *waiting = later;
        let now: Vec<(Lsn, Told)> = now;
        now.into_iter().map(|(_, told)| told).collect()
    }
}

/// A request for messages that are there.
pub fn request(batch: u64) -> PullRequest {
    PullRequest {
        to: ReplyTo(Bytes::from_static(b"r")),
        batch,
        max_bytes: None,
        expires: None,
        no_wait: true,
        heartbeat: None,
    }
}

impl Sink for Door {
    fn deliver(&self, outgoing: &Outgoing<'_>, lsn: Lsn) {
        let Delivery { sequence, number, count, .. } = *outgoing.delivery;
        let told = Told::Delivery {
            consumer: outgoing.consumer.name().to_string(),
            sequence: sequence.0,
            number,
            count,
            payload: String::from_utf8_lossy(&outgoing.message.payload).into_owned(),
        };
        self.wait(lsn, told);
    }

    fn confirm(&self, to: &ReplyTo, lsn: Lsn) {
        self.wait(lsn, Told::Confirmed { to: String::from_utf8_lossy(&to.0).into_owned() });
    }

    fn status(&self, _: &ReplyTo, _: &Status, _: Lsn) {}
    fn heartbeat(&self, _: &Consumer, _: &ConsumerConfig, _: &Heartbeat, _: Lsn) {}
    fn flow_control(&self, _: &Consumer, _: &ConsumerConfig, _: u64, _: Lsn) {}
    fn advisory(&self, _: &Consumer, _: &Advisory) {}
    fn deleted(&self, _: &Consumer, _: Lsn) {}

    fn envelope_bytes(&self, _: &Consumer, _: &Delivery, _: Nanos) -> u64 {
        0
    }

    fn has_interest(&self, _: &[u8]) -> bool {
        true
    }
}
