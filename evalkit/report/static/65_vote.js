// Blind voting: two answers, their names hidden.  Which pair comes when, and whose answer is shown
// first, is drawn from a seed that stands in the export.

const KEYS = { 1: "first", 2: "second", 3: "tie", 0: "skip", b: "back", ArrowLeft: "back", e: "export" };
const CHOSEN = { first: "Answer 1", second: "Answer 2", tie: "a tie", skip: "to skip it" };

// As `drawn` in core/votes.py.
function drawn(seed, place) {
  let hashed = 0x811c9dc5;
  for (const byte of new TextEncoder().encode([seed, ...place].join("\u0000"))) {
    hashed = Math.imul(hashed ^ byte, 0x01000193);
  }
  for (const [shift, factor] of [[16, 0x85ebca6b], [13, 0xc2b2ae35], [16, 1]]) {
    hashed = Math.imul(hashed ^ (hashed >>> shift), factor);
  }
  return hashed >>> 0;
}

// What a browser remembers between visits; nothing where it does not allow that.
class Memory {
  constructor(name) {
    this.name = name;
    this.keeps = true;
  }

  read() {
    try {
      const { seed, voter, votes } = JSON.parse(localStorage.getItem(this.name)) ?? {};
      const isText = (text) => typeof text === "string";
      if (!isText(seed) || !isText(voter)) return null;
      const known = (vote) => Object.hasOwn(CHOSEN, vote?.[0]) && isText(vote[1]);
      return { seed, voter, votes: new Map(votes.filter(([place, vote]) => isText(place) && known(vote))) };
    } catch (error) {
      return null;
    }
  }

  write({ seed, voter, votes }) {
    try {
      localStorage.setItem(this.name, JSON.stringify({ seed, voter, votes: [...votes] }));
    } catch (error) {
      this.keeps = false;
    }
  }
}

class Voting {
  constructor(root, app) {
    this.root = root;
    this.app = app;
    this.find = (name) => root.querySelector(name);
    this.answers = this.find(".v-answers");
    this.contest = this.find("[name=contest]");
    this.voter = this.find("[name=voter]");
    this.buttons = [...root.querySelectorAll(".v-choices button")];
  }

  get rows() { return this.app.rows; }

  async open() {
    this.app.cover(this.root);
    try {
      await this.app.load();
      if (!this.memory) this.begin();
      await this.show();
    } catch (error) {
      this.say(error instanceof Unreadable ? error.message : `This did not work: ${error.message}`);
    }
  }

  begin() {
    const { run_id, contests } = this.rows;
    this.memory = new Memory(`evalkit votes ${run_id}`);
    const random = () => crypto.getRandomValues(new Uint32Array(2)).join("-");
    this.state = this.memory.read() ?? { seed: random(), voter: "", votes: new Map() };
    this.voter.value = this.state.voter;
    this.contest.replaceChildren(...contests.map(({ place: [, task, part], shown }, i) => {
      const where = [task, part.replaceAll("_", " ")].filter(Boolean).join(", ");
      return new Option(`${shown.join(" and ")} (${where})`, String(i));
    }));
    this.choose();
  }

  // The pairs of one contest in the order drawn; the first one without a vote comes next.
  choose() {
    const contest = this.rows.contests[Number(this.contest.value)];
    const pairs = (contest?.rows ?? []).map((row, i) => {
      const [benchmark, task, part, ...names] = contest.place;
      const sample = contest.ids[row] ?? this.rows.id[row];
      const place = [benchmark, task, sample, part, ...names];
      const number = drawn(this.state.seed, place);
      const order = number % 2 ? [1, 0] : [0, 1];
      return { row, place, number, order, key: JSON.stringify(place), verdict: contest.verdicts[i] };
    });
    this.pairs = pairs.sort((a, b) => a.number - b.number || a.row - b.row);
    this.turns = Number(contest?.place[2].split("_")[1]) || Infinity;
    this.models = contest?.models;
    const next = this.pairs.findIndex(({ key }) => !this.state.votes.has(key));
    this.at = next < 0 ? this.pairs.length : next;
  }

