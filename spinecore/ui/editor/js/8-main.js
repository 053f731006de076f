// Mouse and pen on a picture, and the beginning of it all.

const listen = (editor, view) => {
  const { canvas } = view
  if (canvas.listening) return
  canvas.listening = true
  let from = null
  const at = (event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top] }
  const drawing = () => draws(editor.tool.tool) && editor.chosen != null && view.plane === "xy"

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button > 1) return
    const [x, y] = at(event)
    from = { x, y, moved: false, trail: drawing() && event.button === 0, centre: [...editor.centre], cross: [...editor.cross] }
    if (from.trail) { editor.tool.trail = [[view.fromY(y), view.fromX(x)]]; editor.later() }
    canvas.setPointerCapture(event.pointerId)
    document.activeElement?.blur?.()
    event.preventDefault()
  })
  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = at(event)
    if (drawing()) { editor.hover = editor.placeAt(view, x, y); editor.later() }
    if (!from) {
      if (editor.tool.line && editor.tool.points.length) { editor.hover = editor.placeAt(view, x, y); editor.later() }
      return
    }
    if (!from.moved && Math.hypot(x - from.x, y - from.y) < 4) return
    from.moved = true
    if (from.trail) { editor.tool.trail.push([view.fromY(y), view.fromX(x)]); editor.later(); return }
    editor.centre[view.across] = from.centre[view.across] - (x - from.x) / view.scale(view.across)
    editor.centre[view.down] = from.centre[view.down] - (y - from.y) / view.scale(view.down)
    editor.settle()
  })
  canvas.addEventListener("pointerup", (event) => {
    if (!from) return
    const [x, y] = at(event), { moved, trail } = from
    from = null
    if (trail) return endTrail(editor, moved)
    if (moved) return
    const now = performance.now(), twice = now - (canvas.clicked ?? -1e9) < 350 && Math.hypot(x - canvas.clickX, y - canvas.clickY) < 6
    Object.assign(canvas, { clicked: now, clickX: x, clickY: y })
    if (editor.tool.line && twice) { if (editor.tool.points.length > 1) finishTool(editor) }
    else useTool(editor, editor.placeAt(view, x, y), view)
    editor.later()
  })
  canvas.addEventListener("pointerleave", () => { editor.hover = null; editor.later() })
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault()
    if (event.shiftKey || event.altKey) editor.step(Math.sign(event.deltaY || event.deltaX))
    else editor.zoomBy(Math.exp(-clamp(event.deltaY, -120, 120) * 0.0018), view, ...at(event))
  }, { passive: false })
}

const endTrail = (editor, moved) => {
  const { tool, trail } = editor.tool, spine = editor.chosen, z = editor.slice
  const places = trail.map((p) => p.map((v) => Math.round(v * 100) / 100))
  editor.tool.drop()
  if (tool.brush) editor.act({ do: "paint", spine, z, stroke: places, width: editor.brush / editor.scene.voxel[2], erase: tool.id === "erase" })
  else if (moved && places.length > 4) editor.act({ do: "outline", spine, z, polygon: places })
  else editor.say("Drag round the spine with the button held.", true)
}

export default function ({ data, parentElement, setTriggerValue }) {
  const host = parentElement.querySelector(".sce")
  host.editor ??= new Editor(host)
  host.editor.send = (what) => setTriggerValue("events", what)
  host.editor.hear(data)
  return () => host.editor.close()
}
