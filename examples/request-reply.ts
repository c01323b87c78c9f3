// Request and reply with MQTT 5: one side of the program asks, the other answers. It needs a broker:
// node --import tsx examples/request-reply.ts mqtt://localhost:1883
import { randomUUID } from 'node:crypto'
import { mqttasgi, serve } from 'mqttasgi'

// The side that answers. reply() knows where to: the question carries its response topic.
const calculator = mqttasgi()
calculator.topic('calculator/sum', async (ctx) => {
  const numbers = ctx.json<number[]>()
  await ctx.reply(numbers.reduce((sum, number) => sum + number, 0))
})

// The side that asks. The correlation data says which answer belongs to which question.
const asker = mqttasgi()
const waiting = new Map<string, (answer: string) => void>()
asker.topic('answers/asker', (ctx) => {
  const id = ctx.properties.correlationData?.toString() ?? ''
  waiting.get(id)?.(ctx.text())
  waiting.delete(id)
})

const broker = { url: process.argv[2] ?? 'mqtt://localhost:1883' }
const servers = [await serve(calculator, { broker }), await serve(asker, { broker })] as const

async function ask(topic: string, question: object): Promise<string> {
  const id = randomUUID()
  const answer = new Promise<string>((resolve) => waiting.set(id, resolve))
  const properties = { responseTopic: 'answers/asker', correlationData: Buffer.from(id) }
  await servers[1].publish(topic, question, { properties })
  return answer
}

console.log(`1 + 2 + 3 = ${await ask('calculator/sum', [1, 2, 3])}`)
await Promise.all(servers.map((server) => server.stop()))
