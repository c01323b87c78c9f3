// An application whose thread ends as soon as it has begun.
import { mqttasgi, type Application } from '../../../lib/index.ts'

export const mayfly: Application = mqttasgi()
mayfly.topic('mayfly/+n', () => {})
setTimeout(() => process.exit(1), 20)
