"use strict";
// What moves on the page: the stream of facts, the live picture, enrollment. Text from outside goes in as text only.
const find = (selector, root = document) => root.querySelector(selector);
const all = (selector) => document.querySelectorAll(selector);
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const make = (tag, text, kind) => Object.assign(document.createElement(tag), { textContent: text, className: kind || "" });

// The path of this session, under which every address lies. It is kept for this port alone, and leads here from any other address.
const root = document.documentElement.dataset.root;
try { localStorage.setItem("session", root); } catch { /* then from none */ }

// --- How the daemon is, and whether there is news ---
let version;
function follow() {
  const stream = new EventSource(root + "/stream");
  stream.onmessage = (message) => {
    const told = JSON.parse(message.data);
    for (const node of all("[data-fact]")) node.textContent = told.facts[node.dataset.fact] ?? node.textContent;
    state(told.facts.state === "well" ? "All well" : "Look here", told.facts.state !== "well");
    const trouble = find("[data-trouble]");
    if (trouble) { trouble.textContent = told.facts.trouble; trouble.hidden = !told.facts.trouble; }
    const now = told.version.join();
    if (version !== undefined && version !== now) refresh();
    version = now;
  };
  stream.onerror = () => {
    state("No contact", true);
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

// --- The live picture ---
async function show(screen) {
  const image = find("[data-picture]", screen), blank = find("[data-blank]", screen);
  let number = "", shown = "";
  for (;;) {
    if (document.hidden) { await pause(500); continue; }
    try {
      const answer = await fetch(root + "/live/picture?after=" + number);
      if (answer.status === 200) {
        const view = JSON.parse(answer.headers.get("x-view"));
        const address = URL.createObjectURL(await answer.blob());
        image.src = address;
        await image.decode();
        if (shown) URL.revokeObjectURL(shown);
        shown = address; number = view.number;
        image.hidden = false; blank.hidden = true;
        draw(find("[data-boxes]", screen), view);
        showFaces(view);
        await pause(60);
      } else {
        if (answer.status !== 204) await pause(2000);
        image.hidden = true; blank.hidden = false;
        draw(find("[data-boxes]", screen), { faces: [] });
        blank.textContent = answer.status === 401 ? "You are signed out." : "No picture from the camera.";
      }
    } catch { await pause(2000); }
  }
}
const percent = (share) => (share > 0.995 ? "over 99 %" : Math.round(100 * share) + " %");
const name = (face) => face.name || (face.state === "looking" ? "Looking…" : "Somebody unknown");
function draw(boxes, view) {
  boxes.replaceChildren(...view.faces.map((face) => {
    const box = make("div", "", "box " + face.state), [left, top, width, height] = face.box;
    Object.assign(box.style, { left: left + "%", top: top + "%", width: width + "%", height: height + "%" });
    box.classList.toggle("low", top < 9);
    box.append(make("b", name(face) + (face.sure === null ? "" : " · " + percent(face.sure))));
    return box;
  }));
}
let told = "";
function showFaces(view) {
  const list = find("[data-in-view]");
  if (!list) return;
  find("[data-ms]").textContent = view.ms + " ms";
  find("[data-nobody]").hidden = view.faces.length > 0;
  list.replaceChildren(...view.faces.map((face) => {
    const row = make("li", "", face.state);
    const details = [face.sure === null ? "" : percent(face.sure) + " sure", "view " + percent(face.quality), face.score === null ? "" : "score " + face.score.toFixed(2), "no. " + face.track];
    row.append(make("strong", name(face)), make("span", details.filter(Boolean).join(" · "), "soft"));
    return row;
  }));
  const people = view.faces.filter((face) => face.state !== "looking").map(name).sort().join(", ");
  if (people !== told) find("[data-said]").textContent = people ? "In view: " + people : "Nobody in view";
  told = people;
}

// --- Enrollment ---
function enroll(form) {
  const start = find("[data-start]", form), guide = find("[data-guide]", form), finish = find("[data-finish]", form);
  const hint = find("[data-hint]", form), progress = find("[data-progress]", form), photos = find("[data-photos]", form);
  let sitting = "";
  const asked = () => new URLSearchParams({ name: form.elements.name.value, force: form.elements.force.checked ? "yes" : "" });
  const tell = (text, good) => find("[data-told]", form).prepend(make("li", text, good ? "" : "bad"));
  const busy = (now, guided) => {
    start.disabled = photos.disabled = now;
    if (!now) form.elements.force.checked = false; // each time on purpose
    guide.hidden = !(now && guided);
  };
  const post = async (path, body) => {
    try {
      const answer = await fetch(root + path, { method: "POST", body });
      return await answer.json();
    } catch { return { ok: false, text: "The device did not answer." }; }
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    hint.textContent = "Look at the camera"; progress.value = 0; finish.disabled = true;
    busy(true, true);
    const begun = await post("/enroll/start?" + asked());
    sitting = begun.id || "";
    if (!begun.ok) tell(begun.text, false);
    for (let after = ""; begun.ok;) {
      let now;
      try { now = await (await fetch(root + "/enroll/state?" + new URLSearchParams({ id: sitting, after }))).json(); } catch { now = { done: true, ok: false, text: "The device did not answer." }; }
      if (now.done) { tell(now.text, now.ok); break; }
      after = now.step;
      if (hint.textContent !== now.text) hint.textContent = now.text;
      progress.max = now.most; progress.value = now.taken; finish.disabled = !now.taken;
    }
    busy(false);
    start.focus();
  });
  finish.addEventListener("click", () => post("/enroll/finish?" + new URLSearchParams({ id: sitting })));
  find("[data-cancel]", form).addEventListener("click", () => post("/enroll/finish?cancel&" + new URLSearchParams({ id: sitting })));
  photos.addEventListener("change", async () => {
    if (!form.reportValidity()) { photos.value = ""; return; }
    busy(true, false);
    for (const file of photos.files) {
      const answer = await post("/people/photo?" + asked(), await smaller(file));
      tell(file.name + ": " + answer.text, answer.ok);
    }
    photos.value = "";
    busy(false);
  });
}
// A phone's photo is larger than a face needs: shrunk here, it is sent in a moment.
async function smaller(file, side = 1600) {
  try {
    const image = await createImageBitmap(file, { imageOrientation: "from-image" });
    const scale = side / Math.max(image.width, image.height);
    if (scale >= 1) return file;
    const canvas = Object.assign(document.createElement("canvas"), { width: image.width * scale, height: image.height * scale });
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    return await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
  } catch { return file; } // the device says what is wrong with it
}

follow();
for (const screen of all("[data-screen]")) show(screen);
for (const form of all("[data-enroll]")) enroll(form);
