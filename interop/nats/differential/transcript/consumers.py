"""Consumers: made, changed, listed, refused."""


def stream(r, name="A", messages=6, **config):
    r.setup(f"$JS.API.STREAM.CREATE.{name}", {"name": name, "subjects": [f"{name.lower()}.>"], **config})
    for index in range(messages):
        r.setup(f"{name.lower()}.{index % 3}", f"message {index}")


def create(r, name, config, stream="A", filtered="", **request):
    return r.api(f"CONSUMER.CREATE.{stream}.{name}{'.' + filtered if filtered else ''}",
                 {"stream_name": stream, "config": {"name": name, **config}, **request})


def made(r):
    stream(r)
    create(r, "d", {"durable_name": "d", "ack_policy": "explicit"})
    create(r, "d", {"durable_name": "d", "ack_policy": "explicit"})
    create(r, "d", {"durable_name": "d", "ack_policy": "explicit"}, action="create")
    create(r, "d", {"durable_name": "d", "ack_policy": "explicit", "description": "x"}, action="create")
    create(r, "d", {"durable_name": "d", "ack_policy": "explicit", "description": "x"}, action="update")
    create(r, "none", {"durable_name": "none", "ack_policy": "explicit"}, action="update")
    create(r, "e", {"ack_policy": "explicit", "inactive_threshold": 60000000000})
    create(r, "f", {"durable_name": "f", "ack_policy": "none", "filter_subject": "a.1"}, filtered="a.1")
    create(r, "f2", {"durable_name": "f2", "filter_subjects": ["a.1", "a.2"]})
    r.api("CONSUMER.DURABLE.CREATE.A.old", {"stream_name": "A", "config": {"durable_name": "old", "ack_policy": "all"}})
    answer = r.setup("$JS.API.CONSUMER.CREATE.A", {"stream_name": "A", "config": {"ack_policy": "explicit", "inactive_threshold": 60000000000}})
    r.name((answer or {}).get("name"), "<name>")
    r.api(f"CONSUMER.INFO.A.{(answer or {}).get('name', 'none')}")
    r.api("CONSUMER.DELETE.A." + (answer or {}).get("name", "none"))
    r.api("CONSUMER.NAMES.A")
    r.api("CONSUMER.NAMES.A", {"offset": 2})
    r.api("CONSUMER.LIST.A")
    r.api("CONSUMER.INFO.A.d")
    r.api("CONSUMER.INFO.A.none")
    r.api("CONSUMER.DELETE.A.d")
    r.api("CONSUMER.DELETE.A.d")
    r.api("STREAM.INFO.A")


def policies(r):
    stream(r)
    for index, config in enumerate([
        {"deliver_policy": "last"}, {"deliver_policy": "new"}, {"deliver_policy": "by_start_sequence", "opt_start_seq": 4},
        {"deliver_policy": "by_start_sequence", "opt_start_seq": 99}, {"deliver_policy": "by_start_sequence"}, {"opt_start_seq": 4},
        {"deliver_policy": "by_start_time", "opt_start_time": "2001-01-01T00:00:00Z"}, {"deliver_policy": "by_start_time"},
        {"opt_start_time": "2001-01-01T00:00:00Z"}, {"deliver_policy": "last_per_subject"},
        {"deliver_policy": "last_per_subject", "filter_subject": "a.>"}, {"deliver_policy": "last", "opt_start_seq": 2},
        {"deliver_policy": "new", "opt_start_seq": 2}, {"deliver_policy": "last", "filter_subject": "a.1"},
        {"deliver_policy": "by_start_time", "opt_start_time": "2030-01-01T00:00:00Z"},
    ]):
        create(r, f"c{index}", {"durable_name": f"c{index}", "ack_policy": "explicit", **config})


