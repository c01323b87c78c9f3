// Dead letters for people and for programs: a row, a line of JSON, and everything about one.
import type { DeadLetter } from '../core/dead-letter.ts'
import { escapeControls } from '../observe/line-log.ts'
import type { DlqQuestion } from './dlq-question.ts'
import { alignColumns } from './tree.ts'

export const headings: readonly string[] = ['ID', 'DEAD AT', 'CAUSE', 'TOPIC', 'ROUTE', 'BYTES', 'ERROR']

const longestCell = 60

/** The cells below `headings`. */
export function rowOf({ id, deadAt, cause, topic, route, payload, error }: DeadLetter): readonly string[] {
  const message = `${error.code ?? error.name}: ${error.message}`
  return [id, timeInWords(deadAt), cause, cut(topic), cut(route ?? '-'), String(payload.length), cut(message)]
}

/** One letter as JSON on one line, in ASCII; correlation data and payload are in base64. */
export function lineOf(
  letter: DeadLetter,
  { withPayload = false }: { readonly withPayload?: boolean } = {},
): string {
  const { payload, properties, arrivedAt, deadAt, ...rest } = letter
  const json = JSON.stringify({
    ...rest,
    arrivedAt: new Date(arrivedAt).toISOString(),
    deadAt: new Date(deadAt).toISOString(),
    properties: { ...properties, correlationData: properties.correlationData?.toString('base64') },
    payloadBytes: payload.length,
    ...(withPayload ? { payload: payload.toString('base64') } : {}),
  })
  // Else the terminal would escape what moves a cursor, in its own way, which is not that of JSON.
  return json.replaceAll(
    /[\u007f-\uffff]/g,
    (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** All that is known of one letter, line by line, its payload last. */
export function letterInWords(letter: DeadLetter, form: DlqQuestion['payload']): readonly string[] {
  const { payload, properties, error } = letter
  const flags = [letter.retain ? 'retained' : '', letter.dup ? 'sent before' : ''].filter(
    (text) => text !== '',
  )
  const about: (readonly string[])[] = [
    ['id', letter.id],
    ['topic', letter.topic],
    ['qos', [String(letter.qos), ...flags].join(', ')],
    ['arrived', timeInWords(letter.arrivedAt)],
    ['dead', `${timeInWords(letter.deadAt)}, after ${attemptsInWords(letter.attempts)}`],
    ['cause', letter.cause],
    ['error', `${error.name}${error.code === undefined ? '' : ` ${error.code}`}: ${error.message}`],
    ['receiver', letter.receiver],
    ['route', letter.route ?? '-'],
    ...(typeof letter.share === 'string' ? [['share group', letter.share]] : []),
    ['client id', letter.clientId],
    ...propertiesInWords(properties),
  ]
  const { name, lines } = payloadInWords(payload, form)
  // A line break in a topic would begin a line that nobody here has written.
  const rows = about.map((cells) => cells.map(escapeControls))
  return [...alignColumns(rows), `payload, ${payload.length} bytes${name}`, ...lines]
}

function propertiesInWords(properties: DeadLetter['properties']): readonly (readonly string[])[] {
  const { userProperties, correlationData, ...rest } = properties
  const rows = Object.entries(rest).map(([name, value]) => [wordsOf(name), String(value)])
  if (correlationData !== undefined) rows.push(['correlation data', hexOf(correlationData)])
  for (const [name, values] of Object.entries(userProperties ?? {})) {
    for (const value of values) rows.push(['user property', `${name} = ${value}`])
  }
  return rows
}

function payloadInWords(
  payload: Buffer,
  form: DlqQuestion['payload'],
): { readonly name: string; readonly lines: readonly string[] } {
  if (payload.length === 0) return { name: '', lines: [] }
  if (form === 'base64') return { name: ' in base64', lines: [payload.toString('base64')] }
  if (form !== 'hex' && (form === 'text' || isText(payload))) {
    return {
      name: '',
      lines: payload
        .toString()
        .split(/\r?\n/)
        .map((line) => `  ${line}`),
    }
  }
  return { name: ' in hex', lines: hexLines(payload) }
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true })

function isText(payload: Buffer): boolean {
  try {
    return !/[^\P{Cc}\n\r\t]/u.test(strictUtf8.decode(payload))
  } catch {
    return false
  }
}

// As other tools write it: the place, sixteen bytes, and what of them can be read.
function hexLines(payload: Buffer): readonly string[] {
  const lines: string[] = []
  for (let at = 0; at < payload.length; at += 16) {
    const bytes = payload.subarray(at, at + 16)
    const readable = bytes.toString('latin1').replaceAll(/[^ -~]/g, '.')
    lines.push(`  ${at.toString(16).padStart(8, '0')}  ${hexOf(bytes).padEnd(47)}  ${readable}`)
  }
  return lines
}

function hexOf(bytes: Buffer): string {
  return bytes.toString('hex').replaceAll(/..(?=.)/g, '$& ')
}

// messageExpiryInterval: message expiry interval.
function wordsOf(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)
}

function timeInWords(time: number): string {
  return new Date(time).toISOString().replace('T', ' ')
}

function attemptsInWords(attempts: number): string {
  return attempts === 1 ? '1 attempt' : `${attempts} attempts`
}

function cut(text: string): string {
  const line = text.replaceAll(/\s+/g, ' ')
  return line.length > longestCell ? `${line.slice(0, longestCell - 1)}…` : line
}
