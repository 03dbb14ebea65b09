"""What time does: messages expire, ids are forgotten, waits end, unused consumers go; and what is said of what is gone."""

import time

from .consumers import create, stream
from .limits import state
from .pull import consumer, info


def age(r):
    r.setup("$JS.API.STREAM.CREATE.A", {"name": "A", "subjects": ["a.>"], "max_age": 500000000})
    r.setup("$JS.API.STREAM.CREATE.B", {"name": "B", "subjects": ["b.>"]})
    for index in range(3):
        r.setup(f"a.{index}", "x")
        r.setup(f"b.{index}", "x")
    consumer(r)
    r.pull("A", "c", "1", 1)
    time.sleep(1.2)
    state(r)
    info(r)
    r.pull("A", "c", {"batch": 1, "no_wait": True}, 1)
    r.request("a.9", "later")
    r.pull("A", "c", {"batch": 1, "no_wait": True}, 1)
    r.setup("$JS.API.STREAM.UPDATE.B", {"name": "B", "subjects": ["b.>"], "max_age": 500000000})
    time.sleep(0.5)
    state(r, "B")


def markers(r):
    r.setup("$JS.API.STREAM.CREATE.A", {"name": "A", "subjects": ["a.>"], "allow_msg_ttl": True, "subject_delete_marker_ttl": 60000000000, "max_age": 2000000000, "allow_direct": True})
    r.setup("$JS.API.STREAM.CREATE.T", {"name": "T", "subjects": ["t.>"], "allow_msg_ttl": True})
    r.request("t.one", "x", headers=[("Nats-TTL", "1s")])
    r.request("t.two", "x", headers=[("Nats-TTL", "never")])
    r.request("t.one", "x")
    r.request("a.one", "x", headers=[("Nats-TTL", "1")])
    r.request("a.two", "x", headers=[("Nats-TTL", "never")])
    time.sleep(2.5)
    state(r, "T")
    r.request("a.three", "x")
    state(r)
    for sequence in range(1, 5):
        r.api("STREAM.MSG.GET.A", {"seq": sequence, "no_hdr": True})
        r.api("DIRECT.GET.A", {"seq": sequence})
    r.api("STREAM.PURGE.A", {"filter": "a.two"})
    r.api("STREAM.MSG.DELETE.A", {"seq": 4})
    state(r)


def ids(r):
    r.setup("$JS.API.STREAM.CREATE.A", {"name": "A", "subjects": ["a.>"], "duplicate_window": 500000000})
    for wait in [0, 0, 1]:
        time.sleep(wait)
        r.request("a.1", "x", headers=[("Nats-Msg-Id", "one")])
    r.setup("$JS.API.STREAM.UPDATE.A", {"name": "A", "subjects": ["a.>"], "duplicate_window": 60000000000})
    r.request("a.1", "x", headers=[("Nats-Msg-Id", "one")])


def backoff(r):
    stream(r, messages=2)
    consumer(r, max_deliver=3, backoff=[200000000, 400000000])
    for _ in range(3):
        r.pull("A", "c", {"batch": 2, "expires": 2000000000}, 2)
    info(r, name="c")
    create(r, "c", {"durable_name": "c", "ack_policy": "explicit", "max_deliver": 3, "backoff": [200000000]})
    stream(r, "B", messages=1)
    consumer(r, "B", max_deliver=2)
    r.pull("B", "c", "1", 1)
    r.request("$JS.ACK.B.c.1.1.1.1700000000000000000.0", "-NAK 300ms")
    r.pull("B", "c", {"batch": 1, "no_wait": True}, 1)
    r.pull("B", "c", {"batch": 1, "expires": 2000000000}, 1)
    r.request("$JS.ACK.B.c.2.1.2.1700000000000000000.0", "-NAK")
    r.pull("B", "c", {"batch": 1, "no_wait": True}, 1)
    info(r, "B")
    r.request("$JS.ACK.B.c.2.1.2.1700000000000000000.0", "+ACK")
    info(r, "B")


def unused(r):
    stream(r)
    r.subscribe("$JS.EVENT.ADVISORY.CONSUMER.>", "9")
    wanted = lambda frame: frame.sid == "9"
    create(r, "c", {"ack_policy": "explicit", "inactive_threshold": 200000000})
    create(r, "d", {"durable_name": "d", "ack_policy": "explicit", "inactive_threshold": 200000000})
    frames = r.take(4, wanted, 5)
    r.write("advisories", sorted(frames, key=lambda frame: frame.subject))
    r.api("CONSUMER.NAMES.A")
    r.api("CONSUMER.INFO.A.c")


def gone(r):
    """A consumer is deleted, then the stream: whoever speaks of them afterwards."""
    stream(r, allow_direct=True)
    consumer(r)
    consumer(r, durable_name="d")
    r.pull("A", "c", "2", 2)
    r.pull("A", "d", "2", 2)
    r.api("CONSUMER.DELETE.A.c")
    for subject in ["$JS.API.CONSUMER.INFO.A.c", "$JS.API.CONSUMER.DELETE.A.c", "$JS.API.CONSUMER.MSG.NEXT.A.c"]:
        r.maybe(subject)
    r.maybe("$JS.ACK.A.c.1.1.1.1700000000000000000.0", "+ACK")
    consumer(r)
    r.maybe("$JS.ACK.A.c.1.1.1.1700000000000000000.0", "+ACK")
    info(r)
    r.setup("$JS.API.STREAM.MSG.DELETE.A", {"seq": 2})
    info(r)
    info(r, name="d")
    r.pull("A", "c", {"batch": 9, "no_wait": True}, 6)
    r.api("STREAM.DELETE.A")
    for subject in ["$JS.API.CONSUMER.INFO.A.d", "$JS.API.CONSUMER.NAMES.A", "$JS.API.CONSUMER.MSG.NEXT.A.d", "$JS.ACK.A.d.1.1.1.1700000000000000000.0", "$JS.API.DIRECT.GET.A.a.1", "$JS.API.STREAM.INFO.A", "a.1"]:
        r.maybe(subject)
    r.api("INFO")


SCENARIOS = [age, markers, ids, backoff, unused, gone]
