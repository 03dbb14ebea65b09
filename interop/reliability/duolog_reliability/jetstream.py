"""The JetStream half of the load: publishers with message ids, a worker of a work queue that has each acknowledgement
confirmed, a consumer under a delivery limit; all of it through kills, with retries, as real applications do.

One thread with an event loop of its own. Every publish is repeated with its id until it is acknowledged, every
acknowledgement until it is confirmed or the message comes again (a delivery that no limit counts may be forgotten in a
crash, and an acknowledgement of what was never delivered gets no answer). Into a stream in memory each message goes once.
What all that promises, and how it is judged: ``jetstream_rules``.
"""

import asyncio
import json
import random
import threading
import time

import nats
from nats.js.api import ConsumerConfig, RetentionPolicy, StreamConfig

JOBS, EVENTS, MEMORY = "JS_JOBS", "JS_EVENTS", "JS_MEMORY"
WINDOW_SECONDS = 3600
DELIVERIES_MAX = 2
PUBLISHERS = 6
PATIENCE_SECONDS = 0.5
READ_SECONDS = 30
UNCONFIRMED_MAX = 500
DRAIN_SECONDS = 30


class JetStreamLoad(threading.Thread):
    """The clients. ``acked`` is read by the harness: are they served again since the restart?"""

    def __init__(self, url, history, seed):
        super().__init__(name="jetstream", daemon=True)
        self.url, self.history = url, history
        self.acked = 0
        self.refused = set()
        self._random = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._publishing = self._working = True
        self._known = {JOBS: [], EVENTS: []}  # acknowledged ids
        self._next = 0
        self._newest = {}  # consumer and sequence -> number of the newest delivery
        self._reads = 0

    # -- for the harness ------------------------------------------------------------------------------------

    def run(self):
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._work())

    def read(self):
        """Reads both streams from their beginning."""
        try:
            asyncio.run_coroutine_threadsafe(self._read(), self._loop).result(READ_SECONDS)
        except TimeoutError:
            self._fault("stuck-consumer", who="jetstream: a whole read", seconds=READ_SECONDS)

    def finish(self):
        """The publishers end; the worker goes on until nothing is left."""
        self._publishing = False
        left = asyncio.run_coroutine_threadsafe(self._drained(), self._loop).result(DRAIN_SECONDS + READ_SECONDS)
        self._working = False
        if left:
            self._fault("stuck-consumer", who=f"jetstream: {left}", seconds=DRAIN_SECONDS)

    # -- the clients ----------------------------------------------------------------------------------------

    def _fault(self, name, **detail):
        self.history.op("jetstream", "info", "fault", {"name": name, **detail})

    async def _connect(self):
        async def quiet(_):
            pass

        return await nats.connect(self.url, max_reconnect_attempts=-1, reconnect_time_wait=0.05, connect_timeout=2,
                                  allow_reconnect=True, error_cb=quiet, pending_size=0)

    async def _work(self):
        self._nc = await self._patiently(self._connect)
        self._js = self._nc.jetstream(timeout=PATIENCE_SECONDS)
        jobs = StreamConfig(name=JOBS, subjects=["jobs.*"], retention=RetentionPolicy.WORK_QUEUE,
                            duplicate_window=WINDOW_SECONDS, allow_direct=True)
        events = StreamConfig(name=EVENTS, subjects=["events.*"], duplicate_window=WINDOW_SECONDS, allow_direct=True)
        memory = StreamConfig(name=MEMORY, subjects=["memory.*"], storage="memory", max_msgs=1000)
        for config in (jobs, events, memory):
            await self._patiently(lambda config=config: self._js.add_stream(config))
        worker = ConsumerConfig(durable_name="worker", ack_policy="explicit", ack_wait=30, max_ack_pending=5000)
        limited = ConsumerConfig(durable_name="limited", ack_policy="explicit", ack_wait=1, max_deliver=DELIVERIES_MAX,
                                 max_ack_pending=5000)
        await self._patiently(lambda: self._js.add_consumer(JOBS, worker))
        await self._patiently(lambda: self._js.add_consumer(EVENTS, limited))
        tasks = [self._publish(n) for n in range(PUBLISHERS)]
        await asyncio.gather(*tasks, self._remember(), self._consume(JOBS, "worker", 1.0), self._consume(EVENTS, "limited", 0.7))
        await asyncio.Event().wait()  # reads go on

    async def _patiently(self, call):
        """Tries until it is done; what is refused for a while is tried again."""
        while True:
            try:
                return await call()
            except (nats.errors.Error, asyncio.TimeoutError, OSError):
                await asyncio.sleep(0.02)

    async def _publish(self, publisher):
        while self._publishing:
            stream = self._random.choice((JOBS, EVENTS))
            known = self._known[stream]
            again = known and self._random.random() < 0.1
            if again:
                identity = self._random.choice(known[-2000:])
            else:
                identity, self._next = f"m{self._next}", self._next + 1
            subject = f"{'jobs' if stream == JOBS else 'events'}.{self._random.randrange(5)}"
            body = identity.encode() + b"|" + b"x" * self._random.choice((0, 20, 200, 2000))
            self.history.op(f"publisher-{publisher}", "invoke", "js-publish", {"stream": stream, "id": identity})
            ack = await self._patiently(lambda subject=subject, body=body, identity=identity: self._js.publish(
                subject, body, timeout=PATIENCE_SECONDS, headers={"Nats-Msg-Id": identity}))
            self.history.op(f"publisher-{publisher}", "ok", "js-publish", {
                "stream": stream, "id": identity, "seq": ack.seq, "duplicate": bool(ack.duplicate)})
            self.acked += 1
            if not again:
                known.append(identity)
            await asyncio.sleep(self._random.expovariate(60))

    async def _remember(self):
        """Publishes into the stream in memory; what isn't acknowledged is in doubt."""
        while self._publishing:
            identity, self._next = f"m{self._next}", self._next + 1
            value = {"stream": MEMORY, "id": identity}
            self.history.op("rememberer", "invoke", "js-publish", value)
            try:
                ack = await self._js.publish("memory.a", identity.encode(), timeout=PATIENCE_SECONDS)
                self.history.op("rememberer", "ok", "js-publish", {**value, "seq": ack.seq, "duplicate": False})
            except (nats.errors.Error, asyncio.TimeoutError, OSError):
                self.history.op("rememberer", "info", "js-publish", value)
            await asyncio.sleep(self._random.expovariate(100))

    async def _consume(self, stream, consumer, share):
        """Takes messages and has the acknowledgement of that share of them confirmed."""
        unconfirmed = set()
        subscription = await self._patiently(lambda: self._js.pull_subscribe_bind(consumer, stream=stream))
        while self._working:
            if len(unconfirmed) > UNCONFIRMED_MAX:
                await asyncio.wait(unconfirmed, timeout=PATIENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                continue
            try:
                messages = await subscription.fetch(50, timeout=PATIENCE_SECONDS)
            except (nats.errors.Error, asyncio.TimeoutError, OSError):
                await asyncio.sleep(0.02)
                continue
            for message in messages:
                told = message.metadata
                self.history.op(consumer, "ok", "js-deliver", {
                    "stream": stream, "consumer": consumer, "id": message.data.partition(b"|")[0].decode(),
                    "seq": told.sequence.stream, "number": told.sequence.consumer, "count": told.num_delivered})
                self._newest[consumer, told.sequence.stream] = told.sequence.consumer
                if self._random.random() < share:
                    task = asyncio.create_task(self._acknowledge(stream, consumer, message))
                    unconfirmed.add(task)
                    task.add_done_callback(unconfirmed.discard)

    async def _acknowledge(self, stream, consumer, message):
        sequence = message.metadata.sequence
        value = {"stream": stream, "consumer": consumer, "seq": sequence.stream}
        self.history.op(consumer, "invoke", "js-ack", value)
        while self._newest[consumer, sequence.stream] == sequence.consumer:
            try:
                await self._nc.request(message.reply, b"+ACK", timeout=PATIENCE_SECONDS)
            except (nats.errors.Error, asyncio.TimeoutError, OSError):
                await asyncio.sleep(0.02)
                continue
            self.history.op(consumer, "ok", "js-ack", value)
            return

    # -- whole reads ----------------------------------------------------------------------------------------

    async def _read(self):
        self._reads += 1
        process = f"js-reader-{self._reads}"
        self.history.op(process, "invoke", "js-read", {})
        found = {}
        for stream in (JOBS, EVENTS):
            info = await self._patiently(lambda stream=stream: self._js.stream_info(stream))
            messages = await self._patiently(lambda stream=stream: self._read_stream(stream))
            found[stream] = {"last": info.state.last_seq, "messages": messages}
        self.history.op(process, "ok", "js-read", found)

    async def _read_stream(self, stream):
        """Every message of a stream, by direct gets of many."""
        found, start = [], 1
        inbox = self._nc.new_inbox()
        subscription = await self._nc.subscribe(inbox)
        try:
            while True:
                body = json.dumps({"seq": start, "batch": 1000}).encode()
                await self._nc.publish(f"$JS.API.DIRECT.GET.{stream}", body, reply=inbox)
                while True:
                    message = await subscription.next_msg(PATIENCE_SECONDS)
                    headers = message.headers or {}
                    if headers.get("Status") == "404":
                        return found
                    if headers.get("Status"):
                        break
                    sequence = int(headers["Nats-Sequence"])
                    found.append([sequence, message.data.partition(b"|")[0].decode()])
                    start = sequence + 1
        finally:
            await subscription.unsubscribe()

    async def _drained(self):
        """Waits until the work queue is empty; returns what is left."""
        deadline = time.monotonic() + DRAIN_SECONDS
        while True:
            stream = await self._patiently(lambda: self._js.stream_info(JOBS))
            consumer = await self._patiently(lambda: self._js.consumer_info(JOBS, "worker"))
            left = (stream.state.messages, consumer.num_pending, consumer.num_ack_pending)
            if not any(left):
                return None
            if time.monotonic() > deadline:
                return "%d messages, %d never delivered, %d not acknowledged" % left
            await asyncio.sleep(0.05)
