import test from 'ava'
import { escapeControls, lineLog } from '../../lib/observe/line-log.ts'

function lines(verbosity: 0 | 1 | 2, speak: (log: ReturnType<typeof lineLog>) => void): string[] {
  const written: string[] = []
  const now = (): Date => new Date(2026, 0, 2, 3, 4, 5)
  speak(lineLog({ verbosity, write: (line) => void written.push(line), now }))
  return written
}

test('a line has the time, the level and the sentence', (t) => {
  t.deepEqual(
    lines(0, (log) => log.warn('it rains')),
    ['03:04:05 warn  it rains'],
  )
})

test('verbosity says how much is said', (t) => {
  const speak = (log: ReturnType<typeof lineLog>): void => {
    log.debug('d')
    log.info('i')
    log.warn('w')
    log.error('e')
  }
  t.is(lines(0, speak).length, 2)
  t.is(lines(1, speak).length, 3)
  t.is(lines(2, speak).length, 4)
})

test('the stack of an error is shown to those who want everything', (t) => {
  const speak = (log: ReturnType<typeof lineLog>): void => log.error('broken', { error: new Error('inside') })
  t.is(lines(1, speak).length, 1)
  t.true(lines(2, speak).length > 1)
})

test('nothing that came from outside can move the cursor or fake a line', (t) => {
  for (let code = 0; code < 0x20_00; code++) {
    const escaped = escapeControls(`a${String.fromCodePoint(code)}b`)
    // oxlint-disable-next-line no-control-regex -- these are what must not be there
    t.false(/[\u0000-\u001f\u007f-\u009f]/.test(escaped), `U+${code.toString(16)}`)
  }
  t.is(escapeControls('a\u202eb\u2028c\ufeff'), 'a\\u{202e}b\\u{2028}c\ufeff')
  t.deepEqual(
    lines(0, (log) => log.error('topic "a\n03:04:05 info  all is well"')),
    ['03:04:05 error topic "a\\u{a}03:04:05 info  all is well"'],
  )
})

test('a line ends somewhere', (t) => {
  const [line] = lines(0, (log) => log.error('x'.repeat(100_000)))
  t.true((line?.length ?? 0) < 3_000)
})

test('the lines of a message with a stack are no lines of the log', (t) => {
  const error = new Error('broken\n03:04:05 info  all is well')
  const [first, ...frames] = lines(2, (log) => log.error(error.message, { error }))
  t.is(first, '03:04:05 error broken\\u{a}03:04:05 info  all is well')
  t.true(frames.length > 0)
  for (const line of frames) t.regex(line, /^ {4}at /)
  const silent = lines(2, (log) => log.error('x', { error: new Error('') }))
  t.regex(silent[1] ?? '', /^ {4}at /)
})
