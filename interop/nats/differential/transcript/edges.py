"""Streams at the edges of what they may be: what is refused, what is written back, what can't be undone."""

from .limits import state


def windows(r):
    for index, config in enumerate([
        {"max_age": 99999999}, {"max_age": 100000000}, {"max_age": 100000000, "duplicate_window": 100000000}, {"duplicate_window": 99999999}, {"duplicate_window": 100000000},
        {"max_age": 1000000000, "duplicate_window": 1000000001}, {"max_age": 60000000000}, {"max_age": 9223372036854775807}, {"duplicate_window": 9223372036854775807},
        {"max_msgs": 9223372036854775807, "max_bytes": 9223372036854775807}, {"max_msg_size": 2147483647}, {"max_msg_size": 2147483648}, {"max_msgs_per_subject": 9223372036854775807},
        {"first_seq": 2}, {"first_seq": 9223372036854775807}, {"num_replicas": 0}, {"num_replicas": 5}, {"num_replicas": 2}, {"max_msgs": 0, "max_bytes": 0}, {"max_msgs": -1},
        {"subject_delete_marker_ttl": 999999999}, {"subject_delete_marker_ttl": 1000000000}, {"subject_delete_marker_ttl": 1000000000, "allow_msg_ttl": True},
        {"subject_delete_marker_ttl": -1}, {"subject_delete_marker_ttl": 1000000000, "allow_rollup_hdrs": True}, {"template_owner": "x"}, {"compression": "s2"}, {"compression": "none"}, {"compression": ""},
        {"storage": "memory", "compression": "s2"}, {"persist_mode": "default"}, {"placement": {}}, {"sources": []}, {"mirror": None}, {"metadata": {}},
        {"metadata": {"_nats.x": "y"}}, {"metadata": {"_nats.req.level": "9"}}, {"metadata": {"": "x"}}, {"description": "x" * 4096}, {"description": "x" * 4097},
    ]):
        r.api(f"STREAM.CREATE.A{index}", {"name": f"A{index}", **config})
        # What a limit sets aside is free again.
        r.setup(f"$JS.API.STREAM.DELETE.A{index}")


def sealed(r):
    r.setup("$JS.API.STREAM.CREATE.A", {"name": "A", "subjects": ["a.>"], "allow_rollup_hdrs": True, "max_age": 3600000000000, "allow_direct": True})
    for index in range(3):
        r.setup(f"a.{index}", "x")
    base = {"name": "A", "subjects": ["a.>"], "allow_rollup_hdrs": True, "allow_direct": True}
    r.api("STREAM.CREATE.S", {"name": "S", "sealed": True})
    r.api("STREAM.UPDATE.A", {**base, "sealed": True, "max_age": 3600000000000})
    r.api("STREAM.INFO.A")
    r.request("a.1", "x")
    r.request("a.1", "x", headers=[("Nats-Rollup", "sub")])
    r.request("a.1", "x", headers=[("Nats-Expected-Last-Sequence", "99")])
    r.api("STREAM.PURGE.A")
    r.api("STREAM.PURGE.A", {"filter": "a.1"})
    r.api("STREAM.MSG.DELETE.A", {"seq": 1})
    r.api("STREAM.MSG.DELETE.A", {"seq": 99})
    r.api("STREAM.MSG.GET.A", {"seq": 1})
    r.api("DIRECT.GET.A.a.1")
    for change in [{}, {"sealed": True}, {"sealed": True, "max_msgs": 1}, {"sealed": True, "deny_delete": True, "deny_purge": True, "allow_rollup_hdrs": False}, {"sealed": True, "description": "x"}]:
        r.api("STREAM.UPDATE.A", {**base, **change})
    r.api("CONSUMER.CREATE.A.c", {"stream_name": "A", "config": {"name": "c", "durable_name": "c", "ack_policy": "explicit"}})
    r.pull("A", "c", "1", 1)
    r.api("STREAM.DELETE.A")


