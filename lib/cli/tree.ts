// Patterns drawn as a tree of their levels, with what belongs to each beside it.

/** One leaf: the pattern, and the cells beside it. */
export interface TreeEntry {
  readonly pattern: string
  readonly cells: readonly string[]
}

interface Branch {
  /** Levels from the parent to here, joined. */
  name: string
  readonly entries: TreeEntry[]
  readonly branches: Map<string, Branch>
}

/** The lines of the tree; levels are in the order in which they came first. */
export function drawTree(entries: readonly TreeEntry[]): readonly string[] {
  const root: Branch = { name: '', entries: [], branches: new Map() }
  for (const entry of entries) insert(root, entry)
  return alignColumns(rowsOf(root, ''))
}

function insert(root: Branch, entry: TreeEntry): void {
  let branch = root
  for (const level of entry.pattern.split('/')) {
    let next = branch.branches.get(level)
    if (next === undefined)
      branch.branches.set(level, (next = { name: level, entries: [], branches: new Map() }))
    branch = next
  }
  branch.entries.push(entry)
}

function rowsOf(parent: Branch, indent: string): readonly (readonly string[])[] {
  const rows: (readonly string[])[] = []
  const branches = [...parent.branches.values()].map(joined)
  for (const [index, branch] of branches.entries()) {
    const isLast = index === branches.length - 1
    const inner = `${indent}${isLast ? '   ' : '│  '}`
    const [first, ...others] = branch.entries
    rows.push([`${indent}${isLast ? '└─' : '├─'} ${branch.name}`, ...(first?.cells ?? [])])
    // A second route of the same pattern stands below the first, without its name.
    for (const { cells } of others) rows.push([inner, ...cells])
    rows.push(...rowsOf(branch, inner))
  }
  return rows
}

// A level that only leads to one other is written together with it.
function joined(branch: Branch): Branch {
  const [only] = branch.branches.values()
  if (only === undefined || branch.branches.size > 1 || branch.entries.length > 0) return branch
  const below = joined(only)
  return { ...below, name: `${branch.name}/${below.name}` }
}

/** One line a row, its cells below one another. */
export function alignColumns(rows: readonly (readonly string[])[]): readonly string[] {
  const widths: number[] = []
  for (const cells of rows) {
    for (const [column, cell] of cells.entries()) widths[column] = Math.max(widths[column] ?? 0, cell.length)
  }
  return rows.map((cells) => {
    const padded = cells.map((cell, column) => cell.padEnd(widths[column] ?? 0))
    return padded.join('  ').trimEnd()
  })
}
