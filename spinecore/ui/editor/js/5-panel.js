// Buttons, hints and measures round the pictures.

const make = (tag, kind = "", text = "") => {
  const element = document.createElement(tag)
  if (kind) element.className = kind
  if (text) element.textContent = text
  return element
}

const button = (text, act, kind = "") => {
  const element = make("button", `sce-button ${kind}`, text)
  element.type = "button"
  element.onclick = (event) => { act(); event.currentTarget?.blur() }
  return element
}

class Panel {
  constructor(editor, host) {
    this.editor = editor
    host.replaceChildren()
    this.bar = make("div", "sce-bar")
    this.hint = make("div", "sce-hint")
    this.hint.setAttribute("role", "status")
    this.stage = make("div", "sce-stage")
    this.side = make("div", "sce-side")
    this.foot = make("div", "sce-foot")
    const body = make("div", "sce-body"), left = make("div", "sce-left")
    left.append(this.stage, this.foot)
    body.append(left, this.side)
    host.append(this.bar, this.hint, body)
    this.makeFoot()
    this.makeSide()
  }

  makeBar() {
    const groups = new Map()
    this.buttons = new Map()
    for (const tool of TOOLS.filter((t) => this.editor.offers(t))) {
      if (!groups.has(tool.group)) {
        const group = make("div", "sce-group")
        if (tool.group) group.append(make("span", "sce-name", tool.group))
        groups.set(tool.group, group)
      }
      const one = button(tool.name, () => this.editor.take(tool))
      one.title = `${tool.hint[0]} Key: ${tool.key}`
      one.append(make("kbd", "", tool.key))
      groups.get(tool.group).append(one)
      this.buttons.set(tool.id, one)
    }
    this.bar.replaceChildren(...groups.values())
  }

  makeFoot() {
    const { editor } = this
    const range = (label, min, max, step, act) => {
      const row = make("label", "sce-range"), input = make("input"), value = make("output")
      Object.assign(input, { type: "range", min, max, step })
      input.setAttribute("aria-label", label)
      input.oninput = () => { act(+input.value); editor.later() }
      row.append(make("span", "", label), input, value)
      return { row, input, value }
    }
    this.slice = range("Slice", 1, 1, 1, (v) => editor.goToSlice(v - 1))
    this.thickness = range("Slab", 1, 15, 2, (v) => { editor.thickness = v; editor.settle() })
    this.brush = range("Brush", 0.05, 2, 0.05, (v) => editor.setBrush(v))
    this.low = range("Black", 0, 1, 0.001, (v) => editor.setLevel("low", v))
    this.high = range("White", 0, 1, 0.001, (v) => editor.setLevel("high", v))
    this.auto = button("Auto contrast", () => editor.autoContrast(true))
    this.auto.title = "Contrast by the region in view"
    this.over = button("Outlines", () => editor.toggleOverlay())
    this.over.title = "Show or hide all that is drawn over the picture. Key: Q"
    this.others = button("Candidates", () => editor.toggleCandidates())
    this.others.title = "Show or hide the candidates that do not count"
    this.all = button("Whole field", () => editor.fitAll())
    this.all.title = "Key: F"
    this.foot.append(this.slice.row, this.thickness.row, this.brush.row, this.low.row, this.high.row, this.auto, this.over, this.others, this.all)
  }

  makeSide() {
    const { editor } = this
    this.undo = button("Undo", () => editor.undo(), "sce-wide")
    this.redo = button("Redo", () => editor.redo(), "sce-wide")
    this.undo.title = "Ctrl + Z"
    this.redo.title = "Ctrl + Shift + Z"
    const history = make("div", "sce-history")
    history.append(this.undo, this.redo)
    this.ask = make("div", "sce-ask")
    this.saved = make("div", "sce-saved")
    this.message = make("div", "sce-message")
    this.message.setAttribute("role", "status")
    this.card = make("div", "sce-card")
    this.owner = make("div", "sce-card")
    this.check = make("div", "sce-card sce-check")
    this.key = make("div", "sce-key")
    this.side.append(history, this.ask, this.message, this.check, this.card, this.owner, this.key, this.saved)
  }

