"""Limits: exact after every publish, and what is said when one is reached."""


def state(r, stream="A"):
    r.api(f"STREAM.INFO.{stream}", {"subjects_filter": ">", "deleted_details": True})


def discard_old(r):
    for name, limit in [("M", {"max_msgs": 3}), ("B", {"max_bytes": 150}), ("P", {"max_msgs_per_subject": 1})]:
        r.setup(f"$JS.API.STREAM.CREATE.{name}", {"name": name, "subjects": [f"{name}.>"], **limit})
        for index in range(5):
            r.setup(f"{name}.{index % 2}", f"message {index}")
        state(r, name)


def discard_new(r):
    for name, limit in [("M", {"max_msgs": 2}), ("B", {"max_bytes": 100}), ("P", {"max_msgs": 3, "max_msgs_per_subject": 1}),
                        ("D", {"max_msgs_per_subject": 1, "discard_new_per_subject": True, "allow_rollup_hdrs": True})]:
        r.setup(f"$JS.API.STREAM.CREATE.{name}", {"name": name, "subjects": [f"{name}.>"], "discard": "new", **limit})
        for index in range(4):
            r.request(f"{name}.{index % 2}", f"message {index}")
        state(r, name)
    r.request("D.0", "rolled", headers=[("Nats-Rollup", "sub")])
    state(r, "D")


def message_size(r):
    r.setup("$JS.API.STREAM.CREATE.A", {"name": "A", "max_msg_size": 50})
    r.request("A", "x" * 50)
    r.request("A", "x" * 51)
    r.request("A", "x" * 40, headers=[("X", "y")])
    r.request("A", "x" * 20, headers=[("X", "y")])


def lowered_limits(r):
    r.setup("$JS.API.STREAM.CREATE.A", {"name": "A", "subjects": ["a.>"]})
    for index in range(10):
        r.setup(f"a.{index % 2}", "x")
    for limit in [{"max_msgs_per_subject": 4}, {"max_msgs": 5}, {"max_bytes": 100}]:
        r.setup("$JS.API.STREAM.UPDATE.A", {"name": "A", "subjects": ["a.>"], **limit})
        state(r)


def max_consumers(r):
    r.setup("$JS.API.STREAM.CREATE.A", {"name": "A", "max_consumers": 1})
    for name in ["one", "two"]:
        r.api(f"CONSUMER.CREATE.A.{name}", {"stream_name": "A", "config": {"name": name, "durable_name": name, "ack_policy": "explicit"}})


def memory(r):
    r.setup("$JS.API.STREAM.CREATE.A", {"name": "A", "subjects": ["a.>"], "storage": "memory", "max_msgs": 2})
    for index in range(4):
        r.request(f"a.{index}", "x")
    state(r)
    r.api("STREAM.PURGE.A")
    state(r)


SCENARIOS = [discard_old, discard_new, message_size, lowered_limits, max_consumers, memory]
