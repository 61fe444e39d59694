// The map: one canvas with a city, or two side by side. Users glide from picture to picture.

const FRAME_MS = 1000 / 30;
const FLASH_MS = 700; // a line from a user to the station just attached to
const MOST_FLASHES = 150;
const JUMP = 0.06; // of the map's side: farther than anybody walks between two pictures

export function colourOf(zone, light) {
  const hue = (zone * 137.508 + 205) % 360;
  return light ? `hsl(${hue} 75% ${zone % 2 ? 30 : 38}%)` : `hsl(${hue} 70% ${zone % 2 ? 72 : 62}%)`;
}

export class CityMap {
  constructor(canvas, onPick) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.selected = -1;
    this.stats = { frames: 0, pictures: 0, drawing_ms: 0, shown_at: 0 };
    this.dirty = true;
    this.caption = "";
    canvas.addEventListener("click", (event) => {
      const zone = this.zoneAt(event.offsetX, event.offsetY);
      if (zone >= 0) onPick(zone);
    });
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.last = 0;
    const loop = (now) => {
      requestAnimationFrame(loop);
      if (now - this.last < FRAME_MS - 4 || !this.hello) return;
      if (!this.dirty && now > this.until) return;
      this.last = now;
      this.dirty = false;
      const began = performance.now();
      this.draw(now);
      this.stats.drawing_ms += performance.now() - began;
      this.stats.frames++;
      if (this.stats.shown_at === 0 && this.worlds[0].zone) this.tellWhenShown();
    };
    requestAnimationFrame(loop);
  }

  // The first picture is on the screen when the next frame begins; in ms since 1970, to be compared with other clocks.
  tellWhenShown() {
    this.stats.shown_at = -1;
    requestAnimationFrame(() => { this.stats.shown_at = Date.now(); });
  }

  begin(hello, reader) {
    this.hello = hello;
    this.reader = reader;
    const n = hello.users;
    this.worlds = hello.sides.map(() => ({
      fromX: new Float32Array(n), fromY: new Float32Array(n), toX: new Float32Array(n), toY: new Float32Array(n),
      zone: null, flashes: [], glow: new Float32Array(hello.sensors.length),
      given: new Float32Array(hello.zones.length), used: new Float32Array(hello.zones.length),
      givenTo: null, busy: new Float32Array(hello.zones.length),
    }));
    this.arrived = 0;
    this.gap = 100;
    this.until = 0;
    this.largest = 0;
    this.resize();
  }

  resize() {
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const { clientWidth, clientHeight } = this.canvas;
    if (!clientWidth || !this.hello) return;
    this.canvas.width = Math.round(clientWidth * ratio);
    this.canvas.height = Math.round(clientHeight * ratio);
    this.ratio = ratio;
    this.layOut();
    this.paintGround();
    this.dirty = true;
  }

  // Where each world's map lies, in pixels of the canvas.
  layOut() {
    const { width_m, height_m } = this.hello.map;
    const worlds = this.hello.sides.length;
    this.unit = this.ratio * Math.max(1, Math.min(this.canvas.clientWidth / worlds, this.canvas.clientHeight) / 620);
    const head = 26 * this.unit;
    const pad = 6 * this.unit;
    const fits = (columns) => {
      const rows = Math.ceil(worlds / columns);
      const w = this.canvas.width / columns - 2 * pad;
      const h = this.canvas.height / rows - head - pad;
      return { columns, w, h, scale: Math.min(w / width_m, h / height_m) };
    };
    const best = [1, worlds].map(fits).reduce((a, b) => (b.scale > a.scale ? b : a));
    this.scale = best.scale;
    this.places = this.hello.sides.map((_, i) => {
      const column = i % best.columns;
      const row = Math.floor(i / best.columns);
      const left = column * (best.w + 2 * pad) + pad + (best.w - width_m * best.scale) / 2;
      const top = row * (best.h + head + pad) + head + (best.h - height_m * best.scale) / 2;
      return { left, top, width: width_m * best.scale, height: height_m * best.scale };
    });
    const spacing = Math.sqrt((width_m * height_m) / this.hello.zones.length) * best.scale;
    this.reach = 0.36 * spacing;
    this.stations = this.hello.zones.map((z) => [z.x * best.scale, (height_m - z.y) * best.scale]);
    this.sensors = this.hello.sensors.map(([x, y]) => [x * best.scale, (height_m - y) * best.scale]);
  }

  get light() {
    return document.documentElement.dataset.theme === "light";
  }

  paintGround() {
    const style = getComputedStyle(document.documentElement);
    const read = (name) => style.getPropertyValue(name).trim();
    this.ink = { page: read("--page"), ground: read("--ground"), line: read("--line"), ink: read("--ink"),
      muted: read("--muted"), requests: read("--requests"), updates: read("--updates"), alarm: read("--alarm") };
    this.colours = this.hello.zones.map((_, z) => colourOf(z, this.light));
    const { width, height } = this.places[0];
    this.ground = new OffscreenCanvas(Math.max(1, Math.round(width)), Math.max(1, Math.round(height)));
    const context = this.ground.getContext("2d");
    context.fillStyle = this.ink.ground;
    context.fillRect(0, 0, width, height);
    this.paintTerritories(context, width, height);
    this.labels = new OffscreenCanvas(this.ground.width, this.ground.height);
    this.paintLabels(this.labels.getContext("2d"), width, height);
  }

  // Each place in the colour of its nearest station, faintly.
  paintTerritories(context, width, height) {
    const cell = Math.max(2, Math.round(width / 300));
    const columns = Math.ceil(width / cell);
    const rows = Math.ceil(height / cell);
    const nearest = new Int32Array(columns * rows);
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < columns; c++) {
        let best = 0;
        let least = Infinity;
        for (let z = 0; z < this.stations.length; z++) {
          const dx = this.stations[z][0] - c * cell;
          const dy = this.stations[z][1] - r * cell;
          const d = dx * dx + dy * dy;
          if (d < least) { least = d; best = z; }
        }
        nearest[r * columns + c] = best;
      }
    }
    context.globalAlpha = this.light ? 0.09 : 0.1;
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < columns; ) {
        const zone = nearest[r * columns + c];
        let end = c + 1;
        while (end < columns && nearest[r * columns + end] === zone) end++;
        context.fillStyle = this.colours[zone];
        context.fillRect(c * cell, r * cell, (end - c) * cell, cell);
        c = end;
      }
    }
    context.globalAlpha = 1;
  }

  // Names below stations; one that would lie on another is left out.
  paintLabels(context, width, height) {
    if (this.stations.length > 60) return;
    const size = Math.round(Math.min(12 * this.unit, Math.max(10 * this.ratio, 0.4 * this.reach)));
    context.font = `600 ${size}px system-ui, "DejaVu Sans", sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "top";
    context.lineJoin = "round";
    const taken = [];
    this.stations.forEach(([x, y], z) => {
      const name = this.hello.zones[z].name;
      const half = context.measureText(name).width / 2 + 2;
      const at = Math.min(Math.max(x, half), width - half);
      const below = Math.min(y + 9 * this.unit, height - size - 2);
      if (taken.some(([tx, ty, th]) => Math.abs(ty - below) < size && Math.abs(tx - at) < th + half)) return;
      taken.push([at, below, half]);
      context.lineWidth = 3 * this.unit;
      context.strokeStyle = this.ink.ground;
      context.strokeText(name, at, below);
      context.fillStyle = this.ink.ink;
      context.fillText(name, at, below);
    });
  }

  zoneAt(x, y) {
    for (const place of this.places || []) {
      const px = x * this.ratio - place.left;
      const py = y * this.ratio - place.top;
      if (px < 0 || py < 0 || px > place.width || py > place.height) continue;
      let best = -1;
      let least = Infinity;
      this.stations.forEach(([sx, sy], z) => {
        const d = (sx - px) ** 2 + (sy - py) ** 2;
        if (d < least) { least = d; best = z; }
      });
      return best;
    }
    return -1;
  }

  // The nearest zone in a direction from the selected one.
  beside(dx, dy) {
    if (this.selected < 0) return 0;
    const [x, y] = this.stations[this.selected];
    let best = this.selected;
    let least = Infinity;
    this.stations.forEach(([sx, sy], z) => {
      const along = (sx - x) * dx + (sy - y) * dy;
      const across = Math.abs((sx - x) * dy) + Math.abs((sy - y) * dx);
      if (z !== this.selected && along > across * 0.6 && along + 2 * across < least) { least = along + 2 * across; best = z; }
    });
    return best;
  }

  // A picture has been read: everybody glides from where they are seen now to where they are.
  show(now) {
    const first = this.arrived === 0;
    const part = first ? 1 : Math.min(1, (now - this.arrived) / this.gap);
    if (!first) this.gap += 0.3 * (Math.min(1200, Math.max(50, now - this.arrived)) - this.gap);
    const whole = 65535;
    this.worlds.forEach((world, w) => {
      const read = this.reader.worlds[w];
      const before = world.zone;
      for (let u = 0; u < read.x.length; u++) {
        const x = read.x[u] / whole;
        const y = 1 - read.y[u] / whole;
        const seenX = world.fromX[u] + (world.toX[u] - world.fromX[u]) * part;
        const seenY = world.fromY[u] + (world.toY[u] - world.fromY[u]) * part;
        const jumps = first || (before && before[u] === this.reader.absent) ||
          Math.abs(x - seenX) > JUMP || Math.abs(y - seenY) > JUMP;
        world.fromX[u] = jumps ? x : seenX;
        world.fromY[u] = jumps ? y : seenY;
        world.toX[u] = x;
        world.toY[u] = y;
        if (before && before[u] !== read.zone[u] && read.zone[u] < this.reader.lone && world.flashes.length < MOST_FLASHES) {
          world.flashes.push([u, read.zone[u], now]);
        }
      }
      world.zone = read.zone.slice();
      read.ages.forEach((age, s) => { if (age & 128) world.glow[s] = 1; });
      world.columns = { ...read.columns };
    });
    this.arrived = now;
    this.until = now + Math.max(this.gap, FLASH_MS) + 100;
    this.stats.pictures++;
    this.dirty = true;
  }

  // What zones were given in an interval, in cores.
  give(worlds) {
    worlds.forEach((cores, w) => {
      this.worlds[w].givenTo = cores;
      this.largest = Math.max(this.largest, ...cores);
    });
    this.dirty = true;
  }

  draw(now) {
    const context = this.context;
    context.fillStyle = this.ink.page;
    context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    const part = Math.min(1, (now - this.arrived) / this.gap);
    this.worlds.forEach((world, w) => {
      const place = this.places[w];
      this.drawTitle(context, place, w);
      context.save();
      context.translate(Math.round(place.left), Math.round(place.top));
      context.beginPath();
      context.rect(0, 0, place.width, place.height);
      context.clip();
      context.drawImage(this.ground, 0, 0);
      if (world.zone) {
        this.drawSensors(context, world);
        this.drawDiscs(context, world);
        this.drawFlashes(context, world, part, now);
        this.drawUsers(context, world, part);
        this.drawStations(context, world);
      }
      context.drawImage(this.labels, 0, 0);
      context.restore();
    });
  }

  drawTitle(context, place, w) {
    const { split, recommender } = this.hello.sides[w];
    const name = this.hello.sides.length > 1 ? `${"AB"[w]}   ` : "";
    context.font = `600 ${Math.round(13 * this.unit)}px system-ui, "DejaVu Sans", sans-serif`;
    context.textBaseline = "bottom";
    context.textAlign = "left";
    context.fillStyle = this.ink.ink;
    context.fillText(`${name}split: ${split}   size: ${recommender}`, place.left, place.top - 5 * this.unit, place.width);
    if (w === 0 && this.caption) {
      context.textAlign = "right";
      context.fillText(this.caption, this.places.at(-1).left + place.width, this.places.at(-1).top - 5 * this.unit);
    }
  }

  drawSensors(context, world) {
    const side = 2.2 * this.unit;
    const dim = [];
    const bright = [];
    world.glow.forEach((glow, s) => {
      (glow > 0.25 ? bright : dim).push(s);
      world.glow[s] = glow * 0.8;
    });
    context.fillStyle = this.ink.updates;
    for (const [list, alpha, size] of [[dim, 0.45, side], [bright, 0.95, 1.7 * side]]) {
      context.globalAlpha = alpha;
      for (const s of list) context.fillRect(this.sensors[s][0] - size / 2, this.sensors[s][1] - size / 2, size, size);
    }
    context.globalAlpha = 1;
  }

  radius(cores) {
    return this.reach * Math.sqrt(Math.max(cores, 0) / (this.largest || 1));
  }

  drawDiscs(context, world) {
    const busy = world.columns.busy;
    this.stations.forEach(([x, y], z) => {
      const to = world.givenTo ? world.givenTo[z] : 0;
      world.given[z] += 0.15 * (to - world.given[z]);
      world.busy[z] += 0.12 * (busy[z] / 255 - world.busy[z]);
      const given = world.given[z];
      const up = world.columns.up[z] > 0;
      context.fillStyle = up ? this.colours[z] : this.ink.muted;
      context.globalAlpha = 0.3;
      context.beginPath();
      context.arc(x, y, this.radius(up ? given * world.busy[z] : 0), 0, 7);
      context.fill();
      context.globalAlpha = 1;
      const full = up && world.busy[z] > 0.93;
      context.strokeStyle = !up || full ? this.ink.alarm : this.colours[z];
      context.setLineDash(!up || full ? [5 * this.unit, 3 * this.unit] : []);
      context.lineWidth = (z === this.selected ? 4 : 2) * this.unit;
      context.beginPath();
      context.arc(x, y, Math.max(this.radius(given), 2), 0, 7);
      context.stroke();
      context.setLineDash([]);
      if (z === this.selected) {
        context.strokeStyle = this.ink.ink;
        context.lineWidth = 1.5 * this.unit;
        context.beginPath();
        context.arc(x, y, Math.max(this.radius(given), 2) + 5 * this.unit, 0, 7);
        context.stroke();
      }
    });
  }

  drawFlashes(context, world, part, now) {
    const { width, height } = this.places[0];
    world.flashes = world.flashes.filter(([, , began]) => now - began < FLASH_MS);
    context.lineWidth = 1.2 * this.unit;
    for (const [u, zone, began] of world.flashes) {
      context.globalAlpha = 0.8 * (1 - (now - began) / FLASH_MS);
      context.strokeStyle = this.colours[zone];
      context.beginPath();
      context.moveTo((world.fromX[u] + (world.toX[u] - world.fromX[u]) * part) * width,
        (world.fromY[u] + (world.toY[u] - world.fromY[u]) * part) * height);
      context.lineTo(...this.stations[zone]);
      context.stroke();
    }
    context.globalAlpha = 1;
  }

  drawUsers(context, world, part) {
    const { width, height } = this.places[0];
    const side = Math.max(2, (world.zone.length > 400 ? 2.6 : 6) * this.unit);
    const buckets = this.colours.map(() => []);
    const lone = [];
    for (let u = 0; u < world.zone.length; u++) {
      const zone = world.zone[u];
      if (zone === this.reader.absent) continue;
      (zone === this.reader.lone ? lone : buckets[zone]).push(u);
    }
    const dots = (list, colour) => {
      context.fillStyle = colour;
      for (const u of list) {
        const x = (world.fromX[u] + (world.toX[u] - world.fromX[u]) * part) * width;
        const y = (world.fromY[u] + (world.toY[u] - world.fromY[u]) * part) * height;
        context.fillRect(x - side / 2, y - side / 2, side, side);
      }
    };
    buckets.forEach((list, z) => dots(list, this.colours[z]));
    dots(lone, this.ink.muted);
  }

  // A station, and beside it a bar for each queue, in the logarithm of its length: full at 400 jobs.
  drawStations(context, world) {
    const u = this.unit;
    const { requests, updates, up } = world.columns;
    this.stations.forEach(([x, y], z) => {
      context.fillStyle = this.ink.ground;
      context.beginPath();
      context.arc(x, y, 5 * u, 0, 7);
      context.fill();
      context.fillStyle = up[z] ? this.ink.ink : this.ink.alarm;
      context.beginPath();
      context.moveTo(x, y - 4.5 * u);
      context.lineTo(x - 4 * u, y + 3 * u);
      context.lineTo(x + 4 * u, y + 3 * u);
      context.fill();
      [[requests, this.ink.requests], [updates, this.ink.updates]].forEach(([queue, colour], k) => {
        const height = Math.min(1, Math.log1p(queue[z]) / Math.log(401)) * 20 * u;
        if (height < 0.5) return;
        context.fillStyle = this.ink.ground;
        context.fillRect(x + (7 + 5 * k) * u - u, y + 4 * u - height - u, 6 * u, height + 2 * u);
        context.fillStyle = colour;
        context.fillRect(x + (7 + 5 * k) * u, y + 4 * u - height, 4 * u, height);
      });
      if (!up[z]) {
        context.strokeStyle = this.ink.alarm;
        context.lineWidth = 3 * u;
        context.beginPath();
        context.moveTo(x - 11 * u, y - 11 * u);
        context.lineTo(x + 11 * u, y + 11 * u);
        context.moveTo(x + 11 * u, y - 11 * u);
        context.lineTo(x - 11 * u, y + 11 * u);
        context.stroke();
      }
    });
  }
}
