"""kafka-python: 2.0.2, which probes the broker's version and speaks old requests, and the 3.x of today."""

import sys

from check import BOOTSTRAP, Check

if sys.version_info >= (3, 12) and "kafka-python-2.0.2" in sys.argv:
    print("kafka-python 2.0.2 | topics: create | skipped it can't be imported by Python 3.12 and later; 3.11 is needed")
    sys.exit()

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition, __version__
from kafka.admin import ConfigResource, ConfigResourceType, NewPartitions
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata
from steps import SECONDS, Read, Record, Steps, same, that

OLD = __version__.startswith("2.0.")


class Producer:
    def __init__(self, acks="all", compression=None, idempotent=False, in_flight=5, linger_ms=0,
                 request_bytes_max=1_048_576):
        settings = {} if OLD else {"enable_idempotence": idempotent}
        self.client = KafkaProducer(
            bootstrap_servers=BOOTSTRAP, acks=acks if acks == "all" else int(acks), compression_type=compression,
            retries=100, retry_backoff_ms=50, linger_ms=linger_ms, max_request_size=request_bytes_max,
            max_in_flight_requests_per_connection=in_flight, reconnect_backoff_max_ms=500, **settings,
        )

    def send(self, topic, record, partition, done):
        future = self.client.send(
            topic, record.value, record.key, record.headers, partition=partition, timestamp_ms=record.timestamp
        )
        future.add_callback(lambda answer: done(None, answer.offset))
        future.add_errback(lambda error: done(error, None))

    def flush(self):
        self.client.flush(SECONDS)

    def close(self):
        self.client.close(SECONDS)


class Consumer:
    def __init__(self, group=None, topic=None, instance=None, strategy=None):
        settings = {"group_instance_id": instance} if instance else {}
        if strategy:
            settings["partition_assignment_strategy"] = [strategy]
        self.topic = topic
        self.client = KafkaConsumer(
            *([topic] if topic else []), bootstrap_servers=BOOTSTRAP, group_id=group, auto_offset_reset="earliest",
            enable_auto_commit=False, session_timeout_ms=6000, heartbeat_interval_ms=300, max_poll_records=500,
            reconnect_backoff_max_ms=500, **settings,
        )

    def poll(self, seconds):
        # kafka-python 3.0.12 forgets its assignment when a poll ends while the answer to SyncGroup is on its way
        # (join_group_async of its coordinator/base.py): polled every 100 ms it was left without partitions in 2 of 112
        # joins here, and in 3 of 178 with Apache Kafka.
        seconds = seconds if OLD else max(seconds, 1)
        polled = self.client.poll(timeout_ms=int(seconds * 1000))
        return [
            Read(at.partition, at.offset, Record(at.key, at.value, at.headers, at.timestamp))
            for records in polled.values() for at in records
        ]

    def owned(self):
        return {at.partition for at in self.client.assignment()}

    def commit(self, offsets):
        more = () if OLD else (-1,)
        self.client.commit({
            TopicPartition(self.topic, partition): OffsetAndMetadata(offset, "", *more)
            for partition, offset in offsets.items()
        })

    def committed(self, partition):
        return self.client.committed(TopicPartition(self.topic, partition))

    def assign(self, topic, partition, offset):
        self.client.assign([TopicPartition(topic, partition)])
        self.seek(topic, partition, offset)

    def seek(self, topic, partition, offset):
        self.client.seek(TopicPartition(topic, partition), offset)

    def offset_at(self, topic, partition, timestamp):
        found = self.client.offsets_for_times({TopicPartition(topic, partition): timestamp})
        found = found[TopicPartition(topic, partition)]
        return found.offset if found else None

    def close(self):
        self.client.close()


class Client:
    name = f"kafka-python {__version__}"
    prefix = f"kafka-python-{__version__[0]}"
    errors = KafkaError
    lacks = ("idempotent", "incremental", "static member", "cooperative", "delete records") if OLD else ()
    cooperative = None
    producer, consumer = Producer, Consumer

    def __init__(self):
        self.admin = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)
        if not OLD:
            from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

            self.cooperative = CooperativeStickyAssignor

    def more_steps(self, check, apache):
        check.step("topics: version probe", self.version_probe)

    def version_probe(self):
        """The default, no api_version given: the client tells the version from what ApiVersions lists."""
        client = KafkaProducer(bootstrap_servers=BOOTSTRAP)
        that(client.partitions_for(f"{self.prefix}-nulls"), "no partitions")
        that(client.config["api_version"] >= (2, 1), f"took the broker for {client.config['api_version']}")
        client.close()

    def code(self, error):
        return error.errno

    def create(self, topic, partitions=1, replicas=1, settings=()):
        from kafka.admin import NewTopic

        self.admin.create_topics([NewTopic(topic, partitions, replicas, topic_configs=dict(settings))])

    def topics(self):
        return self.admin.list_topics()

    def partitions(self, topic):
        described = self.admin.describe_topics([topic])[0]
        same(described["error_code"], 0, "error code")
        return len(described["partitions"])

    def resource(self, topic, settings=None):
        return ConfigResource(ConfigResourceType.TOPIC, topic, configs=settings)

    def settings(self, topic):
        if OLD:
            answer = self.admin.describe_configs([self.resource(topic)])[0].resources[0]
            return {entry[0]: entry[1] for entry in answer[4]}
        answer = self.admin.describe_configs([self.resource(topic)], config_filter="all")
        return {name: entry["value"] for name, entry in answer["topic"][topic].items()}

    def alter(self, topic, settings):
        answer = self.admin.alter_configs([self.resource(topic, settings)])
        if OLD:
            same(answer.resources[0][0], 0, "error code")

    def add_partitions(self, topic, total):
        self.admin.create_partitions({topic: NewPartitions(total)})

    def delete_records(self, topic, before):
        answer = self.admin.delete_records({TopicPartition(topic, 0): before})
        return answer[TopicPartition(topic, 0)]["low_watermark"]

    def delete(self, topic):
        self.admin.delete_topics([topic])

    def groups(self):
        if OLD:
            return [name for name, _ in self.admin.list_consumer_groups()]
        return [group["group_id"] for group in self.admin.list_groups()]

    def group(self, name):
        if OLD:
            group = self.admin.describe_consumer_groups([name])[0]
            return group.state, len(group.members)
        group = self.admin.describe_groups([name])[name]
        return group["group_state"], len(group["members"])

    def group_offsets(self, name):
        if OLD:
            offsets = self.admin.list_consumer_group_offsets(name)
        else:
            offsets = self.admin.list_group_offsets(name)[name]
        return {at.partition: committed.offset for at, committed in offsets.items()}

    def delete_group(self, name):
        if OLD:
            same([error.errno for _, error in self.admin.delete_consumer_groups([name])], [0], "error code")
        else:
            same(self.admin.delete_groups([name]), {name: "OK"}, "answer")


if __name__ == "__main__":
    client = Client()
    Steps(client, Check(client.name)).run(False)
