// One sample as it is read: question, answers side by side, what the judge was sent and said,
// every score.

const UNSCORED = "–";

class Detail {
  constructor(place, rows, blocks) {
    this.place = place;
    this.rows = rows;
    this.blocks = blocks;
    this.marking = false;
    this.row = null;
  }

  // Shows a row's texts; `pair` decides who comes first and what is marked.
  async show(row, pair, around) {
    this.row = row;
    this.wanted = [row, pair, around];
    const [shared, samples] = await Promise.all([
      this.blocks.read(1),
      this.blocks.read(this.rows.block[row] + 2),
    ]);
    if (this.row !== row) return;
    const sample = samples[this.rows.inside[row]];
    const view = new SampleView(this.rows, row, sample, resolver(sample, shared));
    this.place.replaceChildren(...view.parts(this.order(pair), this.marking, around));
    this.place.scrollTop = 0;
    highlight(this.place, around.terms);
  }

  clear(text) {
    this.row = null;
    this.place.replaceChildren(make("p", "b-empty", text));
  }

  toggleMarking() {
    this.marking = !this.marking;
    if (this.row !== null) this.show(...this.wanted);
  }

  // Places of the models: the pair first.
  order(pair) {
    const first = this.rows.pairs[pair] ?? [];
    const rest = this.rows.models.map((_, i) => i).filter((i) => !first.includes(i));
    return { first, all: [...first, ...rest] };
  }
}

class SampleView {
  constructor(rows, row, sample, text) {
    Object.assign(this, { rows, row, sample, text });
  }

  parts(order, marking, around) {
    this.marks = marking ? this.marksOf(order.first) : new Map();
    const models = order.all.filter((model) => this.sample.models[model] !== null);
    return [
      this.head(order, marking, around),
      ...this.sample.sent.map((_, turn) => this.turn(turn, models)),
      this.general(models),
      this.scores(models),
    ].filter((part) => part !== null);
  }

  head(order, marking, { link, previous, next, toggle }) {
    const { rows, row } = this;
    const task = rows.taskOf(row), benchmark = rows.benchmarkOf(row);
    const where = [benchmark.label, task.name === benchmark.name ? "" : task.name, rows.categoryOf(row)];
    const anchor = make("a", "b-link", "Link to this sample");
    anchor.href = link;
    const mark = make("button", "b-mark", marking ? "Unmark differences" : "Mark differences");
    mark.type = "button";
    mark.setAttribute("aria-keyshortcuts", "d");
    mark.addEventListener("click", toggle);
    const comparable = order.first.length === 2
      && order.first.every((model) => this.sample.models[model] !== null);
    return make("header", "b-head",
      make("nav", "b-steps", step("← Previous", previous, "k"), step("Next →", next, "j")),
      make("h3", "", "Sample ", named(rows.id[row])),
      make("p", "b-where", named(where.filter(Boolean).join(" · "))),
      this.outcome(order),
      make("p", "b-tools", anchor, comparable ? mark : null),
      marking && comparable ? this.legend() : null);
  }

  legend() {
    if (this.marks === null) {
      return make("p", "hint", "These answers differ too much to be marked word by word.");
    }
    return make("p", "hint", "Words that only one of the two has are ",
      make("mark", "", "marked like this"), ".");
  }

  // Who did better, by how much, in one line.
  outcome(order) {
    const { rows, row } = this;
    const place = rows.pairs.findIndex((pair) => pair === order.first);
    if (place < 0) return null;
    const pair = rows.by_pair[place], verdict = pair.verdict[row];
    const [a, b] = order.first.map((model) => rows.models[model].name);
    const task = rows.taskOf(row);
    const unit = task.unit ? ` ${task.unit}` : "";
    const said = {
      w: [named(a), " did better than ", named(b)],
      l: [named(a), " did worse than ", named(b)],
      t: [named(a), " and ", named(b), " tie"],
      n: ["No difference: one of the two has no score"],
    }[verdict];
    const mark = make("span", "mark", MARKS[verdict]);
    mark.setAttribute("aria-hidden", "true");
    const size = verdict === "n" ? "" : `: ${pair.shown.texts[pair.shown.at[row]]}${unit}`;
    return make("p", `b-outcome b-${verdict}`, mark, " ", make("span", "", ...said, size,
      task.metric && verdict !== "n" ? ` (${task.metric}).` : "."));
  }

