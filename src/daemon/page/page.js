"use strict";
const at = id => document.getElementById(id);
let states = "", due = 0;

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

function time(text) {
  return text.slice(0, 19).replace("T", " ");
}

function why(uplink) {
  const of = uplink.allowance;
  return uplink.reason + (of ? "; " + of.used_percent + " % of the allowance used" : "");
}

function show(status) {
  const active = status.active.join(", ");
  const last = status.last_switch;
  at("head").textContent = (active ? "Carrying: " + active : "No uplink carries the traffic") +
    (status.mode === "manual" ? " (chosen by hand)" : "") +
    (last ? ". Last switch " + time(last.at) + ": " + last.reason : "");
  at("uplinks").replaceChildren(...status.uplinks.map(uplink => {
    const row = document.createElement("tr");
    cell(row, uplink.name, "t", true);
    cell(row, uplink.state + (uplink.active ? ", carries" : ""), "t s-" + uplink.state);
    cell(row, number(uplink.rtt_ms, " ms", 1), "r");
    cell(row, number(uplink.loss_percent, " %", 1), "r less");
    cell(row, number(uplink.score, "", 0), "r less");
    cell(row, time(uplink.since), "t less");
    cell(row, why(uplink), "why");
    return row;
  }));
  const now = Date.now();
  const seen = JSON.stringify([status.active, status.uplinks.map(uplink => uplink.state)]);
  if (seen !== states || now > due) {
    /* The same pictures answer for two seconds: a change may be in the next ones only. */
    due = now + (seen === states ? 30000 : 3000);
    states = seen;
    fetch("/day.html").then(answer => answer.ok ? answer.text() : Promise.reject())
      .then(html => { at("day").innerHTML = html; }, () => { due = 0; });
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
document.addEventListener("visibilitychange", () => { due = 0; });
