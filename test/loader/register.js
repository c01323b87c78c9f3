// Lets Node run the project's TypeScript as tsx does, for the tests and their child processes, at half the cost of a start.
import module from 'node:module'
import { load, resolve } from './hooks.js'

// Node 20 has hooks only in a thread of their own.
if (module.registerHooks === undefined) module.register('./hooks.js', import.meta.url)
else module.registerHooks({ resolve, load })
process.setSourceMapsEnabled(true)
