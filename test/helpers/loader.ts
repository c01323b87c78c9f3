// What a child process that runs the project's TypeScript is told to import first.

/** The address of the loader that the tests run under too: `node --import`. */
export const loader = new URL('../loader/register.js', import.meta.url).href
