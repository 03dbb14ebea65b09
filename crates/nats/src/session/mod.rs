//! One client's connection, as a function of a byte stream and the [`Door`].
//!
//! ```text
//! reader ─► Input ─► Parser ─► verbs ─► Publisher ─► other connections' Outbound
//!                                └─► own Outbound ─► writer (vectored, many messages a call)
//! ```
//!
//! Reader and writer are one task, so that a connection costs one allocation and a panic ends it alone. A read is
//! handled whole before anybody is woken. Owns order, pacing and the connection's end; what a verb means stands in
//! [`crate::verbs`].

pub mod close;
pub mod connection;
mod input;
pub(crate) mod outbound;
#[cfg(test)]
mod tests;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use duolog_env::Sleep;
use duolog_nats_wire::{ConnectOptions, ErrorText, Limits, Op, Parser, Step, encode};
use hashbrown::HashMap;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::door::Door;
use crate::router::{ClientInfo, Pace, Publisher, Subscription};
use crate::verbs;
use close::CloseReason;
use connection::Connection;
pub(crate) use input::{FIRST_BYTES, Input, Room};
use outbound::Batch;

/// Longest pause of a publisher for one receiver that is behind, and for one that is at its limit (the reference's
/// numbers).
const STALL: Duration = Duration::from_millis(2);
const LONG_STALL: Duration = Duration::from_millis(5);
/// Longest pause for what came in one read.
const STALL_TOTAL: Duration = Duration::from_millis(10);
/// How soon room is asked for again.
const ROOM_PAUSE: Duration = Duration::from_millis(5);
/// What waits is still sent for so long when a connection ends.
const LAST_WRITES: Duration = Duration::from_secs(1);
/// Reads handled before other connections of the thread have their turn.
const READS_IN_A_ROW: u32 = 16;

/// What a session keeps for its client. Only its own task touches it.
pub(crate) struct Session<'a> {
    pub(crate) door: &'a Door,
    pub(crate) connection: &'a Arc<Connection>,
    pub(crate) options: ConnectOptions,
    pub(crate) client: Arc<ClientInfo>,
    pub(crate) subscriptions: HashMap<Box<[u8]>, Arc<Subscription>>,
    pub(crate) publisher: Publisher,
    /// CONNECT must come first.
    pub(crate) awaits_auth: bool,
    pub(crate) had_connect: bool,
    pub(crate) had_pong: bool,
    pub(crate) in_messages: u64,
    pub(crate) in_bytes: u64,
    parser: Parser,
    input: Input,
    /// Bytes that the current operation needs.
    needed: usize,
    pause: Option<Pause>,
    /// How long the current read was paused.
    paused: Duration,
    batch: Batch,
}

/// Why nothing is read for a moment.
struct Pause {
    until: Sleep,
    span: Duration,
    /// Over sooner if this one's client has taken enough.
    receiver: Option<Arc<Connection>>,
}

/// Serves one connection until it ends, and says why it did.
pub async fn run<R, W>(mut reader: R, mut writer: W, connection: &Arc<Connection>, door: &Door) -> CloseReason
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    let mut session = Session::new(door, connection);
    let reason = std::future::poll_fn(|context| session.poll(&mut reader, &mut writer, context)).await;
    session.finish(&reason, &mut writer).await;
    reason
}

impl<'a> Session<'a> {
    fn new(door: &'a Door, connection: &'a Arc<Connection>) -> Self {
        let config = door.config();
        let limits = Limits { max_control_line: config.max_control_line, max_payload: config.max_payload };
        let awaits_auth = door.asks_who();
        connection.unauthenticated.store(awaits_auth, Ordering::Relaxed);
        let client = ClientInfo {
            id: connection.id,
            address: connection.peer,
            since: door.env().clock.wall(),
            user: String::new(),
            name: String::new(),
            lang: String::new(),
            version: String::new(),
        };
        let mut info = BytesMut::new();
        encode::put_info(&mut info, &door.info(connection));
        connection.outbound.lock().put(&info);
        Self {
            door,
            connection,
            options: ConnectOptions::default(),
            client: Arc::new(client),
            subscriptions: HashMap::new(),
            publisher: door.router().publisher(),
            awaits_auth,
            had_connect: false,
            had_pong: false,
            in_messages: 0,
            in_bytes: 0,
            parser: Parser::new(limits),
            input: Input::new(Arc::clone(door.room())),
            needed: 1,
            pause: None,
            paused: Duration::ZERO,
            batch: Batch::default(),
        }
    }

