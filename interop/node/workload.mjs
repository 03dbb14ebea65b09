// The records that the Node client produces and the check of what came back; record i follows from i alone,
// so that a lost, doubled, changed or misplaced one shows by itself.

export const KEY_COUNT = 64
const HEADER_EVERY = 1000
const FILLER = 'the quick brown fox jumps over the lazy dog; '.repeat(3)

export class Workload {
  constructor(count) {
    this.count = count
    // Recent, so that a broker's time-based retention has no reason to drop them.
    this.baseMs = Date.now() - 600_000
    this.values = Array.from({ length: count }, (_, i) => String(i).padStart(8, '0') + ':' + FILLER.slice(0, (i * 37) % 120))
  }

  message(i, keyed) {
    const message = { key: keyed ? `key-${i % KEY_COUNT}` : null, value: this.values[i], timestamp: String(this.baseMs + Math.floor(i / 10)) }
    if (i % HEADER_EVERY === 0) message.headers = { trace: Buffer.from([0, 255, 254]), tag: ['first', 'second'], empty: '' }
    return message
  }
}

export class Verifier {
  constructor(workload, keyed) {
    Object.assign(this, { workload, keyed, seen: new Uint8Array(workload.count), left: workload.count })
    Object.assign(this, { last: new Map(), nextOffset: new Map(), home: new Map() })
  }

  take(partition, { offset, key, value, timestamp, headers }) {
    const text = value.toString()
    const i = Number(text.slice(0, 8))
    const where = `record ${i} at ${partition}/${offset}`
    if (text !== this.workload.values[i]) throw new Error(`${where}: value differs`)
    if (this.seen[i]) throw new Error(`${where}: came twice`)
    this.seen[i] = 1
    this.left -= 1
    const expected = this.nextOffset.get(partition) ?? 0
    if (Number(offset) !== expected) throw new Error(`${where}: expected offset ${expected}`)
    this.nextOffset.set(partition, expected + 1)
    if (i < (this.last.get(partition) ?? -1)) throw new Error(`${where}: behind ${this.last.get(partition)}, order lost`)
    this.last.set(partition, i)
    if (Number(timestamp) !== this.workload.baseMs + Math.floor(i / 10)) throw new Error(`${where}: timestamp ${timestamp}`)
    const name = key === null ? null : key.toString()
    if (name !== (this.keyed ? `key-${i % KEY_COUNT}` : null)) throw new Error(`${where}: key ${name}`)
    if (this.keyed) {
      if (!this.home.has(name)) this.home.set(name, partition)
      if (this.home.get(name) !== partition) throw new Error(`${where}: ${name} also in partition ${this.home.get(name)}`)
    }
    const got = JSON.stringify(Object.entries(headers ?? {}).map(([k, v]) => [k, [v].flat().map((b) => b.toString('hex'))]))
    const sent = i % HEADER_EVERY === 0 ? '[["trace",["00fffe"]],["tag",["6669727374","7365636f6e64"]],["empty",[""]]]' : '[]'
    if (got !== sent) throw new Error(`${where}: headers ${got}`)
  }
}
