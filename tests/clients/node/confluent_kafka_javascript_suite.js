/** @confluentinc/kafka-javascript: a recent librdkafka with the interface of kafkajs, settings elsewhere. */
'use strict';

const { AdminClient, KafkaJS } = require('@confluentinc/kafka-javascript');
const { version } = require('@confluentinc/kafka-javascript/package.json');
const { promisify } = require('node:util');
const { BaseClient, BaseConsumer } = require('./kafkajs_interface.js');
const { Steps } = require('./steps.js');

const { Kafka, PartitionAssigners, ConsumerGroupStates, logLevel } = KafkaJS;
const bootstrap = { 'bootstrap.servers': process.env.OTTLA_BOOTSTRAP };

class Consumer extends BaseConsumer {
  constructor(kafka, { group, topic, instance, strategy }) {
    const times = { sessionTimeout: 6000, heartbeatInterval: 300, maxWaitTimeInMs: 200 };
    const assigners = strategy ? { partitionAssigners: [strategy] } : {};
    const client = kafka.consumer({
      kafkaJS: { groupId: group, fromBeginning: true, autoCommit: false, ...times, ...assigners },
      ...(instance ? { 'group.instance.id': instance } : {}),
    });
    super(client, topic);
  }

  owned() {
    return this.client.assignment().map(({ partition }) => partition);
  }
}

class Client extends BaseClient {
  name = `confluent-kafka-javascript ${version}`;
  prefix = 'confluent-kafka-javascript';
  // Its admin client has no call for a topic's settings.
  lacks = ['settings'];
  cooperative = PartitionAssigners.cooperativeSticky;

  constructor() {
    const kafka = new Kafka({
      kafkaJS: { brokers: [process.env.OTTLA_BOOTSTRAP], logLevel: logLevel.NOTHING },
      'reconnect.backoff.max.ms': 200,
    });
    super(kafka, kafka.admin());
  }

  producer({ acks = -1, compression = 'none', idempotent = false, inFlight, bytesMax = 1_000_000 }) {
    const requests = inFlight ? { maxInFlightRequests: inFlight } : {};
    const client = this.kafka.producer({
      kafkaJS: { acks, idempotent, compression, ...requests },
      'message.max.bytes': bytesMax,
      'linger.ms': 5,
    });
    return this.connected(client, {});
  }

  consumer(settings) {
    return new Consumer(this.kafka, settings).start({}, {});
  }

  async partitions(topic) {
    return (await this.admin.fetchTopicMetadata({ topics: [topic] }))[0].partitions.length;
  }

  /** Only the client's older interface has it. */
  async addPartitions(topic, count) {
    const admin = AdminClient.create(bootstrap);
    await promisify(admin.createPartitions.bind(admin))(topic, count, 5000);
    admin.disconnect();
  }

  async group(name) {
    const [{ state, members }] = (await this.admin.describeGroups([name])).groups;
    const text = Object.keys(ConsumerGroupStates).find((known) => ConsumerGroupStates[known] === state) ?? `${state}`;
    return { state: text[0] + text.slice(1).toLowerCase(), members: members.length };
  }
}

module.exports = { Client };
if (require.main === module) {
  new Client().start().then((client) => new Steps(client).run());
}
