"""Both sides, record by record: what ottla's partitions hold against what upstream's hold.

A record is its key, value, headers and timestamp. Offsets are not compared: another producer may write upstream, and
upstream's log may begin elsewhere.
"""

import collections
import hashlib

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition, KafkaError

READ_SECONDS_MAX = 60
DIGEST_BYTES = 12
SHOWN_MAX = 3

# What a comparison found; `shown` describes the first few.
Found = collections.namedtuple("Found", "records lost repeated disordered shown")


def digest(message):
    """Equal for equal records; timestamps count, their type does not (upstream's topic decides on that)."""
    parts = (message.key(), message.value(), message.headers() or [], message.timestamp()[1])
    return hashlib.blake2b(repr(parts).encode(), digest_size=DIGEST_BYTES).digest()


def read(bootstrap, topics, of=digest):
    """topic, partition → [what `of` says of each record], in the log's order, up to the high watermark of now."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "compare",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.message.max.bytes": 4 << 20,
            "log_level": 0,
        }
    )
    try:
        described = consumer.list_topics(timeout=READ_SECONDS_MAX).topics
        logs = {}
        for topic in topics:
            assert topic in described, f"there is no topic {topic} at {bootstrap}"
            logs.update({(topic, partition): [] for partition in described[topic].partitions})
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for topic, partition in logs])
        at_end = set()
        while len(at_end) < len(logs):
            messages = consumer.consume(10000, 0.5) or consumer.consume(1, READ_SECONDS_MAX)
            assert messages, f"nothing comes from {bootstrap}, and {len(logs) - len(at_end)} logs are not at their end"
            for message in messages:
                log = (message.topic(), message.partition())
                if message.error() is None:
                    logs[log].append(of(message))
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    at_end.add(log)
                else:
                    raise KafkaException(message.error())
        return logs
    finally:
        consumer.close()


def compare_log(name, local, upstream):
    """One partition: `upstream` should be `local`, record by record."""
    wanted, got = collections.Counter(local), collections.Counter(upstream)
    lost, repeated = (wanted - got).total(), (got - wanted).total()
    # The n-th of equal records belongs to the n-th of them; what is repeated has no place of its own.
    places = collections.defaultdict(collections.deque)
    for place, record in enumerate(local):
        places[record].append(place)
    disordered, before, shown = 0, -1, []
    for offset, record in enumerate(upstream):
        if not places[record]:
            if len(shown) < SHOWN_MAX:
                what = "once too often" if wanted[record] else "foreign"
                shown.append(f"{name}: upstream's record {offset} is {what}")
            continue
        place = places[record].popleft()
        if place < before:
            disordered += 1
            if len(shown) < SHOWN_MAX:
                shown.append(f"{name}: upstream's record {offset} is local {place}, after {before}")
        before = max(before, place)
    missing = sorted(place for left in places.values() for place in left)
    if missing:
        shown.append(f"{name}: {len(missing)} lost between local {missing[0]} and {missing[-1]} of {len(local)}")
    return Found(len(local), lost, repeated, disordered, shown)


def compare(local, upstream, name_up=lambda topic, partition: (topic, partition)):
    """All partitions. `name_up` says where a local one goes; two that share an upstream one can't be compared so."""
    total = Found(0, 0, 0, 0, [])
    for (topic, partition), records in sorted(local.items()):
        found = compare_log(f"{topic}-{partition}", records, upstream.get(name_up(topic, partition), []))
        total = Found(*(a + b for a, b in zip(total, found)))
    return total._replace(shown=total.shown[:SHOWN_MAX * 2])


def prove():
    """The comparison sees each kind of fault; a run begins with this."""
    for upstream, lost, repeated, disordered in (
        ("abcab", 0, 0, 0),
        ("abcb", 1, 0, 0),
        ("abcabb", 0, 1, 0),
        ("abcabx", 0, 1, 0),
        ("acbab", 0, 0, 1),
        ("", 5, 0, 0),
    ):
        found = compare_log("proof", "abcab", upstream)
        assert found[:4] == (5, lost, repeated, disordered), f"the comparison says {found} of {upstream}"


def exact(found):
    return found.lost == found.repeated == found.disordered == 0


def words(found):
    return f"{found.lost} lost, {found.repeated} repeated, {found.disordered} out of order"
