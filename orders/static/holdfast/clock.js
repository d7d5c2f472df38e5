/* Time on the pages: ages and countdowns tick by themselves, by the server's clock, which [data-now] tells. */

let ahead = 0; // the server's clock, less ours

export function setClock(root) {
  const said = root.querySelector("[data-now]");
  if (said) ahead = Date.parse(said.dataset.now) - Date.now();
}

function span(seconds) {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} days`;
}

export function since(seconds) {
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} days ago`;
}

export function say(element, words) {
  if (element.textContent !== words) element.textContent = words;
}

export function tick() {
  const now = Date.now() + ahead;
  for (const time of document.querySelectorAll("time[data-countdown]")) {
    const left = Math.ceil((Date.parse(time.dateTime) - now) / 1000);
    time.classList.toggle("hf-over", left <= 0);
    say(time, left > 0 ? `in ${span(left)}` : `overdue by ${span(-left)}`);
  }
  for (const time of document.querySelectorAll("time[data-ago]")) {
    say(time, since(Math.max(0, Math.floor((now - Date.parse(time.dateTime)) / 1000))));
  }
}

setClock(document);
tick();
setInterval(tick, 1000);
