// The page: what comes over the WebSocket, what is shown of it, and what buttons and keys ask for.

import { Charts } from "./charts.js";
import { CityMap } from "./map.js";
import { Reader } from "./picture.js";
import { Recorder } from "./record.js";
import { Store } from "./store.js";

const $ = (id) => document.getElementById(id);
const MOST_LINES = 120;
const SAID_EVERY_MS = 4000; // what is read aloud must not come faster than it can be read
const MOST_SAID = 5;
const AGAIN_MS = 1500;
const DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const KINDS = { city: "city", failure: "failure", scale: "size", forecast: "forecast", service: "service", cluster: "cluster", session: "you" };

const address = new URL(location.href);
const session = address.searchParams.get("session") ?? "main";
const map = new CityMap($("map"), (zone) => choose(zone));
const charts = new Charts();
const recorder = new Recorder($("map"), $("record"));
let socket = null;
let hello = null;
let reader = null;
let store = null;
let state = { playing: false, speed: 1 };
let chosen = -1;
let newest = null;
let token = "";
let saidAt = -Infinity;
let sayTimer = 0;
let unsaid = [];
let cluster = null; // how it stands with the cluster that is followed, if one is
const clusterZones = new Map();

// -- connection -------------------------------------------------------------------------------------------------------

function connect() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const protocols = ["metalore-live"];
  if (token) protocols.push(`token.${btoa(token).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`);
  socket = new WebSocket(`${scheme}://${location.host}/live/socket?session=${encodeURIComponent(session)}`, protocols);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    notice("");
    clusterZones.clear(); // all of them come anew
  };
  socket.onmessage = ({ data }) => (typeof data === "string" ? take(JSON.parse(data)) : see(data));
  socket.onclose = ({ code, reason }) => {
    if (code === 4401) return askForToken();
    if (code === 4403) return notice(reason || "this page was refused");
    notice("The service cannot be reached; trying again …");
    setTimeout(connect, AGAIN_MS);
  };
}

function ask(command) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(command));
}

function askForToken() {
  $("token-dialog").showModal();
  $("token-dialog").onclose = () => {
    token = $("token").value;
    connect();
  };
}

function take(message) {
  if (message.type === "hello") begin(message);
  else if (message.type === "history") message.intervals.forEach((interval) => takeInterval(interval, true));
  else if (message.type === "interval") takeInterval(message, false);
  else if (message.type === "happenings") happen(message.happenings, message.past);
  else if (message.type === "state") showState(message);
  else if (message.type === "cluster") takeCluster(message);
  else if (message.type === "error" || message.type === "refused") notice(message.text);
  if (message.type === "history") refresh();
}

function see(buffer) {
  const head = reader?.read(buffer);
  if (!head) return;
  measurePace(head);
  newest = head;
  map.show(performance.now());
  document.body.dataset.pictures = String(map.stats.pictures);
  showClock();
}

// -- a session begins -------------------------------------------------------------------------------------------------

function begin(message) {
  const same = hello && hello.zones.length === message.zones.length && hello.zones.every((z, i) => z.name === message.zones[i].name);
  hello = message;
  reader = new Reader(hello);
  store = new Store(hello);
  newest = null;
  map.begin(hello, reader);
  charts.begin(hello);
  $("feed").replaceChildren();
  $("scenario").textContent = `${hello.wishes.scenario}, seed ${hello.wishes.seed}`;
  options($("zone"), [["-1", "the whole city"], ...hello.zones.map((z, i) => [String(i), z.name])]);
  const asked = hello.zones.findIndex((z) => z.name === address.searchParams.get("zone"));
  choose(same ? chosen : asked, false);
  const speeds = [...new Set([...hello.offer.speeds, hello.speed])].sort((a, b) => a - b);
  options($("speed"), speeds.map((speed) => [String(speed), `${speed}×`]));
  fillSettings();
  showState(message);
}

