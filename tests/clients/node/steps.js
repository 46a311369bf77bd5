/**
 * The steps of the matrix, for every Node client alike; a client is an adapter (a class that a suite exports).
 *
 * An adapter has, all of them promises:
 * - name, prefix (of its topics), cooperative (its assigner of that kind), and lacks: what the client has not got
 *   (settings, static member, cooperative)
 * - create, topics, partitions, settings, alter, addPartitions, lowOffset, deleteRecords, delete, groups, group,
 *   groupOffsets, deleteGroup, offsetAt, code (of an error; no promise)
 * - producer({acks, compression, idempotent, inFlight, bytesMax}): send(topic, partition, records), which gives the
 *   first offset, and close()
 * - consumer({group, topic, instance, strategy}): reads (grows), owned(), commit(), seek(), close()
 */
'use strict';

const { randomBytes } = require('node:crypto');
const { Check, same, that, eventually, fails, ctl, sleep, hasCtl } = require('./check.js');

// Kafka's error codes (org.apache.kafka.common.protocol.Errors).
const UNKNOWN_TOPIC_OR_PARTITION = 3;
const MESSAGE_TOO_LARGE = 10;
const TOPIC_ALREADY_EXISTS = 36;
const INVALID_REPLICATION_FACTOR = 38;

const RECORDS = 1000;

/** Records that a step writes and expects again, down to the last byte. */
function records(count, start = Date.now() - 100_000) {
  return Array.from({ length: count }, (_, at) => ({
    key: Buffer.from(`key${at}`),
    value: Buffer.from(`value ${at} of a sensor that says much the same again and again`),
    headers: { sequence: Buffer.from(`${at}`), empty: Buffer.alloc(0) },
    timestamp: start + at,
  }));
}

function short(text) {
  return { key: null, value: Buffer.from(text), headers: {}, timestamp: Date.now() };
}

function values(reads) {
  return reads.map((read) => read.record.value?.toString());
}

function ofPartition(reads, partition) {
  return reads.filter((read) => read.partition === partition);
}

class Steps {
  constructor(client) {
    this.client = client;
    this.check = new Check(client.name);
  }

  async run() {
    const step = (name, body) => this.check.step(name, body.bind(this));
    const { lacks } = this.client;
    const unlessLacks = (what, name, body) =>
      lacks.includes(what) ? this.check.skip(name, 'the client has not got it') : step(name, body);
    await step('topics: create', this.create);
    await step('topics: list', this.list);
    await step('topics: describe', this.describe);
    await unlessLacks('settings', 'topics: alter settings', this.alterSettings);
    await step('topics: add partitions', this.addPartitions);
    for (const codec of ['none', 'gzip', 'snappy', 'lz4', 'zstd']) {
      await step(`produce: ${codec}`, () => this.writtenAndRead(codec, records(RECORDS), { compression: codec }));
    }
    for (const [name, acks] of [['0', 0], ['1', 1], ['all', -1]]) {
      await step(`produce: acks ${name}`, () => this.writtenAndRead(`acks-${name}`, records(100), { acks }));
    }
    const idempotent = { idempotent: true };
    await step('produce: idempotent', () => this.writtenAndRead('idempotent', records(RECORDS), idempotent));
    await step('produce: record of 900 kB', this.recordOf900kB);
    await step('produce: no key, no value', this.nulls);
    await step('consume: from the beginning', this.fromTheBeginning);
    await step('consume: seek to timestamp', this.seekToTimestamp);
    await step('groups: commit, stop and resume', this.commitAndResume);
    await step('groups: second member joins and leaves', () => this.secondMember('second'));
    await unlessLacks('static member', 'groups: static member', this.staticMember);
    const { cooperative } = this.client;
    await unlessLacks('cooperative', 'groups: cooperative', () => this.secondMember('cooperative', cooperative));
    await step('groups: list, describe, delete', this.groups);
    await step('topics: delete records', this.deleteRecords);
    await step('topics: delete', this.delete);
    await step('errors: unknown topic', this.unknownTopic);
    await step('errors: topic already exists', this.topicAlreadyExists);
    await step('errors: more replicas than brokers', this.tooManyReplicas);
    await step('errors: record too large', this.recordTooLarge);
    for (const [name, how] of [['restarted', restarted], ['killed', killed]]) {
      if (hasCtl) {
        await step(`restarts: broker ${name}`, () => this.survives(how, name));
      } else {
        this.check.skip(`restarts: broker ${name}`, 'no broker to restart');
      }
    }
    this.check.end();
  }

