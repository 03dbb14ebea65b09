"""Sends what the transcript says and writes down what comes back, as text in which only what must differ is masked.

Masked: times, ids, names that the server invents, its own name and version. Everything else, the order of fields and
the bytes of a header block included, is compared.
"""

import json
import re
import time
from dataclasses import dataclass

from client import Client

#: How long to wait for what must not come.
QUIET_SECONDS = 0.2
#: How long to wait for an answer that may not come: servers run side by side, and a slow one must not look like a mute one.
MAYBE_SECONDS = 0.5
ZERO_TIME = "0001-01-01T00:00:00Z"
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
ACK_SUBJECT = re.compile(r"(\$JS\.ACK\.[^.\s]+\.[^.\s]+\.\d+\.\d+\.\d+\.)\d{10,}(\.\d+)")
FLOW_SUBJECT = re.compile(r"(\$JS\.FC\.[^.\s]+\.[^.\s]+\.)[A-Za-z0-9]+")
#: Times that the transcript itself gives are recognised by their year and stay.
GIVEN_YEARS = ("2001-", "2030-", "2031-")


@dataclass
class Exchange:
    """One thing sent and all that came back for it."""

    place: str
    sent: str
    received: str


class Recorder:
    def __init__(self, address, scenario):
        self.scenario = scenario
        self.exchanges, self.names = [], {}
        self.client = Client(address)
        self.client.subscribe("_INBOX.differential.>", "1")
        self.client.flush()
        self.waiting, self.count = [], 0

    # -- sending ---------------------------------------------------------------------------------------------

    def request(self, subject, body=b"", headers=None, seconds=5, frames=1):
        """A request with a reply subject; `frames` replies are waited for, and written down."""
        body = encode(body)
        self.count += 1
        reply = f"_INBOX.differential.{self.count}"
        self.client.publish(subject, body, reply, headers)
        received = self.take(frames, lambda frame: frame.subject == reply or frame.verb == "-ERR", seconds)
        self.write(f"{subject} {show(body)}{show_headers(headers)}", received)
        return received[0] if received else None

    def api(self, subject, body=b"", headers=None, **options):
        return self.request("$JS.API." + subject, body, headers, **options)

    def maybe(self, subject, body=b"", headers=None):
        """A request that may stay without an answer."""
        return self.request(subject, body, headers, seconds=MAYBE_SECONDS)

    def silent(self, subject, body=b"", headers=None):
        """A request that must stay without an answer."""
        return self.request(subject, body, headers, seconds=QUIET_SECONDS)

    def publish(self, subject, body=b"", reply="", headers=None):
        """Without waiting for anything."""
        self.client.publish(subject, encode(body), reply, headers)

    def setup(self, subject, body=b"", headers=None):
        """A request that isn't part of the comparison."""
        self.count += 1
        reply = f"_INBOX.differential.{self.count}"
        self.client.publish(subject, encode(body), reply, headers)
        frames = self.take(1, lambda frame: frame.subject == reply, 5)
        return json.loads(frames[0].body) if frames and frames[0].body else None

    def subscribe(self, subject, sid, queue=""):
        self.client.subscribe(subject, sid, queue)
        self.client.flush()

    def unsubscribe(self, sid):
        self.client.unsubscribe(sid)
        self.client.flush()

    def deliveries(self, label, sid, count, seconds=3):
        """`count` messages of a subscription, and that no more come; written down as one exchange."""
        received = self.take(count, lambda frame: frame.sid == sid, seconds)
        if len(received) == count:
            received += self.take(1, lambda frame: frame.sid == sid, QUIET_SECONDS)
        self.write(label, received)
        return received

    def pull(self, stream, consumer, body, count, seconds=3):
        """A pull request; `count` frames are waited for, and that no more come."""
        self.count += 1
        reply = f"_INBOX.differential.{self.count}"
        self.client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}", encode(body), reply)
        mine = lambda frame: frame.subject == reply or (frame.reply and frame.reply.startswith("$JS.ACK") and frame.sid == "1")
        received = self.take(count, mine, seconds)
        if len(received) == count:
            received += self.take(1, mine, QUIET_SECONDS)
        self.write(f"pull {stream} {consumer} {show(encode(body))}", received)
        return received

    def raw(self, data, connect=None, seconds=0.5):
        """Bytes on a connection of their own, then a PING: every frame until its PONG, or until the server closes."""
        client = Client(self.client.address, connect=connect or {})
        lines = []
        try:
            client.send(data + b"PING\r\n")
            while True:
                frame = client.read_frame(seconds)
                if frame.verb == "INFO":
                    continue
                lines.append(self.show(frame) if frame.verb in ("MSG", "HMSG") else f"{frame.verb} {frame.text}".strip())
                if frame.verb == "PONG":
                    break
        except TimeoutError:
            lines.append("(silence)")
        except OSError:
            lines.append("(closed)")
        client.close()
        self.write(f"raw {show(data)}{f' by a client of {connect}' if connect else ''}", [])
        self.exchanges[-1].received = "\n".join(lines)

    def take(self, count, wanted, seconds):
        """Up to `count` frames that are wanted; others are kept for whoever wants them."""
        deadline = time.monotonic() + seconds
        taken = []
        for frame in list(self.waiting):
            if len(taken) < count and wanted(frame):
                self.waiting.remove(frame)
                taken.append(frame)
        while len(taken) < count:
            try:
                frame = self.client.frame(max(0, deadline - time.monotonic()))
            except (TimeoutError, OSError):
                break
            if wanted(frame):
                taken.append(frame)
            else:
                self.waiting.append(frame)
        return taken

    # -- writing down ----------------------------------------------------------------------------------------

    def name(self, invented, stands_for):
        """From here on `invented` (a name the server made up) is written as `stands_for`."""
        if invented:
            self.names[invented] = stands_for

    def write(self, sent, frames):
        received = "\n".join(self.show(frame) for frame in frames) or "(nothing)"
        place = f"{self.scenario} {len(self.exchanges) + 1}"
        for invented, stands_for in self.names.items():
            received, sent = received.replace(invented, stands_for), sent.replace(invented, stands_for)
        self.exchanges.append(Exchange(place, sent, received))

    def show(self, frame):
        if frame.verb == "-ERR":
            return f"-ERR {frame.text}"
        subject = "(reply)" if frame.subject.startswith("_INBOX.differential.") else frame.subject
        lines = [f"{subject}{' reply ' + frame.reply if frame.reply else ''}"]
        if frame.header:
            lines.append("  " + mask(frame.header.decode(errors="backslashreplace").replace("\r\n", "\\r\\n")))
        lines.append("  " + show_body(frame.body))
        return mask_subjects("\n".join(lines))


