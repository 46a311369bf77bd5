"""kafka-python 2.0.2: pure Python, probes the broker's version, pipelines, old request versions."""

import threading
import time

from check import BOOTSTRAP, CTL, Check, ctl, eventually, fails, missing, same, that
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewPartitions, NewTopic
from kafka.errors import KafkaError, MessageSizeTooLargeError, TopicAlreadyExistsError
from kafka.structs import OffsetAndMetadata


def producer(**settings):
    return KafkaProducer(bootstrap_servers=BOOTSTRAP, **settings)


def consumer(*topics, **settings):
    settings.setdefault("auto_offset_reset", "earliest")
    return KafkaConsumer(*topics, bootstrap_servers=BOOTSTRAP, **settings)


def admin():
    return KafkaAdminClient(bootstrap_servers=BOOTSTRAP)


def produce(topic, prefix, count, **settings):
    client = producer(**settings)
    sent = [client.send(topic, b"%s%d" % (prefix, at), key=b"k%d" % at) for at in range(count)]
    client.flush(20)
    answers = [future.get(20) for future in sent]
    client.close()
    return answers


def take(client, count, seconds=15):
    taken = []
    end = time.monotonic() + seconds
    while len(taken) < count and time.monotonic() < end:
        for records in client.poll(timeout_ms=100).values():
            taken.extend(records)
    that(len(taken) >= count, f"expected {count} records, seen {len(taken)} in {seconds} s")
    return taken


def read_from_start(topic, count, seconds=15):
    client = consumer()
    client.assign([TopicPartition(topic, 0)])
    client.seek_to_beginning()
    taken = take(client, count, seconds)
    client.close()
    return taken


def end_offset(topic):
    client = consumer()
    partition = TopicPartition(topic, 0)
    end = client.end_offsets([partition])[partition]
    client.close()
    return end


def named(prefix, count):
    return [b"%s%d" % (prefix, at) for at in range(count)]


def version_probe():
    """The default, no api_version given: the client tells the version from what ApiVersions lists."""
    client = producer()
    that(client.config["api_version"] >= (2, 1), f"took the broker for {client.config['api_version']}")
    that(client.bootstrap_connected(), "not connected")
    client.close()


def create_topic():
    client = admin()
    topic = NewTopic("kpy-made", num_partitions=3, replication_factor=1, topic_configs={"retention.ms": "7200000"})
    client.create_topics([topic])
    fails(TopicAlreadyExistsError, client.create_topics, [topic])
    client.close()


def list_topics():
    client = admin()
    that("kpy-made" in client.list_topics(), "not listed")
    client.close()


def describe_topic():
    client = admin()
    made = client.describe_topics(["kpy-made"])[0]
    same(len(made["partitions"]), 3, "partitions")
    same(made["error_code"], 0, "error code")
    client.close()


def describe_config():
    client = admin()
    resource = ConfigResource(ConfigResourceType.TOPIC, "kpy-made")
    answer = client.describe_configs([resource])[0].resources[0]
    settings = {entry[0]: entry[1] for entry in answer[4]}
    same(settings["retention.ms"], "7200000", "retention.ms")
    that("cleanup.policy" in settings, "cleanup.policy is not listed")
    client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, "kpy-made", configs={"retention.ms": "3600000"})])

    def altered():
        answer = client.describe_configs([resource])[0].resources[0]
        return {entry[0]: entry[1] for entry in answer[4]}["retention.ms"] == "3600000"

    eventually("retention.ms is altered", 5, altered)
    client.close()


def add_partitions():
    client = admin()
    client.create_partitions({"kpy-made": NewPartitions(total_count=5)})
    eventually("5 partitions", 5, lambda: len(client.describe_topics(["kpy-made"])[0]["partitions"]) == 5)
    client.close()


def compressed(codec):
    topic = f"kpy-{codec or 'none'}"
    produce(topic, b"value", 300, compression_type=codec, linger_ms=20)
    records = read_from_start(topic, 300)
    same([record.value for record in records], named(b"value", 300), "values")
    same([record.key for record in records], [b"k%d" % at for at in range(300)], "keys")


def headers():
    client = producer()
    client.send("kpy-headers", b"v", headers=[("one", b"1"), ("two", b"")], timestamp_ms=1234567).get(10)
    client.send("kpy-headers", None, key=b"gone").get(10)
    client.close()
    records = read_from_start("kpy-headers", 2)
    same(records[0].headers, [("one", b"1"), ("two", b"")], "headers")
    same(records[0].timestamp, 1234567, "timestamp")
    same((records[1].key, records[1].value), (b"gone", None), "tombstone")


def acks():
    produce("kpy-acks", b"all", 50, acks="all")
    client = producer(acks=0)
    for at in range(50):
        client.send("kpy-acks", b"zero%d" % at)
    client.flush(10)
    eventually("50 unacknowledged records", 10, lambda: end_offset("kpy-acks") == 100)
    client.close()
    same(produce("kpy-acks", b"one", 50, acks=1)[-1].offset, 149, "offset with acks=1")


def oversized():
    client = producer(max_request_size=5_000_000)
    fails(MessageSizeTooLargeError, client.send("kpy-oversized", b"x" * 2_000_000).get, 10)
    client.close()


