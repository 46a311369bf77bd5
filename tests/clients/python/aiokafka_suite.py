"""aiokafka: asyncio. Its clients live on one event loop in a thread; the steps, which block, call into it."""

import asyncio
import threading

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition, __version__
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, for_code
from check import BOOTSTRAP, Check
from steps import SECONDS, Read, Record, Steps

LOOP = asyncio.new_event_loop()
threading.Thread(target=LOOP.run_forever, daemon=True).start()


def wait(coroutine, seconds=SECONDS):
    return asyncio.run_coroutine_threadsafe(coroutine, LOOP).result(seconds)


async def on_loop(body, *arguments):
    """For what is no coroutine, but may only be called on the loop."""
    return body(*arguments)


async def started(kind, *arguments, **settings):
    """The constructors want a running loop."""
    client = kind(*arguments, bootstrap_servers=BOOTSTRAP, **settings)
    await client.start()
    return client


class Producer:
    # aiokafka has one request per broker in flight, always.
    def __init__(self, acks="all", compression=None, idempotent=False, in_flight=1, linger_ms=0,
                 request_bytes_max=1_048_576):
        self.client = wait(started(
            AIOKafkaProducer, acks=acks if acks == "all" else int(acks), compression_type=compression,
            enable_idempotence=idempotent, linger_ms=linger_ms, max_request_size=request_bytes_max,
        ))

    def send(self, topic, record, partition, done):
        wait(self._send(topic, record, partition, done))

    async def _send(self, topic, record, partition, done):
        def answered(future):
            error = future.exception()
            done(error, None if error else future.result() and future.result().offset)

        future = await self.client.send(
            topic, record.value, record.key, partition, record.timestamp, [tuple(header) for header in record.headers]
        )
        future.add_done_callback(answered)

    def flush(self):
        wait(self.client.flush())

    def close(self):
        wait(self.client.stop())


class Consumer:
    def __init__(self, group=None, topic=None, instance=None, strategy=None):
        self.topic = topic
        self.client = wait(started(
            AIOKafkaConsumer, *([topic] if topic else []), group_id=group, group_instance_id=instance,
            auto_offset_reset="earliest", enable_auto_commit=False, session_timeout_ms=6000, heartbeat_interval_ms=300,
        ))

    def poll(self, seconds):
        polled = wait(self.client.getmany(timeout_ms=int(seconds * 1000), max_records=500))
        return [
            Read(at.partition, at.offset, Record(at.key, at.value, list(at.headers), at.timestamp))
            for records in polled.values() for at in records
        ]

    def owned(self):
        return {at.partition for at in self.client.assignment()}

    def commit(self, offsets):
        what = {TopicPartition(self.topic, partition): offset for partition, offset in offsets.items()}
        wait(self.client.commit(what))

    def committed(self, partition):
        return wait(self.client.committed(TopicPartition(self.topic, partition)))

    def assign(self, topic, partition, offset):
        wait(on_loop(self.client.assign, [TopicPartition(topic, partition)]))
        self.seek(topic, partition, offset)

    def seek(self, topic, partition, offset):
        wait(on_loop(self.client.seek, TopicPartition(topic, partition), offset))

    def offset_at(self, topic, partition, timestamp):
        at = TopicPartition(topic, partition)
        found = wait(self.client.offsets_for_times({at: timestamp}))[at]
        return found.offset if found else None

    def close(self):
        wait(self.client.stop())


class Client:
    name = f"aiokafka {__version__}"
    prefix = "aiokafka"
    errors = KafkaError
    lacks = ("cooperative", "delete groups", "incremental")
    cooperative = None
    producer, consumer = Producer, Consumer

    def __init__(self):
        self.admin = wait(started(AIOKafkaAdminClient))

    def more_steps(self, check, apache):
        pass

    def code(self, error):
        return error.errno

    def raised(self, codes):
        """The admin client hands the error codes of topics on as they are."""
        for code in codes:
            if code:
                raise for_code(code)

    def create(self, topic, partitions=1, replicas=1, settings=()):
        answer = wait(self.admin.create_topics([NewTopic(topic, partitions, replicas, topic_configs=dict(settings))]))
        self.raised(error[1] for error in answer.topic_errors)

    def topics(self):
        return wait(self.admin.list_topics())

    def partitions(self, topic):
        described = wait(self.admin.describe_topics([topic]))[0]
        self.raised([described["error_code"]])
        return len(described["partitions"])

    def settings(self, topic):
        answer = wait(self.admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)]))
        return {entry[0]: entry[1] for entry in answer[0].resources[0][4]}

    def alter(self, topic, settings):
        answer = wait(self.admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=settings)]))
        self.raised(resource[0] for resource in answer[0].resources)

    def add_partitions(self, topic, total):
        wait(self.admin.create_partitions({topic: NewPartitions(total)}))

    def delete_records(self, topic, before):
        at = TopicPartition(topic, 0)
        return wait(self.admin.delete_records({at: RecordsToDelete(before)}))[at]

    def delete(self, topic):
        answer = wait(self.admin.delete_topics([topic]))
        self.raised(code for _, code in answer.topic_error_codes)

    def groups(self):
        return [group[0] for group in wait(self.admin.list_consumer_groups())]

    def group(self, name):
        group = wait(self.admin.describe_consumer_groups([name]))[0].groups[0]
        self.raised([group[0]])
        return group[2], len(group[5])

    def group_offsets(self, name):
        offsets = wait(self.admin.list_consumer_group_offsets(name))
        return {at.partition: committed.offset for at, committed in offsets.items()}


if __name__ == "__main__":
    client = Client()
    Steps(client, Check(client.name)).run(False)
