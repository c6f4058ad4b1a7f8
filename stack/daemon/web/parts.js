"use strict";
/* What the tabs are made of: numbers for people, tables that keep their rows, plots. */

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === "text") element.textContent = value;
    else if (name === "onclick") element.addEventListener("click", value);
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

const byId = (id) => document.getElementById(id);
const setText = (element, text) => { if (element.textContent !== text) element.textContent = text; };

function size(count) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (count >= 1024 && unit < units.length - 1) { count /= 1024; unit += 1; }
  return `${unit === 0 || count >= 100 ? Math.round(count) : count.toFixed(1)} ${units[unit]}`;
}
const rate = (bytes) => `${size(bytes)}/s`;
function duration(micros) {
  if (!(micros > 0)) return "-";
  if (micros < 1000) return `${Math.round(micros)} µs`;
  return micros < 1e6 ? `${(micros / 1000).toFixed(micros < 1e5 ? 2 : 0)} ms` : `${(micros / 1e6).toFixed(1)} s`;
}
const whole = (count) => Math.round(count).toLocaleString("en");
const clock = (seconds) => {
  const pad = (n) => String(n).padStart(2, "0");
  return `${Math.floor(seconds / 3600)}:${pad(Math.floor(seconds / 60) % 60)}:${pad(seconds % 60)}`;
};
/* sequence numbers go round at 2^32 */
const seqDelta = (now, before) => (now - before + 4294967296) % 4294967296;

/* A table whose rows have keys: rows that stay are changed in place, so that a selection, the focus and the scroll
   position stay too. `columns`: {name, value(row), text(row)?, n?: right-aligned, link?: the button of the row}. */
class Table {
  constructor(place, columns, options) {
    this.columns = columns;
    this.options = Object.assign({ key: (row) => JSON.stringify(row), empty: "none", sort: null, down: false }, options);
    this.rows = new Map();
    this.body = make("tbody");
    this.head = make("tr");
    columns.forEach((column, index) => {
      const button = make("button", { type: "button", text: column.name, onclick: () => this.sortBy(index) });
      this.head.append(make("th", { scope: "col", class: column.n ? "n" : null }, button));
    });
    this.element = make("table", { class: "cards" });
    if (this.options.caption) this.element.setAttribute("aria-label", this.options.caption);
    this.element.append(make("thead", {}, this.head), this.body);
    this.nothing = make("p", { class: "empty", text: this.options.empty });
    place.append(this.element, this.nothing);
    this.last = [];
    this.mark();
  }

  sortBy(index) {
    this.options.down = this.options.sort === index ? !this.options.down : Boolean(this.columns[index].n);
    this.options.sort = index;
    this.mark();
    this.update(this.last);
  }

  mark() {
    [...this.head.children].forEach((cell, index) => {
      if (index === this.options.sort) cell.setAttribute("aria-sort", this.options.down ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    });
  }

  update(data) {
    this.last = data;
    const { sort, down, key } = this.options;
    if (sort !== null) {
      const value = this.columns[sort].value;
      data = [...data].sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        const order = x < y ? -1 : x > y ? 1 : 0;
        return down ? -order : order;
      });
    }
    const seen = new Set();
    let before = null;
    for (const row of data) {
      const name = key(row);
      if (seen.has(name)) continue;
      seen.add(name);
      let line = this.rows.get(name);
      if (!line) this.rows.set(name, line = this.line(name));
      this.fill(line, row);
      const place = before ? before.nextSibling : this.body.firstChild;
      if (place !== line) this.body.insertBefore(line, place);
      before = line;
    }
    for (const [name, line] of this.rows) if (!seen.has(name)) { line.remove(); this.rows.delete(name); }
    this.element.hidden = data.length === 0;
    this.nothing.hidden = data.length > 0;
  }

  line(name) {
    const pick = this.options.pick;
    const line = make("tr", { class: pick ? "pick" : null });
    for (const column of this.columns) {
      const cell = make("td", { class: column.n ? "n" : null, "data-h": column.name });
      if (column.link && pick) cell.append(make("button", { type: "button", class: "link" }));
      line.append(cell);
    }
    if (pick) line.addEventListener("click", () => pick(name));
    return line;
  }

  fill(line, row) {
    this.columns.forEach((column, index) => {
      const cell = line.children[index];
      const text = String(column.text ? column.text(row) : column.value(row));
      setText(cell.firstElementChild || cell, text);
    });
    line.classList.toggle("chosen", this.options.chosen ? this.options.chosen(row) : false);
  }
}

