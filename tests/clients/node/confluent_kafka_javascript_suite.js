/** @confluentinc/kafka-javascript: a recent librdkafka with the interface of kafkajs, settings elsewhere. */
'use strict';

const { AdminClient, KafkaJS } = require('@confluentinc/kafka-javascript');
const { version } = require('@confluentinc/kafka-javascript/package.json');
const { promisify } = require('node:util');
const { Steps } = require('./steps.js');

const { Kafka, PartitionAssigners, ConsumerGroupStates, logLevel } = KafkaJS;
const bootstrap = { 'bootstrap.servers': process.env.OTTLA_BOOTSTRAP };

class Consumer {
  constructor(kafka, { group, topic, instance, strategy }) {
    this.topic = topic;
    this.reads = [];
    this.client = kafka.consumer({
      kafkaJS: {
        groupId: group,
        fromBeginning: true,
        autoCommit: false,
        sessionTimeout: 6000,
        heartbeatInterval: 300,
        maxWaitTimeInMs: 200,
        ...(strategy ? { partitionAssigners: [strategy] } : {}),
      },
      ...(instance ? { 'group.instance.id': instance } : {}),
    });
  }

  async start() {
    await this.client.connect();
    await this.client.subscribe({ topic: this.topic });
    await this.client.run({
      eachMessage: async ({ partition, message: { key, value, headers = {}, timestamp, offset } }) => {
        const record = { key, value, headers, timestamp: Number(timestamp) };
        this.reads.push({ partition, offset: Number(offset), record });
      },
    });
    return this;
  }

  owned() {
    return this.client.assignment().map(({ partition }) => partition);
  }

  async commit(offsets) {
    const { topic } = this;
    await this.client.commitOffsets(
      Object.entries(offsets).map(([at, offset]) => ({ topic, partition: Number(at), offset: `${offset}` })),
    );
  }

  async seek(partition, offset) {
    await this.client.seek({ topic: this.topic, partition, offset: `${offset}` });
  }

  async close() {
    await this.client.disconnect();
  }
}

class Client {
  name = `confluent-kafka-javascript ${version}`;
  prefix = 'confluent-kafka-javascript';
  // Its admin client has no call for a topic's settings.
  lacks = ['settings'];
  cooperative = PartitionAssigners.cooperativeSticky;

  constructor() {
    this.kafka = new Kafka({
      kafkaJS: { brokers: [process.env.OTTLA_BOOTSTRAP], logLevel: logLevel.NOTHING },
      'reconnect.backoff.max.ms': 200,
    });
    this.admin = this.kafka.admin();
  }

  async start() {
    await this.admin.connect();
    return this;
  }

  code(error) {
    return error.errors?.[0].code ?? error.code;
  }

  async producer({ acks = -1, compression = 'none', idempotent = false, inFlight, bytesMax = 1_000_000 }) {
    const client = this.kafka.producer({
      kafkaJS: {
        acks,
        idempotent,
        compression,
        ...(inFlight ? { maxInFlightRequests: inFlight } : {}),
      },
      'message.max.bytes': bytesMax,
      'linger.ms': 5,
    });
    await client.connect();
    return {
      send: async (topic, partition, records) => {
        const messages = records.map((record) => ({ ...record, partition, timestamp: `${record.timestamp}` }));
        const answer = await client.send({ topic, messages });
        return Number(answer[0]?.baseOffset);
      },
      close: () => client.disconnect(),
    };
  }

  async consumer(settings) {
    return new Consumer(this.kafka, settings).start();
  }

  async create(topic, { partitions = 1, replicas = 1, settings = {} } = {}) {
    const configEntries = Object.entries(settings).map(([name, value]) => ({ name, value }));
    const topics = [{ topic, numPartitions: partitions, replicationFactor: replicas, configEntries }];
    if (!(await this.admin.createTopics({ topics }))) {
      throw Object.assign(new Error('false: the topic exists'), { code: 36 });
    }
  }

  topics() {
    return this.admin.listTopics();
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

  async deleteRecords(topic, offset) {
    await this.admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: `${offset}` }] });
  }

  async lowOffset(topic) {
    return Number((await this.admin.fetchTopicOffsets(topic))[0].low);
  }

  async offsetAt(topic, timestamp) {
    return Number((await this.admin.fetchTopicOffsetsByTimestamp(topic, timestamp))[0].offset);
  }

  async delete(topic) {
    await this.admin.deleteTopics({ topics: [topic] });
  }

  async groups() {
    return (await this.admin.listGroups()).groups.map((group) => group.groupId);
  }

  async group(name) {
    const [{ state, members }] = (await this.admin.describeGroups([name])).groups;
    const names = Object.entries(ConsumerGroupStates).map(([text, code]) => [code, text]);
    const text = new Map(names).get(state) ?? `${state}`;
    return { state: text[0] + text.slice(1).toLowerCase(), members: members.length };
  }

  async groupOffsets(groupId, topic) {
    const answer = await this.admin.fetchOffsets({ groupId, topics: [topic] });
    return Object.fromEntries(answer[0].partitions.map(({ partition, offset }) => [partition, Number(offset)]));
  }

  async deleteGroup(name) {
    await this.admin.deleteGroups([name]);
  }
}

module.exports = { Client };
if (require.main === module) {
  new Client().start().then((client) => new Steps(client).run());
}