function options(select, pairs) {
  select.replaceChildren(...pairs.map(([value, text]) => new Option(text, value)));
}

function fillSettings() {
  const form = $("settings-dialog").querySelector("form");
  const { offer, wishes } = hello;
  options(form.scenario, offer.scenarios.map((name) => [name, name]));
  options(form.forecaster, offer.forecasters.map((name) => [name, name]));
  options($("splits"), offer.splits.map((name) => [name, name]));
  options($("recommenders"), offer.recommenders.map((name) => [name, name]));
  for (const name of ["scenario", "seed", "day", "hour", "forecaster"]) form[name].value = wishes[name];
  form.split.value = wishes.side.split;
  form.recommender.value = wishes.side.recommender;
  form.compare.checked = wishes.rival !== null;
  form["rival-split"].value = wishes.rival?.split ?? wishes.side.split;
  form["rival-recommender"].value = wishes.rival?.recommender ?? "hpa";
}

function wished(form) {
  return {
    scenario: form.scenario.value, seed: Number(form.seed.value), day: Number(form.day.value),
    hour: Number(form.hour.value), forecaster: form.forecaster.value,
    side: { split: form.split.value, recommender: form.recommender.value },
    rival: form.compare.checked
      ? { split: form["rival-split"].value, recommender: form["rival-recommender"].value } : null,
  };
}

// -- what is shown ----------------------------------------------------------------------------------------------------

function showState(message) {
  state = { playing: message.playing, speed: message.speed };
  $("play").textContent = state.playing ? "Pause" : "Play";
  const value = String(state.speed);
  if (![...$("speed").options].some((option) => option.value === value)) $("speed").append(new Option(`${value}×`, value));
  $("speed").value = value;
  pace.length = 0;
  showClock();
}

function clockOf(time_s, seconds = false) {
  const s = Math.floor(time_s + hello.clock_s);
  const two = (n) => String(n).padStart(2, "0");
  const text = `${two(Math.floor(s / 3600) % 24)}:${two(Math.floor(s / 60) % 60)}`;
  return seconds ? `${text}:${two(s % 60)}` : text;
}

function showClock() {
  if (!newest) return;
  const day = hello.city ? `${DAYS[Math.floor((newest.time_s + hello.clock_s) / 86400) % 7]} ` : "";
  const text = `${day}${clockOf(newest.time_s, true)}`;
  $("clock").textContent = text;
  const real = measuredPace();
  const begins = newest.time_s < hello.lead_in_s;
  $("pace").textContent = !state.playing ? "paused" : begins ? "the city is set going …"
    : real && real < 0.8 * state.speed ? `runs at ${Math.round(real)}×` : "";
  map.caption = recorder.running ? `${hello.wishes.scenario}  ${text}` : "";
}

// Simulated seconds in a second, over the last pictures.
const pace = [];
function measurePace(head) {
  pace.push([performance.now(), head.time_s]);
  if (pace.length > 30) pace.shift();
}
function measuredPace() {
  if (pace.length < 20) return null;
  const [[t0, s0], [t1, s1]] = [pace[0], pace.at(-1)];
  return ((s1 - s0) / (t1 - t0)) * 1000;
}

function takeInterval(interval, past) {
  store.add(interval);
  if (!past) refresh();
}

function refresh() {
  if (store?.newest) map.give(store.newest.worlds.map((world) => world.given_cores));
  charts.update(store, chosen);
  showStory();
}

function choose(zone, told = true) {
  chosen = zone;
  map.selected = zone;
  map.dirty = true;
  $("zone").value = String(zone);
  const place = zone < 0 ? null : hello.zones[zone];
  $("scope").textContent = place ? `${place.name}${place.kind ? ` (${place.kind})` : ""}` : "The whole city";
  $("crowd").disabled = $("fail").disabled = zone < 0;
  refresh();
  showCluster();
  showFeed();
  if (told && place) say(`${place.name}: ${$("now").textContent}`, true);
}