    fn poll<R, W>(&mut self, reader: &mut R, writer: &mut W, context: &mut Context<'_>) -> Poll<CloseReason>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        self.connection.waker.register(context.waker());
        for _ in 0..READS_IN_A_ROW {
            if let Err(error) = self.write(writer, context) {
                return Poll::Ready(error.into());
            }
            if let Some(reason) = self.ended() {
                return Poll::Ready(reason);
            }
            if self.is_paused(context) {
                return Poll::Pending;
            }
            // What a pause left unhandled comes first.
            match self.handle_input() {
                Ok(true) => continue,
                Ok(false) => {}
                Err(reason) => return Poll::Ready(reason),
            }
            let held_room = self.input.holds_room();
            if !self.input.prepare(self.needed) {
                self.pause_for(ROOM_PAUSE, None);
                continue;
            }
            if !held_room && self.input.holds_room() {
                self.connection.message_progress(self.door.env().clock.monotonic());
            }
            match self.input.poll_read(reader, context) {
                Poll::Ready(Ok(0)) => return Poll::Ready(CloseReason::PeerClosed),
                Poll::Ready(Ok(_)) => self.arrived(),
                Poll::Ready(Err(error)) => return Poll::Ready(error.into()),
                Poll::Pending => return Poll::Pending,
            }
            match self.handle_input() {
                Ok(_) => {}
                Err(reason) => return Poll::Ready(reason),
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Bytes came.
    fn arrived(&mut self) {
        let now = self.door.env().clock.monotonic();
        self.paused = Duration::ZERO;
        self.connection.active(now);
        if self.input.holds_room() {
            self.connection.message_progress(now);
        }
    }

    /// Handles whole operations until there are no more or the client must be paused. True if it was paused.
    fn handle_input(&mut self) -> Result<bool, CloseReason> {
        let rest = self.input.rest().len();
        if rest == 0 || rest < self.needed {
            return Ok(false);
        }
        let handled = self.handle_operations();
        self.settle();
        let pace = self.publisher.flush();
        let congested = self.publisher.take_congested();
        handled?;
        if self.input.holds_room() && self.needed <= FIRST_BYTES {
            self.connection.message_ended();
        }
        if let Some(receiver) = congested {
            let is_over = receiver.outbound.lock().is_over();
            self.pause_for(if is_over { LONG_STALL } else { STALL }, Some(receiver));
            return Ok(self.pause.is_some());
        }
        if pace == Pace::Stall {
            self.pause_for(STALL, None);
            return Ok(self.pause.is_some());
        }
        Ok(false)
    }

    fn handle_operations(&mut self) -> Result<(), CloseReason> {
        // Out of the session while operations borrow it.
        let mut input = std::mem::replace(&mut self.input, Input::new(Arc::clone(self.door.room())));
        let mut parser = self.parser.clone();
        let handled = self.handle_each(&mut parser, &mut input);
        self.parser = parser;
        self.input = input;
        handled
    }

    fn handle_each(&mut self, parser: &mut Parser, input: &mut Input) -> Result<(), CloseReason> {
        loop {
            let rest = input.rest();
            if self.awaits_auth && rest.first().is_some_and(|byte| !matches!(byte, b'C' | b'c')) {
                return Err(CloseReason::Refused(ErrorText::Authorization));
            }
            if rest.is_empty() {
                self.needed = 1;
                return Ok(());
            }
            match parser.parse(rest)? {
                Step::Op { op, used } => {
                    self.handle(op)?;
                    input.used(used);
                    if self.publisher.is_congested() && self.paused < STALL_TOTAL {
                        self.needed = 1;
                        return Ok(());
                    }
                }
                Step::More { needed } => {
                    self.needed = needed;
                    return Ok(());
                }
            }
        }
    }

    fn handle(&mut self, op: Op<'_>) -> Result<(), CloseReason> {
        match op {
            Op::Publish(publish) => verbs::publish::handle(self, &publish),
            Op::Subscribe { subject, queue, sid } => {
                verbs::subscribe::handle(self, subject, queue, sid);
                Ok(())
            }
            Op::Unsubscribe { sid, max } => {
                verbs::unsubscribe::handle(self, sid, max);
                Ok(())
            }
            Op::Connect(json) => verbs::connect::handle(self, json),
            Op::Ping => {
                verbs::ping::handle(self);
                Ok(())
            }
            Op::Pong => {
                self.connection.pong();
                Ok(())
            }
            Op::Ok => Ok(()),
            Op::Err => Err(CloseReason::PeerGaveUp),
            Op::Info(json) => match serde_json::from_slice::<serde_json::Value>(json) {
                Ok(_) => Ok(()),
                Err(error) => Err(CloseReason::Info(error)),
            },
        }
    }

    /// Appends bytes for the client, in order with the messages that it gets.
    pub(crate) fn answer(&mut self, bytes: &[u8]) {
        let mut outbound = self.connection.outbound.lock();
        outbound.put(bytes);
    }

    /// Appends `-ERR`.
    pub(crate) fn refuse(&mut self, error: &ErrorText) {
        let mut bytes = BytesMut::new();
        encode::put_error(&mut bytes, error);
        self.answer(&bytes);
    }

    /// Appends `+OK` if the client wants to hear it.
    pub(crate) fn ok(&mut self) {
        if self.options.verbose {
            self.answer(encode::OK);
        }
    }

    /// Whether a subscription ended by itself and isn't forgotten yet.
    pub(crate) fn may_have_ended(&self) -> bool {
        !self.connection.outbound.lock().ended.is_empty()
    }

    /// Forgets subscriptions that ended by themselves, and adds up what came.
    pub(crate) fn settle(&mut self) {
        let metrics = self.door.metrics();
        if self.in_messages > 0 {
            metrics.in_messages.fetch_add(std::mem::take(&mut self.in_messages), Ordering::Relaxed);
            metrics.in_bytes.fetch_add(std::mem::take(&mut self.in_bytes), Ordering::Relaxed);
        }
        let ended = std::mem::take(&mut self.connection.outbound.lock().ended);
        self.forget(ended);
    }

    fn forget(&mut self, ended: Vec<Arc<Subscription>>) {
        for subscription in ended {
            // A new one may have taken the name.
            if self.subscriptions.get(&subscription.sid).is_some_and(|own| Arc::ptr_eq(own, &subscription)) {
                self.subscriptions.remove(&subscription.sid);
            }
        }
    }

    /// Sends what waits, as far as the client takes it.
    fn write<W: AsyncWrite + Unpin>(
        &mut self,
        writer: &mut W,
        context: &mut Context<'_>,
    ) -> std::io::Result<()> {
        loop {
            if self.batch.is_empty() {
                let mut outbound = self.connection.outbound.lock();
                outbound.take(&mut self.batch);
                let messages = std::mem::take(&mut outbound.messages);
                let bytes = std::mem::take(&mut outbound.message_bytes);
                let ended = std::mem::take(&mut outbound.ended);
                drop(outbound);
                self.forget(ended);
                if messages > 0 {
                    let metrics = self.door.metrics();
                    metrics.out_messages.fetch_add(messages, Ordering::Relaxed);
                    metrics.out_bytes.fetch_add(bytes, Ordering::Relaxed);
                }
                if self.batch.is_empty() {
                    return Ok(());
                }
            }
            let write =
                self.batch.slices(|slices| Pin::new(&mut *writer).poll_write_vectored(context, slices));
            match write {
                Poll::Ready(Ok(0)) => return Err(std::io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => {
                    self.batch.advance(count);
                    self.connection.outbound.lock().sent(count);
                    self.connection.written();
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => {
                    self.connection.write_waits(self.door.env().clock.monotonic());
                    return Ok(());
                }
            }
        }
    }

    /// Whether somebody ended the connection, and why. Does on the way what the door asked for.
    fn ended(&mut self) -> Option<CloseReason> {
        if self.connection.lame_duck.swap(false, Ordering::Relaxed) {
            let mut info = self.door.info(self.connection);
            info.ldm = true;
            let mut bytes = BytesMut::new();
            encode::put_info(&mut bytes, &info);
            self.answer(&bytes);
            self.connection.waker.wake();
        }
        if self.connection.trim.swap(false, Ordering::Relaxed) {
            self.input.trim();
            self.connection.outbound.lock().trim();
        }
        let mut outbound = self.connection.outbound.lock();
        outbound.closed.then(|| outbound.reason.take().unwrap_or(CloseReason::PeerClosed))
    }

    fn pause_for(&mut self, span: Duration, receiver: Option<Arc<Connection>>) {
        let left = STALL_TOTAL.saturating_sub(self.paused);
        let span = if receiver.is_some() { span.min(left) } else { span };
        if span.is_zero() {
            return;
        }
        if receiver.is_some() {
            self.door.metrics().stalls.fetch_add(1, Ordering::Relaxed);
        }
        self.pause = Some(Pause { until: self.door.env().clock.sleep(span), span, receiver });
    }

    fn is_paused(&mut self, context: &mut Context<'_>) -> bool {
        let Some(pause) = &mut self.pause else { return false };
        let mut is_over = pause.until.as_mut().poll(context).is_ready();
        if let Some(receiver) = &pause.receiver {
            let mut outbound = receiver.outbound.lock();
            if outbound.closed || !outbound.is_congested() {
                is_over = true;
            } else if !is_over && !outbound.stalled.iter().any(|waker| waker.will_wake(context.waker())) {
                outbound.stalled.push(context.waker().clone());
            }
        }
        if is_over {
            self.paused += pause.span;
            self.pause = None;
        }
        !is_over
    }

    /// Ends the subscriptions, tells the client why, and sends what waits if it is taken soon.
    async fn finish<W: AsyncWrite + Unpin>(&mut self, reason: &CloseReason, writer: &mut W) {
        self.settle();
        self.publisher.flush();
        for (_, subscription) in self.subscriptions.drain() {
            self.door.router().remove(&subscription);
        }
        {
            let mut outbound = self.connection.outbound.lock();
            if let Some(error) = reason.told() {
                let mut bytes = BytesMut::new();
                encode::put_error(&mut bytes, &error);
                outbound.put_last(&bytes);
            }
            outbound.close(CloseReason::PeerClosed);
        }
        if !matches!(reason, CloseReason::Io(_)) && !reason.is_slow_consumer() {
            let deadline = self.door.env().clock.sleep(LAST_WRITES);
            let writing = async {
                std::future::poll_fn(|context| self.poll_flush(writer, context)).await?;
                writer.shutdown().await
            };
            tokio::select! {
                // Whether the client still hears it is no longer our concern.
                _ = writing => {}
                () = deadline => {}
            }
        }
        self.connection.outbound.lock().forget();
    }

    fn poll_flush<W: AsyncWrite + Unpin>(
        &mut self,
        writer: &mut W,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        self.write(writer, context)?;
        if self.batch.is_empty() { Pin::new(writer).poll_flush(context) } else { Poll::Pending }
    }
}

impl Drop for Session<'_> {
    /// A session that panicked leaves no subscriptions behind.
    fn drop(&mut self) {
        for (_, subscription) in self.subscriptions.drain() {
            self.door.router().remove(&subscription);
        }
    }
}
