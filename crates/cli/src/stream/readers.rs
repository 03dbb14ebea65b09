//! Who reads a log, and how far each is: Kafka groups by what they committed, JetStream consumers by what was
//! acknowledged to them.
//!
//! One number line for both: a position of N means that the first N of the log's numbers are done, sequences up to N,
//! offsets below N. A committed offset says that, and an ack floor, too.

use std::collections::{BTreeMap, BTreeSet};

use duolog_nats_wire::jetstream::error::NO_MESSAGE_FOUND;
use serde::Serialize;
use serde_json::json;

use crate::client::{Client, ClientError, ErrorCode, Topic};
use crate::exit::Failure;
use crate::nats::{ConsumerInfo, Nats, NatsError};

/// How long the broker may look for a record that is there already.
const FETCH_WAIT: std::time::Duration = std::time::Duration::from_millis(500);

/// One reader of one partition.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Reader {
    /// The group's id or the consumer's name.
    pub reader: String,
    /// `group`, `durable` (consumer), `ephemeral` (consumer).
    pub kind: &'static str,
    /// How much of the log is done; null for a group that has committed nothing.
    pub position: Option<u64>,
    /// Records that it has not processed; null without a position.
    pub lag: Option<u64>,
    /// False where it may be less, since deleted records may be among those counted.
    pub lag_is_exact: bool,
    /// Delivered to it and not acknowledged; null for a group.
    pub in_flight: Option<u64>,
    /// Sequence of the first record that it has not processed; null if there is none.
    pub oldest_unprocessed: Option<u64>,
    /// When that one came, in milliseconds since 1970.
    pub oldest_unprocessed_time: Option<i64>,
    /// How long ago that was.
    pub oldest_unprocessed_age_ms: Option<i64>,
}

impl Reader {
    /// Where it stands on the bar: before what it has still to do.
    pub fn place(&self, end: u64) -> Option<u64> {
        match (self.oldest_unprocessed, self.position) {
            (Some(sequence), _) => Some(sequence.saturating_sub(1)),
            (None, Some(_)) if self.lag == Some(0) => Some(end),
            (None, position) => position,
        }
    }
}

/// What groups have committed for a topic: by partition, then by group; `None` for one that has it assigned and has
/// committed nothing.
pub type Commits = BTreeMap<i32, BTreeMap<String, Option<i64>>>;

/// The commits of every group for `topic`.
///
/// # Errors
/// A broker can't be asked.
pub async fn commits(client: &Client, topic: &str) -> Result<Commits, ClientError> {
    let mut commits = Commits::new();
    for group in client.groups().await? {
        let gone = |error: &ClientError| error.code() == Some(ErrorCode::GROUP_ID_NOT_FOUND);
        let name = &group.group;
        let committed = match client.committed(name).await {
            Err(error) if gone(&error) => continue,
            committed => committed?,
        };
        // Members without a commit read, too; an empty group has none.
        if group.state != "Empty" {
            let members = match client.group(name).await {
                Err(error) if gone(&error) => continue,
                found => found?.members,
            };
            for partition in members.iter().filter_map(|member| member.assigned.get(topic)).flatten() {
                commits.entry(*partition).or_default().insert(name.clone(), None);
            }
        }
        for ((_, partition), at) in committed.into_iter().filter(|((name, _), _)| name == topic) {
            commits.entry(partition).or_default().insert(name.clone(), Some(at.offset));
        }
    }
    Ok(commits)
}

/// A partition's log, as much as is known of it.
pub struct Log<'a> {
    pub start: u64,
    pub end: u64,
    /// Sequences between start and end that are deleted; `None` if that isn't known.
    pub deleted: Option<BTreeSet<u64>>,
    /// Milliseconds since 1970, by the clock that stamps the records.
    pub now_ms: i64,
    /// The stream, where NATS knows it.
    pub stream: Option<(&'a Nats, &'a str)>,
    /// The partition, where Kafka knows it.
    pub partition: Option<(&'a Client, &'a Topic, i32)>,
}

