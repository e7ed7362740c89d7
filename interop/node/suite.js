// kafkajs against the broker at BOOTSTRAP: a line a case (PASS, FAIL, SKIP), then the counts.
"use strict";

const assert = require("node:assert");
const { once, EventEmitter } = require("node:events");
const { ConfigResourceTypes, PartitionAssigners } = require("kafkajs");
const { CompressionTypes, Skip, awaited, eventually, kafka, lines, order, restart, send, take, topic, unique, withAdmin,
  withProducer, zstd } = require("./clients.js");

const many = Number(process.env.LINES ?? 1_000_000);

async function linesCase(name, count, options, limit) {
  const sent = lines(count);
  const where = await topic(name, 6);
  await withProducer({ idempotent: options.acks === undefined, maxInFlightRequests: 1 }, (producer) => send(producer, where, sent, options));
  await take(where, sent.length, order(sent), { limit });
  const ends = await withAdmin((admin) => admin.fetchTopicOffsets(where));
  assert.equal(ends.reduce((sum, end) => sum + Number(end.offset), 0), sent.length, "end offsets");
}

async function headers() {
  const where = await topic("headers");
  const binary = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
  await withProducer({}, (producer) => producer.send({ topic: where, compression: CompressionTypes.GZIP,
    messages: [{ value: "value", headers: { a: ["1", ""], ключ: binary } }] }));
  await take(where, 1, (message) => {
    assert.deepEqual(message.headers.a.map(String), ["1", ""]);
    assert.ok(message.headers["ключ"].equals(binary));
  });
}

async function nulls() {
  const where = await topic("nulls");
  const messages = [null, "", "key"].flatMap((key) => [null, "", "value"].map((value) => ({ key, value })));
  await withProducer({}, (producer) => producer.send({ topic: where, messages }));
  const came = [];
  await take(where, messages.length, (message) => came.push({ key: message.key?.toString() ?? null, value: message.value?.toString() ?? null }));
  assert.deepEqual(came, messages);
}

async function timestamps() {
  const where = await topic("timestamps");
  const start = Date.now() - 1_000_000;
  const messages = Array.from({ length: 1000 }, (_, i) => ({ value: `v${i}`, timestamp: String(start + i * 10) }));
  await withProducer({}, async (producer) => {
    for (let i = 0; i < 1000; i += 100) await producer.send({ topic: where, messages: messages.slice(i, i + 100) });
  });
  let next = 0;
  await take(where, 1000, (message) => assert.equal(Number(message.timestamp), start + 10 * next++));
  await withAdmin(async (admin) => {
    for (const [asked, expected] of [[start - 1, 0], [start, 0], [start + 1, 1], [start + 5005, 501], [start + 9990, 999]]) {
      const [found] = await admin.fetchTopicOffsetsByTimestamp(where, asked);
      assert.equal(Number(found.offset), expected, `offset of time start${asked - start}`);
    }
    const [end] = await admin.fetchTopicOffsets(where);
    assert.deepEqual([end.low, end.high], ["0", "1000"]);
  });
}

/** A member of a group: reads, commits, and only then counts what it read. */
async function member(state, name, where, groupId) {
  const consumer = kafka.consumer({ groupId, partitionAssigners: [PartitionAssigners.roundRobin], heartbeatInterval: 500, maxWaitTimeInMs: 100,
    rebalanceTimeout: 10_000 });
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    state.owned[name] = payload.memberAssignment[where]?.length ?? 0;
    state.changed.emit("change");
  });
  await consumer.connect();
  await consumer.subscribe({ topic: where, fromBeginning: true });
  await consumer.run({
    autoCommit: false,
    eachBatchAutoResolve: false,
    eachBatch: async ({ batch, resolveOffset, heartbeat, isStale, isRunning }) => {
      if (isStale() || !isRunning()) return;
      const last = batch.messages.at(-1).offset;
      await consumer.commitOffsets([{ topic: where, partition: batch.partition, offset: String(Number(last) + 1) }]);
      resolveOffset(last);
      for (const { offset } of batch.messages) {
        const id = `${batch.partition}@${offset}`;
        if (state.seen.has(id)) state.error ??= new Error(`read twice: ${id}`);
        state.seen.add(id);
      }
      state.changed.emit("change");
      await heartbeat();
    },
  });
  return { leave: () => consumer.disconnect().then(() => delete state.owned[name]) };
}

async function holds(state, what, condition) {
  const limit = awaited(() => `${what}; ${state.seen.size} processed, owned ${JSON.stringify(state.owned)}`);
  while (!condition()) {
    if (state.error) throw state.error;
    await Promise.race([once(state.changed, "change"), limit.promise]);
  }
  limit.resolve();
}

