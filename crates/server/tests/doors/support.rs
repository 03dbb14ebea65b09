//! A server of its own as a process, and a client of each kind in front of it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::context::PublishError;
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::{self, Context, stream};
use futures_util::StreamExt;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

/// No test waits longer for what must come.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A server that is ended when the test is.
pub struct Server {
    child: Child,
    browser: OnceLock<BaseConsumer>,
    pub kafka: String,
    pub nats: String,
}

impl Server {
    /// Starts on what `dir` holds.
    pub fn start(dir: &Path) -> Self {
        Self::with(dir, &[])
    }

    /// The same with settings.
    pub fn with(dir: &Path, settings: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_duolog"));
        command.env_clear().env("NO_COLOR", "1").stdin(Stdio::null()).stderr(Stdio::null());
        command.arg("--data-dir").arg(dir);
        for door in ["--kafka-listen", "--nats-listen", "--http-listen"] {
            command.args([door, "127.0.0.1:0"]);
        }
        for setting in ["wal.file_bytes=1MiB"].iter().chain(settings) {
            command.args(["--set", setting]);
        }
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (mut kafka, mut nats) = (String::new(), String::new());
        loop {
            let line = lines.next().expect("it ended before it was ready").unwrap();
            let (label, value) = line.split_once(' ').unwrap_or((&line, ""));
            match label {
                "kafka" => kafka = value.trim().to_owned(),
                "nats" => nats = value.trim().to_owned(),
                // The last line.
                "acks" => break,
                _ => {}
            }
        }
        Self { child, browser: OnceLock::new(), kafka, nats }
    }

    /// Ends it by SIGTERM.
    pub fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }

    /// Ends it by kill -9.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// A NATS client.
    pub async fn nats(&self) -> Context {
        jetstream::new(async_nats::connect(&self.nats).await.unwrap())
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.kafka).set("broker.address.family", "v4");
        config
    }

    /// A Kafka producer that picks partitions as the Java client does.
    pub fn producer(&self) -> FutureProducer {
        self.producer_with(&[])
    }

    pub fn producer_with(&self, settings: &[(&str, &str)]) -> FutureProducer {
        let mut config = self.client();
        config.set("partitioner", "murmur2_random").set("linger.ms", "0").set("message.timeout.ms", "30000");
        settings.iter().for_each(|(key, value)| _ = config.set(*key, *value));
        config.create().unwrap()
    }

    pub fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().unwrap()
    }

    pub async fn make_topic(&self, name: &str, partitions: i32) {
        self.try_topic(name, partitions, &[]).await.unwrap();
    }

    /// Makes a topic; the refusal's code, if it is refused.
    pub async fn try_topic(
        &self,
        name: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> Result<(), RDKafkaErrorCode> {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        for (key, value) in configs {
            topic = topic.set(key, value);
        }
        let made = self.admin().create_topics([&topic], &AdminOptions::new()).await.unwrap();
        made.into_iter().next().unwrap().map(drop).map_err(|(_, code)| code)
    }

    pub fn consumer(&self, group: &str) -> BaseConsumer {
        let mut config = self.client();
        config.set("group.id", group).set("enable.auto.commit", "false");
        config.set("fetch.wait.max.ms", "20").set("fetch.error.backoff.ms", "1");
        // librdkafka may remember where a partition began before its records were deleted.
        config.set("auto.offset.reset", "earliest");
        config.set("enable.partition.eof", "true").create().unwrap()
    }

    /// The consumer that browses: made once, since a first fetch takes librdkafka half a second.
    fn browser(&self) -> &BaseConsumer {
        self.browser.get_or_init(|| self.consumer("browser"))
    }

    /// All records of a partition, in order.
    pub fn consume(&self, topic: &str, partition: i32) -> Vec<Record> {
        let consumer = self.browser();
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
        consumer.assign(&assignment).unwrap();
        let mut records = Vec::new();
        loop {
            match consumer.poll(PATIENCE) {
                Some(Ok(message)) => records.push(Record::of(&message)),
                Some(Err(KafkaError::PartitionEOF(_))) => break,
                // Errors of single requests are retried by the client itself.
                Some(Err(_)) => {}
                None => {
                    panic!("the end of {topic} {partition} doesn't come, behind {} records", records.len())
                }
            }
        }
        consumer.unassign().unwrap();
        records
    }

    /// The first and the last offset and one, by ListOffsets.
    pub fn watermarks(&self, topic: &str, partition: i32) -> (i64, i64) {
        self.browser().fetch_watermarks(topic, partition, PATIENCE).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Gone already, in most tests.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub type KafkaHeader = (String, Option<Vec<u8>>);

/// What a Kafka client sees of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<KafkaHeader>,
    pub timestamp: Option<i64>,
}

impl Record {
    fn of(message: &rdkafka::message::BorrowedMessage<'_>) -> Self {
        let headers = message.headers().map(|headers| {
            let own = |header: Header<'_, &[u8]>| (header.key.to_owned(), header.value.map(<[u8]>::to_vec));
            headers.iter().map(own).collect()
        });
        Self {
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: headers.unwrap_or_default(),
            timestamp: message.timestamp().to_millis(),
        }
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.value.clone().unwrap()).unwrap()
    }
}

