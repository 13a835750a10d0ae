// The browser as a whole: the address is its state; keys and controls change the address.

const LABELS = {
  verdict: { win: "candidate better", loss: "candidate worse", tie: "tie", none: "not known" },
  flag: { truncated: "cut by the token limit", orders: "judge’s orders disagree",
    suspicious: "may be meant for the judge" },
  sort: { worst: "worst for the candidate first", best: "best for the candidate first",
    largest: "largest difference first", run: "as in the run" },
};

class App {
  constructor(root) {
    this.root = root;
    this.find = (name) => root.querySelector(name);
    this.box = this.find(".b-list");
    this.count = this.find(".b-count");
    this.search = this.find(".b-search");
    this.form = this.find(".b-filters");
    this.help = this.find(".b-help");
    this.blocks = new Blocks(root);
    this.state = { key: null, filters: {} };
    this.scrolled = 0;
    this.rows = null;
    this.voting = new Voting(document.getElementById("vote"), this);
    this.title = document.title;
  }

  // The page's address changed, or the page was just loaded.
  route() {
    const wanted = readAddress(location.hash);
    if (location.hash === "#vote") this.voting.open();
    else if (wanted === null) this.close();
    else this.open(wanted);
  }

  get isOpen() { return !this.root.hidden; }

  close() {
    if (!document.documentElement.classList.contains("browsing")) return;
    this.showOnly(null);
    document.documentElement.classList.remove("browsing");
    document.title = this.title;
    const target = document.getElementById(location.hash.slice(1));
    if (target) target.scrollIntoView();
    else scrollTo({ top: this.scrolled, behavior: "instant" });
    this.opener?.focus({ preventScroll: true });
  }

  async open(wanted) {
    const isNew = !this.isOpen;
    this.cover(this.root);
    this.state = wanted;
    try {
      await this.load();
    } catch (error) {
      this.fail(error);
      return;
    }
    this.fill();
    this.refresh();
    if (isNew) {
      this.box.focus({ preventScroll: true });
      performance.mark("evalkit-list");
    }
    this.readTexts();
  }

  // Shows the list or the votes instead of the report.
  cover(root) {
    const { classList } = document.documentElement;
    if (!classList.contains("browsing")) {
      this.scrolled = scrollY;
      this.opener = document.activeElement;
      classList.add("browsing");
    }
    this.showOnly(root);
  }

  showOnly(root) {
    for (const one of [this.root, this.voting.root]) one.hidden = one !== root;
  }

  load() {
    this.loading ??= this.blocks.read(0).then((head) => {
      this.rows = new Rows(head);
      this.hits = null;
      this.index = new Search(this.rows, this.blocks);
      const handlers = { open: (row) => this.visit(row, true), move: (row) => this.visit(row, false) };
      this.list = new List(this.box, this.rows, handlers);
      this.detail = new Detail(this.find(".b-detail"), this.rows, this.blocks);
      this.offer();
    }).catch((error) => { this.loading = null; throw error; });
    return this.loading;
  }

  fail(error) {
    const text = error instanceof Unreadable ? error.message : `This did not work: ${error.message}`;
    this.count.textContent = text;
    this.root.classList.add("b-broken");
    if (!(error instanceof Unreadable)) console.error(error);
  }

  // Texts in the page are made searchable while nobody waits; files are fetched when searched.
  readTexts() {
    if (this.blocks.files !== null && !this.state.filters.q) return;
    this.reading ??= this.index.read(() => this.moreTexts())
      .then(() => performance.mark("evalkit-texts"))
      .catch((error) => { this.reading = undefined; this.fail(error); });
  }

  moreTexts() {
    if (this.state.filters.q) this.refresh(true);
  }

  // --- filters

