// Clients of the broker under test, the lines, and what several cases do with them.
"use strict";

const assert = require("node:assert");
const { exec } = require("node:child_process");
const fs = require("node:fs");
const zstd = require("@bokuweb/zstd-wasm");
const { CompressionCodecs, CompressionTypes, Kafka, Partitioners, logLevel } = require("kafkajs");
const SnappyCodec = require("kafkajs-snappy");
const lz4 = require("lz4-napi");

const KEYS = 97;
const LIMIT = 60_000;
const RUN = Math.random().toString(36).slice(2, 10);

CompressionCodecs[CompressionTypes.Snappy] = SnappyCodec;
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: async (encoder) => lz4.compressFrame(encoder.buffer),
  decompress: async (buffer) => lz4.decompressFrame(buffer),
});
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async (encoder) => Buffer.from(zstd.compress(encoder.buffer, 3)),
  decompress: async (buffer) => Buffer.from(zstd.decompress(buffer)),
});

/** The case cannot run here. */
class Skip extends Error {}

const kafka = new Kafka({
  brokers: [process.env.BOOTSTRAP ?? "localhost:9092"],
  logLevel: logLevel.NOTHING,
  retry: { initialRetryTime: 50, retries: 60, maxRetryTime: 1000 },
});

/** A name of a topic or group that no other run uses. */
const unique = (name) => `node-${name}-${RUN}`;

let corpus;
/** The first `count` lines of the corpus. */
function lines(count) {
  corpus ??= fs.readFileSync(process.env.LINES_FILE ?? "lines.txt", "utf8").split("\n").slice(0, -1);
  return corpus.slice(0, count);
}

/** Runs `body` with a connected client and disconnects it. */
async function connected(client, body) {
  await client.connect();
  try {
    return await body(client);
  } finally {
    await client.disconnect();
  }
}

const withAdmin = (body) => connected(kafka.admin(), body);
const withProducer = (options, body) =>
  connected(kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner, ...options }), body);

/** A broker applies metadata a moment after the controller answered: repeats a question until its answer is right. */
async function eventually(question) {
  const end = Date.now() + LIMIT;
  for (;;) {
    try {
      return await question();
    } catch (error) {
      if (Date.now() > end) throw error;
    }
  }
}

/** Creates a topic and returns its name once its leaders serve. */
async function topic(name, numPartitions = 1) {
  const where = unique(name);
  await withAdmin(async (admin) => {
    await admin.createTopics({ topics: [{ topic: where, numPartitions, replicationFactor: 1 }], waitForLeaders: true });
    await eventually(async () => assert.equal((await admin.fetchTopicOffsets(where)).length, numPartitions));
  });
  return where;
}

/** Sends lines keyed by their number, some thousands a request, and waits for every acknowledgement. */
async function send(producer, where, sent, { compression = CompressionTypes.None, acks = -1, first = 0, each = 5_000 } = {}) {
  for (let from = 0; from < sent.length; from += each) {
    const messages = sent.slice(from, from + each).map((value, i) => ({ key: `k${(first + from + i) % KEYS}`, value }));
    await producer.send({ topic: where, messages, compression, acks });
  }
}

/** A promise with its handles, which fails when the limit is over. */
function awaited(what, limit = LIMIT) {
  let resolve, reject;
  const promise = new Promise((yes, no) => ([resolve, reject] = [yes, no]));
  const timer = setTimeout(() => reject(new Error(`in vain awaited ${what()}`)), limit);
  promise.finally(() => clearTimeout(timer)).catch(() => {});
  return { promise, resolve, reject };
}

/** Reads `count` messages of a topic with a group of its own; `each` gets (message, partition), `ready` the running consumer. */
async function take(where, count, each, { ready = () => {}, limit = LIMIT } = {}) {
  let came = 0;
  const all = awaited(() => `${count} messages, ${came} came`, limit);
  const consumer = kafka.consumer({ groupId: unique(`take-${Math.random()}`), maxWaitTimeInMs: 100 });
  await consumer.connect();
  try {
    await consumer.subscribe({ topic: where, fromBeginning: true });
    await consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      eachBatch: async ({ batch, resolveOffset, isStale }) => {
        try {
          for (const message of batch.messages) {
            if (isStale() || came >= count) break;
            each(message, batch.partition);
            resolveOffset(message.offset);
            came++;
          }
        } catch (error) {
          all.reject(error);
        }
        if (came >= count) all.resolve();
      },
    });
    await ready(consumer);
    await all.promise;
  } finally {
    await consumer.disconnect();
  }
}

/** Checks that the messages of every key come in the order their lines were sent, each once. */
function order(expected) {
  const next = new Array(KEYS).fill(0);
  return (message) => {
    const number = Number(message.key.toString().slice(1));
    const line = number + KEYS * next[number]++;
    assert.ok(line < expected.length, `key ${number} has a line too many`);
    if (message.value.toString() !== expected[line]) assert.equal(message.value.toString(), expected[line], `line ${line}`);
  };
}

function restart() {
  if (!process.env.RESTART) throw new Skip("the broker is not ours to restart");
  // The clients go on while the broker restarts: nothing here may block them.
  return new Promise((resolve, reject) =>
    exec(process.env.RESTART, (error) => (error ? reject(error) : resolve())));
}

module.exports = { CompressionTypes, Skip, awaited, eventually, kafka, lines, order, restart, send, take, topic, unique,
  withAdmin, withProducer, zstd };