def commit_and_resume():
    produce("kpy-commit", b"v", 100)
    settings = {"group_id": "kpy-commit", "enable_auto_commit": False, "max_poll_records": 40}
    first = consumer("kpy-commit", **settings)
    take(first, 40)
    partition = TopicPartition("kpy-commit", 0)
    first.commit({partition: OffsetAndMetadata(37, "as far as 37")})
    first.close()
    second = consumer("kpy-commit", **settings)
    same(second.committed(partition, metadata=True), OffsetAndMetadata(37, "as far as 37"), "committed")
    same([record.value for record in take(second, 63)], named(b"v", 100)[37:], "the rest")
    second.close()


class Member(threading.Thread):
    """A consumer of a group on a thread of its own."""

    def __init__(self, topic):
        super().__init__(daemon=True)
        self.topic = topic
        self.owned = 0
        self.seen = []
        self.leaving = False
        self.start()

    def run(self):
        client = consumer(
            self.topic, group_id=self.topic, heartbeat_interval_ms=300, session_timeout_ms=6000, metadata_max_age_ms=1000
        )
        while not self.leaving:
            for records in client.poll(timeout_ms=50).values():
                self.seen.extend(record.value for record in records)
            self.owned = len(client.assignment())
        client.close()


def rebalance():
    client = admin()
    client.create_topics([NewTopic("kpy-rebalance", 4, 1)])
    client.close()
    first = Member("kpy-rebalance")
    eventually("the first member owns 4 partitions", 20, lambda: first.owned == 4)
    second = Member("kpy-rebalance")
    eventually("both own 2 partitions", 20, lambda: (first.owned, second.owned) == (2, 2))
    produce("kpy-rebalance", b"v", 100)
    eventually("both together saw all", 10, lambda: len(first.seen) + len(second.seen) >= 100)
    same(sorted(first.seen + second.seen), sorted(named(b"v", 100)), "values")
    that(first.seen and second.seen, "one member saw nothing")
    second.leaving = True
    second.join(20)
    eventually("the first member owns 4 partitions again", 20, lambda: first.owned == 4)
    first.leaving = True
    first.join(20)


def groups():
    client = admin()
    that(("kpy-commit", "consumer") in client.list_consumer_groups(), "not listed")
    group = client.describe_consumer_groups(["kpy-commit"])[0]
    same((group.group, group.state), ("kpy-commit", "Empty"), "group and state")
    offsets = client.list_consumer_group_offsets("kpy-commit")
    that(TopicPartition("kpy-commit", 0) in offsets, f"offsets: {offsets}")
    client.delete_consumer_groups(["kpy-commit"])
    that(("kpy-commit", "consumer") not in client.list_consumer_groups(), "still listed")
    client.close()


def seek_to_timestamp():
    client = producer()
    for at in range(10):
        client.send("kpy-times", b"v%d" % at, timestamp_ms=1_000_000 + at * 1000)
    client.flush(10)
    client.close()
    reader = consumer()
    partition = TopicPartition("kpy-times", 0)
    found = reader.offsets_for_times({partition: 1_004_500})[partition]
    same((found.offset, found.timestamp), (5, 1_005_000), "first record at or after 1004500")
    same(reader.offsets_for_times({partition: 2_000_000})[partition], None, "after the end")
    reader.assign([partition])
    reader.seek(partition, found.offset)
    same([record.value for record in take(reader, 5)], named(b"v", 10)[5:], "records from there")
    reader.close()


def kill_9():
    client = producer(acks="all", retries=100, max_in_flight_requests_per_connection=1, linger_ms=5, retry_backoff_ms=50)
    acknowledged, failed = [], []
    sending = threading.Event()
    sending.set()

    def send():
        at = 0
        while sending.is_set():
            value = b"%06d" % at
            future = client.send("kpy-kill", value)
            future.add_callback(lambda _, value=value: acknowledged.append(value))
            future.add_errback(failed.append)
            at += 1
            time.sleep(0.001)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    eventually("200 records acknowledged", 20, lambda: len(acknowledged) > 200)
    ctl("kill9")
    time.sleep(0.5)
    ctl("start")
    before = len(acknowledged)
    eventually("200 more acknowledged after the restart", 40, lambda: len(acknowledged) > before + 200)
    sending.clear()
    thread.join(10)
    try:
        client.flush(20)
    except KafkaError as error:
        failed.append(error)
    client.close(5)
    stored = [record.value for record in read_from_start("kpy-kill", end_offset("kpy-kill"), 30)]
    same(missing(acknowledged, stored), "", "records")
    firsts = list(dict.fromkeys(stored))
    same(firsts, sorted(firsts), "order of the records")


def delete_topic():
    client = admin()
    client.delete_topics(["kpy-made"])
    eventually("no longer listed", 10, lambda: "kpy-made" not in client.list_topics())
    client.close()


def main():
    check = Check("kafka-python 2.0.2")
    check.step("version probe", version_probe)
    check.step("create topic", create_topic)
    check.step("list topics", list_topics)
    check.step("describe topic", describe_topic)
    check.step("alter topic config", describe_config)
    check.step("add partitions", add_partitions)
    for codec in (None, "gzip", "snappy", "lz4", "zstd"):
        check.step(f"produce and consume, {codec or 'none'}", compressed, codec)
    check.step("headers, tombstones, timestamps", headers)
    check.step("acks 0 and 1", acks)
    check.step("oversized record refused", oversized)
    check.step("offsets for time", seek_to_timestamp)
    check.step("commit and resume", commit_and_resume)
    check.step("two consumers, rebalance", rebalance)
    check.step("list, describe and delete groups", groups)
    check.step("delete topic", delete_topic)
    if CTL:
        check.step("kill -9 under the producer", kill_9)
    else:
        check.skip("kill -9 under the producer", "no broker to kill")
    check.end()


if __name__ == "__main__":
    main()
