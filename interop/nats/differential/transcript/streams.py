"""Streams: made, changed, listed, described, purged, deleted."""


def create(r):
    r.api("STREAM.CREATE.A", {"name": "A"})
    r.api("STREAM.CREATE.A", {"name": "A"})
    r.api("STREAM.CREATE.A", {"name": "A", "max_msgs": 5})
    r.api("STREAM.INFO.A")
    r.api("STREAM.CREATE.B", {"name": "B", "subjects": ["A"]})
    r.api("STREAM.CREATE.B", {"name": "B", "subjects": ["b.>", "c.*"], "storage": "memory", "description": "x<y>&z é"})
    r.api("STREAM.CREATE.C", {"name": "C", "subjects": ["b.x"]})
    r.api("STREAM.CREATE.C", {"name": "C", "subjects": ["*.x"]})
    r.api("STREAM.CREATE.C", {"name": "C", "subjects": ["c1", "c1"]})
    r.api("STREAM.CREATE.C", {"name": "C", "subjects": ["d.>", "d.x"]})
    r.api("STREAM.CREATE.C", {"name": "C", "subjects": ["e..f"]})
    r.api("STREAM.CREATE.C", {"name": "C", "subjects": [""]})
    r.api("STREAM.CREATE.C", {"name": "C", "subjects": ["a b"]})
    r.api("STREAM.CREATE.C", {"name": "C", "subjects": [">"]})
    r.api("STREAM.CREATE.C", {"name": "C", "subjects": ["$JS.>"]})
    r.api("STREAM.CREATE.C", {"name": "C", "subjects": ["$JS.API.>"]})
    r.api("STREAM.CREATE.C", {"name": "C", "subjects": ["$SYS.x"]})
    r.api("STREAM.CREATE.C", {"name": "C", "subjects": ["$JS.EVENT.>"]})
    r.api("STREAM.DELETE.C")
    r.api("STREAM.CREATE.C", {"name": "C", "max_age": 3600000000000, "max_msgs": 10, "max_bytes": 1000, "max_msgs_per_subject": 2,
                              "max_msg_size": 100, "discard": "new", "discard_new_per_subject": True, "num_replicas": 1,
                              "allow_direct": True, "allow_rollup_hdrs": True, "deny_delete": True, "duplicate_window": 1000000000,
                              "metadata": {"z": "1", "a": "2"}, "consumer_limits": {"max_ack_pending": 5, "inactive_threshold": 1000000000}})
    r.api("STREAM.INFO.C")
    r.api("STREAM.CREATE.W", {"name": "W", "retention": "workqueue", "no_ack": True})
    r.api("STREAM.CREATE.I", {"name": "I", "retention": "interest", "first_seq": 100})
    r.api("STREAM.INFO.I")
    r.api("STREAM.LIST")
    r.api("STREAM.NAMES")


def refused_configurations(r):
    for config in [
        {"num_replicas": 3}, {"num_replicas": 6}, {"num_replicas": -1}, {"max_age": 1}, {"max_age": -1}, {"duplicate_window": 1},
        {"duplicate_window": -1}, {"max_age": 1000000000, "duplicate_window": 2000000000}, {"discard_new_per_subject": True},
        {"discard": "new", "discard_new_per_subject": True}, {"description": "x" * 5000}, {"sealed": True},
        {"deny_purge": True, "allow_rollup_hdrs": True}, {"max_msgs": -5}, {"max_bytes": -5}, {"max_consumers": -5},
        {"max_msgs_per_subject": -5}, {"max_msg_size": -5}, {"metadata": {"k": "v" * 140000}}, {"subject_delete_marker_ttl": 1},
        {"subject_delete_marker_ttl": 1000000000, "deny_purge": True}, {"allow_direct": True, "max_msgs": 0},
        {"mirror_direct": True}, {"first_seq": 1}, {"consumer_limits": {"max_ack_pending": -5}},
        {"consumer_limits": {"inactive_threshold": -5}}, {"subjects": ["x"] * 2}, {"pedantic": True},
        {"pedantic": True, "max_age": 1000000000},
    ]:
        r.api("STREAM.CREATE.A", {"name": "A", **config})
        r.setup("$JS.API.STREAM.DELETE.A")


