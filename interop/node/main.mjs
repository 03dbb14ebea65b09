// kafkajs against the broker: main.mjs --modules DIR --bootstrap HOST:PORT [--records N].
// gzip, snappy and lz4; kafkajs's zstd codec needs a native build that is not part of the registry package.

import { randomBytes } from 'node:crypto'
import { createRequire } from 'node:module'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { Verifier, Workload } from './workload.mjs'

const { values: options } = parseArgs({
  options: { modules: { type: 'string' }, bootstrap: { type: 'string' }, records: { type: 'string', default: '100000' } },
})
const require = createRequire(resolve(options.modules, 'package.json'))
process.env.KAFKAJS_NO_PARTITIONER_WARNING = '1'
const { CompressionCodecs, CompressionTypes, ConfigResourceTypes, Kafka, logLevel, Partitioners } = require('kafkajs')
const lz4 = require('lz4-napi')
CompressionCodecs[CompressionTypes.Snappy] = require('kafkajs-snappy')
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: (encoder) => lz4.compressFrame(encoder.buffer),
  decompress: (buffer) => lz4.decompressFrame(buffer),
})

const RECORDS = Number(options.records)
const RUN_ID = randomBytes(4).toString('hex')
const PARTITIONS = 4
const BATCH = 5000
const WAIT_MS = 60_000
const kafka = new Kafka({ brokers: [options.bootstrap], logLevel: logLevel.NOTHING, retry: { initialRetryTime: 50, retries: 10 } })
const admin = kafka.admin()
let failed = 0

async function check(name, run) {
  const started = performance.now()
  const seconds = () => ((performance.now() - started) / 1000).toFixed(1)
  try {
    const records = await run()
    console.log(`ok   kafkajs ${name} (${records ? `${records} records, ` : ''}${seconds()} s)`)
  } catch (error) {
    failed += 1
    console.log(`FAIL kafkajs ${name} (${seconds()} s): ${error.type ?? error.name}: ${error.message}`)
    console.error(error.stack)
  }
}

function expect(condition, text) {
  if (!condition) throw new Error(text)
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms))

async function eventually(what, condition) {
  const deadline = Date.now() + WAIT_MS
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`not within ${WAIT_MS} ms: ${what}`)
    await pause(20)
  }
}

async function expectError(type, run) {
  try {
    await run()
  } catch (error) {
    const inner = error.errors?.[0] ?? error.groups?.[0]?.error ?? error
    expect(inner.type === type, `error ${inner.type ?? inner.message}, expected ${type}`)
    return
  }
  throw new Error(`no error, expected ${type}`)
}

/** Returns false if the topic exists; else waits until its partitions answer, which in a real Kafka takes a moment. */
async function create(topic, numPartitions, configEntries = []) {
  const created = await admin.createTopics({ waitForLeaders: true, topics: [{ topic, numPartitions, replicationFactor: 1, configEntries }] })
  await eventually(`the partitions of ${topic} answer`, async () => {
    try {
      return (await admin.fetchTopicOffsets(topic)).length === numPartitions
    } catch (error) {
      if (error.type === 'UNKNOWN_TOPIC_OR_PARTITION' || error.type === 'NOT_LEADER_FOR_PARTITION') return false
      throw error
    }
  })
  return created
}

async function produce(topic, compression, count, message, idempotent = false) {
  const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner, idempotent, maxInFlightRequests: 1 })
  await producer.connect()
  try {
    for (let first = 0; first < count; first += BATCH) {
      const messages = Array.from({ length: Math.min(BATCH, count - first) }, (_, n) => message(first + n))
      await producer.send({ topic, compression, acks: -1, messages })
    }
  } finally {
    await producer.disconnect()
  }
}

/** Reads until `done()`; kafkajs has no reading without a group, so each reader has one of its own. */
async function consume(topic, take, done) {
  const consumer = kafka.consumer({ groupId: `${topic}-reader`, maxWaitTimeInMs: 100, heartbeatInterval: 500 })
  await consumer.connect()
  try {
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    await new Promise((finish, fail) => {
      const overdue = setTimeout(() => fail(new Error(`not read within ${2 * WAIT_MS} ms`)), 2 * WAIT_MS)
      const settle = (end) => (value) => (clearTimeout(overdue), end(value))
      consumer.on(consumer.events.CRASH, ({ payload }) => settle(fail)(payload.error))
      consumer.run({
        autoCommit: false,
        eachBatch: async ({ batch }) => {
          try {
            for (const message of batch.messages) take(batch.partition, message)
          } catch (error) {
            settle(fail)(error)
          }
          if (done()) settle(finish)()
        },
      }).catch(settle(fail))
    })
  } finally {
    await consumer.disconnect()
  }
}

