"""Push consumers, ordered ones, advisories, and the conventions of key-value and object stores."""

from .consumers import stream


def consumer(r, name="c", stream="A", **config):
    return r.api(f"CONSUMER.CREATE.{stream}.{name}", {"stream_name": stream, "config": {"name": name, "deliver_subject": f"to.{name}", **config}})


def info(r, name="c", stream="A"):
    r.api(f"CONSUMER.INFO.{stream}.{name}")


def delivered(r):
    stream(r, messages=3)
    r.subscribe("to.c", "2")
    consumer(r, durable_name="c", ack_policy="explicit")
    r.deliveries("what was there", "2", 3)
    info(r)
    r.request("$JS.ACK.A.c.1.1.1.1700000000000000000.0", "+ACK")
    r.setup("a.new", "later", [("X", "y")])
    r.deliveries("what comes", "2", 1)
    r.unsubscribe("2")
    r.setup("a.new", "nobody listens")
    info(r)
    r.subscribe("to.c", "3")
    r.deliveries("when somebody listens again", "3", 1)


def without_acks(r):
    stream(r, messages=3)
    r.subscribe("to.c", "2")
    consumer(r, ack_policy="none", inactive_threshold=60000000000)
    r.deliveries("all", "2", 3)
    info(r)


def queue(r):
    stream(r, messages=0)
    r.subscribe("to.c", "2", "g")
    r.subscribe("to.c", "3")
    consumer(r, durable_name="c", ack_policy="none", deliver_group="g")
    r.setup("a.1", "x")
    r.deliveries("the group's member", "2", 1)
    r.deliveries("the other", "3", 0)
    info(r)


def heartbeats(r):
    stream(r, messages=1)
    r.subscribe("to.c", "2")
    consumer(r, ack_policy="none", idle_heartbeat=200000000, flow_control=True, inactive_threshold=60000000000)
    r.write("a message, then a heartbeat", r.take(2, lambda frame: frame.sid == "2", 2))


def flow_control(r):
    """A receiver is asked whether it keeps up; what it answers, or anybody else."""
    stream(r, messages=0)
    r.subscribe("to.c", "2")
    consumer(r, ack_policy="none", idle_heartbeat=5000000000, flow_control=True, inactive_threshold=60000000000)
    for index in range(40):
        r.setup("a.1", "x" * 60000)
    frames = r.take(42, lambda frame: frame.sid == "2", 1)
    requests = [frame for frame in frames if not frame.body]
    r.write("the requests of flow control", requests[:1])
    for frame in requests:
        r.publish(frame.reply)
    for subject in ["$JS.FC.A.c.nonsense", "$JS.FC.A.none.1", "$JS.FC.A", "$JS.FC.none.c.1"]:
        r.maybe(subject)
    info(r)


def refused(r):
    stream(r)
    for config in [
        {"idle_heartbeat": 99999999}, {"idle_heartbeat": 100000000}, {"flow_control": True}, {"flow_control": True, "idle_heartbeat": 1000000000}, {"deliver_group": "g h"}, {"deliver_group": "g.h"},
        {"deliver_group": "g*"}, {"max_waiting": 1}, {"max_batch": 1}, {"max_expires": 1000000000}, {"max_bytes": 5}, {"ack_policy": "none", "max_ack_pending": 3}, {"ack_policy": "all", "max_ack_pending": 3},
        {"rate_limit_bps": 18446744073709551615}, {"deliver_subject": "a.>"}, {"deliver_subject": "a.1"}, {"deliver_subject": "to..x"}, {"deliver_subject": "to.>"}, {"deliver_subject": "$JS.API.INFO"},
        {"deliver_subject": "to x"}, {"replay_policy": "original", "rate_limit_bps": 8000},
    ]:
        consumer(r, **config)
        r.setup("$JS.API.CONSUMER.DELETE.A.c")
    r.api("CONSUMER.INFO.A.c")
    r.api("CONSUMER.DELETE.A.c")


def deferred(r):
    stream(r)
    for config in [
        {"direct": True}, {"priority_groups": ["g"], "priority_policy": "overflow"}, {"pause_until": "2030-01-01T00:00:00Z"},
        {"ack_policy": "flow_control"}, {"priority_groups": ["g"]}, {"priority_timeout": 5000000000}, {"sourcing": True},
        {"deliver_subject": "", "priority_groups": ["g"], "priority_policy": "overflow", "ack_policy": "explicit"}, {"deliver_subject": "", "priority_groups": ["g"], "priority_policy": "pinned_client", "ack_policy": "explicit"},
    ]:
        consumer(r, **config)
        r.setup("$JS.API.CONSUMER.DELETE.A.c")


