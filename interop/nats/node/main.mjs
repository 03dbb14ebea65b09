// The @nats-io clients against the server: main.mjs --modules DIR --url nats://HOST:PORT.
// Started by interop/nats/run, which restarts the server when asked on standard output.

import { createRequire } from 'node:module'
import { resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'

const { values: options } = parseArgs({ options: { modules: { type: 'string' }, url: { type: 'string' } } })
const require = createRequire(resolve(options.modules, 'package.json'))
const { connect, headers, nanos, RequestError } = require('@nats-io/transport-node')
const { AckPolicy, DeliverPolicy, jetstream, jetstreamManager, RetentionPolicy, StorageType } = require('@nats-io/jetstream')
const { Kvm } = require('@nats-io/kv')
const { Objm } = require('@nats-io/obj')
const { ServiceError, Svcm } = require('@nats-io/services')

const WAIT_MS = 20_000
const encode = (text) => new TextEncoder().encode(text)
const range = (from, to) => Array.from({ length: to - from }, (_, at) => String(from + at))
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
let failed = 0

async function check(name, run) {
  const started = performance.now()
  const seconds = () => ((performance.now() - started) / 1000).toFixed(1)
  try {
    const messages = await within(`the check ${name}`, run(), 60_000)
    console.log(`ok   nats.js ${name} (${messages} records, ${seconds()} s)`)
  } catch (error) {
    failed += 1
    console.log(`FAIL nats.js ${name} (${seconds()} s): ${error.name}: ${error.message}`)
    console.error(error.stack)
  }
}

/** The same with a connection of its own, which is closed again. */
const connected = (run) => async () => {
  const nc = await connect({ servers: options.url })
  try {
    return await run(nc)
  } finally {
    await nc.close()
  }
}

function within(what, promise, ms = WAIT_MS) {
  let timer
  const late = new Promise((_, fail) => {
    timer = setTimeout(() => fail(new Error(`not within ${ms} ms: ${what}`)), ms)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

function same(found, wanted, what) {
  const [left, right] = [JSON.stringify(found), JSON.stringify(wanted)]
  if (left !== right) throw new Error(`${what}: ${left}, expected ${right}`)
}

async function refused(what, promise, matches) {
  try {
    await promise
  } catch (error) {
    if (!matches(error)) throw error
    return
  }
  throw new Error(`not refused: ${what}`)
}

/** The first `count` of an iterator, which is stopped after them. */
async function take(count, messages, what) {
  const taken = []
  const all = async () => {
    for await (const message of messages) {
      taken.push(message)
      if (taken.length === count) break
    }
  }
  await within(`${count} of ${what}`, all()).catch((error) => {
    throw new Error(`${error.message}; ${taken.length} came`)
  })
  return taken
}

async function restart(how) {
  console.log(`restart ${how}`)
  same((await answers.next()).value, 'restarted', 'the answer of interop/nats/run')
}

async function core(nc) {
  const all = nc.subscribe('core.>', { max: 2 })
  const sent = headers()
  sent.append('Name', 'one')
  sent.append('Name', 'two')
  nc.publish('core.a.b', encode('x'), { headers: sent })
  nc.publish('core.c')
  const [first, second] = await take(2, all, 'core.>')
  same([first.subject, first.string(), first.headers.values('Name'), second.data.length], ['core.a.b', 'x', ['one', 'two'], 0], 'messages')
  const counts = [0, 0, 0]
  const members = counts.map((_, at) => nc.subscribe('work', { queue: 'q', callback: () => (counts[at] += 1) }))
  for (let number = 0; number < 300; number += 1) nc.publish('work', String(number))
  await nc.flush()
  same([counts.reduce((sum, count) => sum + count), counts.every((count) => count > 0)], [300, true], 'messages of the queue group')
  members.forEach((member) => member.unsubscribe())
  nc.subscribe('upper', { callback: (_, message) => message.respond(message.string().toUpperCase()) })
  same((await nc.request('upper', 'abc')).string(), 'ABC', 'the reply')
  await refused('a request to nobody', nc.request('nobody.here'), (error) => error instanceof RequestError && error.isNoResponders())
  const many = await take(3, await nc.requestMany('upper', 'x', { strategy: 'timer', maxWait: 300 }), 'replies').catch(() => ['one'])
  same(many.length, 1, 'replies to a request for many')
  const big = encode('b'.repeat(nc.info.max_payload))
  const echoed = nc.subscribe('big', { max: 1 })
  nc.publish('big', big)
  same((await take(1, echoed, 'big'))[0].data.length, big.length, 'a message of max_payload')
  const drained = nc.subscribe('drained', { callback: () => {} })
  await drained.drain()
  if (!((await nc.rtt()) >= 0)) throw new Error('no round-trip time')
  return 306
}

async function streams(nc) {
  const [js, jsm] = [jetstream(nc), await jetstreamManager(nc)]
  await jsm.streams.add({ name: 'ORDERS', subjects: ['orders.>'], storage: StorageType.File, allow_direct: true })
  for (let number = 1; number <= 100; number += 1) {
    const ack = await js.publish(`orders.${number % 7}`, String(number), { msgID: `id-${number}` })
    same([ack.stream, ack.seq, ack.duplicate], ['ORDERS', number, false], 'the acknowledgement')
  }
  const again = await js.publish('orders.1', 'again', { msgID: 'id-50' })
  same([again.seq, again.duplicate], [50, true], 'a repeated id')
  await refused('a wrong expected sequence', js.publish('orders.1', 'x', { expect: { lastSequence: 7 } }), (error) => error.code === 10071)
  await refused('a wrong expected subject sequence', js.publish('orders.1', 'x', { expect: { lastSubjectSequence: 7 } }), (error) => error.code === 10071)
  await refused('another stream expected', js.publish('orders.1', 'x', { expect: { streamName: 'OTHER' } }), (error) => error.code === 10060)
  const stream = await js.streams.get('ORDERS')
  same((await stream.getMessage({ last_by_subj: 'orders.3' })).string(), '94', 'the last message of a subject')
  const directly = await jsm.direct.getMessage('ORDERS', { seq: 42 })
  same([directly.subject, directly.string()], ['orders.0', '42'], 'a message, directly')
  same((await take(5, await jsm.direct.getBatch('ORDERS', { seq: 10, batch: 5 }), 'a direct batch')).map((message) => message.seq), [10, 11, 12, 13, 14], 'a batch')
  const last = await take(3, await jsm.direct.getLastMessagesFor('ORDERS', { multi_last: ['orders.1', 'orders.2', 'orders.3'] }), 'last ones')
  same(last.map((message) => message.string()), ['94', '99', '100'], 'the last of three subjects')
  same(await stream.deleteMessage(94), true, 'a delete')
  same((await jsm.streams.purge('ORDERS', { filter: 'orders.0' })).purged, 14, 'purged')
  const info = await jsm.streams.info('ORDERS', { subjects_filter: '>', deleted_details: true })
  same([info.state.messages, info.state.num_deleted, info.state.subjects['orders.1'], info.state.deleted.length], [85, 15, 15, 15], 'the state')
  await jsm.streams.update('ORDERS', { description: 'changed', max_msgs: 80 })
  same((await jsm.streams.info('ORDERS')).state.messages, 80, 'messages under a new limit')
  same([await take(1, jsm.streams.names('orders.1'), 'names'), (await jsm.streams.find('orders.9')).toString()], [['ORDERS'], 'ORDERS'], 'the stream of a subject')
  await refused('an overlap', jsm.streams.add({ name: 'OVERLAP', subjects: ['orders.1'] }), (error) => error.code === 10065)
  await refused('a stream that is not there', jsm.streams.info('NONE'), (error) => error.code === 10059)
  same((await jsm.getAccountInfo()).streams, 1, "the account's streams")
  await js.publish('orders.ttl', 'x').then((ack) => same(ack.seq, 101, 'the next sequence'))
  return 101
}

async function consumers(nc) {
  const [js, jsm] = [jetstream(nc), await jetstreamManager(nc)]
  await jsm.streams.add({ name: 'JOBS', subjects: ['jobs.*'], retention: RetentionPolicy.Workqueue })
  for (let number = 0; number < 60; number += 1) await js.publish(`jobs.${number % 2}`, String(number))
  await jsm.consumers.add('JOBS', { durable_name: 'worker', ack_policy: AckPolicy.Explicit, ack_wait: nanos(10_000) })
  const worker = await js.consumers.get('JOBS', 'worker')
  const one = await worker.next()
  same([one.string(), one.info.deliveryCount, one.info.pending], ['0', 1, 59], 'the first job')
  one.nak()
  const fetched = await take(20, await worker.fetch({ max_messages: 20, expires: 5000 }), 'a fetch')
  same(fetched.map((job) => job.string()).sort(), range(0, 20).sort(), 'jobs fetched')
  same(fetched.find((job) => job.string() === '0').info.deliveryCount, 2, 'deliveries of the refused job')
  fetched[1].working()
  for (const job of fetched) same(await job.ackAck(), true, 'a double ack')
  same((await jsm.streams.info('JOBS')).state.messages, 40, 'what is left of the queue')
  const consuming = await worker.consume({ max_messages: 7 })
  const rest = []
  const all = async () => {
    for await (const job of consuming) {
      rest.push(job.string())
      if (rest.length === 1) job.term('no use')
      else job.ack()
      if (rest.length === 40) break
    }
  }
  await within('40 jobs consumed', all())
  same(rest, range(20, 60), 'jobs consumed')
  await nc.flush()
  const done = await jsm.consumers.info('JOBS', 'worker')
  same([done.num_ack_pending, done.num_pending, done.ack_floor.stream_seq], [0, 0, 60], 'the consumer at the end')
  same(await worker.next({ expires: 1000 }), null, 'a job where there is none')

  const ordered = await js.consumers.get('ORDERS', { filter_subjects: ['orders.1', 'orders.2'] })
  same((await take(28, await ordered.consume(), 'an ordered consumer')).every((message) => /^orders.[12]$/.test(message.subject)), true, 'filtered subjects')
  await jsm.consumers.add('ORDERS', { durable_name: 'pushed', deliver_subject: 'to.pushed', ack_policy: AckPolicy.Explicit, filter_subject: 'orders.5',
    idle_heartbeat: nanos(1000), flow_control: true })
  const pushed = await js.consumers.getPushConsumer('ORDERS', 'pushed')
  const deliveries = await pushed.consume()
  for (const message of await take(13, deliveries, 'a push consumer')) message.ack()
  await nc.flush()
  same((await jsm.consumers.info('ORDERS', 'pushed')).num_ack_pending, 0, 'what was pushed and not acknowledged')
  const orderedPush = await js.consumers.getPushConsumer('ORDERS', { deliver_policy: DeliverPolicy.LastPerSubject })
  same((await take(7, await orderedPush.consume(), 'the last of each subject')).length, 7, 'subjects')
  same((await take(2, jsm.consumers.list('ORDERS'), 'consumers')).length >= 1, true, 'listed consumers')
  same(await jsm.consumers.delete('ORDERS', 'pushed'), true, 'a delete')
  await refused('a consumer that is not there', jsm.consumers.info('ORDERS', 'pushed'), (error) => error.code === 10014)
  return 60 + 28 + 13 + 7
}

async function keyValues(nc) {
  const bucket = await new Kvm(nc).create('settings', { history: 5 })
  await bucket.put('color', 'red')
  const revision = await bucket.put('color', 'blue')
  same((await bucket.get('color')).string(), 'blue', 'the newest value')
  same((await bucket.get('color', { revision: 1 })).string(), 'red', 'the value of a revision')
  same((await take(2, await bucket.history({ key: 'color' }), 'the history')).map((entry) => entry.string()), ['red', 'blue'], 'the history')
  await bucket.update('color', 'green', revision)
  await refused('an update on top of an old revision', bucket.update('color', 'x', revision), (error) => error.code === 10071)
  await refused('the creation of a key that exists', bucket.create('color', 'x'), (error) => error.code === 10071)
  const watcher = await bucket.watch({ key: 'color' })
  const watched = take(2, watcher, 'a watcher')
  await bucket.put('color', 'pink')
  same((await watched).map((entry) => entry.string()), ['green', 'pink'], 'what the watcher saw')
  const fromStart = await bucket.watch({ include: 'history' })
  same((await take(4, fromStart, 'a watcher of history')).map((entry) => entry.string()), ['red', 'blue', 'green', 'pink'], 'history, watched')
  await bucket.delete('color')
  same((await bucket.get('color')).operation, 'DEL', 'a deleted key')
  await bucket.create('color', 'white')
  await bucket.put('size', '1')
  same((await take(2, await bucket.keys(), 'the keys')).sort(), ['color', 'size'], 'the keys')
  await bucket.purge('size')
  same((await take(1, await bucket.history({ key: 'size' }), 'the history of a purged key')).map((entry) => entry.operation), ['PURGE'], 'after a purge')
  same((await bucket.status()).values, 6, 'values of the bucket')
  const short = await new Kvm(nc).create('short', { markerTTL: 2000 })
  await short.create('gone', 'soon', '1s')
  const marker = await take(2, await short.watch(), 'a key and the end of it')
  same(marker.map((entry) => entry.operation), ['PUT', 'PURGE'], 'a key with a time to live')
  return 12
}

async function objects(nc) {
  const store = await new Objm(nc).create('files', { description: 'some files' })
  const content = new Uint8Array(1 << 20).map((_, at) => at * 31)
  const info = await store.putBlob({ name: 'large', options: { max_chunk_size: 65_536 } }, content)
  same([info.chunks, info.size], [16, content.length], 'the object as stored')
  same(Buffer.compare(Buffer.from(await store.getBlob('large')), Buffer.from(content)), 0, 'the object')
  await store.link('alias', info)
  same((await store.getBlob('alias')).length, content.length, 'the object behind a link')
  await store.update('large', { name: 'renamed', description: 'a new name' })
  same((await store.list()).map((object) => object.name).sort(), ['alias', 'renamed'], 'the objects')
  const watcher = await store.watch({ includeHistory: true })
  await take(2, watcher, 'a watcher of objects')
  await store.delete('renamed')
  same(await store.getBlob('renamed'), null, 'a deleted object')
  same((await store.seal()).sealed, true, 'a sealed store')
  await refused('an object in a sealed store', store.putBlob({ name: 'late' }, content), () => true)
  return 20
}

async function services(nc) {
  const service = await new Svcm(nc).add({ name: 'adder', version: '1.0.0', description: 'adds' })
  const math = service.addGroup('math')
  math.addEndpoint('add', (error, message) => {
    if (error) throw error
    const numbers = message.json()
    if (Array.isArray(numbers)) message.respond(JSON.stringify(numbers.reduce((sum, number) => sum + number)))
    else message.respondError(400, 'no numbers')
  })
  await nc.flush()
  for (let number = 0; number < 5; number += 1) same((await nc.request('math.add', JSON.stringify([number, 2]))).json(), number + 2, 'a sum')
  same(ServiceError.toServiceError(await nc.request('math.add', '{}')).code, 400, "the service's error")
  const client = new Svcm(nc).client()
  same((await take(1, await client.ping('adder'), 'pings'))[0].name, 'adder', 'who answers')
  const stats = (await take(1, await client.stats('adder'), 'statistics'))[0].endpoints[0]
  same([stats.subject, stats.num_requests], ['math.add', 6], 'its statistics')
  same((await take(1, await client.info('adder'), 'infos'))[0].description, 'adds', 'its description')
  await service.stop()
  await refused('a request to a stopped service', nc.request('math.add', '[]'), (error) => error.isNoResponders())
  return 10
}

/** One connection, its subscriptions and its consumers, over a restart of the server. */
const reconnects = (how) => async () => {
  const nc = await connect({ servers: options.url, reconnectTimeWait: 50, maxReconnectAttempts: -1 })
  try {
    const [js, jsm] = [jetstream(nc), await jetstreamManager(nc)]
    const name = `OVER_${how.toUpperCase()}`
    await jsm.streams.add({ name, subjects: [`over.${how}.*`] })
    await jsm.consumers.add(name, { durable_name: 'worker', ack_policy: AckPolicy.Explicit })
    const reconnected = (async () => {
      for await (const status of nc.status()) if (status.type === 'reconnect') return
    })()
    const alive = nc.subscribe(`alive.${how}`, { max: 1 })
    const bucket = await new Kvm(nc).create(`over_${how}`)
    await bucket.put('before', '1')
    const watcher = await bucket.watch()
    const watched = take(2, watcher, 'a watcher over a restart')
    watched.catch(() => {})
    const worker = await js.consumers.get(name, 'worker')
    const consuming = await worker.consume({ max_messages: 20, expires: 2000, idle_heartbeat: 500 })
    const ordered = await (await js.consumers.get(name)).consume({ expires: 2000, idle_heartbeat: 500 })
    const [jobs, seen] = [[], []]
    const ready = Promise.withResolvers?.() ?? deferred()
    const working = (async () => {
      for await (const job of consuming) {
        // Delivered again is no failure, confirmed and delivered again is.
        if (!(await job.ackAck())) throw new Error('no confirmation')
        jobs.push(job.string())
        if (jobs.length === 50) ready.resolve()
        if (jobs.length === 100) break
      }
    })()
    const watching = (async () => {
      for await (const message of ordered) {
        seen.push(message.string())
        if (seen.length === 100) break
      }
    })()
    working.catch(() => {})
    watching.catch(() => {})
    for (let number = 0; number < 50; number += 1) await js.publish(`over.${how}.m`, String(number), { msgID: String(number) })
    await within('50 jobs before the restart', ready.promise)
    await restart(how)
    await within('the reconnect', reconnected)
    nc.publish(`alive.${how}`, 'yes')
    same((await take(1, alive, 'a subscription from before'))[0].string(), 'yes', 'the message after the restart')
    const again = await js.publish(`over.${how}.m`, 'again', { msgID: '3' })
    same([again.seq, again.duplicate], [4, true], 'an id from before the restart')
    for (let number = 50; number < 100; number += 1) await js.publish(`over.${how}.m`, String(number))
    await within('100 jobs', working).catch((error) => {
      throw new Error(`${error.message}; ${jobs.length} came`)
    })
    await within('100 messages in order', watching).catch((error) => {
      throw new Error(`${error.message}; ${seen.length} came`)
    })
    same(jobs, range(0, 100), 'jobs')
    same(seen, range(0, 100), 'messages in order')
    await bucket.put('after', '2')
    same((await watched).map((entry) => entry.key), ['before', 'after'], 'what the watcher saw')
    return 250
  } finally {
    await nc.close()
  }
}

function deferred() {
  const parts = {}
  parts.promise = new Promise((done, fail) => Object.assign(parts, { resolve: done, reject: fail }))
  return parts
}

await check('core', connected(core))
await check('streams', connected(streams))
await check('consumers', connected(consumers))
await check('key-value', connected(keyValues))
await check('objects', connected(objects))
await check('services', connected(services))
await check('going on over a restart (stop)', reconnects('stop'))
await check('going on over a restart (kill)', reconnects('kill'))
process.exit(failed ? 1 : 0)
