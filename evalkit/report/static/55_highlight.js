// Where a search's words stand in the open sample: painted over the text, which stays as it is.

const PAINT = "evalkit-found";

function highlight(place, terms) {
  if (typeof Highlight === "undefined") return;
  CSS.highlights.delete(PAINT);
  if (!terms.length) return;
  const found = new Highlight();
  const walker = document.createTreeWalker(place, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node !== null; node = walker.nextNode()) {
    const text = node.data.toLowerCase();
    // Few letters change their length with their case; ranges would then be off.
    if (text.length !== node.data.length) continue;
    for (const term of terms) {
      for (let at = text.indexOf(term); at >= 0; at = text.indexOf(term, at + term.length)) {
        const range = new Range();
        range.setStart(node, at);
        range.setEnd(node, at + term.length);
        found.add(range);
      }
    }
  }
  CSS.highlights.set(PAINT, found);
}