/// What is to be produced.
#[derive(Clone, Debug, Default)]
pub struct Sent<'a> {
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
    pub timestamp: Option<i64>,
    pub partition: Option<i32>,
}

/// Produces a record: its partition and offset.
pub async fn produce(
    producer: &FutureProducer,
    topic: &str,
    sent: Sent<'_>,
) -> Result<(i32, i64), RDKafkaErrorCode> {
    let mut record = FutureRecord::<[u8], [u8]>::to(topic);
    record.key = sent.key;
    record.payload = sent.value;
    record.timestamp = sent.timestamp;
    record.partition = sent.partition;
    if !sent.headers.is_empty() {
        let add = |headers: OwnedHeaders, (key, value): &(&str, Option<&[u8]>)| {
            headers.insert(Header { key, value: *value })
        };
        record = record.headers(sent.headers.iter().fold(OwnedHeaders::new(), add));
    }
    let delivery = producer.send_result(record).map_err(|(error, _)| error).unwrap();
    let delivered = tokio::time::timeout(PATIENCE, delivery).await.expect("it is answered").unwrap();
    match delivered {
        Ok(delivery) => Ok((delivery.partition, delivery.offset)),
        Err((error, _)) => Err(error.rdkafka_error_code().unwrap()),
    }
}

/// A keyed record without anything else: its offset.
pub async fn put(producer: &FutureProducer, topic: &str, key: &str, value: &str) -> i64 {
    let sent = Sent { key: Some(key.as_bytes()), value: Some(value.as_bytes()), ..Sent::default() };
    produce(producer, topic, sent).await.unwrap().1
}

/// Makes a stream through NATS.
pub async fn make_stream(
    nats: &Context,
    name: &str,
    subject: &str,
    change: impl FnOnce(&mut stream::Config),
) -> stream::Stream {
    let mut config = stream::Config {
        name: name.to_owned(),
        subjects: vec![subject.to_owned()],
        ..stream::Config::default()
    };
    change(&mut config);
    nats.create_stream(config).await.unwrap()
}

/// Publishes with headers: the acknowledgement.
pub async fn publish_with(
    nats: &Context,
    subject: &str,
    headers: &[(&str, &str)],
    payload: &str,
) -> Result<PublishAck, PublishError> {
    let mut block = HeaderMap::new();
    for (name, value) in headers {
        block.append(*name, *value);
    }
    let sent = nats.publish_with_headers(subject.to_owned(), block, payload.to_owned().into()).await;
    tokio::time::timeout(PATIENCE, sent?.into_future()).await.expect("it is answered")
}

/// Publishes: stream and sequence.
pub async fn publish(nats: &Context, subject: &str, payload: &str) -> (String, u64) {
    let sent = nats.publish(subject.to_owned(), payload.to_owned().into()).await.unwrap();
    let ack = tokio::time::timeout(PATIENCE, sent.into_future()).await.expect("it is answered").unwrap();
    (ack.stream, ack.sequence)
}

/// What a NATS client sees of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub sequence: u64,
    pub subject: String,
    pub headers: Vec<(String, String)>,
    pub payload: Vec<u8>,
    pub millis: i64,
}

impl Seen {
    fn of(message: &async_nats::jetstream::Message) -> Self {
        let headers = message.headers.iter().flat_map(|headers| headers.iter());
        let values = headers.flat_map(|(name, values)| {
            values.iter().map(move |value| (name.to_string(), value.as_str().to_owned()))
        });
        let mut headers: Vec<(String, String)> = values.collect();
        // The client's map has no order between names.
        headers.sort_by(|a, b| a.0.cmp(&b.0));
        let info = message.info().unwrap();
        Self {
            sequence: info.stream_sequence,
            subject: message.subject.to_string(),
            headers,
            payload: message.payload.to_vec(),
            millis: i64::try_from(info.published.unix_timestamp_nanos() / 1_000_000).unwrap(),
        }
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.payload.clone()).unwrap()
    }
}

/// All messages of a stream, in order, by a consumer of their own.
pub async fn read(nats: &Context, name: &str) -> Vec<Seen> {
    let mut stream = nats.get_stream(name).await.unwrap();
    let count = stream.info().await.unwrap().state.messages;
    let config = pull::Config { ack_policy: AckPolicy::None, ..pull::Config::default() };
    let consumer = stream.create_consumer(config).await.unwrap();
    let mut messages = consumer.messages().await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..count {
        let message = tokio::time::timeout(PATIENCE, messages.next()).await.expect("it comes");
        seen.push(Seen::of(&message.unwrap().unwrap()));
    }
    stream.delete_consumer(&consumer.cached_info().name).await.unwrap();
    seen
}

/// Ends when something holds that is to hold soon.
pub async fn soon(mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("it comes to hold");
}

/// An answer of the JetStream API: status and number of its error, or nothing.
pub async fn api_error(nats: &Context, subject: &str, body: &str) -> Option<(String, u64)> {
    let client = nats.client();
    let answer = client.request(format!("$JS.API.{subject}"), body.to_owned().into()).await.unwrap();
    let answer = String::from_utf8(answer.payload.to_vec()).unwrap();
    let number = answer.split("\"err_code\":").nth(1)?;
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    Some((answer, digits.parse().unwrap()))
}
