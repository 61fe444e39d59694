// Pictures as the service sends them; their layout is described in metalore/serve/live/scene.py.

const HEAD_BYTES = 16;

export class Reader {
  constructor(hello) {
    this.users = hello.users;
    this.sensors = hello.sensors.length;
    this.zones = hello.zones.length;
    this.wide = hello.wide;
    this.columns = hello.columns;
    this.worlds = hello.sides.map(() => ({
      x: new Uint16Array(this.users),
      y: new Uint16Array(this.users),
      zone: this.wide ? new Uint16Array(this.users) : new Uint8Array(this.users),
      ages: new Uint8Array(this.sensors),
      columns: {},
    }));
    this.absent = this.wide ? 65535 : 255;
    this.lone = this.absent - 1;
  }

  // Returns null for a picture of other cities than those announced.
  read(buffer) {
    const view = new DataView(buffer);
    if (view.getUint8(0) !== 1 || view.getUint8(2) !== this.worlds.length) return null;
    const changes = view.getUint8(1) === 1;
    this.buffer = buffer;
    this.at = HEAD_BYTES;
    for (const world of this.worlds) {
      if (changes) this.readChanges(world);
      else this.readWhole(world);
      world.ages = this.take(Uint8Array, this.sensors);
      for (const [name, bytes] of this.columns) {
        world.columns[name] = this.take(bytes === 1 ? Uint8Array : Uint16Array, this.zones);
      }
    }
    if (this.at !== buffer.byteLength) return null;
    return { playing: view.getUint8(3) === 1, number: view.getUint32(4, true), time_s: view.getFloat64(8, true) };
  }

  take(kind, count) {
    const bytes = count * kind.BYTES_PER_ELEMENT;
    const part = new kind(this.buffer.slice(this.at, this.at + bytes)); // a copy, since u16 must lie on even bytes
    this.at += bytes;
    return part;
  }

  readWhole(world) {
    world.x.set(this.take(Uint16Array, this.users));
    world.y.set(this.take(Uint16Array, this.users));
    world.zone.set(this.take(world.zone.constructor, this.users));
  }

  readChanges(world) {
    const bits = this.take(Uint8Array, Math.ceil(this.users / 8));
    const changed = [];
    for (let u = 0; u < this.users; u++) if (bits[u >> 3] & (1 << (u & 7))) changed.push(u);
    const x = this.take(Uint16Array, changed.length);
    const y = this.take(Uint16Array, changed.length);
    const zone = this.take(world.zone.constructor, changed.length);
    changed.forEach((u, i) => {
      world.x[u] = x[i];
      world.y[u] = y[i];
      world.zone[u] = zone[i];
    });
  }
}
