"use strict";
const at = id => document.getElementById(id);
let states = "", drawn = 0;

function cell(row, text, kind, head) {
  const cell = document.createElement(head ? "th" : "td");
  if (head) cell.scope = "row";
  cell.className = kind;
  cell.textContent = text;
  row.append(cell);
}

function number(value, unit, digits) {
  return value === null ? "–" : value.toFixed(digits) + unit;
}

function show(status) {
  const active = status.active.join(", ");
  const last = status.last_switch;
  at("head").textContent = (active ? "Carrying: " + active : "No uplink carries the traffic") +
    (status.mode === "manual" ? " (chosen by hand)" : "") +
    (last ? ". Last switch " + last.at + ": " + last.reason : "");
  at("uplinks").replaceChildren(...status.uplinks.map(uplink => {
    const row = document.createElement("tr");
    cell(row, uplink.name, "t", true);
    cell(row, uplink.state + (uplink.active ? ", carries" : ""), "t s-" + uplink.state);
    cell(row, number(uplink.rtt_ms, " ms", 1), "r");
    cell(row, number(uplink.loss_percent, " %", 1), "r");
    cell(row, number(uplink.score, "", 0), "r");
    cell(row, uplink.since.slice(0, 19).replace("T", " "), "t");
    cell(row, uplink.reason, "why");
    return row;
  }));
  const now = JSON.stringify([status.active, status.uplinks.map(uplink => uplink.state)]);
  if (now !== states || Date.now() - drawn > 30000) {
    states = now;
    drawn = Date.now();
    fetch("/day.html").then(answer => answer.ok ? answer.text() : Promise.reject())
      .then(html => { at("day").innerHTML = html; }, () => { drawn = 0; });
  }
}

async function look() {
  if (!document.hidden) {
    try {
      const answer = await fetch("/status.json");
      show(await answer.json());
    } catch {
      at("head").textContent = "The agent does not answer.";
      states = "";
    }
  }
  setTimeout(look, 1000);
}

look();
document.addEventListener("visibilitychange", () => { drawn = 0; });
