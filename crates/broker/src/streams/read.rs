//! Reading messages: the index says which, the log gives their records.

use bytes::Bytes;
use duolog_log::{Read, ReadError, ReadSpec};
use duolog_record::{BatchHeader, records, split};
use duolog_types::{Nanos, Offset, Sequence};

use super::core::{State, nanos};
use super::index::Filter;
use super::mapping::{Root, Seen};
use super::publish::message_time;
use super::table::DECODE;
use super::{Batch, BatchQuery, GetError, GetQuery, Message, MultiQuery, Stream, header_block_bytes};

/// Messages further apart than this are likely in different batches: what stands in between isn't read.
const SPARSE: u64 = 256;

/// How much is read from the log at a time.
const READ_BYTES: usize = 256 << 10;

impl Stream {
    /// One message.
    ///
    /// # Errors
    /// See [`GetError`]. [`GetError::NotFound`] waits for [`Stream::changed`]; what was found is durable.
    pub async fn get(&self, query: GetQuery<'_>) -> Result<Message, GetError> {
        self.ready().await;
        let found = {
            let mut state = self.lock();
            state.locate(query).ok_or(GetError::NotFound)?
        };
        let mut messages = self.read(&[Sequence(found)], usize::MAX).await?;
        // It can have gone between the look-up and the read.
        messages.pop().ok_or(GetError::NotFound)
    }

    /// Messages in order.
    ///
    /// # Errors
    /// See [`GetError`].
    pub async fn get_batch(&self, query: BatchQuery<'_>) -> Result<Batch, GetError> {
        self.ready().await;
        let (wanted, pending, up_to, lsn) = {
            let mut state = self.lock();
            let patterns: Vec<String> = query.subject.map(str::to_owned).into_iter().collect();
            let filter = Filter::new(&patterns, &mut state.index);
            let from = match query.time {
                Some(time) => state.index.since(nanos(time)).ok_or(GetError::NotFound)?,
                None => query.from.0.max(1),
            };
            let mut pending = state.index.count_matches(&filter, from);
            let mut wanted = Vec::new();
            // Stored sizes are a little larger than what is counted in the end: so many are read at most.
            let (mut next, mut bytes) = (state.index.next_match(&filter, from, u64::MAX), 0usize);
            while let Some(sequence) = next
                && wanted.len() < query.messages_max
            {
                pending -= 1;
                wanted.push((Sequence(sequence), pending));
                bytes = bytes.saturating_add(counted_at_least(&state, sequence));
                if bytes >= query.bytes_max {
                    break;
                }
                next = state.index.next_match(&filter, sequence + 1, u64::MAX);
            }
            (wanted, pending, state.index.last(), state.as_of)
        };
        if wanted.is_empty() && query.messages_max > 0 {
            return Err(GetError::NotFound);
        }
        self.read_batch(wanted, pending, query.bytes_max, Sequence(up_to), lsn).await
    }

    /// The last message of each subject, in the order of sequences.
    ///
    /// # Errors
    /// See [`GetError`].
    pub async fn get_last_of_each(&self, query: MultiQuery<'_>) -> Result<Batch, GetError> {
        self.ready().await;
        let (wanted, pending, up_to, lsn) = {
            let mut state = self.lock();
            let patterns: Vec<String> = query.subjects.iter().map(|subject| (*subject).to_owned()).collect();
            let filter = Filter::new(&patterns, &mut state.index);
            let mut up_to =
                query.up_to.filter(|up_to| up_to.0 > 0).map_or(state.index.last(), |up_to| up_to.0);
            if let Some(time) = query.up_to_time {
                let since = state.index.since(nanos(time)).unwrap_or(state.index.last() + 1);
                if since <= state.index.first() {
                    return Err(GetError::NotFound);
                }
                up_to = since - 1;
            }
            let found = state.last_of_each(&filter, up_to);
            if found.len() > query.subjects_max {
                return Err(GetError::TooMany { subjects: found.len(), limit: query.subjects_max });
            }
            if found.is_empty() {
                return Err(GetError::NotFound);
            }
            let mut pending = found.len() as u64;
            let (mut wanted, mut bytes) = (Vec::new(), 0usize);
            for sequence in found {
                if wanted.len() == query.messages_max || bytes >= query.bytes_max {
                    break;
                }
                pending -= 1;
                if sequence < query.from {
                    continue;
                }
                wanted.push((sequence, pending));
                bytes = bytes.saturating_add(counted_at_least(&state, sequence.0));
            }
            (wanted, pending, up_to, state.as_of)
        };
        self.read_batch(wanted, pending, query.bytes_max, Sequence(up_to), lsn).await
    }

