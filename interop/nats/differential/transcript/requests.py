"""Requests that are wrong before anybody looks at what they ask for: JSON, subjects, bodies."""


def json_that_is_none(r):
    for body in [
        "{", '{"name":}', '{"name":"A",}', "nope", '{"name":"A"}x', '{"name":"\\q"}', '{"name":"a\nb"}', '{"name":"\\u12x"}',
        '{"x":01}', '{"x":-}', '{"x":1.}', '{"x":1e}', '{"x":tru}', '{"x":nul', '{"name":"A', '{"name"', '{"name" "x"}',
        '{"name":"x" "y"}', "[1 2]", "{a:1}", "{'a':1}", '{"name":"A"}}', "\0", "é", "[" * 20000,
    ]:
        r.api("STREAM.CREATE.A", body)


def json_of_another_shape(r):
    for body in [
        "[]", '"x"', "5", "null", "", "{}", '{"name":"A","foo":1}', '{"é":1}', '{"name":"A"} {"foo":1}', '{"name":1}',
        '{"subjects":"x"}', '{"subjects":[1]}', '{"max_msgs":"x"}', '{"max_msgs":1.5}', '{"max_msgs":1e2}',
        '{"max_msg_size":99999999999}', '{"first_seq":-1}', '{"retention":"x"}', '{"retention":null}', '{"retention":5}',
        '{"storage":"x"}', '{"discard":"x"}', '{"consumer_limits":{"x":1}}', '{"consumer_limits":{"max_ack_pending":"x"}}',
        '{"placement":{"cluster":5}}', '{"placement":5}', '{"sources":[{"name":5}]}', '{"sources":[5]}', '{"sources":{}}',
        '{"metadata":{"a":5}}', '{"metadata":[]}', '{"sources":[{"foo":5}]}', '{"mirror":{"opt_start_time":"xx"}}',
        '{"mirror":{"opt_start_time":5}}', '{"compression":"x"}', '{"compression":5}', '{"persist_mode":"x"}', '{"no_ack":"x"}',
        '{"max_age":"5s"}', '{"a":1,"b":2,"max_msgs":"x"}', '{"max_msgs":"x","a":1}', '{"foo":1,}', '{"max_msgs":9223372036854775808}',
        '{"a\\u003eb":1}', '{"a\\"b":1}', '{"NAME":"B"}',
    ]:
        r.api("STREAM.CREATE.A", body)
    for body in [
        '{"config":{"deliver_policy":"x"}}', '{"config":{"ack_policy":"x"}}', '{"config":{"replay_policy":"x"}}',
        '{"config":{"priority_policy":"x"}}', '{"config":{"backoff":["x"]}}', '{"config":{"backoff":5}}',
        '{"config":{"opt_start_time":"2020"}}', '{"config":{"opt_start_time":5}}', '{"config":{"x":1}}', '{"action":"x"}',
        '{"config":5}', '{"config":[]}', '{"config":{"filter_subjects":[5]}}', '{"config":{"rate_limit_bps":-1}}',
    ]:
        r.api("CONSUMER.CREATE.A", body)


def bodies_of_the_other_subjects(r):
    for subject in ["STREAM.NAMES", "STREAM.LIST", "STREAM.INFO.A", "CONSUMER.NAMES.A", "CONSUMER.LIST.A"]:
        for body in ['{"offset":"x"}', '{"offset":-1}', '{"foo":1}', "[]"]:
            r.api(subject, body)
    for body in ['{"seq":"x"}', '{"foo":1}', "5"]:
        for subject in ["STREAM.PURGE.A", "STREAM.MSG.GET.A", "STREAM.MSG.DELETE.A", "STREAM.DELETE.A", "CONSUMER.INFO.A.x",
                        "CONSUMER.DELETE.A.x", "INFO"]:
            r.api(subject, body)


def what_is_not_there(r):
    for subject in ["STREAM.INFO.A", "STREAM.DELETE.A", "STREAM.PURGE.A", "CONSUMER.NAMES.A", "CONSUMER.LIST.A",
                    "CONSUMER.INFO.A.x", "CONSUMER.DELETE.A.x", "STREAM.NAMES", "STREAM.LIST", "INFO"]:
        r.api(subject)
    r.api("STREAM.UPDATE.A", {"name": "A"})
    r.api("STREAM.MSG.GET.A", {"seq": 1})
    r.api("STREAM.MSG.DELETE.A", {"seq": 1})
    r.api("STREAM.MSG.GET.A")
    r.api("STREAM.MSG.DELETE.A")
    r.api("CONSUMER.CREATE.A", {"stream_name": "A", "config": {}})
    r.api("DIRECT.GET.A", {"seq": 1})
    r.api("CONSUMER.MSG.NEXT.A.x")
    r.request("nobody.listens")
    r.request("$JS.ACK.A.x.1.1.1.1.1")
    for subject in ["FOO", "STREAM.FOO.A", "STREAM.CREATE", "STREAM.INFO.A.B", "CONSUMER.INFO.A"]:
        r.silent("$JS.API." + subject)
    for subject in ["STREAM.LEADER.STEPDOWN.A", "CONSUMER.LEADER.STEPDOWN.A.x"]:
        r.api(subject)
    r.api("STREAM.PEER.REMOVE.A", {"peer": "x"})


def names(r):
    for name in ["a.b", "a*b", "a>b", "x" * 256, "a b"]:
        r.api("STREAM.CREATE.A", {"name": name})
    for name in ["x" * 255, "x" * 256, "a/b", "a\\b"]:
        r.api(f"STREAM.CREATE.{name}", {"name": name})
    r.api("STREAM.INFO." + "x" * 256)
    r.api("STREAM.CREATE.A", {"name": "B"})
    r.api("STREAM.UPDATE.A", {"name": "B"})


def required_level(r):
    r.setup("$JS.API.STREAM.CREATE.A", {"name": "A"})
    for level in ["0", "1", "999", "x"]:
        r.api("STREAM.INFO.A", headers=[("Nats-Required-Api-Level", level)])
    r.api("STREAM.CREATE.B", {"name": "B"}, headers=[("Nats-Required-Api-Level", "999")])


SCENARIOS = [json_that_is_none, json_of_another_shape, bodies_of_the_other_subjects, what_is_not_there, names, required_level]
