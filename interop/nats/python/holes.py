"""Two promises of JetStream over restarts: a confirmed double ack is never undone, an id is refused as long as its window lasts.

    interop/nats/holes --rounds 50                              duolog; any loss is a failure
    interop/nats/holes --rounds 50 --server nats-server         the real server 2.15.1; losing nothing is the failure
    interop/nats/holes --rounds 5 --server nats-server --sync-always

A round has two halves, one ended by kill -9, one by a clean stop (SIGTERM). In each, 1,000 messages with ids go into a
stream with limits and 1,000 into a work queue, a consumer of each takes them all and acknowledges each with the answer
awaited; as the last answer comes, the server is ended, and started again on the same directory. Then nothing may be
pending (neither awaited nor still to deliver), nothing may be delivered again, nothing may be missing, nothing confirmed may
still stand in the work queue, and every one of the 2,000 ids, published once more, must be answered with `duplicate` and
its old sequence. At the end of the run every consumer of all rounds is asked once more.
"""

import argparse
import asyncio
import collections
import os
import pathlib
import signal
import sys
import time

import nats
from nats.errors import Error
from nats.js.api import ConsumerConfig

INTEROP = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(INTEROP / "lib"), str(INTEROP / "reliability")]
os.environ.setdefault("DUOLOG_REPO", str(INTEROP.parent))
import nats_server  # noqa: E402
from duolog_reliability import ledger  # noqa: E402

MESSAGES = 1000
#: Longer than any run takes.
WINDOW_SECONDS = 3600
ACK_WAIT_SECONDS = 2
RETENTIONS = ("limits", "workqueue")
ENDS = {"kill -9": signal.SIGKILL, "clean stop": signal.SIGTERM}
#: What is counted, in the order of a report: each is 0 with a server that keeps its word.
LOSSES = {
    "pending": "confirmed and pending again",
    "redelivered": "confirmed and delivered again",
    "missing": "acknowledged and not stored",
    "unremoved": "confirmed and still in the work queue",
    "forgotten limits": "ids forgotten by a stream with limits",
    "forgotten workqueue": "ids forgotten by a work queue",
}


async def ignore(_error):
    """A killed server is no error here."""


class Half:
    """One stream of one half of a round."""

    def __init__(self, number, end, retention):
        self.name = f"R{number}_{end.replace(' ', '').replace('-', '')}_{retention}".upper()
        self.subject, self.retention = f"{self.name}.m".lower(), retention
        self.counts = collections.Counter()

    async def publish(self, js):
        """All ids; the answers in order."""
        futures = [await js.publish_async(self.subject, b"%d" % at, headers={"Nats-Msg-Id": f"{self.name}-{at}"})
                   for at in range(MESSAGES)]
        return [await asyncio.wait_for(future, 30) for future in futures]

    async def take(self, js):
        """Makes the stream, fills it, and returns all messages as its consumer got them."""
        await js.add_stream(
            name=self.name, subjects=[self.subject], retention=self.retention, duplicate_window=WINDOW_SECONDS)
        answers = await self.publish(js)
        if [(answer.seq, bool(answer.duplicate)) for answer in answers] != [(at + 1, False) for at in range(MESSAGES)]:
            raise AssertionError(f"{self.name}: fresh messages were not acknowledged in order")
        pull = await js.pull_subscribe(self.subject, "worker", stream=self.name, config=ConsumerConfig(
            ack_wait=ACK_WAIT_SECONDS, max_ack_pending=2 * MESSAGES))
        taken = {}
        while len(taken) < MESSAGES:
            for message in await pull.fetch(MESSAGES - len(taken), timeout=10):
                taken[message.metadata.sequence.stream] = message
        return list(taken.values())

    async def look(self, js):
        """What is left of the acknowledgements, before and then after every id is tried."""
        pending = await self.pending(js)
        self.counts["pending"] += pending
        self.counts["redelivered"] += await self.again(js, pending)
        state = (await js.stream_info(self.name)).state
        self.counts["missing"] += MESSAGES - state.last_seq
        if self.retention == "workqueue":
            self.counts["unremoved"] += state.messages
        self.counts[f"forgotten {self.retention}"] += sum(
            (answer.seq, bool(answer.duplicate)) != (at + 1, True) for at, answer in enumerate(await self.publish(js)))

    async def pending(self, js):
        info = await js.consumer_info(self.name, "worker")
        return info.num_ack_pending + info.num_pending

    async def again(self, js, pending):
        """How many of the confirmed messages come again; what is awaited does so once the ack wait is over."""
        pull = await js.pull_subscribe_bind("worker", stream=self.name)
        seen = set()
        while True:
            try:
                wait = ACK_WAIT_SECONDS + 1 if pending > len(seen) else 0.1
                for message in await pull.fetch(MESSAGES, timeout=wait):
                    if message.metadata.sequence.stream <= MESSAGES:
                        seen.add(message.metadata.sequence.stream)
                    await message.ack()
            except asyncio.TimeoutError:
                await pull.unsubscribe()
                return len(seen)


