// The generated parts of README and docs are what the code says today.
import test from 'ava'
import { generatedParts, generatedText } from './generated.ts'

for (const part of generatedParts) {
  test(`${part.file}: "${part.name}" is up to date (node --import tsx test/acceptance/generated.ts)`, (t) => {
    t.is(generatedText(part), part.render())
  })
}
