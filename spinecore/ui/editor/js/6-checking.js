// Going through the spines one by one. The order and what was said come from the program.

const ORDERS = [["least sure", "Least sure first"], ["along dendrites", "Along each dendrite"], ["random", "In random order"]]

class Checking {
  constructor(editor) {
    this.editor = editor
    this.on = this.blind = false
    this.at = null
    this.how = ORDERS[0][0]
    this.by = read(localStorage, "spinecore-name") ?? ""
    this.blindWanted = false
  }

  /** What the program says of the check; null where it offers none. */
  hear(told) {
    const before = this.told
    this.told = told
    if (this.on && told?.order && !before?.order && (this.at == null || !told.order.includes(this.at))) this.go(this.firstOpen())
  }

  firstOpen(after = -1) {
    const { order, answers } = this.told ?? {}, open = (id) => !(id in answers) && !this.sent?.has(id)
    return order.find((id, k) => k > after && open(id)) ?? order.find(open) ?? null
  }

  start() {
    this.on = true
    this.blind = this.blindWanted
    this.sent = new Set()
    this.at = null
    this.editor.host.classList.toggle("sce-blind", this.blind)
    write(localStorage, "spinecore-name", this.by)
    this.editor.take(TOOLS[0])
    this.editor.act({ do: "checking", how: this.how })
  }

  stop() {
    this.on = this.blind = false
    this.editor.host.classList.remove("sce-blind")
    this.editor.act({ do: "checking", how: null })
  }

  go(id) {
    this.at = id
    if (id == null) return this.editor.later()
    this.editor.choose(id)
    const { voxel } = this.editor.scene
    if (this.editor.zoom * voxel[2] < 3) { this.editor.zoom = 5 / voxel[2]; this.editor.settle() }
  }

  say(answer) {
    if (this.at == null) return
    this.sent.add(this.at)
    this.editor.act({ do: "check", spine: this.at, answer })
    this.go(this.firstOpen(this.told.order.indexOf(this.at)))
  }

  step(by) {
    const { order } = this.told, k = order.indexOf(this.at)
    this.go(order[clamp((k < 0 ? 0 : k) + by, 0, order.length - 1)] ?? null)
  }

  key(key) {
    if (!this.on || !this.told?.order) return false
    if (key === "Y") this.say("yes")
    else if (key === "N") this.say("no")
    else if (key === "ArrowRight" || key === "ArrowLeft") this.step(key === "ArrowRight" ? 1 : -1)
    else if (key === "U") { this.sent.clear(); this.editor.undo() }
    else return false
    return true
  }

  show(card) {
    card.hidden = !this.editor.can("check")
    card.classList.toggle("sce-below", !this.on)
    const at = document.activeElement, typing = card.contains(at) && (at.tagName === "SELECT" || at.type === "text")
    if (card.hidden || (typing && !this.on)) return
    card.replaceChildren(make("h4", "", "Check one by one"))
    if (this.on) this.showLoop(card)
    else this.showStart(card)
  }

  showStart(card) {
    const how = make("select"), name = make("input"), blind = make("input"), row = make("label", "sce-range")
    how.setAttribute("aria-label", "Order")
    // "least sure" begins beside the threshold: the order would tell the scores that are to be hidden
    if (this.blindWanted && this.how === ORDERS[0][0]) this.how = ORDERS.at(-1)[0]
    how.append(...ORDERS.map(([value, text], k) =>
      Object.assign(make("option", "", text), { value, selected: value === this.how, disabled: this.blindWanted && k === 0 })))
    how.onchange = () => { this.how = how.value; how.blur() }
    Object.assign(name, { type: "text", value: this.by, placeholder: "Your name or initials", maxLength: 40 })
    name.setAttribute("aria-label", "Your name or initials")
    name.oninput = () => { this.by = name.value.trim() }
    Object.assign(blind, { type: "checkbox", checked: this.blindWanted })
    blind.onchange = () => { this.blindWanted = blind.checked; blind.blur(); this.editor.later() }
    row.append(blind, make("span", "", "Hide names, scores and outlines"))
    const start = button("Start checking", () => {
      document.activeElement?.blur()
      if (this.by) this.start()
      else this.editor.say("Give your name or initials first: they go with each answer.", true)
    })
    card.append(how, name, row, start, ...(this.told?.lines ?? []).map((line) => make("p", "sce-quiet", line)))
    for (const { spine, answers } of this.told?.differ ?? []) card.append(this.difference(spine, answers))
  }

  /** A candidate about which people differ, to be settled. */
  difference(spine, answers) {
    const row = make("div", "sce-classes")
    const settle = (answer) => this.editor.act({ do: "settle", spine, answer })
    row.append(button(`${spine}`, () => this.editor.choose(spine)), make("span", "sce-quiet", answers),
      button("Spine", () => settle("yes")), button("None", () => settle("no")))
    return row
  }

  showLoop(card) {
    if (!this.told?.order) { card.append(make("p", "sce-quiet", "Finding the order …")); return }
    const { editor } = this, said = this.told.answers[this.at]
    this.count = make("p", "sce-count")
    this.bar = make("progress")
    card.append(this.count, this.bar)
    this.showCount()
    if (this.at == null) card.append(make("p", "sce-done", "All are checked."))
    else {
      card.append(make("p", "", this.blind ? "Is there a spine in the ring?" : `Is ${this.at} a spine?`))
      const row = make("div", "sce-classes")
      const one = (text, key, act, kind = "") => { const made = button(text, act, kind); made.append(make("kbd", "", key)); row.append(made) }
      one("Yes", "Y", () => this.say("yes"), said === "yes" ? "sce-on" : "")
      one("No", "N", () => this.say("no"), said === "no" ? "sce-on" : "")
      one("Back", "←", () => this.step(-1))
      one("Next", "→", () => this.step(1))
      card.append(row, make("p", "sce-quiet", "1–4 class, S split, U undo; every tool works here too."))
    }
    card.append(button("Stop checking", () => this.stop()))
  }

  showCount() {
    if (!this.on || !this.told?.order || !this.count) return
    const { checked, total, minutes_left: minutes } = this.told
    const left = checked < total && minutes != null ? `, about ${Math.max(1, Math.ceil(minutes))} min left` : ""
    this.count.textContent = `${checked} of ${total} checked${left}`
    this.bar.max = total || 1
    this.bar.value = checked
  }
}
