"""The cluster above: one or three brokers of a real Apache Kafka, each with a proxy in front of it.

A broker has three listeners: INTERNAL for its peers and for what the tests read, CONTROLLER, and PROXIED, which it
advertises with the proxy's port. Who starts at a proxy therefore never gets around the proxies.
"""

import base64
import os
import signal

from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic
from confluent_kafka import KafkaException

from processes import WORK, Process, until
from proxy import Proxy, free_port

HERE = os.path.dirname(os.path.abspath(__file__))
KAFKA = os.path.join(HERE, "..", "..", "kafka", "kafka")
OLD_KAFKA = os.path.join(HERE, "old", "kafka")
HEAP = "256m"
START_SECONDS_MAX = 120
ADMIN_SECONDS_MAX = 30
# Small, so that three JVMs are at home on two cores, and quick to notice a dead one.
SETTINGS = (
    "inter.broker.listener.name=INTERNAL",
    "listener.security.protocol.map=INTERNAL:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable=false",
    "num.network.threads=2",
    "num.io.threads=4",
    "log.cleaner.enable=false",
    "broker.session.timeout.ms=3000",
    "broker.heartbeat.interval.ms=500",
    "replica.lag.time.max.ms=3000",
    "controlled.shutdown.enable=true",
    "leader.imbalance.check.interval.seconds=5",
    "producer.id.expiration.check.interval.ms=1000",
)


class Upstream:
    knows_zstd = True

    def __init__(self, name, brokers=1, settings=(), seed=0):
        self.name = name
        self.count = brokers
        self.settings = tuple(settings)
        self.internal = [free_port() for _ in range(brokers)]
        self.controller = [free_port() for _ in range(brokers)]
        self.proxied = [free_port() for _ in range(brokers)]
        self.proxies = [Proxy(port, seed + at) for at, port in enumerate(self.proxied)]
        self.processes = [Process(f"{name}-kafka-{at + 1}") for at in range(brokers)]
        self.incarnation = 0
        self.new_identity()

    def new_identity(self):
        """What is started next is another cluster, with the same addresses and nothing in it."""
        self.incarnation += 1
        self._admin = None
        self.cluster_id = base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("=").replace("-", "A")

    # --- life ---

    def start(self):
        for at in range(self.count):
            self.start_broker(at)
        self.wait_ready()

    def start_broker(self, at):
        command = [KAFKA, "broker", str(self.internal[at]), self.directory(at), *self.broker_settings(at)]
        self.processes[at].spawn(command, KAFKA_HEAP=HEAP, KAFKA_CLUSTER_ID=self.cluster_id)

    def directory(self, at):
        return os.path.join(WORK, f"{self.name}-{self.incarnation}", str(at + 1))

    def broker_settings(self, at):
        voters = ",".join(f"{node + 1}@127.0.0.1:{port}" for node, port in enumerate(self.controller))
        replicas = min(self.count, 3)
        return (
            f"node.id={at + 1}",
            f"controller.quorum.voters={voters}",
            f"listeners=INTERNAL://127.0.0.1:{self.internal[at]},PROXIED://127.0.0.1:{self.proxied[at]},"
            f"CONTROLLER://127.0.0.1:{self.controller[at]}",
            f"advertised.listeners=INTERNAL://127.0.0.1:{self.internal[at]},"
            f"PROXIED://127.0.0.1:{self.proxies[at].port}",
            f"default.replication.factor={replicas}",
            f"min.insync.replicas={max(replicas - 1, 1)}",
            *SETTINGS,
            *self.settings,
        )

    def wait_ready(self):
        def ready():
            for process in self.processes:
                assert process.alive(), f"{process.name} ended: {process.log()[-2000:]}"
            try:
                return len(self.admin().list_topics(timeout=5).brokers) == self.count
            except KafkaException:
                return False

        until(f"{self.name} is ready", START_SECONDS_MAX, ready)

    def kill(self, at=0):
        self.processes[at].end(signal.SIGKILL)

    def stop(self):
        """For good or for a while; nothing of it is worth an orderly end."""
        for process in self.processes:
            process.end(signal.SIGKILL)

    def close(self):
        self.stop()
        for proxy in self.proxies:
            proxy.close()

    # --- what is asked of it ---

    @property
    def bootstrap(self):
        """For the tests themselves: not through the proxies."""
        return ",".join(f"127.0.0.1:{port}" for port in self.internal)

    @property
    def proxied_bootstrap(self):
        return ",".join(f"127.0.0.1:{proxy.port}" for proxy in self.proxies)

    def admin(self):
        # Kept: what a client that was thrown away has not answered yet, it never will.
        if self._admin is None:
            self._admin = AdminClient(
                {"bootstrap.servers": self.bootstrap, "reconnect.backoff.max.ms": 500, "log_level": 0}
            )
        return self._admin

    def create_topics(self, topics, config=None):
        """`topics`: name → partitions, or name → (partitions, configuration)."""
        create_topics(self.admin(), topics, self.count, config)

    def delete_topic(self, topic):
        self.admin().delete_topics([topic], operation_timeout=ADMIN_SECONDS_MAX)[topic].result()
        until(f"{topic} is deleted", ADMIN_SECONDS_MAX, lambda: topic not in self.topics())

    def add_partitions(self, topic, total):
        self.admin().create_partitions([NewPartitions(topic, total)])[topic].result()
        until("there are more partitions", ADMIN_SECONDS_MAX, lambda: self.topics()[topic] == total)

    def topics(self):
        """name → number of partitions"""
        found = self.admin().list_topics(timeout=ADMIN_SECONDS_MAX).topics
        return {name: len(topic.partitions) for name, topic in found.items() if not name.startswith("__")}

    def set_broker(self, name, value):
        """A dynamic setting of the whole cluster; None takes it back."""
        kind = AlterConfigOpType.DELETE if value is None else AlterConfigOpType.SET
        entry = ConfigEntry(name, value, incremental_operation=kind)
        resource = ConfigResource(ConfigResource.Type.BROKER, "", incremental_configs=[entry])
        for answer in self.admin().incremental_alter_configs([resource]).values():
            answer.result()

    def counted(self, field):
        return sum(getattr(proxy, field) for proxy in self.proxies)

    def calm(self):
        for proxy in self.proxies:
            proxy.calm()