const FIGURES = [
  ["users", (n, z) => store.value(n, "active_users", z), 0],
  ["requests a minute", (n, z) => scaledTo(store.value(n, "requests", z), 60 / hello.interval_s), 0],
  ["AoRI, s", (n, z) => store.value(n, "aori_s", z), 2],
  ["AoSI, s", (n, z) => store.value(n, "aosi_s", z), 2],
  ["cores used", (n, z) => [store.value(n, "cpu_cores", z), store.value(n, "given_cores", z)], 2],
  ["GB used", (n, z) => [store.value(n, "memory_mb", z) / 1000, store.value(n, "given_mb", z) / 1000], 2],
  ["Mbit/s sent", (n, z) => store.value(n, "bandwidth_mbps", z), 0],
  ["requests lost", (n, z) => store.value(n, "lost", z), 0],
];
const SO_FAR = [
  ["AoRI so far, s", (t) => t.aori / t.completed, 2],
  ["AoSI so far, s", (t) => t.aosi / t.completed, 2],
  ["lost so far, %", (t) => (100 * t.lost) / t.requests, 2],
  ["core-hours given", (t) => t.cores / 3600, 1],
  ["sizes changed", (t) => t.changes, 0],
];

function scaledTo(value, factor) {
  return value === null ? null : value * factor;
}

function inDigits(value, digits) {
  if (Array.isArray(value)) return value.map((v) => inDigits(v, digits)).join(" of ");
  return value === null || !Number.isFinite(value) ? "–" : value.toFixed(digits);
}

function showStory() {
  if (!store?.newest) {
    for (const id of ["now", "figures", "why"]) $(id).replaceChildren();
    return;
  }
  const { worlds, going_on } = store.newest;
  const rows = FIGURES.map(([name, of, digits]) => [name, worlds.map((n) => inDigits(of(n, chosen), digits))]);
  if (chosen < 0) for (const [name, of, digits] of SO_FAR) rows.push([name, store.totals.map((t) => inDigits(of(t), digits))]);
  const head = worlds.length > 1 ? [row("th", ["", "A", "B"])] : [];
  document.body.classList.toggle("two", worlds.length > 1);
  $("figures").className = worlds.length > 1 ? "two" : "one";
  $("figures").replaceChildren(...head, ...rows.map(([name, cells]) => row("td", [name, ...cells])));
  $("now").textContent = chosen < 0 ? cityNow(going_on) : `Now: ${going_on[chosen] || "nothing special"}.`;
  $("why").replaceChildren(...(chosen < 0 ? [] : worlds.map(splitNow)));
}

function row(kind, [name, ...cells]) {
  const line = document.createElement("tr");
  const first = document.createElement("th");
  first.scope = "row";
  first.textContent = name;
  line.append(first, ...cells.map((text) => {
    const cell = document.createElement(kind);
    if (kind === "th") cell.scope = "col";
    cell.textContent = text;
    return cell;
  }));
  return line;
}

function cityNow(going_on) {
  const special = going_on.flatMap((text, z) => (text && text !== "quiet" ? [`${hello.zones[z].name}: ${text}`] : []));
  const more = special.length > 4 ? `; and ${special.length - 4} more` : "";
  return special.length ? `Now ${special.slice(0, 4).join("; ")}${more}.` : "";
}

// How the chosen zone splits, and why, in words.
function splitNow(numbers, w) {
  const [band, compute] = numbers.shares[chosen].map((share) => `${Math.round(100 * share)} %`);
  const [[radioR, radioU], [workR, workU]] = [numbers.waiting_mbit[chosen], numbers.waiting_gcycle[chosen]];
  const element = document.createElement("span");
  element.textContent = `${hello.sides.length > 1 ? `${"AB"[w]}: ` : ""}Requests get ${band} of the band and ${compute} of the ` +
    `compute, ${hello.sides[w].rule}: ${radioR} Mbit of requests and ${radioU} of updates wait in devices, ` +
    `${workR} and ${workU} Gcycle at the server.`;
  return element;
}

