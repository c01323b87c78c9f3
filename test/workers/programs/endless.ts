// An application that is never loaded: what it waits for does not come.
import { mqttasgi, type Application } from '../../../lib/index.ts'

await new Promise((resolve) => setTimeout(resolve, 3_600_000))

export const endless: Application = mqttasgi()