  async show() {
    const { at, app: { blocks } } = this;
    const pair = this.pairs[at];
    this.shown = null;
    for (const button of this.buttons) button.disabled = button.name === "back" ? at === 0 : !pair;
    this.say();
    if (pair === undefined) {
      const done = this.pairs.length
        ? "That was the last pair. Export your votes; “evalkit import votes FILE RUN” reads them."
        : "This run has no judged answers to vote on.";
      this.answers.replaceChildren(make("p", "b-empty", done));
      this.answers.focus({ preventScroll: true });
      return;
    }
    const [shared, samples] = await Promise.all([
      blocks.read(1),
      blocks.read(this.rows.block[pair.row] + 2),
    ]);
    if (this.pairs[this.at] !== pair) return;
    const sample = samples[this.rows.inside[pair.row]];
    const view = new SampleView(this.rows, pair.row, sample, resolver(sample, shared));
    const turns = sample.sent.slice(0, this.turns).map((prompt, turn) => make("section", "b-turn",
      view.prompt(prompt.slice(-1), sample.sent.length > 1 ? `Question ${turn + 1}` : "Question"),
      make("div", "sides", ...pair.order.map((side, i) => this.side(view, this.models[side], turn, i + 1)))));
    this.answers.replaceChildren(...[this.before(pair), ...turns].filter((part) => part !== null));
    this.shown = pair;
    this.answers.scrollTop = 0;
    this.answers.focus({ preventScroll: true });
  }

  side(view, model, turn, number) {
    const { sample } = view;
    const refs = model < 0 ? [sample.reference[turn]] : sample.models[model].answers[turn] ?? [];
    const texts = refs.filter((ref) => ref !== null).map((ref) => view.text(ref));
    return make("div", "side", make("h3", "who", `Answer ${number}`),
      ...(texts.length ? texts.map(prose) : [make("p", "words empty", "(no answer)")]));
  }

  // Of a pair that was voted on: the vote, and only now the judge's verdict.
  before({ key, order, verdict }) {
    const vote = this.state.votes.get(key);
    if (vote === undefined) return null;
    const judge = {
      t: "The judge saw a tie.",
      n: "The judge gave no verdict.",
    }[verdict] ?? `The judge chose Answer ${order.indexOf(Number(verdict)) + 1}.`;
    return make("p", "note remark", `You chose ${CHOSEN[vote[0]]}. ${judge}`);
  }

  say(trouble) {
    const count = (test) => this.pairs.filter(({ key }) => test(this.state.votes.get(key)?.[0])).length;
    const progress = () => {
      const skipped = count((choice) => choice === "skip");
      const voted = count((choice) => choice !== undefined) - skipped;
      const pairs = `${voted} of ${this.pairs.length} pairs voted on`;
      return `${pairs}${skipped ? `, ${skipped} skipped` : ""}.${this.memory.keeps ? ""
        : " This browser remembers nothing: export before you close the page."}`;
    };
    this.find(".v-progress").textContent = trouble ?? progress();
  }

  vote(choice) {
    if (this.shown === null) return;
    this.state.votes.set(this.shown.key, [choice, new Date().toISOString()]);
    this.memory.write(this.state);
    this.at += 1;
    this.show();
  }

  act(name) {
    if (!this.memory) return;
    if (name === "export") this.export();
    else if (name !== "back") this.vote(name);
    else if (this.at > 0) {
      this.at -= 1;
      this.show();
    }
  }

  export() {
    const { seed, voter, votes } = this.state;
    const cast = [...votes].map(([key, [choice, time]]) => {
      const [benchmark, task, sample, part, ...names] = JSON.parse(key);
      const [first, second] = drawn(seed, JSON.parse(key)) % 2 ? names.reverse() : names;
      return { benchmark, task, sample, part, first, second, choice, voter, time };
    });
    const file = { kind: "evalkit votes", format: 1, run_id: this.rows.run_id, seed, votes: cast };
    const text = new Blob([JSON.stringify(file, null, 1)], { type: "application/json" });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(text);
    link.download = `votes-${this.rows.run_id}.json`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }

  listen() {
    document.addEventListener("keydown", (event) => this.key(event));
    this.find(".v-export").addEventListener("click", () => this.act("export"));
    for (const button of this.buttons) button.addEventListener("click", () => this.act(button.name));
    this.contest.addEventListener("change", () => { this.choose(); this.show(); });
    this.voter.addEventListener("change", () => {
      this.state.voter = this.voter.value.trim().slice(0, 80);
      this.memory.write(this.state);
    });
    this.find(".b-back").addEventListener("click", (event) => {
      event.preventDefault();
      this.app.toReport();
    });
  }

  key(event) {
    if (this.root.hidden || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (event.key === "Escape") this.app.toReport();
    if (event.target.matches?.("input, select") || !Object.hasOwn(KEYS, event.key)) return;
    event.preventDefault();
    this.act(KEYS[event.key]);
  }
}