function takeCluster(message) {
  cluster = message;
  for (const [name, held] of Object.entries(message.zones)) {
    if (held === null) clusterZones.delete(name);
    else clusterZones.set(name, held);
  }
  showCluster();
}

function showCluster() {
  if (!cluster) return;
  const zone = hello && zoneName();
  const held = zone ? `In the cluster it has ${clusterZones.get(zone) ?? "no Deployment"}. ` : "";
  $("cluster").textContent = held + (zone && cluster.well ? "" : `Cluster: ${cluster.state}.`);
}

// -- what happens -----------------------------------------------------------------------------------------------------

// The feed: of the chosen zone with every reason, or of the city.
function showFeed() {
  $("happens-title").textContent = chosen < 0 ? "What happens" : `What happens in ${zoneName()}`;
  const kept = chosen < 0 ? store.happened : store.ofZone.get(zoneName()) ?? [];
  $("feed").replaceChildren();
  if (chosen < 0) addLines(kept);
  else for (const happening of kept) addLine(happening);
}

function happen(happenings, past) {
  for (const happening of happenings) store.note(happening);
  addLines(chosen < 0 ? happenings : happenings.filter((one) => one.zone === zoneName()));
  if (past) return;
  const important = happenings.filter(({ kind }) => kind === "failure" || kind === "city" || kind === "session");
  if (important.length) say(important.map(({ zone, text }) => `${zone ?? ""} ${text}`).join(". "));
}

function addLines(happenings) {
  const groups = new Map(); // sizes that change at once become one line for each city
  for (const happening of happenings) {
    if (happening.kind === "scale" && happening.zone) {
      const key = `${happening.time_s} ${happening.world}`;
      groups.set(key, [...(groups.get(key) ?? []), happening]);
    } else {
      addLine(happening);
    }
  }
  for (const group of groups.values()) addLine(together(group));
}

function together(group) {
  const up = group.filter((one) => one.up).length;
  const parts = [up && `${up} up`, group.length - up && `${group.length - up} down`].filter(Boolean);
  const first = group.find((one) => one.up) ?? group[0];
  const name = hello.sides.length > 1 ? `${"AB"[first.world]} ` : "";
  return { ...first, prefix: `${name}${group.length === 1 ? "" : `${parts.join(", ")}; `}` };
}

function addLine({ time_s, kind, zone, text, prefix, world }) {
  const item = document.createElement("li");
  const time = document.createElement("time");
  time.textContent = clockOf(time_s, kind !== "scale" || !hello.city);
  const badge = document.createElement("span");
  badge.className = `kind ${kind}`;
  badge.textContent = KINDS[kind] ?? kind;
  item.append(time, " ", badge, " ", prefix ?? (world !== undefined && hello.sides.length > 1 ? `${"AB"[world]} ` : ""));
  const number = hello.zones.findIndex((z) => z.name === zone);
  if (number >= 0 && number !== chosen) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = zone;
    button.onclick = () => choose(number);
    item.append(button, " ");
  }
  item.append(text);
  $("feed").prepend(item);
  while ($("feed").children.length > MOST_LINES) $("feed").lastChild.remove();
}

// Reads something aloud: a choice at once, happenings together when the last ones have been read.
function say(text, now = false) {
  unsaid = now ? [text] : [...unsaid, text].slice(-MOST_SAID);
  clearTimeout(sayTimer);
  sayTimer = setTimeout(() => {
    $("spoken").textContent = unsaid.join(". ");
    unsaid = [];
    saidAt = performance.now();
  }, now ? 0 : Math.max(0, saidAt + SAID_EVERY_MS - performance.now()));
}

