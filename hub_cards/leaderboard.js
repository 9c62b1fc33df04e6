"use strict";
const table = document.getElementById("standings"), body = table.tBodies[0];
const selects = [...document.querySelectorAll("select[data-filter]")];
const cells = [...body.querySelectorAll("tr.cell")].map(row => ({ row, more: row.nextElementSibling }));

// Each cell opens what is known of it.
function open(cell, opened) {
  cell.button.setAttribute("aria-expanded", opened);
  cell.more.hidden = !opened || cell.row.hidden;
}
for (const cell of cells) {
  const first = cell.row.cells[0];
  cell.button = document.createElement("button");
  cell.button.type = "button";
  cell.button.textContent = first.textContent;
  cell.button.onclick = () => open(cell, cell.button.getAttribute("aria-expanded") !== "true");
  first.replaceChildren(cell.button);
  open(cell, false);
}

function filter() {
  let shown = 0;
  for (const cell of cells) {
    cell.row.hidden = selects.some(select => select.value && cell.row.dataset[select.dataset.filter] !== select.value);
    open(cell, cell.button.getAttribute("aria-expanded") === "true");
    shown += !cell.row.hidden;
  }
  document.getElementById("shown").textContent = `${shown} of ${cells.length} cells`;
}
for (const select of selects) select.onchange = filter;
filter();

// A heading sorts by its column, and once more the other way round; what has no value comes last.
function sort(heading, column) {
  const descending = heading.getAttribute("aria-sort") === "ascending", numbers = heading.className === "number";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const value = cell => cell.row.cells[column].dataset.value;
  cells.sort((one, two) => {
    const [a, b] = [value(one), value(two)];
    if (a === "" || b === "") return (a === "") - (b === "");
    return (descending ? -1 : 1) * (numbers ? a - b : a.localeCompare(b));
  });
  for (const cell of cells) body.append(cell.row, cell.more);
}
[...table.tHead.rows[0].cells].forEach((heading, column) => {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = heading.textContent;
  button.onclick = () => sort(heading, column);
  heading.replaceChildren(button);
});

function follow() {
  const cell = cells.find(cell => cell.row.id === location.hash.slice(1));
  if (!cell) return;
  for (const select of selects) select.value = "";
  filter();
  open(cell, true);
  cell.row.scrollIntoView({ block: "center" });
}
addEventListener("hashchange", follow);
follow();
