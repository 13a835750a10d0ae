// Sorts the index by the heading that is clicked: numbers by size, texts as people sort them, what
// is missing last.  Writes no markup; without it the newest runs come first.
(() => {
"use strict";
const NUMBER = /^[+\u2212]?[\d,]+(\.\d+)?/;
const collator = new Intl.Collator("en", { numeric: true });

function valueOf(row, column) {
  const text = row.cells[column].textContent.trim();
  if (text === "" || text.startsWith("\u2013")) return null;
  const found = row.cells[column].classList.contains("right") && NUMBER.exec(text);
  return found ? Number(found[0].replaceAll(",", "").replace("\u2212", "-")) : text;
}

function compared(a, b) {
  if (a === null || b === null) return (a === null) - (b === null);
  return typeof a === "number" && typeof b === "number" ? a - b : collator.compare(a, b);
}

function sort(table, head) {
  const column = head.cellIndex;
  const first = head.classList.contains("right") ? "descending" : "ascending";
  const turned = { ascending: "descending", descending: "ascending" };
  const order = turned[head.getAttribute("aria-sort")] ?? first;
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", order);
  const sign = order === "ascending" ? 1 : -1;
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => [valueOf(row, column), row]);
  rows.sort(([a], [b]) => (a === null || b === null ? 1 : sign) * compared(a, b));
  body.replaceChildren(...rows.map(([, row]) => row));
}

const table = document.querySelector("table");
for (const head of table?.tBodies.length === 1 ? table.tHead.rows[0].cells : []) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = head.textContent;
  button.addEventListener("click", () => sort(table, head));
  head.replaceChildren(button);
}
})();