  topic(name) {
    return `${this.client.prefix}-${name}`;
  }

  // --- what several steps do -----------------------------------------------------------------------------------

  async produce(topic, what, { partition = 0, ...settings } = {}) {
    const producer = await this.client.producer(settings);
    try {
      return await producer.send(topic, partition, what);
    } finally {
      await producer.close();
    }
  }

  async sees(consumer, count, seconds = 20) {
    const { reads } = consumer;
    await eventually(() => `${count} records (${reads.length} seen)`, seconds, () => reads.length >= count);
    return reads;
  }

  /** What a consumer of a new group reads, from the beginning. */
  async read(topic, count) {
    const consumer = await this.client.consumer({ group: `${topic}-reader`, topic });
    const reads = await this.sees(consumer, count);
    await consumer.close();
    return reads;
  }

  async writtenAndRead(name, what, settings) {
    const topic = this.topic(name);
    await this.client.create(topic);
    await this.produce(topic, what, settings);
    const reads = await this.read(topic, what.length);
    same(reads.map((read) => read.offset), what.map((_, at) => at), 'offsets');
    what.forEach((written, at) => same(reads[at].record, written, `record ${at}`));
  }

  async refused(code, body) {
    const error = await fails(body);
    same(this.client.code(error), code, `error code of ${error}`);
  }

  // --- topics --------------------------------------------------------------------------------------------------

  async create() {
    await this.client.create(this.topic('made'), { partitions: 3, settings: { 'retention.ms': '7200000' } });
    await eventually('3 partitions', 5, async () => (await this.client.partitions(this.topic('made'))) === 3);
  }

  async list() {
    that((await this.client.topics()).includes(this.topic('made')), 'not listed');
  }

  async describe() {
    same(await this.client.partitions(this.topic('made')), 3, 'partitions');
    if (!this.client.lacks.includes('settings')) {
      const settings = await this.client.settings(this.topic('made'));
      same(settings['retention.ms'], '7200000', 'retention.ms');
      same(settings['cleanup.policy'], 'delete', 'cleanup.policy');
    }
  }

  async alterSettings() {
    const topic = this.topic('made');
    await this.client.alter(topic, { 'segment.bytes': '2097152' });
    const altered = async () => (await this.client.settings(topic))['segment.bytes'] === '2097152';
    await eventually('segment.bytes is altered', 5, altered);
  }

  async addPartitions() {
    await this.client.addPartitions(this.topic('made'), 5);
    await eventually('5 partitions', 5, async () => (await this.client.partitions(this.topic('made'))) === 5);
  }

  async deleteRecords() {
    const topic = this.topic('delete-records');
    await this.client.create(topic);
    await this.produce(topic, records(20));
    same(await this.client.lowOffset(topic), 0, 'first offset before');
    await this.client.deleteRecords(topic, 15);
    same(await this.client.lowOffset(topic), 15, 'first offset');
    same((await this.read(topic, 5)).map((read) => read.offset), [15, 16, 17, 18, 19], 'what is left');
  }

  async delete() {
    await this.client.delete(this.topic('made'));
    await eventually('no longer listed', 10, async () => !(await this.client.topics()).includes(this.topic('made')));
  }

  // --- produce -------------------------------------------------------------------------------------------------

