//! The status in the form of mwan3 2.12, for what reads that on OpenWrt.
//!
//! An uplink is an interface of its name, a group a policy, and the default group the policy `default`. What mwan3 counts
//! and the agent does not is 0: `age` and `turn`.

use serde_json::{Map, Value, json};

use crate::engine::settings::Policy;
use crate::engine::state::State;
use crate::engine::status::{Status, TargetStatus, UplinkStatus};
use crate::routing::Family;
use crate::units::{Timestamp, UplinkName};

/// The policy that the default group is.
const DEFAULT_POLICY: &str = "default";

/// The parts of the answer that are asked for, all by default; of one interface, if one is named.
pub(super) fn status(
    status: &Status,
    now: Timestamp,
    section: Option<&str>,
    interface: Option<&str>,
) -> Value {
    let interfaces = || {
        let uplinks = status.uplinks.iter();
        let asked =
            uplinks.filter(|uplink| interface.is_none_or(|name| name == uplink.name.as_str()));
        let entries = asked.map(|uplink| (uplink.name.to_string(), of_uplink(uplink, now)));
        Value::Object(entries.collect())
    };
    let connected = || json!({"ipv4": [], "ipv6": []});
    let policies =
        || json!({"ipv4": policies(status, Family::Ipv4), "ipv6": policies(status, Family::Ipv6)});
    match section {
        Some("interfaces") => json!({"interfaces": interfaces()}),
        Some("connected") => json!({"connected": connected()}),
        Some("policies") => json!({"policies": policies()}),
        Some(_) | None => {
            json!({"interfaces": interfaces(), "connected": connected(), "policies": policies()})
        }
    }
}

fn of_uplink(uplink: &UplinkStatus, now: Timestamp) -> Value {
    let lasts = |since: Timestamp| now.0.duration_since(since.0).unwrap_or_default().as_secs();
    let word = word(uplink);
    let answered = uplink
        .last_outage
        .map_or(uplink.since, |outage| outage.ended);
    let (online, offline) = match word {
        "online" | "disconnecting" => (lasts(answered), 0),
        "offline" => (0, lasts(uplink.since)),
        _ => (0, 0),
    };
    let is_probed = !matches!(uplink.state, State::Absent | State::Cold);
    let is_down = |target: &&TargetStatus| target.state == State::Down;
    json!({
        "age": 0,
        "online": online,
        "offline": offline,
        "uptime": online,
        "score": uplink.score.map_or(0, |score| score.0),
        "lost": uplink.targets.iter().filter(is_down).count(),
        "turn": 0,
        "status": word,
        "enabled": true,
        "running": is_probed,
        "tracking": if is_probed { "active" } else { "paused" },
        "up": !uplink.families.is_empty(),
        "track_ip": uplink.targets.iter().map(of_target).collect::<Vec<_>>(),
    })
}

/// A degraded uplink is usable, as an interface that is online.
fn word(uplink: &UplinkStatus) -> &'static str {
    match uplink.state {
        State::Up | State::Degraded if uplink.in_doubt => "disconnecting",
        State::Up | State::Degraded => "online",
        State::Recovering => "connecting",
        State::Down | State::Absent => "offline",
        State::Disabled | State::Cold => "disabled",
        State::Unknown => "unknown",
    }
}

fn of_target(target: &TargetStatus) -> Value {
    let status = match target.state {
        _ if target.set_aside.is_some() => "skipped",
        State::Up | State::Degraded | State::Recovering => "up",
        State::Down | State::Absent => "down",
        State::Unknown | State::Disabled | State::Cold => "unknown",
    };
    json!({
        "ip": target.target.to_string(),
        "status": status,
        "latency": whole(target.rtt_ms),
        "packetloss": whole(target.loss_percent),
    })
}

/// mwan3 has whole numbers, and 0 for what is not known.
fn whole(value: Option<f64>) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast of a float saturates"
    )]
    value.map_or(0, |value| value.round() as u32)
}

