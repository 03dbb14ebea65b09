"""Judges a history as it grows: which promise of a log did the broker break?

Names of anomalies are Jepsen's (tests/kafka) where it has one. A *key* is one partition of one topic
incarnation; see ``history`` for the operations.

| name | what was seen |
|---|---|
| inconsistent-offsets | one offset of a key showed two values: in any polls, whole reads, acknowledgements |
| duplicate            | one value at two offsets of a key. From a producer without idempotence it is excused if the
                         broker died while the send was open |
| lost-write           | an acknowledged value is missing although a later one of its key is there |
| unseen               | an acknowledged value is missing at the end of its key |
| revealed-lost        | a value that a consumer was given is gone from a later whole read |
| nonmonotonic-send    | two values of one producer and key stand, or were acknowledged, in the wrong order. Without
                         idempotence librdkafka sends what it retries behind what it sent meanwhile: excused where
                         the send took as long as a retry takes, or the broker died meanwhile |
| poll-skip, nonmonotonic-poll         | an assigned consumer's successive polls left a value out, or went back |
| int-poll-skip, int-nonmonotonic-poll | the same inside one poll |
| G1a                  | a value was read whose send failed for sure |
| unexpected           | a value was read that nobody sent to that key |
| hw-regression        | the high watermark is below something that was acknowledged, read, or told before |
| retention-early-delete | the log start moved, though nothing in these runs may trim |
| offset-regression    | a committed offset is older than an acknowledged commit |
| unexpected-commit    | a committed offset that nobody committed |
| topic-lost, topic-resurrected | an acknowledged creation or deletion of a topic didn't last |
| and, from ``fault`` operations | broker-exit, start-failed, stuck-producer, stuck-consumer, producer-fatal, corrupt-value |

What JetStream's clients see is judged by ``jetstream_rules``, under names that begin with ``js-``.

Not anomalies but counted: ``retry-duplicates`` and ``retry-reorders``, the excused ones.
"""

from collections import Counter, defaultdict

from duolog_reliability.jetstream_rules import JetStreamRules

EXAMPLES_KEPT = 20
# Producers without idempotence wait 200 ms before a retry, less a fifth that librdkafka varies by.
RETRY_AFTER_NS = 150_000_000


class Key:
    """What is known of one partition."""

    __slots__ = ("by_offset", "by_value", "acked", "unverified", "polled", "log", "in_log", "newest_sequence",
                 "revealed_end", "acked_end", "hi", "gaps")

    def __init__(self):
        self.by_offset = {}        # offset -> the first value seen there
        self.by_value = {}         # value -> the first offset it was seen at
        self.acked = {}            # value -> acknowledged offset, or None where the client wasn't told one
        self.unverified = set()    # acknowledged, in no whole read yet
        self.polled = {}           # offset -> value, polled since the last whole read
        self.log = []              # the last whole read
        self.in_log = set()        # its values
        self.newest_sequence = {}  # producer -> highest sequence in `log`
        self.revealed_end = 0      # one past the highest offset that a consumer was given
        self.acked_end = 0
        self.hi = 0
        self.gaps = []             # (name, process, from, to): polls that jumped; judged by the next whole read


