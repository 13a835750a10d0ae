// Search over every text.  Texts are made comparable once, block by block, while nothing else is
// to be done; a query is answered from what there is and again as more comes in.

// The words of a query: all must occur; quotes keep words together.
function termsOf(query) {
  const found = [];
  for (const [, quoted, word] of query.matchAll(/"([^"]*)"?|([^\s"]+)/g)) {
    const term = folded(quoted ?? word).trim();
    if (term) found.push(term);
  }
  return found;
}

function folded(text) {
  return text.toLowerCase().replace(/\s+/g, " ");
}

// A reference into a sample's texts, or the pieces that samples share, as text.
function resolver(sample, shared) {
  const one = (place) => (place >= 0 ? sample.texts[place] : shared[-1 - place]);
  return (ref) => (Array.isArray(ref) ? ref.map(one).join("") : one(ref));
}

class Search {
  constructor(rows, blocks) {
    this.rows = rows;
    this.blocks = blocks;
    this.texts = new Array(rows.length);
    this.ready = 0;
  }

  get complete() { return this.ready === this.rows.length; }

  // Per row 1 where every term occurs, among the texts that are ready.
  hits(query) {
    const terms = termsOf(query);
    if (!terms.length) return null;
    const hits = new Uint8Array(this.rows.length);
    for (let row = 0; row < this.ready; row++) {
      const text = this.texts[row];
      hits[row] = terms.every((term) => text.includes(term)) ? 1 : 0;
    }
    return hits;
  }

  // Reads all blocks in order; `progress` is told after each.
  async read(progress) {
    const shared = await this.blocks.read(1);
    let begun = performance.now();
    for (let block = 0; block < this.rows.sizes.length; block++) {
      // Unpacked for this alone: what a reader has open is kept elsewhere.
      const samples = await this.blocks.unpacked(block + 2);
      const first = this.rows.block.indexOf(block);
      for (let i = 0; i < samples.length; i++) {
        this.texts[first + i] = this.text(first + i, samples[i], shared);
        if (performance.now() - begun > 12) {
          await breath();
          begun = performance.now();
        }
      }
      this.ready = first + samples.length;
      progress();
    }
  }

  // Everything but the judges' prompts, which repeat the rest.
  text(row, sample, shared) {
    const text = resolver(sample, shared);
    const { rows } = this;
    const found = [rows.benchmarkOf(row).name, rows.taskOf(row).name, rows.id[row], rows.categoryOf(row)];
    const said = (messages) => messages.forEach(([, ref]) => found.push(text(ref)));
    sample.sent.forEach(said);
    const cited = (refs) => refs.forEach((ref) => ref !== null && found.push(text(ref)));
    cited(sample.reference);
    for (const model of sample.models) {
      if (model === null) continue;
      model.answers.flat().forEach((ref) => found.push(text(ref)));
      Object.values(model.sent).forEach(said);
      if (model.reference !== null) cited(model.reference);
      if (model.error !== null) found.push(text(model.error));
      for (const judgment of model.judgments) {
        judgment.exchanges.forEach(([, reply]) => found.push(text(reply)));
        if (judgment.error !== null) found.push(text(judgment.error));
      }
    }
    return found.map(folded).join("\u0001");
  }
}