def encode(body):
    if isinstance(body, (dict, list)):
        return json.dumps(body).encode()
    return body.encode() if isinstance(body, str) else body


def show(body):
    text = body.decode(errors="backslashreplace")
    return text if len(text) <= 400 else f"{text[:400]}… ({len(text)} characters)"


def show_headers(headers):
    return f" with {headers}" if headers else ""


def mask_subjects(text):
    text = ACK_SUBJECT.sub(r"\1<time>\2", text)
    return FLOW_SUBJECT.sub(r"\1<id>", text)


def mask(text):
    def one(match):
        found = match.group(0)
        return found if found == ZERO_TIME or found.startswith(GIVEN_YEARS) else "<time>"

    return RFC3339.sub(one, text)


def show_body(body):
    """JSON is masked value by value, its order kept; anything else is shown as it is."""
    if not body.startswith(b"{"):
        return mask(show(body))
    try:
        pairs = json.loads(body, object_pairs_hook=Fields)
    except ValueError:
        return mask(show(body))
    masked = mask_value(pairs, ())
    text = dump(masked)
    # Spaces and escapes are part of the answer too: an answer that differs only there is told apart by its length.
    return f"{text}  [{spacing(body)}]"


class Fields(list):
    """An object's fields in their order."""


#: Fields whose value is the server's own.
OWN = {
    ("id",): "<id>", ("_nats.ver",): "<version>", ("_nats.level",): "<level>",
    ("api", "level"): "<level>", ("api", "total"): "<count>", ("api", "errors"): "<count>", ("api", "inflight"): None,
    ("cluster", "leader"): "<server>", ("pause_remaining",): "<span>", ("ack_time",): "<span>",
}


def mask_value(value, path):
    if isinstance(value, Fields):
        kept = Fields()
        for key, inner in value:
            own = OWN.get((*path, key)[-2:], OWN.get((key,), ""))
            if own is None:
                continue
            kept.append((key, own or mask_value(inner, (*path, key))))
        return kept
    if isinstance(value, list):
        return [mask_value(inner, path) for inner in value]
    return mask(value) if isinstance(value, str) else value


def dump(value):
    if isinstance(value, Fields):
        return "{" + ", ".join(f"{key}: {dump(inner)}" for key, inner in value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(dump, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def spacing(body):
    """What a JSON reader doesn't see: blanks outside of strings and the escapes that were chosen."""
    outside = re.sub(rb'"(?:\\.|[^"\\])*"', b"", body)
    escapes = sorted(set(re.findall(rb"\\u[0-9a-f]{4}", body)))
    return f"{outside.count(b' ')} blanks; {' '.join(e.decode() for e in escapes) or 'no escapes'}"

