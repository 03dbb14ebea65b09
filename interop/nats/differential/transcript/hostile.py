"""The API, by somebody who means harm: subjects that are none, streams in each other's way, limits at their edges."""

from .consumers import create, stream
from .pull import consumer, info


def subjects_of_the_api(r):
    stream(r)
    consumer(r)
    for subject in [
        "STREAM.INFO.", "STREAM.INFO.*", "STREAM.INFO.>", "STREAM.INFO.A.", "STREAM.INFO..A", "STREAM.CREATE.*", "STREAM.DELETE.*", "STREAM.PURGE.>", "STREAM.MSG.GET.*",
        "CONSUMER.INFO.A.*", "CONSUMER.INFO.*.c", "CONSUMER.INFO.A.c.d", "CONSUMER.INFO.A.", "CONSUMER.DELETE.A.*", "CONSUMER.NAMES.*", "CONSUMER.LIST.>", "CONSUMER.MSG.NEXT.A.*", "CONSUMER.MSG.NEXT.A", "CONSUMER.MSG.NEXT", "CONSUMER.MSG.NEXT.A.c.d", "CONSUMER.MSG.NEXT.A.none",
        "CONSUMER.CREATE.*", "CONSUMER.CREATE.A.*", "CONSUMER.DURABLE.CREATE.A", "CONSUMER.DURABLE.CREATE.A.*", "DIRECT.GET.*", "DIRECT.GET", "DIRECT.GETX", "DIRECT", "", "INFO.x", "info", "stream.info.A",
    ]:
        r.maybe("$JS.API." + subject, "")
    for subject in ["STREAM.CREATE.A b", "STREAM.INFO.\tA"]:
        r.maybe("$JS.API." + subject.split()[0], "{}")


def streams_in_each_others_way(r):
    r.setup("$JS.API.STREAM.CREATE.A", {"name": "A", "subjects": ["a.b.>", "x.*.y", "one"]})
    for subjects in [
        ["a.b.c"], ["a.>"], ["a.*.c"], ["*.b.c"], [">"], ["a.b"], ["a.b.>"], ["x.z.y"], ["x.z.>"], ["*.*.y"], ["x.*.z"], ["one"], ["*"], ["one.>"], ["two", "one"], ["B"], ["*.*"],
    ]:
        r.api("STREAM.CREATE.B", {"name": "B", "subjects": subjects})
        r.setup("$JS.API.STREAM.DELETE.B")
    r.setup("$JS.API.STREAM.CREATE.B", {"name": "B", "subjects": ["b"]})
    for subjects in [["b", "one"], ["a.b.z"], ["*"], ["b", "b"], ["b.>", "b.*"], ["c", "d"], []]:
        r.api("STREAM.UPDATE.B", {"name": "B", "subjects": subjects})
    for index, subjects in enumerate([["*.>"], ["$JS.API.STREAM.INFO.A"], ["$JS.ACK.>"], ["$JS.FC.>"], ["$JS"], ["$JS.EVENT.ADVISORY.>"], ["$SYS.>"], ["$SYS.ACCOUNT.>"], ["$JSC.R.x"], ["$NRG.x"], ["*.API.>"], ["_INBOX.>"],
                     ["$KV.B.>"], ["$O.B.C.>"], ["é.>"], ["a.*b"], ["a.>b"], ["q\u0000r"], ["q r"], ["q\tr"], [".q"], ["q."], ["q" * 300]]):
        # Names of their own: some of these store what is told of them.
        for name, more in [(f"C{index}", {}), (f"N{index}", {"no_ack": True})]:
            r.api(f"STREAM.CREATE.{name}", {"name": name, "subjects": subjects, **more})
            r.setup(f"$JS.API.STREAM.DELETE.{name}")