let noticeTimer = 0;
function notice(text) {
  clearTimeout(noticeTimer);
  $("notice").textContent = text;
  $("notice").hidden = !text;
  if (text && socket?.readyState === WebSocket.OPEN) noticeTimer = setTimeout(() => notice(""), 8000);
}

// -- controls ---------------------------------------------------------------------------------------------------------

function zoneName() {
  return chosen < 0 ? null : hello.zones[chosen].name;
}

function isDown() {
  return chosen >= 0 && reader.worlds[0].columns.up?.[chosen] === 0;
}

function disturb(what) {
  if (zoneName()) ask({ do: what, zone: zoneName() });
  else notice("Choose a zone first: click one, or use the list.");
}

function faster(by) {
  const values = [...$("speed").options].map((option) => Number(option.value)).sort((a, b) => a - b);
  const at = values.indexOf(state.speed) + by;
  if (values[at] !== undefined) ask({ do: "speed", value: values[at] });
}

function next(by) {
  const count = hello.zones.length;
  choose(chosen < 0 ? (by > 0 ? 0 : count - 1) : (chosen + by + count) % count);
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  $("theme").textContent = theme === "light" ? "Dark" : "Light";
  if (!hello) return;
  map.paintGround();
  map.dirty = true;
  charts.begin(hello);
  refresh();
}

function showTheme() {
  setTheme(document.documentElement.dataset.theme === "light" ? "dark" : "light");
  address.searchParams.set("theme", document.documentElement.dataset.theme);
  history.replaceState(null, "", address);
}

const toggle = () => ask({ do: state.playing ? "pause" : "play" });
const failOrMend = () => disturb(isDown() ? "mend" : "fail");
const openSettings = () => { fillSettings(); $("settings-dialog").showModal(); };
const openHelp = () => $("help-dialog").showModal();

$("play").onclick = toggle;
$("step").onclick = () => ask({ do: "step" });
$("speed").onchange = () => ask({ do: "speed", value: Number($("speed").value) });
$("settings").onclick = openSettings;
$("record").onclick = () => recorder.toggle(hello?.wishes.scenario ?? "city", notice);
$("theme").onclick = showTheme;
$("help").onclick = openHelp;
$("zone").onchange = () => choose(Number($("zone").value));
$("crowd").onclick = () => disturb("crowd");
$("fail").onclick = failOrMend;
$("disturb").onsubmit = (event) => event.preventDefault();
$("cancel").onclick = () => $("settings-dialog").close("cancel");
$("settings-dialog").querySelector("form").onsubmit = (event) => {
  ask({ do: "begin", wishes: wished(event.target) });
};
setInterval(() => {
  $("fail").textContent = isDown() ? "Bring up" : "Take down";
}, 250);

const KEYS = {
  " ": toggle, ".": () => ask({ do: "step" }), "+": () => faster(1), "=": () => faster(1), "-": () => faster(-1),
  "[": () => next(-1), "]": () => next(1), Escape: () => choose(-1), c: () => disturb("crowd"), f: failOrMend,
  s: openSettings, r: () => $("record").click(), t: showTheme, "?": openHelp,
};
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

document.addEventListener("keydown", (event) => {
  if (!hello || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const where = event.target;
  if (where.matches?.("input, select, textarea")) return;
  if (where === map.canvas && ARROWS[event.key]) {
    event.preventDefault();
    choose(map.beside(...ARROWS[event.key]));
    return;
  }
  if (event.key === " " && where.matches?.("button")) return;
  const act = KEYS[event.key] ?? KEYS[event.key.toLowerCase()];
  if (act) {
    event.preventDefault();
    act();
  }
});

const preferred = matchMedia("(prefers-color-scheme: light)");
setTheme(address.searchParams.get("theme") ?? (preferred.matches ? "light" : "dark"));
preferred.onchange = () => setTheme(preferred.matches ? "light" : "dark");
window.metalore = { map, charts, get store() { return store; }, get newest() { return newest; } }; // for tests and measurements
connect();