/// Who carries each policy's traffic of a family, in percent.
fn policies(status: &Status, family: Family) -> Value {
    let of = |policy, active: &[UplinkName]| {
        let uplinks = status
            .uplinks
            .iter()
            .filter(|uplink| active.contains(&uplink.name));
        shares(
            policy,
            uplinks
                .filter(|uplink| uplink.families.contains(&family))
                .collect(),
        )
    };
    let mut policies = Map::new();
    policies.insert(DEFAULT_POLICY.to_owned(), of(status.policy, &status.active));
    for group in &status.groups {
        let active = if group.with_rest {
            &status.active
        } else {
            &group.active
        };
        policies.insert(group.name.to_string(), of(group.policy, active));
    }
    Value::Object(policies)
}

fn shares(policy: Policy, uplinks: Vec<&UplinkStatus>) -> Value {
    let weight = |uplink: &UplinkStatus| match policy {
        Policy::Balance => u32::from(uplink.weight.0),
        Policy::Failover | Policy::Best => 1,
    };
    let total: u32 = uplinks.iter().map(|uplink| weight(uplink)).sum();
    let share = |uplink: &UplinkStatus| {
        let percent = (weight(uplink) * 100 + total / 2) / total.max(1);
        json!({"interface": uplink.name.as_str(), "percent": percent})
    };
    Value::Array(uplinks.into_iter().map(share).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A minute after most of what happened.
    const NOW: &str = "2026-11-20T10:01:00Z";

    fn uplink(name: &str, state: &str, more: &Value) -> Value {
        let mut uplink = json!({
            "name": name, "interface": "eth1", "tier": 1, "weight": 1, "state": state, "active": false, "score": 92,
            "loss_percent": 0.4, "rtt_ms": 12.6, "jitter_ms": 0.8, "since": "2026-11-20T10:00:00Z", "reason": "answers",
            "families": ["ipv4"],
            "targets": [{ "target": "1.1.1.1", "state": "up", "rtt_ms": 12.6, "loss_percent": 0.4 }],
        });
        for (key, value) in more.as_object().expect("keys") {
            uplink[key] = value.clone();
        }
        uplink
    }

    fn status() -> Status {
        let silent = json!([
            { "target": "1.1.1.1", "state": "down", "rtt_ms": null, "loss_percent": 100.0 },
            { "target": "dns://9.9.9.9/example.com", "state": "unknown", "rtt_ms": null, "loss_percent": null },
        ]);
        let aside = json!([{ "target": "8.8.8.8", "state": "down", "rtt_ms": null, "loss_percent": null, "set_aside": "no" }]);
        let outage = json!({ "began": "2026-11-20T09:00:00Z", "ended": "2026-11-20T09:01:00Z" });
        let status = json!({
            "version": "1", "mode": "auto", "policy": "balance", "active": ["wan", "wanb"], "since": null, "last_switch": null,
            "uplinks": [
                uplink("wan", "up", &json!({ "active": true, "weight": 2, "families": ["ipv4", "ipv6"], "last_outage": outage })),
                uplink("wanb", "degraded", &json!({ "active": true, "targets": aside })),
                uplink("dsl", "down", &json!({ "score": null, "families": [], "targets": silent })),
                uplink("lte", "cold", &json!({ "score": null, "families": [] })),
                uplink("sat", "up", &json!({ "in_doubt": true })),
            ],
            "groups": [
                { "name": "voice", "policy": "failover", "active": ["wanb"], "with_rest": false, "since": null, "uplinks": ["wanb"] },
                { "name": "backup", "policy": "failover", "active": [], "with_rest": true, "since": null, "uplinks": ["lte"] },
            ],
        });
        serde_json::from_value(status).expect("the contract's schema")
    }

    fn now() -> Timestamp {
        serde_json::from_value(json!(NOW)).expect("a time")
    }

    fn answer(section: Option<&str>, interface: Option<&str>) -> Value {
        super::status(&status(), now(), section, interface)
    }

    #[test]
    fn the_answer_has_the_form_of_mwan3() {
        let of = |more: Value| {
            let mut interface = json!({
                "age": 0, "online": 0, "offline": 0, "uptime": 0, "score": 92, "lost": 0, "turn": 0, "enabled": true,
                "running": true, "tracking": "active", "up": true,
                "track_ip": [{ "ip": "1.1.1.1", "status": "up", "latency": 13, "packetloss": 0 }],
            });
            for (key, value) in more.as_object().expect("keys") {
                interface[key] = value.clone();
            }
            interface
        };
        let silent = json!([
            { "ip": "1.1.1.1", "status": "down", "latency": 0, "packetloss": 100 },
            { "ip": "dns://9.9.9.9/example.com", "status": "unknown", "latency": 0, "packetloss": 0 },
        ]);
        let aside =
            json!([{ "ip": "8.8.8.8", "status": "skipped", "latency": 0, "packetloss": 0 }]);
        let off = json!({ "status": "disabled", "score": 0, "running": false, "tracking": "paused", "up": false });
        let expected = json!({
            "interfaces": {
                "wan": of(json!({ "status": "online", "online": 3600, "uptime": 3600 })),
                "wanb": of(json!({ "status": "online", "online": 60, "uptime": 60, "lost": 1, "track_ip": aside })),
                "dsl": of(json!({ "status": "offline", "offline": 60, "score": 0, "lost": 1, "up": false, "track_ip": silent })),
                "lte": of(off),
                "sat": of(json!({ "status": "disconnecting", "online": 60, "uptime": 60 })),
            },
            "connected": { "ipv4": [], "ipv6": [] },
            "policies": {
                "ipv4": {
                    "default": [{ "interface": "wan", "percent": 67 }, { "interface": "wanb", "percent": 33 }],
                    "voice": [{ "interface": "wanb", "percent": 100 }],
                    "backup": [{ "interface": "wan", "percent": 50 }, { "interface": "wanb", "percent": 50 }],
                },
                "ipv6": {
                    "default": [{ "interface": "wan", "percent": 100 }],
                    "voice": [],
                    "backup": [{ "interface": "wan", "percent": 100 }],
                },
            },
        });
        assert_eq!(answer(None, None), expected);
        assert_eq!(answer(Some("other"), None), expected);
        for section in ["interfaces", "connected", "policies"] {
            assert_eq!(
                answer(Some(section), None),
                json!({ section: expected[section] })
            );
        }
        let wan = json!({ "interfaces": { "wan": expected["interfaces"]["wan"] } });
        assert_eq!(answer(Some("interfaces"), Some("wan")), wan);
        assert_eq!(
            answer(Some("interfaces"), Some("none")),
            json!({ "interfaces": {} })
        );
    }

    #[test]
    fn every_reader_of_mwan3_finds_what_it_looks_for_in_the_type_that_it_takes() {
        // What prometheus-node-exporter-lua-mwan3 and the integrations for Home Assistant take for a number, a truth value
        // and a word; luci-app-mwan3 takes `status`, `online`, `offline` and `uptime`.
        const NUMBERS: [&str; 7] = [
            "age", "online", "offline", "uptime", "score", "lost", "turn",
        ];
        const TRUTHS: [&str; 3] = ["enabled", "running", "up"];
        const WORDS: [&str; 6] = [
            "online",
            "offline",
            "connecting",
            "disconnecting",
            "disabled",
            "unknown",
        ];
        let answer = answer(Some("interfaces"), None);
        for (name, interface) in answer["interfaces"].as_object().expect("interfaces") {
            assert!(
                NUMBERS.iter().all(|key| interface[key].is_u64()),
                "{name}: {interface}"
            );
            assert!(
                TRUTHS.iter().all(|key| interface[key].is_boolean()),
                "{name}: {interface}"
            );
            let word = interface["status"].as_str().expect("a word");
            assert!(WORDS.contains(&word), "{name}: {word}");
            for target in interface["track_ip"].as_array().expect("a list") {
                assert!(
                    target["ip"].is_string() && target["status"].is_string(),
                    "{target}"
                );
                assert!(
                    target["latency"].is_u64() && target["packetloss"].is_u64(),
                    "{target}"
                );
            }
        }
    }

    #[test]
    fn every_state_is_a_word_of_mwan3() {
        let words = [
            "up",
            "degraded",
            "recovering",
            "down",
            "absent",
            "disabled",
            "cold",
            "unknown",
        ]
        .map(|state| {
            let mut status = serde_json::to_value(status()).expect("JSON");
            status["uplinks"] = json!([uplink("wan", state, &json!({}))]);
            let status: Status = serde_json::from_value(status).expect("a status");
            let answer = super::status(&status, now(), None, None);
            answer["interfaces"]["wan"]["status"].clone()
        });
        let expected = [
            "online",
            "online",
            "connecting",
            "offline",
            "offline",
            "disabled",
            "disabled",
            "unknown",
        ];
        assert_eq!(words, expected);
    }
}
