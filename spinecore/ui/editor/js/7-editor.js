// The editor of one analysis in one tab: what is seen, what is chosen, and what is sent and told.

/** Share of the brightest slice's brightness that another one has to reach to be taken in its place. */
const NEARLY = 0.9

class Editor {
  constructor(host) {
    this.host = host
    this.client = Math.random().toString(36).slice(2)
    this.session = read(sessionStorage, "spinecore-session") ?? Math.random().toString(36).slice(2, 10)
    write(sessionStorage, "spinecore-session", this.session)
    this.number = 0
    this.outbox = []
    this.sentAt = 0
    this.told = {}
    this.message = { text: "" }
    // levels of outlines, classes said by hand, and what was chosen at each change: who has gone on since is not led back
    Object.assign(this, { grown: new Map(), named: new Map(), choseThen: new Map() })
    this.classes = []
    this.checking = new Checking(this)
    this.tool = new ToolInHand(TOOLS[0])
    this.views = ["xy", "yz", "xz"].map((plane) => new View(this, plane))
    this.onKey = (event) => {
      const at = event.target, text = at.closest?.("input, textarea, select, [contenteditable=true]")
      if (!host.isConnected || (text && (text.type !== "range" || event.key.startsWith("Arrow")))) return
      if (document.querySelector('[role="dialog"]')) return
      if (useKey(this, event)) { event.preventDefault(); event.stopImmediatePropagation(); this.later() }
    }
    window.addEventListener("keydown", this.onKey, true)
    this.resized = new ResizeObserver(() => this.settle())
    this.resized.observe(host)
    this.onWindow = () => { this.fitWindow(); this.settle() }
    window.addEventListener("resize", this.onWindow)
    this.onLeave = (event) => { if (this.saving && host.isConnected) event.preventDefault() }
    window.addEventListener("beforeunload", this.onLeave)
    this.onAway = (event) => this.waitToLeave(event)
    window.addEventListener("click", this.onAway, true)
    this.clock = setInterval(() => this.flush(), 1000)
  }

  close() {
    keepUnsent(this)
    window.removeEventListener("keydown", this.onKey, true)
    window.removeEventListener("resize", this.onWindow)
    window.removeEventListener("beforeunload", this.onLeave)
    window.removeEventListener("click", this.onAway, true)
    this.resized.disconnect()
    clearInterval(this.clock)
  }

  /** A click that leads away waits until all is saved, but no longer than some seconds. */
  waitToLeave(event) {
    const way = event.target.closest?.("a[href], [role=option]")
    if (!way || !this.saving || !this.host.isConnected || this.host.contains(way)) return
    const now = performance.now()
    if (this.way && now - this.waits > 8000) return
    if (!this.way) this.waits = now
    event.preventDefault()
    event.stopImmediatePropagation()
    this.way = way
    this.say("Saving before the page is left …")
  }

  leave() {
    const way = this.way
    if (!way || this.saving) return
    this.way = null
    if (way.isConnected) way.click()
  }

  // --- what is told and sent ---------------------------------------------------------------------

  hear(data) {
    const fresh = this.analysis !== data.analysis
    if (data.client === this.client) {
      this.outbox = this.outbox.filter((event) => event.n > data.done)
      if (!this.outbox.some((event) => event.n <= this.sentTo)) this.sentAt = 0
    }
    this.told = data
    this.classes = data.classes
    if (fresh) this.begin(data)
    else if (this.sceneText !== data.scene) this.readScene(data.scene)
    this.path = data.path === "null" ? null : { spine: data.chosen, points: JSON.parse(data.path) }
    for (const message of data.messages) this.heard(message)
    this.checking.hear(data.check)
    if (fresh) takeUnsent(this)
    this.saving = this.outbox.some((event) => !["blocks", "choose", "checking"].includes(event.do))
    if (Object.keys(data.blocks).length) this.voxels.add(data.blocks, () => { this.autoContrast(); this.later() })
    if (fresh) { this.onWindow(); if (!this.restored) this.views[0].fill() }
    this.flush()
    this.leave()
    this.later()
    this.host.dataset.done = data.client === this.client ? data.done : 0
  }

  heard(message) {
    if (message.n <= (this.heardTo ?? 0) || this.told.client !== this.client) return
    this.heardTo = message.n
    this.say(message.text, message.bad)
    if (!message.bad && message.goto && this.choseThen.get(message.n) === this.chosen) this.choose(message.spine, false)
  }

