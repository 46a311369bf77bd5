/** kafkajs: all in JavaScript; snappy, lz4 and zstd are packages of their own, as its documentation has it. */
'use strict';

const { Kafka, CompressionTypes, CompressionCodecs, ConfigResourceTypes, logLevel } = require('kafkajs');
const { version } = require('kafkajs/package.json');
const SnappyCodec = require('kafkajs-snappy');
const LZ4Codec = require('kafkajs-lz4');
const { ZstdCodec } = require('zstd-codec');
const { Steps } = require('./steps.js');

const codecs = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4,
  zstd: CompressionTypes.ZSTD,
};
CompressionCodecs[CompressionTypes.Snappy] = SnappyCodec;
CompressionCodecs[CompressionTypes.LZ4] = new LZ4Codec().codec;

/** zstd-codec is zstd made into WebAssembly, ready a while after it is asked for. */
function zstd() {
  return new Promise((resolve) => {
    ZstdCodec.run(({ Simple }) => {
      const simple = new Simple();
      resolve(() => ({
        compress: async (encoder) => Buffer.from(simple.compress(encoder.buffer)),
        decompress: async (buffer) => Buffer.from(simple.decompress(buffer)),
      }));
    });
  });
}

class Consumer {
  constructor(kafka, { group, topic }) {
    this.topic = topic;
    this.reads = [];
    this.partitions = [];
    const times = { sessionTimeout: 6000, heartbeatInterval: 300, maxWaitTimeInMs: 200 };
    this.client = kafka.consumer({ groupId: group, ...times });
    this.client.on(this.client.events.GROUP_JOIN, ({ payload }) => {
      this.partitions = payload.memberAssignment[topic] ?? [];
    });
  }

  async start() {
    await this.client.connect();
    await this.client.subscribe({ topic: this.topic, fromBeginning: true });
    await this.client.run({
      autoCommit: false,
      eachMessage: async ({ partition, message: { key, value, headers, timestamp, offset } }) => {
        const record = { key, value, headers, timestamp: Number(timestamp) };
        this.reads.push({ partition, offset: Number(offset), record });
      },
    });
    return this;
  }

  owned() {
    return this.partitions;
  }

  async commit(offsets) {
    const { topic } = this;
    await this.client.commitOffsets(
      Object.entries(offsets).map(([at, offset]) => ({ topic, partition: Number(at), offset: `${offset}` })),
    );
  }

  async seek(partition, offset) {
    this.client.seek({ topic: this.topic, partition, offset: `${offset}` });
  }

  async close() {
    await this.client.disconnect();
  }
}

class Client {
  name = `kafkajs ${version}`;
  prefix = 'kafkajs';
  lacks = ['static member', 'cooperative'];

  constructor() {
    this.kafka = new Kafka({
      brokers: [process.env.OTTLA_BOOTSTRAP],
      logLevel: logLevel.NOTHING,
      retry: { initialRetryTime: 50, maxRetryTime: 500, retries: 30 },
    });
    this.admin = this.kafka.admin({ retry: { initialRetryTime: 50, maxRetryTime: 500, retries: 5 } });
  }

  async start() {
    CompressionCodecs[CompressionTypes.ZSTD] = await zstd();
    await this.admin.connect();
    return this;
  }

  code(error) {
    return error.errors?.[0].code ?? error.code ?? error.cause?.code;
  }

  async producer({ acks = -1, compression = 'none', idempotent = false, inFlight }) {
    const client = this.kafka.producer({ idempotent, maxInFlightRequests: inFlight });
    await client.connect();
    return {
      send: async (topic, partition, records) => {
        const messages = records.map((record) => ({ ...record, partition, timestamp: `${record.timestamp}` }));
        const answer = await client.send({ topic, acks, compression: codecs[compression], messages });
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
    if (!(await this.admin.createTopics({ topics, waitForLeaders: true }))) {
      throw Object.assign(new Error('false: the topic exists'), { code: 36 });
    }
  }

  topics() {
    return this.admin.listTopics();
  }

  async partitions(topic) {
    return (await this.admin.fetchTopicMetadata({ topics: [topic] })).topics[0].partitions.length;
  }

  async settings(topic) {
    const resources = [{ type: ConfigResourceTypes.TOPIC, name: topic }];
    const answer = await this.admin.describeConfigs({ includeSynonyms: false, resources });
    const entries = answer.resources[0].configEntries;
    return Object.fromEntries(entries.map(({ configName, configValue }) => [configName, configValue]));
  }

  async alter(topic, settings) {
    const configEntries = Object.entries(settings).map(([name, value]) => ({ name, value }));
    const resources = [{ type: ConfigResourceTypes.TOPIC, name: topic, configEntries }];
    await this.admin.alterConfigs({ validateOnly: false, resources });
  }

  async addPartitions(topic, count) {
    await this.admin.createPartitions({ topicPartitions: [{ topic, count }] });
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
    const { groups } = await this.admin.describeGroups([name]);
    return { state: groups[0].state, members: groups[0].members.length };
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
