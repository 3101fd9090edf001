// Sends the rows of a CSV file to the service in parts, and puts what comes back into a file to save. Nothing of it is
// kept on the server, and nothing is shown as markup.

"use strict";

(() => {
  const MOST_ROWS = 1000;
  const COLUMNS = ["action", "safety", "categories", "p_unsafe"];
  const $ = (id) => document.getElementById(id);

  // RFC 4180: commas, quotes doubled inside quotes, lines that end in CR LF or LF.
  function parse(text) {
    const rows = [[]];
    let cell = "", isQuoted = false;
    const endCell = () => { rows[rows.length - 1].push(cell); cell = ""; };
    for (let at = 0; at < text.length; at++) {
      const one = text[at];
      if (isQuoted) {
        if (one !== '"') cell += one;
        else if (text[at + 1] === '"') { cell += '"'; at++; }
        else isQuoted = false;
      } else if (one === '"' && cell === "") isQuoted = true;
      else if (one === ",") endCell();
      else if (one === "\n") { endCell(); rows.push([]); }
      else if (one !== "\r") cell += one;
    }
    endCell();
    return rows.filter((row) => row.length > 1 || row[0].trim() !== "");
  }

  // What a spreadsheet would run; see `core/spreadsheet`.
  const plain = (value) => (/^[=+\-@\t\r\n＝＋－＠]/.test(value) ? `'${value}` : value);
  const quoted = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  const written = (rows) => rows.map((row) => row.map((value) => quoted(plain(String(value)))).join(",") + "\r\n").join("");
  const filled = (text, values) => text.replace(/\{(\w+)\}/g, (all, name) => values[name]);

  const place = $("table"), said = place.dataset;
  let stops = false, saved = null;

  async function read(file) {
    const text = (await file.text()).replace(/^\ufeff/, "");
    const [heading, ...rows] = parse(text);
    const names = (heading ?? []).map((name) => name.trim().toLowerCase());
    const columns = Object.fromEntries(["prompt", "response"].map((name) => [name, names.indexOf(name)]));
    if (columns.prompt < 0 && columns.response < 0) throw new Error(said.noColumn);
    if (!rows.length) throw new Error(said.empty);
    if (rows.length > MOST_ROWS) throw new Error(said.tooMany);
    return { heading, rows, columns };
  }

  async function judge(rows, columns, sides) {
    const cell = (row, name) => (columns[name] < 0 ? "" : row[columns[name]] ?? "");
    const texts = rows.map((row) => ({ prompt: cell(row, "prompt"), response: cell(row, "response") }));
    const reply = await fetch(said.address, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-CSRF-Token": said.csrf, "HX-Request": "true" },
      body: JSON.stringify({ ...sides, rows: texts }),
    });
    if (!reply.ok) throw new Error(`HTTP ${reply.status}`);
    return (await reply.json()).rows;
  }

  function offer(table) {
    if (saved) URL.revokeObjectURL(saved);
    saved = URL.createObjectURL(new Blob(["\ufeff", written(table)], { type: "text/csv" }));
    $("save").href = saved;
    $("save").hidden = false;
  }

  async function run() {
    const form = new FormData($("sides"));
    const sides = Object.fromEntries(["policy_a", "policy_b", "engine_a", "engine_b"].map((name) => [name, form.get(name)]));
    let done = 0, differ = 0, table = [];
    stops = false;
    $("run").disabled = true; $("stop").hidden = false; $("save").hidden = true;
    try {
      const { heading, rows, columns } = await read($("file").files[0]);
      table = [[...heading, ...["a", "b"].flatMap((side) => COLUMNS.map((name) => `${side}_${name}`))]];
      while (done < rows.length && !stops) {
        const part = rows.slice(done, done + Number(said.part));
        const judged = await judge(part, columns, sides);
        judged.forEach(({ a, b }, number) => {
          const row = [...part[number], ...Array(Math.max(0, heading.length - part[number].length)).fill("")];
          table.push([...row, ...[a, b].flatMap((side) => COLUMNS.map((name) => side[name]))]);
          differ += a.action !== b.action;
        });
        done += part.length;
        $("progress").max = rows.length; $("progress").value = done;
        $("state").textContent = filled(said.running, { done, all: rows.length });
      }
      if (done === rows.length) $("state").textContent = filled(said.done, { all: done, differ });
    } catch (error) {
      $("state").textContent = done ? filled(said.failed, { done: done + 1, status: error.message }) : error.message;
    } finally {
      // What was judged before it stopped is worth having.
      if (done) offer(table);
      $("run").disabled = false; $("stop").hidden = true;
    }
  }

  $("file").addEventListener("change", () => { $("run").disabled = !$("file").files.length; });
  $("run").addEventListener("click", run);
  $("stop").addEventListener("click", () => { stops = true; });
})();
