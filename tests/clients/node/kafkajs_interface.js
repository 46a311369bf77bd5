/** What kafkajs and confluent-kafka-javascript have in common: the second one copies the interface of the first. */
'use strict';

/** An adapter's consumer; `client` is the library's, connected by start. */
class BaseConsumer {
  constructor(client, topic) {
    this.client = client;
    this.topic = topic;
    this.reads = [];
  }

  async start(subscribing, running) {
    await this.client.connect();
    await this.client.subscribe({ topic: this.topic, ...subscribing });
    await this.client.run({
      ...running,
      eachMessage: async ({ partition, message: { key, value, headers = {}, timestamp, offset } }) => {
        const record = { key, value, headers, timestamp: Number(timestamp) };
        this.reads.push({ partition, offset: Number(offset), record });
      },
    });
    return this;
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

/** An adapter; `admin` is the library's admin client. */
class BaseClient {
  constructor(kafka, admin) {
    this.kafka = kafka;
    this.admin = admin;
  }

  async start() {
    await this.admin.connect();
    return this;
  }

  code(error) {
    return error.errors?.[0].code ?? error.code ?? error.cause?.code;
  }

  /** The adapter's producer around the library's; `sending` is what else a send takes. */
  async connected(client, sending) {
    await client.connect();
    return {
      send: async (topic, partition, records) => {
        const messages = records.map((record) => ({ ...record, partition, timestamp: `${record.timestamp}` }));
        const answer = await client.send({ topic, messages, ...sending });
        return Number(answer[0]?.baseOffset);
      },
      close: () => client.disconnect(),
    };
  }

  async create(topic, { partitions = 1, replicas = 1, settings = {} } = {}) {
    const configEntries = Object.entries(settings).map(([name, value]) => ({ name, value }));
    const topics = [{ topic, numPartitions: partitions, replicationFactor: replicas, configEntries }];
    // Both make `false` of TOPIC_ALREADY_EXISTS, and of nothing else.
    if (!(await this.admin.createTopics({ topics }))) {
      throw Object.assign(new Error('false: the topic exists'), { code: 36 });
    }
  }

  topics() {
    return this.admin.listTopics();
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

  async groupOffsets(groupId, topic) {
    const answer = await this.admin.fetchOffsets({ groupId, topics: [topic] });
    return Object.fromEntries(answer[0].partitions.map(({ partition, offset }) => [partition, Number(offset)]));
  }

  async deleteGroup(name) {
    await this.admin.deleteGroups([name]);
  }
}

module.exports = { BaseClient, BaseConsumer };
