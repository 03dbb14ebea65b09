"""A NATS client of raw bytes: what goes over the socket is what the transcript says, and every frame comes back whole.

It knows the protocol's framing and nothing above it, so that a malformed request can be sent as well as a good one.
"""

import json
import select
import socket
import time
from dataclasses import dataclass, field

#: How long a frame that is expected may take; a missing reply is a difference, not a hang.
REPLY_SECONDS = 5


@dataclass
class Frame:
    """One frame from the server; `verb` is INFO, MSG, HMSG, PING, PONG, +OK or -ERR."""

    verb: str
    subject: str = ""
    sid: str = ""
    reply: str = ""
    header: bytes = b""
    body: bytes = b""
    text: str = ""


@dataclass
class Client:
    address: str
    name: str = "differential"
    connect: dict = field(default_factory=dict)

    def __post_init__(self):
        host, port = self.address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=REPLY_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.queue = []
        self.closed = False
        self.info = json.loads(self.read_frame().text)
        options = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True,
                   "lang": "raw", "version": "1", "protocol": 1, "name": self.name, **self.connect}
        self.send(b"CONNECT " + json.dumps(options).encode() + b"\r\n")
        self.flush()

    def send(self, data):
        self.socket.sendall(data)

    def publish(self, subject, body=b"", reply="", headers=None):
        """`headers` is a list of (name, value) or the raw block; None sends PUB."""
        reply = reply + " " if reply else ""
        if headers is None:
            self.send(f"PUB {subject} {reply}{len(body)}\r\n".encode() + body + b"\r\n")
            return
        block = headers if isinstance(headers, bytes) else b"NATS/1.0\r\n" + b"".join(
            f"{name}: {value}\r\n".encode() for name, value in headers) + b"\r\n"
        self.send(f"HPUB {subject} {reply}{len(block)} {len(block) + len(body)}\r\n".encode() + block + body + b"\r\n")

    def subscribe(self, subject, sid, queue=""):
        self.send(f"SUB {subject} {queue + ' ' if queue else ''}{sid}\r\n".encode())

    def unsubscribe(self, sid):
        self.send(f"UNSUB {sid}\r\n".encode())

    def close(self):
        self.socket.close()

    # -- reading ---------------------------------------------------------------------------------------------

    def fill(self, deadline):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([self.socket], [], [], left)[0]:
            raise TimeoutError
        data = self.socket.recv(1 << 16)
        if not data:
            self.closed = True
            raise ConnectionError("closed by the server")
        self.buffer += data

    def take(self, count, deadline):
        while len(self.buffer) < count:
            self.fill(deadline)
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def read_frame(self, seconds=REPLY_SECONDS):
        """The next frame. Raises TimeoutError or ConnectionError; a frame that has begun is always read whole."""
        deadline = time.monotonic() + seconds
        while b"\r\n" not in self.buffer:
            self.fill(deadline)
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        text = line.decode(errors="replace")
        verb, _, rest = text.partition(" ")
        if verb not in ("MSG", "HMSG"):
            return Frame(verb, text=rest)
        deadline = max(deadline, time.monotonic() + REPLY_SECONDS)
        words = rest.split()
        header_size = int(words.pop(-2)) if verb == "HMSG" else 0
        size = int(words.pop())
        payload = self.take(size + 2, deadline)[:-2]
        reply = words[2] if len(words) > 2 else ""
        return Frame(verb, words[0], words[1], reply, payload[:header_size], payload[header_size:])

    def frame(self, seconds=REPLY_SECONDS):
        """The next frame that isn't the server's own business (PING is answered, INFO skipped)."""
        deadline = time.monotonic() + seconds
        if self.queue:
            return self.queue.pop(0)
        while True:
            frame = self.read_frame(max(0, deadline - time.monotonic()))
            if frame.verb == "PING":
                self.send(b"PONG\r\n")
            elif frame.verb != "INFO":
                return frame

    def flush(self):
        """PING, and back with the frames that came before its PONG, kept for `frame`."""
        self.send(b"PING\r\n")
        kept = []
        while True:
            frame = self.frame()
            if frame.verb == "PONG":
                self.queue = kept + self.queue
                return
            kept.append(frame)