async def connect(server):
    return await nats.connect(server.url, allow_reconnect=False, error_cb=ignore, pending_size=64 << 20)


async def close(nc):
    try:
        await nc.close()
    except (Error, OSError):
        pass


async def half_round(server, number, end):
    halves = [Half(number, end, retention) for retention in RETENTIONS]
    nc = await connect(server)
    js = nc.jetstream(timeout=30)
    taken = [message for half in halves for message in await half.take(js)]
    await asyncio.gather(*(message.ack_sync(timeout=30) for message in taken))
    server.restart(ENDS[end])
    await close(nc)
    nc = await connect(server)
    for half in halves:
        await half.look(nc.jetstream(timeout=30))
    await close(nc)
    return halves


async def at_the_end(server, halves):
    """Every consumer of all rounds once more, after all the restarts that followed: what comes again by then?"""
    nc = await connect(server)
    js = nc.jetstream(timeout=30)
    # Even of what nobody counts as pending: one ack wait.
    await asyncio.sleep(ACK_WAIT_SECONDS)
    again = 0
    for half in halves:
        again += await half.again(js, 0)
    await close(nc)
    return again


def total(halves):
    counts = collections.Counter()
    for half in halves:
        counts.update(half.counts)
    return counts


def describe(counts):
    return ", ".join(f"{counts[name]} {text}" for name, text in LOSSES.items())


async def rounds(server, count):
    """Prints a line for each half of a round, and returns (all halves by how they ended, what came at the end, failed)."""
    done, failed = {end: [] for end in ENDS}, 0
    for number in range(1, count + 1):
        bad = False
        for end in ENDS:
            started = time.monotonic()
            halves = await asyncio.wait_for(half_round(server, number, end), 120)
            counts = total(halves)
            done[end] += halves
            bad |= any(counts.values())
            print(f"round {number}, {end} ({time.monotonic() - started:.1f} s): {describe(counts)}", flush=True)
        failed += bad
    again = await at_the_end(server, [half for halves in done.values() for half in halves])
    return done, again, failed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="default %(default)s")
    parser.add_argument("--server", choices=nats_server.KINDS, default="duolog")
    parser.add_argument("--sync-always", action="store_true", help="nats-server with sync_interval: always")
    parser.add_argument("--ledger", action="store_true", help="append a row to docs/reliability.md")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))
    started = time.monotonic()
    server = nats_server.NatsServer(arguments.server, arguments.sync_always)
    try:
        done, again, failed = asyncio.run(rounds(server, arguments.rounds))
    except Exception:
        print(server.log_tail(), flush=True)
        raise
    finally:
        server.stop()
        server.remove()
    each = 2 * MESSAGES * arguments.rounds
    for end, halves in done.items():
        print(f"{end}: of {each} confirmed acknowledgements and {each} ids: {describe(total(halves))}")
    print(f"at the end, of all: {again} confirmed and delivered again")
    lost = {end: +total(halves) for end, halves in done.items()}
    if arguments.ledger:
        row(arguments, each, lost, again, time.monotonic() - started)
    if arguments.server == "nats-server":
        print("lost, as expected of it" if any(lost.values()) else "it lost nothing: the checks may be blind")
        return 0 if any(lost.values()) else 1
    failed += again > 0
    print(f"{arguments.rounds + 1 - failed} passed, {failed} failed")
    return 1 if failed else 0


def row(arguments, each, lost, again, seconds):
    command = f"interop/nats/holes --rounds {arguments.rounds}"
    if arguments.server != "duolog":
        command += f" --server {arguments.server}" + (" --sync-always" if arguments.sync_always else "")
    counts = f"{arguments.rounds} kills and {arguments.rounds} clean restarts; after each kind {each} confirmed acks and {each} ids, {seconds:.0f} s"
    parts = [f"{end}: " + (", ".join(f"{counts[name]} {text}" for name, text in LOSSES.items() if counts[name]) or "nothing lost")
             for end, counts in lost.items()]
    ledger.append(command, counts, "; ".join(parts) + (f"; {again} more at the end" if again else ""))


if __name__ == "__main__":
    sys.exit(main())
