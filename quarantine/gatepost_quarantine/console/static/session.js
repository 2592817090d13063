// The end of a sign-in, told in time, and text that outlives it. Every page works without this file.
"use strict";
(() => {
  const find = (what, within = document) => within.querySelector(what);
  const all = (what, within = document) => [...within.querySelectorAll(what)];
  const WARN = 120, LOOK_EVERY = 5;
  const { person, left } = document.body.dataset;
  const DRAFT = "gatepost-draft:", SENT = "gatepost-sent";
  const here = () => location.pathname + location.search;

  // What was typed is kept in this window only, for this person, until the form has arrived.
  const kept = (() => { try { sessionStorage.getItem(SENT); return sessionStorage; } catch { return null; } })();
  const keys = (start) => Object.keys(kept).filter((key) => key.startsWith(start));
  const page = `${DRAFT}${person}:${here()}:`;
  const areas = () => all("form[method=post] textarea[name]");
  const sent = kept && kept.getItem(SENT);
  if (sent) kept.removeItem(SENT);
  if (sent && !find("[data-error]")) keys(sent).forEach((key) => kept.removeItem(key));
  if (kept && person) {
    areas().forEach((area) => { const text = kept.getItem(page + area.name); if (text && !area.value) area.value = text; });
    document.addEventListener("input", (event) => {
      if (!event.target.matches("form[method=post] textarea[name]")) return;
      const key = page + event.target.name;
      event.target.value ? kept.setItem(key, event.target.value) : kept.removeItem(key);
    });
    document.addEventListener("submit", (event) => {
      if (event.target.getAttribute("action") === "/sign-out") keys("gatepost-").forEach((key) => kept.removeItem(key));
      else if (find("textarea[name]", event.target)) kept.setItem(SENT, page);
    });
  }
  // Back to the page whose text is waiting, once somebody has signed in again.
  const again = find("[data-sign-in]");
  const waiting = kept && (sent || keys(DRAFT)[0]);
  if (again && waiting) again.href = `/sign-in?next=${encodeURIComponent(waiting.slice(DRAFT.length).match(/^[^/]*(\/.*?):[^:]*$/)?.[1] || "/")}`;

  const dialog = find("#ending");
  if (!dialog || !left) return;
  let ends = Date.now() + 1000 * Number(left), asking = false, dismissed = false;
  const seconds = () => Math.max(0, Math.round((ends - Date.now()) / 1000));
  const words = () => seconds() > 90 ? `${Math.round(seconds() / 60)} minutes` : `${seconds()} seconds`;

  const ask = async (method) => {
    if (asking) return;
    asking = true;
    try {
      const form = method === "POST" ? new URLSearchParams({ csrf: find("input[name=csrf]").value }) : undefined;
      const answer = await fetch("/session", { method, body: form });
      if (answer.ok) {
        const said = await answer.json();
        ends = Date.now() + 1000 * said.left;
        dialog.classList.toggle("last", !said.longer);
      } else if (answer.status === 401) ends = Date.now();
    } catch { /* the network is away; the time goes on */ } finally { asking = false; }
  };
  const over = () => {
    find("[data-ending]", dialog).textContent = "Your sign-in has ended. What you have typed is kept in this window.";
    all("[data-stay], .last-only", dialog).forEach((each) => { each.hidden = true; });
    const link = find("[data-again]", dialog);
    link.href = `/sign-in?next=${encodeURIComponent(here())}`;
    link.hidden = false;
    link.focus();
  };
  const look = async () => {
    if (seconds() > WARN) { if (dialog.open) dialog.close(); dismissed = false; return; }
    // Another window may have been in use since.
    if (!dialog.open && !dismissed) { await ask("GET"); if (seconds() > WARN) return; dialog.showModal(); }
    if (seconds() === 0) await ask("GET");
    if (seconds() === 0) { clearInterval(clock); if (!dialog.open) dialog.showModal(); over(); return; }
    // A screen reader is not told every second.
    find("[data-left-words]", dialog).textContent = words();
  };
  find("[data-stay]", dialog).addEventListener("click", async () => {
    await ask("POST");
    dismissed = true;
    dialog.close();
  });
  dialog.addEventListener("cancel", () => { dismissed = true; });
  const clock = setInterval(look, 1000 * LOOK_EVERY);
  look();
})();
