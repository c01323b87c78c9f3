// The real files of a journal, of which one call fails as long as a test says so.
import { diskFiles, type JournalFiles } from '../../lib/durable/journal-files.ts'

/** Before each call of this method `fault` says what it fails with, if it does. */
export function failingFiles(method: 'append' | 'sync', fault: () => Error | undefined): JournalFiles {
  const refuse = (called: typeof method): void => {
    const error = called === method ? fault() : undefined
    if (error !== undefined) throw error
  }
  return {
    ...diskFiles,
    async create(path) {
      const file = await diskFiles.create(path)
      return {
        ...file,
        async append(bytes) {
          refuse('append')
          return file.append(bytes)
        },
        async sync() {
          refuse('sync')
          await file.sync()
        },
      }
    },
  }
}
