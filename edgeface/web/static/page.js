"use strict";
// What every view has: the stream of facts, and news. Text from outside goes in as text only.
const find = (selector, root = document) => root.querySelector(selector);
const all = (selector) => document.querySelectorAll(selector);
const words = JSON.parse(document.documentElement.dataset.words);
const _ = (text, fields = {}) => (words[text] ?? text).replace(/\{(\w+)\}/g, (whole, name) => fields[name] ?? whole);
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const make = (tag, text, kind) => Object.assign(document.createElement(tag), { textContent: text, className: kind || "" });

// The path of this session, under which every address lies. It is kept for this port alone, and leads here from any other address.
const root = document.documentElement.dataset.root;
try { localStorage.setItem("session", root); } catch { /* then from none */ }

// The parameters of a request, with the name of the camera that is shown where there are several.
const ofCamera = (parameters) => {
  const shown = find("[data-camera]");
  return new URLSearchParams(shown ? { camera: shown.dataset.camera, ...parameters } : parameters);
};

// --- How the daemon is, and whether there is news ---
const listeners = []; // functions that are given the facts
let version;
function follow() {
  const stream = new EventSource(root + "/stream?" + ofCamera({}));
  stream.onmessage = (message) => {
    const told = JSON.parse(message.data);
    for (const node of all("[data-fact]")) node.textContent = told.facts[node.dataset.fact] ?? node.textContent;
    const well = told.facts.paused ? _("Paused") : _("OK");
    state(told.facts.state === "well" ? well : _("Problem"), told.facts.state !== "well");
    for (const hear of listeners) hear(told.facts);
    const trouble = find("[data-trouble]");
    if (trouble) { trouble.textContent = told.facts.trouble; trouble.hidden = !told.facts.trouble; }
    const now = told.version.join();
    if (version !== undefined && version !== now) refresh();
    version = now;
  };
  stream.onerror = () => {
    state(_("No connection"), true);
    if (stream.readyState === EventSource.CLOSED) setTimeout(follow, 5000);
  };
  addEventListener("pagehide", () => stream.close());
}
function state(text, bad) {
  find("[data-state-text]").textContent = text;
  find("[data-state]").classList.toggle("trouble", bad);
}
async function refresh() {
  for (const node of all("[data-news]")) node.hidden = false;
  for (const node of all("[data-refresh]")) {
    const answer = await fetch(node.dataset.refresh);
    if (answer.ok) node.replaceChildren(...new DOMParser().parseFromString(await answer.text(), "text/html").body.childNodes);
  }
}

follow();