  /** Bring everything that shows the state up to date. */
  show() {
    const { editor } = this, { scene } = editor
    for (const [id, one] of this.buttons ?? []) {
      one.classList.toggle("sce-on", editor.tool.tool.id === id)
      one.setAttribute("aria-pressed", editor.tool.tool.id === id)
    }
    this.hint.textContent = editor.tool.hint(editor)
    this.showFoot(scene)
    this.showHistory()
    this.message.textContent = editor.message.text
    this.message.classList.toggle("sce-bad", Boolean(editor.message.bad))
    this.saved.textContent = editor.saving ? "Saving …" : "All changes are saved."
    this.showSpine(scene)
    this.showDendrite(scene)
    this.showKey(scene)
    editor.checking.show(this.check)
  }

  showFoot(scene) {
    const { editor } = this, set = (part, value, text) => {
      if (document.activeElement !== part.input || +part.input.value !== value) part.input.value = value
      part.value.textContent = text
    }
    const brush = Boolean(editor.tool.tool.brush)
    this.slice.row.hidden = scene.flat
    this.thickness.row.hidden = scene.flat || brush
    this.brush.row.hidden = !brush
    if (scene.unit === "px") Object.assign(this.brush.input, { min: 1, max: 20, step: 0.5 })
    set(this.brush, editor.brush, `${+editor.brush.toPrecision(2)} ${scene.unit}`)
    this.slice.input.max = scene.shape[0]
    set(this.slice, editor.slice + 1, `${editor.slice + 1}/${scene.shape[0]}`)
    this.thickness.input.max = Math.max(3, Math.min(31, scene.shape[0] | 1))
    set(this.thickness, editor.thickness, editor.thickness === 1 ? "1 slice" : `${editor.thickness} slices`)
    const { least, most } = editor.limits, { low, high } = editor.levels
    for (const [part, value] of [[this.low, low], [this.high, high]]) {
      Object.assign(part.input, { min: least, max: most, step: (most - least) / 500 || 1 })
      set(part, value, `${Math.round(value)}`)
    }
    this.auto.classList.toggle("sce-on", editor.auto)
    this.over.classList.toggle("sce-on", editor.overlay)
    this.others.classList.toggle("sce-on", editor.showCandidates)
  }

  /** Let the person choose an SWC file; what its numbers are is asked then. */
  openTracing() {
    const input = Object.assign(make("input"), { type: "file", accept: ".swc" })
    input.onchange = async () => {
      const [file] = input.files
      if (!file) return
      this.editor.tracing = { name: file.name, text: await file.text() }
      this.editor.later()
    }
    input.click()
  }

  askTracing() {
    const { editor } = this, { name, text } = editor.tracing
    const take = (units) => editor.act({ do: "tracing", name, text, units })
    this.ask.append(make("p", "", `All lines give way to those of ${name}, counted from the first voxel. Its positions are in`),
      button("Micrometres", () => take("um")), button("Pixels", () => take("pixels")),
      button("Cancel", () => { editor.tracing = null; editor.later() }))
  }

  showHistory() {
    const { editor } = this, { undo, redo, earlier } = editor.told
    this.undo.textContent = undo ? `Undo: ${undo}` : earlier ? "Undo an earlier change …" : "Undo"
    this.undo.disabled = !undo && !earlier
    this.redo.textContent = redo ? `Redo: ${redo}` : "Redo"
    this.redo.disabled = !redo
    this.ask.replaceChildren()
    this.ask.hidden = !editor.asking && !editor.tracing
    if (editor.tracing) return this.askTracing()
    if (!editor.asking) return
    this.ask.append(make("p", "", `“${earlier}” was done before this session. Take it back?`),
      button("Take it back", () => editor.undo(true)), button("Keep it", () => { editor.asking = false; editor.later() }))
  }

