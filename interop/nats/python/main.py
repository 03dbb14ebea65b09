"""Checks with nats-py, one line each; exits 1 if any failed. Started by interop/nats/run, which restarts the server
when asked on standard output."""

import argparse
import asyncio
import json
import pathlib
import subprocess
import sys
import time

import nats
import nats.micro
from nats.errors import NoRespondersError
from nats.js.errors import APIError, KeyNotFoundError, KeyWrongLastSequenceError

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "python"))
from report import Report  # noqa: E402


class Duolog:
    """The command, against the Kafka door of the same broker."""

    def __init__(self, binary, kafka):
        self.binary, self.kafka = binary, kafka

    def command(self, *arguments, stdin=None):
        done = subprocess.run(
            [self.binary, *map(str, arguments), "--bootstrap", self.kafka], input=stdin, capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise RuntimeError(f"duolog {' '.join(map(str, arguments))}: {done.stderr}")
        return done.stdout


async def restart(how):
    print(f"restart {how}", flush=True)
    answer = await asyncio.to_thread(sys.stdin.readline)
    expect(answer, "restarted\n", "the answer of interop/nats/run")


def expect(found, wanted, what):
    if found != wanted:
        raise AssertionError(f"{what}: {found!r}, expected {wanted!r}")


async def core(nc):
    everything = await nc.subscribe("core.>")
    await nc.publish("core.a.b", b"x", headers={"Name": "value"})
    message = await everything.next_msg(5)
    expect((message.subject, message.data, message.headers), ("core.a.b", b"x", {"Name": "value"}), "the message")
    members = [await nc.subscribe("work", queue="q") for _ in range(3)]
    for number in range(300):
        await nc.publish("work", str(number).encode())
    deadline, got = time.monotonic() + 10, []
    while sum(got) < 300 and time.monotonic() < deadline:
        # The client takes messages apart in tasks of its own.
        await asyncio.sleep(0.01)
        got = [member.pending_msgs for member in members]
    expect(sum(got), 300, "messages of the queue group")
    if min(got) == 0:
        raise AssertionError(f"one member got none: {got}")

    async def answer(request):
        await request.respond(request.data.upper())

    await nc.subscribe("service", cb=answer)
    expect((await nc.request("service", b"abc", timeout=5)).data, b"ABC", "the reply")
    try:
        await nc.request("nobody.here", b"", timeout=5)
    except NoRespondersError:
        return 301
    raise AssertionError("a request to nobody was answered")


async def streams(nc):
    js = nc.jetstream()
    await js.add_stream(name="ORDERS", subjects=["orders.>"])
    for number in range(1, 101):
        ack = await js.publish(f"orders.{number % 7}", b"%d" % number, headers={"Nats-Msg-Id": f"id-{number}"})
        expect((ack.seq, bool(ack.duplicate)), (number, False), "the acknowledgement")
    ack = await js.publish("orders.1", b"again", headers={"Nats-Msg-Id": "id-50"})
    expect((ack.seq, ack.duplicate), (50, True), "a repeated id")
    try:
        await js.publish("orders.1", b"late", headers={"Nats-Expected-Last-Sequence": "7"})
        raise AssertionError("a wrong expected sequence was accepted")
    except APIError as error:
        expect(error.err_code, 10071, "the error's code")
    last = await js.get_last_msg("ORDERS", "orders.3")
    expect((last.seq, last.data), (94, b"94"), "the last message of a subject")
    await js.delete_msg("ORDERS", 94)
    expect((await js.get_last_msg("ORDERS", "orders.3")).seq, 87, "the last one left")
    await js.purge_stream("ORDERS", subject="orders.0")
    state = (await js.stream_info("ORDERS")).state
    expect((state.messages, state.first_seq, state.last_seq), (85, 1, 100), "the stream's state")
    return 101


async def consumers(nc):
    js = nc.jetstream()
    await js.add_stream(name="JOBS", subjects=["jobs.*"], retention="workqueue")
    for number in range(50):
        await js.publish(f"jobs.{number % 2}", b"%d" % number)
    pull = await js.pull_subscribe("jobs.*", "worker")
    first = await pull.fetch(20, timeout=5)
    expect([int(message.data) for message in first], list(range(20)), "the first batch")
    await first[0].nak()
    for message in first[1:]:
        await message.ack_sync()
    again = await pull.fetch(1, timeout=5)
    expect((int(again[0].data), again[0].metadata.num_delivered), (0, 2), "the refused message")
    await again[0].ack_sync()
    expect((await js.stream_info("JOBS")).state.messages, 30, "what is left of the queue")
    ordered = await js.subscribe("orders.>", ordered_consumer=True)
    expect(len([await ordered.next_msg(5) for _ in range(85)]), 85, "an ordered consumer's messages")
    pushed = await js.subscribe("orders.1", durable="pushed", manual_ack=True)
    count = 0
    while count < 15:
        await (await pushed.next_msg(5)).ack()
        count += 1
    return 50 + 85 + count


async def key_values(nc):
    js = nc.jetstream()
    bucket = await js.create_key_value(bucket="settings", history=5)
    await bucket.put("color", b"red")
    revision = await bucket.put("color", b"blue")
    expect((await bucket.get("color")).value, b"blue", "the newest value")
    expect([entry.value for entry in await bucket.history("color")], [b"red", b"blue"], "the history")
    await bucket.update("color", b"green", last=revision)
    for change in (bucket.update("color", b"x", last=revision), bucket.create("color", b"x")):
        try:
            await change
            raise AssertionError("a change on top of an old revision was accepted")
        except KeyWrongLastSequenceError:
            pass
    watcher = await bucket.watchall()
    expect((await watcher.updates(timeout=5)).value, b"green", "the watcher's first entry")
    await bucket.delete("color")
    try:
        await bucket.get("color")
        raise AssertionError("a deleted key has a value")
    except KeyNotFoundError:
        pass
    await bucket.create("color", b"white")
    expect(await bucket.keys(), ["color"], "the keys")
    return 6


async def objects(nc):
    js = nc.jetstream()
    store = await js.create_object_store("files")
    content = bytes(range(256)) * 4096
    await store.put("large", content)
    found = await store.get("large")
    expect((found.data == content, found.info.chunks), (True, 8), "the object")
    await store.delete("large")
    expect((await js.stream_info("OBJ_files")).state.messages, 1, "what is left of a deleted object")
    return 9


async def both_doors(nc, duolog):
    js = nc.jetstream()
    for name, root, storage in (("EVENTS", "events", "file"), ("MEMORY", "memory", "memory")):
        await js.add_stream(name=name, subjects=[f"{root}.>"], storage=storage)
        for number in range(10):
            await js.publish(f"{root}.{number}", b"from nats %d" % number, headers={"Trace": str(number)})
        records = [json.loads(line) for line in duolog.command("consume", name, "--until-end", "-o", "jsonl").splitlines()]
        expect([record["key"] for record in records], [f"{root}.{number}" for number in range(10)], "keys for Kafka")
        expect(records[3]["value"], "from nats 3", "a value for Kafka")
        expect([record["offset"] for record in records], list(range(10)), "offsets for Kafka")
        duolog.command("produce", name, "from kafka", "--key", f"{root}.kafka")
        message = await js.get_last_msg(name, f"{root}.kafka")
        expect((message.seq, message.data), (11, b"from kafka"), "the message for JetStream")
    return 22


async def services(nc):
    async def handle(request):
        if request.data == b"":
            await request.respond_error("400", "nothing to add")
        else:
            await request.respond(str(sum(json.loads(request.data))).encode())

    service = await nats.micro.add_service(nc, name="adder", version="1.0.0")
    await service.add_endpoint(name="add", subject="math.add", handler=handle)
    for number in range(5):
        expect((await nc.request("math.add", json.dumps([number, 2]).encode(), timeout=5)).data, b"%d" % (number + 2), "a sum")
    expect((await nc.request("math.add", b"", timeout=5)).headers["Nats-Service-Error-Code"], "400", "the service's error")
    pong = json.loads((await nc.request("$SRV.PING.adder", b"", timeout=5)).data)
    expect((pong["name"], pong["version"]), ("adder", "1.0.0"), "who answers")
    stats = json.loads((await nc.request("$SRV.STATS.adder", b"", timeout=5)).data)
    expect(stats["endpoints"][0]["num_requests"], 6, "its statistics")
    await service.stop()
    return 8


async def reconnects(url, how):
    """One connection and its subscriptions, over a restart of the server; nothing acknowledged is lost."""
    reconnected = asyncio.Event()

    async def note():
        reconnected.set()

    async def expected(_error):
        # The default prints a trace for each attempt to connect.
        pass

    nc = await nats.connect(
        url, reconnect_time_wait=0.05, max_reconnect_attempts=-1, reconnected_cb=note, error_cb=expected)
    try:
        js = nc.jetstream()
        name = f"OVER_{how.upper()}"
        await js.add_stream(name=name, subjects=[f"over.{how}.*"])
        core_subscription = await nc.subscribe(f"alive.{how}")
        pull = await js.pull_subscribe(f"over.{how}.*", "worker")
        ordered = await js.subscribe(f"over.{how}.*", ordered_consumer=True, idle_heartbeat=0.5)
        for number in range(50):
            await js.publish(f"over.{how}.m", b"%d" % number, headers={"Nats-Msg-Id": str(number)})
        for message in await pull.fetch(20, timeout=5):
            await message.ack_sync()
        expect([int((await ordered.next_msg(5)).data) for _ in range(50)], list(range(50)), "ordered, before the restart")
        await restart(how)
        await asyncio.wait_for(reconnected.wait(), 20)
        await nc.publish(f"alive.{how}", b"yes")
        expect((await core_subscription.next_msg(10)).data, b"yes", "the subscription after the restart")
        again = await js.publish(f"over.{how}.m", b"again", headers={"Nats-Msg-Id": "3"})
        expect((again.seq, again.duplicate), (4, True), "an id from before the restart")
        for number in range(50, 60):
            await js.publish(f"over.{how}.m", b"%d" % number)
        rest = []
        while len(rest) < 40:
            for message in await pull.fetch(40 - len(rest), timeout=10):
                rest.append(int(message.data))
                await message.ack_sync()
        expect(rest, list(range(20, 60)), "what the durable consumer gets after the restart")
        info = await js.consumer_info(name, "worker")
        expect((info.num_ack_pending, info.num_pending), (0, 0), "what is left for the consumer")
        expect([int((await ordered.next_msg(20)).data) for _ in range(10)], list(range(50, 60)), "ordered, after the restart")
        return 160
    finally:
        await nc.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--duolog", help="the binary; without it nothing is checked through Kafka")
    parser.add_argument("--kafka", help="the address of the Kafka door")
    arguments = parser.parse_args()
    report = Report("nats-py")

    def connected(check, *more):
        async def run():
            nc = await nats.connect(arguments.url)
            try:
                return await asyncio.wait_for(check(nc, *more), 60)
            finally:
                await nc.close()

        return lambda: asyncio.run(run())

    report.check("core", connected(core))
    report.check("services", connected(services))
    report.check("streams", connected(streams))
    report.check("consumers", connected(consumers))
    report.check("key-value", connected(key_values))
    report.check("objects", connected(objects))
    duolog = Duolog(arguments.duolog, arguments.kafka) if arguments.duolog else None
    if duolog:
        report.check("both doors", connected(both_doors, duolog))
    for how in ("stop", "kill"):
        report.check(f"going on over a restart ({how})", lambda: asyncio.run(asyncio.wait_for(reconnects(arguments.url, how), 60)))
    report.check("what was stored before the restarts", connected(still_there, duolog))
    return 1 if report.failed else 0


async def still_there(nc, duolog):
    js = nc.jetstream()
    if duolog:
        state = (await js.stream_info("MEMORY")).state
        expect((state.messages, state.first_seq > 11, state.first_seq - state.last_seq), (0, True, 1), "a memory stream")
        expect(duolog.command("consume", "MEMORY", "--until-end", "-o", "jsonl"), "", "its records for Kafka")
        expect((await js.publish("memory.a", b"x")).seq, state.first_seq, "its next sequence")
    ack = await js.publish("orders.1", b"again", headers={"Nats-Msg-Id": "id-51"})
    expect((ack.seq, ack.duplicate), (51, True), "an id from before both kinds of restart")
    bucket = await js.key_value("settings")
    expect((await bucket.get("color")).value, b"white", "a key's value")


if __name__ == "__main__":
    sys.exit(main())