def filters_that_collide(r):
    stream(r)
    for filters in [["a.1", "a.1"], ["a.>", "a.1"], ["a.*", "a.>"], ["a.1", "a.*"], ["a.1", "a.2"], ["a.*.x", "a.x.*"], ["a.1", "b.1"], ["b.1", "b.2"], [">"], ["a.>", ">"], ["a.1", ".a"], ["a.1", "a..b"],
                    ["a.1", ""], [""], ["a b"], ["a.>.b"], ["a.1", "a.2", "a.1"]]:
        create(r, "c", {"durable_name": "c", "ack_policy": "explicit", "filter_subjects": filters})
        r.setup("$JS.API.CONSUMER.DELETE.A.c")
    for filtered in ["", "a.>", ">", "b.>", ".", "a.", "a b", "a.>.b", "*"]:
        create(r, "c", {"durable_name": "c", "ack_policy": "explicit", "filter_subject": filtered})
        r.setup("$JS.API.CONSUMER.DELETE.A.c")
    create(r, "c", {"filter_subject": "a.1"}, filtered="a.1")
    create(r, "c", {"filter_subject": "a.>"}, filtered="a.>")
    create(r, "c", {"filter_subject": "a.1", "filter_subjects": ["a.1"]}, filtered="a.1")
    stream(r, "W", retention="workqueue")
    for first, second in [("w.1", "w.1"), ("w.1", "w.*"), ("w.*", "w.1"), ("w.1", "w.2"), ("w.>", "w.1"), ("", "w.1"), ("w.1", ""), ("w.*.a", "w.a.*"), ("", "")]:
        r.setup("$JS.API.CONSUMER.CREATE.W.c", {"stream_name": "W", "config": {"name": "c", "durable_name": "c", "ack_policy": "explicit", "filter_subject": first}})
        create(r, "d", {"durable_name": "d", "ack_policy": "explicit", "filter_subject": second}, stream="W")
        r.setup("$JS.API.CONSUMER.DELETE.W.c")
        r.setup("$JS.API.CONSUMER.DELETE.W.d")
    consumer(r, "W", filter_subject="w.1")
    consumer(r, "W", durable_name="e", filter_subject="w.2")
    create(r, "e", {"durable_name": "e", "ack_policy": "explicit", "filter_subject": "w.1"}, stream="W")
    create(r, "e", {"durable_name": "e", "ack_policy": "explicit", "filter_subjects": ["w.2", "w.1"]}, stream="W")
    create(r, "e", {"durable_name": "e", "ack_policy": "explicit", "filter_subjects": ["w.2", "w.3"]}, stream="W")


def names_of_consumers(r):
    stream(r)
    create(r, "d", {"durable_name": "e", "ack_policy": "explicit"})
    create(r, "d", {"name": "e", "ack_policy": "explicit"})
    create(r, "d", {"name": "e", "durable_name": "d", "ack_policy": "explicit"})
    create(r, "d", {"name": "d", "durable_name": "e", "ack_policy": "explicit"})
    for style in ["CONSUMER.CREATE.A.{}", "CONSUMER.DURABLE.CREATE.A.{}"]:
        for name in ["a*b", "a>b", "x/y", "x\\y", "é"]:
            r.api(style.format(name), {"stream_name": "A", "config": {"durable_name": name, "ack_policy": "explicit"}})
    for name in ["a b", "a.b", "a*", "x\ty", "x/y", "x" * 255]:
        r.api("CONSUMER.CREATE.A", {"stream_name": "A", "config": {"name": name, "ack_policy": "explicit"}})
    r.api("CONSUMER.CREATE.A", {"stream_name": "A", "config": {"name": "eph", "ack_policy": "explicit"}})
    r.api("CONSUMER.CREATE.A", {"stream_name": "A", "config": {"name": "eph", "ack_policy": "explicit"}, "action": "create"})
    r.api("CONSUMER.CREATE.A", {"stream_name": "A", "config": {"name": "eph", "ack_policy": "explicit", "description": "x"}, "action": "create"})
    r.api("CONSUMER.CREATE.A", {"stream_name": "A", "config": {"name": "none", "ack_policy": "explicit"}, "action": "update"})
    r.api("CONSUMER.CREATE.none", {"stream_name": "none", "config": {"name": "c", "ack_policy": "explicit"}})
    r.api("CONSUMER.CREATE.none.c", {"stream_name": "none", "config": {"name": "c", "ack_policy": "explicit"}})
    r.api("CONSUMER.CREATE.A.c", "")
    r.api("CONSUMER.CREATE.A.c", "{}")
    r.api("CONSUMER.CREATE.A", "{}")
    r.api("CONSUMER.DURABLE.CREATE.A.c", "{}")
    create(r, "d", {"durable_name": "d", "ack_policy": "explicit"})
    create(r, "d", {"ack_policy": "explicit"})
    create(r, "d", {"durable_name": "d", "ack_policy": "explicit", "deliver_subject": "to.d"})
    create(r, "p", {"durable_name": "p", "ack_policy": "explicit", "deliver_subject": "to.p"})
    create(r, "p", {"durable_name": "p", "ack_policy": "explicit"})
    create(r, "p", {"durable_name": "p", "ack_policy": "explicit", "deliver_subject": "to.q"})
    r.api("CONSUMER.NAMES.A")


