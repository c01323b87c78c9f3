// What benchmarks/routing.ts uses of qlobber, which has no types of its own.
declare module 'qlobber' {
  export class Qlobber<T> {
    constructor(options: {
      readonly separator: string
      readonly wildcard_one: string
      readonly wildcard_some: string
      readonly match_empty_levels: boolean
    })
    add(filter: string, value: T): this
    match(topic: string): T[]
  }
}
