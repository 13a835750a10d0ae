// Words that only one of two texts has, by the shortest edit script (E. Myers, 1986).

const MOST_EDITS = 2500;

// Words with the blanks before them, and single marks.
function words(text) {
  return text.match(/\s*(?:[\p{L}\p{N}_]+|[^\s])|\s+$/gu) ?? [];
}

// Both texts as runs [text, is only here]; null where they differ too much to say word by word.
function wordDiff(first, second) {
  const a = words(first), b = words(second);
  const bare = (tokens) => tokens.map((token) => token.trim());
  const edits = shortestEdits(bare(a), bare(b));
  return edits === null ? null : [runs(a, edits.removed), runs(b, edits.added)];
}

function runs(tokens, only) {
  const found = [];
  tokens.forEach((token, i) => {
    const last = found.at(-1);
    if (last !== undefined && last[1] === only[i]) last[0] += token;
    else found.push([token, only[i]]);
  });
  return found;
}

// For each token of a whether it is removed, for each of b whether it is added.
function shortestEdits(a, b) {
  const removed = new Array(a.length).fill(false);
  const added = new Array(b.length).fill(false);
  let begin = 0;
  while (begin < a.length && begin < b.length && a[begin] === b[begin]) begin++;
  let endA = a.length, endB = b.length;
  while (endA > begin && endB > begin && a[endA - 1] === b[endB - 1]) { endA--; endB--; }
  const script = editScript(a.slice(begin, endA), b.slice(begin, endB));
  if (script === null) return null;
  for (const [isAdded, place] of script) (isAdded ? added : removed)[begin + place] = true;
  return { removed, added };
}

function editScript(a, b) {
  const n = a.length, m = b.length;
  const most = Math.min(n + m, MOST_EDITS);
  const reached = new Int32Array(2 * most + 3);
  const offset = most + 1;
  const trace = [];
  for (let d = 0; d <= most; d++) {
    for (let k = -d; k <= d; k += 2) {
      const down = k === -d || (k !== d && reached[offset + k - 1] < reached[offset + k + 1]);
      let x = down ? reached[offset + k + 1] : reached[offset + k - 1] + 1;
      while (x < n && x - k < m && a[x] === b[x - k]) x++;
      reached[offset + k] = x;
      if (x >= n && x - k >= m) return traced(trace, n, m, d);
    }
    trace.push(reached.slice(offset - d - 1, offset + d + 2));
  }
  return null;
}

// The edits from the end back to the beginning: [is added, place in its text].
function traced(trace, n, m, edits) {
  const script = [];
  let x = n, y = m;
  for (let d = edits; d > 0; d--) {
    const reached = trace[d - 1];
    const at = (k) => reached[k + d];
    const k = x - y;
    const down = k === -d || (k !== d && at(k - 1) < at(k + 1));
    const from = down ? k + 1 : k - 1;
    const startX = at(from), startY = startX - from;
    script.push(down ? [true, startY] : [false, startX]);
    x = startX;
    y = startY;
  }
  return script;
}
