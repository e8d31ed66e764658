"use strict";
// Enrollment, from the camera or from photos.
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

for (const form of all("[data-enroll]")) enroll(form);
