/* The live feed of a shop, for pages: what changed, as it changes, and nothing missed after a lost connection.

  import { connect } from "./live.js";
  connect("/ws/live?business=my-shop", {
    onEvents(events) {},                  // [{seq, type: "stock.changed", product, sku, available, …}, …]
    onReload() {},                        // what was missed can't be told: fetch everything anew
    onState(state, since) {},             // "connecting", "live", "lost" or "refused", and a Date since when
  });

What happened between the making of the page and the first "live" is not told: look anew then. "live" is said when
the server has greeted, which it does only when it has the feed: a connection alone is not enough.

"lost" is said as soon as the connection breaks or has been silent for 20 s, and it is tried again by itself, at
growing intervals. "refused" is the end: the person signed out, or may not look at this shop any more. */

const SILENCE = 20_000; // ms; the server says something every 10 s
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 30_000;
const RELOAD_PAUSE = 5_000; // at least between two reloads, which cost the server more than an event
const REFUSED = [4401, 4403];

export function connect(url, { onEvents, onReload, onState }) {
  let socket;
  let last = ""; // the position of the feed after what was heard
  let state;
  let since = new Date();
  let pause = FIRST_PAUSE;
  let silence, reload;
  let reloadedAt = 0;

  function become(next) {
    if (next === state) return;
    if (!(state === "lost" && next === "connecting")) since = new Date();
    state = next;
    onState(state, since);
  }

  function open() {
    const address = new URL(url, location.href);
    address.protocol = address.protocol.replace("http", "ws");
    if (last) address.searchParams.set("last", last);
    if (state !== "lost") become("connecting");
    socket = new WebSocket(address);
    socket.onmessage = ({ data }) => hear(JSON.parse(data));
    socket.onclose = ({ code }) => lose(code);
    listen();
  }

  function listen() {
    clearTimeout(silence);
    silence = setTimeout(() => lose(), SILENCE);
  }

  function hear(message) {
    listen();
    if (message.type === "hello") {
      pause = FIRST_PAUSE;
      become("live");
    }
    if (message.type === "events") {
      const events = message.events.filter((event) => event.type !== "reload");
      if (events.length < message.events.length) reloadSoon();
      if (events.length) onEvents(events);
    }
    if (message.last) last = message.last;
  }

  function reloadSoon() {
    if (reload) return;
    reload = setTimeout(
      () => {
        reload = undefined;
        reloadedAt = Date.now();
        onReload();
      },
      Math.max(0, reloadedAt + RELOAD_PAUSE - Date.now()),
    );
  }

  function lose(code) {
    socket.onmessage = socket.onclose = null;
    socket.close();
    clearTimeout(silence);
    if (REFUSED.includes(code)) {
      become("refused");
      return;
    }
    become("lost");
    // Between half of the pause and all of it: pages that lost the server together don't come back together.
    setTimeout(open, pause * (0.5 + Math.random() / 2));
    pause = Math.min(pause * 2, LONGEST_PAUSE);
  }

  open();
}
