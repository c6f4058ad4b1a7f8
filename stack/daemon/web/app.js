"use strict";
/* The page: tabs, one stream of snapshots, and what each tab makes of the last one. */

const TABS = [["overview", "Overview"], ["connections", "Connections"], ["neighbours", "Neighbours"], ["routes", "Routes"],
  ["counters", "Counters"], ["packets", "Packets"], ["names", "Names"], ["services", "Services"]];
const SECONDS = 300, CONNECTION_SECONDS = 120, MAX_KEPT = 300;
const PATIENCE_MS = 6000; // without a snapshot, of which there is one a second

class Page {
  constructor() {
    this.tab = "";
    this.status = null;
    this.totals = [];
    this.points = new Map(); // by connection: rows of [time, cwnd, rtt, delivered, received, in flight, resent]
    this.chosen = null;
    this.detailPlots = [];
    this.makeTabs();
    this.makeTables();
    this.packets = new Packets();
    this.makePlots();
    addEventListener("hashchange", () => this.route());
    addEventListener("visibilitychange", () => this.packets.show(this.tab === "packets" && !document.hidden));
    byId("find").addEventListener("input", () => this.draw());
    this.route();
    this.patience = PATIENCE_MS;
    this.begin();
    setInterval(() => this.check(), 1000);
  }

  // -- tabs