def changes_of_consumers(r):
    """One field after the other, of a consumer that has them all."""
    stream(r)
    time = "2001-01-01T00:00:00Z"
    base = {"durable_name": "p", "ack_policy": "explicit", "deliver_subject": "to.p", "deliver_group": "g", "idle_heartbeat": 1000000000, "flow_control": True, "rate_limit_bps": 100000,
            "deliver_policy": "by_start_time", "opt_start_time": time, "max_ack_pending": 10, "replay_policy": "original"}
    create(r, "p", base)
    for change in [{"deliver_group": "h"}, {"deliver_group": ""}, {"idle_heartbeat": 2000000000}, {"idle_heartbeat": 0}, {"flow_control": False}, {"rate_limit_bps": 200000}, {"deliver_subject": "to.q"},
                   {"opt_start_time": "2001-01-02T00:00:00Z"}, {"deliver_policy": "all", "opt_start_time": None}, {"replay_policy": "instant"}, {"max_ack_pending": -1}, {"max_deliver": 1},
                   {"max_waiting": 3}, {"headers_only": True}, {"inactive_threshold": 3000000000}, {"num_replicas": 1}, {"num_replicas": 3}, {"num_replicas": -1}, {"mem_storage": True},
                   {"ack_policy": "none"}, {"backoff": [1000000000, 2000000000], "max_deliver": 1}, {"backoff": [1000000000, 2000000000], "max_deliver": 3}, {"ack_wait": 1}]:
        config = {key: value for key, value in {**base, **change}.items() if value is not None}
        create(r, "p", config)
        create(r, "p", config, action="update")
    stream(r, "L", consumer_limits={"max_ack_pending": 5, "inactive_threshold": 5000000000})
    for config in [{}, {"max_ack_pending": 5}, {"max_ack_pending": 6}, {"max_ack_pending": -1}, {"inactive_threshold": 5000000000}, {"inactive_threshold": 5000000001}, {"inactive_threshold": -1},
                   {"ack_policy": "none"}, {"ack_policy": "none", "max_ack_pending": 3}]:
        create(r, "c", {"durable_name": "c", "ack_policy": "explicit", **config}, stream="L")
        r.setup("$JS.API.CONSUMER.DELETE.L.c")
        create(r, "c", {"durable_name": "c", "ack_policy": "explicit", **config}, stream="L", pedantic=True)
        r.setup("$JS.API.CONSUMER.DELETE.L.c")
    r.setup("$JS.API.CONSUMER.CREATE.L.c", {"stream_name": "L", "config": {"name": "c", "durable_name": "c", "ack_policy": "explicit", "max_ack_pending": 5}})
    r.api("STREAM.UPDATE.L", {"name": "L", "subjects": ["l.>"], "consumer_limits": {"max_ack_pending": 3}})
    r.api("STREAM.UPDATE.L", {"name": "L", "subjects": ["l.>"], "consumer_limits": {"max_ack_pending": 9, "inactive_threshold": 1}})
    for config in [{"ack_policy": "explicit", "max_deliver": -2}, {"ack_policy": "explicit", "max_waiting": -1}, {"ack_policy": "explicit", "max_ack_pending": -2}, {"ack_policy": "explicit", "max_batch": -1},
                   {"ack_policy": "explicit", "backoff": [5], "ack_wait": 6}, {"ack_policy": "explicit"}]:
        create(r, "d", {"durable_name": "d", **config}, pedantic=True)
        r.setup("$JS.API.CONSUMER.DELETE.A.d")


def acks_of_what_never_was(r):
    stream(r)
    consumer(r)
    subject = "$JS.ACK.A.c.1.{}.{}.1700000000000000000.0"
    for payload in ["+ACK", "-NAK", "+WPI", "+TERM", "+NXT", "", "garbage"]:
        r.maybe(subject.format(3, 3), payload)
    info(r)
    r.pull("A", "c", "3", 3)
    for sequence, number in [(0, 0), (0, 1), (1, 0), (4, 4), (6, 6), (7, 7), (3, 99), (18446744073709551615, 1), ("x", 1), (-1, 1)]:
        for payload in ["+ACK", "-NAK", "+WPI"]:
            r.maybe(subject.format(sequence, number), payload)
    info(r)
    for text in ["$JS.ACK.A.c", "$JS.ACK.A.c.1.1.1", "$JS.ACK.A.c.1.1.1.1.0.0", "$JS.ACK", "$JS.ACK.", "$JS.ACK.A.c.x.y.z.w.v", "$JS.ACK.A.c.1.1.1.1.0.0.0.0", "$JS.ACK.B.c.1.1.1.1.0"]:
        r.maybe(text, "+ACK")
    info(r)


