/** kafkajs: all in JavaScript; snappy, lz4 and zstd are packages of their own, as its documentation has it. */
'use strict';

const { Kafka, CompressionTypes, CompressionCodecs, ConfigResourceTypes, logLevel } = require('kafkajs');
const { version } = require('kafkajs/package.json');
const SnappyCodec = require('kafkajs-snappy');
const LZ4Codec = require('kafkajs-lz4');
const { ZstdCodec } = require('zstd-codec');
const { BaseClient, BaseConsumer } = require('./kafkajs_interface.js');
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

class Consumer extends BaseConsumer {
  constructor(kafka, { group, topic }) {
    const times = { sessionTimeout: 6000, heartbeatInterval: 300, maxWaitTimeInMs: 200 };
    super(kafka.consumer({ groupId: group, ...times }), topic);
    this.partitions = [];
    this.client.on(this.client.events.GROUP_JOIN, ({ payload }) => {
      this.partitions = payload.memberAssignment[topic] ?? [];
    });
  }

  owned() {
    return this.partitions;
  }
}

class Client extends BaseClient {
  name = `kafkajs ${version}`;
  prefix = 'kafkajs';
  lacks = ['static member', 'cooperative'];

  constructor() {
    const retry = { initialRetryTime: 50, maxRetryTime: 500, retries: 30 };
    const kafka = new Kafka({ brokers: [process.env.OTTLA_BOOTSTRAP], logLevel: logLevel.NOTHING, retry });
    super(kafka, kafka.admin({ retry: { ...retry, retries: 5 } }));
  }

  async start() {
    CompressionCodecs[CompressionTypes.ZSTD] = await zstd();
    return super.start();
  }

  producer({ acks = -1, compression = 'none', idempotent = false, inFlight }) {
    const client = this.kafka.producer({ idempotent, maxInFlightRequests: inFlight });
    return this.connected(client, { acks, compression: codecs[compression] });
  }

  consumer(settings) {
    return new Consumer(this.kafka, settings).start({ fromBeginning: true }, { autoCommit: false });
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

  async group(name) {
    const { groups } = await this.admin.describeGroups([name]);
    return { state: groups[0].state, members: groups[0].members.length };
  }
}

module.exports = { Client };
if (require.main === module) {
  new Client().start().then((client) => new Steps(client).run());
}
