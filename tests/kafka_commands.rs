//! A tutorial of 2018, word for word, where all the scripts are links to the binary.
//!
//! The binary is a copy in the test's own directory: `kafka-server-stop.sh` ends every broker that
//! runs this very file, and shall not meet those of other tests.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use ottla::cli::kafka_commands::KAFKA_COMMANDS;
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// What the tutorial unpacks: `bin` full of links, and `config`.
struct Kafka {
    directory: TempDir,
    port: u16,
}

impl Kafka {
    fn unpack() -> Kafka {
        let directory = tempfile::tempdir().unwrap();
        let port = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().port()
        };
        let kafka = Kafka { directory, port };
        let path = |name: &str| kafka.directory.path().join(name);
        for name in ["bin", "config"] {
            fs::create_dir(path(name)).unwrap();
        }
        // Not here: a process that another test starts meanwhile would have the file open for
        // writing for a moment, and nobody could run it (ETXTBSY).
        let copied =
            Command::new("cp").arg(env!("CARGO_BIN_EXE_ottla")).arg(path("ottla")).status();
        assert!(copied.unwrap().success());
        for name in KAFKA_COMMANDS {
            symlink(path("ottla"), path("bin").join(name)).unwrap();
        }
        symlink("kafka-topics.sh", path("bin/kafka-topics")).unwrap();
        fs::write(path("config/server.properties"), kafka.properties()).unwrap();
        fs::write(path("config/zookeeper.properties"), "clientPort=2181\n").unwrap();
        kafka
    }

    /// The keys of the file that came with 2.1.0.
    fn properties(&self) -> String {
        let (port, data) = (self.port, self.directory.path().join("kafka-logs"));
        format!(
            "broker.id=0\nlisteners=PLAINTEXT://localhost:{port}\nnum.network.threads=3\n\
             num.io.threads=8\nsocket.send.buffer.bytes=102400\n\
             socket.receive.buffer.bytes=102400\nsocket.request.max.bytes=104857600\n\
             log.dirs={}\nnum.partitions=1\nnum.recovery.threads.per.data.dir=1\n\
             offsets.topic.replication.factor=1\ntransaction.state.log.replication.factor=1\n\
             transaction.state.log.min.isr=1\nlog.retention.hours=168\n\
             log.segment.bytes=1073741824\nlog.retention.check.interval.ms=300000\n\
             zookeeper.connect=localhost:2181\nzookeeper.connection.timeout.ms=6000\n\
             group.initial.rebalance.delay.ms=0\n",
            data.display()
        )
    }

    /// Types one line, `PORT` in it being the broker's, and `input` behind it.
    fn type_with(&self, line: &str, input: &str) -> Output {
        let line = line.replace("PORT", &self.port.to_string());
        let mut words = line.split_whitespace();
        let mut child = Command::new(words.next().unwrap())
            .args(words)
            .current_dir(self.directory.path())
            .env_remove("LOG_DIR")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{line}: {error}"));
        // A tool that reads nothing may be gone by now.
        child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
        child.wait_with_output().unwrap()
    }

    /// Types one line, which has to succeed, and answers what it prints.
    fn type_line(&self, line: &str, input: &str) -> String {
        let output = self.type_with(line, input);
        assert_eq!(output.status.code(), Some(0), "{line}: {}", stderr(&output));
        stdout(&output)
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        // Nothing of this test may outlive it.
        self.type_with("bin/kafka-server-stop.sh", "");
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn the_quickstart_of_2018_works_line_by_line() {
    let kafka = Kafka::unpack();
    let zookeeper =
        kafka.type_with("bin/zookeeper-server-start.sh -daemon config/zookeeper.properties", "");
    assert_eq!(zookeeper.status.code(), Some(0));
    assert_eq!(stderr(&zookeeper).lines().count(), 1, "one line explains");
    assert_eq!(kafka.type_line("bin/zkServer.sh status", ""), "Mode: standalone\n");

    let started = kafka.type_line("bin/kafka-server-start.sh -daemon config/server.properties", "");
    assert!(started.starts_with("ottla: process "), "{started}");
    assert!(started.contains("accepts on ") && started.contains("logs/server.log"), "{started}");
    let log = fs::read_to_string(kafka.directory.path().join("logs/server.log")).unwrap();
    assert!(log.contains("there is no ZooKeeper") && log.contains("accepts on"), "{log}");

    let zookeepers = "--zookeeper localhost:2181 --broker-list localhost:PORT";
    let create = "bin/kafka-topics.sh --create --replication-factor 1 --partitions 1 --topic test";
    let created = kafka.type_with(&format!("{create} {zookeepers}"), "");
    assert_eq!(stdout(&created), "Created topic \"test\".\n");
    assert_eq!(stderr(&created).lines().count(), 1, "one line explains");
    assert_eq!(kafka.type_line(&format!("bin/kafka-topics -list {zookeepers}"), ""), "test\n");
    let described =
        kafka.type_line(&format!("bin/kafka-topics.sh --describe --topic test {zookeepers}"), "");
    assert_eq!(
        described,
        "Topic:test\tPartitionCount:1\tReplicationFactor:1\tConfigs:\n\
         \tTopic: test\tPartition: 0\tLeader: 0\tReplicas: 0\tIsr: 0\n"
    );

    let produce = "bin/kafka-console-producer.sh --broker-list localhost:PORT --topic test";
    kafka.type_line(produce, "This is a message\nThis is another message\n");
    let consume = "bin/kafka-console-consumer.sh --bootstrap-server localhost:PORT --topic test \
                   --from-beginning --max-messages 2 --group g";
    assert_eq!(kafka.type_line(consume, ""), "This is a message\nThis is another message\n");
    let groups = "bin/kafka-consumer-groups.sh --bootstrap-server localhost:PORT";
    assert_eq!(kafka.type_line(&format!("{groups} --list"), ""), "g\n");
    let described = kafka.type_line(&format!("{groups} --describe --group g"), "");
    let cells: Vec<&str> = described.lines().nth(2).unwrap().split_whitespace().collect();
    assert_eq!(cells, ["g", "test", "0", "2", "2", "0", "-", "-", "-"]);
    let reset = format!("{groups} --reset-offsets --group g --topic test --to-earliest --execute");
    assert!(kafka.type_line(&reset, "").contains("NEW-OFFSET"));

    let offsets = "--broker-list localhost:PORT --topic test --time -1 --offsets 1";
    for tool in ["kafka-run-class.sh kafka.tools.GetOffsetShell", "kafka-get-offsets.sh"] {
        assert_eq!(kafka.type_line(&format!("bin/{tool} {offsets}"), ""), "test:0:2\n");
    }
    let alter = "bin/kafka-topics.sh --alter --topic test --config retention.ms=60000";
    let altered = kafka.type_line(&format!("{alter} {zookeepers}"), "");
    assert_eq!(altered, "Updated config for topic test.\n");
    let configs = "bin/kafka-configs.sh --describe --entity-type topics --entity-name test";
    let configs = kafka.type_line(&format!("{configs} {zookeepers}"), "");
    assert!(configs.contains("  retention.ms=60000 "), "{configs}");
    let deleted =
        kafka.type_line(&format!("bin/kafka-topics.sh --delete --topic test {zookeepers}"), "");
    assert!(deleted.starts_with("Topic test is marked for deletion."), "{deleted}");

    assert_eq!(kafka.type_line("bin/kafka-server-stop.sh", ""), "");
    let again = kafka.type_with("bin/kafka-server-stop.sh", "");
    assert_eq!(
        (again.status.code(), stdout(&again).as_str()),
        (Some(1), "No kafka server to stop\n")
    );
    kafka.type_line("bin/zookeeper-server-stop.sh", "");
}

#[test]
fn a_broker_that_cannot_start_says_why_before_daemon_returns() {
    let kafka = Kafka::unpack();
    let start = "bin/kafka-server-start.sh -daemon config/server.properties";
    let output = kafka.type_with(&format!("{start} --override ssl.keystore.location=x"), "");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("asks for TLS"), "{}", stderr(&output));
    let missing = kafka.type_with("bin/kafka-server-start.sh -daemon config/none.properties", "");
    assert_eq!(missing.status.code(), Some(1));
    assert!(stderr(&missing).contains("cannot read config/none.properties"));

    kafka.type_line(start, "");
    let twice = kafka.type_with(start, "");
    assert_eq!(twice.status.code(), Some(1));
    assert!(stderr(&twice).contains("another ottla is running"), "{}", stderr(&twice));
    let usage = kafka.type_with("bin/kafka-server-start.sh", "");
    assert_eq!(usage.status.code(), Some(1));
    assert!(stdout(&usage).starts_with("USAGE: bin/kafka-server-start.sh [-daemon]"));
}