    async fn read_batch(
        &self,
        wanted: Vec<(Sequence, u64)>,
        mut pending: u64,
        bytes_max: usize,
        up_to: Sequence,
        lsn: duolog_types::Lsn,
    ) -> Result<Batch, GetError> {
        let sequences: Vec<Sequence> = wanted.iter().map(|(sequence, _)| *sequence).collect();
        let messages = self.read(&sequences, usize::MAX).await?;
        let pending_of = |sequence: Sequence| {
            wanted.binary_search_by_key(&sequence, |(of, _)| *of).map_or(0, |at| wanted[at].1)
        };
        let (mut batch, mut bytes) = (Vec::with_capacity(messages.len()), 0usize);
        for message in messages {
            pending = pending_of(message.sequence);
            bytes = bytes.saturating_add(counted(&message));
            batch.push((message, pending));
            if bytes >= bytes_max {
                break;
            }
        }
        Ok(Batch { messages: batch, pending, up_to, lsn })
    }

    /// Reads messages by their sequences (rising), once they are durable. Those that are gone meanwhile are left out.
    /// Stops before `bytes_max`, but gives at least one.
    ///
    /// # Errors
    /// What the log said.
    pub async fn read(&self, sequences: &[Sequence], bytes_max: usize) -> Result<Vec<Message>, GetError> {
        let Some(last) = sequences.last() else { return Ok(Vec::new()) };
        let log = self.partition().log().clone();
        if last.0 > Sequence::from(log.high_watermark()).0 - 1 {
            let lsn = self.changed();
            log.durable(lsn).await?;
        }
        let mut messages: Vec<Message> = Vec::with_capacity(sequences.len());
        let mut left = sequences;
        while let Some(first) = left.first().copied() {
            // A batch at a time where what is wanted stands far apart; else in larger steps.
            let is_sparse = left.get(1).is_none_or(|second| second.0 - first.0 > SPARSE);
            let max_bytes = if is_sparse { 1 } else { READ_BYTES };
            let spec = ReadSpec {
                from: first.offset().max(log.start()),
                up_to: last.offset().plus(1),
                max_bytes,
                at_least_one: true,
            };
            let chunk = match log.read(spec) {
                Ok(Read::Ready(chunk)) => chunk,
                Ok(Read::NeedsDisk(cold)) => crate::partition::blocking(move || cold.run()).await?,
                // Everything asked for is gone, or was trimmed meanwhile.
                Err(ReadError::OutOfRange { .. }) => break,
                Err(error) => return Err(error.into()),
            };
            let end = Sequence::from(chunk.next_offset);
            if end <= first {
                break;
            }
            let mut arrivals = chunk.arrivals.iter();
            for run in &chunk.runs {
                for batch in split(run) {
                    let (header, batch) = batch.map_err(|error| damaged(first, &error))?;
                    let arrival = *arrivals.next().unwrap_or(&Nanos(0));
                    pick(&header, &batch, arrival, self.root(), &mut left, &mut messages)?;
                }
            }
            left = &left[left.partition_point(|sequence| *sequence < end)..];
            if messages.iter().map(size).sum::<usize>() > bytes_max && messages.len() > 1 {
                let mut kept = 0usize;
                let fits = messages.iter().take_while(|message| {
                    kept = kept.saturating_add(size(message));
                    kept <= bytes_max
                });
                let count = fits.count().max(1);
                messages.truncate(count);
                return Ok(messages);
            }
        }
        Ok(messages)
    }
}

