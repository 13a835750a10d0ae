// The list of rows.  Only those in sight are in the document.

const MARKS = { w: "▲", l: "▼", t: "＝", n: "?" };
const WORDS = { w: "better", l: "worse", t: "tie", n: "no difference known" };

// An element with a class and children; text becomes text, never markup.
function make(tag, name, ...children) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.append(...children.filter((child) => child !== null && child !== ""));
  return element;
}

function named(name) {
  return make("bdi", "", name);
}

class List {
  // `open` is told of a row that is clicked, `move` of one the keys move to.
  constructor(box, rows, { open, move }) {
    this.box = box;
    this.sizer = box.querySelector(".b-sizer");
    this.rows = rows;
    this.found = [];
    this.at = -1;
    this.pair = 0;
    this.drawn = new Map();
    this.move = move;
    box.addEventListener("scroll", () => this.draw(), { passive: true });
    box.addEventListener("keydown", (event) => this.key(event));
    box.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option) open(this.found[Number(option.dataset.at)]);
    });
    new ResizeObserver(() => this.draw()).observe(box);
  }

  get height() {
    // In rem, as the style sheet has it, so that a reader's larger letters fit.
    return 3.75 * parseFloat(getComputedStyle(document.documentElement).fontSize);
  }

  // Another selection of rows; `row` stays chosen if it is among them.
  show(found, pair, row) {
    this.found = found;
    this.pair = pair;
    this.forget();
    this.sizer.style.height = `${found.length * this.height}px`;
    this.at = found.indexOf(row);
    if (this.at < 0) this.box.scrollTop = 0;
    else this.reveal();
    this.draw();
  }

  forget() {
    for (const element of this.drawn.values()) element.remove();
    this.drawn.clear();
  }

  // Chooses a row of the selection; false where it is not in it.
  choose(row) {
    this.at = this.found.indexOf(row);
    this.forget();
    if (this.at >= 0) this.reveal();
    this.draw();
    return this.at >= 0;
  }

  reveal() {
    const { box, height } = this;
    const top = this.at * height;
    if (top < box.scrollTop) box.scrollTop = top;
    else if (top + height > box.scrollTop + box.clientHeight) {
      box.scrollTop = top + height - box.clientHeight;
    }
  }

  draw() {
    const { box, height } = this;
    if (!box.clientHeight) return;
    const first = Math.max(0, Math.floor(box.scrollTop / height) - 4);
    const last = Math.min(this.found.length, Math.ceil((box.scrollTop + box.clientHeight) / height) + 4);
    const wanted = new Set();
    for (let at = first; at < last; at++) wanted.add(at);
    if (this.at >= 0) wanted.add(this.at);
    for (const [at, element] of this.drawn) {
      if (!wanted.has(at)) {
        element.remove();
        this.drawn.delete(at);
      }
    }
    for (const at of wanted) {
      if (this.drawn.has(at)) continue;
      const element = this.option(at);
      element.style.top = `${at * height}px`;
      this.drawn.set(at, element);
      this.sizer.append(element);
    }
    if (this.at >= 0) box.setAttribute("aria-activedescendant", `b-row-${this.at}`);
    else box.removeAttribute("aria-activedescendant");
  }

  option(at) {
    const row = this.found[at];
    const { rows } = this;
    const pair = rows.by_pair[this.pair];
    const verdict = pair ? pair.verdict[row] : "";
    const option = make("div", "b-row",
      make("span", "b-about", make("bdi", "", rows.about[row] || "(no question)")),
      pair ? this.difference(pair, row, verdict) : null,
      make("span", "b-facts", ...this.facts(row)));
    option.id = `b-row-${at}`;
    option.dataset.at = String(at);
    option.dataset.key = rows.key(row);
    option.setAttribute("role", "option");
    option.setAttribute("aria-selected", String(at === this.at));
    option.setAttribute("aria-posinset", String(at + 1));
    option.setAttribute("aria-setsize", String(this.found.length));
    return option;
  }

  difference(pair, row, verdict) {
    const shown = verdict === "n" ? "" : pair.shown.texts[pair.shown.at[row]];
    const mark = make("span", "mark", MARKS[verdict]);
    mark.setAttribute("aria-hidden", "true");
    const said = make("span", "b-said", ` ${WORDS[verdict]}`);
    return make("span", `b-difference b-${verdict}`, shown, shown ? " " : "", mark, said);
  }

  facts(row) {
    const { rows } = this;
    const where = [rows.taskOf(row).name, rows.id[row], rows.categoryOf(row)].filter(Boolean);
    const facts = [named(where.join(" "))];
    const ok = rows.statuses.indexOf("ok");
    const failed = new Set(rows.by_model.map((m) => m.status[row]).filter((s) => s >= 0 && s !== ok));
    for (const status of failed) facts.push(make("em", "", rows.statuses[status]));
    if (rows.by_model.some((m) => m.truncated[row] === "1")) facts.push(make("em", "", "cut"));
    if (rows.by_model.some((m) => m.orders[row] === "1")) facts.push(make("em", "", "orders disagree"));
    if (rows.by_model.some((m) => m.suspicious[row] === "1")) facts.push(make("em", "", "suspicious"));
    return facts.flatMap((fact, i) => (i ? [" · ", fact] : [fact]));
  }

  // Steps through the selection; returns whether there was a row to go to.
  step(by) {
    if (!this.found.length) return;
    const at = this.at < 0 ? 0 : Math.min(this.found.length - 1, Math.max(0, this.at + by));
    if (at !== this.at) this.move(this.found[at]);
  }

  key(event) {
    const page = Math.max(1, Math.floor(this.box.clientHeight / this.height) - 1);
    const steps = { Home: -Infinity, End: Infinity, PageUp: -page, PageDown: page };
    if (!Object.hasOwn(steps, event.key) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.step(steps[event.key]);
  }
}