  begin(data) {
    this.analysis = data.analysis
    this.readScene(data.scene)
    const { shape, voxel } = this.scene
    this.voxels = new Voxels(shape)
    this.panel = new Panel(this, this.host)
    this.panel.makeBar()
    this.panel.stage.append(...this.views.map((v) => v.canvas))
    this.panel.stage.classList.toggle("sce-flat", this.scene.flat)
    this.views.forEach((view) => listen(this, view))
    Object.assign(this, { chosen: null, chosenCandidate: null, chosenDendrite: null, overlay: true, showCandidates: true, auto: true, asking: false })
    this.levels = { low: 0, high: 1, gamma: 0.7 }
    this.limits = { least: 0, most: 1 }
    this.thickness = this.scene.flat ? 1 : Math.min(Math.max(3, 2 * Math.round(0.6 / voxel[0]) + 1), 15)
    this.brush = this.scene.unit === "px" ? 4 : 0.4
    this.centre = shape.map((n) => (n - 1) / 2)
    this.cross = [...this.centre].map(Math.round)
    this.zoom = null
    restoreView(this)
    const left = (this.restored = Boolean(this.zoom)) ? this.chosen : null
    this.chosen = this.scene.byId.has(data.chosen) ? data.chosen : this.chosen
    const first = this.scene.byId.get(this.chosen) ?? (this.zoom ? null : this.scene.spines[0])
    if (first && (!this.zoom || this.chosen !== left)) this.lookAt(first.head)
    this.zoom ??= 40 / Math.max(voxel[2] / 0.1, 0.5) * (this.scene.unit === "px" ? 0.2 : 1)
  }

  readScene(text) {
    this.sceneText = text
    const before = this.scene?.byId
    this.scene = JSON.parse(text)
    this.scene.byId = new Map(this.scene.spines.map((s) => [s.id, s]))
    for (const spine of this.scene.spines) {
      const old = before?.get(spine.id)
      if (old?.m === spine.m && `${old.o}` === `${spine.o}` && `${old.s}` === `${spine.s}`) Object.assign(spine, { bits: old.bits, kept: old.kept })
    }
    if (this.chosen != null && !this.scene.byId.has(this.chosen)) this.chosen = null
  }

  push(event) {
    event.n = ++this.number
    this.outbox.push(event)
    this.flush()
  }

  /** Send what was not answered yet: one message at a time, again after a while without an answer. */
  flush() {
    const now = performance.now()
    if (!this.outbox.length || !this.send || (this.sentAt && now - this.sentAt < 30000)) return
    this.sentAt = now
    this.sentTo = this.number
    this.send({ client: this.client, session: this.session, by: this.checking.by, events: this.outbox })
  }

  act(event) {
    this.saving = true
    this.asking = false
    this.tracing = null
    this.push(event)
    this.choseThen.set(event.n, this.chosen)
    this.later()
  }

  say(text, bad = false) {
    this.message = { text, bad }
    this.later()
  }

  // --- what is chosen ----------------------------------------------------------------------------

  can(action) { return this.told.can.includes(action) }
  offers(tool) { return !tool.needs || this.can(tool.needs) }

  take(tool) {
    if (tool.opens) return this.panel.openTracing()
    this.tool = new ToolInHand(tool)
    this.hover = null
    if (tool.fromChosen && this.chosen != null) this.tool.spines.push(this.chosen)
    this.message = { text: "" }
    this.later()
  }

  escape() {
    if (this.tool.points.length || this.tool.spines.length || this.tool.trail) this.tool.drop()
    else if (this.tool.tool.id !== "select") this.take(TOOLS[0])
    else this.choose(null)
  }

  choose(id, look = true) {
    this.chosenCandidate = null
    const spine = this.scene.byId.get(id)
    const other = id != null && !spine && this.scene.candidates.find((c) => c.id === id)
    if (other) this.chosenCandidate = id
    if (look && (spine || other)) this.lookAt((spine ?? other).head)
    if (spine ? this.chosen === id : this.chosen == null) return this.later()
    this.chosen = spine ? id : null
    this.path = null
    this.push({ do: "choose", spine: this.chosen })
    this.settle()
  }

