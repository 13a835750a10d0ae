// The list as columns: which rows fit the filters, and in what order.  No DOM here.

const VERDICTS = { win: "w", loss: "l", tie: "t", none: "n" };

class Rows {
  constructor(head) {
    Object.assign(this, head);
    this.length = head.task.length;
    this.places = new Map();
    for (let i = 0; i < this.length; i++) {
      const key = this.key(i);
      if (!this.places.has(key)) this.places.set(key, i);
    }
    // Which block of texts a row's are in, and where there.
    this.block = new Int32Array(this.length);
    this.inside = new Int32Array(this.length);
    let row = 0;
    head.sizes.forEach((size, block) => {
      for (let i = 0; i < size; i++, row++) {
        this.block[row] = block;
        this.inside[row] = i;
      }
    });
  }

  benchmarkOf(row) { return this.benchmarks[this.tasks[this.task[row]].benchmark]; }
  taskOf(row) { return this.tasks[this.task[row]]; }
  categoryOf(row) { return this.category.texts[this.category.at[row]]; }

  // As Python's links write it, so that addresses are the same wherever they come from.
  key(row) {
    return [this.benchmarkOf(row).name, this.taskOf(row).name, this.id[row]]
      .map(encodeURIComponent).join("/");
  }

  // The pair that verdicts and differences are of; whatever an address says, one there is.
  pairOf(filters) {
    const place = Number(filters.pair ?? 0);
    return Object.hasOwn(this.by_pair, place) ? place : 0;
  }

  // Tests of single rows, for the filters that are set.
  tests(filters) {
    const tests = [];
    const { benchmark, task, category, verdict, status, flag } = filters;
    if (benchmark) tests.push((row) => this.benchmarkOf(row).name === benchmark);
    if (task) tests.push((row) => this.taskOf(row).name === task);
    if (category) {
      const wanted = this.category.texts.indexOf(category);
      tests.push((row) => this.category.at[row] === wanted);
    }
    const pair = this.by_pair[this.pairOf(filters)];
    if (verdict && pair) {
      const wanted = VERDICTS[verdict];
      tests.push((row) => pair.verdict[row] === wanted);
    }
    if (status) {
      const ok = this.statuses.indexOf("ok");
      const wanted = this.statuses.indexOf(status);
      const fits = status === "failed"
        ? (found) => found >= 0 && found !== ok
        : (found) => found >= 0 && found === wanted;
      tests.push((row) => this.by_model.some((model) => fits(model.status[row])));
    }
    if (CHOICES.flag.includes(flag)) {
      tests.push((row) => this.by_model.some((model) => model[flag][row] === "1"));
    }
    return tests;
  }

  // Rows that fit, in order.  `hits` says per row whether the search found it (null: no search).
  select(filters, hits) {
    const tests = this.tests(filters);
    const found = [];
    for (let row = 0; row < this.length; row++) {
      if (hits !== null && !hits[row]) continue;
      if (tests.every((test) => test(row))) found.push(row);
    }
    return this.ordered(found, filters);
  }

  ordered(found, filters) {
    const pair = this.by_pair[this.pairOf(filters)];
    const sort = filters.sort || this.usualOrder;
    if (!pair || sort === "run") return found;
    const { rank, verdict } = pair;
    const value = {
      worst: (row) => rank[row],
      best: (row) => -rank[row],
      largest: (row) => -Math.abs(rank[row]),
    }[sort];
    if (value === undefined) return found;
    // Rows without a difference come last; equals keep the order of the run.
    const values = new Map(found.map((row) => [row, verdict[row] === "n" ? Infinity : value(row)]));
    return found.sort((a, b) => {
      const x = values.get(a), y = values.get(b);
      return x === y ? a - b : x < y ? -1 : 1;
    });
  }

  get usualOrder() {
    return this.by_pair.length ? "worst" : "run";
  }
}
