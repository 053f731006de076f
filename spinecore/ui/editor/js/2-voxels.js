// The voxels that are here, and pictures of them: a slab along z, and cuts along y and x.

const SIDE = 256, DEPTH = 64, MOST_BLOCKS = 16

class Voxels {
  constructor(shape) {
    this.shape = shape
    this.blocks = new Map()
    this.asked = new Map()
    this.pictures = new Map()
    this.loaded = 0
    this.field = null
  }

  async add(blocks, then) {
    for (const [key, block] of Object.entries(blocks)) {
      if (this.blocks.has(key) || (key === "field" && this.field)) continue
      if (key === "field") {
        const image = new Image()
        image.onload = () => { this.field = image; then() }
        image.src = block
        continue
      }
      block.values = await inflate(block.bytes)
      delete block.bytes
      block.raw = Float32Array.from({ length: 256 }, (_, v) => block.low + (v / 255) ** 2 * (block.high - block.low))
      this.blocks.set(key, block)
      this.loaded++
    }
    then()
  }

  /** The blocks that a range of voxels [from, to] (ZYX) lies in. */
  range(from, to) {
    const sizes = [DEPTH, SIDE, SIDE]
    const first = from.map((v, a) => Math.floor(clamp(v, 0, this.shape[a] - 1) / sizes[a]))
    const last = to.map((v, a) => Math.floor(clamp(v, 0, this.shape[a] - 1) / sizes[a]))
    const keys = []
    for (let z = first[0]; z <= last[0]; z++)
      for (let y = first[1]; y <= last[1]; y++)
        for (let x = first[2]; x <= last[2]; x++) keys.push(`${z},${y},${x}`)
    return { first, last, keys }
  }

  /** Blocks of a range that are not here and were not asked for lately; none where the range is too large. */
  missing(from, to) {
    const { keys } = this.range(from, to), now = performance.now()
    if (keys.length > MOST_BLOCKS) return this.field || this.wait("field", now) ? [] : ["field"]
    const out = keys.filter((key) => !this.blocks.has(key) && !this.wait(key, now))
    out.forEach((key) => this.asked.set(key, now))
    return out
  }

  wait(key, now) {
    const waiting = now - (this.asked.get(key) ?? -1e9) < 6000
    if (!waiting) this.asked.set(key, now)
    return waiting
  }

  /** The largest value of each pixel of a block between two slices of the stack, as bytes; kept. */
  slab(key, block, from, to) {
    const [nz, ny, nx] = block.shape, start = key.split(",")[0] * DEPTH, n = ny * nx
    const first = Math.max(from - start, 0), last = Math.min(to - start, nz - 1)
    if (first > last) return null
    if (block.slabKey === `${first}-${last}`) return block.slabValues
    const out = new Uint8Array(block.values.subarray(first * n, (first + 1) * n))
    for (let z = first + 1; z <= last; z++) {
      const page = block.values.subarray(z * n, (z + 1) * n)
      for (let i = 0; i < n; i++) if (page[i] > out[i]) out[i] = page[i]
    }
    block.slabKey = `${first}-${last}`
    block.slabValues = out
    return out
  }

  /** One value, in the stack's own units; NaN where its block is not here. */
  value(z, y, x) {
    if (z < 0 || y < 0 || x < 0 || z >= this.shape[0] || y >= this.shape[1] || x >= this.shape[2]) return NaN
    const block = this.blocks.get(`${Math.floor(z / DEPTH)},${Math.floor(y / SIDE)},${Math.floor(x / SIDE)}`)
    if (!block) return NaN
    return block.raw[block.values[((z % DEPTH) * block.shape[1] + (y % SIDE)) * block.shape[2] + (x % SIDE)]]
  }