  async recordOf900kB() {
    const value = randomBytes(900_000);
    const topic = this.topic('large');
    const what = records(3).map((record) => ({ ...record, value }));
    await this.client.create(topic);
    for (const record of what) {
      await this.produce(topic, [record]);
    }
    same((await this.read(topic, 3)).map((read) => read.record), what, 'records');
  }

  async nulls() {
    const [first, second] = records(2);
    await this.writtenAndRead('nulls', [{ ...first, key: null, headers: {} }, { ...second, value: null, headers: {} }]);
  }

  // --- consume -------------------------------------------------------------------------------------------------

  async fromTheBeginning() {
    const topic = this.topic('beginning');
    const what = [records(100), records(101), records(102)];
    await this.client.create(topic, { partitions: 3 });
    for (const partition of [0, 1, 2]) {
      await this.produce(topic, what[partition], { partition });
    }
    const reads = await this.read(topic, 303);
    for (const partition of [0, 1, 2]) {
      const seen = ofPartition(reads, partition).map((read) => read.record);
      same(seen, what[partition], `records of partition ${partition}`);
    }
  }

  async seekToTimestamp() {
    const topic = this.topic('times');
    const start = Date.now() - 100_000;
    await this.client.create(topic);
    await this.produce(topic, records(10).map((record, at) => ({ ...record, timestamp: start + at * 1000 })));
    same(await this.client.offsetAt(topic, start + 4_500), 5, 'first record at or after 4.5 s');
    const consumer = await this.client.consumer({ group: topic, topic });
    await this.sees(consumer, 10);
    await consumer.seek(0, 5);
    const reads = await this.sees(consumer, 15);
    same(reads.slice(10).map((read) => read.offset), [5, 6, 7, 8, 9], 'records from there');
    await consumer.close();
  }

  // --- groups --------------------------------------------------------------------------------------------------

  async commitAndResume() {
    const topic = this.topic('commit');
    const what = records(100);
    await this.client.create(topic);
    await this.produce(topic, what);
    const first = await this.client.consumer({ group: topic, topic });
    await this.sees(first, 40);
    await first.commit({ 0: 37 });
    await first.close();
    same(await this.client.groupOffsets(topic, topic), { 0: 37 }, 'committed offsets');
    const second = await this.client.consumer({ group: topic, topic });
    same((await this.sees(second, 63)).map((read) => read.record), what.slice(37), 'the rest');
    await second.close();
  }

  async secondMember(name, strategy) {
    const topic = this.topic(name);
    const what = records(100);
    await this.client.create(topic, { partitions: 4 });
    const first = await this.client.consumer({ group: topic, topic, strategy });
    await eventually('the first member owns 4 partitions', 20, () => first.owned().length === 4);
    const second = await this.client.consumer({ group: topic, topic, strategy });
    await eventually('both own 2 partitions', 20, () => first.owned().length === 2 && second.owned().length === 2);
    same([...first.owned(), ...second.owned()].sort(), [0, 1, 2, 3], 'partitions of both');
    for (const partition of [0, 1, 2, 3]) {
      await this.produce(topic, what.slice(partition * 25, partition * 25 + 25), { partition });
    }
    await eventually('both together saw all', 10, () => first.reads.length + second.reads.length >= 100);
    const seen = values([...first.reads, ...second.reads]).sort();
    same(seen, what.map((record) => record.value.toString()).sort(), 'values');
    that(first.reads.length && second.reads.length, 'one member saw nothing');
    await second.close();
    await eventually('the first member owns 4 partitions again', 20, () => first.owned().length === 4);
    await first.close();
  }

  async staticMember() {
    const topic = this.topic('static');
    await this.client.create(topic, { partitions: 4 });
    const first = await this.client.consumer({ group: topic, topic, instance: 'one' });
    await eventually('the first member owns 4 partitions', 20, () => first.owned().length === 4);
    const second = await this.client.consumer({ group: topic, topic, instance: 'two' });
    await eventually('both own 2 partitions', 20, () => first.owned().length === 2 && second.owned().length === 2);
    const [firstHad, secondHad] = [first.owned(), second.owned()];
    await second.close();
    const again = await this.client.consumer({ group: topic, topic, instance: 'two' });
    await eventually('the second is back', 20, () => again.owned().length === 2);
    same(again.owned(), secondHad, 'partitions of the member that came back');
    same(first.owned(), firstHad, 'partitions of the first member');
    await again.close();
    await first.close();
  }

