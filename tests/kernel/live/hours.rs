//! Rules of a real agent that apply at some hours, in a minute at which they come and go.
#![expect(
    clippy::disallowed_methods,
    reason = "the agent goes by the wall clock"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Instant, SystemTime};

use serde_json::Value;
use uplinkd::units::{LocalMinute, Timestamp, ZonedTime};

use super::by_hand::Site;
use super::groups::way_to;
use super::metrics::{answered, probes};
use super::netns;
use super::*;

/// The first full minute that leaves the agent ten seconds to start, in its zone.
fn next_minute() -> LocalMinute {
    let utc = Timestamp(SystemTime::now() + Duration::from_secs(70));
    let offset = uplinkd::alert::utc_offset(utc.0);
    { ZonedTime { utc, offset } }.local().expect("a minute")
}

fn rule(port: u16, hours: &str) -> String {
    format!("[[rule]]\ngroup = \"voice\"\nprotocol = \"udp\"\ndport = {port}\nwhen = \"{hours}\"\n")
}

fn applies(status: &Value) -> [bool; 2] {
    [0, 1].map(|place| status["rules"][place]["applies"] == true)
}

/// More than a minute may pass until then. Of all lookups meanwhile none fails, and none goes elsewhere than by the hours.
#[test]
fn rules_come_and_go_with_their_hours_and_no_lookup_fails_meanwhile() {
    netns::run(async |world| {
        let _beyond = answered(&world).await;
        // `sat 16:41`
        let turn = next_minute().to_string();
        let time = turn.rsplit(' ').next().expect("a time");
        let rules = [
            rule(5060, &format!("{time}-{}", opposite(time))),
            rule(5061, &format!("{}-{time}", opposite(time))),
        ];
        let group = "[[group]]\nname = \"voice\"\nuplinks = [\"lte\"]\n";
        let site = Site::with("state", "", &[&probes(), group, &rules.concat()].concat());
        site.status(|status| {
            let is_up = |place: usize| status["uplinks"][place]["state"] == "up";
            is_up(0) && is_up(1) && status["active"][0] == "fiber"
        })
        .await;
        let status = site.status(|status| applies(status) == [false, true]).await;
        assert_eq!(status["rules"][0]["until"], status["rules"][1]["until"]);
        let (fiber, lte) = (IpAddr::from(ip("10.1.0.2")), IpAddr::from(ip("10.2.0.2")));
        let ways = || [5060, 5061, 9].map(way_to);
        let begun = Instant::now();
        let (mut lookups, mut seen) = (0, Vec::new());
        while seen.last() != Some(&[lte, fiber, fiber]) {
            assert!(begun.elapsed() < Duration::from_secs(90), "{seen:?}");
            let now = ways();
            lookups += 1;
            if seen.last() != Some(&now) {
                seen.push(now);
            }
            if lookups % 64 == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        assert_eq!(seen[0], [fiber, lte, fiber]);
        // One rule may be there before the other is gone, and nothing else.
        assert!(seen.len() <= 3, "{seen:?}");
        let other = site.status(|status| applies(status) == [true, false]).await;
        assert_eq!(other["active"], status["active"]);
        let log = site.log();
        assert!(
            log.contains("a rule begins to apply") && log.contains("a rule no longer applies"),
            "{log}"
        );
    });
}

/// The hook is told of it before, and the agent answers meanwhile.
#[test]
fn a_failback_in_the_first_minute_of_its_hours_comes_after_the_hook_that_is_told_of_it() {
    netns::run(async |world| {
        let _beyond = answered(&world).await;
        let files = tempfile::tempdir().expect("a directory");
        let hooks = files.path().join("hooks.d");
        fs::create_dir(&hooks).expect("a directory");
        let notes = files.path().join("notes");
        let hook = format!(
            "#!/bin/sh\ncase $UPLINKD_EVENT in switch*) ;; *) exit 0 ;; esac\n\
             echo \"$UPLINKD_EVENT $UPLINKD_FROM $UPLINKD_TO\" >> {}\n",
            notes.display()
        );
        fs::write(hooks.join("note"), hook).expect("a hook");
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(hooks.join("note"), mode).expect("it is ours");
        let turn = next_minute().to_string();
        let time = turn.rsplit(' ').next().expect("a time");
        let window = format!(
            "[failover]\nfailback_after = \"1s\"\nfailback_window = \"{time}-{}\"\n",
            opposite(time)
        );
        let keys = format!("hooks = '{}'\n", hooks.display());
        let site = Site::with("state", &keys, &[window, probes()].concat());
        site.status(|status| {
            status["active"][0] == "fiber" && status["uplinks"][1]["state"] == "up"
        })
        .await;
        world.set_up(FIBER, false).await;
        site.status(|status| status["active"][0] == "lte").await;
        world.set_up(FIBER, true).await;
        world.add_default(FIBER, VIA_FIBER).await;
        let waits = site
            .status(|status| status["uplinks"][0]["waits"]["for"] == "failback_window")
            .await;
        assert!(waits["uplinks"][0]["waits"]["until"].is_string(), "{waits}");
        let begun = Instant::now();
        loop {
            let status = site.status(|_| true).await;
            if status["active"][0] == "fiber" {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(90), "{}", site.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let told = || fs::read_to_string(&notes).unwrap_or_default();
        let is_told = async {
            while !told().contains("switch lte fiber\n") {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, is_told).await.expect("the hook is run");
        let told = told();
        assert!(
            told.ends_with("switch.planned lte fiber\nswitch lte fiber\n"),
            "{told}"
        );
    });
}

/// The minute of the day that is as far before this one as after it.
fn opposite(time: &str) -> String {
    moved(time, 12 * 60)
}

fn moved(time: &str, minutes: u32) -> String {
    let (hour, minute) = time.split_once(':').expect("a time");
    let number = |text: &str| text.parse::<u32>().expect("a number");
    let moved = (number(hour) * 60 + number(minute) + minutes) % (24 * 60);
    format!("{:02}:{:02}", moved / 60, moved % 60)
}