async function roundTrip(topic, compression, keyed, workload, idempotent = false) {
  await create(topic, PARTITIONS)
  await produce(topic, compression, workload.count, (i) => workload.message(i, keyed), idempotent)
  const verifier = new Verifier(workload, keyed)
  await consume(topic, (partition, message) => verifier.take(partition, message), () => verifier.left === 0)
  await admin.deleteTopics({ topics: [topic] })
  return workload.count
}

class Member {
  constructor(label, topic, groupId, handedOut) {
    Object.assign(this, { label, topic, handedOut, assigned: [] })
    this.consumer = kafka.consumer({ groupId, maxWaitTimeInMs: 100, heartbeatInterval: 200, sessionTimeout: 10_000, rebalanceTimeout: 10_000 })
    this.consumer.on(this.consumer.events.GROUP_JOIN, ({ payload }) => (this.assigned = payload.memberAssignment[topic] ?? []))
  }

  async start() {
    await this.consumer.connect()
    await this.consumer.subscribe({ topics: [this.topic], fromBeginning: true })
    await this.consumer.run({
      autoCommit: false,
      eachBatch: async ({ batch, heartbeat }) => {
        const offset = String(Number(batch.lastOffset()) + 1)
        await this.consumer.commitOffsets([{ topic: batch.topic, partition: batch.partition, offset }])
        for (const message of batch.messages) this.handedOut.push([this.label, message.value.toString()])
        await heartbeat()
      },
    })
  }
}

async function group(topic, records) {
  await create(topic, PARTITIONS)
  const groupId = `${topic}-members`
  const handedOut = []
  let sent = 0
  const third = Math.floor(records / 3)
  const more = async () => {
    const first = sent
    sent += third
    await produce(topic, CompressionTypes.None, third, (i) => ({ key: String(first + i), value: String(first + i) }))
    await eventually(`${sent} records handed out`, () => handedOut.length >= sent)
  }
  const a = new Member('a', topic, groupId, handedOut)
  const b = new Member('b', topic, groupId, handedOut)
  try {
    await a.start()
    await eventually('the only member holds all partitions', () => a.assigned.length === PARTITIONS)
    await more()
    await b.start()
    await eventually('both members hold two partitions', () => a.assigned.length === 2 && b.assigned.length === 2)
    expect(!a.assigned.some((p) => b.assigned.includes(p)), 'a partition has two owners')
    await more()
    expect(handedOut.some(([label]) => label === 'b'), 'the second member got nothing')
    await a.consumer.disconnect()
    await eventually('the one that stayed holds all partitions', () => b.assigned.length === PARTITIONS)
    await more()
  } finally {
    await Promise.all([a.consumer.disconnect(), b.consumer.disconnect()])
  }
  expect(handedOut.length === sent, `${handedOut.length} records handed out, ${sent} sent`)
  expect(new Set(handedOut.map(([, value]) => value)).size === sent, 'records lost')
  const committed = (await admin.fetchOffsets({ groupId, topics: [topic] }))[0].partitions.map((p) => [p.partition, p.offset])
  const ends = (await admin.fetchTopicOffsets(topic)).map((p) => [p.partition, p.high])
  expect(JSON.stringify(committed.sort()) === JSON.stringify(ends.sort()), `committed ${committed}, ends ${ends}`)
  await admin.deleteTopics({ topics: [topic] })
  return sent
}

