"""The steps of the matrix, for every Python client alike; a client is an adapter (a module's `Client`).

An adapter has, all of them blocking:
- name, prefix (of its topics), errors (the class of what it raises), cooperative (its assignor of that kind), and
  lacks: what the client has not got (idempotent, incremental, static member, cooperative, delete groups,
  delete records)
- create, topics, partitions, settings, alter, add_partitions, delete_records, delete, groups, group, group_offsets,
  delete_group, code (of an error), more_steps (those that only this client has)
- producer(**settings) with send(topic, record, partition, done), flush(), close(); done(error, offset) is called once
- consumer(group, instance, strategy, topic) with poll, owned, commit, committed, assign, seek, offset_at, end, close
"""

import random
import threading
import time
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor

from check import CTL, ctl, eventually, fails, missing, same, that

Record = namedtuple("Record", "key value headers timestamp")
Read = namedtuple("Read", "partition offset record")

# Kafka's error codes (org.apache.kafka.common.protocol.Errors).
UNKNOWN_TOPIC_OR_PARTITION = 3
MESSAGE_TOO_LARGE = 10
TOPIC_ALREADY_EXISTS = 36
INVALID_REPLICATION_FACTOR = 38

RECORDS = 1000
SECONDS = 15


def records(count, start=None):
    """Records that a step writes and expects again, down to the last byte."""
    start = start or int(time.time() * 1000) - 100_000
    return [
        Record(b"key%d" % at, b"value %d of a sensor that says much the same again and again" % at,
               [("sequence", b"%d" % at), ("empty", b"")], start + at)
        for at in range(count)
    ]


def short(value):
    return Record(None, value, [], None)


def values(reads):
    return [read.record.value for read in reads]


class Member(threading.Thread):
    """A consumer on a thread of its own: what it owns and what it has seen, by partition and offset."""

    def __init__(self, client, topic, commits=False, **settings):
        super().__init__(daemon=True)
        self.client, self.topic, self.commits, self.settings = client, topic, commits, settings
        self.owned, self.owned_before, self.seen, self.leaving, self.error = set(), [], {}, False, None
        self.start()

    def run(self):
        try:
            consumer = self.client.consumer(group=self.topic, topic=self.topic, **self.settings)
            while not self.leaving:
                self._poll(consumer)
            consumer.close()
        except Exception as error:  # told by whoever waits for this member
            self.error = error

    def _poll(self, consumer):
        reads = consumer.poll(0.05)
        for read in reads:
            before = self.seen.setdefault((read.partition, read.offset), read.record.value)
            same(read.record.value, before, f"record {read.offset} of partition {read.partition}, read again")
        if self.commits and reads:
            try:
                consumer.commit({read.partition: read.offset + 1 for read in reads})
            except Exception as error:  # refused while the broker is away, or after a new generation: read again then
                if not isinstance(error, self.client.errors):
                    raise
        self.owned = consumer.owned()
        if not self.owned_before or self.owned_before[-1] != self.owned:
            self.owned_before.append(self.owned)

    def owns(self, count):
        if self.error:
            raise self.error
        return len(self.owned) == count

    def leave(self):
        self.leaving = True
        self.join(20)
        that(not self.is_alive(), "a member did not leave within 20 s")
        if self.error:
            raise self.error

    def sees(self, what, seconds, holds):
        end = time.monotonic() + seconds
        while not holds(dict(self.seen)):
            if self.error:
                raise self.error
            owned = f"{len(self.seen)} seen, partitions {self.owned}"
            that(time.monotonic() < end, f"not within {seconds} s: the consumer sees {what} ({owned})")
            time.sleep(0.05)

    def values(self):
        return list(self.seen.values())