  makeTabs() {
    const place = byId("tabs");
    for (const [id, name] of TABS) {
      const tab = make("button", { type: "button", role: "tab", id: `tab-${id}`, "aria-controls": id, text: name });
      tab.addEventListener("click", () => { location.hash = `/${id}`; });
      place.append(tab);
      byId(id).setAttribute("aria-labelledby", tab.id);
    }
    place.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity }[event.key];
      const tabs = [...place.children].filter((tab) => !tab.hidden);
      if (step === undefined) return;
      event.preventDefault();
      const at = tabs.indexOf(document.activeElement);
      const next = step === -Infinity ? 0 : step === Infinity ? tabs.length - 1 : (at + step + tabs.length) % tabs.length;
      tabs[next].focus();
      tabs[next].click();
    });
  }

  route() {
    const [wanted, ...rest] = location.hash.slice(2).split("/"); // with a slash: no element has that name, so the focus stays
    this.tab = TABS.some(([id]) => id === wanted) ? wanted : "overview";
    for (const [id] of TABS) {
      const on = id === this.tab, tab = byId(`tab-${id}`);
      byId(id).hidden = !on;
      tab.setAttribute("aria-selected", String(on));
      tab.tabIndex = on ? 0 : -1;
      if (on) tab.scrollIntoView({ block: "nearest", inline: "nearest" });
    }
    this.packets.show(this.tab === "packets" && !document.hidden);
    if (this.tab === "connections") this.choose(rest.length ? decodeURIComponent(rest.join("/")) : null);
    if (this.tab === "names") this.fetchNames();
    this.draw();
  }

  // -- the stream

  async begin() {
    if (this.beginning) return;
    this.beginning = true;
    if (this.source) this.source.close();
    try {
      const told = await fetch("/view/history", { signal: AbortSignal.timeout(this.patience) });
      this.totals = (await told.json()).rows;
    } catch { /* the stream will tell */ }
    const source = this.source = new EventSource("/view/events");
    source.onmessage = (event) => this.onStatus(JSON.parse(event.data));
    source.onerror = () => this.say("off", "no answer, trying again");
    this.heard = performance.now();
    this.beginning = false;
  }

  /* A daemon that was killed, or whose machine is gone, ends no connection: all that tells it from a live one is silence. */
  check() {
    if (this.beginning || performance.now() - this.heard < this.patience) return;
    this.say("off", "no answer, trying again");
    this.packets.again();
    this.begin();
  }

  say(kind, text) {
    const badge = byId("live");
    badge.className = `badge ${kind}`;
    setText(badge, text);
  }

  onStatus(status) {
    this.status = status;
    this.heard = performance.now();
    if (status.totals) addRow(this.totals, status.totals, SECONDS);
    for (const one of status.connections) {
      let rows = this.points.get(one.key);
      if (!rows) this.points.set(one.key, rows = []);
      addRow(rows, [status.time, one.cwnd, one.srtt_us, one.delivered, one.rcv_nxt, one.in_flight, one.retransmits], CONNECTION_SECONDS);
      const [last, before] = [rows[rows.length - 1], rows[rows.length - 2]];
      const passed = before ? last[0] - before[0] : 0;
      one.rate = passed > 0 ? (Math.max(0, last[3] - before[3]) + seqDelta(last[4], before[4])) / passed : 0;
    }
    if (this.points.size > MAX_KEPT) {
      const now = new Set(status.connections.map((one) => one.key));
      for (const key of this.points.keys()) if (!now.has(key) && key !== this.chosen) this.points.delete(key);
    }
    this.say("on", "live");
    this.draw();
    if (this.tab === "names") this.fetchNames();
  }

  // -- tables

  makeTables() {
    const end = (address, port) => `${address}:${port}`;
    this.tables = {
      interfaces: new Table(byId("interfaces"), [
        { name: "name", value: (r) => r.name }, { name: "addresses", value: (r) => r.addrs.join(" ") },
        { name: "MAC", value: (r) => r.mac || "-" }, { name: "MTU", value: (r) => r.mtu, n: true },
        { name: "in", value: (r) => r.rx, text: (r) => size(r.rx), n: true }, { name: "out", value: (r) => r.tx, text: (r) => size(r.tx), n: true },
      ], { key: (r) => r.name, caption: "Interfaces" }),
      listeners: new Table(byId("listeners"), [
        { name: "protocol", value: (r) => r.protocol }, { name: "address", value: (r) => r.address }, { name: "port", value: (r) => r.port, n: true },
        { name: "queue", value: (r) => r.queue, n: true },
      ], { key: (r) => `${r.protocol} ${r.address} ${r.port}`, sort: 2, caption: "Listening" }),
      connections: new Table(byId("conntable"), [
        { name: "peer", value: (r) => end(r.remote_addr, r.remote_port), link: true },
        { name: "port", value: (r) => r.local_port, n: true }, { name: "state", value: (r) => r.state },
        { name: "rate", value: (r) => r.rate || 0, text: (r) => rate(r.rate || 0), n: true },
        { name: "RTT", value: (r) => r.srtt_us, text: (r) => duration(r.srtt_us), n: true },
        { name: "cwnd", value: (r) => r.cwnd, text: (r) => size(r.cwnd), n: true },
        { name: "in flight", value: (r) => r.in_flight, text: (r) => size(r.in_flight), n: true },
        { name: "resent", value: (r) => r.retransmits, text: (r) => whole(r.retransmits), n: true },
        { name: "send queue", value: (r) => r.send_queue, text: (r) => size(r.send_queue), n: true },
        { name: "read queue", value: (r) => r.recv_queue, text: (r) => size(r.recv_queue), n: true },
        { name: "control", value: (r) => r.congestion },
      ], { key: (r) => r.key, sort: 3, down: true, empty: "no connections", caption: "Connections",
        pick: (key) => { location.hash = `/connections/${encodeURIComponent(key)}`; }, chosen: (r) => r.key === this.chosen }),
      neighbours: new Table(byId("neightable"), [
        { name: "address", value: (r) => r.addr }, { name: "MAC", value: (r) => r.mac || "-" }, { name: "state", value: (r) => r.state },
        { name: "interface", value: (r) => this.device(r.ifindex) }, { name: "waiting", value: (r) => r.queued, n: true },
      ], { key: (r) => `${r.ifindex} ${r.addr}`, sort: 0, caption: "Neighbours" }),
      routes: new Table(byId("routetable"), [
        { name: "destination", value: (r) => r.dst }, { name: "via", value: (r) => r.gateway || "on the link" },
        { name: "interface", value: (r) => this.device(r.ifindex) }, { name: "source", value: (r) => r.src || "-" }, { name: "metric", value: (r) => r.metric, n: true },
      ], { key: (r) => `${r.dst} ${r.gateway} ${r.ifindex} ${r.metric}`, caption: "Routes" }),
      pmtu: new Table(byId("pmtutable"), [
        { name: "destination", value: (r) => r[0] }, { name: "MTU", value: (r) => r[1], n: true },
      ], { key: (r) => r[0], empty: "nothing learned: the MTU of the interface", caption: "Path MTU" }),
      drops: new Table(byId("droptable"), [
        { name: "reason", value: (r) => r[0] }, { name: "count", value: (r) => r[1], text: (r) => whole(r[1]), n: true },
        { name: "a second", value: (r) => r[2], text: (r) => whole(r[2]), n: true },
      ], { key: (r) => r[0], sort: 1, down: true, empty: "nothing has been dropped", caption: "Dropped, by reason" }),
      counters: new Table(byId("counttable"), [
        { name: "counter", value: (r) => r[0] }, { name: "count", value: (r) => r[1], text: (r) => whole(r[1]), n: true },
        { name: "a second", value: (r) => r[2], text: (r) => whole(r[2]), n: true },
      ], { key: (r) => r[0], caption: "Counters" }),
      names: new Table(byId("nametable"), [
        { name: "name", value: (r) => r.name }, { name: "type", value: (r) => r.type }, { name: "TTL", value: (r) => r.ttl, text: (r) => `${r.ttl} s`, n: true },
        { name: "data", value: (r) => r.data },
      ], { key: (r) => `${r.name} ${r.type}`, sort: 0, empty: "nothing is in the cache", caption: "Names in the cache" }),
    };
  }

  device(ifindex) {
    const found = this.status.interfaces.find((one) => one.ifindex === ifindex);
    return found ? found.name : String(ifindex);
  }

  async fetchNames() {
    try {
      const told = await (await fetch("/view/names")).json();
      setText(byId("namestext"), told.about);
      this.tables.names.update(told.entries);
    } catch { /* the badge tells */ }
  }

  // -- plots

  makePlots() {
    const place = byId("plots");
    this.plots = {
      rate: new Plot(place, "Throughput", ["in", "out"], rate, SECONDS),
      frames: new Plot(place, "Frames a second", ["in", "out"], whole, SECONDS),
      connections: new Plot(place, "Connections", ["open"], whole, SECONDS),
      trouble: new Plot(place, "Trouble, a second", ["resent", "dropped"], (v) => (v && v < 10 && v % 1 ? v.toFixed(1) : whole(v)), SECONDS),
    };
  }

  drawOverview(status) {
    const rows = this.totals;
    this.plots.rate.set(rates(rows, [1, 2]));
    this.plots.frames.set(rates(rows, [3, 4]));
    this.plots.connections.set(columnsOf(rows, [5]));
    this.plots.trouble.set(rates(rows, [6, 7]));
    const [last] = rates(rows.slice(-2), [1, 2]).slice(1).map((values) => values[0] || 0);
    const out = (rates(rows.slice(-2), [2])[1][0]) || 0;
    const memory = status.memory;
    this.tiles([
      [rate(last || 0), "received now"], [rate(out), "sent now"], [whole(status.connection_count), "connections"],
      [whole(status.counters.tcp_retrans_segs), "segments sent again"],
      [whole(Object.values(status.drops).reduce((sum, count) => sum + count, 0)), "dropped"],
      [size(memory.used), `memory of ${size(memory.limit)}`], [duration(status.loop_lag_us), "event loop late"],
    ]);
    const device = status.daemon.device;
    this.tables.interfaces.update(status.interfaces.map((one) => ({
      ...one, rx: one.name === device ? status.traffic.rx_bytes : 0, tx: one.name === device ? status.traffic.tx_bytes : 0 })));
    this.tables.listeners.update([
      ...status.listeners.map((one) => ({ protocol: "TCP", address: one.addr, port: one.port, queue: `${one.waiting} of ${one.backlog}` })),
      ...status.udp.map((one) => ({ protocol: "UDP", address: one.local_addr, port: one.local_port, queue: String(one.queued) })),
    ]);
  }

  tiles(values) {
    const place = byId("tiles");
    while (place.children.length < values.length) place.append(make("div", { class: "tile" }, make("b"), make("span")));
    values.forEach(([value, name], index) => {
      setText(place.children[index].firstChild, value);
      setText(place.children[index].lastChild, name);
    });
  }

  // -- one connection

  async choose(key) {
    if (key === this.chosen) return;
    this.chosen = key;
    for (const plot of this.detailPlots) plot.close();
    this.detailPlots = [];
    const place = byId("detail");
    place.replaceChildren();
    place.hidden = !key;
    if (!key) return;
    this.detailTitle = make("h2");
    this.detailList = make("dl");
    const plots = make("div", { class: "plots" });
    place.append(this.detailTitle, make("button", { type: "button", text: "×", "aria-label": "Close", onclick: () => { location.hash = "/connections"; } }), plots, this.detailList);
    this.detailPlots = [
      new Plot(plots, "Throughput", ["sent", "received"], rate, CONNECTION_SECONDS),
      new Plot(plots, "Window", ["cwnd", "in flight"], size, CONNECTION_SECONDS),
      new Plot(plots, "Round-trip time", ["RTT"], duration, CONNECTION_SECONDS),
    ];
    this.drawDetail();
    place.focus({ preventScroll: true });
    place.scrollIntoView({ block: "nearest" });
    try {
      const told = (await (await fetch(`/view/history?connection=${encodeURIComponent(key)}`)).json()).rows;
      const known = this.points.get(key) || [];
      const first = known.length ? known[0][0] : Infinity;
      this.points.set(key, [...told.filter((row) => row[0] < first - 0.5), ...known].slice(-CONNECTION_SECONDS));
      if (this.chosen === key) this.drawDetail();
    } catch { /* the plots begin now */ }
  }

  drawDetail() {
    if (!this.chosen) return;
    const rows = this.points.get(this.chosen) || [];
    const one = this.status && this.status.connections.find((row) => row.key === this.chosen);
    const [speed, window_, rtt] = this.detailPlots;
    speed.set(rates(rows, [3, 4], (now, before) => (now >= before ? now - before : seqDelta(now, before))));
    window_.set(columnsOf(rows, [1, 5]));
    rtt.set(columnsOf(rows, [2]));
    const ends = this.chosen.split("-");
    setText(this.detailTitle, one ? `${one.local_addr}:${one.local_port} ↔ ${one.remote_addr}:${one.remote_port}` : `${ends[0]} ↔ ${ends[1]}: has ended`);
    if (!one) return;
    const facts = [["state", one.state], ["phase", one.phase], ["control", one.congestion], ["RTT", `${duration(one.srtt_us)} ± ${duration(one.rttvar_us)}`],
      ["least RTT", duration(one.min_rtt_us)], ["RTO", duration(one.rto_us)], ["MSS", `${one.mss} B`], ["cwnd", size(one.cwnd)],
      ["ssthresh", one.ssthresh < 1 << 30 ? size(one.ssthresh) : "none yet"], ["peer's window", size(one.snd_wnd)], ["our window", size(one.rcv_wnd)],
      ["delivered", size(one.delivered)], ["delivery rate", rate(one.delivery_rate)], ["sent again", whole(one.retransmits)], ["lost", size(one.lost)],
      ["out of order", size(one.out_of_order)], ["send queue", size(one.send_queue)], ["read queue", size(one.recv_queue)],
      ["pacing", one.pacing_rate ? rate(one.pacing_rate) : "off"], ["options", one.options.join(" ") || "none"], ["loss detection", one.loss_detection],
      ["timers", Object.keys(one.timers).join(" ") || "none"]];
    const list = this.detailList;
    while (list.children.length < facts.length) list.append(make("div", {}, make("dt"), make("dd")));
    facts.forEach(([name, value], index) => {
      setText(list.children[index].firstChild, name);
      setText(list.children[index].lastChild, value);
    });
  }

  drawConnections(status) {
    const word = byId("find").value.trim().toLowerCase();
    const rows = status.connections.filter((one) => !word ||
      `${one.local_addr}:${one.local_port} ${one.remote_addr}:${one.remote_port} ${one.state} ${one.congestion}`.toLowerCase().includes(word));
    this.tables.connections.update(rows);
    const more = status.connection_count - status.connections.length;
    setText(byId("shown"), `${whole(rows.length)} of ${whole(status.connection_count)}${more > 0 ? `; the ${whole(more)} oldest are left out` : ""}`);
    this.drawDetail();
  }

  // -- the rest

  perSecond(kind, values) {
    const before = this.before && this.before[kind], passed = before ? this.status.time - before.time : 0;
    const rows = Object.entries(values).map(([name, count]) => [name, count, passed > 0 ? (count - (before.values[name] || 0)) / passed : 0]);
    if (passed > 0 && passed < 0.5) return null; // drawn again within the same second
    this.before = { ...this.before, [kind]: { time: this.status.time, values } };
    return rows;
  }

  drawCounters(status) {
    const drops = this.perSecond("drops", status.drops), counts = this.perSecond("counters", status.counters);
    if (drops) this.tables.drops.update(drops);
    if (counts) this.tables.counters.update(counts);
  }

  drawServices(status) {
    const place = byId("servicelist");
    this.serviceTables = this.serviceTables || new Map();
    const shown = ["attach", "socks", "forwards", "dns"].filter((name) => status[name]);
    byId("tab-services").hidden = shown.length === 0;
    for (const name of shown) {
      const value = Array.isArray(status[name]) ? { entries: status[name] } : status[name];
      for (const [field, rows] of Object.entries(value).filter(([, inner]) => Array.isArray(inner))) {
        const id = `${name}: ${field}`;
        if (!this.serviceTables.has(id)) {
          if (!rows.length) { this.serviceFact(place, id, "none"); continue; }
          this.serviceFact(place, id, "");
          const box = make("div", { class: "wide" });
          place.append(make("h2", { text: id }), box);
          const columns = Object.keys(rows[0]).map((key) => ({ name: key, value: (row) => row[key], n: typeof rows[0][key] === "number" }));
          this.serviceTables.set(id, new Table(box, columns, { caption: id }));
        }
        this.serviceTables.get(id).update(rows);
      }
      for (const [field, inner] of Object.entries(value).filter(([, one]) => !Array.isArray(one))) {
        const told = inner && typeof inner === "object" ? Object.entries(inner).map(([key, one]) => `${key} ${typeof one === "object" ? JSON.stringify(one) : one}`).join(", ") || "none" : String(inner);
        this.serviceFact(place, `${name}: ${field}`, told);
      }
    }
  }

  serviceFact(place, name, text) {
    if (!this.facts) place.prepend(this.facts = make("dl"));
    this.factRows = this.factRows || new Map();
    let row = this.factRows.get(name);
    if (!row) {
      if (!text) return;
      this.factRows.set(name, row = make("div", {}, make("dt", { text: name }), make("dd")));
      this.facts.append(row);
    }
    row.hidden = !text;
    setText(row.lastChild, text);
  }

  draw() {
    const status = this.status;
    if (!status) return;
    setText(byId("address"), status.daemon.address);
    setText(byId("device"), `on ${status.daemon.device}`);
    setText(byId("uptime"), `up ${clock(status.daemon.uptime_s)}`);
    document.title = `tapstack ${status.daemon.address.split("/")[0]}`;
    if (this.tab === "overview") this.drawOverview(status);
    else if (this.tab === "connections") this.drawConnections(status);
    else if (this.tab === "neighbours") this.tables.neighbours.update(status.neighbors);
    else if (this.tab === "routes") {
      this.tables.routes.update(status.routes);
      this.tables.pmtu.update(Object.entries(status.pmtu));
    } else if (this.tab === "counters") this.drawCounters(status);
    this.drawServices(status);
  }
}

addEventListener("DOMContentLoaded", () => { globalThis.page = new Page(); });
