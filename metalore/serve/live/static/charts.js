// Three small charts of the city or of a zone, drawn by uPlot.

import uPlot from "./vendor/uplot.js";

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const pair = (a, b) => `${String(Math.floor(a)).padStart(2, "0")}:${String(Math.floor(b)).padStart(2, "0")}`;

// Hours and minutes; of short episodes minutes and seconds.
function clock(seconds, short) {
  const s = ((seconds % 86400) + 86400) % 86400;
  return short ? pair(s / 60, s % 60) : pair(s / 3600, (s % 3600) / 60);
}

// Each line: label, column or fan, colour, whether dashed (for B).
function linesOf(kind, worlds) {
  const lines = [];
  for (let w = 0; w < worlds; w++) {
    const name = worlds > 1 ? ` ${"AB"[w]}` : "";
    const dash = w === 1;
    if (kind === "cores") {
      lines.push({ w, column: "given_cores", label: `given${name}`, colour: "--ink", dash, stepped: true });
      lines.push({ w, column: "cpu_cores", label: `used${name}`, colour: "--requests", dash });
      if (w === 0) {
        lines.push({ w, fan: 0, label: "forecast", colour: "--good", fanned: true });
        lines.push({ w, fan: 1, colour: "--good", hidden: true });
      }
    } else if (kind === "ages") {
      lines.push({ w, column: "aori_s", label: `AoRI${name}`, colour: "--requests", dash });
      lines.push({ w, column: "aosi_s", label: `AoSI${name}`, colour: "--updates", dash });
    } else {
      lines.push({ w, column: "queue_requests", label: `requests${name}`, colour: "--requests", dash });
      lines.push({ w, column: "queue_updates", label: `updates${name}`, colour: "--updates", dash });
    }
  }
  return lines;
}

const TITLES = { cores: "Cores", ages: "Ages, s", queues: "Jobs queued" };

export class Charts {
  constructor() {
    this.kinds = ["cores", "ages", "queues"];
    this.plots = {};
    new ResizeObserver(() => this.fit()).observe(document.querySelector(".charts"));
  }

  begin(hello) {
    this.hello = hello;
    for (const kind of this.kinds) this.make(kind);
  }

  size() {
    const box = document.querySelector(".charts");
    const style = getComputedStyle(box);
    const width = box.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    const beside = box.offsetTop === document.getElementById("story").offsetTop; // there is room below
    const height = Math.max(72, Math.min(window.innerHeight * (beside ? 0.15 : 0.105), 0.45 * width));
    return { width: Math.max(120, Math.floor(width)), height: Math.round(height) };
  }

  fit() {
    for (const plot of Object.values(this.plots)) plot.setSize(this.size());
  }

  make(kind) {
    this.plots[kind]?.destroy();
    const lines = (this.lines ??= {}, this.lines[kind] = linesOf(kind, this.hello.sides.length));
    const root = parseFloat(getComputedStyle(document.documentElement).fontSize);
    const ratio = window.devicePixelRatio || 1;
    const font = `${Math.round(0.8 * root)}px system-ui, "DejaVu Sans", sans-serif`;
    const axis = { stroke: css("--muted"), font, grid: { stroke: css("--line"), width: 1 / ratio }, ticks: { show: false } };
    const fan = lines.findIndex((line) => line.hidden) + 1;
    this.plots[kind] = new uPlot({
      ...this.size(),
      cursor: { show: false },
      legend: { show: false },
      padding: [6, 1.5 * root, 0, 0],
      scales: { x: { time: false }, y: { range: (_, low, high) => [0, high > 0 ? high * 1.08 : 1] } },
      axes: [
        { ...axis, values: (_, splits) => splits.map((s) => clock(s + this.hello.clock_s, !this.hello.city)), size: 1.5 * root, space: 4.5 * root,
          incrs: [10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400] },
        { ...axis, size: 2.8 * root, space: 1.6 * root, values: (_, splits) => splits.map((s) => String(Number(s.toPrecision(3)))) },
      ],
      series: [{}, ...lines.map((line) => ({
        label: line.label,
        stroke: line.hidden || line.fanned ? css(line.colour) + "cc" : css(line.colour),
        width: line.hidden ? 0 : line.fanned ? 1.2 : 2,
        dash: line.dash ? [5, 4] : undefined,
        paths: line.stepped ? uPlot.paths.stepped({ align: 1 }) : undefined,
        points: { show: false },
        spanGaps: true,
      }))],
      bands: fan ? [{ series: [fan, fan - 1], fill: css("--good") + "55" }] : [],
    }, [[], ...lines.map(() => [])], document.getElementById(kind));
    this.caption(kind, lines);
  }

  caption(kind, lines) {
    const title = document.getElementById(`${kind}-title`);
    const name = document.createElement("b");
    name.textContent = TITLES[kind];
    title.replaceChildren(name, ...lines.filter((line) => line.label).map((line) => {
      const sign = document.createElement("i");
      sign.textContent = line.label;
      sign.className = line.fanned ? "fan" : line.dash ? "dash" : "";
      sign.style.setProperty("--stroke", css(line.colour));
      return sign;
    }));
  }

  update(store, zone) {
    const past = store.times();
    if (!past.length) {
      for (const [kind, plot] of Object.entries(this.plots)) plot.setData([[], ...this.lines[kind].map(() => [])]);
      return;
    }
    const fan = store.fan(0, zone);
    const ahead = [...fan.keys()].filter((time) => time > past.at(-1)).sort((a, b) => a - b);
    const times = [...past, ...ahead];
    const empty = ahead.map(() => null);
    for (const [kind, plot] of Object.entries(this.plots)) {
      this.describe(kind, store, zone);
      plot.setData([times, ...this.lines[kind].map((line) => (line.fan === undefined
        ? [...store.series(line.w, line.column, zone), ...empty]
        : times.map((time) => fan.get(time)?.[line.fan] ?? null)))]);
    }
  }

  // The newest values, for who cannot see the lines.
  describe(kind, store, zone) {
    const values = this.lines[kind].filter((line) => line.column)
      .map((line) => `${line.label} ${store.series(line.w, line.column, zone).at(-1)?.toPrecision(3) ?? "unknown"}`);
    document.getElementById(kind).setAttribute("aria-label", `${TITLES[kind]} now: ${values.join(", ")}`);
  }

  // Values by line, for tests.
  data(kind) {
    return Object.fromEntries(this.lines[kind].map((line, i) => [line.label ?? "0.9 quantile", this.plots[kind].data[i + 1]]));
  }
}
