/* The sheet for counting shelves: by how much each count differs from the books, and all of them together. */

const sheet = document.getElementById("sheet");
const counts = [...(sheet?.querySelectorAll("input[data-shelf]") ?? [])];

const signed = (units) => (units < 0 ? "−" : "+") + Math.abs(units).toLocaleString("en");

function differences() {
  const found = [];
  let counted = 0;
  for (const input of counts) {
    const typed = input.value.trim();
    const isCount = /^\d+$/.test(typed);
    const delta = isCount ? Number(typed) - Number(input.dataset.shelf) : 0;
    const output = input.closest("tr").querySelector("output");
    output.textContent = !typed ? "–" : !isCount ? "?" : delta ? signed(delta) : "agrees";
    output.classList.toggle("hf-differs", delta !== 0);
    if (isCount) counted += 1;
    if (delta) found.push(delta);
  }
  return { counted, found };
}

function sum() {
  const { counted, found } = differences();
  const more = found.filter((delta) => delta > 0).reduce((a, b) => a + b, 0);
  const fewer = found.filter((delta) => delta < 0).reduce((a, b) => a + b, 0);
  const parts = [more && signed(more), fewer && signed(fewer)].filter(Boolean).join(" and ");
  const words = found.length ? `${found.length} differ${found.length === 1 ? "s" : ""}, by ${parts} units` : "all agree with the books";
  document.getElementById("sum").textContent = counted
    ? `${counted} counted: ${words}.`
    : "Empty cells are not counted.";
}

let isSent = false;
sheet?.addEventListener("input", sum);
sheet?.addEventListener("submit", () => (isSent = true));
// Enter goes to the next shelf; the sheet is sent by its button.
sheet?.addEventListener("keydown", (event) => {
  const at = counts.indexOf(event.target);
  if (event.key !== "Enter" || at < 0) return;
  event.preventDefault();
  (counts[at + 1] ?? document.getElementById("reason")).focus();
});
window.addEventListener("beforeunload", (event) => {
  if (!isSent && counts.some((input) => input.value !== input.defaultValue)) event.preventDefault();
});
if (sheet) sum();
