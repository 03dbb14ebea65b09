"""Publishing: the answer, and every check of a header in the order of the checks."""


def answers(r):
    r.setup("$JS.API.STREAM.CREATE.A", {"name": "A", "subjects": ["a.>"]})
    r.setup("$JS.API.STREAM.CREATE.N", {"name": "N", "no_ack": True})
    r.request("a.1", "hello")
    r.request("a.1", "")
    r.request("a.2", "with headers", headers=[("X", "y"), ("X", "z")])
    r.silent("N", "no answer")
    r.publish("a.3", "nobody asks")
    r.client.flush()
    r.api("STREAM.INFO.A")
    r.api("STREAM.INFO.N")
    r.request("a", "not of the stream")
    r.api("STREAM.MSG.GET.A", {"seq": 3})


def duplicates(r):
    r.setup("$JS.API.STREAM.CREATE.A", {"name": "A", "subjects": ["a.>"], "duplicate_window": 60000000000})
    for subject, identity in [("a.1", "one"), ("a.1", "two"), ("a.1", "one"), ("a.2", "one"), ("a.1", "One"), ("a.1", "")]:
        r.request(subject, "x", headers=[("Nats-Msg-Id", identity)])
    r.request("a.1", "x", headers=[("nats-msg-id", "one")])
    r.request("a.1", "x", headers=[("Nats-Msg-Id", "three"), ("Nats-Expected-Last-Sequence", "1")])
    r.request("a.1", "x", headers=[("Nats-Msg-Id", "one"), ("Nats-Expected-Last-Sequence", "1")])
    r.request("a.1", "x", headers=[("Nats-Msg-Id", "one"), ("Nats-Expected-Last-Msg-Id", "no")])
    r.api("STREAM.INFO.A")
    r.setup("$JS.API.STREAM.PURGE.A")
    r.request("a.1", "x", headers=[("Nats-Msg-Id", "one")])
    r.api("STREAM.INFO.A")


def expectations(r):
    r.setup("$JS.API.STREAM.CREATE.A", {"name": "A", "subjects": ["a.>"]})
    one = lambda *headers, subject="a.1": r.request(subject, "x", headers=list(headers))
    one(("Nats-Expected-Last-Sequence", "0"))
    one(("Nats-Expected-Last-Sequence", "0"))
    one(("Nats-Expected-Last-Sequence", "1"))
    one(("Nats-Expected-Last-Sequence", "x"))
    one(("Nats-Expected-Stream", "A"))
    one(("Nats-Expected-Stream", "B"))
    one(("Nats-Expected-Last-Subject-Sequence", "0"))
    one(("Nats-Expected-Last-Subject-Sequence", "3"))
    one(("Nats-Expected-Last-Subject-Sequence", "0"), subject="a.new")
    one(("Nats-Expected-Last-Subject-Sequence", "7"), subject="a.other")
    one(("Nats-Expected-Last-Subject-Sequence", "x"))
    one(("Nats-Expected-Last-Subject-Sequence", "5"), ("Nats-Expected-Last-Subject-Sequence-Subject", "a.new"), subject="a.y")
    one(("Nats-Expected-Last-Subject-Sequence", "6"), ("Nats-Expected-Last-Subject-Sequence-Subject", "a.*"), subject="a.y")
    one(("Nats-Expected-Last-Subject-Sequence", "0"), ("Nats-Expected-Last-Subject-Sequence-Subject", "a.none"), subject="a.y")
    one(("Nats-Expected-Last-Subject-Sequence-Subject", "a.new"))
    one(("Nats-Expected-Last-Msg-Id", "none"))
    one(("Nats-Msg-Id", "m1"))
    one(("Nats-Expected-Last-Msg-Id", "m1"))
    one(("Nats-Expected-Last-Msg-Id", "m1"))
    one(("Nats-Expected-Stream", "B"), ("Nats-Expected-Last-Sequence", "99"))
    one(("Nats-Expected-Last-Sequence", "99"), ("Nats-Expected-Last-Msg-Id", "zz"))
    one(("Nats-Expected-Last-Sequence", "99"), ("Nats-Expected-Last-Subject-Sequence", "98"))
    r.setup("$JS.API.STREAM.MSG.DELETE.A", {"seq": 1})
    r.api("STREAM.INFO.A")


def rollup_and_ttl(r):
    r.setup("$JS.API.STREAM.CREATE.A", {"name": "A", "subjects": ["a.>"], "allow_rollup_hdrs": True, "allow_msg_ttl": True})
    r.setup("$JS.API.STREAM.CREATE.B", {"name": "B", "subjects": ["b.>"]})
    for index in range(6):
        r.setup(f"a.{index % 2}", "x")
    r.request("a.0", "rolled", headers=[("Nats-Rollup", "sub")])
    r.api("STREAM.INFO.A", {"subjects_filter": ">"})
    r.request("a.1", "rolled", headers=[("Nats-Rollup", "nonsense")])
    r.request("a.1", "rolled", headers=[("Nats-Rollup", "all")])
    r.api("STREAM.INFO.A", {"subjects_filter": ">"})
    r.request("b.1", "x", headers=[("Nats-Rollup", "sub")])
    r.request("b.1", "x", headers=[("Nats-TTL", "5s")])
    for ttl in ["never", "60", "1m", "0", "1ms", "-1", "x", ""]:
        r.request("a.ttl", "x", headers=[("Nats-TTL", ttl)])
    r.api("STREAM.INFO.A")


def deferred_headers(r):
    r.setup("$JS.API.STREAM.CREATE.A", {"name": "A", "subjects": ["a.>"]})
    r.request("a.1", "", headers=[("Nats-Incr", "+1")])
    r.request("a.1", "x", headers=[("Nats-Batch-Id", "b"), ("Nats-Batch-Sequence", "1")])
    r.request("a.1", "x", headers=[("Nats-Schedule", "@at 2030-01-01T00:00:00Z"), ("Nats-Schedule-Target", "a.2")])


SCENARIOS = [answers, duplicates, expectations, rollup_and_ttl, deferred_headers]