def changes(r):
    base = {"name": "A", "subjects": ["a.>"], "allow_direct": True}
    r.setup("$JS.API.STREAM.CREATE.A", base)
    for index in range(4):
        r.setup(f"a.{index % 2}", "x")
    for change in [
        {"storage": "memory"}, {"retention": "workqueue"}, {"first_seq": 100}, {"no_ack": True}, {"no_ack": False}, {"allow_direct": False},
        {"allow_rollup_hdrs": True}, {"allow_rollup_hdrs": False}, {"compression": "s2"}, {"compression": "none"}, {"max_msg_size": 1}, {"max_msg_size": -1}, {"duplicate_window": 1000000000},
        {"duplicate_window": 0}, {"max_age": 1000}, {"discard": "new"}, {"discard": "new", "discard_new_per_subject": True}, {"discard": "new", "discard_new_per_subject": True, "max_msgs_per_subject": 9},
        {"discard": "old", "discard_new_per_subject": True, "max_msgs_per_subject": 9}, {"max_consumers": -1}, {"max_consumers": 1}, {"mirror_direct": True}, {"mirror_direct": False}, {"num_replicas": 2}, {"num_replicas": 0}, {"template_owner": "x"}, {"description": "y" * 5000}, {"name": "B"}, {"subjects": ["a..b"]}, {"subjects": ["a.1"]}, {}, {"allow_msg_ttl": True}, {"allow_msg_ttl": False},
        {"subject_delete_marker_ttl": 1000000000}, {"subject_delete_marker_ttl": 0},
    ]:
        r.api("STREAM.UPDATE.A", {**base, **change})
    r.api("STREAM.UPDATE.A", {**base, "name": "B", "max_age": 5})
    r.api("STREAM.UPDATE.A", {**base, "foo": 1})
    r.api("STREAM.UPDATE.A", "")
    r.api("STREAM.UPDATE.A", "{}")
    r.api("STREAM.CREATE.A", "")


def denied(r):
    r.setup("$JS.API.STREAM.CREATE.A", {"name": "A", "subjects": ["a.>"], "deny_delete": True, "deny_purge": True})
    r.setup("a.1", "x")
    for subject, body in [("STREAM.PURGE.A", ""), ("STREAM.PURGE.A", {"filter": "a.1"}), ("STREAM.MSG.DELETE.A", {"seq": 1}), ("STREAM.MSG.DELETE.A", {"seq": 9}), ("STREAM.MSG.DELETE.A", {"seq": 0})]:
        r.api(subject, body)
    for header in ["sub", "all", "x", ""]:
        r.request("a.1", "x", headers=[("Nats-Rollup", header)])
    for headers in [[("Nats-TTL", "5s")], [("Nats-TTL", "x")], [("Nats-Schedule", "@every 1s"), ("Nats-Schedule-Target", "a.2")], [("Nats-Schedule-Target", "a.2")], [("Nats-Schedule", "x")], [("Nats-Schedule-TTL", "5s")], [("Nats-Incr", "1")], [("Nats-Incr", "x")],
                    [("Nats-Batch-Id", "b")], [("Nats-Batch-Id", "b"), ("Nats-Batch-Sequence", "1"), ("Nats-Batch-Commit", "1")], [("Nats-Batch-Sequence", "1")], [("Nats-Batch-Commit", "1")], [("Nats-Batch-Id", "x" * 65)],
                    [("Nats-Msg-Id", "x" * 300)], [("Nats-Expected-Last-Sequence", "-1")], [("Nats-Expected-Last-Sequence", "")], [("Nats-Expected-Last-Sequence", "1"), ("Nats-Expected-Last-Sequence", "2")],
                    [("Nats-Expected-Stream", "")], [("Nats-Expected-Last-Msg-Id", "")], [("Nats-Expected-Last-Subject-Sequence", "-1")], [("Nats-Expected-Last-Subject-Sequence", "")],
                    [("Nats-Expected-Last-Subject-Sequence", "1"), ("Nats-Expected-Last-Subject-Sequence-Subject", "a..b")], [("X", "y" * 70000)], [("Nats-Required-Api-Level", "99")]]:
        r.request("a.1", "x", headers=headers)
    r.api("STREAM.INFO.A")


def per_subject(r):
    r.setup("$JS.API.STREAM.CREATE.A", {"name": "A", "subjects": ["a.>"], "discard": "new", "discard_new_per_subject": True, "max_msgs_per_subject": 2, "max_msgs": 4, "allow_rollup_hdrs": True})
    for subject in ["1", "1", "1", "2", "2", "2", "3", "1"]:
        r.request(f"a.{subject}", "x")
    r.request("a.1", "x", headers=[("Nats-Rollup", "sub")])
    r.request("a.1", "x", headers=[("Nats-Msg-Id", "m")])
    state(r)
    r.api("STREAM.MSG.DELETE.A", {"seq": 3})
    r.request("a.1", "x", headers=[("Nats-Msg-Id", "m")])
    r.request("a.2", "x")
    r.request("a.2", "x", headers=[("Nats-Rollup", "all")])
    state(r)
    r.setup("$JS.API.STREAM.CREATE.B", {"name": "B", "subjects": ["b.>"], "discard": "new", "max_bytes": 200, "max_msgs_per_subject": 1})
    for subject, size in [("1", 100), ("1", 100), ("2", 10), ("2", 100), ("1", 200), ("3", 1)]:
        r.request(f"b.{subject}", "x" * size)
    state(r, "B")
    r.setup("$JS.API.STREAM.CREATE.C", {"name": "C", "subjects": ["c.>"], "max_bytes": 100})
    for size in [10, 50, 100, 1]:
        r.request("c.1", "x" * size)
    state(r, "C")


