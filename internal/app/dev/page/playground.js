"use strict";

const at = (id) => document.getElementById(id);
let status = null;

function make(tag, text, className) {
  const e = document.createElement(tag);
  if (text !== undefined) e.textContent = text;
  if (className) e.className = className;
  return e;
}

const isText = (f) => f.datatype === "BYTES";
const isTensor = (f) => (f.shape || []).length > 0;

// exampleOf is the first row of the example, as the text of an input.
function exampleOf(f) {
  const t = (status.example || []).find((e) => e.name === f.name);
  if (!t || !t.shape[0]) return "";
  const row = t.data.slice(0, t.data.length / t.shape[0]);
  if (isTensor(f)) return JSON.stringify(row);
  return row[0] === null || row[0] === undefined ? "" : String(row[0]);
}

function build() {
  const list = at("inputs");
  list.replaceChildren();
  status.inputs.forEach((f, i) => {
    const box = make("div", undefined, "field");
    const label = make("label");
    label.htmlFor = "in" + i;
    const shape = isTensor(f) ? "[" + f.shape.map((d) => (d < 0 ? "any" : d)).join(", ") + "]" : "";
    label.append(make("span", f.name), make("small", f.datatype + shape + (f.required ? "" : ", optional")));
    const input = document.createElement(isTensor(f) ? "textarea" : "input");
    input.id = "in" + i;
    input.autocomplete = "off";
    input.spellcheck = false;
    if (!isTensor(f) && !isText(f) && f.datatype !== "BOOL") input.inputMode = "decimal";
    input.value = exampleOf(f);
    input.addEventListener("input", describe);
    box.append(label, input);
    list.append(box);
  });
  describe();
}

// value reads an input; undefined when it is left empty.
function value(f, i) {
  const text = at("in" + i).value.trim();
  if (text === "" && !(isText(f) && f.required)) return undefined;
  if (isTensor(f)) {
    const data = JSON.parse(text);
    return Array.isArray(data) ? data.flat(Infinity) : [data];
  }
  if (isText(f)) return [text];
  if (f.datatype === "BOOL") return [/^(true|1)$/i.test(text)];
  const n = Number(text);
  return [Number.isNaN(n) ? text : n];
}

function request() {
  const inputs = [];
  status.inputs.forEach((f, i) => {
    const data = value(f, i);
    if (data === undefined) return;
    const shape = [1].concat(f.shape || []);
    const free = shape.indexOf(-1, 1);
    if (free > 0) shape[free] = data.length / shape.reduce((n, d, j) => (j === free ? n : n * d), 1);
    inputs.push({ name: f.name, shape, datatype: f.datatype, data });
  });
  return { inputs };
}

const url = () => location.origin + "/v2/models/" + encodeURIComponent(status.name) + "/infer";

function describe() {
  let body;
  try {
    body = JSON.stringify(request());
  } catch {
    return; // half-typed
  }
  at("curl").textContent = "curl " + url() + " -H 'Content-Type: application/json' -d '" + body.replaceAll("'", "'\\''") + "'";
  at("python").textContent = "import json, urllib.request\n\nrequest = urllib.request.Request(" + JSON.stringify(url()) + ",\n    data=" +
    JSON.stringify(body) + ".encode(),\n    headers={\"Content-Type\": \"application/json\"})\nprint(json.load(urllib.request.urlopen(request)))";
}

function fail(message, field) {
  document.querySelectorAll(".wrong").forEach((e) => e.classList.remove("wrong"));
  document.querySelectorAll(".hint").forEach((e) => e.remove());
  const named = status.inputs.filter((f) => field && field.includes(f.name)).sort((a, b) => b.name.length - a.name.length)[0];
  const i = status.inputs.indexOf(named);
  at("error").hidden = !message;
  at("error").textContent = message || "";
  if (message && i >= 0) {
    const box = at("in" + i).parentElement;
    box.classList.add("wrong");
    box.append(make("p", message, "hint"));
    if (document.activeElement !== document.body) at("in" + i).focus();
  }
}

async function predict(event) {
  event.preventDefault();
  at("outputs").hidden = true;
  let body;
  try {
    body = JSON.stringify(request());
  } catch {
    fail("an input is no JSON");
    return;
  }
  const began = performance.now();
  try {
    const resp = await fetch(url(), { method: "POST", headers: { "Content-Type": "application/json" }, body });
    const text = await resp.text();
    at("took").textContent = (performance.now() - began).toFixed(1) + " ms";
    at("raw").textContent = text;
    const answer = JSON.parse(text);
    if (!resp.ok) {
      fail(answer.error + (answer.next ? " (" + answer.next + ")" : ""), answer.field);
      return;
    }
    fail("");
    const rows = at("outputs").tBodies[0];
    rows.replaceChildren();
    for (const out of answer.outputs) {
      const row = make("tr");
      row.append(make("th", out.name), make("td", out.data.map(String).join(", ")));
      rows.append(row);
    }
    at("outputs").hidden = false;
  } catch (e) {
    fail("there is no answer: " + e.message);
  }
}

async function look() {
  let next;
  try {
    next = await (await fetch("/dev/status")).json();
  } catch {
    at("state").textContent = "platform dev does not answer";
    at("state").className = "problem";
    return;
  }
  const fresh = !status || status.number !== next.number;
  status = next;
  at("state").textContent = next.problem ? "not reloaded: " + next.problem : "state " + next.number + ", loaded " + new Date(next.since).toLocaleTimeString();
  at("state").className = next.problem ? "problem" : "";
  if (!fresh) return;
  document.title = next.name + " · playground";
  at("name").textContent = next.name;
  at("about").textContent = [next.description, "runtime: " + next.runtime].filter(Boolean).join(" · ");
  at("checks").replaceChildren(...next.checks.map((c) => make("li", c.check + ": " + c.message, c.verdict)));
  build();
  if (next.example) at("form").requestSubmit();
}

at("form").addEventListener("submit", predict);
at("reset").addEventListener("click", build);
document.querySelectorAll("[data-copy]").forEach((b) =>
  b.addEventListener("click", async () => {
    await navigator.clipboard.writeText(at(b.dataset.copy).textContent);
    const label = b.textContent;
    b.textContent = "Copied";
    setTimeout(() => (b.textContent = label), 1200);
  }));
look();
setInterval(look, 1000);