  chooseAt(place, view) {
    const spine = this.spineAt(place, view), other = spine ? null : this.candidateAt(place, view)
    this.cross = place.map((v, a) => clamp(Math.round(v), 0, this.scene.shape[a] - 1))
    this.chosenDendrite = spine ? null : nearestLine(this, place, view)?.dendrite.id ?? null
    if (spine && !this.near(spine.head[0])) this.goToSlice(spine.head[0])
    this.choose(spine?.id ?? other?.id ?? null, false)
    this.settle()
  }

  /** The spine at a place: inside its outline in the slab, else the nearest head. */
  spineAt(place, view) {
    const { grid } = this.scene, g = place.map((v, a) => Math.round((v - grid.offset[a]) / grid.step[a]))
    let best = null
    for (const spine of this.scene.spines) {
      const seen = view.seenOutline(spine)
      const r = seen && g[seen.down] - spine.o[seen.down], c = seen && g[seen.across] - spine.o[seen.across]
      const inside = seen && r >= 0 && c >= 0 && r < seen.rows && c < seen.columns && seen.flat[r * seen.columns + c]
      const away = Math.hypot(view.toX(spine.head[view.across]) - view.toX(place[view.across]), view.toY(spine.head[view.down]) - view.toY(place[view.down]))
      const cost = inside ? away / 1e3 : away < 10 && view.plane === "xy" ? away + (seen ? 0 : 10) : Infinity
      if (cost < (best?.cost ?? Infinity)) best = { cost, spine }
    }
    return best?.spine ?? null
  }

  candidateAt(place, view) {
    if (!this.showCandidates || view.plane !== "xy") return null
    const away = (c) => Math.hypot(view.toX(c.head[2]) - view.toX(place[2]), view.toY(c.head[1]) - view.toY(place[1]))
    const found = this.scene.candidates.filter((c) => away(c) < 10).sort((a, b) => away(a) - away(b))
    return found[0] ?? null
  }

  next(step) {
    const ids = this.scene.spines.map((s) => s.id)
    if (!ids.length) return
    const at = ids.indexOf(this.chosen)
    this.choose(ids[at < 0 ? 0 : (at + step + ids.length) % ids.length])
  }

  /** A candidate that is asked about and gets a class is a spine. */
  setClass(name) {
    const other = this.chosen == null && this.checking.on ? this.chosenCandidate : null, spine = this.chosen ?? other
    if (spine == null || !this.can("class")) return
    if (other != null) this.act({ do: "check", spine, answer: "yes" })
    this.named.set(spine, name)
    this.act({ do: "class", spine, class: name })
  }

  toggleBranched() {
    const spine = this.scene.byId.get(this.chosen)
    if (spine) this.act({ do: "branched", spine: spine.id, on: !spine.branched })
  }

  undo(anyones = false) {
    if (this.told.undo || (anyones && this.told.earlier)) this.act({ do: "undo", anyones })
    else if (this.told.earlier) { this.asking = true; this.later() }
    else this.say("There is nothing to undo.")
  }

  redo() {
    if (this.told.redo) this.act({ do: "redo" })
    else this.say("There is nothing to redo.")
  }

  // --- what is seen ------------------------------------------------------------------------------

  get slice() { return Math.round(this.cross[0]) }

  /** First and last voxel that are shown together, along an axis. */
  slab(axis) {
    const half = axis === 0 ? ((this.tool.tool.brush ? 1 : this.thickness) - 1) / 2 : 1, middle = Math.round(this.cross[axis]), most = this.scene.shape[axis] - 1
    return [clamp(middle - half, 0, most), clamp(middle + half, 0, most)]
  }

  slabOnGrid(axis) {
    const { grid } = this.scene
    return this.slab(axis).map((v) => Math.round((v - grid.offset[axis]) / grid.step[axis]))
  }

  near(z) {
    const [a, b] = this.slab(0)
    return z >= a - 1 && z <= b + 1
  }

  lookAt(place) {
    this.cross = place.map((v, a) => clamp(Math.round(v), 0, this.scene.shape[a] - 1))
    this.centre = [...place]
    this.settle()
  }

  goToSlice(z) {
    this.cross[0] = clamp(Math.round(z), 0, this.scene.shape[0] - 1)
    this.centre[0] = this.cross[0]
    this.settle()
  }

  step(by) { this.goToSlice(this.slice + by) }

  zoomBy(factor, view = null, x = 0, y = 0) {
    const before = view && [view.fromX(x), view.fromY(y)], { voxel, shape } = this.scene
    const least = 200 / Math.max(shape[1] * voxel[1], shape[2] * voxel[2], 1e-6), most = 64 / Math.min(voxel[1], voxel[2])
    this.zoom = clamp(this.zoom * factor, Math.min(least, most), most)
    if (view) {
      this.centre[view.across] += before[0] - view.fromX(x)
      this.centre[view.down] += before[1] - view.fromY(y)
    }
    this.settle()
  }

