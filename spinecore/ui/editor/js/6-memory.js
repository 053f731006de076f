// What a tab remembers of an analysis: the view, and what was not answered yet when it was left.

const read = (store, key) => { try { return store.getItem(key) } catch { return null } }
const write = (store, key, value) => { try { store.setItem(key, value) } catch { /* private window */ } }
const viewKey = (editor) => `spinecore-correct-${editor.analysis}`
const unsentKey = (editor) => `spinecore-unsent-${editor.analysis}`

/** What was not answered when the browser went back: it is sent when the page is opened again in this tab. */
const keepUnsent = (editor) => {
  const { client, number, outbox } = editor
  if (editor.saving) write(sessionStorage, unsentKey(editor), JSON.stringify({ client, number, outbox }))
}

const takeUnsent = (editor) => {
  const left = read(sessionStorage, unsentKey(editor))
  if (!left) return
  sessionStorage.removeItem(unsentKey(editor))
  Object.assign(editor, JSON.parse(left), { saving: true })
}

const keepView = (editor) => {
  const { centre, cross, zoom, thickness, auto, levels, chosen } = editor
  write(sessionStorage, viewKey(editor), JSON.stringify({ centre, cross, zoom, thickness, auto, levels, chosen }))
}

const restoreView = (editor) => {
  const kept = JSON.parse(read(sessionStorage, viewKey(editor)) ?? "null")
  if (!kept?.zoom) return
  Object.assign(editor, kept)
  if (!editor.scene.byId.has(editor.chosen)) editor.chosen = null
}