async function group() {
  const where = await topic("group", 6);
  const groupId = unique("group");
  const state = { seen: new Set(), owned: {}, changed: new EventEmitter().setMaxListeners(100), error: null };
  const shares = (...expected) => () => String(Object.values(state.owned).sort()) === String(expected);
  const phase = 2_000;
  const members = {};
  const join = async (name) => (members[name] = await member(state, name, where, groupId));
  await withProducer({}, async (producer) => {
    const read = async (times) => {
      await send(producer, where, lines(phase), { first: (times - 1) * phase, each: 100 });
      await holds(state, `${times} times all`, () => state.seen.size === times * phase);
    };
    await join("first");
    await holds(state, "one owns all", shares(6));
    await read(1);
    await Promise.all([join("second"), join("third")]);
    await holds(state, "three own two each", shares(2, 2, 2));
    await read(2);
    await members.first.leave();
    delete members.first;
    await holds(state, "two own three each", shares(3, 3));
    await read(3);
    await join("fourth");
    await holds(state, "three own two each again", shares(2, 2, 2));
    await read(4);
  }).finally(() => Promise.all(Object.values(members).map((one) => one.leave())));
  if (state.error) throw state.error;
  await withAdmin(async (admin) => {
    const byPartition = (offsets) => Object.fromEntries(offsets.map(({ partition, offset }) => [partition, offset]));
    const [committed] = await admin.fetchOffsets({ groupId, topics: [where] });
    assert.deepEqual(byPartition(committed.partitions), byPartition(await admin.fetchTopicOffsets(where)));
  });
}

async function numbers(name, partitions, each) {
  const where = await topic(name, partitions);
  await withProducer({}, async (producer) => {
    for (let i = 0; i < each; i += 100) {
      const messages = Array.from({ length: 100 * partitions }, (_, n) => ({ value: `v${i + Math.floor(n / partitions)}`, partition: n % partitions }));
      await producer.send({ topic: where, messages });
    }
  });
  return where;
}

async function seek() {
  const where = await numbers("seek", 1, 5000);
  for (const offset of ["4999", "1", "2500", "0"]) {
    const ready = (consumer) => consumer.seek({ topic: where, partition: 0, offset });
    await take(where, 1, (message) => assert.deepEqual([message.offset, message.value.toString()], [offset, `v${offset}`]), { ready });
  }
}

async function pause() {
  const where = await numbers("pause", 2, 500);
  const consumer = kafka.consumer({ groupId: unique("pause"), maxWaitTimeInMs: 100 });
  const counts = [0, 0];
  const changed = new EventEmitter();
  let paused = false;
  const reach = async (partition) => {
    const limit = awaited(() => `500 messages of partition ${partition}, there are ${counts}`);
    while (counts[partition] < 500 || !paused) await Promise.race([once(changed, "change"), limit.promise]);
    limit.resolve();
  };
  await consumer.connect();
  try {
    await consumer.subscribe({ topic: where, fromBeginning: true });
    await consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      eachBatch: async ({ batch, resolveOffset }) => {
        if (batch.partition === 0 && !paused) {
          // Nothing of the batch is resolved: all of it comes again once the partition is resumed.
          paused = true;
          consumer.pause([{ topic: where, partitions: [0] }]);
          changed.emit("change");
          return;
        }
        counts[batch.partition] += batch.messages.length;
        resolveOffset(batch.messages.at(-1).offset);
        changed.emit("change");
      },
    });
    await reach(1);
    assert.deepEqual(counts, [0, 500], "partition 0 is paused");
    consumer.resume([{ topic: where, partitions: [0] }]);
    await reach(0);
  } finally {
    await consumer.disconnect();
  }
}

async function topics() {
  const where = unique("topics");
  await withAdmin(async (admin) => {
    const configEntries = [{ name: "retention.ms", value: "12345" }];
    assert.ok(await admin.createTopics({ topics: [{ topic: where, numPartitions: 3, replicationFactor: 1, configEntries }] }));
    const count = async () => (await admin.fetchTopicMetadata({ topics: [where] })).topics[0].partitions.length;
    const retention = async () => {
      const described = await admin.describeConfigs({ resources: [{ type: ConfigResourceTypes.TOPIC, name: where }] });
      return described.resources[0].configEntries.find(({ configName }) => configName === "retention.ms").configValue;
    };
    await eventually(async () => assert.equal(await count(), 3));
    await eventually(async () => assert.equal(await retention(), "12345"));
    await admin.alterConfigs({ validateOnly: false, resources: [{ type: ConfigResourceTypes.TOPIC, name: where,
      configEntries: [{ name: "retention.ms", value: "1000" }] }] });
    await eventually(async () => assert.equal(await retention(), "1000"));
    await admin.createPartitions({ topicPartitions: [{ topic: where, count: 5 }] });
    await eventually(async () => assert.equal(await count(), 5));
    assert.equal(await admin.createTopics({ topics: [{ topic: where }] }), false, "a second one is refused");
    await admin.deleteTopics({ topics: [where] });
    await eventually(async () => assert.ok(!(await admin.listTopics()).includes(where)));
  });
}

