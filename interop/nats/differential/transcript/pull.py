"""Pull consumers: what is delivered, what is acknowledged, and what is said when nothing is."""

import json
import time

from .consumers import stream

EXPLICIT = {"durable_name": "c", "ack_policy": "explicit"}


def consumer(r, stream="A", **config):
    name = config.get("durable_name", "c")
    r.setup(f"$JS.API.CONSUMER.CREATE.{stream}.{name}", {"stream_name": stream, "config": {"name": name, **EXPLICIT, **config}})


def info(r, stream="A", name="c"):
    r.api(f"CONSUMER.INFO.{stream}.{name}")


def batches(r):
    stream(r)
    consumer(r)
    r.pull("A", "c", "", 1)
    r.pull("A", "c", "2", 2)
    r.pull("A", "c", {"batch": 2, "expires": 300000000}, 2)
    info(r)
    r.pull("A", "c", {"batch": 5, "no_wait": True}, 2)
    r.pull("A", "c", {"no_wait": True, "batch": 1}, 1)
    r.pull("A", "c", {"batch": 1, "expires": 100000000}, 1)
    r.pull("A", "c", {"batch": 1, "expires": 100000000, "no_wait": True}, 1)
    r.pull("A", "c", {"batch": 3, "expires": 100000000, "max_bytes": 1000}, 1)
    info(r)


def bytes_at_most(r):
    stream(r)
    consumer(r)
    r.pull("A", "c", {"batch": 5, "max_bytes": 10, "expires": 200000000}, 1)
    r.pull("A", "c", {"batch": 5, "max_bytes": 150, "expires": 200000000}, 2)
    r.pull("A", "c", {"batch": 1, "max_bytes": 1000, "expires": 200000000}, 2)
    info(r)


def refused_requests(r):
    stream(r)
    consumer(r, max_batch=3, max_expires=1000000000, max_bytes=1000, max_waiting=2)
    for body in [{"batch": 4}, {"batch": 1, "expires": 2000000000}, {"batch": 1, "max_bytes": 2000}, {"batch": 1, "idle_heartbeat": 100000000},
                 {"batch": 1, "expires": 200000000, "idle_heartbeat": 150000000}, {"batch": 1, "priority": 10}, {"batch": 1, "min_pending": 5},
                 {"batch": 1, "id": "x"}]:
        r.pull("A", "c", body, 1, seconds=1)
    consumer(r, durable_name="p", deliver_subject="deliver.p")
    r.pull("A", "p", "1", 1)


def acks(r):
    stream(r)
    consumer(r, ack_wait=30000000000)
    r.pull("A", "c", "6", 6)
    info(r)
    info_after = lambda: info(r)
    for sequence, payload in [(1, "+ACK"), (3, ""), (2, "+OK"), (4, "-NAK"), (5, "+WPI"), (6, "+TERM enough")]:
        r.request(f"$JS.ACK.A.c.1.{sequence}.{sequence}.1700000000000000000.0", payload)
        info_after()
    r.pull("A", "c", {"batch": 1, "no_wait": True}, 1)
    info_after()
    # Once more, never delivered, another's.
    r.request("$JS.ACK.A.c.1.1.1.1700000000000000000.0", "+ACK")
    r.request("$JS.ACK.A.c.1.99.99.1700000000000000000.0", "+ACK", seconds=0.3)
    r.request("$JS.ACK.A.none.1.1.1.1700000000000000000.0", "+ACK")
    r.request("$JS.ACK.A.c.2.4.7.1700000000000000000.0", "-NAK {\"delay\": 100000000}")
    r.pull("A", "c", {"batch": 1, "expires": 2000000000}, 1)
    r.request("$JS.ACK.A.c.3.4.8.1700000000000000000.0", "nonsense", seconds=0.3)
    info_after()
    r.request("$JS.ACK.A.c.3.4.8.1700000000000000000.0", "+ACK")
    info_after()


def acks_with_domain(r):
    """The second form of the subject, which the reference listens to only when told so."""
    stream(r, messages=2)
    consumer(r)
    r.pull("A", "c", "2", 2)
    r.request("$JS.ACK._.hash.A.c.1.1.1.1700000000000000000.0", "+ACK", seconds=1)
    r.request("$JS.ACK._.hash.A.c.1.2.2.1700000000000000000.0.more", "+ACK", seconds=1)


def samples(r):
    stream(r, messages=4)
    r.subscribe("$JS.EVENT.METRIC.>", "9")
    wanted = lambda frame: frame.sid == "9"
    for name, config in [("c", {"sample_freq": "100%"}), ("none", {"sample_freq": "0"}), ("all", {"sample_freq": "100", "ack_policy": "all"})]:
        consumer(r, durable_name=name, **config)
        r.pull("A", name, "4", 4)
        for sequence, number, count, payload in [(1, 1, 1, "+ACK"), (1, 1, 1, "+ACK"), (2, 2, 1, "-NAK"), (3, 3, 1, "+TERM"), (4, 4, 1, "+NXT"), (2, 5, 2, "+ACK")]:
            r.setup(f"$JS.ACK.A.{name}.{count}.{sequence}.{number}.1700000000000000000.0", payload)
            r.write(f"{name} after {payload} of {sequence}", r.take(1, wanted, 0.4))


