//! The names of Kafka's and ZooKeeper's commands under which the binary behaves as they do.

/// What `ottla install --kafka-commands` links to the binary.
pub const KAFKA_COMMANDS: [&str; 11] = [
    "kafka-topics.sh",
    "kafka-console-producer.sh",
    "kafka-console-consumer.sh",
    "kafka-consumer-groups.sh",
    "kafka-configs.sh",
    "kafka-get-offsets.sh",
    "kafka-server-start.sh",
    "kafka-server-stop.sh",
    "zkServer.sh",
    "zookeeper-server-start.sh",
    "zookeeper-server-stop.sh",
];
