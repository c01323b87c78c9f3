// The habit that Express users bring along: a pattern that begins with a slash.

let warned = false

/** Warns, once for the process: "/a" is the level "" and then "a" (4.7.3), allowed but seldom meant. */
export function warnOfLeadingSlash(text: string): void {
  if (warned || !text.startsWith('/')) return
  warned = true
  process.emitWarning(
    `"${text}" begins with "/": in MQTT that is an empty first level, and "${text.slice(1)}" is another topic. Leave the slash out unless you mean it.`,
    { type: 'MqttasgiWarning', code: 'MQTTASGI_LEADING_SLASH' },
  )
}