/// What a batch's bound counts of a message.
fn counted(message: &Message) -> usize {
    let lengths =
        message.headers.iter().map(|(name, value)| (name.len(), value.as_ref().map_or(0, Bytes::len)));
    message.subject.len() + header_block_bytes(lengths) + message.payload.len()
}

/// At least so much, as far as the index knows: its sizes include what the record has around it.
fn counted_at_least(state: &State, sequence: u64) -> usize {
    const AROUND: usize = 34;
    state.index.get(sequence).map_or(0, |entry| (entry.bytes as usize).saturating_sub(AROUND))
}

fn size(message: &Message) -> usize {
    let headers: usize =
        message.headers.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, Bytes::len)).sum();
    message.subject.len() + headers + message.payload.len()
}

fn damaged(sequence: Sequence, error: &dyn std::error::Error) -> GetError {
    GetError::Record { sequence, detail: error.to_string() }
}

/// Takes those messages of a batch that are wanted.
fn pick(
    header: &BatchHeader,
    batch: &Bytes,
    arrival: Nanos,
    root: &Root,
    left: &mut &[Sequence],
    messages: &mut Vec<Message>,
) -> Result<(), GetError> {
    let base = Sequence::from(header.base_offset);
    let end = Sequence::from(header.base_offset.plus(i64::from(header.last_offset_delta) + 1));
    *left = &left[left.partition_point(|sequence| *sequence < base)..];
    if left.first().is_none_or(|first| *first >= end) || header.is_control() {
        return Ok(());
    }
    let mut stored = records(batch, DECODE).map_err(|error| damaged(base, &error))?;
    while let Some(wanted) = left.first().copied().filter(|first| *first < end) {
        stored.skip_below(wanted.offset());
        let Some(record) = stored.next() else { break };
        let record = record.map_err(|error| damaged(wanted, &error))?;
        let sequence = Sequence::from(record.offset);
        // Those below are gone.
        *left = &left[left.partition_point(|wanted| *wanted < sequence)..];
        if left.first() != Some(&sequence) {
            continue;
        }
        *left = &left[1..];
        if let Some(Seen { subject, headers, payload }) = Seen::of(&record, root) {
            let time = message_time(arrival, header.base_timestamp.0, record.timestamp.0);
            messages.push(Message { sequence, subject, headers, payload, time });
        }
    }
    Ok(())
}

impl State {
    fn locate(&mut self, query: GetQuery<'_>) -> Option<u64> {
        match query {
            GetQuery::Sequence(sequence) => self.index.get(sequence.0).map(|_| sequence.0),
            GetQuery::LastBySubject(subject) => self.last_by_subject(subject),
            GetQuery::NextBySubject { subject, from } => {
                let filter = Filter::new(&[subject.to_owned()], &mut self.index);
                self.index.next_match(&filter, from.0.max(1), u64::MAX)
            }
            GetQuery::SinceTime { time, subject } => {
                let from = self.index.since(nanos(time))?;
                let patterns: Vec<String> = subject.map(str::to_owned).into_iter().collect();
                let filter = Filter::new(&patterns, &mut self.index);
                self.index.next_match(&filter, from, u64::MAX)
            }
        }
    }

    /// Lets go of what lies below the log's start.
    pub(super) fn catch_up_with_start(&mut self, start: Offset) {
        let first = Sequence::from(start).0;
        while self.index.messages() > 0 && self.index.first() < first {
            let gone = self.index.first();
            self.forget(gone);
        }
        self.index.skip_to(first - 1);
    }
}