  turn(turn, models) {
    const { sample } = this;
    const several = sample.sent.length > 1 ? ` ${turn + 1}` : "";
    const reference = sample.reference[turn];
    return make("section", "b-turn",
      this.prompt(sample.sent[turn], `Question${several}`),
      reference === null ? null : fold("Reference", prose(this.text(reference))),
      make("div", "sides", ...models.map((model) => this.side(model, turn))));
  }

  // The last message is what is sent; what stands before it (system, few-shot) is folded.
  prompt(messages, title) {
    if (!messages.length) return null;
    const before = messages.slice(0, -1);
    const [, last] = messages.at(-1);
    return make("div", "question",
      make("p", "tag", title),
      before.length ? fold(`Before it: ${before.length} ${before.length === 1 ? "message" : "messages"}`,
        this.messages(before)) : null,
      long(this.text(last)));
  }

  messages(list) {
    return make("div", "", ...list.map(([role, ref]) => make("div", "b-message",
      make("p", "tag", role), prose(this.text(ref)))));
  }

  side(model, turn) {
    const answer = this.sample.models[model];
    const { name, role } = this.rows.models[model];
    const status = this.rows.statuses[this.rows.by_model[model].status[this.row]];
    const score = this.scoreAt(answer, turn);
    const own = answer.sent[String(turn)];
    const reference = answer.reference?.[turn] ?? null;
    const judged = answer.judgments.filter((judgment) => judgment.turn === turn);
    const cut = this.rows.by_model[model].truncated[this.row] === "1";
    const given = answer.answers[turn] ?? [];
    return make("div", "side",
      make("p", "who", make("b", "", named(name), role ? make("small", "", ` ${role}`) : null),
        make("span", "", score ?? (status === "ok" ? UNSCORED : `${UNSCORED} ${status}`))),
      own === undefined ? null : fold("Its prompt differs from the one above", this.messages(own)),
      reference === null ? null : fold("Its own reference", prose(this.text(reference))),
      turn === 0 && answer.error !== null ? make("p", "aside b-error", this.text(answer.error)) : null,
      // Before the answer, which may be longer than the window: why one lost is what readers want.
      ...judged.map((judgment) => this.judgment(judgment)),
      ...(answer.thoughts?.[turn] ?? []).map((ref) => fold("Thought", long(this.text(ref), 4000))),
      ...(given.length ? given.map((ref, i) => this.answer(model, turn, i, this.text(ref)))
        : [make("p", "words empty", "(no answer)")]),
      cut ? make("p", "aside", "Cut by the token limit.") : null,
      turn === 0 && answer.suspicious !== undefined ? make("p", "aside b-error",
        `Suspicious, may be meant for the judge: ${answer.suspicious.join(", ")}.`) : null);
  }

  answer(model, turn, i, text) {
    if (text === "") return make("p", "words empty", "(empty)");
    const marked = this.marks?.get(`${model} ${turn} ${i}`) ?? [[text.replace(/^\n+|\n+$/g, ""), false]];
    return directed(make("div", "words", ...marked.flatMap(([run, only]) => {
      const [blank] = run.match(/^\s*/);
      return only ? [blank, make("mark", "", run.slice(blank.length))] : [run];
    })));
  }

  // Runs of words by model, turn and answer; null where all there is differs too much.
  marksOf(pair) {
    const marks = new Map();
    let tried = 0;
    const [a, b] = pair.map((model) => this.sample.models[model]);
    if (!a || !b) return marks;
    a.answers.forEach((given, turn) => given.forEach((ref, i) => {
      const other = b.answers[turn]?.[i];
      if (other === undefined) return;
      tried += 1;
      const found = wordDiff(this.text(ref).trim(), this.text(other).trim());
      if (found === null) return;
      marks.set(`${pair[0]} ${turn} ${i}`, found[0]);
      marks.set(`${pair[1]} ${turn} ${i}`, found[1]);
    }));
    return tried && !marks.size ? null : marks;
  }