  /** Values of a part of the slab, few enough to be sorted. */
  sample(from, to) {
    const out = [], { keys } = this.range(from, to)
    if (keys.length > MOST_BLOCKS) return out
    const step = Math.max(1, Math.round(Math.sqrt(((to[1] - from[1]) * (to[2] - from[2])) / 16000)))
    for (const key of keys) {
      const block = this.blocks.get(key)
      const slab = block && this.slab(key, block, from[0], to[0])
      if (!slab) continue
      const [, by, bx] = key.split(",").map(Number), [, ny, nx] = block.shape
      for (let y = 0; y < ny; y += step)
        for (let x = 0; x < nx; x += step) {
          const row = y + by * SIDE, column = x + bx * SIDE
          if (row >= from[1] && row <= to[1] && column >= from[2] && column <= to[2]) out.push(block.raw[slab[y * nx + x]])
        }
    }
    return out
  }

  /** The bytes of grey that a block's bytes are shown as. */
  shades(block, { low, high, gamma }) {
    const key = `${low},${high},${gamma}`
    if (block.shadeKey !== key) {
      block.shadeKey = key
      block.shadeValues = Uint8Array.from(block.raw, (v) => 255 * clamp((v - low) / Math.max(high - low, 1e-9), 0, 1) ** gamma)
    }
    return block.shadeValues
  }

  /**
   * A picture of the blocks round a range, whole blocks, in a plane; made again only when something in it changes.
   * Returns { canvas, across, down }: the first voxel of each axis; null where nothing is here.
   */
  picture(plane, from, to, levels) {
    const { first, last, keys } = this.range(from, to)
    if (keys.length > MOST_BLOCKS) return null
    const { across, down, along } = PLANES[plane], sizes = [DEPTH, SIDE, SIDE]
    const name = [plane, first, last, from[along], to[along], this.loaded, levels.low, levels.high, levels.gamma].join(";")
    const kept = this.pictures.get(plane)
    if (kept?.name === name) return kept.found
    const low = first.map((k, a) => k * sizes[a])
    const high = last.map((k, a) => Math.min((k + 1) * sizes[a], this.shape[a]))
    const canvas = kept?.canvas ?? document.createElement("canvas")
    canvas.width = high[across] - low[across]
    canvas.height = high[down] - low[down]
    const context = canvas.getContext("2d"), image = context.createImageData(canvas.width, canvas.height)
    const pixels = new Uint32Array(image.data.buffer)
    let any = false
    for (const key of keys) {
      const block = this.blocks.get(key)
      if (!block) continue
      const start = key.split(",").map((k, a) => k * sizes[a]), shade = this.shades(block, levels)
      const put = (row, column, value) => {
        const g = shade[value]
        pixels[(row + start[down] - low[down]) * canvas.width + column + start[across] - low[across]] = 0xff000000 | (g << 16) | (g << 8) | g
      }
      any = this.paint(plane, key, block, from, to, start, put) || any
    }
    context.putImageData(image, 0, 0)
    const found = any ? { canvas, across: low[across], down: low[down] } : null
    this.pictures.set(plane, { name, canvas, found })
    return found
  }

  paint(plane, key, block, from, to, start, put) {
    const [nz, ny, nx] = block.shape
    if (plane === "xy") {
      const slab = this.slab(key, block, from[0], to[0])
      if (!slab) return false
      for (let y = 0, i = 0; y < ny; y++) for (let x = 0; x < nx; x++, i++) put(y, x, slab[i])
      return true
    }
    const along = PLANES[plane].along, size = block.shape[along]
    const first = Math.max(from[along] - start[along], 0), last = Math.min(to[along] - start[along], size - 1)
    if (first > last) return false
    for (let z = 0; z < nz; z++)
      for (let i = 0; i < (along === 1 ? nx : ny); i++) {
        let most = 0
        for (let k = first; k <= last; k++) {
          const value = block.values[(z * ny + (along === 1 ? k : i)) * nx + (along === 1 ? i : k)]
          if (value > most) most = value
        }
        if (along === 1) put(z, i, most)
        else put(i, z, most)
      }
    return true
  }
}
