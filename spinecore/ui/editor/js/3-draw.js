// What is drawn over the voxels. Colours of Okabe and Ito (2008), which people with any colour vision tell apart.

const COLOURS = {
  spine: "#ffb000", hand: "#00d19a", dendrite: "#56b4e9", chosen: "#ffffff",
  path: "#ffffff", neck: "#cc79a7", candidate: "#d8dee4", bare: "#00ffff", pending: "#f0e442", ink: "#ffffff",
}

class View {
  constructor(editor, plane) {
    this.editor = editor
    this.plane = plane
    this.canvas = document.createElement("canvas")
    this.canvas.className = `sce-${plane}`
    this.canvas.dataset.plane = plane
    Object.assign(this, PLANES[plane])
  }

  /** Fit the canvas to its place; returns false where it has none. */
  fit() {
    const box = this.canvas.getBoundingClientRect(), ratio = window.devicePixelRatio || 1
    if (box.width < 2 || box.height < 2) return false
    this.width = box.width
    this.height = box.height
    const w = Math.round(box.width * ratio), h = Math.round(box.height * ratio)
    if (this.canvas.width !== w || this.canvas.height !== h) { this.canvas.width = w; this.canvas.height = h }
    this.context = this.canvas.getContext("2d")
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0)
    return true
  }

  /** Pixels on the screen of a voxel along an axis. */
  scale(axis) { return this.editor.scene.voxel[axis] * this.editor.zoom }

  toX(v) { return (v - this.editor.centre[this.across]) * this.scale(this.across) + this.width / 2 }
  toY(v) { return (v - this.editor.centre[this.down]) * this.scale(this.down) + this.height / 2 }
  fromX(x) { return (x - this.width / 2) / this.scale(this.across) + this.editor.centre[this.across] }
  fromY(y) { return (y - this.height / 2) / this.scale(this.down) + this.editor.centre[this.down] }

  /** Move the picture so that no more of it than needed lies beside the image. */
  fill() {
    if (!this.fit()) return
    const { centre, scene } = this.editor
    for (const [axis, size] of [[this.across, this.width], [this.down, this.height]]) {
      const half = size / 2 / this.scale(axis), n = scene.shape[axis]
      centre[axis] = n > 2 * half ? clamp(centre[axis], half - 0.5, n - 0.5 - half) : (n - 1) / 2
    }
  }

  /** First and last voxel that is seen, of every axis; along the line of sight, the slab. */
  extent() {
    const { scene } = this.editor, from = [0, 0, 0], to = [0, 0, 0]
    const set = (axis, a, b) => {
      from[axis] = clamp(Math.floor(a), 0, scene.shape[axis] - 1)
      to[axis] = clamp(Math.ceil(b), 0, scene.shape[axis] - 1)
    }
    set(this.across, this.fromX(0), this.fromX(this.width))
    set(this.down, this.fromY(0), this.fromY(this.height))
    const [a, b] = this.editor.slab(this.along)
    set(this.along, a, b)
    return [from, to]
  }

  draw() {
    if (!this.fit()) return
    const c = this.context
    c.fillStyle = "#0b0f14"
    c.fillRect(0, 0, this.width, this.height)
    this.drawVoxels(c)
    c.lineJoin = c.lineCap = "round"
    if (this.editor.overlay) this.drawOver(c)
    this.drawCross(c)
    this.drawPending(c)
    this.drawFrame(c)
  }

  drawVoxels(c) {
    const { editor } = this, { voxels, scene } = editor, [from, to] = this.extent()
    if (this.plane === "xy" && voxels.field) {
      const rows = Math.ceil(scene.shape[1] / 1024), columns = Math.ceil(scene.shape[2] / 1024)
      c.drawImage(voxels.field, this.toX(-0.5), this.toY(-0.5),
        voxels.field.width * columns * this.scale(2), voxels.field.height * rows * this.scale(1))
    }
    const found = voxels.picture(this.plane, from, to, editor.levels)
    if (!found) return
    c.imageSmoothingEnabled = true
    c.imageSmoothingQuality = "low"
    c.drawImage(found.canvas, this.toX(found.across - 0.5), this.toY(found.down - 0.5),
      found.canvas.width * this.scale(this.across), found.canvas.height * this.scale(this.down))
  }

  /** A path of an outline in pixels of the screen. */
  screenPath(seen, spine) {
    const { grid } = this.editor.scene, path = new Path2D()
    const px = (axis, v) => (v + spine.o[axis]) * grid.step[axis] + grid.offset[axis]
    for (const [r0, c0, r1, c1] of seen.pieces) {
      path.moveTo(this.toX(px(seen.across, seen.across === this.across ? c0 : r0)), this.toY(px(seen.down, seen.down === this.down ? r0 : c0)))
      path.lineTo(this.toX(px(seen.across, seen.across === this.across ? c1 : r1)), this.toY(px(seen.down, seen.down === this.down ? r1 : c1)))
    }
    return path
  }

  /** The outline of a spine in the slab; none of a head of which only the position is known. */
  seenOutline(spine) {
    if (spine.bare) return null
    const [a, b] = this.editor.slabOnGrid(this.along)
    return outlineOf(spine, this.plane, a, b)
  }

  stroke(c, path, colour, width, dash = []) {
    c.setLineDash(dash)
    c.strokeStyle = colour
    c.lineWidth = width
    c.stroke(path)
    c.setLineDash([])
  }

  inSight(place, margin = 40) {
    const x = this.toX(place[this.across]), y = this.toY(place[this.down])
    return x > -margin && y > -margin && x < this.width + margin && y < this.height + margin
  }

  drawOver(c) {
    const { editor } = this, { scene, chosen } = editor
    const own = scene.byId.get(chosen)
    if (editor.checking.blind) return this.drawRing(c)
    for (const dendrite of scene.dendrites) this.drawDendrite(c, dendrite, own?.dendrite === dendrite.id)
    const far = Math.max(40, 4 / Math.max(scene.voxel[this.across], 1e-6) * this.scale(this.across))
    for (const spine of scene.spines) {
      if (spine.id === chosen || !this.inSight(spine.head, far)) continue
      const seen = this.seenOutline(spine), colour = this.colourOf(spine)
      if (spine.bare) this.cross(c, spine, 1.6)
      else if (seen) this.stroke(c, this.screenPath(seen, spine), colour, 1.6)
      else if (this.plane === "xy") this.dot(c, spine.head, 3, colour, 0.55)
      if (seen && spine.hand) this.plus(c, spine.head, colour)
      const said = editor.checking.on && editor.checking.told?.answers?.[spine.id]
      if (said && (seen || this.plane === "xy")) this.said(c, spine, said)
    }
    if (this.plane === "xy" && editor.showCandidates)
      for (const other of scene.candidates) if (this.inSight(other.head)) this.drawCandidate(c, other)
    if (scene.soma && this.inSight(scene.soma)) this.drawSoma(c, scene.soma)
    if (own) this.drawChosen(c, own)
  }

  /** Where a person marked the cell body. */
  drawSoma(c, place) {
    const x = this.toX(place[this.across]), y = this.toY(place[this.down]), ring = new Path2D()
    ring.arc(x, y, 9, 0, 2 * Math.PI)
    this.stroke(c, ring, "rgba(0,0,0,.7)", 4.4)
    this.stroke(c, ring, COLOURS.hand, 2)
    this.dot(c, place, 2.5, COLOURS.hand, 1)
    if (this.plane === "xy") this.label(c, "soma", x + 13, y + 4, 12, COLOURS.hand)
  }

  /** Without names and outlines: a ring round the place that is asked about. */
  drawRing(c) {
    const { editor } = this, id = editor.checking.at
    const found = editor.scene.byId.get(id) ?? editor.scene.candidates.find((other) => other.id === id)
    if (!found) return
    const ring = new Path2D()
    ring.arc(this.toX(found.head[this.across]), this.toY(found.head[this.down]), Math.max(16, 0.6 / editor.scene.voxel[2] * this.scale(2)), 0, 2 * Math.PI)
    this.stroke(c, ring, "rgba(0,0,0,.7)", 4)
    this.stroke(c, ring, COLOURS.pending, 1.8)
  }

  drawChosen(c, spine) {
    const seen = this.seenOutline(spine), colour = this.colourOf(spine)
    if (spine.bare) this.cross(c, spine, 2.6)
    else if (seen) {
      const path = this.screenPath(seen, spine)
      this.stroke(c, path, COLOURS.chosen, 4.4)
      this.stroke(c, path, colour, 2)
    } else this.dot(c, spine.head, 6, colour, 1)
    const points = this.editor.path
    if (points && points.spine === spine.id) this.drawPath(c, points.points, spine)
    else this.ends(c, spine)
    if (this.plane !== "xy") return
    this.label(c, `${spine.id}`, this.toX(spine.head[2]) + 12, this.toY(spine.head[1]) - 12, 14)
  }

  /** The measured path: its neck and its head in two colours, with base and tip. */
  drawPath(c, points, spine) {
    const { voxel } = this.editor.scene
    const whole = new Path2D(), neck = new Path2D()
    let arc = 0
    for (let i = 0; i + 2 < points.length; i += 3) {
      const x = this.toX(points[i + this.across]), y = this.toY(points[i + this.down])
      if (i) arc += Math.hypot(...[0, 1, 2].map((a) => (points[i + a] - points[i - 3 + a]) * voxel[a]))
      whole[i ? "lineTo" : "moveTo"](x, y)
      if (spine.neck && arc <= spine.neck + 1e-6) neck[i ? "lineTo" : "moveTo"](x, y)
    }
    this.stroke(c, whole, "rgba(0,0,0,.65)", 4)
    this.stroke(c, whole, COLOURS.path, 1.8)
    if (spine.neck) this.stroke(c, neck, COLOURS.neck, 2.6)
    this.ends(c, spine)
  }

  ends(c, { base, tip }) {
    c.lineWidth = 1.2
    c.strokeStyle = "#000000"
    if (base) {
      c.fillStyle = COLOURS.dendrite
      const x = this.toX(base[this.across]), y = this.toY(base[this.down])
      c.beginPath(); c.rect(x - 3, y - 3, 6, 6); c.fill(); c.stroke()
    }
    if (tip) {
      c.fillStyle = COLOURS.pending
      const x = this.toX(tip[this.across]), y = this.toY(tip[this.down])
      c.beginPath(); c.moveTo(x, y - 4.5); c.lineTo(x + 4, y + 3); c.lineTo(x - 4, y + 3); c.closePath(); c.fill(); c.stroke()
    }
  }

  /** A dendrite's line: full where it lies in the slab, faint elsewhere. */
  drawDendrite(c, dendrite, strong) {
    const [a, b] = this.editor.slab(this.along), reach = this.plane === "xy" ? 1 : 4
    for (const line of dendrite.lines) {
      const near = new Path2D(), far = new Path2D()
      let last = null
      for (let i = 3; i + 2 < line.points.length; i += 3) {
        const p = line.points, from = p[i - 3 + this.along], to = p[i + this.along]
        const path = Math.min(from, to) <= b + reach && Math.max(from, to) >= a - reach ? near : far
        if (path !== last) path.moveTo(this.toX(p[i - 3 + this.across]), this.toY(p[i - 3 + this.down]))
        last = path
        path.lineTo(this.toX(p[i + this.across]), this.toY(p[i + this.down]))
      }
      const colour = line.hand ? COLOURS.hand : COLOURS.dendrite
      if (this.plane === "xy") { c.globalAlpha = 0.45; this.stroke(c, far, colour, 1.2, [4, 4]); c.globalAlpha = 1 }
      this.stroke(c, near, colour, strong ? 2.4 : 1.6, line.hand ? [9, 3] : [])
      if (this.plane === "xy")
        for (const i of [0, line.points.length - 3]) this.dot(c, line.points.slice(i, i + 3), 2.6, colour, 1)
    }
    const middle = dendrite.lines[0]?.points
    if (this.plane === "xy" && middle?.length) {
      const i = 3 * Math.floor(middle.length / 6)
      this.label(c, `D${dendrite.id}`, this.toX(middle[i + 2]) + 6, this.toY(middle[i + 1]) + 14, 12, COLOURS.dendrite)
    }
  }

  drawCandidate(c, other) {
    const x = this.toX(other.head[2]), y = this.toY(other.head[1])
    c.globalAlpha = this.editor.near(other.head[0]) ? 1 : 0.4
    const ring = new Path2D()
    if (other.removed) { ring.moveTo(x - 5, y - 5); ring.lineTo(x + 5, y + 5); ring.moveTo(x + 5, y - 5); ring.lineTo(x - 5, y + 5) }
    else ring.arc(x, y, clamp(0.3 / this.editor.scene.voxel[2] * this.scale(2), 2.5, 7), 0, 2 * Math.PI)
    if (this.scale(2) > 1.5) this.stroke(c, ring, "rgba(0,0,0,.7)", 3.4)
    this.stroke(c, ring, other.id === this.editor.chosenCandidate ? COLOURS.pending : COLOURS.candidate, 1.5, other.removed ? [] : [3, 3])
    c.globalAlpha = 1
  }

  /** What was said of a spine when it was checked. */
  said(c, spine, answer) {
    this.label(c, answer === "yes" ? "✓" : "✗", this.toX(spine.head[this.across]) - 4, this.toY(spine.head[this.down]) + 4, 12, "#ffffff")
  }

  dot(c, place, radius, colour, alpha) {
    c.globalAlpha = alpha
    c.fillStyle = colour
    c.beginPath(); c.arc(this.toX(place[this.across]), this.toY(place[this.down]), radius, 0, 2 * Math.PI); c.fill()
    c.globalAlpha = 1
  }

  colourOf(spine) { return spine.bare ? COLOURS.bare : spine.hand || spine.edited ? COLOURS.hand : COLOURS.spine }

  /** A head of which only the position is known. */
  cross(c, spine, width) {
    const [a, b] = this.editor.slab(this.along), z = spine.head[this.along]
    if (this.plane !== "xy" && (z < a - 2 || z > b + 2)) return
    const x = this.toX(spine.head[this.across]), y = this.toY(spine.head[this.down]), path = new Path2D()
    path.moveTo(x - 5, y - 5); path.lineTo(x + 5, y + 5); path.moveTo(x + 5, y - 5); path.lineTo(x - 5, y + 5)
    c.globalAlpha = this.plane !== "xy" || this.editor.near(spine.head[0]) ? 1 : 0.4
    this.stroke(c, path, "rgba(0,0,0,.7)", width + 2.4)
    this.stroke(c, path, COLOURS.bare, width)
    c.globalAlpha = 1
  }

  plus(c, place, colour) {
    const x = this.toX(place[this.across]), y = this.toY(place[this.down]), path = new Path2D()
    path.moveTo(x - 4, y); path.lineTo(x + 4, y); path.moveTo(x, y - 4); path.lineTo(x, y + 4)
    this.stroke(c, path, colour, 2)
  }

  label(c, text, x, y, size, colour = COLOURS.ink) {
    c.font = `600 ${size}px ${getComputedStyle(this.canvas).fontFamily}`
    c.lineWidth = 3.5
    c.strokeStyle = "rgba(0,0,0,.8)"
    c.strokeText(text, x, y)
    c.fillStyle = colour
    c.fillText(text, x, y)
  }

  drawCross(c) {
    if (this.editor.scene.flat) return
    const x = this.toX(this.editor.cross[this.across]), y = this.toY(this.editor.cross[this.down]), path = new Path2D()
    const gap = this.plane === "xy" ? 14 : 0
    path.moveTo(x, 0); path.lineTo(x, y - gap); path.moveTo(x, y + gap); path.lineTo(x, this.height)
    path.moveTo(0, y); path.lineTo(x - gap, y); path.moveTo(x + gap, y); path.lineTo(this.width, y)
    c.globalAlpha = this.plane === "xy" ? 0.28 : 0.4
    this.stroke(c, path, "#ffffff", 1)
    c.globalAlpha = 1
  }

  drawPending(c) {
    const { tool, hover } = this.editor
    const points = tool.points ?? []
    c.globalAlpha = 1
    if (tool.trail?.length && this.plane === "xy") this.drawTrail(c, tool)
    if (hover && tool.tool.brush && this.plane === "xy") {
      const ring = new Path2D()
      ring.arc(this.toX(hover[2]), this.toY(hover[1]), this.editor.brush / 2 * this.editor.zoom, 0, 2 * Math.PI)
      this.stroke(c, ring, "rgba(0,0,0,.7)", 3.4)
      this.stroke(c, ring, COLOURS.pending, 1.5)
    }
    if (points.length > 1 || (points.length && hover && tool.line)) {
      const path = new Path2D()
      points.forEach((p, i) => path[i ? "lineTo" : "moveTo"](this.toX(p[this.across]), this.toY(p[this.down])))
      if (hover && tool.line) path.lineTo(this.toX(hover[this.across]), this.toY(hover[this.down]))
      this.stroke(c, path, COLOURS.pending, 1.6, [6, 4])
    }
    points.forEach((p) => this.dot(c, p, 4.5, COLOURS.pending, 1))
  }

  /** What the mouse has drawn so far: a closed line, or what the brush went over. */
  drawTrail(c, { tool, trail }) {
    const path = new Path2D()
    trail.forEach(([y, x], i) => path[i ? "lineTo" : "moveTo"](this.toX(x), this.toY(y)))
    if (!tool.brush) {
      path.closePath()
      this.stroke(c, path, COLOURS.pending, 2)
      return
    }
    path.lineTo(this.toX(trail.at(-1)[1]) + 0.01, this.toY(trail.at(-1)[0]))
    c.globalAlpha = 0.4
    this.stroke(c, path, tool.id === "erase" ? COLOURS.neck : COLOURS.hand, this.editor.brush * this.editor.zoom)
    c.globalAlpha = 1
  }

  /** Scale bar, and which picture this is. */
  drawFrame(c) {
    const { editor } = this, { scene } = editor
    const [a, b] = editor.slab(this.along), unit = scene.unit
    const name = this.plane.toUpperCase()
    const one = this.plane === "xy" ? (a === b ? `slice ${a + 1}` : `slices ${a + 1}–${b + 1}`) + ` of ${scene.shape[0]}` : ""
    const away = this.plane === "xy" && !editor.voxels.pictures.get("xy")?.found
    const text = scene.flat ? "" : away && editor.voxels.field ? "Whole depth: zoom in for single slices" : `${name} ${one}`
    if (text) this.label(c, text, 8, 18, 12)
    if (this.plane !== "xy") return
    const wanted = this.width / 6 / editor.zoom, power = 10 ** Math.floor(Math.log10(wanted))
    const length = [5, 2, 1].map((k) => k * power).find((v) => v <= wanted) ?? power
    const x = this.width - 14, y = this.height - 14
    c.fillStyle = "rgba(0,0,0,.6)"
    c.fillRect(x - length * editor.zoom - 1, y - 1, length * editor.zoom + 2, 6)
    c.fillStyle = "#ffffff"
    c.fillRect(x - length * editor.zoom, y, length * editor.zoom, 4)
    c.textAlign = "right"
    this.label(c, `${+length.toPrecision(3)} ${unit}`, x, y - 6, 12)
    c.textAlign = "left"
  }
}