async function deleteRecords() {
  const where = await numbers("delete-records", 1, 100);
  await withAdmin(async (admin) => {
    await admin.fetchTopicOffsets(where);
    await admin.deleteTopicRecords({ topic: where, partitions: [{ partition: 0, offset: "40" }] });
  });
  let next = 40;
  await take(where, 60, (message) => assert.equal(Number(message.offset), next++));
}

async function groups() {
  const where = await topic("groups", 2);
  const groupId = unique("groups");
  const consumer = kafka.consumer({ groupId });
  await withAdmin(async (admin) => {
    await consumer.connect();
    await consumer.subscribe({ topic: where });
    await consumer.run({ autoCommit: false, eachMessage: async () => {} });
    await eventually(async () => {
      const { groups: [described] } = await admin.describeGroups([groupId]);
      assert.deepEqual([described.state, described.members.length], ["Stable", 1]);
    });
    await consumer.commitOffsets([{ topic: where, partition: 0, offset: "7" }, { topic: where, partition: 1, offset: "8" }]);
    await consumer.disconnect();
    assert.ok((await admin.listGroups()).groups.some((one) => one.groupId === groupId));
    await admin.setOffsets({ groupId, topic: where, partitions: [{ partition: 1, offset: "3" }] });
    const [{ partitions }] = await admin.fetchOffsets({ groupId, topics: [where] });
    assert.deepEqual(Object.fromEntries(partitions.map(({ partition, offset }) => [partition, offset])), { 0: "7", 1: "3" });
    await admin.deleteGroups([groupId]);
    assert.ok(!(await admin.listGroups()).groups.some((one) => one.groupId === groupId));
  });
}

async function throughRestart() {
  if (!process.env.RESTART) throw new Skip("the broker is not ours to restart");
  const sent = lines(20_000);
  const where = await topic("restart", 3);
  await withProducer({ idempotent: true, maxInFlightRequests: 1 }, async (producer) => {
    await send(producer, where, sent.slice(0, 5_000), { each: 500 });
    await Promise.all([restart(), send(producer, where, sent.slice(5_000), { first: 5_000, each: 500 })]);
  });
  await take(where, sent.length, order(sent));
  const ends = await withAdmin((admin) => admin.fetchTopicOffsets(where));
  assert.equal(ends.reduce((sum, end) => sum + Number(end.offset), 0), sent.length, "end offsets");
}

const cases = [["many_lines_in_order_per_key", () => linesCase("many", many, { compression: CompressionTypes.GZIP }, 600_000)]];
for (const codec of ["None", "GZIP", "Snappy", "LZ4", "ZSTD"]) {
  cases.push([`codec_${codec.toLowerCase()}`, () => linesCase(`codec-${codec}`, 20_000, { compression: CompressionTypes[codec] })]);
}
for (const acks of [0, 1]) cases.push([`acks_${acks}`, () => linesCase(`acks-${acks}`, 20_000, { acks })]);
cases.push(["headers", headers], ["null_keys_and_values", nulls], ["timestamps_and_lookup_by_time", timestamps], ["group_of_three", group],
  ["seek", seek], ["pause_and_resume", pause], ["topics_and_their_configs", topics], ["delete_records", deleteRecords],
  ["groups_and_their_offsets", groups], ["idempotent_producer_through_a_restart", throughRestart]);

async function main() {
  process.env.KAFKAJS_NO_PARTITIONER_WARNING = "1";
  await zstd.init();
  const only = (process.env.ONLY ?? "").split(",").filter(Boolean);
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const [name, body] of cases.filter(([name]) => only.length === 0 || only.includes(name))) {
    const start = Date.now();
    try {
      await body();
      counts.passed++;
      console.log(`PASS ${name} ${((Date.now() - start) / 1000).toFixed(1)}`);
    } catch (error) {
      const skips = error instanceof Skip;
      counts[skips ? "skipped" : "failed"]++;
      console.log(`${skips ? "SKIP" : "FAIL"} ${name}: ${String(error.message).replaceAll("\n", " ")}`);
      if (!skips) console.error(error);
    }
  }
  console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
  process.exit(counts.failed === 0 && counts.passed > 0 ? 0 : 1);
}

main();