class OldUpstream(Upstream):
    """One broker of a version that still has ZooKeeper."""

    def __init__(self, name, version, seed=0):
        super().__init__(name, seed=seed)
        self.version = version
        # KIP-110, Kafka 2.1
        self.knows_zstd = not version.startswith(("1.", "2.0"))

    def start_broker(self, at):
        settings = (
            f"listeners=INTERNAL://127.0.0.1:{self.internal[at]},PROXIED://127.0.0.1:{self.proxied[at]}",
            f"advertised.listeners=INTERNAL://127.0.0.1:{self.internal[at]},"
            f"PROXIED://127.0.0.1:{self.proxies[at].port}",
            "inter.broker.listener.name=INTERNAL",
            "listener.security.protocol.map=INTERNAL:PLAINTEXT,PROXIED:PLAINTEXT",
            "auto.create.topics.enable=false",
            "delete.topic.enable=true",
        )
        command = [OLD_KAFKA, self.version, self.directory(at), str(self.controller[at]), *settings]
        self.processes[at].spawn(command, KAFKA_HEAP=HEAP)


def create_topics(admin, topics, replicas, config=None):
    wanted = []
    for name, shape in topics.items():
        partitions, own = shape if isinstance(shape, tuple) else (shape, {})
        wanted.append(NewTopic(name, partitions, replicas, config={**(config or {}), **own}))
    for answer in admin.create_topics(wanted, operation_timeout=ADMIN_SECONDS_MAX).values():
        answer.result()
