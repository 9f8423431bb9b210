//! What OpenWrt installs beside the program, run by busybox with stand-ins for procd's functions and
//! for the programs of the system.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::machine;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("openwrt/uplinkd/files")
        .join(name)
}

/// `rc.common` and procd's functions: each says its name and arguments.
const STAND_INS: &str = r#"
for name in procd_open_instance procd_set_param procd_close_instance procd_add_jail \
    procd_add_reload_trigger procd_send_signal logger
do
    eval "$name() { echo \"$name \$*\"; }"
done
stop() { echo "stop $*"; }
start() { start_service "$@"; }
. "$INIT"
"$@"
"#;

/// A place for stand-ins.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn add(&self, program: &str, body: &str) {
        let path = self.path(program);
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).expect("it is written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("our own file");
    }

    /// busybox, which finds the stand-ins before anything else.
    fn ash(&self) -> Command {
        let mut command = Command::new("busybox");
        let path = format!("{}:/usr/bin:/bin", self.0.path().display());
        command.env_clear().env("PATH", path).arg("ash");
        command
    }

    /// Calls a function of the init script, with the agent's answer to `check` and `reload`.
    fn init(&self, answer: &str, words: &[&str]) -> (String, Option<i32>) {
        self.add(
            "uplinkd",
            &format!(
                "echo \"uplinkd $*\" >> {}\n{answer}",
                self.path("asked").display()
            ),
        );
        let init = fs::read_to_string(file("uplinkd.init")).expect("the script");
        let at_desk = |place: &str| self.path(place).display().to_string();
        let init = init
            .replace("/usr/bin/uplinkd", &at_desk("uplinkd"))
            .replace("/etc/capabilities/", &at_desk("caps-"))
            .replace("/sbin/ujail", &at_desk("ujail"));
        fs::write(self.path("init"), init).expect("it is written");
        let mut ash = self.ash();
        ash.env("INIT", self.path("init"));
        let told = ash
            .args(["-c", STAND_INS, "rc.common"])
            .args(words)
            .output();
        let told = told.expect("busybox");
        let desk = at_desk("");
        (text(&told).replace(&desk, ""), told.status.code())
    }
}

fn text(told: &Output) -> String {
    String::from_utf8(told.stdout.clone()).expect("a text")
}

fn has_busybox() -> bool {
    machine::has("busybox", &["ash", "-c", "true"])
}