const POWERS = Array.from({ length: 48 }, (_, index) => 2 ** index);
const WHOLE = Array.from({ length: 13 }, (_, power) => [1, 2, 5].map((digit) => digit * 10 ** power)).flat();

/* One plot: `series` are names, `show` turns a value to text. Data are columns, the first of times in seconds. */
class Plot {
  constructor(place, title, series, show, seconds) {
    this.series = series;
    this.show = show;
    this.seconds = seconds;
    this.steps = show === size || show === rate ? POWERS : show === whole ? WHOLE : undefined;
    this.values = series.map((name, index) => make("span", {}, make("i", { class: ["one", "two", "three"][index] }), ""));
    this.figure = make("figure", { class: "plot" }, make("figcaption", {}, title, ...this.values));
    this.box = make("div", { role: "img", "aria-label": title });
    this.figure.append(this.box);
    place.append(this.figure);
    this.title = title;
    this.data = [[], ...series.map(() => [])];
    this.plot = null;
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(this.box);
    this.theme = matchMedia("(prefers-color-scheme: dark)");
    this.onTheme = () => this.build();
    this.theme.addEventListener("change", this.onTheme);
  }

  width() { return Math.floor(this.box.clientWidth); }
  height() { return innerWidth < 640 ? 130 : 160; }

  build() {
    if (this.plot) this.plot.destroy();
    this.plot = null;
    if (this.width() < 50) return;
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--grid"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    this.plot = new uPlot({
      width: this.width(), height: this.height(), padding: [8, 26, 0, 0],
      cursor: { drag: { x: false, y: false }, points: { size: 6 } }, legend: { show: false },
      scales: { x: { time: true, range: (_u, low, high) => [Math.max(high - this.seconds, Math.min(low, high - 60)), high] }, y: { range: (_u, _low, high) => [0, high > 0 ? high * 1.1 : 1] } },
      axes: [
        { ...axis, size: 26, space: 70, values: (_u, ticks) => ticks.map((t) => new Date(t * 1000).toLocaleTimeString("en-GB")) },
        { ...axis, size: 72, space: 32, incrs: this.steps, values: (_u, ticks) => ticks.map((t) => (t === 0 ? "0" : this.show(t))) },
      ],
      series: [{}, ...this.series.map((name, index) => ({
        label: name, stroke: colour(["--one", "--two", "--three"][index]), width: 1.6, points: { show: false },
        fill: index === 0 ? colour("--one") + "22" : undefined,
      }))],
    }, this.data, this.box);
  }

  resize() {
    const width = this.width();
    if (width < 50) return;
    if (!this.plot) this.build();
    else if (this.plot.width !== width) this.plot.setSize({ width, height: this.height() });
  }

  set(data) {
    this.data = data;
    if (!this.plot) this.build();
    else this.plot.setData(data);
    const at = data[0].length - 1;
    this.series.forEach((name, index) => {
      const value = at >= 0 ? this.show(data[index + 1][at] || 0) : "-";
      setText(this.values[index].lastChild, `${name} ${value}`);
    });
    this.box.setAttribute("aria-label", `${this.title}: ${this.values.map((one) => one.textContent).join(", ")}`);
    this.figure.dataset.points = data[0].length;
  }

  close() {
    this.observer.disconnect();
    this.theme.removeEventListener("change", this.onTheme);
    if (this.plot) this.plot.destroy();
    this.figure.remove();
  }
}

/* Columns of rates from rows of totals: [time, total, ...] -> [[times], [rate], ...]. `delta` subtracts. */
function rates(rows, columns, delta = (now, before) => Math.max(0, now - before)) {
  const data = [[], ...columns.map(() => [])];
  for (let i = 1; i < rows.length; i += 1) {
    const passed = rows[i][0] - rows[i - 1][0];
    if (passed <= 0) continue;
    data[0].push(rows[i][0]);
    columns.forEach((column, index) => data[index + 1].push(delta(rows[i][column], rows[i - 1][column]) / passed));
  }
  return data;
}
const columnsOf = (rows, columns) => [rows.map((row) => row[0]), ...columns.map((column) => rows.map((row) => row[column]))];

/* Rows of totals, the newest at the end, one for each time. */
function addRow(rows, row, most) {
  if (rows.length && row[0] <= rows[rows.length - 1][0]) return;
  rows.push(row);
  if (rows.length > most) rows.splice(0, rows.length - most);
}