#[test]
fn exit_codes_and_where_failures_are_said_are_kafkas() {
    let kafka = Kafka::unpack();
    kafka.type_line("bin/kafka-server-start.sh -daemon config/server.properties", "");
    let server = "--bootstrap-server localhost:PORT";
    let create = format!("bin/kafka-topics.sh {server} --create --topic t");
    assert_eq!(kafka.type_line(&create, ""), "Created topic t.\n");
    let twice = kafka.type_with(&create, "");
    assert_eq!(twice.status.code(), Some(1));
    assert!(stdout(&twice).starts_with("Error while executing topic command : "));
    // Kafka's tools know no exit code 2.
    for line in ["bin/kafka-topics.sh", "bin/kafka-console-producer.sh", "bin/zkServer.sh no"] {
        assert_eq!(kafka.type_with(line, "").status.code(), Some(1), "{line}");
    }
    // And this one answers 0 to what the broker refuses.
    let groups = format!("bin/kafka-consumer-groups.sh {server} --group nobody");
    let said = kafka.type_line(&format!("{groups} --describe"), "");
    assert_eq!(said, "\nError: Consumer group 'nobody' does not exist.\n");
    assert!(kafka.type_line(&format!("{groups} --delete"), "").starts_with("\nError: Deletion"));
    let key = "--property parse.key=true --property key.separator=:";
    kafka.type_line(&format!("bin/kafka-console-producer.sh {server} --topic t {key}"), "k:v\n");
    let deserializer = "org.apache.kafka.common.serialization.StringDeserializer";
    let consume = format!(
        "bin/kafka-console-consumer.sh {server} --topic t --from-beginning --max-messages 1 \
         --formatter kafka.tools.DefaultMessageFormatter --property print.key=true \
         --property key.deserializer={deserializer} --property value.deserializer={deserializer}"
    );
    assert_eq!(kafka.type_line(&consume, ""), "k\tv\n");
    let class = kafka.type_with("bin/kafka-run-class.sh kafka.tools.MirrorMaker --x", "");
    assert_eq!(class.status.code(), Some(1));
    assert!(stderr(&class).contains("there is no JVM"));
    let id = kafka.type_line("bin/kafka-storage.sh random-uuid", "");
    assert_eq!(id.trim().len(), 22, "{id}");
    kafka.type_line(&format!("bin/kafka-storage.sh format -t {}", id.trim()), "");
}