def refused(r):
    stream(r)
    for config in [
        {"name": "other"}, {"durable_name": "other"}, {"durable_name": "c.d"}, {"filter_subjects": []}, {"filter_subjects": ["a.1", ""]},
        {"filter_subject": "a.1", "filter_subjects": ["a.2"]}, {"filter_subjects": ["a.1", "a.1"]}, {"filter_subjects": ["a.>", "a.1"]},
        {"filter_subjects": ["a.*", "a.1"]}, {"filter_subject": "b.1"}, {"filter_subject": "a..b"}, {"filter_subjects": ["a..b"]},
        {"backoff": [1000000000, 2000000000], "max_deliver": 1}, {"backoff": [-1], "max_deliver": 5}, {"max_deliver": -5}, {"max_deliver": 0},
        {"ack_wait": -1}, {"max_waiting": -1}, {"max_ack_pending": -5}, {"max_batch": -1}, {"max_expires": -1}, {"max_expires": 1},
        {"idle_heartbeat": 1000000000}, {"flow_control": True}, {"deliver_group": "g"}, {"rate_limit_bps": 100}, {"sample_freq": "x"},
        {"sample_freq": "50%"}, {"sample_freq": "150"}, {"description": "x" * 5000}, {"metadata": {"k": "v" * 140000}}, {"num_replicas": 3},
        {"inactive_threshold": -1}, {"ack_policy": "none", "max_ack_pending": 5}, {"ack_policy": "none", "ack_wait": 1000000000},
        {"deliver_subject": "d.*"}, {"deliver_subject": "a.9"}, {"deliver_subject": "d..x"}, {"deliver_subject": "d", "max_waiting": 5},
        {"deliver_subject": "d", "idle_heartbeat": 1}, {"deliver_subject": "d", "flow_control": True}, {"deliver_subject": "d", "max_batch": 5},
        {"deliver_subject": "d", "ack_policy": "explicit", "rate_limit_bps": 1000}, {"direct": True}, {"priority_policy": "overflow"},
        {"replay_policy": "original"}, {"headers_only": True}, {"mem_storage": True},
    ]:
        create(r, "c", {"ack_policy": "explicit", **config})
        r.setup("$JS.API.CONSUMER.DELETE.A.c")
    create(r, "c", {"filter_subject": "a.1"}, filtered="a.2")
    create(r, "c", {"filter_subjects": ["a.1"]}, filtered="a.1")
    create(r, "c", {}, filtered="a.1")
    r.api("CONSUMER.CREATE.A.c", {"stream_name": "B", "config": {"name": "c"}})
    r.api("CONSUMER.CREATE.A.c", {"config": {"name": "c"}})
    r.api("CONSUMER.CREATE.A", {"stream_name": "A", "config": {"durable_name": "d"}})
    r.api("CONSUMER.DURABLE.CREATE.A.c", {"stream_name": "A", "config": {}})
    r.api("CONSUMER.DURABLE.CREATE.A.c", {"stream_name": "A", "config": {"durable_name": "d"}})
    r.api("CONSUMER.CREATE.A." + "x" * 256, {"stream_name": "A", "config": {"name": "x" * 256}})


def updates(r):
    stream(r)
    base = {"durable_name": "c", "ack_policy": "explicit", "max_ack_pending": 10}
    create(r, "c", base)
    for change in [
        {"max_ack_pending": 20}, {"ack_wait": 5000000000}, {"max_deliver": 7}, {"filter_subject": "a.1"}, {"filter_subjects": ["a.1", "a.2"]},
        {"description": "d"}, {"metadata": {"k": "v"}}, {"headers_only": True}, {"sample_freq": "100"}, {"backoff": [1000000000]},
        {"max_batch": 5}, {"deliver_policy": "new"}, {"ack_policy": "none"}, {"ack_policy": "all"}, {"replay_policy": "original"}, {"max_waiting": 7},
        {"mem_storage": True}, {"deliver_subject": "d"}, {"opt_start_seq": 3, "deliver_policy": "by_start_sequence"}, {"inactive_threshold": 1000000000},
    ]:
        create(r, "c", {**base, **change})
    r.api("CONSUMER.INFO.A.c")


def of_work_queues(r):
    stream(r, "W", retention="workqueue")
    for name, config in [
        ("none", {"ack_policy": "none"}), ("all", {"ack_policy": "all"}), ("new", {"ack_policy": "explicit", "deliver_policy": "new"}),
        ("one", {"ack_policy": "explicit", "filter_subject": "w.1"}), ("same", {"ack_policy": "explicit", "filter_subject": "w.1"}),
        ("any", {"ack_policy": "explicit"}), ("star", {"ack_policy": "explicit", "filter_subject": "w.*"}),
        ("two", {"ack_policy": "explicit", "filter_subject": "w.2"}), ("push", {"deliver_subject": "d", "ack_policy": "none", "filter_subject": "w.0"}),
    ]:
        create(r, name, {"durable_name": name, **config}, stream="W")
    r.api("CONSUMER.NAMES.W")


SCENARIOS = [made, policies, refused, updates, of_work_queues]
