"""Two consumers of one group: the second joins, both get partitions, one leaves, the other takes over.

Each member polls in a thread of its own, as two processes would. A member commits when partitions are
taken from it and when it leaves, so every record must be handed out exactly once over the whole run.
"""

import threading
import time

from report import create, expect

PARTITIONS = 4
WAIT_SECONDS = 60


class Group:
    """What the members of one run share: the records handed out and who holds which partition."""

    def __init__(self):
        self.changed = threading.Condition()
        self.handed_out = []
        self.errors = []

    def wait(self, what, condition):
        deadline = time.monotonic() + WAIT_SECONDS
        with self.changed:
            while not condition():
                if self.errors:
                    raise self.errors[0]
                if not self.changed.wait(deadline - time.monotonic()):
                    raise TimeoutError(f"not within {WAIT_SECONDS} s: {what}")


class Member(threading.Thread):
    """Base of the adapters' members, which implement `poll_loop` and call `note` after every poll."""

    def __init__(self, group, label):
        super().__init__(name=label, daemon=True)
        self.group, self.label = group, label
        self.assigned = set()
        self.stopping = threading.Event()

    def note(self, assigned, records):
        """`records`: (partition, offset, value) of one poll."""
        if not records and assigned == self.assigned:
            return
        with self.group.changed:
            self.assigned = set(assigned)
            self.group.handed_out += [(self.label, *record) for record in records]
            self.group.changed.notify_all()

    def run(self):
        try:
            self.poll_loop()
        except Exception as error:
            with self.group.changed:
                self.group.errors.append(error)
                self.group.changed.notify_all()

    def leave(self):
        self.stopping.set()
        self.join(WAIT_SECONDS)
        expect(not self.is_alive(), f"member {self.label} does not end")


def group_check(client, admin, topic, records):
    create(admin, topic, PARTITIONS)
    group_id = topic + "-members"
    group = Group()
    quarter = records // 4
    sent = []

    def produce():
        first = len(sent)
        sent.extend(b"%d" % i for i in range(first, first + quarter))
        now_ms = int(time.time() * 1000)
        client.produce(topic, "none", ((v, v, now_ms, None) for v in sent[first:]), False)

    def wait_consumed():
        group.wait(f"{len(sent)} records handed out", lambda: len(group.handed_out) >= len(sent))

    members = []
    try:
        a = client.member(group, "a", topic, group_id)
        members.append(a)
        a.start()
        group.wait("the only member holds all partitions", lambda: len(a.assigned) == PARTITIONS)
        produce()
        wait_consumed()
        # Not waited for: the second member joins while the first one reads.
        produce()
        b = client.member(group, "b", topic, group_id)
        members.append(b)
        b.start()
        group.wait("both members hold two partitions", lambda: len(a.assigned) == 2 and len(b.assigned) == 2)
        expect(not (a.assigned & b.assigned), "a partition has two owners")
        wait_consumed()
        produce()
        wait_consumed()
        shares = {label: sum(1 for r in group.handed_out if r[0] == label) for label in "ab"}
        expect(shares["b"] > 0, f"the second member got nothing: {shares}")
        a.leave()
        group.wait("the one that stayed holds all partitions", lambda: len(b.assigned) == PARTITIONS)
        produce()
        wait_consumed()
    finally:
        for member in members:
            member.leave()
    expect(not group.errors, f"{group.errors}")
    values = [r[3] for r in group.handed_out]
    expect(len(values) == len(set(values)), f"{len(values) - len(set(values))} records handed out twice")
    expect(set(values) == set(sent), f"{len(set(sent) - set(values))} records lost")
    ends = {p: admin.watermarks(topic, p)[1] for p in range(PARTITIONS)}
    committed = {p: (admin.committed(group_id, topic, p) or (0, ""))[0] for p in range(PARTITIONS)}
    expect(ends == committed, f"committed {committed}, ends {ends}")
    admin.delete_topic(topic)
    return len(sent)