def forms_of_acks(r):
    stream(r, messages=40)
    consumer(r, ack_wait=30000000000)
    r.pull("A", "c", "20", 20)
    advisories = lambda frame: frame.sid == "9"
    r.subscribe("$JS.EVENT.ADVISORY.CONSUMER.MSG_NAKED.>", "9")
    r.subscribe("$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.>", "9")
    for sequence, payload in enumerate(["+OK", "+ack", "+ACK ", "+ACK x", "ACK", "-NAK ", "-NAK x", "-NAK 10s", "-NAK {", "-NAK {\"delay\":\"x\"}", "-NAK {\"delay\":60000000000}", "-NAK {\"delay\":-5}", "-NAK{\"delay\":60000000000}",
                                        "+WPI ", "+WPI x", "+TERM", "+TERM  two", "+TERMx", "\r\n", "-NAKx"], 1):
        r.maybe(f"$JS.ACK.A.c.1.{sequence}.{sequence}.1700000000000000000.0", payload)
        r.write("an advisory", r.take(1, advisories, 0.3))
    info(r)
    r.pull("A", "c", {"batch": 30, "no_wait": True}, 30)
    info(r)
    for sequence, payload, frames in [(21, "+NXT", 1), (22, "+NXT 0", 1), (23, "+NXT x", 1), (24, "+NXT {", 1), (25, "+NXT {\"batch\":2,\"no_wait\":true}", 2), (26, "+NXTx", 1), (27, "+NXT -1", 1), (28, "+NXT {\"foo\":1}", 1)]:
        r.request(f"$JS.ACK.A.c.1.{sequence}.{sequence}.1700000000000000000.0", payload, seconds=0.3, frames=frames)
    info(r)


def requests_for_messages(r):
    stream(r, messages=2)
    consumer(r, max_waiting=3)
    r.pull("A", "c", "2", 2)
    for body, frames, seconds in [
        ("0", 1, 0.3), ("-1", 1, 0.3), ("x", 1, 0.3), ("1.5", 1, 0.3), ("99999999999999999999", 1, 0.3), ("{", 1, 0.3), ("{}", 1, 0.3), ("[]", 1, 0.3), ('"1"', 1, 0.3), ("null", 1, 0.3), (" 1", 1, 0.3), ("1 ", 1, 0.3),
    ]:
        r.pull("A", "c", body, frames, seconds)
    stream(r, "B", messages=2)
    consumer(r, "B")
    for body in [
        {"batch": 1, "expires": -1}, {"batch": 0, "no_wait": True}, {"batch": -3, "no_wait": True}, {"batch": "x"}, {"foo": 1, "no_wait": True}, {"batch": 1, "expires": 100000000, "idle_heartbeat": 50000000},
        {"batch": 1, "expires": 100000000, "idle_heartbeat": 50000001}, {"batch": 1, "expires": 100000000, "idle_heartbeat": -1}, {"batch": 1, "idle_heartbeat": 1, "no_wait": True}, {"batch": 1, "max_bytes": -1, "no_wait": True},
        {"batch": 1, "group": "g", "no_wait": True}, {"batch": 1, "min_pending": 1, "no_wait": True}, {"batch": 1, "min_ack_pending": 1, "no_wait": True}, {"batch": 1, "priority": -1, "no_wait": True},
        {"batch": 1, "priority": 9, "no_wait": True}, {"batch": 1, "id": "pin", "no_wait": True}, {"batch": 1, "no_wait": True, "expires": 1},
    ]:
        r.pull("B", "c", body, 1, 0.4)
    r.pull("B", "c", '{"batch":1,"no_wait":true} trailing', 1, 0.4)
    info(r, "B")


def too_many_requests(r):
    stream(r, messages=0)
    consumer(r, max_waiting=2)
    wait = {"batch": 1, "expires": 3000000000}
    replies = []
    for _ in range(2):
        r.count += 1
        replies.append(f"_INBOX.differential.{r.count}")
        r.client.publish("$JS.API.CONSUMER.MSG.NEXT.A.c", b'{"batch":1,"expires":3000000000}', replies[-1])
    r.client.flush()
    r.pull("A", "c", wait, 1, 0.5)
    r.pull("A", "c", {**wait, "idle_heartbeat": 1000000000}, 1, 0.5)
    r.pull("A", "c", {"batch": 1, "no_wait": True}, 1, 0.5)
    info(r)
    for index in range(2):
        r.setup(f"a.{index}", "x")
        r.write("what a waiting request gets", r.take(1, lambda frame: frame.reply.startswith("$JS.ACK"), 2))
    consumer(r, durable_name="e", max_batch=2, max_expires=1000000, max_bytes=100)
    for body in ["3", "+3", {"batch": 3, "no_wait": True}, {"batch": 1}, {"batch": 1, "max_bytes": 101}, {"batch": 3, "expires": 2000000}]:
        r.pull("A", "e", body, 1, 0.4)
    consumer(r, durable_name="p", deliver_subject="to.p")
    for body in ["", "1", "{", {"batch": 1, "no_wait": True}]:
        r.pull("A", "p", body, 1, 0.4)


SCENARIOS = [subjects_of_the_api, streams_in_each_others_way, filters_that_collide, names_of_consumers, changes_of_consumers, acks_of_what_never_was, forms_of_acks, requests_for_messages, too_many_requests]