  fitAll() {
    const { shape, voxel } = this.scene, view = this.views[0]
    if (!view.fit()) return
    this.zoom = 0.96 * Math.min(view.width / (shape[2] * voxel[2]), view.height / (shape[1] * voxel[1]))
    this.centre = [this.centre[0], (shape[1] - 1) / 2, (shape[2] - 1) / 2]
    this.settle()
  }

  /** How wide the brush is, in um (pixels where their size is not known). */
  setBrush(width) {
    this.brush = clamp(width, this.scene.voxel[2], this.scene.unit === "px" ? 30 : 3)
    this.later()
  }

  toggleCandidates() { this.showCandidates = !this.showCandidates; this.later() }
  toggleOverlay() { this.overlay = !this.overlay; this.later() }

  setLevel(which, value) {
    this.auto = false
    this.levels = { ...this.levels, [which]: value }
    if (this.levels.low >= this.levels.high) this.levels[which === "low" ? "high" : "low"] = value
    keepView(this)
  }

  /** Contrast by what is in view; a correction does not change it. */
  autoContrast(wanted = false) {
    if (wanted) this.auto = true
    if (!this.auto || !this.views[0].fit()) return
    const values = this.voxels.sample(...this.views[0].extent()).sort((a, b) => a - b)
    if (values.length < 50) return
    const at = (share) => values[Math.floor(share * (values.length - 1))]
    const low = at(0.02), high = Math.max(at(0.995), low + 1e-6)
    this.levels = { ...this.levels, low, high }
    const blocks = [...this.voxels.blocks.values()]
    this.limits = { least: Math.min(...blocks.map((b) => b.low)), most: Math.max(...blocks.map((b) => b.high)) }
    this.later()
  }

  /** The depth of a place of the slab: of the slices that are nearly as bright there as the brightest, the one nearest to that shown. */
  depthAt(y, x) {
    const [a, b] = this.slab(0), row = Math.round(y), column = Math.round(x)
    const heights = []
    for (let z = a; z <= b; z++) {
      let sum = 0
      for (let r = -1; r <= 1; r++) for (let c = -1; c <= 1; c++) sum += this.voxels.value(z, row + r, column + c) || 0
      heights.push([z, sum])
    }
    const enough = NEARLY * Math.max(...heights.map(([, sum]) => sum)), away = ([z]) => Math.abs(z - this.slice)
    return heights.filter(([, sum]) => sum >= enough).reduce((x, y) => (away(y) < away(x) ? y : x))[0]
  }

  placeAt(view, x, y) {
    const place = [...this.cross]
    place[view.across] = view.fromX(x)
    place[view.down] = view.fromY(y)
    if (view.plane === "xy") place[0] = this.depthAt(place[1], place[2])
    return place.map((v) => Math.round(v * 100) / 100)
  }

  /** As high as the window leaves room for. */
  fitWindow() {
    const top = this.host.getBoundingClientRect().top + (document.querySelector('[data-testid="stMain"]')?.scrollTop ?? 0)
    this.host.style.height = window.innerWidth > 900 ? `${Math.max(500, window.innerHeight - top - 12)}px` : ""
  }

  /** After the view changed: draw now, and when it rests ask for voxels and set the contrast. */
  settle() {
    this.later()
    clearTimeout(this.resting)
    this.resting = setTimeout(() => {
      if (!this.scene || !this.host.isConnected || !this.views[0].fit()) return
      const keys = new Set()
      for (const view of this.views) if (view.plane === "xy" || (!this.scene.flat && view.fit())) this.voxels.missing(...view.extent()).forEach((k) => keys.add(k))
      if (!this.voxels.field && !this.voxels.wait("field", performance.now())) keys.add("field")
      if (keys.size) this.push({ do: "blocks", keys: [...keys].slice(0, MOST_BLOCKS + 1) })
      this.autoContrast()
      keepView(this)
    }, 120)
  }

  later() {
    if (this.waiting || !this.scene) return
    this.waiting = requestAnimationFrame(() => {
      this.waiting = 0
      if (!this.host.isConnected) return
      this.views.forEach((view) => view.draw())
      this.panel.show()
    })
  }
}
