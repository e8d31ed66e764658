"use strict";
// Asks what is kept of the face of a photo; `smaller` is that of enroll.js.
for (const view of all("[data-about]")) {
  const photo = find("[data-about-photo]", view), told = find("[data-about-told]", view);
  photo.addEventListener("change", async () => {
    if (!photo.files.length) return;
    told.replaceChildren(make("p", _("Looking…"), "soft"));
    photo.disabled = true;
    try {
      const answer = await fetch(root + "/unknown/about", { method: "POST", body: await smaller(photo.files[0]) });
      told.replaceChildren(...new DOMParser().parseFromString(await answer.text(), "text/html").body.childNodes);
    } catch { told.replaceChildren(make("p", _("The device did not answer."), "note bad")); }
    photo.value = "";
    photo.disabled = false;
  });
}