class Steps:
    def __init__(self, client, check):
        self.client = client
        self.check = check

    def run(self, apache):
        check = self.check
        for name in ("create", "list", "describe", "alter settings", "add partitions"):
            check.step(f"topics: {name}", getattr(self, name.replace(" ", "_")))
        for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
            check.step(f"produce: {codec}", self.compressed, codec)
        for acks in ("0", "1", "all"):
            check.step(f"produce: acks {acks}", self.acks, acks)
        self._if("idempotent", "produce: idempotent", self.idempotent)
        check.step("produce: record of 900 kB", self.record_of_900_kb)
        check.step("produce: no key, no value", self.nulls)
        check.step("consume: from the beginning", self.from_the_beginning)
        check.step("consume: seek to timestamp", self.seek_to_timestamp)
        check.step("groups: commit, stop and resume", self.commit_and_resume)
        check.step("groups: second member joins and leaves", self.second_member, None)
        self._if("static member", "groups: static member", self.static_member)
        self._if("cooperative", "groups: cooperative", self.second_member, self.client.cooperative)
        check.step(f"groups: list, describe{'' if self.lacks('delete groups') else ', delete'}", self.groups)
        self._if("delete records", "topics: delete records", self.delete_records)
        check.step("topics: delete", self.delete)
        check.step("errors: unknown topic", self.unknown_topic)
        check.step("errors: topic already exists", self.topic_already_exists)
        check.step("errors: more replicas than brokers", self.too_many_replicas)
        check.step("errors: record too large", self.record_too_large)
        self.client.more_steps(check, apache)
        restarts = (("broker restarted", self.restarted), ("broker killed", self.killed))
        if CTL:
            # All topics before the first restart: kafka-python's admin client gives up on a broken connection.
            for name, _ in restarts:
                self.client.create(self.topic(name.split()[1]), 2)
        for name, how in restarts:
            if CTL:
                check.step(f"restarts: {name}", self.survives, how, name.split()[1])
            else:
                check.skip(f"restarts: {name}", "no broker to restart")
        check.end()

    def lacks(self, what):
        return what in self.client.lacks

    def _if(self, what, name, body, *arguments):
        if self.lacks(what):
            self.check.skip(name, "the client has not got it")
        else:
            self.check.step(name, body, *arguments)

    def topic(self, name):
        return f"{self.client.prefix}-{name}"

    # --- what several steps do ---------------------------------------------------------------------------------

    def produce(self, topic, what, partition=0, **settings):
        """Sends the records; their offsets, or the first error."""
        producer = self.client.producer(**settings)
        answers = {}
        for at, record in enumerate(what):
            producer.send(topic, record, partition, lambda error, offset, at=at: answers.update({at: (error, offset)}))
        producer.flush()
        producer.close()
        same(len(answers), len(what), "answers")
        for error, _ in answers.values():
            if error is not None:
                raise error
        return [answers[at][1] for at in range(len(what))]

    def take(self, consumer, count, seconds=SECONDS):
        taken, end = [], time.monotonic() + seconds
        while len(taken) < count and time.monotonic() < end:
            taken.extend(consumer.poll(0.1))
        that(len(taken) >= count, f"expected {count} records, seen {len(taken)} in {seconds} s")
        return taken

    def read(self, topic, count, offset=0):
        """Reads a partition's records by assignment, without a group."""
        consumer = self.client.consumer()
        consumer.assign(topic, 0, offset)
        taken = self.take(consumer, count)
        consumer.close()
        return taken

    def written_and_read(self, topic, what, **settings):
        self.client.create(topic)
        self.produce(topic, what, linger_ms=50, **settings)
        reads = self.read(topic, len(what))
        same([read.offset for read in reads], list(range(len(what))), "offsets")
        for read, written in zip(reads, what):
            same(read.record, written, f"record {read.offset}")

    # --- topics ------------------------------------------------------------------------------------------------

    def create(self):
        self.client.create(self.topic("made"), 3, settings={"retention.ms": "7200000"})
        eventually("3 partitions", 5, lambda: self.client.partitions(self.topic("made")) == 3)

    def list(self):
        that(self.topic("made") in self.client.topics(), "not listed")

    def describe(self):
        same(self.client.partitions(self.topic("made")), 3, "partitions")
        settings = self.client.settings(self.topic("made"))
        same(settings["retention.ms"], "7200000", "retention.ms")
        same(settings["cleanup.policy"], "delete", "cleanup.policy")

    def alter_settings(self):
        topic = self.topic("made")
        self.client.alter(topic, {"segment.bytes": "2097152"})
        eventually("segment.bytes is altered", 5, lambda: self.client.settings(topic)["segment.bytes"] == "2097152")
        if not self.lacks("incremental"):
            same(self.client.settings(topic)["retention.ms"], "7200000", "retention.ms, which nobody altered")

    def add_partitions(self):
        self.client.add_partitions(self.topic("made"), 5)
        eventually("5 partitions", 5, lambda: self.client.partitions(self.topic("made")) == 5)

    def delete_records(self):
        topic = self.topic("delete-records")
        self.produce(topic, records(20))
        same(self.client.delete_records(topic, 15), 15, "low watermark")
        same([read.offset for read in self.read(topic, 5, 15)], [15, 16, 17, 18, 19], "what is left")

    def delete(self):
        self.client.delete(self.topic("made"))
        eventually("no longer listed", 10, lambda: self.topic("made") not in self.client.topics())

    # --- produce -----------------------------------------------------------------------------------------------

    def compressed(self, codec):
        self.written_and_read(self.topic(codec), records(RECORDS), compression=None if codec == "none" else codec)

    def acks(self, acks):
        topic, what = self.topic(f"acks-{acks}"), records(100)
        self.client.create(topic)
        self.produce(topic, what, acks=acks)
        # Nobody answers acks=0; the reader waits for what is on its way.
        same([read.record for read in self.read(topic, 100)], what, "records")

    def idempotent(self):
        self.written_and_read(self.topic("idempotent"), records(RECORDS), idempotent=True)

    def record_of_900_kb(self):
        noise = random.Random(7).randbytes(900_000)
        self.written_and_read(self.topic("large"), [records(1)[0]._replace(value=noise)] * 3)

    def nulls(self):
        topic = self.topic("nulls")
        self.client.create(topic)
        self.produce(topic, [Record(None, b"v", [], 1_234_567), Record(b"k", None, [], 1_234_568)])
        expected = [Record(None, b"v", [], 1_234_567), Record(b"k", None, [], 1_234_568)]
        same([read.record for read in self.read(topic, 2)], expected, "records")

    # --- consume -----------------------------------------------------------------------------------------------

    def from_the_beginning(self):
        topic, what = self.topic("beginning"), records(300)
        self.client.create(topic, 3)
        for partition in range(3):
            self.produce(topic, what[partition::3], partition)
        consumer = self.client.consumer(group=topic, topic=topic)
        reads = self.take(consumer, 300)
        consumer.close()
        for partition in range(3):
            seen = [read.record for read in reads if read.partition == partition]
            same(seen, what[partition::3], f"records of partition {partition}")

    def seek_to_timestamp(self):
        topic, start = self.topic("times"), int(time.time() * 1000) - 100_000
        self.client.create(topic)
        self.produce(topic, [short(b"%d" % at)._replace(timestamp=start + at * 1000) for at in range(10)])
        consumer = self.client.consumer()
        same(consumer.offset_at(topic, 0, start + 4_500), 5, "first record at or after 4.5 s")
        same(consumer.offset_at(topic, 0, start + 50_000), None, "first record after the last one")
        consumer.assign(topic, 0, 0)
        self.take(consumer, 10)
        consumer.seek(topic, 0, consumer.offset_at(topic, 0, start + 4_500))
        same(values(self.take(consumer, 5)), [b"5", b"6", b"7", b"8", b"9"], "records from there")
        consumer.close()

    # --- groups ------------------------------------------------------------------------------------------------

    def commit_and_resume(self):
        topic, what = self.topic("commit"), records(100)
        self.client.create(topic)
        self.produce(topic, what)
        first = self.client.consumer(group=topic, topic=topic)
        self.take(first, 40)
        first.commit({0: 37})
        first.close()
        second = self.client.consumer(group=topic, topic=topic)
        same(second.committed(0), 37, "committed offset")
        same([read.record for read in self.take(second, 63)], what[37:], "the rest")
        second.close()

    def second_member(self, strategy):
        topic, what = self.topic("cooperative" if strategy else "second"), records(100)
        self.client.create(topic, 4)
        first = Member(self.client, topic, strategy=strategy)
        eventually("the first member owns 4 partitions", 20, lambda: first.owns(4))
        second = Member(self.client, topic, strategy=strategy)
        eventually("both own 2 partitions", 20, lambda: first.owns(2) and second.owns(2))
        same(first.owned & second.owned, set(), "partitions that both own")
        if strategy:
            that(set() not in first.owned_before[1:], f"the first member gave up all at once: {first.owned_before}")
        for partition in range(4):
            self.produce(topic, what[partition::4], partition)
        eventually("both together saw all", 10, lambda: len(first.seen) + len(second.seen) >= 100)
        same(sorted(first.values() + second.values()), sorted(record.value for record in what), "values")
        that(first.seen and second.seen, "one member saw nothing")
        second.leave()
        eventually("the first member owns 4 partitions again", 20, lambda: first.owns(4))
        first.leave()

    def static_member(self):
        topic = self.topic("static")
        self.client.create(topic, 4)
        first = Member(self.client, topic, instance="one")
        eventually("the first member owns 4 partitions", 20, lambda: first.owns(4))
        second = Member(self.client, topic, instance="two")
        eventually("both own 2 partitions", 20, lambda: first.owns(2) and second.owns(2))
        had, changes = second.owned, len(first.owned_before)
        second.leave()
        again = Member(self.client, topic, instance="two")
        eventually("the second is back", 20, lambda: again.owns(2))
        same(again.owned, had, "partitions of the member that came back")
        same(len(first.owned_before), changes, f"assignments of the first member: {first.owned_before}")
        again.leave()
        first.leave()

    def groups(self):
        group = self.topic("commit")
        that(group in self.client.groups(), f"not listed: {self.client.groups()}")
        same(self.client.group(group), ("Empty", 0), "state and members")
        same(self.client.group_offsets(group), {0: 37}, "offsets")
        if not self.lacks("delete groups"):
            self.client.delete_group(group)
            that(group not in self.client.groups(), "still listed")

    # --- errors ------------------------------------------------------------------------------------------------

    def refused(self, code, body, *arguments, **settings):
        error = fails(self.client.errors, lambda: body(*arguments, **settings))
        same(self.client.code(error), code, f"error code of {error!r}")

    def unknown_topic(self):
        self.refused(UNKNOWN_TOPIC_OR_PARTITION, self.client.delete, self.topic("never-made"))

    def topic_already_exists(self):
        self.client.create(self.topic("twice"))
        self.refused(TOPIC_ALREADY_EXISTS, self.client.create, self.topic("twice"))

    def too_many_replicas(self):
        self.refused(INVALID_REPLICATION_FACTOR, self.client.create, self.topic("three"), replicas=3)

    def record_too_large(self):
        topic = self.topic("too-large")
        self.client.create(topic)
        self.refused(MESSAGE_TOO_LARGE, self.produce, topic, [short(b"x" * 2_000_000)], request_bytes_max=5_000_000)
        same(self.produce(topic, [short(b"v")]), [0], "offset of the first record that was taken")

    # --- restarts ----------------------------------------------------------------------------------------------

    def restarted(self):
        ctl("restart")

    def killed(self):
        ctl("kill9")
        time.sleep(0.5)
        ctl("start")

    def survives(self, how, name):
        """A producer and a consumer at work while the broker goes away and comes back."""
        topic, once = self.topic(name), not self.lacks("idempotent")
        follower = Member(self.client, topic, commits=True)
        producer = self.client.producer(acks="all", idempotent=once, in_flight=5 if once else 1, linger_ms=2)
        acknowledged, failed, sent = [], [], 0

        def send_until(what, seconds, holds):
            nonlocal sent
            end = time.monotonic() + seconds
            while not holds():
                that(time.monotonic() < end, f"not within {seconds} s: {what} ({len(acknowledged)} acknowledged)")
                value = b"%06d" % sent

                def done(error, _, value=value):
                    failed.append(error) if error else acknowledged.append(value)

                producer.send(topic, short(value), sent % 2, done)
                sent += 1
                time.sleep(0.001)

        send_until("300 records acknowledged", 20, lambda: len(acknowledged) > 300)
        follower.sees("100 records", 20, lambda seen: len(seen) > 100)
        away = ThreadPoolExecutor(1).submit(how)
        send_until("the broker is back", 30, away.done)
        away.result()
        before = len(acknowledged)
        send_until("300 more acknowledged after it", 40, lambda: len(acknowledged) > before + 300)
        producer.flush()
        producer.close()
        same(failed, [], "records that failed")
        same(len(acknowledged), sent, "acknowledged")
        follower.sees("all that was acknowledged", 40, lambda seen: not missing(acknowledged, seen.values()))
        follower.leave()
        for partition in (0, 1):
            stored = [value for at, value in sorted(follower.seen.items()) if at[0] == partition]
            firsts = list(dict.fromkeys(stored))
            same(firsts, sorted(firsts), f"order of the records of partition {partition}")
            if once:
                same(len(stored), len(firsts), f"records of partition {partition}, each once")