def pending_bound(r):
    stream(r, messages=4)
    r.subscribe("to.c", "2")
    consumer(r, durable_name="c", ack_policy="explicit", max_ack_pending=2)
    r.deliveries("two of four", "2", 2)
    r.request("$JS.ACK.A.c.1.1.1.1700000000000000000.0", "+ACK")
    r.deliveries("one more", "2", 1)


def advisories(r):
    r.subscribe("$JS.EVENT.>", "9")
    r.setup("$JS.API.STREAM.CREATE.A", {"name": "A", "subjects": ["a.>"]})
    wanted = lambda frame: frame.sid == "9" and not frame.subject.startswith("$JS.EVENT.ADVISORY.API")
    r.write("a stream is made", r.take(1, wanted, 2))
    r.setup("$JS.API.STREAM.UPDATE.A", {"name": "A", "subjects": ["a.>"], "max_msgs": 9})
    r.write("changed", r.take(1, wanted, 2))
    r.setup("a.1", "x")
    r.setup("a.2", "x")
    r.setup("$JS.API.CONSUMER.CREATE.A.c", {"stream_name": "A", "config": {"name": "c", "durable_name": "c", "ack_policy": "explicit", "sample_freq": "100"}})
    r.write("a consumer is made", r.take(1, wanted, 2))
    r.pull("A", "c", "2", 2)
    r.setup("$JS.ACK.A.c.1.1.1.1700000000000000000.1", "-NAK")
    r.write("a message is refused", r.take(1, wanted, 2))
    r.setup("$JS.ACK.A.c.1.1.1.1700000000000000000.1", "+TERM because")
    r.write("for ever", r.take(1, wanted, 2))
    r.setup("$JS.ACK.A.c.1.2.2.1700000000000000000.0", "+ACK")
    r.write("and one taken", r.take(1, wanted, 2))
    r.setup("$JS.API.CONSUMER.DELETE.A.c")
    r.write("the consumer is deleted", r.take(1, wanted, 2))
    r.setup("$JS.API.STREAM.DELETE.A")
    r.write("the stream is deleted", r.take(1, wanted, 2))


def key_value(r):
    r.api("STREAM.CREATE.KV_B", {"name": "KV_B", "subjects": ["$KV.B.>"], "max_msgs_per_subject": 3, "discard": "new", "allow_rollup_hdrs": True,
                                 "deny_delete": True, "allow_direct": True, "duplicate_window": 120000000000, "num_replicas": 1})
    for value in ["1", "2", "3", "4"]:
        r.request("$KV.B.k", value)
    r.request("$KV.B.k", "5", headers=[("Nats-Expected-Last-Subject-Sequence", "0")])
    r.request("$KV.B.k", "5", headers=[("Nats-Expected-Last-Subject-Sequence", "4")])
    r.request("$KV.B.n", "1", headers=[("Nats-Expected-Last-Subject-Sequence", "0")])
    r.api("DIRECT.GET.KV_B.$KV.B.k")
    r.api("DIRECT.GET.KV_B.$KV.B.none")
    r.request("$KV.B.k", "", headers=[("KV-Operation", "DEL")])
    r.request("$KV.B.k", "", headers=[("KV-Operation", "PURGE"), ("Nats-Rollup", "sub")])
    r.api("STREAM.INFO.KV_B", {"subjects_filter": "$KV.B.>"})
    r.subscribe("to.w", "2")
    r.api("CONSUMER.CREATE.KV_B.w.$KV.B.>", {"stream_name": "KV_B", "config": {
        "name": "w", "deliver_subject": "to.w", "deliver_policy": "last_per_subject", "ack_policy": "none", "filter_subject": "$KV.B.>",
        "max_deliver": 1, "mem_storage": True, "num_replicas": 1, "inactive_threshold": 60000000000}})
    r.deliveries("the watcher's first values", "2", 2)
    r.api("STREAM.MSG.DELETE.KV_B", {"seq": 6})


SCENARIOS = [delivered, without_acks, queue, heartbeats, flow_control, refused, deferred, pending_bound, advisories, key_value]