  judgment(judgment) {
    const said = [];
    if (judgment.status !== "ok") said.push(judgment.status);
    else said.push(judgment.is_rating ? `rates it ${judgment.value}` : `prefers it ${judgment.value}`);
    const orders = ["shown first", "shown second"];
    if (judgment.votes.length === 2) {
      said.push(judgment.votes.map((vote, i) => `${orders[i]} ${vote}`).join(", "));
    }
    return make("div", "b-judgment",
      make("p", "tag", "Judge ", named(judgment.judge), `: ${said.join("; ")}`),
      judgment.error === null ? null : make("p", "aside b-error", this.text(judgment.error)),
      ...judgment.exchanges.map(([prompt, reply, thought], i) => make("div", "b-exchange",
        judgment.exchanges.length === 2 ? make("p", "tag", `Answer ${orders[i]}`) : null,
        thought === undefined ? null : fold("Thought of the judge", prose(this.text(thought))),
        long(this.text(reply), 4000),
        prompt.length ? fold("Prompt of the judge", this.messages(prompt)) : null)));
  }

  // Judgments that are about no single turn.
  general(models) {
    const sides = models.map((model) => {
      const found = this.sample.models[model].judgments.filter((j) => j.turn === null);
      return found.length ? make("div", "side",
        make("p", "who", make("b", "", named(this.rows.models[model].name))),
        ...found.map((judgment) => this.judgment(judgment))) : null;
    });
    return sides.some((side) => side !== null)
      ? make("section", "b-turn", make("p", "tag", "On the whole"), make("div", "sides", ...sides)) : null;
  }

  // The primary metric's score of a turn, or the sample's where turns are not scored apart.
  scoreAt(answer, turn) {
    const part = `turn_${turn + 1}`;
    const primary = this.rows.taskOf(this.row).primary;
    const found = answer.scores.filter(([metric]) => metric === primary);
    const own = found.find(([, of]) => of === part) ?? found.find(([, of]) => of === "");
    return own?.[2];
  }

  scores(models) {
    const metrics = this.rows.taskOf(this.row).metrics;
    const lines = new Map();
    for (const model of models) {
      for (const [metric, part, shown] of this.sample.models[model].scores) {
        const label = [metrics[metric] ?? metric, part.replaceAll("_", " ")].filter(Boolean).join(", ");
        if (!lines.has(label)) lines.set(label, new Map());
        lines.get(label).set(model, shown);
      }
    }
    const data = models.filter((model) => this.sample.models[model].data !== null);
    if (!lines.size && !data.length) return null;
    const names = models.map((model) => headed("col", named(this.rows.models[model].name), "right"));
    const table = make("table", "", make("caption", "", "Scores"),
      make("thead", "", make("tr", "", headed("col", "Metric"), ...names)),
      make("tbody", "", ...[...lines].map(([label, shown]) => make("tr", "",
        headed("row", named(label)),
        ...models.map((model) => make("td", "right", shown.get(model) ?? UNSCORED))))));
    return make("section", "b-scores",
      lines.size ? make("div", "scroll", table) : null,
      ...data.map((model) => fold(`Data for corpus metrics: ${this.rows.models[model].name}`,
        prose(this.text(this.sample.models[model].data)))));
  }
}

function headed(scope, content, name = "") {
  const cell = make("th", name, content);
  cell.scope = scope;
  return cell;
}

function step(text, go, key) {
  const button = make("button", "", text);
  button.type = "button";
  button.disabled = go === null;
  button.setAttribute("aria-keyshortcuts", key);
  if (go !== null) button.addEventListener("click", go);
  return button;
}

function directed(element) {
  element.dir = "auto";
  return element;
}

function prose(text) {
  return text === "" ? make("p", "words empty", "(empty)") : directed(make("div", "words", text));
}

// A long text shows its beginning first.
function long(text, most = 1200) {
  if (text.length <= most) return prose(text);
  const start = text.slice(0, 400).replace(/[\ud800-\udbff]$/, "");
  const details = make("details", "long", make("summary", "", make("span", "", `${start}…`)), prose(text));
  return details;
}

function fold(title, content) {
  return make("details", "fold", make("summary", "", title), content);
}