def update(r):
    r.setup("$JS.API.STREAM.CREATE.A", {"name": "A", "subjects": ["a.>"], "allow_msg_ttl": True, "deny_delete": False})
    r.setup("$JS.API.STREAM.CREATE.B", {"name": "B", "subjects": ["b.>"]})
    base = {"name": "A", "subjects": ["a.>"], "allow_msg_ttl": True}
    for change in [
        {}, {"description": "new"}, {"subjects": ["a.x", "a2"]}, {"subjects": ["b.x"]}, {"subjects": []}, {"retention": "workqueue"},
        {"retention": "interest"}, {"retention": "limits"}, {"storage": "memory"}, {"max_consumers": 5}, {"allow_msg_ttl": False},
        {"num_replicas": 3}, {"max_msgs": 3}, {"max_age": 5000000000}, {"deny_delete": True}, {"deny_delete": False},
        {"deny_delete": True, "deny_purge": True}, {"deny_delete": True, "deny_purge": False}, {"first_seq": 7}, {"metadata": {"k": "v"}},
        {"deny_delete": True, "deny_purge": True, "discard": "new"},
    ]:
        r.api("STREAM.UPDATE.A", {**base, **change})
    r.api("STREAM.UPDATE.A", {**base, "deny_delete": True, "deny_purge": True, "sealed": True})
    r.api("STREAM.UPDATE.A", {**base, "deny_delete": True, "deny_purge": True, "sealed": False})
    r.request("a.1", "x")
    r.api("STREAM.PURGE.A")
    r.api("STREAM.MSG.DELETE.A", {"seq": 1})
    r.api("STREAM.UPDATE.none", {"name": "none"})


def lists(r):
    for name in ["S1", "S2", "S3"]:
        r.setup(f"$JS.API.STREAM.CREATE.{name}", {"name": name, "subjects": [f"{name}.>", f"all.{name}"]})
    for body in [{"offset": 1}, {"offset": 3}, {"offset": 9}, {"subject": "S2.x"}, {"subject": "all.*"}, {"subject": "none"},
                 {"subject": ">"}, {"subject": "S1.>", "offset": 1}]:
        r.api("STREAM.NAMES", body)
        r.api("STREAM.LIST", body)


def state_and_subjects(r):
    r.setup("$JS.API.STREAM.CREATE.A", {"name": "A", "subjects": ["a.>"]})
    for index in range(6):
        r.setup(f"a.{index % 3}", f"message {index}")
    r.api("STREAM.INFO.A")
    r.api("STREAM.INFO.A", {"subjects_filter": ">"})
    r.api("STREAM.INFO.A", {"subjects_filter": "a.1"})
    r.api("STREAM.INFO.A", {"subjects_filter": "none"})
    r.api("STREAM.INFO.A", {"subjects_filter": ">", "offset": 2})
    r.api("STREAM.INFO.A", {"subjects_filter": ">", "offset": 9})
    r.api("STREAM.MSG.DELETE.A", {"seq": 3})
    r.api("STREAM.MSG.DELETE.A", {"seq": 3})
    r.api("STREAM.MSG.DELETE.A", {"seq": 99})
    r.api("STREAM.MSG.DELETE.A", {"seq": 0})
    r.api("STREAM.INFO.A", {"deleted_details": True})
    r.api("STREAM.MSG.DELETE.A", {"seq": 1})
    r.api("STREAM.INFO.A", {"deleted_details": True})
    r.api("STREAM.MSG.DELETE.A", {"seq": 6, "no_erase": True})
    r.api("STREAM.INFO.A", {"deleted_details": True})
    r.api("INFO")


def purge(r):
    bodies = ["", {"filter": "{}.1"}, {"seq": 5}, {"seq": 1}, {"seq": 50}, {"keep": 3}, {"keep": 30}, {"filter": "{}.0", "seq": 6},
              {"filter": "{}.0", "keep": 2}, {"seq": 3, "keep": 3}, {"filter": "none"}, {"filter": ">"}, {"filter": "a b"}]
    for index, body in enumerate(bodies):
        # A stream of its own for each: the reference, asked to delete one and to make it again, may keep its messages.
        name = f"A{index}"
        r.setup(f"$JS.API.STREAM.CREATE.{name}", {"name": name, "subjects": [f"{name}.>"]})
        for message in range(10):
            r.setup(f"{name}.{message % 2}", "x")
        if "filter" in body:
            body = {**body, "filter": body["filter"].format(name)}
        r.api(f"STREAM.PURGE.{name}", body)
        r.api(f"STREAM.INFO.{name}", {"deleted_details": True})
        r.request(f"{name}.9", "after")
    r.setup("$JS.API.STREAM.CREATE.P", {"name": "P", "deny_purge": True, "deny_delete": True})
    r.setup("P", "x")
    r.api("STREAM.PURGE.P")
    r.api("STREAM.MSG.DELETE.P", {"seq": 1})


SCENARIOS = [create, refused_configurations, update, lists, state_and_subjects, purge]