class Checker:
    """Feed it every operation in order; ``results`` at any time."""

    def __init__(self):
        self.counts = Counter()
        self.examples = defaultdict(list)
        self.info = Counter()
        self.round = 0
        self._keys = defaultdict(Key)
        self._idempotent = {}
        self._open = {}              # value -> time of the invoke: sends not yet completed
        self._sent = {}              # value -> key
        self._failed = set()
        self._excused = set()        # values whose send was open while the broker died
        self._retried = set()        # values whose send took so long that it may have been retried
        self._acked_at = {}          # (producer, key) -> (sequence, offset) of the newest acknowledgement
        self._position = {}          # (process, key) -> last polled offset
        self._reading = {}           # process -> {key: (unverified, polled, end)} at a read-all's invoke
        self._commits = {}           # (group, key) -> [last acknowledged, attempts since]
        self._died_committing = set()  # (group, key) whose machine died with commits under way
        self._committed_at = {}      # process -> bounds at a committed's invoke
        self._topics = {}            # topic -> [state, partitions, incarnation]
        self._dropped = set()        # keys of deleted topics: a late poll or commit of one says nothing
        self._listing = {}           # process -> topics as of the list-topics' invoke
        self._jetstream = JetStreamRules(self.anomaly, self.info)
        self._i = 0

    # -- operations ---------------------------------------------------------------------------------------

    def feed(self, op):
        """Takes the next operation."""
        self._i = op["i"]
        if op["f"].startswith("js-"):
            return self._jetstream.feed(op)
        handler = getattr(self, "_on_" + op["f"].replace("-", "_"), None)
        if handler is None:
            raise ValueError(f"unknown operation {op['f']!r} at {op['i']}")
        handler(op, op["type"], op["process"], op["value"])

    def anomaly(self, name, **detail):
        self.counts[name] += 1
        if len(self.examples[name]) < EXAMPLES_KEPT:
            self.examples[name].append({"op": self._i, "round": self.round, **detail})

    def results(self):
        """The verdict: ``valid?`` is True, False, or "unknown" if less than half of the sends were acknowledged."""
        self.info["open"] = len(self._open)
        sends = self.info["acked"] + self.info["info"] + self.info["open"]
        valid = False if self.counts else True
        if valid and (self.info["acked"] == 0 or 2 * self.info["acked"] < sends):
            valid = "unknown"
        return {"valid?": valid, "anomaly-types": sorted(self.counts), "counts": dict(self.counts),
                "info": dict(self.info), "anomalies": {name: self.examples[name] for name in sorted(self.examples)}}

    def _on_producer(self, _op, _type, process, value):
        self._idempotent[str(process)] = value["idempotent"]

    def _on_kill(self, *_):
        self.info["kills"] += 1
        self._excused.update(self._open)

    def _on_start(self, op, _type, _process, value):
        self.round = value.get("round", self.round)

    def _on_ready(self, *_):
        self.info["starts"] += 1

    def _on_fault(self, _op, _type, process, value):
        self.anomaly(value["name"], process=process, **{k: v for k, v in value.items() if k != "name"})

    # -- sends --------------------------------------------------------------------------------------------

    def _on_send(self, op, kind, process, value):
        for _, name, (offset, sent) in value:
            if kind == "invoke":
                self._open[sent] = op["time"]
                self._sent[sent] = name
                self.info["sent"] += 1
                continue
            began = self._open.pop(sent, op["time"])
            if op.get("slow") or op["time"] - began >= RETRY_AFTER_NS:
                self._retried.add(sent)
            if kind == "ok":
                self._acknowledged(process, name, offset, sent)
            elif kind == "fail":
                self.info["failed"] += 1
                self._failed.add(sent)
            else:
                self.info["info"] += 1
                self._excused.add(sent)

    def _acknowledged(self, process, name, offset, value):
        self.info["acked"] += 1
        self._sent.setdefault(value, name)
        key = self._keys[name]
        key.acked[value] = offset
        if value not in key.in_log:
            key.unverified.add(value)
        if offset is None:
            self.info["acked-without-offset"] += 1
            return
        key.acked_end = max(key.acked_end, offset + 1)
        self._see(name, key, offset, value, "acknowledged")
        sequence = int(value.rpartition(".")[2])
        last = self._acked_at.get((process, name))
        if last is not None and (sequence > last[0]) != (offset > last[1]) and not self._may_be_late(value):
            self.anomaly("nonmonotonic-send", key=name, process=process, acknowledged=[sequence, offset], before=last)
        self._acked_at[(process, name)] = (sequence, offset)

    def _may_be_late(self, value):
        """Whether a producer without idempotence may have sent the value again, behind younger ones."""
        idempotent = self._idempotent.get(value.rpartition(".")[0], True)
        late = not idempotent and (value in self._retried or value in self._excused)
        self.info["retry-reorders"] += late
        return late

    def _see(self, name, key, offset, value, where):
        """One sighting of `value` at `offset`: an offset has one value for ever, a value one offset."""
        known = key.by_offset.setdefault(offset, value)
        if known != value:
            self.anomaly("inconsistent-offsets", key=name, offset=offset, values=[known, value], where=where)
        at = key.by_value.setdefault(value, offset)
        if at == offset:
            return
        producer = value.rpartition(".")[0]
        if value in self._excused and not self._idempotent.get(producer, True):
            self.info["retry-duplicates"] += 1
        else:
            self.anomaly("duplicate", key=name, value=value, offsets=[at, offset], where=where)

    def _judge_origin(self, name, offset, value):
        if value in self._failed:
            self.anomaly("G1a", key=name, offset=offset, value=value)
        elif self._sent.get(value) != name:
            self.anomaly("unexpected", key=name, offset=offset, value=value, sent_to=self._sent.get(value))

    # -- reads --------------------------------------------------------------------------------------------

    def _on_poll(self, op, kind, process, value):
        if kind == "invoke":
            return
        assigned = op.get("mode") == "assign"
        for _, polled in value:
            for name, entries in polled.items():
                if name in self._dropped:
                    continue
                key = self._keys[name]
                prefix = ""
                last = self._position.get((process, name)) if assigned else None
                for offset, read in entries:
                    self.info["polled"] += 1
                    if last is not None and offset <= last:
                        self.anomaly(prefix + "nonmonotonic-poll", key=name, process=process, offsets=[last, offset])
                    elif last is not None and offset > last + 1:
                        key.gaps.append((prefix + "poll-skip", process, last, offset))
                    last, prefix = offset, "int-"
                    self._judge_origin(name, offset, read)
                    self._see(name, key, offset, read, "poll")
                    key.polled[offset] = read
                    key.revealed_end = max(key.revealed_end, offset + 1)
                if assigned and entries:
                    self._position[(process, name)] = last

    def _on_read_all(self, _op, kind, process, value):
        if kind == "invoke":
            # What was acknowledged or read before now must be in the read; what comes during it may be.
            self._reading[process] = {
                name: (set(key.unverified), dict(key.polled), max(key.acked_end, key.revealed_end, key.hi))
                for name, key in self._keys.items()}
            return
        before = self._reading.pop(process)
        if kind != "ok":
            return
        for name, read in value.items():
            must, polled, end = before.get(name, (set(), {}, 0))
            self._judge_read(name, self._keys[name], read, must, polled, end)
        self.info["whole-reads"] += 1

    def _judge_read(self, name, key, read, must, polled, end):
        if read["lo"] != 0:
            self.anomaly("retention-early-delete", key=name, log_start=read["lo"])
        if read["hi"] < end:
            self.anomaly("hw-regression", key=name, high_watermark=read["hi"], known_end=end)
        key.hi = read["hi"]
        gone = key.log[read["keep"]:]
        if gone:
            self._forget(key, read["keep"])
            must = must | {value for _, value in gone if value in key.acked}
        for offset, value in read["then"]:
            self._judge_origin(name, offset, value)
            self._see(name, key, offset, value, "read-all")
            producer, _, sequence = value.rpartition(".")
            sequence = int(sequence)
            newest = key.newest_sequence.get(producer, -1)
            if sequence > newest:
                key.newest_sequence[producer] = sequence
            elif value not in key.in_log and not self._may_be_late(value):
                self.anomaly("nonmonotonic-send", key=name, process=producer, value=value, offset=offset, after=newest)
            key.log.append((offset, value))
            key.in_log.add(value)
        for offset, value in gone:
            if value not in key.in_log:
                self.anomaly("revealed-lost", key=name, offset=offset, value=value, seen_by="read-all",
                             acknowledged=value in key.acked)
        self._judge_missing(name, key, must, polled)
        self._judge_gaps(name, key)

    def _forget(self, key, keep):
        """The earlier read's entries from `keep` on aren't there any more: judge the rest anew."""
        for _, value in key.log[keep:]:
            if value in key.acked:
                key.unverified.add(value)
        del key.log[keep:]
        key.in_log = {value for _, value in key.log}
        key.newest_sequence = {}
        for _, value in key.log:
            producer, _, sequence = value.rpartition(".")
            key.newest_sequence[producer] = max(int(sequence), key.newest_sequence.get(producer, -1))

    def _judge_missing(self, name, key, must, polled):
        last = key.log[-1][0] if key.log else -1
        for value in must - key.in_log:
            offset = key.acked[value]
            later = offset is not None and offset < last
            self.anomaly("lost-write" if later else "unseen", key=name, value=value, offset=offset, end_of_log=last)
            key.unverified.discard(value)  # told once
        key.unverified -= key.in_log
        at = dict(key.log) if polled else {}
        for offset, value in polled.items():
            if at.get(offset) != value:
                self.anomaly("revealed-lost", key=name, offset=offset, value=value, seen_by="poll",
                             acknowledged=value in key.acked)
            key.polled.pop(offset, None)

    def _judge_gaps(self, name, key):
        if not key.gaps:
            return
        offsets = [offset for offset, _ in key.log]
        end = offsets[-1] if offsets else -1
        for skip, process, start, stop in key.gaps:
            left_out = [offset for offset in offsets if start < offset < stop]
            if left_out and stop <= end:
                self.anomaly(skip, key=name, process=process, polled=[start, stop], left_out=left_out[:5])
        key.gaps = [gap for gap in key.gaps if gap[3] > end]

    # -- committed offsets --------------------------------------------------------------------------------

    def _on_commit(self, _op, kind, _process, value):
        for name, offset in value["offsets"].items():
            if name in self._dropped:
                continue
            state = self._commits.setdefault((value["group"], name), [None, set()])
            if kind == "invoke":
                state[1].add(offset)
            elif kind == "info":
                # The machine died: nobody knows which commits were under way (offset null).
                self._died_committing.add((value["group"], name))
            elif kind == "ok":
                self.info["commits"] += 1
                state[0] = offset
                # Only commits that aren't acknowledged yet, and newer ones, may still replace this one.
                state[1] = {attempt for attempt in state[1] if attempt > offset}

    def _on_committed(self, _op, kind, process, value):
        group = value["group"]
        if kind == "invoke":
            self._committed_at[process] = {
                name: (state[0], set(state[1])) for (of, name), state in self._commits.items() if of == group}
            return
        before = self._committed_at.pop(process)
        if kind != "ok":
            return
        self.info["commit-reads"] += 1
        for name, offset in value["offsets"].items():
            acked, attempts = before.get(name, (None, set()))
            now_acked, now_attempts = self._commits.get((group, name), [None, set()])
            allowed = attempts | now_attempts | {acked, now_acked}
            if offset in allowed and not (offset is None and acked is not None):
                continue
            if acked is not None and (offset is None or offset < acked):
                self.anomaly("offset-regression", group=group, key=name, committed=offset, acknowledged=acked)
            elif now_acked is not None and offset is not None and acked is not None and acked <= offset <= now_acked:
                continue  # a commit that was acknowledged while the question was on its way
            elif acked is None and offset is not None and now_acked is not None and offset <= now_acked:
                continue
            elif (group, name) in self._died_committing and offset is not None and (acked is None or offset > acked):
                continue  # newer than what was acknowledged: a commit that was under way
            else:
                self.anomaly("unexpected-commit", group=group, key=name, committed=offset, acknowledged=acked)

    # -- topics -------------------------------------------------------------------------------------------

    def _on_create_topic(self, _op, kind, _process, value):
        self._topic_step(value, {"invoke": "unknown", "ok": "exists", "info": "unknown", "fail": "absent"}[kind], kind)

    def _on_delete_topic(self, _op, kind, _process, value):
        self._topic_step(value, {"invoke": "unknown", "ok": "absent", "info": "unknown", "fail": "exists"}[kind], kind)

    def _topic_step(self, value, state, kind):
        topic = value["topic"]
        self._topics[topic] = (state, value["partitions"], value["incarnation"])
        if kind == "ok":
            self.info["topics-created" if state == "exists" else "topics-deleted"] += 1
        if kind == "ok" and state == "absent":
            for partition in range(value["partitions"]):
                self._drop(f"{topic}@{value['incarnation']}/{partition}")

    def _drop(self, name):
        """The partition is deleted: nothing more is asked of it, so what it held needn't be remembered."""
        self._dropped.add(name)
        key = self._keys.pop(name, None)
        for _, value in key.log if key else ():
            self._sent.pop(value, None)
            self._excused.discard(value)
            self._retried.discard(value)
        for pair in [pair for pair in self._commits if pair[1] == name]:
            del self._commits[pair]

    def _on_list_topics(self, _op, kind, process, value):
        if kind == "invoke":
            self._listing[process] = dict(self._topics)
            return
        before = self._listing.pop(process)
        if kind != "ok":
            return
        for topic, then in before.items():
            if self._topics.get(topic) != then:
                continue  # a creation or deletion ran meanwhile
            state, partitions, _ = then
            if state == "exists" and value.get(topic) != partitions:
                self.anomaly("topic-lost", topic=topic, partitions=partitions, listed=value.get(topic))
            elif state == "absent" and topic in value:
                self.anomaly("topic-resurrected", topic=topic, listed=value[topic])

    # -- questions the harness asks ----------------------------------------------------------------------

    def acked_of(self, name):
        """How many sends to a key were acknowledged."""
        return len(self._keys[name].acked) if name in self._keys else 0

    def acked_end_of(self, name):
        """One past the highest acknowledged offset of a key."""
        return self._keys[name].acked_end if name in self._keys else 0