def next_on_ack(r):
    stream(r)
    consumer(r)
    r.pull("A", "c", "1", 1)
    r.count += 1
    for payload, frames in [("+NXT", 1), ("+NXT 2", 2), ("+NXT " + json.dumps({"batch": 5, "no_wait": True}), 3)]:
        r.request(f"$JS.ACK.A.c.1.{r.count}.1.1700000000000000000.0", payload, frames=frames, seconds=1)
    info(r)


def ack_all(r):
    stream(r)
    consumer(r, ack_policy="all")
    r.pull("A", "c", "5", 5)
    r.request("$JS.ACK.A.c.1.3.3.1700000000000000000.0", "+ACK")
    info(r)
    r.request("$JS.ACK.A.c.1.2.2.1700000000000000000.0", "+ACK")
    r.request("$JS.ACK.A.c.1.4.4.1700000000000000000.0", "-NAK")
    r.pull("A", "c", {"batch": 2, "no_wait": True}, 2)
    info(r)


def ack_none(r):
    stream(r)
    consumer(r, ack_policy="none")
    r.pull("A", "c", "3", 3)
    r.request("$JS.ACK.A.c.1.1.1.1700000000000000000.0", "+ACK", seconds=0.5)
    info(r)


def redelivery(r):
    stream(r, messages=3)
    consumer(r, ack_wait=200000000, max_deliver=2)
    r.subscribe("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>", "9")
    r.pull("A", "c", "3", 3)
    r.pull("A", "c", {"batch": 3, "expires": 2000000000}, 3)
    r.deliveries("advisories", "9", 3)
    info(r)
    r.pull("A", "c", {"batch": 1, "no_wait": True}, 1)
    r.api("STREAM.INFO.A")


def pending_bound(r):
    stream(r)
    consumer(r, max_ack_pending=2)
    r.pull("A", "c", {"batch": 5, "expires": 300000000}, 3)
    info(r)
    r.request("$JS.ACK.A.c.1.1.1.1700000000000000000.0", "+ACK")
    r.pull("A", "c", {"batch": 5, "expires": 300000000}, 2)


def filters(r):
    stream(r)
    consumer(r, filter_subject="a.1")
    consumer(r, durable_name="d", filter_subjects=["a.0", "a.2"])
    consumer(r, durable_name="l", deliver_policy="last_per_subject", filter_subject="a.>")
    consumer(r, durable_name="h", headers_only=True)
    consumer(r, durable_name="b", deliver_policy="by_start_sequence", opt_start_seq=5)
    for name, count in [("c", 2), ("d", 4), ("l", 3), ("h", 6), ("b", 2)]:
        r.pull("A", name, {"batch": 9, "no_wait": True}, count + 1)
        info(r, name=name)
    r.setup("$JS.API.STREAM.PURGE.A", {"filter": "a.1"})
    info(r)
    r.setup("$JS.API.STREAM.PURGE.A")
    for name in ["c", "d", "l", "h", "b"]:
        info(r, name=name)


def work_queue(r):
    stream(r, "W", retention="workqueue")
    consumer(r, "W")
    r.pull("W", "c", "3", 3)
    r.request("$JS.ACK.W.c.1.2.2.1700000000000000000.0", "+ACK")
    r.request("$JS.ACK.W.c.1.3.3.1700000000000000000.0", "+TERM")
    r.api("STREAM.INFO.W", {"deleted_details": True})
    r.setup("$JS.API.CONSUMER.DELETE.W.c")
    r.api("STREAM.INFO.W", {"deleted_details": True})


def interest(r):
    stream(r, "I", messages=0, retention="interest")
    r.request("i.1", "nobody wants this")
    r.api("STREAM.INFO.I")
    consumer(r, "I")
    consumer(r, "I", durable_name="f", filter_subject="i.1")
    r.request("i.1", "both")
    r.request("i.2", "one")
    # The reference counts what is pending a little later.
    time.sleep(0.1)
    for name, sequence, delivered in [("c", 2, 1), ("f", 2, 1)]:
        r.pull("I", name, "1", 1)
        r.request(f"$JS.ACK.I.{name}.1.{sequence}.{delivered}.1700000000000000000.0", "+ACK")
        r.api("STREAM.INFO.I")
    r.setup("$JS.API.CONSUMER.DELETE.I.c")
    r.api("STREAM.INFO.I")


def deleted_while_waiting(r):
    stream(r, messages=0)
    consumer(r)
    r.count += 1
    r.publish("$JS.API.CONSUMER.MSG.NEXT.A.c", {"batch": 1, "expires": 5000000000}, f"_INBOX.differential.{r.count}")
    r.client.flush()
    info(r)
    reply = f"_INBOX.differential.{r.count - 1}"
    r.setup("$JS.API.CONSUMER.DELETE.A.c")
    r.write("what the waiting request is told", r.take(1, lambda frame: frame.subject == reply, 2))


SCENARIOS = [batches, bytes_at_most, refused_requests, acks, acks_with_domain, samples, next_on_ack, ack_all, ack_none, redelivery, pending_bound, filters, work_queue,
             interest, deleted_while_waiting]
