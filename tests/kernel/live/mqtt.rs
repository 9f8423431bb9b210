//! The MQTT hook of a real agent against a real broker.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::time::timeout;

use super::by_hand::Site;
use super::netns;
use super::*;
use crate::machine;

/// The broker; it ends with the test.
struct Broker(Child);

impl Broker {
    fn start() -> Self {
        let broker = Command::new("mosquitto")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(broker.expect("mosquitto"))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// What is kept under a topic.
fn kept(topic: &str) -> Option<Value> {
    let output = Command::new("mosquitto_sub")
        .args(["-C", "1", "-W", "1", "--retained-only", "-t", topic])
        .output();
    serde_json::from_slice(&output.expect("mosquitto_sub").stdout).ok()
}

/// The same, as soon as it is so.
async fn soon(site: &Site, topic: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let wait = async {
        loop {
            if let Some(value) = kept(topic).filter(&is_so) {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let value = timeout(Duration::from_secs(60), wait).await;
    value.unwrap_or_else(|_| panic!("{topic}: {:?}\n{}", kept(topic), site.log()))
}

/// The hook, which finds the agent of this test.
fn hooks(site: &Site) {
    let hook = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config/hooks/mqtt");
    let (bin, run) = (site.path("bin"), site.path("run"));
    let scripts = [
        (
            "bin/uplinkd",
            format!(
                "case $1 in --*) exec {0} \"$@\" ;; esac\nexec {0} \"$@\" --socket {1} --config {2}\n",
                env!("CARGO_BIN_EXE_uplinkd"),
                site.path("control.sock").display(),
                site.path("uplinkd.toml").display(),
            ),
        ),
        (
            "hooks.d/mqtt",
            format!(
                "export PATH={}:$PATH RUN={} MQTT_HOST=127.0.0.1 MQTT_EVERY=0.5\nexec {}\n",
                bin.display(),
                run.display(),
                hook.display(),
            ),
        ),
    ];
    for (name, text) in scripts {
        let path = site.path(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        fs::write(&path, format!("#!/bin/sh\n{text}")).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
    }
}

/// The one that publishes the state, and the children of that process.
fn followers(site: &Site) -> Vec<Pid> {
    let pid = fs::read_to_string(site.path("run/mqtt.pid")).expect("it runs");
    let mut all = vec![pid.trim().to_owned()];
    let mut place = 0;
    while place < all.len() {
        let children = format!("/proc/{0}/task/{0}/children", all[place]);
        let children = fs::read_to_string(children).unwrap_or_default();
        all.extend(children.split_whitespace().map(str::to_owned));
        place += 1;
    }
    let pids = all.iter().map(|pid| pid.parse().expect("a number"));
    pids.map(Pid::from_raw).collect()
}

#[test]
fn home_assistant_is_told_of_the_uplinks_by_a_real_broker_though_that_comes_late_and_of_the_end() {
    if !machine::has(
        "sh",
        &["-c", "command -v mosquitto mosquitto_pub mosquitto_sub"],
    ) {
        return;
    }
    netns::run(async |world| {
        two_uplinks(&world).await;
        let mut site = Site::prepared("state", "", "");
        let config = fs::read_to_string(site.path("uplinkd.toml")).expect("a configuration");
        let directory = site.path("hooks.d");
        let hooks_key = format!("[agent]\nhooks = \"{}\"\n", directory.display());
        let config = config.replacen("[agent]\n", &hooks_key, 1);
        fs::write(site.path("uplinkd.toml"), config).expect("the configuration");
        hooks(&site);
        site.start();
        site.status(|status| status["routes"] == "in_place").await;
        // The first event is told again five seconds later, at the earliest.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let broker = Broker::start();
        let device = soon(&site, "homeassistant/device/+/config", |_| true).await;
        let base = device["state_topic"].as_str().expect("a topic").to_owned();
        for part in [
            "active",
            "fiber_connected",
            "lte_rtt",
            "lte_last_outage",
            "fiber_available",
        ] {
            assert!(
                device["components"][part]["unique_id"].is_string(),
                "{device}"
            );
        }
        soon(&site, &base, |state| state["active"].is_array()).await;
        let is_disabled = |state: &Value| !state["choices"]["disabled"][LTE].is_null();
        let disabled = site.say(&["disable", LTE]);
        assert!(disabled.status.success(), "{disabled:?}");
        soon(&site, &base, is_disabled).await;

        // The connection breaks: the broker publishes the will, and the next event makes another.
        for pid in followers(&site) {
            // One that has ended meanwhile is as well.
            let _ = kill(pid, Signal::SIGKILL);
        }
        soon(&site, &base, |state| state["offline"] == true).await;
        assert!(site.say(&["enable", LTE]).status.success());
        soon(&site, &base, |state| {
            !is_disabled(state) && state["offline"].is_null()
        })
        .await;
        site.kill();
        soon(&site, &base, |state| state["offline"] == true).await;
        drop(broker);
    });
}
