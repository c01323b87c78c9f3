// Waits for something, but not for ever.

/** Waits until the work has ended, in whatever way, but not longer. */
export async function endedWithin(ms: number, work: Promise<unknown>): Promise<void> {
  await withinTime(ms, work, () => new Error()).catch(() => {})
}

/** Rejects with what `late` makes when the work takes longer; it goes on then, and nobody hears of its end. */
export async function withinTime<T>(ms: number, work: Promise<T>, late: () => Error): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const passed = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(late()), ms)
  })
  try {
    return await Promise.race([work, passed])
  } finally {
    clearTimeout(timer)
  }
}
