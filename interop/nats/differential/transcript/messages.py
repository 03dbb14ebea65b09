"""Single messages: by sequence, by subject, by time, many at once."""


def fill(r, **config):
    r.setup("$JS.API.STREAM.CREATE.A", {"name": "A", "subjects": ["a.>"], **config})
    for index in range(6):
        r.setup(f"a.{index % 3}", f"message {index}", [("N", str(index))] if index % 2 else None)
    r.setup("$JS.API.STREAM.MSG.DELETE.A", {"seq": 3})


REQUESTS = [
    {"seq": 1}, {"seq": 2}, {"seq": 3}, {"seq": 99}, {"last_by_subj": "a.0"}, {"last_by_subj": "a.2"}, {"last_by_subj": "none"},
    {"last_by_subj": "a.*"}, {"next_by_subj": "a.1"}, {"next_by_subj": "a.1", "seq": 3}, {"next_by_subj": "a.>", "seq": 3},
    {"next_by_subj": "a.1", "seq": 9}, {"next_by_subj": "none"}, {"seq": 1, "last_by_subj": "a.0"}, {"last_by_subj": "a.0", "next_by_subj": "a.0"},
    {}, "", {"start_time": "2001-01-01T00:00:00Z"}, {"start_time": "2031-01-01T00:00:00Z"},
    {"start_time": "2001-01-01T00:00:00Z", "next_by_subj": "a.2"}, {"seq": 1, "start_time": "2001-01-01T00:00:00Z"}, {"seq": 1, "no_hdr": True},
    {"seq": 2, "no_hdr": True},
]


def get(r):
    fill(r)
    for body in REQUESTS:
        r.api("STREAM.MSG.GET.A", body)
    r.api("STREAM.MSG.GET.A", {"seq": 1, "batch": 2})
    r.api("STREAM.MSG.GET.A", {"multi_last": ["a.0"]})


def direct_get(r):
    fill(r, allow_direct=True)
    for body in REQUESTS:
        r.api("DIRECT.GET.A", body)
    for subject in ["a.0", "a.2", "a.none", "none"]:
        r.api(f"DIRECT.GET.A.{subject}")
    r.api("DIRECT.GET.A.a.0", {"seq": 1})
    r.api("DIRECT.GET.A", '{"seq":')
    r.api("DIRECT.GET.A", '{"foo":1}')


def direct_get_of_many(r):
    fill(r, allow_direct=True)
    for body, frames in [
        ({"seq": 1, "batch": 3}, 4), ({"seq": 1, "batch": 99}, 6), ({"batch": 2, "next_by_subj": "a.1"}, 3), ({"seq": 4, "batch": 2, "next_by_subj": "a.>"}, 3),
        ({"seq": 99, "batch": 2}, 1), ({"batch": 3, "seq": 1, "max_bytes": 60}, 3), ({"batch": 2, "start_time": "2001-01-01T00:00:00Z"}, 3),
        ({"multi_last": ["a.0", "a.2"]}, 3), ({"multi_last": ["a.>"]}, 4), ({"multi_last": ["none"]}, 1), ({"multi_last": ["a.>"], "batch": 1}, 2),
        ({"multi_last": ["a.>"], "up_to_seq": 4}, 4), ({"multi_last": ["a.>"], "up_to_seq": 1}, 2), ({"multi_last": ["a.>"], "up_to_time": "2001-01-01T00:00:00Z"}, 1),
        ({"multi_last": ["a.>"], "seq": 1}, 4), ({"multi_last": []}, 1), ({"batch": 2}, 3), ({"last_by_subj": "a.0", "batch": 2}, 1),
        ({"multi_last": ["a.>"], "up_to_seq": 4, "up_to_time": "2031-01-01T00:00:00Z"}, 1),
    ]:
        r.api("DIRECT.GET.A", body, frames=frames, seconds=2)


def direct_get_bounds(r):
    """Counts and bytes at their edges, page after page, and as of a time."""
    fill(r, allow_direct=True)
    for body, frames in [
        ({"batch": -1, "seq": 1}, 1), ({"batch": 0, "seq": 1}, 1), ({"batch": 3, "seq": 1, "max_bytes": 1}, 2), ({"batch": 3, "seq": 1, "max_bytes": 12}, 2), ({"batch": 3, "seq": 1, "max_bytes": 13}, 3),
        ({"batch": 3, "seq": 1, "max_bytes": -1}, 2), ({"seq": 2, "max_bytes": 1}, 1), ({"batch": 1, "seq": 5}, 2), ({"batch": 9, "seq": 5, "next_by_subj": "a.2"}, 2), ({"batch": 2, "seq": 2, "no_hdr": True}, 3),
        ({"multi_last": ["a.>"], "max_bytes": 1}, 2), ({"multi_last": ["a.>"], "max_bytes": 13}, 3), ({"multi_last": ["a.>"], "max_bytes": -1}, 2), ({"multi_last": ["a.>"], "batch": 2}, 3),
        ({"multi_last": ["a.>"], "batch": 2, "seq": 6, "up_to_seq": 6}, 2), ({"multi_last": ["a.>"], "seq": 5}, 3), ({"multi_last": ["a.>"], "seq": 9}, 1), ({"multi_last": ["a.>"], "batch": -1}, 4),
        ({"multi_last": ["a.>"], "up_to_seq": 99}, 4), ({"multi_last": ["a..b"]}, 1), ({"multi_last": ["a.0", "a.*"]}, 4), ({"multi_last": ["a.0", "a.0"]}, 2), ({"multi_last": ["a.>"], "no_hdr": True}, 4),
        ({"multi_last": ["a.>"], "start_time": "2001-01-01T00:00:00Z"}, 4), ({"multi_last": ["a.>"], "last_by_subj": "a.0"}, 1), ({"batch": 2, "start_time": "2031-01-01T00:00:00Z"}, 1),
    ]:
        r.api("DIRECT.GET.A", body, frames=frames, seconds=0.5)
    for sequence in [1, 2, 4, 6]:
        time = r.setup("$JS.API.STREAM.MSG.GET.A", {"seq": sequence})["message"]["time"]
        r.name(time, f"<when {sequence} came>")
        r.api("DIRECT.GET.A", {"multi_last": ["a.>"], "up_to_time": time}, frames=4, seconds=0.3)
        r.api("DIRECT.GET.A", {"batch": 2, "start_time": time}, frames=3, seconds=0.3)
        r.api("STREAM.MSG.GET.A", {"start_time": time})
    for subject, body in [("a.0", {"max_bytes": 1}), ("a.*", ""), ("a..b", ""), ("a.0", "{"), ("a.0", {"batch": 2}), ("a.0", {"no_hdr": True})]:
        r.api(f"DIRECT.GET.A.{subject}", body)
    r.setup("$JS.API.STREAM.CREATE.M", {"name": "M", "allow_direct": True, "storage": "memory"})
    r.api("DIRECT.GET.M", {"multi_last": [">"]})
    r.api("DIRECT.GET.M", {"batch": 1, "seq": 1})
    r.api("STREAM.MSG.DELETE.M", {"seq": 9})
    r.api("STREAM.MSG.DELETE.M", {"seq": 0})


def direct_get_not_allowed(r):
    fill(r)
    r.api("DIRECT.GET.A", {"seq": 1})
    r.api("DIRECT.GET.A.a.1")


SCENARIOS = [get, direct_get, direct_get_of_many, direct_get_bounds, direct_get_not_allowed]
