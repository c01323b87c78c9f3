// How the journal looks on disk: segments that begin with a mark of their own, and records that carry it and a checksum.
import { crc32 } from 'node:zlib'

/** What was done to a key. */
export interface JournalRecord {
  readonly type: 'put' | 'delete'
  /** Counts up over the life of the journal: of two records of one key, the higher one holds. */
  readonly sequence: number
  readonly key: string
  readonly value: Buffer
}

/** A record that was found, and where: its value is not copied. */
export interface FoundRecord extends JournalRecord {
  /** Where the value begins in the segment. */
  readonly valueAt: number
  /** Bytes of the whole record. */
  readonly length: number
}

/** What a segment holds. */
export interface ScannedSegment {
  readonly records: readonly FoundRecord[]
  /** Bytes that are no record: a write that was cut off, or damage. */
  readonly damagedBytes: number
}

const MAGIC = Buffer.from('MQJ')
const VERSION = 1
const MARK_BYTES = 4
/** Magic, version, the segment's mark, and their checksum. */
export const SEGMENT_HEADER_BYTES = 12
/** Mark, length of what follows, checksum. */
const RECORD_HEADER_BYTES = 12
/** Type, sequence number, length of the key. */
const BODY_HEADER_BYTES = 9
/** What a record takes besides its key and its value. */
export const RECORD_OVERHEAD_BYTES: number = RECORD_HEADER_BYTES + BODY_HEADER_BYTES
/** A key is no longer than its length can say. */
export const MAX_KEY_BYTES = 0xff_ff
/** Nor is a record. */
export const MAX_VALUE_BYTES: number = 0x7f_ff_ff_ff - BODY_HEADER_BYTES - MAX_KEY_BYTES

const PUT = 1
const DELETE = 2

/**
 * The first bytes of a segment. `mark` is random: every record begins with it, so that the search for the
 * next whole record behind damage can not be led astray by a payload that looks like one.
 */
export function segmentHeader(mark: Buffer): Buffer {
  const header = Buffer.alloc(SEGMENT_HEADER_BYTES)
  MAGIC.copy(header)
  header.writeUInt8(VERSION, 3)
  mark.copy(header, 4, 0, MARK_BYTES)
  header.writeUInt32BE(crc32(header.subarray(0, 8)), 8)
  return header
}

/** How many bytes `encodeRecord` makes. */
export function recordBytes(key: string, valueBytes: number): number {
  return RECORD_OVERHEAD_BYTES + Buffer.byteLength(key) + valueBytes
}

/** A record as it stands in a segment with this mark. */
export function encodeRecord(record: JournalRecord, mark: Buffer): Buffer {
  const key = Buffer.from(record.key)
  const bodyBytes = BODY_HEADER_BYTES + key.length + record.value.length
  const bytes = Buffer.allocUnsafe(RECORD_HEADER_BYTES + bodyBytes)
  mark.copy(bytes, 0, 0, MARK_BYTES)
  bytes.writeUInt32BE(bodyBytes, 4)
  bytes.writeUInt8(record.type === 'put' ? PUT : DELETE, 12)
  bytes.writeUIntBE(record.sequence, 13, 6)
  bytes.writeUInt16BE(key.length, 19)
  key.copy(bytes, 21)
  record.value.copy(bytes, 21 + key.length)
  bytes.writeUInt32BE(checksum(bytes, bodyBytes), 8)
  return bytes
}

/**
 * Every whole record of a segment. What is no record is skipped up to the next one: nothing that was
 * written whole is lost for what stands before it.
 */
export function scanSegment(bytes: Buffer): ScannedSegment {
  const mark = markOf(bytes)
  const records: FoundRecord[] = []
  let damagedBytes = bytes.length < SEGMENT_HEADER_BYTES ? bytes.length : 0
  for (let at = SEGMENT_HEADER_BYTES; at < bytes.length;) {
    const record = recordAt(bytes, at, mark)
    if (record !== undefined) {
      records.push(record)
      at += record.length
      continue
    }
    const next = bytes.indexOf(mark, at + 1)
    const end = next === -1 ? bytes.length : next
    damagedBytes += end - at
    at = end
  }
  return { records, damagedBytes }
}

function markOf(bytes: Buffer): Buffer {
  const isWhole =
    bytes.length >= SEGMENT_HEADER_BYTES && crc32(bytes.subarray(0, 8)) === bytes.readUInt32BE(8)
  // The first record carries the mark as well.
  if (!isWhole) return bytes.subarray(SEGMENT_HEADER_BYTES, SEGMENT_HEADER_BYTES + MARK_BYTES)
  if (bytes.readUInt8(3) !== VERSION) {
    // A later version of this package has written it: that is no damage, and must not be skipped.
    throw new Error(`it has version ${bytes.readUInt8(3)} of the format, and ${VERSION} is known`)
  }
  return bytes.subarray(4, 4 + MARK_BYTES)
}

function recordAt(bytes: Buffer, at: number, mark: Buffer): FoundRecord | undefined {
  if (bytes.length - at < RECORD_OVERHEAD_BYTES) return undefined
  if (bytes.compare(mark, 0, MARK_BYTES, at, at + MARK_BYTES) !== 0) return undefined
  const bodyBytes = bytes.readUInt32BE(at + 4)
  const end = at + RECORD_HEADER_BYTES + bodyBytes
  if (bodyBytes < BODY_HEADER_BYTES || end > bytes.length) return undefined
  const record = bytes.subarray(at, end)
  if (checksum(record, bodyBytes) !== record.readUInt32BE(8)) return undefined
  const keyBytes = record.readUInt16BE(19)
  const valueAt = RECORD_OVERHEAD_BYTES + keyBytes
  return {
    type: record.readUInt8(12) === PUT ? 'put' : 'delete',
    sequence: record.readUIntBE(13, 6),
    key: record.toString('utf8', 21, valueAt),
    value: record.subarray(valueAt),
    valueAt: at + valueAt,
    length: record.length,
  }
}

// Over everything but itself: the mark and the length too.
function checksum(record: Buffer, bodyBytes: number): number {
  return crc32(
    record.subarray(RECORD_HEADER_BYTES, RECORD_HEADER_BYTES + bodyBytes),
    crc32(record.subarray(0, 8)),
  )
}
