// What the mouse does. Each tool says what it wants next; `needs` is the action that the program must offer.

const TOOLS = [
  { id: "select", key: "V", name: "Select", group: "", hint: ["Click a spine. Drag moves the picture, the wheel zooms, Shift + wheel goes through the slices."] },
  { id: "add", key: "A", name: "Add", group: "Spine", needs: "add", takes: ["place"], hint: ["Click the middle of a spine's head, or a dotted circle to accept that candidate."] },
  { id: "remove", key: "X", name: "Remove", group: "Spine", needs: "remove", takes: ["spine"], hint: ["Click a spine that is none."] },
  { id: "divide", key: "S", name: "Split", group: "Spine", needs: "divide", takes: ["place"], hint: ["Click the second head inside the outline of a spine that is really two."] },
  { id: "merge", key: "M", name: "Merge", group: "Spine", needs: "merge", takes: ["spine", "spine"], fromChosen: true, hint: ["Click the first of two spines that are one.", "Click the other part: both become the one chosen first."] },
  { id: "head", key: "H", name: "Head", group: "Spine", needs: "head", ofChosen: true, takes: ["place"], hint: ["Click where the middle of the head of this spine is."] },
  { id: "base", key: "B", name: "Base", group: "Spine", needs: "base", ofChosen: true, takes: ["place"], hint: ["Click where this spine leaves the shaft."] },
  { id: "tip", key: "T", name: "Tip", group: "Spine", needs: "tip", ofChosen: true, takes: ["place"], hint: ["Click the tip of this spine."] },
  { id: "outline", key: "O", name: "Outline", group: "Spine", needs: "outline", ofChosen: true, lassoes: true, hint: ["Drag round this spine: the line becomes its outline in the slice shown."] },
  { id: "paint", key: "D", name: "Paint", group: "Spine", needs: "paint", ofChosen: true, brush: true, hint: ["Drag over what belongs to this spine in the one slice shown (keys , and . change it). Keys [ and ] change the brush."] },
  { id: "erase", key: "W", name: "Erase", group: "Spine", needs: "paint", ofChosen: true, brush: true, hint: ["Drag over what does not belong to this spine in the one slice shown (keys , and . change it). Keys [ and ] change the brush."] },
  { id: "attach", key: "L", name: "Attach", group: "Spine", needs: "attach", ofChosen: true, takes: ["line"], hint: ["Click the dendrite that this spine belongs to."] },
  { id: "trace", key: "P", name: "Trace", group: "Dendrite", needs: "trace", line: true, hint: ["Click the beginning of a shaft that has no line.", "Click on along the shaft; Enter or a double click ends the line. It snaps to the shaft."] },
  { id: "extend", key: "E", name: "Extend", group: "Dendrite", needs: "extend", line: true, starts: "line", hint: ["Click the end of a line.", "Click on along the shaft; Enter or a double click ends."] },
  { id: "join", key: "J", name: "Join", group: "Dendrite", needs: "join", takes: ["line", "line"], hint: ["Click the end of a line.", "Click the line to join it to."] },
  { id: "cut", key: "C", name: "Cut", group: "Dendrite", needs: "cut", takes: ["line"], hint: ["Click a line where two dendrites were taken for one."] },
  { id: "delete_branch", key: "K", name: "Delete branch", group: "Dendrite", needs: "delete_branch", takes: ["line"], hint: ["Click a branch that is no dendrite."] },
  { id: "redraw", key: "R", name: "Redraw", group: "Dendrite", needs: "redraw", line: true, starts: "line", ends: "line", hint: ["Click the line where it begins to be wrong.", "Click on along the shaft and last on the line again; Enter or a double click ends."] },
  { id: "soma", key: "0", name: "Soma", group: "Dendrite", needs: "soma", takes: ["place"], hint: ["Click the middle of the cell body."] },
  { id: "tracing", key: "I", name: "From SWC", group: "Dendrite", needs: "tracing", opens: true, hint: ["Take the lines of your tracing in place of all that are there."] },
]

/** Whether a tool takes what the mouse draws with the button held. */
const draws = (tool) => Boolean(tool.lassoes || tool.brush)

class ToolInHand {
  constructor(tool) {
    this.tool = tool
    this.drop()
  }

  get line() { return Boolean(this.tool.line) }

  drop() {
    this.points = []
    this.spines = []
    this.trail = null
  }

  hint(editor) {
    const { tool } = this
    if (tool.ofChosen && editor.chosen == null) return "Click a spine first."
    const step = Math.min(this.points.length + this.spines.length, tool.hint.length - 1)
    return tool.hint[step].replace("this spine", `spine ${editor.chosen}`)
  }
}

