//! The commands of the NATS side as processes, against a broker of their own: what they print for people and for
//! scripts, what they say when something is wrong, and how they exit.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

/// A broker that is ended when the test is.
struct Broker {
    child: Child,
    kafka: String,
    nats: String,
    dir: tempfile::TempDir,
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Gone already, in some tests.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a command ended.
#[derive(Debug)]
struct Ended {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Ended {
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Broker {
    fn start() -> Self {
        Self::with(&[])
    }

    fn with(settings: &[&str]) -> Self {
        Self::at(tempfile::tempdir().unwrap(), "127.0.0.1:0", settings)
    }

    fn at(dir: tempfile::TempDir, nats: &str, settings: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_duolog"));
        command.args(["--data-dir", dir.path().to_str().unwrap(), "--set", "wal.file_bytes=1MiB"]);
        command.args([
            "--nats-listen",
            nats,
            "--kafka-listen",
            "127.0.0.1:0",
            "--http-listen",
            "127.0.0.1:0",
        ]);
        for setting in settings {
            command.args(["--set", setting]);
        }
        let command = command.env_clear().stdin(Stdio::null()).stderr(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (mut kafka, mut nats) = (String::new(), String::new());
        loop {
            let line = lines.next().expect("the broker ended before it was ready").unwrap();
            match line.split_once(char::is_whitespace) {
                Some(("kafka", address)) => kafka = address.trim().to_owned(),
                Some(("nats", address)) => nats = format!("nats://{}", address.trim()),
                Some(("acks", _)) => break,
                _ => {}
            }
        }
        Self { child, kafka, nats, dir }
    }

    /// Kills it, and starts it again on the same data and NATS address.
    fn killed_and_restarted(mut self) -> Self {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let nats = self.nats.trim_start_matches("nats://").to_owned();
        let dir = std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap());
        Self::at(dir, &nats, &[])
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_duolog"));
        command.args(args).env_clear().env("NO_COLOR", "1").stdin(Stdio::null());
        command.env("DUOLOG_NATS_SERVER", &self.nats).env("DUOLOG_BOOTSTRAP", &self.kafka);
        command
    }

    /// Runs a command to its end.
    fn run(&self, args: &[&str]) -> Ended {
        end(self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// Runs a command that succeeds; its stdout.
    fn ok(&self, args: &[&str]) -> String {
        let ended = self.run(args);
        assert_eq!(ended.code, 0, "{args:?}: {ended:?}");
        ended.stdout
    }

    /// Runs a command that succeeds and prints JSON.
    fn json(&self, args: &[&str]) -> Value {
        let ended = self.run(&[args, &["-o", "json"]].concat());
        assert_eq!(ended.code, 0, "{args:?}: {ended:?}");
        ended.json()
    }

    /// Runs a command that fails with `code`, prints no data, and says `said`.
    fn fails(&self, args: &[&str], code: i32, said: &str) {
        let ended = self.run(args);
        assert_eq!((ended.code, ended.stdout.as_str()), (code, ""), "{args:?}: {ended:?}");
        assert!(ended.stderr.contains(said), "{args:?}: {said}: {}", ended.stderr);
    }

    /// Starts a command that runs until something comes, and waits until it says `ready`.
    fn spawn(&self, args: &[&str], ready: &str) -> Running {
        let mut child = self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        assert!(stderr.read_line(&mut line).unwrap() > 0, "{args:?} ended at once");
        assert!(line.contains(ready), "{args:?}: {line}");
        Running { child, stderr }
    }
}

/// A command that is running.
struct Running {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
}

impl Running {
    fn end(mut self) -> Ended {
        let mut ended = end(self.child);
        self.stderr.read_to_string(&mut ended.stderr).unwrap();
        ended
    }
}

fn end(child: Child) -> Ended {
    let output = child.wait_with_output().unwrap();
    Ended {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// An address where nobody listens: bound and dropped.
fn nobody() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Replies `replies` times to each request on `subject`, until the broker is gone.
fn responder(broker: &Broker, subject: &str, replies: usize) {
    let mut stream = TcpStream::connect(broker.nats.trim_start_matches("nats://")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    write!(stream, "CONNECT {{\"verbose\":false}}\r\nSUB {subject} 1\r\nPING\r\n").unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    while !line.starts_with("PONG") {
        line.clear();
        reader.read_line(&mut line).unwrap();
    }
    std::thread::spawn(move || {
        loop {
            line.clear();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            // MSG subject sid reply bytes
            let fields: Vec<&str> = line.split_whitespace().collect();
            let ["MSG", _, _, reply, _] = fields.as_slice() else { continue };
            let answers = format!("PUB {reply} 2\r\nok\r\n").repeat(replies);
            if stream.write_all(answers.as_bytes()).is_err() {
                return;
            }
        }
    });
}

#[test]
fn what_is_published_is_heard_with_its_headers() {
    let broker = Broker::start();
    let listening = broker.spawn(&["sub", "orders.>", "-n", "2", "-o", "json"], "listening on orders.>");
    let published = broker.run(&["pub", "orders.eu", "an order", "-H", "source=web", "--reply", "answers"]);
    assert_eq!((published.code, published.stdout.as_str()), (0, ""), "{published:?}");
    assert_eq!(published.stderr, "1 message published to orders.eu\n");
    // The body from stdin, where none is given; stdin is empty here.
    broker.ok(&["pub", "orders.us", "-"]);
    let heard = listening.end();
    assert_eq!(heard.code, 0, "{heard:?}");
    assert_eq!(heard.stderr, "2 messages received\n");
    assert_eq!(
        heard.json(),
        json!([
            {"subject": "orders.eu", "reply": "answers", "payload": "an order",
             "headers": [{"name": "source", "value": "web"}]},
            {"subject": "orders.us", "reply": null, "payload": "", "headers": []},
        ])
    );
    let listening = broker.spawn(&["sub", "orders.eu", "-n", "1"], "listening");
    broker.ok(&["pub", "orders.eu", "an order", "-H", "source=web"]);
    assert_eq!(listening.end().stdout, "orders.eu\n  source: web\nan order\n");
    let silent = broker.run(&["sub", "orders.eu", "--for", "0.05", "-o", "json"]);
    assert_eq!((silent.code, silent.json()), (0, json!([])), "{silent:?}");
}

#[test]
fn a_queue_group_shares_what_comes() {
    let broker = Broker::start();
    let args = ["sub", "work", "--queue", "q", "-n", "1", "-o", "value"];
    let mut members = [broker.spawn(&args, "listening"), broker.spawn(&args, "listening")];
    // Whoever has one leaves, so both get one in the end; of a message to all both would get the first.
    let mut number = 0;
    while members.iter_mut().any(|member| member.child.try_wait().unwrap().is_none()) {
        number += 1;
        broker.ok(&["pub", "work", &number.to_string()]);
    }
    let [one, other] = members.map(|member| member.end().stdout);
    assert_ne!(one, other);
    assert!([&one, &other].into_iter().any(|got| got == "1\n"), "{one} {other}");
}

#[test]
fn a_request_prints_what_is_replied_and_says_at_once_that_nobody_listens() {
    let broker = Broker::start();
    responder(&broker, "prices.*", 2);
    assert_eq!(broker.ok(&["request", "prices.eu", "7"]), "ok\n");
    let replies = broker.json(&["request", "prices.eu", "7", "--replies", "2"]);
    assert_eq!(replies[1]["payload"], "ok", "{replies}");
    let all = ["request", "prices.eu", "", "--replies", "0", "--timeout", "1", "-o", "value"];
    assert_eq!(broker.ok(&all), "ok\nok\n");

    broker.fails(
        &["request", "nobody.here", ""],
        1,
        "error: nobody listens on nobody.here (no responders)\n",
    );
    responder(&broker, "silent", 0);
    let silent = ["request", "silent", "", "--timeout", "0.2"];
    broker.fails(&silent, 1, "no answer within 200ms (waiting for a reply on silent)");
    let three = broker.run(&["request", "prices.eu", "7", "--replies", "3", "--timeout", "0.5"]);
    assert_eq!((three.code, three.stdout.as_str()), (1, "ok\nok\n"), "what came is printed nevertheless");
    assert!(three.stderr.contains("3 replies on prices.eu; 2 came"), "{three:?}");
}

#[test]
fn a_command_without_a_server_says_so_and_fails() {
    let broker = Broker::start();
    let address = nobody();
    for command in [
        &["pub", "a", "x"][..],
        &["sub", "a"],
        &["request", "a", "x"],
        &["stream", "list"],
        &["consumer", "list", "s"],
        &["kv", "list"],
    ] {
        // The flag wins over the environment.
        let said = format!(
            "error: could not reach nats://{address}: connection refused; is the broker running? \
             start it with `duolog`\n"
        );
        broker.fails(&[command, &["--server", &address]].concat(), 1, &said);
    }
    // A Kafka door says nothing until it is asked, and never what NATS says.
    let kafka = ["stream", "list", "--server", &broker.kafka, "--timeout", "0.3"];
    broker.fails(&kafka, 1, "no answer within 300ms");
    broker.fails(&kafka, 1, "is a NATS server there?");
    broker.fails(&["stream", "list", "--server", "http://127.0.0.1"], 1, "invalid scheme");
}

#[test]
fn who_may_not_connect_learns_how_to_say_who_they_are() {
    let broker = Broker::with(&["nats.user=ann", "nats.password=secret"]);
    let said = "refuses the connection: authorization violation; give --user and --password, or --token\n";
    broker.fails(&["stream", "list"], 1, said);
    broker.fails(&["stream", "list", "--user", "ann", "--password", "wrong"], 1, said);
    let known = ["stream", "list", "--user", "ann", "--password", "secret", "-o", "json"];
    assert_eq!(broker.ok(&known), "[]\n");
    let mut command = broker.command(&["stream", "list", "-o", "json"]);
    command.env("DUOLOG_NATS_USER", "ann").env("DUOLOG_NATS_PASSWORD", "secret");
    assert!(command.stdout(Stdio::null()).status().unwrap().success());
    let in_url = format!("nats://ann:secret@{}", broker.nats.trim_start_matches("nats://"));
    assert_eq!(broker.ok(&["stream", "list", "-o", "json", "--server", &in_url]), "[]\n");
}

#[test]
fn wrong_usage_is_refused_before_anybody_is_asked() {
    let broker = Broker::start();
    for (args, said) in [
        (&["pub", "a b", "x"][..], "is no subject"),
        (&["pub", "a..b", "x"], "is no subject"),
        (&["pub", "a.*", "x"], "a message goes to one"),
        (&["sub", "a.>.b"], "is no subject"),
        (&["request", ">", ""], "a message goes to one"),
        (&["pub", "a", "x", "-H", "novalue"], "is not NAME=VALUE"),
        (&["pub", "a", "x", "-H", "a=1\r\nb: 2"], "header a"),
        (&["stream", "describe", "a.b"], "is no name"),
        (&["stream", "get", "s"], "required"),
        (&["stream", "create", "s", "--max-age", "soon"], "is not a span"),
        (&["stream", "edit", "s"], "nothing to change"),
        (&["stream", "delete", "s"], "needs --yes"),
        (&["stream", "purge", "s"], "needs --yes"),
        (&["consumer", "create", "s", "c", "--from", "never"], "not all, new, last"),
        (&["consumer", "delete", "s", "c"], "needs --yes"),
        (&["kv", "put", "b", "a b", "x"], "is no key"),
        (&["kv", "get", "b.c", "k"], "is no bucket's name"),
        (&["kv", "purge", "b", "k"], "needs --yes"),
    ] {
        broker.fails(args, 64, said);
    }
    for command in ["pub", "sub", "request"] {
        assert!(broker.ok(&[command, "--help"]).contains("Examples:\n  duolog "), "{command}");
    }
}

#[test]
fn a_stream_is_made_filled_read_changed_emptied_and_deleted() {
    let broker = Broker::start();
    let create = ["stream", "create", "orders", "--subject", "orders.>", "--max-age", "7d"];
    broker.ok(&create);
    // Once more is no failure; with other settings it is.
    broker.ok(&create);
    let other = ["stream", "create", "orders", "--subject", "others"];
    broker.fails(&other, 1, "stream name already in use with a different configuration (10058)");
    let overlapping = ["stream", "create", "more", "--subject", "orders.eu"];
    broker.fails(&overlapping, 1, "subjects overlap with an existing stream (10065)");

    let acked = broker.json(&["pub", "orders.eu", "first", "--id", "o-1", "-H", "source=web"]);
    assert_eq!(
        acked,
        json!([{"subject": "orders.eu", "stream": "orders", "sequence": 1, "duplicate": false}])
    );
    let again = broker.run(&["pub", "orders.eu", "first", "--id", "o-1"]);
    assert!(again.stderr.contains("sequence 1 (1 message known by id and not stored again)"), "{again:?}");
    let several = broker.run(&["pub", "orders.us", "x", "--jetstream", "--count", "300"]);
    assert_eq!(several.stderr, "300 messages published to orders.us: stream orders, sequences 2 to 301\n");
    let nowhere = ["pub", "nowhere", "x", "--jetstream"];
    broker.fails(&nowhere, 1, "no stream takes nowhere");
    broker.fails(&nowhere, 1, "duolog stream create NAME --subject 'nowhere'");

    let listed = broker.json(&["stream", "list"]);
    assert_eq!(listed[0]["stream"], "orders");
    assert_eq!(listed[0]["subjects"], json!(["orders.>"]));
    assert_eq!((&listed[0]["messages"], &listed[0]["last_seq"]), (&json!(301), &json!(301)));
    assert_eq!(broker.ok(&["stream", "list", "-o", "name"]), "orders\n");
    assert!(broker.ok(&["stream", "list"]).starts_with("STREAM  SUBJECTS  MESSAGES  BYTES"));
    let described = broker.json(&["stream", "describe", "orders"]);
    assert_eq!(described[0]["config"]["max_age"], 604_800_000_000_000_u64);
    assert_eq!(described[0]["state"]["num_subjects"], 2);
    let text = broker.ok(&["stream", "describe", "orders"]);
    assert!(
        text.contains("Messages:   301 of 2 subjects, ") && text.contains("max_age           7d\n"),
        "{text}"
    );
    broker.fails(
        &["stream", "describe", "nope"],
        1,
        "stream nope: stream not found (10059); `duolog stream list`",
    );

    let mut got = broker.json(&["stream", "get", "orders", "1"]);
    let time = got[0]["timestamp"].as_i64().unwrap();
    // The client that published them keeps no order of different names.
    got[0]["headers"].as_array_mut().unwrap().sort_by_key(|header| header["name"].to_string());
    assert_eq!(
        got,
        json!([{"stream": "orders", "sequence": 1, "timestamp": time, "subject": "orders.eu", "reply": null,
                "payload": "first", "headers": [{"name": "Nats-Msg-Id", "value": "o-1"},
                                                 {"name": "source", "value": "web"}]}])
    );
    assert_eq!(broker.json(&["stream", "get", "orders", "--last", "orders.us"])[0]["sequence"], 301);
    let next = ["stream", "get", "orders", "--next", "orders.us", "--from", "7"];
    assert_eq!(broker.json(&next)[0]["sequence"], 7);
    assert_eq!(broker.ok(&["stream", "get", "orders", "1", "-o", "value"]), "first\n");
    broker.fails(&["stream", "get", "orders", "999"], 1, "no message found (10037)");

    let edited = broker.run(&["stream", "edit", "orders", "--max-messages", "100", "--max-age", "none"]);
    assert_eq!(edited.stderr, "stream orders: max_msgs is 100\nstream orders: max_age is 0ms\n");
    let described = broker.json(&["stream", "describe", "orders"]);
    assert_eq!(described[0]["config"]["subjects"], json!(["orders.>"]), "what isn't named stays");
    assert_eq!(described[0]["state"]["messages"], 100);
    broker.fails(&["stream", "edit", "orders", "--set", "mirror={\"name\":\"x\"}"], 1, "(100");

    let purged = broker.run(&["stream", "purge", "orders", "--keep", "30", "--yes"]);
    assert_eq!(purged.stderr, "stream orders: 70 messages deleted\n");
    let purged = broker.run(&["stream", "purge", "orders", "--before", "282", "--yes"]);
    assert_eq!(purged.stderr, "stream orders: 10 messages deleted\n");
    let purged = broker.run(&["stream", "purge", "orders", "--subject", "orders.eu", "--yes"]);
    assert_eq!(purged.stderr, "stream orders: 0 messages deleted\n");

    broker.ok(&["stream", "delete", "orders", "--yes"]);
    broker.fails(&["stream", "delete", "orders", "--yes"], 1, "stream not found (10059)");
    broker.ok(&["stream", "delete", "orders", "--yes", "--if-exists"]);
    assert_eq!(broker.json(&["stream", "list"]), json!([]));
}

#[test]
fn a_consumer_is_made_read_described_and_deleted() {
    let broker = Broker::start();
    broker.fails(&["consumer", "create", "orders", "c"], 1, "stream not found (10059)");
    broker.ok(&["stream", "create", "orders", "--subject", "orders.>"]);
    for (subject, body) in [("orders.eu", "a"), ("orders.us", "b"), ("orders.eu", "c")] {
        broker.ok(&["pub", subject, body, "--jetstream"]);
    }
    let made = broker.run(&["consumer", "create", "orders", "all", "--ack-wait", "1h"]);
    assert_eq!(made.stderr, "consumer all: is there, with 3 messages to deliver\n");
    broker.ok(&["consumer", "create", "orders", "eu", "--filter", "orders.eu", "--max-deliver", "2"]);
    broker.ok(&["consumer", "create", "orders", "late", "--from", "3", "--ack", "none"]);
    broker.ok(&["consumer", "create", "orders", "push", "--deliver-to", "out", "--from", "new"]);

    let first = broker.json(&["consumer", "next", "orders", "eu", "-n", "5", "--wait", "0.3"]);
    let payloads: Vec<&Value> = first.as_array().unwrap().iter().map(|message| &message["payload"]).collect();
    assert_eq!(payloads, ["a", "c"]);
    assert_eq!((&first[1]["sequence"], &first[1]["delivery"]), (&json!(3), &json!(1)));
    let empty = broker.run(&["consumer", "next", "orders", "eu", "--wait", "0.2"]);
    assert_eq!((empty.code, empty.stdout.as_str()), (0, ""), "{empty:?}");
    assert_eq!(empty.stderr, "0 messages read, acknowledged\n");

    // Not acknowledged, refused, acknowledged.
    assert_eq!(broker.ok(&["consumer", "next", "orders", "all", "--ack", "no", "-o", "value"]), "a\n");
    assert_eq!(broker.ok(&["consumer", "next", "orders", "all", "--ack", "nak", "-o", "value"]), "b\n");
    let again = broker.json(&["consumer", "next", "orders", "all", "--ack", "term"]);
    assert_eq!((&again[0]["payload"], &again[0]["delivery"]), (&json!("b"), &json!(2)));
    let described = broker.json(&["consumer", "describe", "orders", "all"]);
    assert_eq!(described[0]["ack_pending"], 1, "{described}");
    assert_eq!(described[0]["pending"], 1);
    assert_eq!(described[0]["config"]["ack_wait"], 3_600_000_000_000_u64);
    let text = broker.ok(&["consumer", "describe", "orders", "all"]);
    assert!(text.contains("Pending:      1 to deliver, 1 to be acknowledged\n"), "{text}");

    let listed = broker.json(&["consumer", "list", "orders"]);
    let names: Vec<&Value> = listed.as_array().unwrap().iter().map(|row| &row["consumer"]).collect();
    assert_eq!(names, ["all", "eu", "late", "push"]);
    assert_eq!((&listed[1]["filters"], &listed[1]["ack_floor"]), (&json!(["orders.eu"]), &json!(3)));
    assert_eq!((&listed[3]["mode"], &listed[3]["durable"]), (&json!("push"), &json!(true)));
    assert!(broker.ok(&["consumer", "list", "orders"]).starts_with("CONSUMER  MODE  ACK"));

    broker.fails(
        &["consumer", "next", "orders", "nope"],
        1,
        "consumer not found (10014); `duolog consumer list",
    );
    broker.fails(&["consumer", "next", "nope", "all"], 1, "stream not found (10059)");
    broker.fails(
        &["consumer", "next", "orders", "push", "--wait", "0.5"],
        1,
        "push based; it delivers to a subject",
    );
    broker.fails(&["consumer", "list", "nope"], 1, "stream not found (10059)");

    broker.ok(&["consumer", "delete", "orders", "eu", "late", "--yes"]);
    broker.fails(&["consumer", "delete", "orders", "eu", "--yes"], 1, "consumer not found (10014)");
    broker.ok(&["consumer", "delete", "orders", "eu", "--yes", "--if-exists"]);
}

#[test]
fn a_bucket_is_made_written_read_watched_and_dropped() {
    let broker = Broker::start();
    broker.ok(&["kv", "create", "config", "--history", "5"]);
    let put = broker.json(&["kv", "put", "config", "eu.limit", "100"]);
    assert_eq!(put, json!([{"bucket": "config", "key": "eu.limit", "revision": 1, "operation": "put"}]));
    broker.ok(&["kv", "put", "config", "eu.limit", "200", "--if-revision", "1"]);
    let stale = ["kv", "put", "config", "eu.limit", "300", "--if-revision", "1"];
    broker.fails(&stale, 1, "eu.limit has another revision");
    broker.ok(&["kv", "put", "config", "lock", "a", "--if-absent"]);
    broker.fails(&["kv", "put", "config", "lock", "b", "--if-absent"], 1, "is there already, at revision 3");
    broker.ok(&["kv", "delete", "config", "lock"]);
    // What was deleted is absent.
    broker.ok(&["kv", "put", "config", "lock", "c", "--if-absent"]);

    assert_eq!(broker.ok(&["kv", "get", "config", "eu.limit"]), "200\n");
    assert_eq!(broker.ok(&["kv", "get", "config", "eu.limit", "-o", "raw"]), "200");
    let old = broker.json(&["kv", "get", "config", "eu.limit", "--revision", "1"]);
    let time = old[0]["timestamp"].as_i64().unwrap();
    assert_eq!(
        old,
        json!([{"bucket": "config", "key": "eu.limit", "revision": 1, "timestamp": time, "operation": "put",
                "value": "100"}])
    );
    broker.fails(&["kv", "get", "config", "lock", "--revision", "1"], 1, "no key lock at revision 1");
    broker.fails(&["kv", "get", "config", "nope"], 1, "no key nope; `duolog kv keys config`");
    for args in [&["kv", "get", "none", "k"][..], &["kv", "put", "none", "k", "v"], &["kv", "keys", "none"]] {
        broker.fails(args, 1, "bucket none: there is none; `duolog kv list` shows what there is");
    }

    assert_eq!(broker.ok(&["kv", "keys", "config", "-o", "name"]), "eu.limit\nlock\n");
    assert_eq!(broker.ok(&["kv", "keys", "config", "eu.*", "-o", "name"]), "eu.limit\n");
    assert_eq!(broker.json(&["kv", "keys", "config"])[1]["revision"], 5);
    let history = broker.json(&["kv", "history", "config", "lock"]);
    let operations: Vec<(&Value, &Value)> =
        history.as_array().unwrap().iter().map(|entry| (&entry["operation"], &entry["value"])).collect();
    let (put, null) = (json!("put"), Value::Null);
    assert_eq!(operations, [(&put, &json!("a")), (&json!("delete"), &null), (&put, &json!("c"))]);

    let watching =
        broker.spawn(&["kv", "watch", "config", "-n", "3", "-o", "jsonl"], "watching > of bucket config");
    broker.ok(&["kv", "delete", "config", "eu.limit"]);
    let seen = watching.end();
    let seen: Vec<Value> = seen.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seen: Vec<(&Value, &Value)> = seen.iter().map(|entry| (&entry["key"], &entry["operation"])).collect();
    let (limit, lock) = (json!("eu.limit"), json!("lock"));
    assert_eq!(seen[..2], [(&limit, &put), (&lock, &put)], "{seen:?}");
    assert_eq!(seen[2], (&limit, &json!("delete")));
    let new = broker.spawn(&["kv", "watch", "config", "--new", "-n", "1", "-o", "value"], "watching");
    broker.ok(&["kv", "put", "config", "eu.limit", "400"]);
    assert_eq!(new.end().stdout, "400\n");

    broker.ok(&["kv", "purge", "config", "lock", "--yes"]);
    assert_eq!(broker.json(&["kv", "history", "config", "lock"]).as_array().unwrap().len(), 1);
    let listed = broker.json(&["kv", "list"]);
    assert_eq!((&listed[0]["bucket"], &listed[0]["history"]), (&json!("config"), &json!(5)));
    broker.ok(&["kv", "drop", "config", "--yes"]);
    broker.fails(&["kv", "drop", "config", "--yes"], 1, "bucket config: there is none");
    assert_eq!(broker.json(&["kv", "list"]), json!([]));
}

#[test]
fn who_waits_goes_on_when_the_broker_was_killed_and_is_back() {
    let broker = Broker::start();
    broker.ok(&["stream", "create", "orders", "--subject", "orders.>"]);
    broker.ok(&["consumer", "create", "orders", "worker"]);
    broker.ok(&["kv", "create", "config"]);
    broker.ok(&["kv", "put", "config", "a", "1"]);
    let mut listening = broker.spawn(&["sub", "news", "-n", "1", "-o", "value"], "listening");
    let watching = broker.spawn(&["kv", "watch", "config", "-n", "2", "-o", "value"], "watching");
    let next = ["consumer", "next", "orders", "worker", "--wait", "60", "-o", "value"];
    let mut next = broker.command(&next).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while broker.json(&["consumer", "describe", "orders", "worker"])[0]["waiting"] != 1 {
        assert!(next.try_wait().unwrap().is_none(), "it waits");
    }

    let broker = broker.killed_and_restarted();
    broker.ok(&["pub", "orders.eu", "an order", "--jetstream"]);
    broker.ok(&["kv", "put", "config", "a", "2"]);
    // Without a stream what is published before it listens again is for nobody.
    while listening.child.try_wait().unwrap().is_none() {
        broker.ok(&["pub", "news", "again"]);
    }
    let heard = listening.end();
    assert_eq!(heard.stdout, "again\n");
    assert!(heard.stderr.contains("connection lost; trying again"), "{heard:?}");
    assert_eq!(watching.end().stdout, "1\n2\n");
    let next = end(next);
    assert_eq!((next.code, next.stdout.as_str()), (0, "an order\n"), "{next:?}");
}

#[test]
fn positions_show_groups_and_consumers_on_one_bar() {
    let broker = Broker::start();
    // Of each subject the last: what was before is deleted, in the middle of the log.
    broker.ok(&["stream", "create", "orders", "--subject", "orders.>", "--max-per-subject", "2"]);
    for number in 0..10 {
        let subject = if number % 5 == 0 { "orders.rare" } else { "orders.often" };
        broker.ok(&["pub", subject, "x", "--jetstream"]);
    }
    // There are 1 and 6 (rare), 9 and 10 (often).
    broker.ok(&["consume", "orders", "--group", "billing", "-n", "1"]);
    broker.ok(&["consumer", "create", "orders", "worker"]);
    broker.ok(&["consumer", "next", "orders", "worker", "-n", "2"]);
    broker.ok(&["consumer", "next", "orders", "worker", "--ack", "no"]);
    broker.ok(&["consumer", "create", "orders", "rare", "--filter", "orders.rare"]);
    broker.ok(&["consumer", "next", "orders", "rare", "-n", "2"]);

    let positions = broker.json(&["stream", "positions", "orders"]);
    let partition = &positions[0];
    assert_eq!(positions.as_array().unwrap().len(), 1);
    assert_eq!((&partition["topic"], &partition["known_to"]), (&json!("orders"), &json!(["nats", "kafka"])));
    let log = ["log_start", "log_end", "records"].map(|field| partition[field].as_u64().unwrap());
    assert_eq!(log, [0, 10, 4]);
    let readers = partition["readers"].as_array().unwrap();
    let of = |name: &str| readers.iter().find(|reader| reader["reader"] == name).unwrap();
    for (name, kind, position, lag, in_flight, oldest) in [
        ("billing", "group", 1, 3, Value::Null, json!(6)),
        ("worker", "durable", 6, 2, json!(1), json!(9)),
        ("rare", "durable", 6, 0, json!(0), Value::Null),
    ] {
        let reader = of(name);
        assert_eq!((&reader["kind"], &reader["position"]), (&json!(kind), &json!(position)), "{reader}");
        assert_eq!((&reader["lag"], &reader["lag_is_exact"]), (&json!(lag), &json!(true)), "{reader}");
        assert_eq!((&reader["in_flight"], &reader["oldest_unprocessed"]), (&in_flight, &oldest), "{reader}");
        let sequence = oldest.as_u64().map(|sequence| sequence.to_string());
        if let Some(sequence) = sequence {
            let message = broker.json(&["stream", "get", "orders", &sequence]);
            assert_eq!(reader["oldest_unprocessed_time"], message[0]["timestamp"]);
            assert!(reader["oldest_unprocessed_age_ms"].as_i64().unwrap() >= 0, "{reader}");
        }
    }
    let text = broker.ok(&["stream", "positions", "orders"]);
    assert!(text.starts_with(
        "Stream:   orders  (topic orders, partition 0)\nLog:      start 0, end 10, 4 records\n\n0 |"
    ));
    let bar = text.lines().find(|line| line.starts_with("0 |")).unwrap();
    assert!(bar.ends_with("B| 10") && bar.find('A').unwrap() < bar.find('C').unwrap(), "{text}");
    assert_eq!(broker.ok(&["stream", "positions", "orders", "-o", "name"]), "billing\nrare\nworker\n");
    broker.fails(&["stream", "positions", "nope"], 1, "stream nope: stream not found (10059)");
}

#[test]
fn positions_of_one_side_are_shown_where_the_other_does_not_answer() {
    let broker = Broker::start();
    broker.ok(&["stream", "create", "orders", "--subject", "orders.>"]);
    broker.ok(&["pub", "orders.eu", "x", "--jetstream", "--count", "3"]);
    broker.ok(&["consume", "orders", "--group", "billing", "-n", "2"]);
    broker.ok(&["consumer", "create", "orders", "worker"]);
    let nobody = nobody();
    let readers = |side: &str, said: &str| {
        let ended = broker.run(&["stream", "positions", "orders", "-o", "json", side, &nobody]);
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(ended.stderr.contains(said), "{ended:?}");
        ended.json()[0].clone()
    };
    let kafka = readers("--server", "without JetStream consumers: could not reach nats://");
    assert_eq!((&kafka["known_to"], &kafka["records"]), (&json!(["kafka"]), &Value::Null));
    let reader = &kafka["readers"][0];
    assert_eq!((&reader["reader"], &reader["lag"]), (&json!("billing"), &json!(1)));
    assert_eq!((&reader["oldest_unprocessed"], &reader["lag_is_exact"]), (&json!(3), &json!(false)));
    assert!(reader["oldest_unprocessed_age_ms"].as_i64().unwrap() >= 0, "{reader}");

    let nats = readers("--bootstrap", "without Kafka groups: could not reach ");
    assert_eq!(nats["known_to"], json!(["nats"]));
    assert_eq!((&nats["readers"][0]["reader"], &nats["readers"][0]["lag"]), (&json!("worker"), &json!(3)));

    let neither = ["stream", "positions", "orders", "--server", &nobody, "--bootstrap", &nobody];
    broker.fails(&neither, 1, "neither side answers: could not reach nats://");
}

#[test]
fn positions_of_a_topic_show_each_partition() {
    let broker = Broker::start();
    broker.ok(&["topic", "create", "web.orders", "--partitions", "3"]);
    for (partition, count) in [("0", 2), ("1", 3)] {
        let values = vec!["x"; count];
        broker.ok(&[&["produce", "web.orders", "-p", partition][..], &values].concat());
    }
    broker.ok(&["consume", "web.orders", "--group", "billing", "-n", "5"]);
    broker.ok(&["produce", "web.orders", "-p", "1", "one more"]);
    for name in ["web.orders", "web_orders"] {
        let positions = broker.json(&["stream", "positions", name]);
        let lags: Vec<(&Value, &Value, &Value)> = positions
            .as_array()
            .unwrap()
            .iter()
            .map(|partition| (&partition["stream"], &partition["log_end"], &partition["readers"][0]["lag"]))
            .collect();
        assert_eq!(
            lags,
            [
                (&json!("web_orders"), &json!(2), &json!(0)),
                (&json!("web_orders=1"), &json!(4), &json!(1)),
                (&json!("web_orders=2"), &json!(0), &json!(0)),
            ]
        );
    }
    let one = broker.json(&["stream", "positions", "web.orders=1"]);
    assert_eq!((one.as_array().unwrap().len(), &one[0]["partition"]), (1, &json!(1)));
    broker.fails(&["stream", "positions", "web.orders=7"], 1, "web_orders=7: stream not found");
}
