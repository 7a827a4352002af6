"use strict";
// The page reads without this script; with it tables sort, charts tell their points and items can be browsed.
(() => {
  const PAGE = 20;

  // Everything from the data goes in as text, never as markup.
  function make(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else node.setAttribute(name, value);
    }
    node.append(...children);
    return node;
  }
  function makeSvg(tag, attributes) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    return node;
  }
  const count = (number) => Math.round(number).toLocaleString("en");
  const short = (number) => (Number.isInteger(number) ? count(number) : String(Number(number.toPrecision(4))));

  // Tables: rows are sorted within their group; missing values stay last.
  function sortable(table) {
    for (const head of table.tHead.rows[0].cells) {
      const column = head.cellIndex;
      const button = make("button", { type: "button", title: "Sort by this column" });
      // A head that is a link keeps it; the line below it sorts.
      const label = head.firstChild.nodeType === Node.TEXT_NODE ? head.firstChild : head.querySelector("small").firstChild;
      label.replaceWith(button);
      button.append(label);
      button.addEventListener("click", () => {
        const numeric = head.classList.contains("num");
        const before = head.getAttribute("aria-sort");
        const direction = before ? (before === "ascending" ? "descending" : "ascending") : numeric ? "descending" : "ascending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", direction);
        const sign = direction === "ascending" ? 1 : -1;
        const key = (row) => {
          const cell = row.cells[column];
          if (!numeric) return cell.textContent;
          return cell.dataset.v === "" ? NaN : Number(cell.dataset.v);
        };
        for (const body of table.tBodies) {
          const rows = [...body.rows].filter((row) => !row.classList.contains("group"));
          rows.sort((a, b) => {
            const x = key(a), y = key(b);
            if (!numeric) return sign * x.localeCompare(y, "en", { numeric: true });
            if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
            return sign * (x - y);
          });
          body.append(...rows);
        }
      });
    }
  }

  // Charts: the point under the pointer, touched, or reached with the arrow keys is told below the chart.
  function tellPoints(figure) {
    const svg = figure.querySelector("svg"), readout = figure.querySelector(".readout");
    const points = [...svg.querySelectorAll("[data-point]")];
    let at = -1;
    function tell(point) {
      for (const other of svg.querySelectorAll(".here")) other.classList.remove("here");
      at = points.indexOf(point);
      point.classList.add("here");
      readout.textContent = point.querySelector("title").textContent;
    }
    for (const kind of ["pointerover", "click"])
      svg.addEventListener(kind, (event) => {
        const point = event.target.closest("[data-point]");
        if (point) tell(point);
      });
    svg.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      const seen = points.filter((point) => !point.closest(".hidden"));
      if (!step || !seen.length) return;
      event.preventDefault();
      const here = seen.indexOf(points[at]);
      tell(seen[here < 0 ? (step > 0 ? 0 : seen.length - 1) : (here + step + seen.length) % seen.length]);
    });
  }

  function toggleSeries(section) {
    for (const button of section.querySelectorAll("[data-toggle]"))
      button.addEventListener("click", () => {
        const shown = button.getAttribute("aria-pressed") !== "true";
        button.setAttribute("aria-pressed", shown);
        for (const part of section.querySelectorAll(`figure [data-series="${button.dataset.toggle}"]`))
          part.classList.toggle("hidden", !shown);
      });
  }

  function offerDownload(pre) {
    const save = () => {
      const url = URL.createObjectURL(new Blob([pre.textContent], { type: "text/csv" }));
      make("a", { href: url, download: pre.dataset.file }).click();
      setTimeout(() => URL.revokeObjectURL(url), 1000);
    };
    pre.after(make("button", { type: "button", onclick: save }, "Download CSV"));
  }

  // Items.
  function strip(item) {
    const tokens = item.t;
    const svg = makeSvg("svg", { class: "strip", viewBox: `0 0 ${tokens} 22`, preserveAspectRatio: "none", "aria-hidden": "true" });
    svg.append(makeSvg("rect", { class: "all", x: 0, y: 6, width: tokens, height: 15 }));
    const least = tokens / 500;  // so that a single position can be seen
    for (const [first, last] of item.k || [])
      svg.append(makeSvg("rect", { class: "kept", x: first, y: 6, width: Math.max(last + 1 - first, least), height: 15 }));
    const parts = item.b || "";
    for (let i = 0; i < parts.length; i++)
      if (parts[i] !== "0")
        svg.append(makeSvg("rect", { class: "kept", x: (i * tokens) / parts.length, y: 6, width: tokens / parts.length,
                                     height: 15, opacity: 0.15 + (0.85 * Number(parts[i])) / 9 }));
    for (const [first, last] of item.n || []) {
      const width = Math.max(last + 1 - first, tokens / 150);
      svg.append(makeSvg("rect", { class: "needle", x: Math.min(first, tokens - width), y: 0, width, height: 5 }));
    }
    return svg;
  }

  function keptInWords(item) {
    const words = [];
    if (item.kn !== undefined) {
      const share = ((100 * item.kn) / item.t).toFixed(1);
      words.push(make("span", { class: "key kept" }), ` kept: ${count(item.kn)} of ${count(item.t)} positions (${share} %) in ` +
                 `${count(item.kr)} ${item.kr === 1 ? "range" : "ranges"}`);
      if (item.k && item.k.length)
        words.push(": " + item.k.map(([a, b]) => (a === b ? `${a}` : `${a}–${b}`)).join(", "));
      words.push(". ");
    }
    if (item.n) {
      words.push(make("span", { class: "key needle" }), ` needle: ${item.n.map(([a, b]) => `${a}–${b}`).join(", ")}`);
      if (item.nk !== undefined) words.push(`, ${(100 * item.nk).toFixed(0)} % of it kept`);
      words.push(".");
    }
    return words;
  }

  function verdictOf(data, item) {
    if (item.z) return "skipped";
    const score = item.s[data.score];
    if (score === undefined) return "unscored";
    if (!data.graded) return "";
    return score >= 1 ? "right" : score <= 0 ? "wrong" : "partly";
  }

  function card(data, item, showAll) {
    const text = (number) => data.texts[number];
    const verdict = verdictOf(data, item);
    const scores = Object.entries(item.s).map(([name, value]) => `${name} ${short(value)}`).join(", ");
    const head = make("h4", {}, data.arms[item.a], make("span", { class: "id" }, text(item.i)));
    if (verdict) head.append(make("span", { class: `verdict ${verdict}` }, { right: "✓ right", wrong: "✗ wrong" }[verdict] || verdict));
    const list = make("dl");
    const entry = (wide, name, kind, ...content) =>
      make("div", wide ? { class: "wide" } : {}, make("dt", {}, name), make("dd", kind ? { class: kind } : {}, ...content));
    const add = (wide, name, ...content) => list.append(entry(wide, name, "", ...content));
    if (item.z) add(true, "Skipped", item.z);
    if (item.q !== undefined) add(true, "Question", make("div", { class: "text" }, text(item.q)));
    if (text(item.p) || item.r) add(false, "Answer", make("div", { class: "text" }, text(item.p) || "(empty)"));
    if (item.r) add(false, item.r.length === 1 ? "Reference" : `References (${item.r.length})`,
                    make("div", { class: "text" }, item.r.map(text).join("\n")));
    if (item.t && (item.kn !== undefined || item.n))
      add(true, `What was kept of ${count(item.t)} tokens`, strip(item), make("div", { class: "meta" }, ...keptInWords(item)));
    if (scores) add(true, "Scores", make("div", { class: "meta" }, scores));
    const more = make("dl");
    for (const [title, object] of [["Accounting", item.m], ["Time", item.d]])
      if (object) more.append(entry(true, title, "meta", Object.entries(object).map(([name, value]) =>
        `${name} ${typeof value === "number" ? short(value) : typeof value === "string" ? value : JSON.stringify(value)}`).join(", ")));
    for (const [name, number] of Object.entries(item.x || {}))
      more.append(entry(true, name, "", make("div", { class: "text" }, text(number))));
    const box = make("article", { class: "card" }, head, list);
    if (more.childElementCount) box.append(make("details", {}, make("summary", {}, "More"), more));
    if (data.arms.length > 1)
      box.append(make("button", { type: "button", onclick: () => showAll(text(item.i)) }, "This item with every arm"));
    return box;
  }

  function browse(details) {
    const data = JSON.parse(document.getElementById(details.dataset.source).textContent);
    const place = details.querySelector(".items");
    const options = (names) => names.map(([value, name]) => make("option", { value }, name));
    const select = (name, names) => {
      const node = make("select", { onchange: () => show(0) }, ...options(names));
      return [node, make("label", {}, name, node)];
    };
    const [arm, armLabel] = select("Arm", [["", "all arms"], ...data.arms.map((name, i) => [i, name])]);
    const [cell, cellLabel] = select("Cell", [["", "all cells"], ...data.cells.map((name, i) => [i, name || "(none)"])]);
    const verdicts = [...new Set(data.items.map((item) => verdictOf(data, item)))].filter(Boolean).sort();
    const [result, resultLabel] = select("Result", [["", "all results"], ...verdicts.map((name) => [name, name])]);
    const [order, orderLabel] = select("Order", [["", "as run"], ["1", `${data.score}, lowest first`], ["-1", `${data.score}, highest first`]]);
    let timer;
    const search = make("input", { type: "search", placeholder: "in ids, questions, answers, references",
                                   oninput: () => { clearTimeout(timer); timer = setTimeout(() => show(0), 150); } });
    const controls = make("div", { class: "controls" }, armLabel);
    if (data.cells.length > 1) controls.append(cellLabel);
    if (verdicts.length > 1) controls.append(resultLabel);
    if (data.score) controls.append(orderLabel);
    controls.append(make("label", { class: "grow" }, "Text", search));
    const status = make("span", { role: "status" });
    const list = make("div");
    let page = 0;
    const step = (by) => () => { show(page + by); details.scrollIntoView({ block: "start" }); };
    const buttons = [-1, 1, -1, 1].map((by) => make("button", { type: "button", onclick: step(by) }, by < 0 ? "Previous" : "Next"));
    place.append(controls, make("div", { class: "pager" }, buttons[0], buttons[1], status), list,
                 make("div", { class: "pager" }, buttons[2], buttons[3]));

    const lower = data.texts.map(() => undefined);
    const holds = (number, wanted) => number !== undefined && (lower[number] ??= data.texts[number].toLowerCase()).includes(wanted);
    function chosen() {
      const wanted = search.value.trim().toLowerCase();
      const found = data.items.filter((item) =>
        (arm.value === "" || item.a === Number(arm.value)) && (cell.value === "" || item.c === Number(cell.value)) &&
        (result.value === "" || verdictOf(data, item) === result.value) &&
        (!wanted || [item.i, item.q, item.p, ...(item.r || [])].some((number) => holds(number, wanted))));
      const sign = Number(order.value), score = (item) => item.s[data.score] ?? Infinity * sign;
      return sign ? found.sort((a, b) => sign * (score(a) - score(b)) || 0) : found;
    }
    function showAll(id) {
      for (const node of [arm, cell, result, order]) node.value = "";
      search.value = id;
      show(0);
      details.scrollIntoView({ block: "start" });
    }
    function show(to) {
      const found = chosen(), pages = Math.max(1, Math.ceil(found.length / PAGE));
      page = Math.min(Math.max(to, 0), pages - 1);
      status.textContent = found.length
        ? `${count(page * PAGE + 1)}–${count(Math.min(found.length, (page + 1) * PAGE))} of ${count(found.length)} items`
        : "No item fits.";
      list.replaceChildren(...found.slice(page * PAGE, (page + 1) * PAGE).map((item) => card(data, item, showAll)));
      buttons.forEach((button, i) => (button.disabled = i % 2 ? page >= pages - 1 : page === 0));
    }
    show(0);
  }

  document.querySelectorAll("table.sortable").forEach(sortable);
  document.querySelectorAll("figure").forEach(tellPoints);
  document.querySelectorAll("section.run").forEach(toggleSeries);
  document.querySelectorAll(".csv pre").forEach(offerDownload);
  for (const details of document.querySelectorAll(".browser"))
    details.addEventListener("toggle", () => details.open && browse(details), { once: true });
})();
