// A logger that shows the greenhouse to a person: one aligned line for each thing that happens.
import { styleText } from 'node:util'
import type { Logger } from 'mqttasgi'

type Style = Parameters<typeof styleText>[0]

const TOPIC_WIDTH = 24
// Whether colours are wanted has been decided by then.
const always = { validateStream: false }

/** Writes lines with the seconds since the start; `colours` for a terminal. */
export function screen(write: (line: string) => void, colours: boolean): Logger {
  const start = performance.now()
  const paint = (style: Style, text: string): string => (colours ? styleText(style, text, always) : text)
  const line = (mark: string, topic: unknown, text: string, style: Style): void => {
    const seconds = ((performance.now() - start) / 1_000).toFixed(1).padStart(6)
    const about = typeof topic === 'string' ? `${paint('cyan', topic.padEnd(TOPIC_WIDTH))}  ` : ''
    write(`${paint('dim', seconds)}  ${paint(style, mark)}  ${about}${paint(style, text)}`)
  }
  return {
    debug() {},
    info(message, { topic } = {}) {
      if (topic === undefined) line('·', topic, message, 'dim')
      else line('←', topic, message, message.startsWith('ALERT') ? 'yellow' : 'reset')
    },
    warn: (message) => line('!', undefined, message, 'yellow'),
    // The server says what a chain failed with, and in which route.
    error(message, { topic, route, error } = {}) {
      const why = error instanceof Error ? error.message : message
      line('✗', topic, typeof route === 'string' ? `FAILED in route ${route}: ${why}` : why, 'red')
    },
  }
}