  async groups() {
    const group = this.topic('commit');
    that((await this.client.groups()).includes(group), 'not listed');
    same(await this.client.group(group), { state: 'Empty', members: 0 }, 'state and members');
    await this.client.deleteGroup(group);
    that(!(await this.client.groups()).includes(group), 'still listed');
  }

  // --- errors --------------------------------------------------------------------------------------------------

  async unknownTopic() {
    await this.refused(UNKNOWN_TOPIC_OR_PARTITION, () => this.client.delete(this.topic('never-made')));
  }

  async topicAlreadyExists() {
    await this.client.create(this.topic('twice'));
    await this.refused(TOPIC_ALREADY_EXISTS, () => this.client.create(this.topic('twice')));
  }

  async tooManyReplicas() {
    await this.refused(INVALID_REPLICATION_FACTOR, () => this.client.create(this.topic('three'), { replicas: 3 }));
  }

  async recordTooLarge() {
    const topic = this.topic('too-large');
    await this.client.create(topic);
    const large = [short('x'.repeat(2_000_000))];
    await this.refused(MESSAGE_TOO_LARGE, () => this.produce(topic, large, { bytesMax: 5_000_000 }));
    same(await this.produce(topic, [short('v')]), 0, 'offset of the first record that was taken');
  }

  // --- restarts ------------------------------------------------------------------------------------------------

  /** A producer (idempotent) and a consumer at work while the broker goes away and comes back. */
  async survives(how, name) {
    const topic = this.topic(name);
    await this.client.create(topic, { partitions: 2 });
    const consumer = await this.client.consumer({ group: topic, topic });
    const producer = await this.client.producer({ idempotent: true, inFlight: 1 });
    const acknowledged = [[], []];
    const count = () => acknowledged[0].length + acknowledged[1].length;
    let working = true;
    const send = async (partition) => {
      for (let at = 0; working; at += 5) {
        const numbers = Array.from({ length: 5 }, (_, more) => `${at + more}`);
        await producer.send(topic, partition, numbers.map(short));
        acknowledged[partition].push(...numbers);
        await sleep(3);
      }
    };
    const sending = Promise.all([send(0), send(1)]);
    sending.catch(() => {}); // Awaited below; until then it is nobody's.
    const whileSending = (promise) => Promise.race([promise, sending.then(() => that(false, 'the producer ended'))]);
    await whileSending(eventually('300 records acknowledged', 20, () => count() > 300));
    await this.sees(consumer, 100);
    await whileSending(how());
    const before = count();
    await whileSending(eventually('300 more acknowledged after it', 40, () => count() > before + 300));
    working = false;
    await sending;
    await producer.close();
    // A consumer that lost its place reads again from its last commit: the same records at the same offsets.
    const stored = () => [0, 1].map((partition) => {
      const byOffset = new Map(ofPartition(consumer.reads, partition).map((read) => [read.offset, read.record.value]));
      return [...byOffset].sort(([a], [b]) => a - b).map(([, value]) => value.toString());
    });
    const all = () => stored().every((seen, partition) => seen.length >= acknowledged[partition].length);
    const seen = () => `all that was acknowledged is read: ${stored().map((one) => one.length)} of ${count()}`;
    await eventually(seen, 40, all);
    await consumer.close();
    same(stored(), acknowledged, 'what is read and what was acknowledged');
  }
}

async function restarted() {
  await ctl('restart');
}

async function killed() {
  await ctl('kill9');
  await sleep(500);
  await ctl('start');
}

module.exports = { Steps };
