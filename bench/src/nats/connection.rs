//! A NATS client that does as little as it can, so that the server is what is measured: one blocking socket, and
//! messages that are looked at where they were read.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(120);
const READ_BYTES: usize = 256 << 10;
const CONNECT: &[u8] =
    b"CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true,\
    \"lang\":\"rust\",\"version\":\"0\",\"protocol\":1}\r\n";

/// A connection.
pub struct Connection {
    stream: TcpStream,
    /// What was read and not looked at: `bytes[from..]`.
    bytes: Vec<u8>,
    from: usize,
    /// Written at the next [`flush`](Self::flush).
    pub out: Vec<u8>,
}

/// What the server sent. Ranges are of the connection's buffer, until it reads again.
enum Frame {
    Message { reply: (usize, usize), headers: usize, payload: (usize, usize) },
    Pong,
    Other,
}

/// A delivered message.
pub struct Message<'a> {
    pub reply: &'a [u8],
    /// Bytes of `payload` that are headers.
    pub headers: usize,
    /// Headers and body.
    pub payload: &'a [u8],
}

impl Message<'_> {
    /// A status like "404 No Messages" rather than a message.
    pub fn is_status(&self) -> bool {
        self.headers > 0 && self.payload.starts_with(b"NATS/1.0 ")
    }
}

impl Connection {
    /// Connects and waits for the server's first answer.
    pub fn open(server: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut connection = Self { stream, bytes: Vec::new(), from: 0, out: CONNECT.to_vec() };
        connection.settle()?;
        Ok(connection)
    }

    /// Sends what was put into `out`.
    pub fn flush(&mut self) -> anyhow::Result<()> {
        self.stream.write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }

    /// Puts a message to be published into `out`.
    pub fn publish(&mut self, subject: &[u8], reply: &[u8], payload: &[u8]) {
        self.out.extend_from_slice(b"PUB ");
        self.out.extend_from_slice(subject);
        if !reply.is_empty() {
            self.out.push(b' ');
            self.out.extend_from_slice(reply);
        }
        self.out.extend_from_slice(format!(" {}\r\n", payload.len()).as_bytes());
        self.out.extend_from_slice(payload);
        self.out.extend_from_slice(b"\r\n");
    }

    /// As [`publish`](Self::publish), with a block of headers.
    pub fn publish_with_headers(&mut self, subject: &[u8], reply: &[u8], headers: &[u8], payload: &[u8]) {
        self.out.extend_from_slice(b"HPUB ");
        self.out.extend_from_slice(subject);
        self.out.push(b' ');
        self.out.extend_from_slice(reply);
        let lengths = format!(" {} {}\r\n", headers.len(), headers.len() + payload.len());
        self.out.extend_from_slice(lengths.as_bytes());
        self.out.extend_from_slice(headers);
        self.out.extend_from_slice(payload);
        self.out.extend_from_slice(b"\r\n");
    }

    /// Subscribes; each connection here has one subscription that counts.
    pub fn subscribe(&mut self, subject: &str) {
        self.out.extend_from_slice(format!("SUB {subject} 1\r\n").as_bytes());
    }

    /// Sends all, and waits until the server has taken it.
    pub fn settle(&mut self) -> anyhow::Result<()> {
        self.out.extend_from_slice(b"PING\r\n");
        self.flush()?;
        while !matches!(self.frame()?, Frame::Pong) {}
        Ok(())
    }

    /// The next message.
    pub fn message(&mut self) -> anyhow::Result<Message<'_>> {
        loop {
            if let Frame::Message { reply, headers, payload } = self.frame()? {
                let of = |(from, to): (usize, usize)| &self.bytes[from..to];
                return Ok(Message { reply: of(reply), headers, payload: of(payload) });
            }
        }
    }

    /// Whether a message may be had without waiting.
    pub fn has_more(&self) -> bool {
        self.from < self.bytes.len()
    }

    /// Asks the JetStream API; an error that it answers is one.
    pub fn api(&mut self, subject: &str, request: &Value) -> anyhow::Result<Value> {
        self.out.extend_from_slice(b"SUB _INBOX.api 9\r\nUNSUB 9 1\r\n");
        self.publish(subject.as_bytes(), b"_INBOX.api", request.to_string().as_bytes());
        self.flush()?;
        let message = self.message()?;
        ensure!(!message.is_status(), "{subject}: nobody answers; is JetStream on?");
        let reply: Value = serde_json::from_slice(message.payload)?;
        if let Some(error) = reply.get("error") {
            bail!("{subject}: {error}");
        }
        Ok(reply)
    }

    fn frame(&mut self) -> anyhow::Result<Frame> {
        loop {
            let rest = &self.bytes[self.from..];
            let Some(end) = memchr::memchr(b'\n', rest) else {
                self.read()?;
                continue;
            };
            let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
            let has_headers = line.starts_with(b"HMSG ");
            if !has_headers && !line.starts_with(b"MSG ") {
                let frame = match line {
                    b"PONG" => Frame::Pong,
                    b"PING" => {
                        self.stream.write_all(b"PONG\r\n")?;
                        Frame::Other
                    }
                    _ if line.starts_with(b"-ERR") => {
                        bail!("the server said {}", String::from_utf8_lossy(line))
                    }
                    _ => Frame::Other,
                };
                self.from += end + 1;
                return Ok(frame);
            }
            let base = self.from;
            let mut words = Words { line, at: 0 };
            // MSG, the subject, the subscription's number.
            for _ in 0..3 {
                words.next().context("a message without a subject")?;
            }
            let mut tail = [(0, 0); 3];
            let mut count = 0;
            while let Some(word) = words.next() {
                *tail.get_mut(count).context("a message with too many fields")? = word;
                count += 1;
            }
            let number = |index: usize| -> anyhow::Result<usize> {
                let (from, to): (usize, usize) = tail[index];
                Ok(std::str::from_utf8(&line[from..to])?.parse()?)
            };
            let numbers = if has_headers { 2 } else { 1 };
            ensure!(count >= numbers, "a message without a size");
            let headers = if has_headers { number(count - 2)? } else { 0 };
            let size = number(count - 1)?;
            let reply = if count > numbers { tail[0] } else { (0, 0) };
            if rest.len() < end + 1 + size + 2 {
                self.read()?;
                continue;
            }
            let payload = base + end + 1;
            self.from = payload + size + 2;
            return Ok(Frame::Message {
                reply: (base + reply.0, base + reply.1),
                headers,
                payload: (payload, payload + size),
            });
        }
    }

    fn read(&mut self) -> anyhow::Result<()> {
        self.bytes.drain(..self.from);
        self.from = 0;
        let have = self.bytes.len();
        self.bytes.resize(have + READ_BYTES, 0);
        let read = self.stream.read(&mut self.bytes[have..]).context("waiting for the server")?;
        self.bytes.truncate(have + read);
        ensure!(read > 0, "the server closed the connection");
        Ok(())
    }
}

/// Where the words of a line are.
struct Words<'a> {
    line: &'a [u8],
    at: usize,
}

impl Words<'_> {
    fn next(&mut self) -> Option<(usize, usize)> {
        while self.line.get(self.at) == Some(&b' ') {
            self.at += 1;
        }
        let from = self.at;
        while self.line.get(self.at).is_some_and(|byte| *byte != b' ') {
            self.at += 1;
        }
        (self.at > from).then_some((from, self.at))
    }
}
