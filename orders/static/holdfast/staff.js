/* What moves on the staff pages: charts, and the parts that renew themselves.

A part is an element with data-part="its name". When something happened the page fetches itself with ?part, and
each part that has changed takes the place of the old one. A part in which someone fills in a form waits. */

import { connect } from "./live.js";
import { drawCharts } from "./charts.js";
import { say, setClock, since, tick } from "./clock.js";

const body = document.getElementById("page-body");
const indicator = document.getElementById("live");

const SOONEST = 1500; // ms between two renewals, however much happens
const TOGETHER = 200; // for what happens within this, one renewal
const GIVES_WAY = 10; // and so many times as long as the last one took: a busy server is asked less
const AT_LEAST = 15_000; // a page without a live feed is never older

// --- The parts that renew themselves ------------------------------------------------------------

const inUse = (part) => part.querySelector("details.hf-act[open]") || part.contains(focused());
const focused = () => document.activeElement?.closest("input, select, textarea");
// A token is another one each time; that alone is no change.
const looks = (part) => part.innerHTML.replace(/name="csrfmiddlewaretoken" value="[^"]*"/g, "");
const seen = new Map();

let renewing = false;
let wanted = false;
let due;
let pause = SOONEST;
let lastEnded = -SOONEST;

function renewSoon(delay = Math.max(TOGETHER, lastEnded + pause - performance.now())) {
  if (renewing) wanted = true;
  else due ??= setTimeout(renew, delay);
}

async function renew() {
  due = undefined;
  if (!body.querySelector("[data-part]")) return;
  renewing = true;
  const began = performance.now();
  try {
    const address = new URL(location.href);
    address.searchParams.set("part", "live");
    const answer = await fetch(address, { headers: { Accept: "text/html" } });
    if (answer.redirected || answer.status === 403 || answer.status === 404) location.reload(); // signed out
    else if (answer.ok) replace(await answer.text());
    body.classList.toggle("hf-stale", !answer.ok);
  } catch {
    body.classList.add("hf-stale");
  }
  lastEnded = performance.now();
  pause = Math.max(SOONEST, GIVES_WAY * (lastEnded - began));
  renewing = false;
  if (wanted) renewSoon();
  wanted = false;
}

function replace(html) {
  const fresh = new DOMParser().parseFromString(html, "text/html");
  setClock(fresh);
  for (const part of fresh.querySelectorAll("[data-part]")) {
    const name = part.dataset.part;
    const old = body.querySelector(`[data-part="${name}"]`);
    const now = looks(part);
    if (!old || inUse(old) || seen.get(name) === now) continue;
    seen.set(name, now);
    const opened = [...old.querySelectorAll("details[open][id]")].map((details) => details.id);
    old.innerHTML = part.innerHTML;
    old.className = part.className;
    for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
  }
  tick();
  drawCharts(body);
}

// --- Live ---------------------------------------------------------------------------------------

const words = indicator.querySelector(".hf-live-words");
const WORDS = {
  connecting: "Connecting …",
  live: "Live",
  lost: "Live updates lost, trying again",
  refused: "Not live: sign in again",
};
let lostAt;

function sayLost() {
  if (indicator.dataset.state === "lost") {
    say(words, `Live updates lost ${since(Math.floor((Date.now() - lostAt) / 1000))}, trying again`);
  }
}

// For the page's own module, if it has one.
function happened() {
  document.dispatchEvent(new Event("hf:happened"));
}

function onState(state, since) {
  if (state === "live") renewSoon(0); // whatever happened until we listen
  if (state === "lost") lostAt = since.getTime();
  indicator.dataset.state = state;
  say(words, WORDS[state]);
}

// A page about one thing is not concerned with the others.
const concerns = ({ order, product }) => !body.dataset.about || [order, product].includes(body.dataset.about);

for (const part of body.querySelectorAll("[data-part]")) seen.set(part.dataset.part, looks(part));
setInterval(sayLost, 1000);
drawCharts(body);
setInterval(() => document.hidden || renewSoon(0), AT_LEAST);
// What no event tells of, such as how far a job is, says that it moves.
setInterval(() => document.hidden || !body.querySelector("[data-moving]") || renewSoon(), SOONEST);
document.addEventListener("visibilitychange", () => document.hidden || renewSoon(0));
connect(`/ws/live?business=${encodeURIComponent(body.dataset.business)}`, {
  onEvents: (events) => happened() || document.hidden || !events.some(concerns) || renewSoon(),
  onReload: () => happened() || renewSoon(0),
  onState,
});

// --- What people open, close and choose ---------------------------------------------------------

// What waited for the form comes now. These events don't bubble.
body.addEventListener("toggle", ({ target }) => target.matches("details.hf-act:not([open])") && renewSoon(), true);

document.addEventListener("change", ({ target }) => target.matches("select[data-submits]") && target.form.submit());
