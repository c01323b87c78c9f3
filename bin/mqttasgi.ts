#!/usr/bin/env node
// The command `mqttasgi`: hands the process to the command line, and ends it with its exit code.
import { fileURLToPath } from 'node:url'
import { main } from '../lib/cli/main.ts'

const { argv, env, stdout, stderr } = process
const cwd = process.cwd()
const bin = fileURLToPath(import.meta.url)
const exit = (code: number): never => process.exit(code)

// What an application has left open, a timer or a connection, must not keep the process.
exit(await main(argv.slice(2), { cwd, env, stdout, stderr, process, exit, bin }))
