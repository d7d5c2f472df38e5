/* The form of a new order: what there is of each line while it is typed, and who the customer is. All of it is said
by the server; without this module the form works as well, and says it when it was sent. */

const form = document.getElementById("new-order");
const business = document.getElementById("page-body").dataset.business;
const list = document.getElementById("lines");
const PAUSE = 250; // ms without a key, before the server is asked

async function ask(address, query) {
  const answer = await fetch(`${address}?${new URLSearchParams([["business", business], ...query])}`);
  return answer.ok ? answer.json() : undefined;
}

/* The function, called once when it has not been wanted for a moment. The answer that was asked for last counts. */
function settled(work) {
  let due;
  return (...args) => {
    clearTimeout(due);
    due = setTimeout(work, PAUSE, ...args);
  };
}

// --- Lines --------------------------------------------------------------------------------------

const typed = (name) => [...form.querySelectorAll(`[name=${name}]`)].map((field) => [name, field.value]);
const OF_LINES = ["sku", "quantity", "shipping_fee", "discount", "channel"];
let asked = 0;

async function lookAtLines() {
  const ours = ++asked;
  const seen = await ask(form.dataset.lines, OF_LINES.flatMap(typed));
  if (!seen || ours !== asked) return;
  const filled = [...list.children].filter((line) => line.querySelector("[name=sku]").value.trim());
  for (const line of list.children) {
    const { says = "", is_wrong: isWrong = false } = seen.lines[filled.indexOf(line)] ?? {};
    line.querySelector(".hf-says").textContent = says;
    line.classList.toggle("hf-wrong", isWrong);
    line.querySelector("[name=sku]").toggleAttribute("aria-invalid", isWrong);
  }
  document.getElementById("total").textContent = seen.total;
}

const look = settled(lookAtLines);

const suggest = settled(async (input) => {
  const answer = await ask(form.dataset.products, [["q", input.value]]);
  if (!answer) return;
  const options = answer.found.map(({ sku, says }) => Object.assign(new Option(says), { value: sku }));
  document.getElementById("products").replaceChildren(...options);
});

function addLine() {
  const line = list.lastElementChild.cloneNode(true);
  const number = list.children.length + 1;
  line.querySelector(".hf-says").id = `line-${number}`;
  line.querySelector("[name=sku]").setAttribute("aria-describedby", `line-${number}`);
  line.querySelector("[name=sku]").value = "";
  line.querySelector("[name=quantity]").value = "1";
  line.querySelector(".hf-says").textContent = "";
  line.classList.remove("hf-wrong");
  list.append(line);
  addButton.hidden = number >= Number(list.dataset.most);
  line.querySelector("[name=sku]").focus();
}

const addButton = document.getElementById("add-line");
addButton.hidden = false;
addButton.addEventListener("click", addLine);
form.addEventListener("input", ({ target }) => {
  if (OF_LINES.includes(target.name)) look();
  if (target.name === "sku") suggest(target);
});
document.addEventListener("hf:happened", look); // somebody else may have taken a unit, or brought one

// --- Customer -----------------------------------------------------------------------------------

const found = document.getElementById("found");
const WHO = ["customer", "phone", "name", "email"];

function choose(customer) {
  for (const name of WHO) form.elements[name].value = customer[name];
  found.replaceChildren();
}

const find = settled(async (input) => {
  const answer = await ask(form.dataset.customers, [["q", input.value]]);
  if (!answer) return;
  const buttons = answer.found.map((customer) => {
    const button = Object.assign(document.createElement("button"), { type: "button", className: "hf-button" });
    button.textContent = [customer.name, customer.phone, customer.email].filter(Boolean).join(", ");
    button.addEventListener("click", () => choose(customer));
    return button;
  });
  found.replaceChildren(...buttons);
});

form.addEventListener("input", ({ target }) => {
  if (!target.matches("[data-finds]")) return;
  form.elements.customer.value = ""; // it is somebody else, unless they are chosen again
  find(target);
});

// --- Sending ------------------------------------------------------------------------------------

// A second click does no harm, for the form has a key; but it would show the answer to the second one.
form.addEventListener("submit", (event) => {
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "yes";
});
addEventListener("pageshow", () => delete form.dataset.sent); // they came back to it
