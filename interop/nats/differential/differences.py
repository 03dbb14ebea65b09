"""What we answer differently on purpose. Each is named in docs/compat.md; a declaration that isn't met any more, and one
whose words don't fit any more, fail the run, so that the list doesn't outlive its reasons.

A declaration says of an exchange what the reference answers and what we do: only if both are so, the difference is
declared.
"""

import re
from dataclasses import dataclass


@dataclass
class Difference:
    #: As in docs/compat.md.
    identity: str
    #: Which exchanges: what their place begins with, a regular expression.
    where: str
    #: What each says, somewhere in the answer: regular expressions.
    theirs: str
    ours: str
    reason: str


NO_RESPONDERS = r"NATS/1\.0 503"
NOTHING = r"^(\(reply\)\n\s*|\(nothing\))$"

DECLARED: list[Difference] = [
    Difference("deferred", r"edges/deferred |hostile/deferred |push/deferred |consumers/refused ", r"", r"err_code: (10052|10051), description: \"[\w' ]+ is not supported\"",
               "a feature that isn't here yet is refused by its name, also where the reference finds another mistake first"),
    Difference("stream-names", r"requests/names ", r"config: ", r"10052, .*topic name has 255 characters, the limit is 249", "a stream is a topic too"),
    Difference("consumer-names", r"consumers/refused ", r"10012, .*error creating store", r"10102, .*maximum allowed is 255", "the reason is told"),
    Difference("first-sequence", r"edges/windows ", r"first_seq: 9223372036854775807", r"10052, .*first sequence 9223372036854775807 is too large", "an offset has 63 bits, and room for messages is kept"),
    Difference("purge-beyond", r"edges/levels_and_pages ", r"success: true, purged: 0", r"10110, .*sequence 18446744073709551615 is too large", "the same"),
    Difference("pending-without-headers", r"messages/direct_get_bounds ", r"Pending: 4\\r\\nNats-Last-Sequence: 4", r"Pending: 2\\r\\nNats-Last-Sequence: 4", "with no_hdr the reference forgets to count down"),
    Difference("up-to-beyond", r"messages/direct_get_bounds ", r"404 No Results", r"Nats-UpTo-Sequence: 99", "up_to_seq beyond the last message means all, not none"),
    Difference("acks-with-domain", r"pull/acks_with_domain ", NO_RESPONDERS, NOTHING, "the newer form of ack subjects is always taken"),
    Difference("max-deliveries-told", r"pull/redelivery ", r"^\(nothing\)$", r"MAX_DELIVERIES", "told when the last ack wait is over; the reference tells when somebody asks for more"),
    Difference("max-deliveries-pending", r"pull/redelivery |clock/backoff ", r"ack_floor: \{consumer_seq: 0, ", r"ack_floor: \{consumer_seq: [1-9].* num_ack_pending: 0, ", "and not pending any more from then on"),
    Difference("header-spaces", r"edges/time_to_live ", r"bytes: 613,", r"bytes: 612,", "spaces between a header's colon and its value aren't part of the value: Kafka has no place for them"),
    Difference("reserved-bytes", r"edges/windows ", r"10047, .*insufficient storage", r"max_bytes: 9223372036854775807", "max_bytes is a limit; no disk is set aside for it"),
]


def declared(place, left, right, used):
    """Whether this difference is. Notes which declaration says so."""
    for one in DECLARED:
        if re.match(one.where, place) and re.search(one.theirs, left) and re.search(one.ours, right):
            used.add(one.identity)
            return True
    return False


def unused(used):
    return [one.identity for one in DECLARED if one.identity not in used]