/** What a click of the tool in hand does. `place` is [z, y, x]; `view` is where it was made. */
const useTool = (editor, place, view) => {
  const hand = editor.tool, { tool } = hand
  if (tool.id === "select" || tool.opens || draws(tool) || (tool.ofChosen && editor.chosen == null)) {
    editor.chooseAt(place, view)
    return
  }
  if (tool.line) {
    const snapped = !hand.points.length && tool.starts === "line" ? nearestLine(editor, place, view) : null
    if (!hand.points.length && tool.starts === "line" && !snapped) return editor.say("No line is near: click a line.", true)
    hand.points.push(snapped ? snapped.place : place)
    return
  }
  const want = tool.takes[hand.points.length + hand.spines.length]
  if (want === "spine") {
    const spine = editor.spineAt(place, view)
    if (!spine) return editor.say("No spine is there: click inside an outline.", true)
    hand.spines.push(spine.id)
  } else if (want === "line") {
    const found = nearestLine(editor, place, view)
    if (!found) return editor.say("No line is near: click a line.", true)
    hand.points.push(found.place)
    hand.dendrite = found.dendrite.id
  } else {
    const other = tool.id === "add" && editor.candidateAt(place, view)
    if (other) return editor.act({ do: "count", spine: other.id })
    hand.points.push(place)
  }
  if (hand.points.length + hand.spines.length === tool.takes.length) finishTool(editor)
}

/** Send what the tool has collected. */
const finishTool = (editor) => {
  const hand = editor.tool, { tool, points, spines } = hand, event = { do: tool.needs }
  if (tool.line) {
    if (points.length < 2) return editor.say("Click at least two places.", true)
    event.points = points
  } else if (tool.id === "join") event.points = points
  else if (tool.id === "merge") Object.assign(event, { spine: spines[0], other: spines[1] })
  else if (tool.id === "remove") event.spine = spines[0]
  else if (tool.id === "attach") Object.assign(event, { spine: editor.chosen, dendrite: hand.dendrite })
  else event.place = points[0]
  if (tool.ofChosen) event.spine = editor.chosen
  hand.drop()
  editor.act(event)
}

/** The nearest place on a dendrite's line within reach of the pointer; lines in the slab come first. */
const nearestLine = (editor, place, view, reach = 16) => {
  const x = view.toX(place[view.across]), y = view.toY(place[view.down])
  let best = null
  for (const dendrite of editor.scene.dendrites)
    for (const { points: p } of dendrite.lines)
      for (let i = 0; i + 5 < p.length; i += 3) {
        const [gap, t] = toPiece(x, y, view.toX(p[i + view.across]), view.toY(p[i + view.down]), view.toX(p[i + 3 + view.across]), view.toY(p[i + 3 + view.down]))
        const at = [0, 1, 2].map((a) => p[i + a] + t * (p[i + 3 + a] - p[i + a]))
        const cost = gap + (editor.near(at[0]) ? 0 : 8)
        if (gap <= reach && (!best || cost < best.cost)) best = { cost, place: at, dendrite }
      }
  return best
}

/** Keys of the page; returns true where one was used. */
const useKey = (editor, event) => {
  const key = event.key.length === 1 ? event.key.toUpperCase() : event.key
  if (event.ctrlKey || event.metaKey) {
    if (key === "Z" && event.shiftKey) editor.redo()
    else if (key === "Z") editor.undo()
    else if (key === "Y") editor.redo()
    else return false
    return true
  }
  if (event.altKey) return false
  if (editor.checking.key(key)) return true
  if (key === "Escape") editor.escape()
  else if (key === "Enter" && editor.tool.line && editor.tool.points.length) finishTool(editor)
  else if (key === "Delete" || key === "Backspace") {
    if (editor.chosen == null) return false
    editor.act({ do: "remove", spine: editor.chosen })
  } else if (key === "U") editor.undo()
  else if (key === "G" && editor.can("branched")) editor.toggleBranched()
  else if (key === "," || key === "PageUp") editor.step(-1)
  else if (key === "." || key === "PageDown") editor.step(1)
  else if (key === "+" || key === "=") editor.zoomBy(1.25)
  else if (key === "-") editor.zoomBy(0.8)
  else if (key === "[" || key === "]") editor.setBrush(editor.brush * (key === "]" ? 1.25 : 0.8))
  else if (key === "F") editor.fitAll()
  else if (key === "Q") editor.toggleOverlay()
  else if (key === "ArrowRight" || key === "ArrowLeft") editor.next(key === "ArrowRight" ? 1 : -1)
  else if (/^[1-9]$/.test(key) && (editor.chosen ?? editor.chosenCandidate) != null && editor.classes[key - 1]) editor.setClass(editor.classes[key - 1])
  else {
    const tool = TOOLS.find((t) => t.key === key && editor.offers(t))
    if (!tool) return false
    editor.take(tool)
  }
  return true
}
