// Masks, outlines and places. A place is [z, y, x] in the stack's own voxels, from 0 at the first one's centre.

const bytesOf = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0))

const inflate = async (text) => {
  const stream = new Blob([bytesOf(text)]).stream().pipeThrough(new DecompressionStream("gzip"))
  return new Uint8Array(await new Response(stream).arrayBuffer())
}

/** The voxels of a spine, 0 or 1. */
const unpack = (spine) => {
  const [nz, ny, nx] = spine.s, packed = bytesOf(spine.m), bits = new Uint8Array(nz * ny * nx)
  for (let i = 0; i < bits.length; i++) bits[i] = (packed[i >> 3] >> (7 - (i & 7))) & 1
  return bits
}

/** Axes that run across and down in each picture, and the one looked along. */
const PLANES = { xy: { across: 2, down: 1, along: 0 }, xz: { across: 2, down: 0, along: 1 }, yz: { across: 0, down: 1, along: 2 } }

/** A mask seen along an axis between two of its slices (inclusive): any voxel counts. */
const flatten = (spine, along, from, to) => {
  spine.bits ??= unpack(spine)
  const s = spine.s, [down, across] = [0, 1, 2].filter((a) => a !== along)
  const stride = [s[1] * s[2], s[2], 1], flat = new Uint8Array(s[down] * s[across])
  let any = false
  for (let k = Math.max(from, 0); k <= Math.min(to, s[along] - 1); k++)
    for (let r = 0; r < s[down]; r++)
      for (let c = 0; c < s[across]; c++)
        if (spine.bits[k * stride[along] + r * stride[down] + c * stride[across]]) { flat[r * s[across] + c] = 1; any = true }
  return any ? { flat, rows: s[down], columns: s[across], down, across } : null
}

/** The outline of a flat mask as pieces [r0, c0, r1, c1], halfway between voxels inside and outside. */
const outlinePieces = ({ flat, rows, columns }) => {
  const at = (r, c) => (r < 0 || c < 0 || r >= rows || c >= columns ? 0 : flat[r * columns + c])
  const pieces = []
  for (let r = -1; r < rows; r++)
    for (let c = -1; c < columns; c++) {
      const kind = at(r, c) | (at(r, c + 1) << 1) | (at(r + 1, c + 1) << 2) | (at(r + 1, c) << 3)
      if (kind === 0 || kind === 15) continue
      const top = [r, c + 0.5], right = [r + 0.5, c + 1], bottom = [r + 1, c + 0.5], left = [r + 0.5, c]
      const add = (a, b) => pieces.push([...a, ...b])
      if (kind === 5) { add(left, top); add(right, bottom) }
      else if (kind === 10) { add(top, right); add(bottom, left) }
      else if (kind === 1 || kind === 14) add(left, top)
      else if (kind === 2 || kind === 13) add(top, right)
      else if (kind === 4 || kind === 11) add(right, bottom)
      else if (kind === 8 || kind === 7) add(bottom, left)
      else if (kind === 3 || kind === 12) add(left, right)
      else add(top, bottom)
    }
  return pieces
}

/** The outline of a spine in a picture for a slab of slices [from, to] of the grid, or null; kept with the spine. */
const outlineOf = (spine, plane, from, to) => {
  const { along } = PLANES[plane]
  const first = Math.max(from - spine.o[along], 0), last = Math.min(to - spine.o[along], spine.s[along] - 1)
  if (first > last) return null
  const key = `${plane}${first}-${last}`
  spine.kept ??= new Map()
  if (!spine.kept.has(key)) {
    const seen = flatten(spine, along, first, last)
    spine.kept.set(key, seen && { ...seen, pieces: outlinePieces(seen) })
  }
  return spine.kept.get(key)
}

/** Distance of a point from a piece of line, and how far along it (0 to 1) the nearest place lies. */
const toPiece = (x, y, x0, y0, x1, y1) => {
  const dx = x1 - x0, dy = y1 - y0, square = dx * dx + dy * dy
  const t = square ? Math.min(Math.max(((x - x0) * dx + (y - y0) * dy) / square, 0), 1) : 0
  return [Math.hypot(x - x0 - t * dx, y - y0 - t * dy), t]
}

const clamp = (value, low, high) => Math.min(Math.max(value, low), high)