impl Log<'_> {
    /// A group that has committed `committed`.
    ///
    /// # Errors
    /// Its first unprocessed record can't be looked up.
    pub async fn group(&self, name: &str, committed: Option<i64>) -> Result<Reader, Failure> {
        let position = committed.and_then(|offset| u64::try_from(offset).ok());
        let mut reader = Reader {
            reader: name.to_owned(),
            kind: "group",
            position,
            lag: None,
            lag_is_exact: self.deleted.is_some(),
            in_flight: None,
            oldest_unprocessed: None,
            oldest_unprocessed_time: None,
            oldest_unprocessed_age_ms: None,
        };
        let Some(position) = position else { return Ok(reader) };
        let lag = lag(position, self.start, self.end, self.deleted.as_ref());
        reader.lag = Some(lag);
        if lag > 0 {
            let oldest = self.first_behind(position.max(self.start), &[]).await?;
            self.set_oldest(&mut reader, oldest);
        }
        Ok(reader)
    }

    /// A consumer.
    ///
    /// # Errors
    /// Its first unprocessed message can't be looked up.
    pub async fn consumer(&self, consumer: &ConsumerInfo) -> Result<Reader, Failure> {
        let asks_for_acks = consumer.ack_policy() != "none";
        let in_flight = if asks_for_acks { consumer.num_ack_pending } else { 0 };
        let position =
            if asks_for_acks { consumer.ack_floor.stream_seq } else { consumer.delivered.stream_seq };
        let lag = consumer.num_pending.saturating_add(in_flight);
        let mut reader = Reader {
            reader: consumer.name.clone(),
            kind: if consumer.is_durable() { "durable" } else { "ephemeral" },
            position: Some(position),
            lag: Some(lag),
            lag_is_exact: true,
            in_flight: Some(in_flight),
            oldest_unprocessed: None,
            oldest_unprocessed_time: None,
            oldest_unprocessed_age_ms: None,
        };
        if lag > 0 {
            let oldest = self.first_behind(position.max(self.start), &consumer.filters()).await?;
            self.set_oldest(&mut reader, oldest);
        }
        Ok(reader)
    }

    fn set_oldest(&self, reader: &mut Reader, oldest: Option<(u64, i64)>) {
        reader.oldest_unprocessed = oldest.map(|(sequence, _)| sequence);
        reader.oldest_unprocessed_time = oldest.map(|(_, time_ms)| time_ms);
        // Clocks of producers may be ahead of ours.
        reader.oldest_unprocessed_age_ms =
            oldest.map(|(_, time_ms)| self.now_ms.saturating_sub(time_ms).max(0));
    }

    /// Sequence and time of the first record behind `position` that one of `filters` takes (all, if there is none).
    async fn first_behind(&self, position: u64, filters: &[String]) -> Result<Option<(u64, i64)>, Failure> {
        if let Some((nats, stream)) = self.stream {
            let all = [">".to_owned()];
            let mut first: Option<(u64, i64)> = None;
            for filter in if filters.is_empty() { &all[..] } else { filters } {
                let found = next_message(nats, stream, position.saturating_add(1), filter).await?;
                first = [first, found].into_iter().flatten().min();
            }
            return Ok(first);
        }
        let Some((client, topic, partition)) = self.partition else { return Ok(None) };
        let Ok(offset) = i64::try_from(position) else { return Ok(None) };
        let positions = BTreeMap::from([(partition, offset)]);
        let fetched = client.fetch(topic, &positions, FETCH_WAIT).await?;
        let first = fetched.into_iter().flat_map(|fetched| fetched.records).next();
        Ok(first.and_then(|record| Some((u64::try_from(record.offset).ok()? + 1, record.timestamp_ms))))
    }
}

async fn next_message(
    nats: &Nats,
    stream: &str,
    sequence: u64,
    filter: &str,
) -> Result<Option<(u64, i64)>, NatsError> {
    let body = json!({ "seq": sequence, "next_by_subj": filter });
    match super::message(nats, stream, &format!("next from {sequence}"), &body).await {
        Ok(message) => Ok(message.stored.map(|stored| (stored.sequence, stored.time_ms))),
        Err(error) if error.is(NO_MESSAGE_FOUND) => Ok(None),
        Err(error) => Err(error),
    }
}

/// How many records of a log from `start` to `end` are behind `position`; what is deleted is none.
fn lag(position: u64, start: u64, end: u64, deleted: Option<&BTreeSet<u64>>) -> u64 {
    let from = position.max(start);
    let gone = match deleted {
        Some(deleted) if from < end => deleted.range(from + 1..=end).count() as u64,
        _ => 0,
    };
    end.saturating_sub(from).saturating_sub(gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_counts_what_is_there_and_unread() {
        let deleted = BTreeSet::from([3, 8, 9]);
        for (position, start, end, gone, expected) in [
            (0, 0, 10, None, 10),
            (4, 0, 10, None, 6),
            (4, 0, 10, Some(&deleted), 4),
            (7, 0, 10, Some(&deleted), 1),
            (10, 0, 10, Some(&deleted), 0),
            // Behind the start: what retention took is no work any more.
            (2, 5, 10, None, 5),
            // Ahead of the end that was read before it.
            (12, 0, 10, Some(&deleted), 0),
            (0, 0, 0, Some(&deleted), 0),
        ] {
            assert_eq!(lag(position, start, end, gone), expected, "{position} in {start}..{end}");
        }
    }

    #[test]
    fn the_json_of_a_reader_is_what_the_manual_says() {
        let reader = Reader {
            reader: "billing".to_owned(),
            kind: "group",
            position: Some(7),
            lag: Some(3),
            lag_is_exact: true,
            in_flight: None,
            oldest_unprocessed: Some(8),
            oldest_unprocessed_time: Some(1_700_000_000_000),
            oldest_unprocessed_age_ms: Some(1500),
        };
        assert_eq!(
            crate::output::json_line(&reader),
            concat!(
                r#"{"reader":"billing","kind":"group","position":7,"lag":3,"lag_is_exact":true,"in_flight":null,"#,
                r#""oldest_unprocessed":8,"oldest_unprocessed_time":1700000000000,"oldest_unprocessed_age_ms":1500}"#
            )
        );
        assert_eq!(reader.place(10), Some(7));
        let done = Reader { lag: Some(0), oldest_unprocessed: None, ..reader };
        assert_eq!(done.place(10), Some(10), "a filtered consumer that is done is done up to the end");
    }
}
