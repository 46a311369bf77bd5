"""confluent-kafka: a recent librdkafka, which decides by the versions a broker advertises what it may use."""

import os
import time

from check import BOOTSTRAP, Check, fails, same, that
from confluent_kafka import (
    Consumer as KafkaConsumer,
    ConsumerGroupTopicPartitions,
    KafkaException,
    Producer as KafkaProducer,
    TopicPartition,
    __version__,
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
from steps import SECONDS, Read, Record, Steps, records

# Errors that a step does not see are in the step's result; connections that break in "broker killed" are expected.
BASE = {"bootstrap.servers": BOOTSTRAP, "log_level": 2, "reconnect.backoff.max.ms": 200}


def done(futures):
    """Waits for every future of an admin call; the first error is raised."""
    return {key: future.result(SECONDS) for key, future in futures.items()}


class Producer:
    def __init__(self, acks="all", compression=None,
                 idempotent=False, in_flight=5, linger_ms=0, request_bytes_max=1_000_000):
        self.client = KafkaProducer({
            **BASE, "acks": acks, "compression.type": compression or "none", "enable.idempotence": idempotent,
            "max.in.flight.requests.per.connection": in_flight, "linger.ms": linger_ms,
            "message.max.bytes": request_bytes_max,
        })

    def send(self, topic, record, partition, answered):
        def delivered(error, message):
            answered(KafkaException(error) if error else None, message.offset())

        times = {} if record.timestamp is None else {"timestamp": record.timestamp}
        self.client.produce(topic, record.value, record.key, partition, delivered, headers=record.headers, **times)
        self.client.poll(0)

    def flush(self):
        same(self.client.flush(30), 0, "messages left in the queue")

    def close(self):
        self.client.flush(1)


class Consumer:
    def __init__(self, group=None, topic=None, instance=None, strategy=None):
        settings = {"group.instance.id": instance} if instance else {}
        if strategy:
            settings["partition.assignment.strategy"] = strategy
        self.topic, self.failed = topic, []
        self.client = KafkaConsumer({
            **BASE, "group.id": group or "unused", "auto.offset.reset": "earliest", "enable.auto.commit": False,
            "session.timeout.ms": 6000, "heartbeat.interval.ms": 300, **settings,
        })
        if topic:
            self.client.subscribe([topic])

    def poll(self, seconds):
        # An error that came right behind records: those are handed out first, since the client's
        # position has moved past them.
        if self.failed:
            failed, self.failed = self.failed, []
            raise KafkaException(failed[0])
        reads = []
        for message in self.client.consume(500, seconds):
            if message.error():
                self.failed.append(message.error())
                continue
            record = Record(message.key(), message.value(), message.headers() or [], message.timestamp()[1])
            reads.append(Read(message.partition(), message.offset(), record))
        if self.failed and not reads:
            return self.poll(0)
        return reads

    def owned(self):
        return {at.partition for at in self.client.assignment()}

    def commit(self, offsets):
        what = [TopicPartition(self.topic, partition, offset) for partition, offset in offsets.items()]
        self.client.commit(offsets=what, asynchronous=False)

    def committed(self, partition):
        return self.client.committed([TopicPartition(self.topic, partition)], SECONDS)[0].offset

    def assign(self, topic, partition, offset):
        self.client.assign([TopicPartition(topic, partition, offset)])

    def seek(self, topic, partition, offset):
        self.client.seek(TopicPartition(topic, partition, offset))

    def offset_at(self, topic, partition, timestamp):
        found = self.client.offsets_for_times([TopicPartition(topic, partition, timestamp)], SECONDS)[0]
        return found.offset if found.offset >= 0 else None

    def close(self):
        self.client.close()


class Client:
    name = f"confluent-kafka {__version__}"
    prefix = "confluent-kafka"
    errors = KafkaException
    lacks = ()
    cooperative = "cooperative-sticky"
    producer, consumer = Producer, Consumer

    def __init__(self):
        # One for all steps: it has to outlive the futures that its calls return.
        self.admin = AdminClient(BASE)

    def more_steps(self, check, apache):
        self.steps = Steps(self, check)
        check.step("topics: describe cluster", self.describe_cluster)
        check.step("consume: list offsets", self.list_offsets)
        check.step("groups: alter offsets", self.alter_offsets)
        if apache:
            check.skip("errors: transactions refused at once", "Apache Kafka has them")
        else:
            check.step("errors: transactions refused at once", self.transactions)

    def code(self, error):
        return error.args[0].code()

    def create(self, topic, partitions=1, replicas=1, settings=()):
        done(self.admin.create_topics([NewTopic(topic, partitions, replicas, config=dict(settings))]))

    def topics(self):
        return list(self.admin.list_topics(timeout=SECONDS).topics)

    def partitions(self, topic):
        return len(self.admin.list_topics(topic, SECONDS).topics[topic].partitions)

    def settings(self, topic):
        resource = ConfigResource(ResourceType.TOPIC, topic)
        return {name: entry.value for name, entry in done(self.admin.describe_configs([resource]))[resource].items()}

    def alter(self, topic, settings):
        changes = [
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in settings.items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=changes)
        done(self.admin.incremental_alter_configs([resource]))

    def add_partitions(self, topic, total):
        done(self.admin.create_partitions([NewPartitions(topic, total)]))

    def delete_records(self, topic, before):
        return list(done(self.admin.delete_records([TopicPartition(topic, 0, before)])).values())[0].low_watermark

    def delete(self, topic):
        done(self.admin.delete_topics([topic]))

    def groups(self):
        return [group.group_id for group in self.admin.list_consumer_groups().result(SECONDS).valid]

    def group(self, name):
        group = done(self.admin.describe_consumer_groups([name]))[name]
        return group.state.name.capitalize(), len(group.members)

    def group_offsets(self, name):
        answer = done(self.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(name)]))[name]
        return {at.partition: at.offset for at in answer.topic_partitions}

    def delete_group(self, name):
        done(self.admin.delete_consumer_groups([name]))

    # --- what only this client has ------------------------------------------------------------------------------

    def describe_cluster(self):
        cluster = self.admin.describe_cluster().result(SECONDS)
        that(cluster.cluster_id, "no cluster id")
        same(len(cluster.nodes), 1, "nodes")
        same(f"{cluster.controller.host}:{cluster.controller.port}", BOOTSTRAP, "controller")

    def list_offsets(self):
        topic, what = self.steps.topic("list-offsets"), records(10)
        self.create(topic)
        self.steps.produce(topic, what)
        at = TopicPartition(topic, 0)
        for spec, offset in (
            (OffsetSpec.earliest(), 0), (OffsetSpec.latest(), 10), (OffsetSpec.max_timestamp(), 9),
            (OffsetSpec.for_timestamp(what[4].timestamp), 4),
        ):
            same(done(self.admin.list_offsets({at: spec}))[at].offset, offset, f"list_offsets of {spec}")

    def alter_offsets(self):
        topic, group = self.steps.topic("list-offsets"), self.steps.topic("altered")
        what = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, 7)])
        done(self.admin.alter_consumer_group_offsets([what]))
        same(self.group_offsets(group), {0: 7}, "offsets")
        consumer = self.consumer(group=group, topic=topic)
        same([read.offset for read in self.steps.take(consumer, 3)], [7, 8, 9], "records of a consumer of the group")
        consumer.close()

    def transactions(self):
        client = KafkaProducer({**BASE, "transactional.id": "t"})
        start = time.monotonic()
        error = fails(KafkaException, client.init_transactions, 20).args[0]
        that(not error.retriable(), f"retriable: {error}")
        that(time.monotonic() - start < 5, f"refused only after {time.monotonic() - start:.1f} s: {error}")


if __name__ == "__main__":
    client = Client()
    Steps(client, Check(client.name)).run(os.environ.get("OTTLA_BROKER") == "apache")
