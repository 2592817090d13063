// Keys, ticks and the help dialogue. Every page works without this file.
"use strict";
(() => {
  const find = (what, within = document) => within.querySelector(what);
  const all = (what, within = document) => [...within.querySelectorAll(what)];
  const OFF = "gatepost-keys-off";
  const remembered = () => { try { return localStorage.getItem(OFF) === "1"; } catch { return false; } };
  const remember = (off) => { try { off ? localStorage.setItem(OFF, "1") : localStorage.removeItem(OFF); } catch { /* private window */ } };

  const rows = find("#rows");
  const links = () => all("#rows .open");
  const currentRow = () => document.activeElement?.closest?.("#rows tbody tr");

  // Focus moves, nothing opens by itself; at the end it stays.
  const move = (step) => {
    const open = links();
    if (!open.length) return;
    const at = open.findIndex((link) => link.closest("tr") === currentRow());
    const next = at < 0 ? (step > 0 ? 0 : open.length - 1) : Math.min(open.length - 1, Math.max(0, at + step));
    open[next].focus();
    open[next].closest("tr").scrollIntoView({ block: "nearest" });
  };

  const boxes = () => all("#rows input[name=id]");
  const count = () => {
    const ticked = boxes().filter((box) => box.checked).length;
    const shown = find("[data-count]");
    if (shown) shown.textContent = ticked;
    all("#rows .bulk button").forEach((button) => { button.disabled = ticked === 0; });
    const every = find("[data-all]");
    if (every) { every.checked = ticked > 0 && ticked === boxes().length; every.indeterminate = ticked > 0 && !every.checked; }
  };

  const decide = (verb) => {
    const link = find(`#verb-${verb}`);
    if (link) { link.click(); return; }
    const button = rows && find(`.bulk button[value=${verb}]`, rows);
    if (!button) return;
    if (!boxes().some((box) => box.checked)) {
      const box = currentRow() && find("input[name=id]", currentRow());
      if (!box) return;
      box.checked = true;
      count();
    }
    button.click();
  };

  const help = () => { const dialog = find("#help"); if (dialog && !dialog.open) dialog.showModal(); };

  const keys = {
    j: () => rows ? move(1) : find("#after")?.click(),
    k: () => rows ? move(-1) : find("#before")?.click(),
    x: () => { const box = currentRow() && find("input[name=id]", currentRow()); if (box) { box.checked = !box.checked; count(); } },
    r: () => decide("release"),
    d: () => decide("deny"),
    "/": () => { const search = find("#search"); if (search) { search.focus(); search.select(); } },
    "?": help,
    Escape: () => find("#back")?.click(),
  };

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (!("signedIn" in document.body.dataset) || find("dialog[open]")) return;
    const typing = event.target.closest?.("input:not([type=checkbox]), textarea, select, [contenteditable]");
    if (typing) { if (event.key === "Escape") typing.blur(); return; }
    if (event.key === "Escape" && find(".me[open]")) { find(".me").open = false; find(".me summary").focus(); return; }
    if (remembered() && event.key !== "Escape") return;
    const action = keys[event.key];
    if (action) { event.preventDefault(); action(); }
  });

  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-all]")) boxes().forEach((box) => { box.checked = event.target.checked; });
    if (event.target.closest("#rows")) count();
    if (event.target.id === "keys-on") remember(!event.target.checked);
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-help]")) help();
    const menu = find(".me[open]");
    if (menu && !menu.contains(event.target)) menu.open = false;
  });

  // Somebody whose sign-in has ended is told so, instead of looking at a page that no longer changes.
  document.addEventListener("htmx:responseError", (event) => {
    if (event.detail.xhr.status !== 401) return;
    find("#shown")?.remove();
    const news = find("#news");
    if (!news) return;
    const link = document.createElement("a");
    link.className = "button main";
    link.href = `/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`;
    link.textContent = "Your sign-in has ended: sign in again";
    news.replaceChildren(link);
  });

  const on = find("#keys-on");
  if (on) on.checked = !remembered();
  if (rows) count();
  // Back from a message, at the row one came from; after the browser itself has gone to the row, which takes focus.
  addEventListener("pageshow", () => {
    const row = rows && location.hash.startsWith("#row-") && document.getElementById(location.hash.slice(1));
    if (row) find(".open", row).focus();
  });
})();
