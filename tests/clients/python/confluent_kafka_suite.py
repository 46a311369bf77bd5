"""confluent-kafka: a recent librdkafka, which decides by the versions a broker advertises what it may use."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from check import BOOTSTRAP, CTL, Check, ctl, eventually, fails, missing, same, that
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

SECONDS = 15


# Errors that a step does not see are in the step's result; connections that break in "kill -9" are expected.
BASE = {"bootstrap.servers": BOOTSTRAP, "log_level": 2}
# One for all steps: it has to outlive the futures that its calls return.
ADMIN = AdminClient(BASE)


def producer(**settings):
    return Producer({**BASE, **dotted(settings)})


def consumer(**settings):
    return Consumer({**BASE, "group.id": "unused", "auto.offset.reset": "earliest", **dotted(settings)})


def dotted(settings):
    return {name.replace("_", "."): value for name, value in settings.items()}



def done(futures):
    """Waits for every future of an admin call; the first error is raised."""
    return {key: future.result(SECONDS) for key, future in futures.items()}


def produce(topic, prefix, count, **settings):
    client = producer(**settings)
    answers = []
    for at in range(count):
        client.produce(topic, b"%s%d" % (prefix, at), b"k%d" % at, on_delivery=lambda *answer: answers.append(answer))
    same(client.flush(SECONDS), 0, "messages left in the queue")
    for error, _ in answers:
        that(error is None, f"not delivered: {error}")
    return [message for _, message in answers]


def take(client, count, seconds=SECONDS):
    taken = []
    end = time.monotonic() + seconds
    while len(taken) < count and time.monotonic() < end:
        for message in client.consume(500, 0.1):
            that(message.error() is None, f"error in a fetch: {message.error()}")
            taken.append(message)
    that(len(taken) >= count, f"expected {count} records, seen {len(taken)} in {seconds} s")
    return taken


def read_from_start(topic, count, seconds=SECONDS):
    client = consumer()
    client.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    taken = take(client, count, seconds)
    client.close()
    return taken


def end_offset(topic):
    client = consumer()
    _, high = client.get_watermark_offsets(TopicPartition(topic, 0), SECONDS)
    client.close()
    return high


def named(prefix, count):
    return [b"%s%d" % (prefix, at) for at in range(count)]


def describe_cluster():
    cluster = ADMIN.describe_cluster().result(SECONDS)
    that(cluster.cluster_id, "no cluster id")
    same(len(cluster.nodes), 1, "nodes")
    same(f"{cluster.controller.host}:{cluster.controller.port}", BOOTSTRAP, "controller")


def create_topic():
    topic = NewTopic("confluent-made", 3, 1, config={"retention.ms": "7200000"})
    done(ADMIN.create_topics([topic]))
    error = fails(KafkaException, done, ADMIN.create_topics([topic]))
    same(error.args[0].code(), KafkaError.TOPIC_ALREADY_EXISTS, "error of the second creation")
    error = fails(KafkaException, done, ADMIN.create_topics([NewTopic("confluent-three", 1, 3)]))
    same(error.args[0].code(), KafkaError.INVALID_REPLICATION_FACTOR, "error of three replicas")


def list_topics():
    metadata = ADMIN.list_topics(timeout=SECONDS)
    that("confluent-made" in metadata.topics, "not listed")
    same(len(metadata.topics["confluent-made"].partitions), 3, "partitions")


def alter_config():
    resource = ConfigResource(ResourceType.TOPIC, "confluent-made")
    settings = ADMIN.describe_configs([resource])[resource].result(SECONDS)
    same(settings["retention.ms"].value, "7200000", "retention.ms")
    that(settings["cleanup.policy"].is_default, "cleanup.policy is not called a default")
    change = ConfigEntry("segment.bytes", "2097152", incremental_operation=AlterConfigOpType.SET)
    done(ADMIN.incremental_alter_configs([ConfigResource(ResourceType.TOPIC, "confluent-made", incremental_configs=[change])]))

    def altered():
        settings = ADMIN.describe_configs([resource])[resource].result(SECONDS)
        return (settings["segment.bytes"].value, settings["retention.ms"].value) == ("2097152", "7200000")

    eventually("segment.bytes is altered, retention.ms kept", 5, altered)


def add_partitions():
    done(ADMIN.create_partitions([NewPartitions("confluent-made", 5)]))
    eventually("5 partitions", 5, lambda: len(ADMIN.list_topics("confluent-made", SECONDS).topics["confluent-made"].partitions) == 5)


def compressed(codec):
    topic = f"confluent-{codec}"
    produce(topic, b"value", 500, compression_type=codec, linger_ms=50)
    records = read_from_start(topic, 500)
    same([record.value() for record in records], named(b"value", 500), "values")
    same([record.key() for record in records], [b"k%d" % at for at in range(500)], "keys")


def headers():
    client = producer()
    client.produce("confluent-headers", b"v", headers=[("one", b"1"), ("two", b""), ("null", None)], timestamp=1234567)
    client.produce("confluent-headers", None, b"gone")
    same(client.flush(SECONDS), 0, "messages left in the queue")
    records = read_from_start("confluent-headers", 2)
    same(records[0].headers(), [("one", b"1"), ("two", b""), ("null", None)], "headers")
    same(records[0].timestamp()[1], 1234567, "timestamp")
    same((records[1].key(), records[1].value()), (b"gone", None), "tombstone")


def acks():
    produce("confluent-acks", b"all", 50, acks="all")
    produce("confluent-acks", b"zero", 50, acks="0")
    eventually("50 unacknowledged records", 10, lambda: end_offset("confluent-acks") == 100)
    same(produce("confluent-acks", b"one", 50, acks="1")[-1].offset(), 149, "offset with acks=1")


def idempotent():
    produce("confluent-idempotent", b"v", 2000, enable_idempotence=True, batch_num_messages=50, linger_ms=0)
    records = read_from_start("confluent-idempotent", 2000)
    same([record.value() for record in records], named(b"v", 2000), "values")


def large():
    value = b"0123456789" * 90_000
    client = producer()
    for _ in range(5):
        client.produce("confluent-large", value)
    same(client.flush(SECONDS), 0, "messages left in the queue")
    same([len(record.value()) for record in read_from_start("confluent-large", 5)], [900_000] * 5, "lengths")


def oversized():
    answers = []
    client = producer(message_max_bytes=5_000_000)
    client.produce("confluent-oversized", b"x" * 2_000_000, on_delivery=lambda error, _: answers.append(error.code()))
    same(client.flush(SECONDS), 0, "messages left in the queue")
    same(answers, [KafkaError.MSG_SIZE_TOO_LARGE], "answer")


def offsets_for_times():
    client = producer()
    for at in range(10):
        client.produce("confluent-times", b"v%d" % at, timestamp=1_000_000 + at * 1000)
    same(client.flush(SECONDS), 0, "messages left in the queue")
    reader = consumer()
    found = reader.offsets_for_times([TopicPartition("confluent-times", 0, 1_004_500)], SECONDS)[0]
    same(found.offset, 5, "first record at or after 1004500")
    reader.assign([found])
    same([record.value() for record in take(reader, 5)], named(b"v", 10)[5:], "records from there")
    reader.close()
    partition = TopicPartition("confluent-times", 0)
    for spec, offset in ((OffsetSpec.earliest(), 0), (OffsetSpec.latest(), 10), (OffsetSpec.max_timestamp(), 9)):
        answer = ADMIN.list_offsets({partition: spec})[partition].result(SECONDS)
        same(answer.offset, offset, f"list_offsets of {spec}")


def commit_and_resume():
    produce("confluent-commit", b"v", 100)
    first = consumer(group_id="confluent-commit", enable_auto_commit=False)
    first.subscribe(["confluent-commit"])
    take(first, 40)
    first.commit(offsets=[TopicPartition("confluent-commit", 0, 37)], asynchronous=False)
    first.close()
    second = consumer(group_id="confluent-commit", enable_auto_commit=False)
    same(second.committed([TopicPartition("confluent-commit", 0)], SECONDS)[0].offset, 37, "committed")
    second.subscribe(["confluent-commit"])
    same([record.value() for record in take(second, 63)], named(b"v", 100)[37:], "the rest")
    second.close()


class Member(threading.Thread):
    """A consumer of a group on a thread of its own."""

    def __init__(self, topic, strategy):
        super().__init__(daemon=True)
        self.settings = {"group_id": topic, "partition_assignment_strategy": strategy, "topic": topic}
        self.owned = 0
        self.seen = []
        self.leaving = False
        self.start()

    def run(self):
        topic = self.settings.pop("topic")
        client = consumer(heartbeat_interval_ms=300, session_timeout_ms=6000, **self.settings)
        client.subscribe([topic])
        while not self.leaving:
            self.seen.extend(message.value() for message in client.consume(100, 0.05) if message.error() is None)
            self.owned = len(client.assignment())
        client.close()


def rebalance(strategy):
    topic = f"confluent-{strategy}"
    done(ADMIN.create_topics([NewTopic(topic, 4, 1)]))
    first = Member(topic, strategy)
    eventually("the first member owns 4 partitions", 20, lambda: first.owned == 4)
    second = Member(topic, strategy)
    eventually("both own 2 partitions", 20, lambda: (first.owned, second.owned) == (2, 2))
    produce(topic, b"v", 100)
    eventually("both together saw all", 10, lambda: len(first.seen) + len(second.seen) >= 100)
    same(sorted(first.seen + second.seen), sorted(named(b"v", 100)), "values")
    that(first.seen and second.seen, "one member saw nothing")
    second.leaving = True
    second.join(20)
    eventually("the first member owns 4 partitions again", 20, lambda: first.owned == 4)
    first.leaving = True
    first.join(20)


def groups():
    client = ADMIN
    listed = [group.group_id for group in client.list_consumer_groups().result(SECONDS).valid]
    that("confluent-commit" in listed, f"listed: {listed}")
    group = done(client.describe_consumer_groups(["confluent-commit"]))["confluent-commit"]
    same(group.state.name, "EMPTY", "state")
    partition = TopicPartition("confluent-commit", 0, 11)
    done(client.alter_consumer_group_offsets([ConsumerGroupTopicPartitions("confluent-commit", [partition])]))
    answer = done(client.list_consumer_group_offsets([ConsumerGroupTopicPartitions("confluent-commit")]))
    same([at.offset for at in answer["confluent-commit"].topic_partitions], [11], "offsets")
    done(client.delete_consumer_groups(["confluent-commit"]))
    listed = [group.group_id for group in client.list_consumer_groups().result(SECONDS).valid]
    that("confluent-commit" not in listed, "still listed")


def delete_records():
    produce("confluent-delete", b"v", 20)
    answer = done(ADMIN.delete_records([TopicPartition("confluent-delete", 0, 15)]))
    same([at.low_watermark for at in answer.values()], [15], "low watermark")
    same(read_from_start("confluent-delete", 5)[0].offset(), 15, "first offset that is left")


def delete_topic():
    done(ADMIN.delete_topics(["confluent-made"]))
    eventually("no longer listed", 10, lambda: "confluent-made" not in ADMIN.list_topics(timeout=SECONDS).topics)


def kill_and_start():
    ctl("kill9")
    time.sleep(0.5)
    ctl("start")


def kill_9(topic, idempotence):
    client = producer(
        acks="all", linger_ms=2, enable_idempotence=idempotence, max_in_flight_requests_per_connection=5 if idempotence else 1,
        reconnect_backoff_max_ms=200,
    )
    acknowledged, failed = [], []
    sent = 0

    def delivered(error, message):
        if error is None:
            acknowledged.append(message.value())
        else:
            failed.append(str(error))

    def send_until(what, seconds, holds):
        nonlocal sent
        end = time.monotonic() + seconds
        while not holds():
            that(time.monotonic() < end, f"not within {seconds} s: {what}")
            client.produce(topic, b"%06d" % sent, on_delivery=delivered)
            sent += 1
            client.poll(0.001)

    send_until("500 records acknowledged", 20, lambda: len(acknowledged) > 500)
    killed = ThreadPoolExecutor(1).submit(kill_and_start)
    send_until("the broker is back", 60, killed.done)
    killed.result()
    before = len(acknowledged)
    send_until("500 more acknowledged after the restart", 40, lambda: len(acknowledged) > before + 500)
    same(client.flush(30), 0, "messages left in the queue")
    same(failed, [], "records that failed")
    stored = [record.value() for record in read_from_start(topic, end_offset(topic), 30)]
    same(missing(acknowledged, stored), "", "records")
    firsts = list(dict.fromkeys(stored))
    same(firsts, sorted(firsts), "order of the records")
    if idempotence:
        same(len(stored), sent, "records stored, each once")


def transactions():
    client = producer(transactional_id="t")
    start = time.monotonic()
    error = fails(KafkaException, client.init_transactions, 20).args[0]
    that(not error.retriable(), f"retriable: {error}")
    that(time.monotonic() - start < 5, f"refused only after {time.monotonic() - start:.1f} s: {error}")


def main(apache):
    check = Check("confluent-kafka 2.16.1")
    check.step("describe cluster", describe_cluster)
    check.step("create topic", create_topic)
    check.step("list topics", list_topics)
    check.step("alter topic config", alter_config)
    check.step("add partitions", add_partitions)
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        check.step(f"produce and consume, {codec}", compressed, codec)
    check.step("headers, tombstones, timestamps", headers)
    check.step("acks 0 and 1", acks)
    check.step("idempotent producer", idempotent)
    check.step("record of 900 kB", large)
    check.step("oversized record refused", oversized)
    check.step("offsets for time", offsets_for_times)
    check.step("commit and resume", commit_and_resume)
    check.step("two consumers, rebalance", rebalance, "range")
    check.step("cooperative-sticky rebalance", rebalance, "cooperative-sticky")
    check.step("list, describe and delete groups", groups)
    check.step("delete records", delete_records)
    check.step("delete topic", delete_topic)
    if apache:
        check.skip("transactions refused at once", "Apache Kafka has them")
    else:
        check.step("transactions refused at once", transactions)
    for name, topic, idempotence in (
        ("kill -9 under the producer", "confluent-kill", False),
        ("kill -9 under the idempotent producer", "confluent-kill-idempotent", True),
    ):
        if CTL:
            check.step(name, kill_9, topic, idempotence)
        else:
            check.skip(name, "no broker to kill")
    check.end()


if __name__ == "__main__":
    main(os.environ.get("OTTLA_BROKER") == "apache")
