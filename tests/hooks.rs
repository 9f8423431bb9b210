//! The hooks that are shipped, run by the machine's `sh` with stand-ins for what they call.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// A directory with programs that write down how they were called.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new(programs: &[&str]) -> Self {
        let desk = Self(tempfile::tempdir().expect("a directory"));
        for program in programs {
            let path = desk.path(program);
            let calls = desk.path("calls");
            let script = format!(
                "#!/bin/sh\necho {program} \"$@\" >> {0}\ncat >> {0}\n",
                calls.display()
            );
            fs::write(&path, script).expect("a file");
            fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("it is ours");
        }
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Runs a hook for an event, with more in its environment.
    fn run(&self, hook: &str, event: &str, to: &str, more: &[(&str, &str)]) -> Output {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("config/hooks")
            .join(hook);
        let search = format!("{}:/usr/bin:/bin", self.0.path().display());
        let mut command = Command::new(path);
        command
            .env_clear()
            .env("PATH", search)
            .env("UPLINKD_EVENT", event)
            .env("UPLINKD_UPLINK", "fiber")
            .env("UPLINKD_FROM", "up")
            .env("UPLINKD_TO", to)
            .env("UPLINKD_REASON", "no answer for 0.9 s")
            .envs(more.iter().copied())
            .stdin(Stdio::null());
        command.output().expect("sh")
    }

    fn resolver(&self, to: &str) {
        let paths = ["resolv.d", "run", "resolv.conf"].map(|name| self.path(name));
        let [servers, run, target] = paths.each_ref().map(|path| path.to_str().expect("text"));
        let more = [
            ("RESOLV_D", servers),
            ("RUN", run),
            ("RESOLV_CONF", target),
            ("DEBOUNCE", "0.3"),
        ];
        let output = self.run("resolver", "switch", to, &more);
        assert!(output.status.success(), "{output:?}");
    }
}

/// Whether it is so within a span of tenths of a second.
#[expect(
    clippy::disallowed_methods,
    reason = "what a hook leaves to its child has no event here"
)]
fn comes_true(tenths: u32, mut condition: impl FnMut() -> bool) -> bool {
    (0..tenths).any(|_| {
        std::thread::sleep(Duration::from_millis(100));
        condition()
    })
}

#[test]
fn the_resolver_follows_the_last_of_several_switches_and_is_told_once() {
    let desk = Desk::new(&["killall"]);
    fs::create_dir(desk.path("resolv.d")).expect("a directory");
    for uplink in ["fiber", "lte"] {
        let servers = format!("nameserver 192.0.2.53 # {uplink}\n");
        fs::write(desk.path("resolv.d").join(uplink), servers).expect("a file");
    }
    for to in ["lte", "fiber", "lte"] {
        desk.resolver(to);
    }
    assert!(comes_true(100, || desk
        .read("calls")
        .contains("killall -HUP dnsmasq")));
    assert!(desk.read("resolv.conf").contains("# lte"));
    // One that nobody wrote servers for, and one that is in force.
    desk.resolver("backup");
    desk.resolver("lte");
    assert!(!comes_true(10, || desk.read("calls").lines().count() > 1));
}

#[test]
fn mail_tells_of_a_dead_uplink_and_not_of_a_reload() {
    let desk = Desk::new(&["sendmail"]);
    desk.run("mail", "config.reloaded", "", &[]);
    assert_eq!(desk.read("calls"), "");
    desk.run(
        "mail",
        "uplink.down",
        "down",
        &[("MAIL_TO", "noc@example.net")],
    );
    let mail = desk.read("calls");
    assert!(
        mail.starts_with("sendmail -t\nTo: noc@example.net\nSubject: "),
        "{mail}"
    );
    assert!(mail.contains("uplink.down fiber\n"), "{mail}");
    assert!(
        mail.ends_with("\n\nno answer for 0.9 s\n\nup -> down\n"),
        "{mail}"
    );
}

#[test]
fn webhook_and_mqtt_do_nothing_until_they_know_where_to() {
    let desk = Desk::new(&["curl", "mosquitto_pub"]);
    for hook in ["webhook", "mqtt"] {
        assert!(desk.run(hook, "switch", "lte", &[]).status.success());
    }
    assert_eq!(desk.read("calls"), "");
    desk.run(
        "webhook",
        "switch",
        "lte",
        &[("WEBHOOK_URL", "https://example.net/hook")],
    );
    assert!(
        desk.read("calls")
            .contains("--data-binary @- https://example.net/hook")
    );
    desk.run("mqtt", "switch", "lte", &[("MQTT_HOST", "broker")]);
    assert!(
        desk.read("calls")
            .contains("-h broker -t uplinkd/event/switch")
    );
}