  offer() {
    const { rows } = this;
    const benchmarks = Object.fromEntries(rows.benchmarks.map(({ name, label }) => [name, label]));
    const same = (names) => Object.fromEntries([...new Set(names)].filter(Boolean).map((n) => [n, n]));
    const pair = ([a, b]) => `${rows.models[a].name} against ${rows.models[b].name}`;
    const pairs = Object.fromEntries(rows.pairs.map((found, i) => [i === 0 ? "" : String(i), pair(found)]));
    const failed = rows.statuses.filter((status) => status !== "ok");
    const statuses = { ...(failed.length ? { failed: "a model failed" } : {}), ...same(rows.statuses) };
    this.select("benchmark", { "": "all", ...benchmarks }, 3);
    this.select("task", { "": "all", ...same(rows.tasks.map((task) => task.name)) }, 3);
    this.select("category", { "": "all", ...same(rows.category.texts) }, 3);
    this.select("pair", pairs, 2);
    this.select("verdict", { "": "all", ...LABELS.verdict }, rows.pairs.length ? 0 : 9);
    this.select("status", { "": "all", ...statuses }, 3);
    const any = (flag) => rows.by_model.some((model) => model[flag].includes("1"));
    const flags = Object.entries(LABELS.flag).filter(([flag]) => any(flag));
    this.select("flag", { "": "all", ...Object.fromEntries(flags) }, 2);
    const { [rows.usualOrder]: usual, ...others } = LABELS.sort;
    this.select("sort", { "": usual, ...others }, rows.pairs.length ? 0 : 9);
  }

  // A control with fewer options than `least` decides nothing and is left out.
  select(name, options, least) {
    const control = this.form.elements[name];
    const entries = Object.entries(options).sort(([a], [b]) => (a === "" ? -1 : b === "" ? 1 : 0));
    control.replaceChildren(...entries.map(([value, text]) => new Option(text, value)));
    control.closest("label").hidden = entries.length < least;
  }

  // Puts the state into the controls.
  fill() {
    const { filters } = this.state;
    for (const control of this.form.elements) {
      if (control.name) control.value = filters[control.name] ?? "";
    }
    if (document.activeElement !== this.search) this.search.value = filters.q ?? "";
  }

  changed() {
    const filters = { q: this.search.value.trim() };
    for (const control of this.form.elements) {
      if (control.name && control.value) filters[control.name] = control.value;
    }
    this.state = { ...this.state, filters };
    this.note(false);
    this.refresh();
    if (filters.q) this.readTexts();
  }

  // --- list and sample

  // The selection again; where only texts came in, a reader's place stays as it is.
  refresh(quietly = false) {
    const { filters, key } = this.state;
    const begun = performance.now();
    const found = this.rows.select(filters, this.index.hits(filters.q ?? ""));
    const row = key === null ? undefined : this.rows.places.get(key);
    const top = this.box.scrollTop;
    this.list.show(found, this.rows.pairOf(filters), row);
    if (quietly) this.box.scrollTop = top;
    performance.measure("evalkit-filter", { start: begun, end: performance.now() });
    this.say(found.length);
    this.root.classList.toggle("b-reading", key !== null);
    if (!quietly) this.read(row);
  }

  say(n) {
    const number = (count) => count.toLocaleString("en");
    const all = this.rows.length;
    const text = n === all ? `${number(all)} samples` : `${number(n)} of ${number(all)} samples`;
    const searching = this.state.filters.q && !this.index.complete;
    const share = Math.floor((100 * this.index.ready) / all);
    this.count.textContent = searching ? `${text}; searched ${share}% of the texts so far` : text;
  }

  read(row) {
    const { key, filters } = this.state;
    document.title = row === undefined ? this.title : `Sample ${this.rows.id[row]} · ${this.title}`;
    if (key === null) {
      this.detail.clear(this.list.found.length ? "Choose a sample." : "No sample fits. Clear a filter.");
      return;
    }
    if (row === undefined) {
      this.detail.clear("This run has no sample of that address.");
      return;
    }
    const at = this.list.at;
    const go = (to) => (at >= 0 && to in this.list.found ? () => this.visit(this.list.found[to], false) : null);
    this.detail.show(row, this.rows.pairOf(filters), {
      link: writeAddress({ key, filters: {} }),
      previous: go(at - 1),
      next: go(at + 1),
      toggle: () => this.detail.toggleMarking(),
      terms: termsOf(filters.q ?? ""),
    }).catch((error) => this.fail(error));
  }

