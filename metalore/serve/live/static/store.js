// What intervals said, and series of it: for one zone, or summed over the city.

const MOST = 180;
const KEPT = 40; // happenings of each zone

const sum = (values) => values.reduce((a, b) => a + (b ?? 0), 0);

// A mean of what zones say, each counting as often as it answered requests.
function weighted(values, weights) {
  let total = 0;
  let weight = 0;
  values.forEach((value, z) => {
    if (value !== null) { total += value * weights[z]; weight += weights[z]; }
  });
  return weight ? total / weight : null;
}

export class Store {
  constructor(hello) {
    this.hello = hello;
    this.intervals = [];
    this.ofZone = new Map();
    this.happened = [];
  }

  add(interval) {
    this.intervals.push(interval);
    if (this.intervals.length > MOST) this.intervals.shift();
  }

  note(happening) {
    this.happened.push(happening);
    if (this.happened.length > MOST) this.happened.shift();
    if (!happening.zone) return;
    const list = this.ofZone.get(happening.zone) ?? [];
    list.push(happening);
    if (list.length > KEPT) list.shift();
    this.ofZone.set(happening.zone, list);
  }

  get newest() {
    return this.intervals.at(-1);
  }

  // A column over time; `zone` -1: summed over zones, ages as means.
  series(world, column, zone) {
    return this.intervals.map((interval) => this.value(interval.worlds[world], column, zone));
  }

  value(numbers, column, zone) {
    if (!numbers) return null;
    const values = column === "queue_requests" ? numbers.queues.map((q) => q[0])
      : column === "queue_updates" ? numbers.queues.map((q) => q[1]) : numbers[column];
    if (zone >= 0) return values[zone];
    return column.endsWith("_s") || column.endsWith("_ms") ? weighted(values, numbers.completed) : sum(values);
  }

  times() {
    return this.intervals.map((interval) => interval.time_s);
  }

  // Times and values of a forecast's quantile: in the past one interval ahead, from now on as far as it looks.
  fan(world, zone) {
    const at = new Map();
    const put = (forecast, h) => {
      const of = (values) => (zone >= 0 ? values[zone][h] : sum(values.map((row) => row[h])));
      at.set(forecast.times_s[h], [of(forecast.cores_p50), of(forecast.cores_p90)]);
    };
    for (const interval of this.intervals) {
      const forecast = interval.worlds[world].forecast;
      if (forecast) put(forecast, 0);
    }
    const newest = this.newest?.worlds[world].forecast;
    newest?.times_s.forEach((_, h) => put(newest, h));
    return at;
  }
}
