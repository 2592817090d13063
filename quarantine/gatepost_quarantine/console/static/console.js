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
  // Ticks outlive the page: they are kept in this window for the filter in use, up to what one decision takes.
  const TICKED = "gatepost-ticked:", MOST = 200;
  const filter = (() => { const query = new URLSearchParams(location.search); ["after", "done", "go"].forEach((each) => query.delete(each)); return query.toString(); })();
  const shelf = (() => { try { sessionStorage.getItem(TICKED); return sessionStorage; } catch { return null; } })();
  const place = `${TICKED}${document.body.dataset.person}:${filter}`;
  const elsewhere = () => {
    const known = JSON.parse(shelf?.getItem(place) || "[]");
    return known.filter((id) => !boxes().some((box) => box.value === id));
  };
  const keep = (ids) => { ids.length ? shelf?.setItem(place, JSON.stringify(ids)) : shelf?.removeItem(place); };
  const count = () => {
    const here = boxes().filter((box) => box.checked).map((box) => box.value), others = elsewhere();
    const ticked = here.length + others.length;
    keep([...others, ...here].slice(0, MOST));
    const shown = find("[data-count]"), note = find("[data-elsewhere]"), clear = find("[data-clear]");
    if (shown) shown.textContent = Math.min(ticked, MOST);
    if (note) note.textContent = ticked > MOST ? ` (${MOST} at most)` : others.length ? ` (${others.length} on other pages)` : "";
    if (clear) clear.hidden = ticked === 0;
    all("#rows .bulk button[name=verb]").forEach((button) => { button.disabled = ticked === 0; });
    const every = find("[data-all]");
    if (every) { every.checked = here.length > 0 && here.length === boxes().length; every.indeterminate = here.length > 0 && !every.checked; }
  };
  const again = () => { const known = JSON.parse(shelf?.getItem(place) || "[]"); boxes().forEach((box) => { if (known.includes(box.value)) box.checked = true; }); };

  const decide = (verb) => {
    const link = find(`#verb-${verb}`);
    if (link) { link.click(); return; }
    const button = rows && find(`.bulk button[value=${verb}]`, rows);
    if (!button) return;
    if (!boxes().some((box) => box.checked) && !elsewhere().length) {
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
    const menu = event.key === "Escape" && find(".me[open], .drop[open]");
    if (menu) { menu.open = false; find("summary", menu).focus(); return; }
    if (remembered() && event.key !== "Escape") return;
    const action = keys[event.key];
    if (action) { event.preventDefault(); action(); }
  });

  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-all]")) boxes().forEach((box) => { box.checked = event.target.checked; });
    if (event.target.closest("#rows")) count();
    if (event.target.id === "keys-on") remember(!event.target.checked);
  });
  document.addEventListener("submit", (event) => {
    if (event.target === rows) elsewhere().slice(0, MOST).forEach((id) => {
      const field = document.createElement("input");
      field.type = "hidden"; field.name = "id"; field.value = id;
      rows.append(field);
    });
    // What is decided about is ticked no longer.
    else if (event.target.matches('form[method=post][action="/act"]')) {
      Object.keys(shelf || {}).filter((key) => key.startsWith(TICKED)).forEach((key) => shelf.removeItem(key));
    }
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-clear]")) { keep([]); boxes().forEach((box) => { box.checked = false; }); count(); }
    if (event.target.closest("[data-help]")) help();
    all(".me[open], .drop[open]").forEach((menu) => { if (!menu.contains(event.target)) menu.open = false; });
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
  if (rows) { again(); count(); }
  // Back from a message, at the row one came from; after the browser itself has gone to the row, which takes focus.
  addEventListener("pageshow", () => {
    const row = rows && location.hash.startsWith("#row-") && document.getElementById(location.hash.slice(1));
    if (row) find(".open", row).focus();
  });
})();
