"use strict";
/* The packet list: a stream of its own, which runs only while it is looked at and not paused. */

const MAX_PACKETS = 400;

class Packets {
  constructor() {
    this.packets = [];
    this.number = 0;
    this.lost = 0;
    this.source = null;
    this.paused = false;
    this.visible = false;
    this.filter = "";
    this.chosen = null;
    this.body = make("tbody");
    const heads = ["time", "", "protocol", "source", "destination", "bytes", "what it says"];
    byId("packetlist").append(make("table", { class: "cards", "aria-label": "Packets, the newest first" },
      make("thead", {}, make("tr", {}, ...heads.map((text) => make("th", { scope: "col", text })))), this.body));
    this.nothing = make("p", { class: "empty", text: "Nothing has passed yet." });
    byId("packetlist").append(this.nothing);
    byId("packetform").addEventListener("submit", (event) => { event.preventDefault(); this.apply(); });
    byId("pause").addEventListener("click", () => this.pause(!this.paused));
    byId("clear").addEventListener("click", () => this.clear());
    this.say();
  }

  apply() {
    this.filter = byId("filter").value.trim();
    this.stop();
    this.clear();
    this.start();
  }

  pause(paused) {
    this.paused = paused;
    byId("pause").setAttribute("aria-pressed", String(paused));
    setText(byId("pause"), paused ? "Go on" : "Pause");
    if (paused) this.stop(); else this.start();
    this.say();
  }

  show(visible) {
    this.visible = visible;
    if (visible) this.start(); else this.stop();
  }

  stop() {
    if (this.source) this.source.close();
    this.source = null;
  }

  again() { this.stop(); this.start(); }

  start() {
    if (this.source || this.paused || !this.visible) return;
    const address = `/view/packets?filter=${encodeURIComponent(this.filter)}`;
    const source = this.source = new EventSource(address);
    source.onmessage = (event) => { this.error = ""; this.add(JSON.parse(event.data)); };
    source.onerror = () => {
      if (source.readyState !== EventSource.CLOSED || this.source !== source) return;
      this.stop();
      fetch(address, { signal: AbortSignal.timeout(3000) }).then(async (answer) => {
        this.error = answer.ok ? "" : (await answer.text()).trim();
        if (answer.body && answer.ok) answer.body.cancel();
        this.say();
      }).catch(() => { this.error = "the daemon does not answer"; this.say(); });
    };
    this.error = "";
    this.say();
  }

  clear() {
    this.packets = [];
    this.lost = 0;
    this.body.replaceChildren();
    this.choose(null);
    this.say();
  }

  add(told) {
    this.lost += told.lost;
    for (const packet of told.packets) {
      packet.number = this.number += 1;
      this.packets.push(packet);
      this.body.prepend(this.line(packet));
    }
    while (this.packets.length > MAX_PACKETS) { this.packets.shift(); this.body.lastChild.remove(); }
    this.say();
  }

  line(packet) {
    const when = new Date(packet.time / 1000);
    const time = when.toLocaleTimeString("en-GB") + "." + String(when.getMilliseconds()).padStart(3, "0");
    const text = make("td", {}, packet.text);
    if (packet.segments > 1) text.append(` (${packet.segments} segments)`);
    if (packet.note) text.append(" ", make("span", { class: packet.note.includes("dropped") ? "dropped" : "note", text: packet.note }));
    const pick = make("button", { type: "button", class: "link", text: time });
    const line = make("tr", { class: "pick" }, make("td", {}, pick),
      make("td", { text: packet.in ? "in" : "out" }), make("td", { text: packet.protocol }), make("td", { text: packet.source }),
      make("td", { text: packet.target }), make("td", { class: "n", text: whole(packet.length) }), text);
    line.addEventListener("click", () => this.choose(packet, line));
    return line;
  }

  choose(packet, line) {
    if (this.chosen) this.chosen.classList.remove("chosen");
    this.chosen = packet ? line : null;
    const place = byId("packetdetail");
    place.hidden = !packet;
    place.replaceChildren();
    if (!packet) return;
    line.classList.add("chosen");
    place.append(make("button", { type: "button", text: "×", "aria-label": "Close", onclick: () => this.choose(null) }));
    place.append(make("h2", { text: `${packet.protocol}, ${packet.in ? "received" : "sent"}, ${whole(packet.length)} bytes` }));
    if (packet.note) place.append(make("p", { class: packet.note.includes("dropped") ? "dropped" : "note", text: packet.note }));
    for (const [name, fields] of packet.layers) {
      place.append(make("h3", { text: name }));
      place.append(make("dl", {}, ...fields.flatMap(([field, value]) => [make("dt", { text: field }), make("dd", { text: value || "yes" })])));
    }
    place.append(make("h3", { text: "First bytes" }), make("pre", { text: packet.bytes.replace(/(..)/g, "$1 ").trim() }));
    place.focus({ preventScroll: innerWidth > 960 });
  }

  say() {
    this.nothing.hidden = this.packets.length > 0;
    const state = this.error ? this.error : this.paused ? "paused" : "";
    const shown = `${whole(this.packets.length)} shown${this.lost ? `, ${whole(this.lost)} passed too fast to show` : ""}`;
    setText(byId("packetcount"), state ? `${state} · ${shown}` : shown);
  }
}
