// What `import 'mqttasgi'` means in the files of users: this very copy, whichever is installed beside them.
import type { OwnModules } from './config/modules.ts'

/** Every public entry of the package by the name it is imported by. */
export async function ownModules(): Promise<OwnModules> {
  const [main, config, testing, broker] = await Promise.all([
    import('./index.ts'),
    import('./config/index.ts'),
    import('./testing/index.ts'),
    import('./broker/index.ts'),
  ])
  return { mqttasgi: main, 'mqttasgi/config': config, 'mqttasgi/testing': testing, 'mqttasgi/broker': broker }
}