  // Goes to a sample.  From the list it is a step that Back undoes; from sample to sample not.
  visit(row, isOpened) {
    const isStep = this.state.key === null;
    this.state = { ...this.state, key: this.rows.key(row) };
    this.note(isStep);
    this.list.choose(row);
    this.root.classList.add("b-reading");
    this.read(row);
    if (isOpened && this.isNarrow) this.find(".b-detail").focus({ preventScroll: true });
  }

  get isNarrow() { return matchMedia("(max-width: 60rem)").matches; }

  note(isStep) {
    const address = writeAddress(this.state);
    if (isStep) history.pushState(null, "", address);
    else history.replaceState(null, "", address);
  }

  toList() {
    this.state = { ...this.state, key: null };
    this.note(false);
    this.list.choose(-1);
    this.root.classList.remove("b-reading");
    this.read();
    this.box.focus({ preventScroll: true });
  }

  toReport() {
    history.pushState(null, "", "#samples-closed");
    this.close();
  }

  // --- keys

  listen() {
    addEventListener("hashchange", () => this.route());
    addEventListener("popstate", () => this.route());
    document.addEventListener("keydown", (event) => this.key(event));
    this.form.addEventListener("change", () => this.changed());
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("reset", (event) => {
      event.preventDefault();
      this.search.value = "";
      this.state = { ...this.state, filters: {} };
      this.fill();
      this.changed();
    });
    this.search.addEventListener("input", () => this.typed());
    this.find(".b-keys").addEventListener("click", () => this.help.showModal());
    this.find(".b-back").addEventListener("click", (event) => {
      event.preventDefault();
      if (this.isNarrow && this.state.key !== null) this.toList();
      else this.toReport();
    });
  }

  // One selection for letters that come in quick succession.
  typed() {
    clearTimeout(this.typing);
    this.typing = setTimeout(() => this.changed(), 80);
  }

  key(event) {
    if (!this.isOpen || this.help.open || event.ctrlKey || event.metaKey || event.altKey) return;
    if (!this.rows) {
      if (event.key === "Escape") this.toReport();
      return;
    }
    const inField = event.target.matches?.("input, select, textarea");
    if (event.key === "Escape") {
      event.preventDefault();
      this.escape();
    } else if (!inField) {
      this.command(event);
    } else if (event.target === this.search && (event.key === "ArrowDown" || event.key === "Enter")) {
      event.preventDefault();
      this.box.focus();
      if (this.list.at < 0) this.list.step(0);
    }
  }

  command(event) {
    const isReading = Boolean(event.target.closest?.(".b-detail"));
    const commands = {
      "/": () => { this.search.focus(); this.search.select(); },
      j: () => this.list.step(1),
      k: () => this.list.step(-1),
      ArrowDown: isReading ? null : () => this.list.step(1),
      ArrowUp: isReading ? null : () => this.list.step(-1),
      Enter: event.target === this.box ? () => this.enter() : null,
      d: () => this.detail.toggleMarking(),
      "?": () => this.help.showModal(),
    };
    const command = Object.hasOwn(commands, event.key) ? commands[event.key] : null;
    if (command === null) return;
    event.preventDefault();
    command();
  }

  enter() {
    if (this.list.at < 0) this.list.step(0);
    if (this.list.at >= 0) this.find(".b-detail").focus({ preventScroll: true });
  }

  escape() {
    const active = document.activeElement;
    if (active === this.search && this.search.value) {
      this.search.value = "";
      this.changed();
    } else if (this.find(".b-detail").contains(active) || (this.isNarrow && this.state.key !== null)) {
      if (this.isNarrow) this.toList();
      else this.box.focus({ preventScroll: true });
    } else if (active !== this.box && this.root.contains(active)) {
      this.box.focus({ preventScroll: true });
    } else {
      this.toReport();
    }
  }
}

const app = new App(document.getElementById("browser"));
app.listen();
app.voting.listen();
app.route();