  showSpine(scene) {
    const { editor } = this, spine = scene.byId.get(editor.chosen), hidden = editor.checking.blind
    const other = !spine && editor.checking.on && scene.candidates.find((c) => c.id === editor.chosenCandidate)
    const one = spine ?? other
    this.card.replaceChildren()
    if (!one) {
      this.card.append(make("h4", "", `${scene.spines.length} ${scene.spines.length === 1 ? "spine" : "spines"}`))
      this.card.append(make("p", "sce-quiet", scene.spines.length || scene.candidates.length
        ? "Click one in the picture to see its measures." : "None was found. Take “Add” and click a spine’s head."))
      return
    }
    const title = make("h4", "", hidden ? "Its class" : spine ? `Spine ${one.id}` : `Candidate ${one.id}`)
    if (spine?.hand && !hidden) title.append(make("span", "sce-badge", spine.mark ? `your mark ${spine.mark}` : "added by hand"))
    else if (spine?.edited && !hidden) title.append(make("span", "sce-badge", "corrected"))
    this.card.append(title)
    if (one.score != null && !hidden) this.card.append(make("p", "sce-quiet", `Score ${one.score.toFixed(2)}`))
    this.card.append(this.classRow(one, hidden))
    if (hidden || !spine) return
    this.card.append(this.table(spine.values))
    if (spine.why) this.card.append(make("p", "sce-why", spine.why[0].toUpperCase() + spine.why.slice(1) + "."))
    if (editor.can("grow")) this.card.append(this.growRow(spine))
  }

  /** Its class; while names are hidden, only what this person said. */
  classRow(one, hidden) {
    const { editor } = this, row = make("div", "sce-classes"), now = hidden ? editor.named.get(one.id) : one.class
    editor.classes.forEach((name, k) => {
      const made = button(name[0].toUpperCase() + name.slice(1), () => editor.setClass(name), now === name ? "sce-on" : "")
      made.append(make("kbd", "", `${k + 1}`))
      if (editor.can("class")) row.append(made)
    })
    if (editor.can("branched")) {
      const made = button("Branched", () => editor.toggleBranched(), one.branched ? "sce-on" : "")
      made.append(make("kbd", "", "G"))
      row.append(made)
    }
    return row
  }

  /** A slider that draws the outline tighter or wider. */
  growRow(spine) {
    const row = make("label", "sce-range"), input = make("input")
    Object.assign(input, { type: "range", min: 0.2, max: 0.8, step: 0.05, value: 1 - (this.editor.grown.get(spine.id) ?? 0.5) })
    input.setAttribute("aria-label", "Outline wider or tighter")
    input.onchange = () => {
      const level = 1 - +input.value
      this.editor.grown.set(spine.id, level)
      this.editor.act({ do: "grow", spine: spine.id, level })
      input.blur()
    }
    row.append(make("span", "", "Outline tighter – wider"), input)
    return row
  }

  showDendrite(scene) {
    const { editor } = this, spine = scene.byId.get(editor.chosen)
    const dendrite = scene.dendrites.find((d) => d.id === (spine ? spine.dendrite : editor.chosenDendrite))
    this.owner.replaceChildren()
    this.owner.hidden = !dendrite || editor.checking.blind
    if (this.owner.hidden) return
    this.owner.append(make("h4", "", `Dendrite ${dendrite.id}`), this.table(dendrite.values))
    if (editor.can("delete_dendrite"))
      this.owner.append(button("Delete this dendrite", () => editor.act({ do: "delete_dendrite", dendrite: dendrite.id })))
  }

  table(values) {
    const table = make("table")
    for (const [name, text] of values) {
      const row = make("tr")
      row.append(make("th", "", name), make("td", "", text))
      table.append(row)
    }
    return table
  }

  showKey(scene) {
    const parts = [["spine", "found"], ["hand", "made or changed by hand"], ["dendrite", "dendrite"], ["path", "measured path"], ["neck", "neck"]]
    if (scene.spines.some((s) => s.bare)) parts.push(["bare", "position only"])
    if (scene.candidates.length) parts.push(["candidate", "not counted"])
    if (this.key.textContent === parts.map(([, text]) => text).join("")) return
    this.key.replaceChildren(...parts.map(([name, text]) => {
      const one = make("span", "", text)
      one.style.setProperty("--colour", COLOURS[name])
      return one
    }))
  }
}
