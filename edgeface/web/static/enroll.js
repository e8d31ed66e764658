"use strict";
// Enrollment, from the camera or from photos.
function enroll(view) {
  const form = find("form", view), start = find("[data-start]", view), finish = find("[data-finish]", view);
  const hint = find("[data-hint]", view), progress = find("[data-progress]", view), ring = find("[data-ring]", view);
  const photos = find("[data-photos]", view), sound = find("[data-sound]", view);
  let session = "", audio;
  const asked = () => ofCamera({ name: form.elements.name.value, force: form.elements.force.checked ? "yes" : "" });
  const tell = (text, good) => find("[data-told]", view).prepend(make("li", text, good ? "" : "bad"));
  const busy = (now, guided) => {
    start.disabled = photos.disabled = now;
    if (!now) form.elements.force.checked = false; // each time on purpose
    for (const node of view.querySelectorAll("[data-guide]")) node.hidden = !(now && guided);
    find("[data-begin]", view).hidden = now && guided;
  };
  const count = (taken, most) => {
    if (taken > progress.value) chime(880);
    progress.max = most; progress.value = taken; finish.disabled = !taken;
    ring.setAttribute("stroke-dasharray", `${100 * taken / most} 100`);
  };
  function chime(pitch) {
    if (!sound.checked || !audio) return;
    const tone = audio.createOscillator(), volume = audio.createGain(), now = audio.currentTime;
    tone.frequency.value = pitch;
    volume.gain.setValueAtTime(0.15, now);
    volume.gain.exponentialRampToValueAtTime(0.001, now + 0.25);
    tone.connect(volume).connect(audio.destination);
    tone.start(now); tone.stop(now + 0.25);
  }
  try { sound.checked = localStorage.getItem("sound") !== "off"; } catch { /* then it is on */ }
  sound.addEventListener("change", () => { try { localStorage.setItem("sound", sound.checked ? "on" : "off"); } catch { /* for this page alone */ } });

  const post = async (path, body) => {
    try {
      const answer = await fetch(root + path, { method: "POST", body });
      return await answer.json();
    } catch { return { ok: false, text: _("The device did not answer.") }; }
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try { audio ??= new AudioContext(); } catch { /* then without a sound */ }
    hint.textContent = _("Look at the camera"); count(0, 9);
    busy(true, true);
    view.scrollIntoView({ block: "nearest" });
    const begun = await post("/enroll/start?" + asked());
    session = begun.id || "";
    if (!begun.ok) tell(begun.text, false);
    for (let after = ""; begun.ok;) {
      let now;
      try { now = await (await fetch(root + "/enroll/state?" + new URLSearchParams({ id: session, after }))).json(); } catch { now = { done: true, ok: false, text: _("The device did not answer.") }; }
      if (now.done) { tell(now.text, now.ok); chime(now.ok ? 1320 : 330); break; }
      after = now.step;
      if (hint.textContent !== now.text) hint.textContent = now.text;
      count(now.taken, now.most);
    }
    busy(false);
    start.focus();
  });
  finish.addEventListener("click", () => post("/enroll/finish?" + new URLSearchParams({ id: session })));
  find("[data-cancel]", view).addEventListener("click", () => post("/enroll/finish?cancel&" + new URLSearchParams({ id: session })));
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
  busy(false); // until here a click would have sent the form to nobody
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

for (const view of all("[data-enroll]")) enroll(view);
