//! Hooks that run before a planned switch of a real agent.
#![expect(clippy::disallowed_methods, reason = "what an operator waits")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use super::by_hand::Site;
use super::metrics::{answered, probes};
use super::netns;
use super::*;

/// An agent of two healthy uplinks, with a hook or without one; the hook has `$OUT`, a directory.
async fn site(hook: Option<&str>) -> (Site, tempfile::TempDir) {
    let files = tempfile::tempdir().expect("a directory");
    let hooks = files.path().join("hooks.d");
    fs::create_dir(&hooks).expect("a directory");
    if let Some(hook) = hook {
        let path = hooks.join("hook");
        let out = files.path().display();
        let text = format!("#!/bin/sh\nOUT={out}\n{hook}\n");
        fs::write(&path, text).expect("a hook");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
    }
    let keys = format!("hooks = '{}'\n", hooks.display());
    let site = Site::with("state", &keys, &probes());
    site.status(|status| {
        let is_up = |place: usize| status["uplinks"][place]["state"] == "up";
        is_up(0) && is_up(1) && status["active"][0] == "fiber"
    })
    .await;
    (site, files)
}

fn switch(site: &Site, to: &str) -> Duration {
    let begun = Instant::now();
    let said = site.say(&["switch", to]);
    assert!(said.status.success(), "{said:?}");
    begun.elapsed()
}

const NOTES: &str = "[ \"$UPLINKD_EVENT\" = switch.planned ] || [ \"$UPLINKD_EVENT\" = switch ] || exit 0\n\
                     echo \"$UPLINKD_EVENT $UPLINKD_FROM $UPLINKD_TO $UPLINKD_REASON\" >> \"$OUT/notes\"";

#[test]
fn a_planned_switch_waits_until_its_hook_has_ended() {
    netns::run(async |world| {
        let _beyond = answered(&world).await;
        let hook = format!(
            "{NOTES}\n[ \"$UPLINKD_EVENT\" = switch.planned ] || exit 0\nsleep 0.5\n\
             ip route get 192.0.2.80 > \"$OUT/route\""
        );
        let (site, files) = site(Some(&hook)).await;
        let took = switch(&site, "lte");
        assert!(took >= Duration::from_millis(500), "{took:?}");
        assert_eq!(site.status(|_| true).await["active"][0], "lte");
        let read = |name: &str| fs::read_to_string(files.path().join(name)).unwrap_or_default();
        let notes = read("notes");
        assert!(
            notes.contains("switch.planned fiber lte `switch lte`\n"),
            "{notes}"
        );
        assert!(
            read("route").contains("dev fiber"),
            "before the switch: {}",
            read("route")
        );
        let history = site.say(&["history", "--json"]);
        let history = String::from_utf8_lossy(&history.stdout).into_owned();
        assert!(
            !history.contains("switch.planned") && history.contains("by hand"),
            "{history}"
        );
    });
}

#[test]
fn a_planned_switch_waits_two_seconds_for_a_hook_that_hangs() {
    netns::run(async |world| {
        let _beyond = answered(&world).await;
        let hangs = "[ \"$UPLINKD_EVENT\" = switch.planned ] && exec sleep 20";
        let (site, _files) = site(Some(hangs)).await;
        let took = switch(&site, "lte");
        assert!((2_000..4_000).contains(&took.as_millis()), "{took:?}");
        assert_eq!(site.status(|_| true).await["active"][0], "lte");
    });
}

#[test]
fn without_a_hook_a_planned_switch_waits_for_nothing() {
    netns::run(async |world| {
        let _beyond = answered(&world).await;
        let (site, _files) = site(None).await;
        let took = switch(&site, "lte");
        assert!(took < Duration::from_millis(1_500), "{took:?}");
    });
}

/// What carries the traffic fails, and the traffic does not wait for what was planned.
#[test]
fn an_outage_during_the_wait_is_acted_on_at_once_and_ends_it() {
    netns::run(async |world| {
        let _beyond = answered(&world).await;
        let hangs =
            "[ \"$UPLINKD_EVENT\" = switch.planned ] && touch \"$OUT/told\" && exec sleep 20";
        let (site, files) = site(Some(hangs)).await;
        let told = files.path().join("told");
        let mut asked = site.ask(&["switch", "lte"]);
        let wait = async {
            while !told.exists() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, wait).await.expect("the hook is run");
        assert_eq!(site.status(|_| true).await["active"][0], "fiber");
        world.set_up(FIBER, false).await;
        let begun = Instant::now();
        let ended = asked.wait().expect("the program");
        assert!(ended.success());
        assert!(
            begun.elapsed() < Duration::from_millis(1_500),
            "{:?}",
            begun.elapsed()
        );
        let status = site.status(|_| true).await;
        assert_eq!(status["choices"]["switch"]["uplink"], "lte");
        let reason = status["last_switch"]["reason"].as_str().expect("a reason");
        assert!(reason.starts_with("fiber"), "{reason}");
    });
}
