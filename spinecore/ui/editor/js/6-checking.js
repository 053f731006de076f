// Going through the spines one by one. The order and what was said come from the program.

class Checking {
  constructor(editor) {
    this.editor = editor
    this.on = false
    this.blind = false
  }

  key() { return false }

  show(card) { card.hidden = true }
}