#[test]
fn every_script_is_one_for_busybox() {
    if !has_busybox() {
        return;
    }
    for name in ["uplinkd.init", "uplinkd.defaults", "hotplug"] {
        let told = Command::new("busybox")
            .args(["ash", "-n"])
            .arg(file(name))
            .output();
        assert!(told.expect("busybox").status.success(), "{name}");
        let mode = fs::metadata(file(name))
            .expect("a file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o111, 0o111, "{name}");
    }
}

#[test]
fn procd_keeps_the_agent_running_in_a_jail_where_there_is_one() {
    if !has_busybox() {
        return;
    }
    let desk = Desk::new();
    let (told, code) = desk.init("exit 1", &["start"]);
    let bare = "procd_open_instance \n\
                procd_set_param command uplinkd run --config /etc/config/uplinkd\n\
                procd_set_param respawn 3600 5 0\n\
                procd_set_param stderr 1\n\
                procd_set_param term_timeout 10\n\
                procd_close_instance \n";
    assert_eq!(
        (told.as_str(), code),
        (bare, Some(0)),
        "a machine that is not ready is waited for"
    );
    desk.add("ujail", "");
    fs::write(desk.path("caps-uplinkd.json"), "{}").expect("it is written");
    let (told, _) = desk.init("exit 0", &["start"]);
    let jail = "procd_add_jail uplinkd\n\
                procd_set_param capabilities caps-uplinkd.json\n\
                procd_set_param no_new_privs 1\n";
    assert!(told.contains(jail), "{told}");
    let (told, _) = desk.init("", &["service_triggers"]);
    assert_eq!(told, "procd_add_reload_trigger uplinkd\n");
}

#[test]
fn a_wrong_configuration_is_not_started_and_syslog_says_why() {
    if !has_busybox() {
        return;
    }
    let desk = Desk::new();
    let (told, code) = desk.init("echo 'uplinkd:3: unknown option'; exit 2", &["start"]);
    assert_eq!(
        (told.as_str(), code),
        (
            "logger -t uplinkd -p daemon.err not started: uplinkd:3: unknown option\n",
            Some(1)
        )
    );
}

#[test]
fn a_reload_is_the_agent_s_own_and_starts_one_that_is_not_there() {
    if !has_busybox() {
        return;
    }
    let desk = Desk::new();
    let (told, code) = desk.init("exit 0", &["reload_service"]);
    assert_eq!((told.as_str(), code), ("", Some(0)));
    let asked = fs::read_to_string(desk.path("asked")).expect("it was asked");
    assert_eq!(asked, "uplinkd reload --config /etc/config/uplinkd\n");
    let (told, code) = desk.init("echo no; exit 1", &["reload_service"]);
    assert_eq!(
        (told.as_str(), code),
        (
            "logger -t uplinkd -p daemon.err not reloaded: no\n",
            Some(1)
        )
    );
    let (told, code) = desk.init("exit 3", &["reload_service"]);
    assert!(told.starts_with("procd_open_instance"), "{told}");
    assert_eq!(code, Some(0));
}

#[test]
fn a_restart_hands_the_routes_over_before_it_stops() {
    if !has_busybox() {
        return;
    }
    let (told, _) = Desk::new().init("exit 0", &["restart"]);
    let begin = "procd_send_signal uplinkd * USR2\nstop \nprocd_open_instance \n";
    assert!(told.starts_with(begin), "{told}");
}

#[test]
fn an_agent_that_runs_is_not_ended_for_one_that_could_not_start() {
    if !has_busybox() {
        return;
    }
    let (told, code) = Desk::new().init("echo 'uplinkd:3: unknown option'; exit 2", &["restart"]);
    assert_eq!(
        (told.as_str(), code),
        (
            "logger -t uplinkd -p daemon.err not restarted: uplinkd:3: unknown option\n",
            Some(1)
        )
    );
}

#[test]
fn defaults_fill_in_what_is_missing_once_and_change_nothing_else() {
    if !has_busybox() {
        return;
    }
    let desk = Desk::new();
    let config = desk.path("config");
    let run = |before: &str| {
        fs::write(&config, before).expect("it is written");
        for _ in 0..2 {
            let mut ash = desk.ash();
            ash.env("CONFIG", &config).arg(file("uplinkd.defaults"));
            assert!(ash.status().expect("busybox").success());
        }
        fs::read_to_string(&config).expect("it is there")
    };
    let line = "\toption agent_state_dir '/etc/uplinkd/state'\n";
    let before =
        "# mine\nconfig globals 'globals'\n#\toption agent_log 'auto'\n\nconfig uplink 'wan'\n";
    let begin = "# mine\nconfig globals 'globals'\n";
    assert_eq!(
        run(before),
        before.replacen(begin, &(begin.to_owned() + line), 1)
    );
    let before = "config uplink 'wan'\n";
    assert_eq!(
        run(before),
        format!("{before}\nconfig globals 'globals'\n{line}")
    );
    let chosen = "config globals\n\toption agent_state_dir \"/mnt/x\"\n";
    assert_eq!(run(chosen), chosen);
    let chosen = "config globals 'g'; option agent_state_dir /mnt/x\n";
    assert_eq!(run(chosen), chosen);
    let toml = "[[uplink]]\nname = \"wan\"\n";
    assert_eq!(run(toml), toml);
    // Whatever the file is like, it is read afterwards, with what it had and what was filled in.
    let uplink = "config uplink 'wan'\n\toption interface 'eth1'\n\toption tier '1'\n";
    for globals in [
        "config globals 'globals'; option health_loss_enter '31'\n",
        "config globals globals; # mine\n\toption health_loss_enter '31'\n",
        "config globals\n\toption health_loss_enter '31'\nconfig globals 'other'\n",
        "c globals\n\to health_loss_enter 31\n",
        "config uplink 'globals_x'\n\toption interface 'eth2'\n\toption tier '2'\nconfig globals\n\toption health_loss_enter '31'",
    ] {
        let filled = run(&format!("{uplink}{globals}"));
        let read = uplinkd::config::Config::parse(&filled, "uplinkd");
        let read = read.unwrap_or_else(|error| panic!("{error}\n{filled}"));
        assert_eq!(
            read.agent.state_dir.to_str(),
            Some("/etc/uplinkd/state"),
            "{filled}"
        );
        assert_eq!(
            read.engine.uplinks[0].health.loss.enter.to_string(),
            "31.0 %"
        );
    }
    let mode = fs::Permissions::from_mode(0o640);
    fs::set_permissions(&config, mode).expect("a mode");
    let aim = desk.path("elsewhere");
    fs::rename(&config, &aim).expect("it is moved");
    symlink(&aim, &config).expect("a link");
    assert!(run(before).contains(line));
    assert!(config.is_symlink());
    let mode = fs::metadata(&aim).expect("it is there").permissions();
    assert_eq!(mode.mode() & 0o777, 0o640);
}

#[test]
fn hotplug_scripts_hear_what_mwan3_told_them() {
    if !has_busybox() {
        return;
    }
    let desk = Desk::new();
    desk.add(
        "hotplug-call",
        "echo \"$1 ACTION=$ACTION INTERFACE=$INTERFACE DEVICE=$DEVICE\"",
    );
    let run = |event: &str, from: &str, to: &str| {
        let mut ash = desk.ash();
        ash.env("HOTPLUG_CALL", desk.path("hotplug-call"))
            .env("UPLINKD_EVENT", event)
            .env("UPLINKD_UPLINK", "fiber")
            .env("UPLINKD_INTERFACE", "eth1")
            .env("UPLINKD_FROM", from)
            .env("UPLINKD_TO", to);
        let told = ash.arg(file("hotplug")).output().expect("busybox");
        assert!(told.status.success(), "{told:?}");
        text(&told)
    };
    let of = |action: &str, network: &str| {
        format!("iface ACTION={action} INTERFACE={network} DEVICE=eth1\n")
    };
    assert_eq!(
        run("uplink.down", "up", "down"),
        of("disconnected", "fiber")
    );
    desk.add("ubus", "echo '{}'");
    desk.add("jsonfilter", "echo wan; echo wan6");
    let both = |action| of(action, "wan") + &of(action, "wan6");
    assert_eq!(run("uplink.up", "recovering", "up"), both("connected"));
    assert_eq!(
        run("uplink.degraded", "unknown", "degraded"),
        both("connected")
    );
    assert_eq!(
        run("uplink.down", "degraded", "absent"),
        both("disconnected")
    );
    for (event, from, to) in [
        ("uplink.degraded", "up", "degraded"),
        ("uplink.recovering", "down", "recovering"),
        ("uplink.down", "unknown", "down"),
        ("uplink.drained", "", ""),
        ("switch", "fiber", "lte"),
    ] {
        assert_eq!(run(event, from, to), "", "{event}");
    }
}

#[test]
fn the_jail_leaves_the_two_capabilities_and_the_acl_names_the_object() {
    let read = |name| -> Value {
        let text = fs::read_to_string(file(name)).expect("a file");
        serde_json::from_str(&text).expect("JSON")
    };
    let sets = read("capabilities.json");
    let sets = sets.as_object().expect("sets");
    assert_eq!(sets.len(), 5);
    for set in sets.values() {
        assert_eq!(*set, serde_json::json!(["CAP_NET_ADMIN", "CAP_NET_RAW"]));
    }
    let acl = read("acl.json");
    assert_eq!(acl["uplinkd"]["read"]["ubus"]["uplinkd"][0], "status");
    // collectd runs programs as a user that is not root, whom ubusd lets do nothing by itself.
    let nobody =
        serde_json::json!({"user": "nobody", "access": {"uplinkd": {"methods": ["status"]}}});
    assert_eq!(read("nobody.json"), nobody);
}

fn makefile() -> String {
    let makefile = Path::new(env!("CARGO_MANIFEST_DIR")).join("openwrt/uplinkd/Makefile");
    fs::read_to_string(makefile).expect("the Makefile")
}

#[test]
fn the_package_installs_every_file_that_is_there_for_it() {
    let makefile = makefile();
    for entry in fs::read_dir(file("")).expect("the files") {
        let name = entry.expect("an entry").file_name();
        let line = format!(" ./files/{} $(1)/", name.display());
        assert!(makefile.contains(&line), "{line}");
    }
}

#[test]
fn the_package_is_of_the_version_of_the_program() {
    let makefile = makefile();
    let version = concat!("PKG_VERSION:=", env!("CARGO_PKG_VERSION"), "\n");
    assert!(makefile.contains(version));
}
