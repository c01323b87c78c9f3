import test from 'ava'
import { outboxStoreContract } from '../contract/outbox-store.ts'
import { MemoryOutboxStore, type MemoryDisk } from './memory-outbox-store.ts'

outboxStoreContract(test, 'memory', () => {
  const disk: MemoryDisk = new Map()
  return () => new MemoryOutboxStore(disk)
})
