"""The gateway's sensors and programs: producers of every habit, writing to ottla while it is killed under them.

Each record's value is its own; what is acknowledged (acks=all) is noted. A producer without idempotence may write a
record twice when an answer is lost: that is ottla's log then, and it goes up as it is.
"""

import random
import threading
import time

from confluent_kafka import KafkaException, Producer

# topic → its partitions and its local configuration; 20 partitions in all
TOPICS = {
    "single": 4,
    "counters": 4,
    "bulk": 4,
    "packed": 4,
    "stamped": (2, {"message.timestamp.type": "LogAppendTime"}),
    "mixed": 2,
}
PARTITIONS = {name: shape[0] if isinstance(shape, tuple) else shape for name, shape in TOPICS.items()}

ONE_RECORD = {"batch.num.messages": 1, "linger.ms": 0}
BULK = {"linger.ms": 20}
IDEMPOTENT = {"enable.idempotence": True}
# The broker's timestamps are written into the records on the way up, in batches of up to forward.batch.size, which
# is 16 KiB in some storms.
STAMPED = {**BULK, "batch.size": 12_000}
STAMPED_VALUE_BYTES_MAX = 8_000
# name, share of all records, topics, configuration
HABITS = (
    ("sensor", 10, ("single",), ONE_RECORD),
    ("counter", 10, ("counters", "mixed"), {**ONE_RECORD, **IDEMPOTENT}),
    ("logger", 30, ("bulk", "mixed"), {**BULK, **IDEMPOTENT}),
    ("old-logger", 10, ("bulk",), BULK),
    ("gzip", 8, ("packed",), {**BULK, **IDEMPOTENT, "compression.type": "gzip"}),
    ("snappy", 6, ("packed", "mixed"), {**BULK, "compression.type": "snappy"}),
    ("lz4", 8, ("packed",), {**BULK, **IDEMPOTENT, "compression.type": "lz4"}),
    ("zstd", 8, ("packed", "mixed"), {**BULK, **IDEMPOTENT, "compression.type": "zstd"}),
    ("stamps", 6, ("stamped",), STAMPED),
    ("stamps-gzip", 4, ("stamped",), {**STAMPED, "compression.type": "gzip"}),
)
SHARES = sum(share for _, share, _, _ in HABITS)
FLUSH_SECONDS_MAX = 120
DAY_MS = 86_400_000
WORDS = b"temperature pressure humidity valve pump open closed alarm ok flow level 0123456789 "


class Load:
    """`records` records within about `seconds`, from as many producers as there are habits."""

    def __init__(self, bootstrap, records, seconds, seed, timestamp_age_ms=0, zstd=True):
        self.bootstrap = bootstrap
        self.seconds = seconds
        self.seed = seed
        # Beside those that carry the time of now: how old the others say they are, at most.
        self.timestamp_age_ms = timestamp_age_ms
        self.counts = {name: records * share // SHARES for name, share, _, _ in HABITS}
        self.counts["logger"] += records - sum(self.counts.values())
        # topic, partition → the values that were acknowledged
        self.acknowledged = {}
        self.failures = []
        self.lock = threading.Lock()
        habits = [habit for habit in HABITS if zstd or habit[0] != "zstd"]
        self.threads = [threading.Thread(target=self.produce, args=habit, daemon=True) for habit in habits]

    def start(self):
        for thread in self.threads:
            thread.start()

    def running(self):
        return any(thread.is_alive() for thread in self.threads)

    def finish(self):
        for thread in self.threads:
            thread.join(self.seconds + FLUSH_SECONDS_MAX)
            assert not thread.is_alive(), "a producer does not come to its end"
        assert not self.failures, f"{len(self.failures)} records not acknowledged: {self.failures[0]}"

    def produce(self, name, _share, topics, config):
        chance = random.Random(f"{self.seed} {name}")
        producer = Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "acks": "all",
                "message.timeout.ms": 300_000,
                "retries": 1_000_000,
                "retry.backoff.ms": 50,
                "reconnect.backoff.max.ms": 500,
                "queue.buffering.max.messages": 20_000,
                "log_level": 0,
                **config,
            }
        )
        count, begin = self.counts[name], time.monotonic()
        for number in range(count):
            self.keep_pace(producer, begin + self.seconds * number / count)
            self.send(producer, chance, name, number, chance.choice(topics))
        left = producer.flush(FLUSH_SECONDS_MAX)
        if left > 0:
            self.failures.append(f"{name}: {left} without an answer")

    @staticmethod
    def keep_pace(producer, due):
        ahead_s = due - time.monotonic()
        producer.poll(max(ahead_s, 0) if ahead_s > 0.005 else 0)

    def send(self, producer, chance, name, number, topic):
        value = b"%s %d %s" % (name.encode(), number, payload(chance))
        if topic == "stamped":
            value = value[:STAMPED_VALUE_BYTES_MAX]
        key = chance.choice((None, b"", b"k%d" % chance.randrange(1000)))
        headers = [("site", b"17"), ("empty", None), ("site", b"")] if chance.random() < 0.1 else None
        times = {}
        if self.timestamp_age_ms and chance.random() < 0.8:
            times["timestamp"] = int(time.time() * 1000) - chance.randrange(self.timestamp_age_ms)
        partition = chance.randrange(PARTITIONS[topic])
        while True:
            try:
                producer.produce(
                    topic, value, key, partition, headers=headers, on_delivery=self.delivered, **times
                )
                return
            except BufferError:
                producer.poll(0.1)
            except KafkaException as exception:
                self.failures.append(f"{name}: {exception}")
                return

    def delivered(self, error, message):
        with self.lock:
            if error is not None:
                self.failures.append(f"{message.topic()}-{message.partition()}: {error}")
                return
            self.acknowledged.setdefault((message.topic(), message.partition()), []).append(message.value())


def payload(chance):
    """Mostly what a sensor says; now and then a page, or a blob that no codec makes smaller."""
    dice = chance.random()
    begin = chance.randrange(len(WORDS))
    if dice < 0.97:
        return (WORDS[begin:] + WORDS)[: chance.randrange(150)]
    if dice < 0.995:
        return (WORDS * 40)[begin : begin + chance.randrange(3000)]
    return chance.randbytes(chance.randrange(20_000))


def missing(acknowledged, values):
    """How many acknowledged records the log (topic, partition → its values) does not have."""
    return sum(len(set(wanted) - set(values.get(log, ()))) for log, wanted in acknowledged.items())