def time_to_live(r):
    r.setup("$JS.API.STREAM.CREATE.A", {"name": "A", "subjects": ["a.>"], "allow_msg_ttl": True, "allow_direct": True})
    for ttl in ["1s", "1", "0s", "0", "never", "500ms", "1.5s", "1h30m", "+5", "5 ", " 5s", "5S", "1d", "9223372036", "99999999999999999999", "-5s", "NEVER"]:
        r.request("a.x", "x", headers=[("Nats-TTL", ttl)])
    r.api("STREAM.INFO.A")
    r.api("STREAM.MSG.GET.A", {"seq": 1})


def levels_and_pages(r):
    for index in range(5):
        r.setup(f"$JS.API.STREAM.CREATE.S{index}", {"name": f"S{index}"})
        r.setup("$JS.API.CONSUMER.CREATE.S0.c%d" % index, {"stream_name": "S0", "config": {"name": f"c{index}", "durable_name": f"c{index}", "ack_policy": "explicit"}})
    for body in [{"offset": 0}, {"offset": 4}, {"offset": 5}, {"offset": -5}, {"offset": 9223372036854775807}, {"offset": 1.5}, {"subject": "S1"}, {"subject": "*"}, {"subject": "S1..x"}, {"subject": ""}, {"subject": 5}, "{", "null", "[]", "5"]:
        for subject in ["STREAM.NAMES", "CONSUMER.NAMES.S0"]:
            r.api(subject, body)
    for body in [{"offset": 3}, {"offset": 99}, {"offset": -1}]:
        r.api("CONSUMER.LIST.S0", body)
    for body in ["null", "{", {"subjects_filter": "a..b"}, {"subjects_filter": ""}, {"subjects_filter": 5}, {"deleted_details": "x"}, {"offset": -1, "subjects_filter": ">"}]:
        r.api("STREAM.INFO.S0", body)
    for subject in ["STREAM.DELETE.S4", "CONSUMER.DELETE.S0.c4", "CONSUMER.INFO.S0.c3", "INFO"]:
        r.api(subject, " ")
        r.api(subject, "{}")
        r.api(subject, '{"a":1}')
    for body in [{"seq": -1}, {"keep": -1}, {"seq": 1, "keep": 1}, {"filter": "a..b"}, {"filter": "*"}, {"filter": 5}, "null", "{", "{}"]:
        r.api("STREAM.PURGE.S1", body)
        r.api("STREAM.INFO.S1")
    for body in [{"seq": -1}, {"seq": 18446744073709551615}, {"seq": 18446744073709551616}, "null", "{}", "{"]:
        r.api("STREAM.MSG.GET.S2", body)
        r.api("STREAM.MSG.DELETE.S2", body)
    # No stream of ours comes so far.
    r.api("STREAM.PURGE.S3", {"seq": 18446744073709551615})


def deferred(r):
    """What isn't there yet, and must be refused by its name, never accepted and forgotten."""
    r.setup("$JS.API.STREAM.CREATE.A", {"name": "A", "subjects": ["a.>"]})
    r.setup("$JS.API.CONSUMER.CREATE.A.c", {"stream_name": "A", "config": {"name": "c", "durable_name": "c", "ack_policy": "explicit"}})
    for index, config in enumerate([
        {"persist_mode": "async"}, {"allow_msg_counter": True}, {"allow_atomic": True}, {"allow_msg_schedules": True}, {"allow_batched": True}, {"republish": {"src": ">", "dest": "r.>"}},
        {"subject_transform": {"src": "a", "dest": "b"}}, {"placement": {"cluster": "x"}}, {"placement": {"tags": ["x"]}}, {"mirror": {"name": "B"}}, {"sources": [{"name": "B"}]},
    ]):
        r.api(f"STREAM.CREATE.S{index}", {"name": f"S{index}", "subjects": [f"s{index}.>"], **config})
        r.api("STREAM.UPDATE.A", {"name": "A", "subjects": ["a.>"], **config})
        r.setup("$JS.API.STREAM.DELETE.A")
        r.setup("$JS.API.STREAM.CREATE.A", {"name": "A", "subjects": ["a.>"]})
    for subject in ["STREAM.SNAPSHOT.A", "STREAM.RESTORE.A", "CONSUMER.PAUSE.A.c", "CONSUMER.UNPIN.A.c", "CONSUMER.RESET.A.c", "STREAM.SNAPSHOT.none", "CONSUMER.PAUSE.none.c", "CONSUMER.PAUSE.A.none"]:
        r.api(subject, "{", seconds=1)


SCENARIOS = [windows, sealed, changes, denied, per_subject, time_to_live, levels_and_pages, deferred]