async function adminChecks(topic) {
  const baseMs = Date.now() - 3_600_000
  const groupId = `${topic}-positions`
  const resource = { type: ConfigResourceTypes.TOPIC, name: topic }
  const retention = async () => {
    const described = await admin.describeConfigs({ includeSynonyms: false, resources: [{ ...resource, configNames: ['retention.ms'] }] })
    return described.resources[0].configEntries[0].configValue
  }
  const partitionCount = async () => (await admin.fetchTopicMetadata({ topics: [topic] })).topics[0].partitions.length

  await check('admin create and describe topic', async () => {
    await create(topic, 3, [{ name: 'retention.ms', value: '36000000' }])
    expect((await admin.listTopics()).includes(topic), 'created topic is not listed')
    expect((await create(topic, 3)) === false, 'a topic was created twice')
    expect((await partitionCount()) === 3, `${await partitionCount()} partitions`)
    expect((await retention()) === '36000000', 'config given at creation is not described')
    const cluster = await admin.describeCluster()
    expect(cluster.brokers.length === 1 && cluster.clusterId, `cluster ${JSON.stringify(cluster)}`)
  })
  await check('admin alter configs', async () => {
    await admin.alterConfigs({ validateOnly: false, resources: [{ ...resource, configEntries: [{ name: 'retention.ms', value: '72000000' }] }] })
    await eventually('altered config', async () => (await retention()) === '72000000')
  })
  await check('admin create partitions', async () => {
    await admin.createPartitions({ topicPartitions: [{ topic, count: 5 }] })
    await eventually('five partitions', async () => (await partitionCount()) === 5)
    await expectError('INVALID_PARTITIONS', () => admin.createPartitions({ topicPartitions: [{ topic, count: 2 }] }))
  })
  let partition
  await check('admin offsets by timestamp', async () => {
    await produce(topic, CompressionTypes.None, 100, (i) => ({ key: 'same key', value: `${i}`, timestamp: String(baseMs + i * 1000) }))
    const ends = await admin.fetchTopicOffsets(topic)
    partition = ends.find((p) => p.high === '100')?.partition
    expect(partition !== undefined, `one key went to several partitions: ${JSON.stringify(ends)}`)
    const found = async (ms) => (await admin.fetchTopicOffsetsByTimestamp(topic, ms)).find((p) => p.partition === partition).offset
    expect((await found(baseMs + 50_000)) === '50', 'exact timestamp')
    expect((await found(baseMs + 50_001)) === '51', 'timestamp between two records')
    expect((await found(baseMs - 1)) === '0', 'timestamp before the first record')
  })
  await check('admin delete records', async () => {
    await admin.deleteTopicRecords({ topic, partitions: [{ partition, offset: '40' }] })
    const left = (await admin.fetchTopicOffsets(topic)).find((p) => p.partition === partition)
    expect(left.low === '40' && left.high === '100', JSON.stringify(left))
    const got = []
    await consume(topic, (_partition, message) => got.push(Number(message.offset)), () => got.length >= 60)
    expect(got.length === 60 && got.every((offset, n) => offset === 40 + n), `read offsets ${got}`)
  })
  await check('offset commit with metadata', async () => {
    const consumer = kafka.consumer({ groupId, heartbeatInterval: 500 })
    await consumer.connect()
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    const joined = new Promise((done) => consumer.on(consumer.events.GROUP_JOIN, done))
    await consumer.run({ autoCommit: false, eachMessage: async () => {} })
    await joined
    await consumer.commitOffsets([{ topic, partition, offset: '60', metadata: 'checkpoint sixty é' }])
    await consumer.disconnect()
    const got = (await admin.fetchOffsets({ groupId, topics: [topic] }))[0].partitions.find((p) => p.partition === partition)
    expect(got.offset === '60' && got.metadata === 'checkpoint sixty é', JSON.stringify(got))
  })
  await check('admin reset offsets', async () => {
    await admin.setOffsets({ groupId, topic, partitions: [{ partition, offset: '70' }] })
    const at = async () => (await admin.fetchOffsets({ groupId, topics: [topic] }))[0].partitions.find((p) => p.partition === partition).offset
    expect((await at()) === '70', `offset ${await at()} after it was set to 70`)
  })
  await check('admin list, describe and delete groups', async () => {
    expect((await admin.listGroups()).groups.some((g) => g.groupId === groupId), 'group is not listed')
    expect((await admin.describeGroups([groupId])).groups[0].state === 'Empty', 'group without members is not empty')
    await admin.deleteGroups([groupId])
    expect(!(await admin.listGroups()).groups.some((g) => g.groupId === groupId), 'deleted group is still listed')
    await expectError('GROUP_ID_NOT_FOUND', () => admin.deleteGroups([groupId]))
  })
  await check('admin delete topic', async () => {
    await admin.deleteTopics({ topics: [topic] })
    await eventually('deleted topic is gone', async () => !(await admin.listTopics()).includes(topic))
  })
}

await admin.connect()
const workload = new Workload(RECORDS)
for (const codec of ['None', 'GZIP', 'Snappy', 'LZ4']) {
  for (const kind of ['keyed', 'unkeyed']) {
    const name = `${codec.toLowerCase()} ${kind}`
    const topic = `kafkajs-${codec.toLowerCase()}-${kind}-${RUN_ID}`
    await check(name, () => roundTrip(topic, CompressionTypes[codec], kind === 'keyed', workload))
  }
}
const small = new Workload(Math.min(RECORDS, 20_000))
await check('idempotent producer', () => roundTrip(`kafkajs-idempotent-${RUN_ID}`, CompressionTypes.GZIP, true, small, true))
await check('group shares and rebalances', () => group(`kafkajs-group-${RUN_ID}`, Math.min(RECORDS, 6000)))
await adminChecks(`kafkajs-admin-${RUN_ID}`)
await admin.disconnect()
// An outstanding long poll would hold the process for a moment more.
process.exit(failed ? 1 : 0)
