"""The protocol itself, by somebody who means harm: lengths that lie, lines without an end, subjects that are none."""


def lengths(r):
    for data in [
        b"PUB a 5\r\nhello\r\n", b"PUB a 3\r\nhello\r\n", b"PUB a 5\r\nhelloX\r\n", b"PUB a -1\r\n\r\n", b"PUB a x\r\n", b"PUB a 1x\r\nx\r\n", b"PUB a\r\n", b"PUB\r\n",
        b"PUB a b c 1\r\nx\r\n", b"PUB a 99999999999999999999\r\n", b"PUB a 1048577\r\n", b"PUB a 9999999999\r\n",
        b"HPUB a 12 12\r\nNATS/1.0\r\n\r\n\r\n", b"HPUB a 12 5\r\nhello\r\n", b"HPUB a 99 12\r\nNATS/1.0\r\n\r\n\r\n", b"HPUB a -1 5\r\nhello\r\n", b"HPUB a 5\r\nhello\r\n",
        b"HPUB a x 5\r\nhello\r\n", b"HPUB a 5 5\r\nhello\r\n", b"HPUB a 0 5\r\nhello\r\n", b"HPUB a 5 1048577\r\n", b"HPUB a r s 5 5\r\n",
    ]:
        r.raw(data)


def lines(r):
    for data in [
        b"FOO\r\n", b"P\r\n", b"PIN\r\n", b"PINGX\r\n", b"pInG\r\n", b"PING \r\n", b"PONG\r\n", b"\r\n", b"\n", b"+OK\r\n", b"-ERR x\r\n", b"INFO {}\r\n", b"MSG a 1 0\r\n\r\n",
        b"SUB " + b"a" * 5000, b"PUB " + b"a" * 5000, b"SUB " + b"a" * 5000 + b"\r\n", b"CONNECT " + b"{" * 5000, b"UNSUB " + b"1" * 5000,
        b"SUB\r\n", b"SUB a\r\n", b"SUB a b c d\r\n", b"SUB  a\t1\r\n", b"sub a 1\r\n", b"UNSUB\r\n", b"UNSUB 77\r\n", b"UNSUB 1 x\r\n", b"UNSUB 1 -1\r\n", b"UNSUB 1 2 3\r\n",
        b"CONNECT {}\r\n", b"CONNECT {\r\n", b"CONNECT nope\r\n", b"CONNECT []\r\n", b"CONNECT\r\n", b'CONNECT {"verbose":"x"}\r\n', b'CONNECT {"protocol":9}\r\n', b'CONNECT {"protocol":-1}\r\n',
        b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"\0\0\0\0\r\n",
    ]:
        r.raw(data)


def subjects(r):
    for data in [
        b"SUB a..b 1\r\n", b"SUB .a 1\r\n", b"SUB a. 1\r\n", b"SUB > 1\r\n", b"SUB a.> 1\r\n", b"SUB a.>.b 1\r\n", b"SUB a*b 1\r\n", b"SUB a.*b 1\r\n", b"SUB a>b 1\r\n", b"SUB . 1\r\n",
        b"SUB \xff 1\r\n", b"SUB a\0b 1\r\n", b"SUB a q..r 1\r\n", b"SUB a q 1\r\nPUB a 1\r\nx\r\n", b"SUB a 1\r\nSUB a 1\r\nPUB a 1\r\nx\r\n",
        b"SUB a 1\r\nUNSUB 1 1\r\nPUB a 1\r\nx\r\nPUB a 1\r\ny\r\n", b"SUB a 1\r\nUNSUB 1\r\nPUB a 1\r\nx\r\n",
        b"SUB a.* 1\r\nPUB a. 1\r\nx\r\n", b"SUB > 1\r\nPUB a..b 1\r\nx\r\n", b"SUB > 1\r\nPUB a.* 1\r\nx\r\n", b"SUB > 1\r\nPUB > 1\r\nx\r\n", b"SUB > 1\r\nPUB a.b r.* 1\r\nx\r\n",
        b"SUB > 1\r\nPUB a.b r..s 1\r\nx\r\n",
    ]:
        r.raw(data)
        r.raw(data, {"pedantic": True})


def verbose(r):
    for data in [b"", b"SUB a 1\r\nPUB a 1\r\nx\r\nUNSUB 1\r\n", b"PONG\r\n", b"UNSUB 9\r\n", b"SUB a..b 1\r\n", b"CONNECT {\"verbose\":true}\r\n"]:
        r.raw(data, {"verbose": True})


def headers(r):
    block = lambda data: b"HPUB a %d %d\r\n" % (len(data), len(data)) + data + b"\r\n"
    for data in [b"NATS/1.0\r\nA: b\r\n\r\n", b"NATS/1.0\r\n\r\n", b"NATS/1.0 503\r\n\r\n", b"nope\r\n\r\n", b"NATS/1.0\r\nA\r\n\r\n", b"NATS/1.0\r\nA: b", b"\r\n", b"NATS/1.0\r\nA:b\r\n a: c\r\n\r\n"]:
        r.raw(b"SUB a 1\r\n" + block(data))
    r.raw(b"SUB a 1\r\n" + block(b"NATS/1.0\r\nA: b\r\n\r\n"), {"headers": False, "no_responders": False})
    r.raw(b"SUB a 1\r\nPUB a 1\r\nx\r\n", {"headers": False, "no_responders": False})
    r.raw(b"SUB a 1\r\nPUB a 1\r\nx\r\n", {"echo": False})
    r.raw(b"SUB r 1\r\nPUB nobody r 1\r\nx\r\n")
    r.raw(b"SUB r 1\r\nPUB nobody r 1\r\nx\r\n", {"no_responders": False})
    r.raw(b"SUB r.* 1\r\nPUB nobody r.1 1\r\nx\r\n")


SCENARIOS = [lengths, lines, subjects, verbose, headers]
