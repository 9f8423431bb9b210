//! The hooks that are shipped, run by the machine's `sh` with stand-ins for what they call.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

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

    /// A program that says something.
    fn add(&self, program: &str, script: &str) {
        let calls = self.path("calls");
        let calls = format!("echo {program} \"$@\" >> {}", calls.display());
        self.script(program, &format!("{calls}\n{script}"));
    }

    /// A program of which no call is written down.
    fn script(&self, program: &str, script: &str) {
        let path = self.path(program);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a file");
        fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("it is ours");
    }

    /// Runs the hook that brings `fiber` up or down, which has the interface eth1.
    fn standby(&self, event: &str) -> String {
        let own = self.path("standby.d");
        let own = own.to_str().expect("text");
        let more = [("STANDBY_D", own), ("UPLINKD_INTERFACE", "eth1")];
        let output = self.run("standby", event, "", &more);
        assert!(output.status.success(), "{output:?}");
        let calls = self.read("calls");
        fs::remove_file(self.path("calls")).unwrap_or_default();
        calls.lines().last().unwrap_or_default().to_owned()
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

    /// Runs the hook, whose part in the background sleeps until [`Self::wake`].
    fn resolver(&self, to: &str) {
        let asleep = self.path("asleep");
        fs::create_dir_all(&asleep).expect("a directory");
        let before = self.sleepers();
        let script = format!(
            "touch {0}/$$; while [ -e {0}/$$ ]; do /bin/sleep 0.02; done",
            asleep.display()
        );
        self.script("sleep", &script);
        let paths = ["resolv.d", "run", "resolv.conf"].map(|name| self.path(name));
        let [servers, run, target] = paths.each_ref().map(|path| path.to_str().expect("text"));
        let more = [("RESOLV_D", servers), ("RUN", run), ("RESOLV_CONF", target)];
        let output = self.run("resolver", "switch", to, &more);
        assert!(output.status.success(), "{output:?}");
        assert!(comes_true(|| self.sleepers() > before), "it sleeps first");
    }

    fn sleepers(&self) -> usize {
        let asleep = fs::read_dir(self.path("asleep")).expect("a directory");
        asleep.count()
    }

    /// The time to sleep is over for all: waits until each has done what it does then.
    fn wake(&self) {
        for asleep in fs::read_dir(self.path("asleep")).expect("a directory") {
            fs::remove_file(asleep.expect("a file").path()).expect("our own");
        }
        // Twice: a process may be born behind the back of one look.
        let is_over = || self.is_at_rest() && self.is_at_rest();
        assert!(comes_true(is_over), "a hook goes on");
    }

    /// No process of a hook is left.
    fn is_at_rest(&self) -> bool {
        let own = format!("RUN={}", self.path("run").display());
        let processes = fs::read_dir("/proc").expect("the processes");
        !processes.flatten().any(|process| {
            let environment = fs::read(process.path().join("environ")).unwrap_or_default();
            let mut variables = environment.split(|byte| *byte == 0);
            variables.any(|variable| variable == own.as_bytes())
        })
    }
}

/// Whether it is so within far longer than it takes on any machine.
#[expect(
    clippy::disallowed_methods,
    reason = "what a hook leaves to its child has no event here"
)]
fn comes_true(mut condition: impl FnMut() -> bool) -> bool {
    (0..3_000).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
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
    desk.wake();
    assert_eq!(desk.read("calls"), "killall -HUP dnsmasq\n");
    assert!(desk.read("resolv.conf").contains("# lte"));
    // Of two families that go apart it is IPv4 that counts: this starts no part in the background.
    let (turn, run) = (desk.read("run/resolver.turn"), desk.path("run"));
    let run = run.to_str().expect("text");
    let ipv6 = [("UPLINKD_FAMILY", "ipv6"), ("RUN", run)];
    let output = desk.run("resolver", "switch", "fiber", &ipv6);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(desk.read("run/resolver.turn"), turn);
    // One without servers, and one that is in force.
    for to in ["backup", "lte"] {
        desk.resolver(to);
        desk.wake();
    }
    assert_eq!(desk.read("calls"), "killall -HUP dnsmasq\n");
}

#[test]
fn systemd_resolved_asks_the_uplink_that_carries_and_is_told_once() {
    let desk = Desk::new(&["resolvectl", "killall"]);
    desk.add(
        "uplinkd",
        "[ \"$2\" = --json ] && echo '{\"interface\":\"eth1\"},{\"interface\":\"wwan0\"}' && exit\n\
         [ \"$2\" = lte ] && echo '{\"interface\":\"wwan0\",\"tier\":2}' || echo '{\"interface\":\"eth1\"}'",
    );
    fs::create_dir(desk.path("resolv.d")).expect("a directory");
    let servers = "nameserver 192.0.2.53 # lte\nnameserver 192.0.2.54\n";
    fs::write(desk.path("resolv.d").join("lte"), servers).expect("a file");
    let stub = desk.path("run/systemd/resolve");
    fs::create_dir_all(&stub).expect("a directory");
    fs::write(stub.join("stub-resolv.conf"), "nameserver 127.0.0.53\n").expect("a file");
    std::os::unix::fs::symlink(stub.join("stub-resolv.conf"), desk.path("resolv.conf"))
        .expect("a link");
    for to in ["fiber", "lte", "lte"] {
        desk.resolver(to);
    }
    let told = |desk: &Desk| -> Vec<String> {
        let calls = desk.read("calls");
        let of_resolved = calls.lines().filter(|call| call.starts_with("resolvectl"));
        of_resolved.map(str::to_owned).collect()
    };
    desk.wake();
    assert_eq!(
        told(&desk),
        [
            "resolvectl dns wwan0 192.0.2.53 192.0.2.54",
            "resolvectl default-route wwan0 yes",
            "resolvectl default-route eth1 no",
            "resolvectl flush-caches",
        ]
    );
    assert_eq!(desk.read("resolv.conf"), "nameserver 127.0.0.53\n");
    // In force already.
    desk.resolver("lte");
    desk.wake();
    assert_eq!(told(&desk).len(), 4, "{:?}", told(&desk));
    // An uplink of which nothing is said keeps the servers that its link has.
    desk.resolver("fiber");
    desk.wake();
    assert_eq!(told(&desk).len(), 7, "{:?}", told(&desk));
    assert_eq!(told(&desk)[4], "resolvectl default-route eth1 yes");
}

#[test]
fn a_cold_uplink_is_brought_up_by_the_program_that_manages_its_interface() {
    let desk = Desk::new(&["ip"]);
    // So that what this machine has is not asked.
    for absent in ["nmcli", "networkctl", "ubus"] {
        desk.add(absent, "exit 1");
    }
    assert_eq!(desk.standby("uplink.down"), "");
    assert_eq!(desk.standby("standby.up"), "ip link set dev eth1 up");
    assert_eq!(desk.standby("standby.down"), "ip link set dev eth1 down");

    desk.add("networkctl", "");
    assert_eq!(desk.standby("standby.up"), "networkctl up eth1");

    desk.add(
        "nmcli",
        "case $* in *RUNNING*) echo running ;; *MANAGED*) echo yes ;; *show*) exit 10 ;; esac",
    );
    assert_eq!(
        desk.standby("standby.down"),
        "nmcli --wait 0 device disconnect eth1"
    );
    desk.add("nmcli", "case $* in *RUNNING*) echo running ;; esac");
    assert_eq!(
        desk.standby("standby.up"),
        "nmcli --wait 0 connection up id fiber"
    );

    for program in ["ifup", "ifdown"] {
        desk.add(program, "");
    }
    desk.add("ubus", "exit 4");
    let networks = "network.loopback.device='lo'\nnetwork.wan=interface\nnetwork.wan.device='eth1'\n\
                    network.wan.proto='dhcp'\n";
    desk.add("uci", &format!("printf \"{networks}\""));
    assert_eq!(desk.standby("standby.up"), "ifup wan");
    assert_eq!(desk.standby("standby.down"), "ifdown wan");
    desk.add("ubus", "echo network.interface.fiber");
    assert_eq!(desk.standby("standby.up"), "ifup fiber");
    let named = [("UPLINKD_INTERFACE", "eth1"), ("UPLINKD_NETWORK", "wan")];
    assert!(
        desk.run("standby", "standby.up", "", &named)
            .status
            .success()
    );
    assert_eq!(desk.read("calls"), "", "the agent asks netifd itself");

    fs::create_dir(desk.path("standby.d")).expect("a directory");
    desk.add("standby.d/fiber", "");
    assert_eq!(desk.standby("standby.up"), "standby.d/fiber up eth1");
}

/// `sleep` is a stand-in that does not.
#[test]
fn dynamic_dns_looks_once_after_several_switches_of_the_default_group() {
    let desk = Desk::new(&["updater"]);
    desk.script("sleep", "/bin/sleep 0.2");
    desk.add("init", "[ \"$1\" = enabled ]");
    let signalled = desk.path("signalled");
    let waits = format!(
        "trap 'echo USR2 >> {}; exit' USR2; while :; do /bin/sleep 0.05; done",
        signalled.display()
    );
    desk.script("inadyn", &waits);
    let mut inadyn = Command::new(desk.path("inadyn")).spawn().expect("sh");
    fs::write(desk.path("inadyn.pid"), inadyn.id().to_string()).expect("a file");
    let paths = ["updater", "init", "inadyn.pid", "run"].map(|name| desk.path(name));
    let [updater, init, pid, run] = paths.each_ref().map(|path| path.to_str().expect("text"));
    let more = [
        ("DDNS_UPDATER", updater),
        ("DDNS_INIT", init),
        ("INADYN_PID", pid),
        ("RUN", run),
    ];
    let of_group = [&more[..], &[("UPLINKD_GROUP", "voice")]].concat();
    desk.run("ddns", "uplink.down", "down", &more);
    desk.run("ddns", "switch", "lte", &of_group);
    assert!(desk.is_at_rest());
    for to in ["lte", "fiber", "lte"] {
        assert!(desk.run("ddns", "switch", to, &more).status.success());
    }
    assert!(comes_true(|| desk.is_at_rest() && desk.is_at_rest()));
    assert_eq!(desk.read("calls"), "init enabled\nupdater -- start\n");
    assert!(comes_true(|| desk.read("signalled") == "USR2\n"));
    inadyn.wait().expect("it ends");
}

/// `wg`, `uci`, `ip` and `uplinkd` are stand-ins that write down how they were called.
#[test]
fn tunnels_are_led_to_the_uplink_that_carries_and_routes_by_another_go() {
    let desk = Desk::new(&[]);
    desk.script(
        "uplinkd",
        "[ \"$2\" = --json ] && echo '{\"interface\":\"eth1\"},{\"interface\":\"wwan0\"}' && exit\n\
         [ \"$2\" = lte ] && echo '{\"interface\":\"wwan0\",\"tier\":2}' || echo '{\"interface\":\"eth1\"}'",
    );
    let calls = desk.path("calls");
    let calls = calls.display();
    desk.script(
        "wg",
        &format!(
            "case \"$*\" in\n\
             'show interfaces') echo wg0 wg1 wwan0 pinned ;;\n\
             'show pinned fwmark') echo 0x75700001 ;;\n\
             'show wg1 fwmark') echo 0xca6c ;;\n\
             *fwmark) echo off ;;\n\
             'show wg0 endpoints') printf 'k0=\\t192.0.2.7:51820\\nk1=\\t(none)\\nk2=\\t[2001:db8::7]:5\\n' ;;\n\
             'show wg1 endpoints') printf 'k3+/=\\t198.51.100.3:51820\\nk4=\\t198.51.100.4:7\\n' ;;\n\
             *no.such.name*) echo wg \"$@\" >> {calls}; exit 1 ;;\n\
             *) echo wg \"$@\" >> {calls} ;;\n\
             esac"
        ),
    );
    desk.script(
        "uci",
        "shift\ncase $2 in\n\
         'network.@wireguard_wg0[0].public_key') echo other= ;;\n\
         'network.@wireguard_wg0[1].public_key') echo k0= ;;\n\
         'network.@wireguard_wg0[1].endpoint_host') echo vpn.example.net ;;\n\
         'network.wg1.nohostroute') echo 1 ;;\n\
         *) exit 1 ;;\n\
         esac",
    );
    desk.script(
        "ip",
        &format!(
            "case \"$*\" in\n\
             *'show exact 192.0.2.7'*) echo '192.0.2.7 via 10.1.0.1 dev eth1 proto static metric 10' ;;\n\
             *'show exact 2001:db8::7'*) echo '2001:db8::7 via fe80::1 dev wwan0 proto static' ;;\n\
             *) echo ip \"$@\" >> {calls} ;;\n\
             esac"
        ),
    );
    fs::create_dir(desk.path("wireguard")).expect("a directory");
    let file = "[Interface]\nPrivateKey = p=\n[Peer]\nEndpoint = no.such.name:1\nPublicKey = k4=\n\
                [Peer]\nPublicKey = k3+/= # ours\nEndpoint = home.example.net:51820\n";
    fs::write(desk.path("wireguard/wg1.conf"), file).expect("a file");
    let conf = desk.path("wireguard");
    let conf = [("WG_CONF", conf.to_str().expect("text"))];
    desk.run("wireguard", "uplink.down", "down", &conf);
    assert_eq!(desk.read("calls"), "");
    let output = desk.run("wireguard", "switch", "lte", &conf);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(
        desk.read("calls").lines().collect::<Vec<_>>(),
        [
            "ip -4 route del 192.0.2.7 dev eth1 table main",
            "wg set wg0 peer k0= endpoint vpn.example.net:51820",
            "wg set wg0 peer k2= endpoint [2001:db8::7]:5",
            "wg set wg1 peer k3+/= endpoint home.example.net:51820",
            "wg set wg1 peer k4= endpoint no.such.name:1",
            "wg set wg1 peer k4= endpoint 198.51.100.4:7",
        ]
    );
}

/// `uci`, `uplinkd` and the program of sqm-scripts are stand-ins that write down how they were called.
#[test]
fn a_shaper_takes_the_rates_of_the_uplink_that_carries() {
    let desk = Desk::new(&["run.sh"]);
    desk.script(
        "uplinkd",
        "[ \"$2\" = lte ] && echo '{\"interface\":\"wwan0\"}' || echo '{\"interface\":\"eth1\"}'",
    );
    let calls = desk.path("calls");
    desk.script(
        "uci",
        &format!(
            "case \"$*\" in\n\
             '-q get sqm.lan.interface') echo br-lan ;;\n\
             '-q get sqm.lan.download') echo 90000 ;;\n\
             '-q get sqm.lan.upload') echo 9000 ;;\n\
             set*) echo uci \"$@\" >> {} ;;\n\
             *) exit 1 ;;\n\
             esac",
            calls.display()
        ),
    );
    fs::create_dir(desk.path("sqm.d")).expect("a directory");
    fs::create_dir(desk.path("state")).expect("a directory");
    fs::write(desk.path("state/eth1.state"), "").expect("a file");
    fs::write(desk.path("sqm.d/lte"), "lan 20000 4000\nnone 1 1\n").expect("a file");
    fs::write(desk.path("sqm.d/fiber"), "lan 90000 9000\n").expect("a file");
    let paths = ["sqm.d", "run.sh", "state"].map(|name| desk.path(name));
    let [rates, program, state] = paths.each_ref().map(|path| path.to_str().expect("text"));
    let more = [("SQM_D", rates), ("SQM_RUN", program), ("SQM_STATE", state)];
    // In force already, and running.
    assert!(desk.run("sqm", "switch", "fiber", &more).status.success());
    assert_eq!(desk.read("calls"), "");
    assert!(desk.run("sqm", "switch", "lte", &more).status.success());
    assert_eq!(
        desk.read("calls").lines().collect::<Vec<_>>(),
        [
            "uci set sqm.lan.download=20000",
            "uci set sqm.lan.upload=4000",
            "run.sh stop br-lan",
            "run.sh start br-lan",
            "run.sh start wwan0",
        ]
    );
}

#[test]
fn every_hook_is_a_program_for_any_posix_shell() {
    let shells = ["sh", "dash", "busybox"].into_iter();
    let here: Vec<_> = shells
        .filter(|shell| Command::new(shell).args(["-c", "true"]).output().is_ok())
        .collect();
    assert!(here.contains(&"sh"), "{here:?}");
    let mut count = 0;
    let hooks = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/hooks");
    for hook in fs::read_dir(hooks).expect("the hooks") {
        let path = hook.expect("a hook").path();
        let mode = fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{}", path.display());
        for shell in &here {
            let mut command = Command::new(shell);
            if *shell == "busybox" {
                command.arg("sh");
            }
            let output = command.arg("-n").arg(&path).output().expect("a shell");
            assert!(
                output.status.success(),
                "{shell} -n {}: {output:?}",
                path.display()
            );
        }
        count += 1;
    }
    assert!(count > 3, "{count} hooks");
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
fn what_cannot_be_told_now_is_to_be_told_again() {
    let desk = Desk::new(&[]);
    let url = [("WEBHOOK_URL", "https://example.net/hook")];
    let broker = [("MQTT_HOST", "broker")];
    let nothing: [(&str, &str); 0] = [];
    // The hook, its program, what that ends with, and what becomes of it.
    for (hook, program, more, status, expected) in [
        ("mail", "sendmail", &nothing[..], 0, 0),
        ("mail", "sendmail", &nothing, 75, 75),
        ("mail", "sendmail", &nothing, 68, 75),
        ("mail", "sendmail", &nothing, 64, 1),
        ("mqtt", "mosquitto_pub", &broker, 14, 75),
        ("mqtt", "mosquitto_pub", &broker, 0, 0),
        ("webhook", "curl", &url, 0, 0),
        ("webhook", "curl", &url, 6, 75),
        ("webhook", "curl", &url, 28, 75),
        ("webhook", "curl", &url, 22, 1),
    ] {
        desk.add(program, &format!("cat > /dev/null; exit {status}"));
        let output = desk.run(hook, "switch", "lte", more);
        assert_eq!(output.status.code(), Some(expected), "{hook}, {status}");
    }
}

#[test]
fn a_mail_that_is_late_says_how_late() {
    let desk = Desk::new(&["sendmail"]);
    desk.run("mail", "uplink.down", "down", &[("UPLINKD_LATE", "312")]);
    let mail = desk.read("calls");
    assert!(
        mail.contains("\n\nno answer for 0.9 s\n(312 s ago)\n"),
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
    let called = "mosquitto_pub -h broker -q 1 -t uplinkd/event/switch -s";
    assert!(desk.read("calls").contains(called));
}

#[test]
fn home_assistant_finds_one_device_with_a_part_for_each_uplink_however_that_is_named() {
    let desk = Desk::new(&["uname"]);
    desk.script("uname", "echo my.router+1");
    let messages = desk.path("messages");
    let keep = format!(
        "printf '%s ' \"$6\" >> {0}; cat >> {0}; echo >> {0}",
        messages.display()
    );
    desk.script(
        "mosquitto_pub",
        &format!("[ \"$7\" != -l ] || exec cat > /dev/null\n{keep}"),
    );
    let names = ["a.b", "a_b", "A-1"];
    // In the order of the status: the name goes before the interface.
    let uplink = |name| {
        format!("{{\n \"name\": \"{name}\",\n \"interface\": \"eth1\",\n \"reason\": \"no: 1\"\n}}")
    };
    let uplinks = names.map(uplink).join(",\n");
    let status = format!(
        "{{ \"active\": [\"a.b\"], \"uplinks\": [{uplinks}], \"groups\": [{{ \"name\": \"voice\" }}] }}"
    );
    let asked = desk.path("asked");
    let answers = format!(
        "case $1 in --version) echo uplinkd 1.2.3 ;; report) printf 'uplink,available_percent,x\\r\\na.b,99.5,1\\r\\nA-1,,1\\r\\n' ;;\n\
         status) [ -e {0} ] && exit 3; cat <<'END'\n{status}\nEND\n;; esac",
        asked.display(),
    );
    desk.script("uplinkd", &answers);
    let run = desk.path("run");
    let more = [
        ("MQTT_HOST", "broker"),
        ("MQTT_EVERY", "0.1"),
        ("RUN", run.to_str().expect("text")),
    ];
    let output = desk.run("mqtt", "switch", "lte", &more);
    assert!(output.status.success(), "{output:?}");
    fs::write(&asked, "").expect("a file");
    let lines = desk.read("messages");
    let message = |topic: &str| -> Value {
        let mut lines = lines.lines().filter_map(|line| line.split_once(' '));
        let (_, message) = lines.find(|(of, _)| *of == topic).expect(topic);
        serde_json::from_str(message).expect(message)
    };
    assert_eq!(
        message("uplinkd/my_router_1/state")["uplinks"][0]["name"],
        "a.b"
    );
    assert_eq!(
        message("uplinkd/my_router_1/available"),
        json!({ "a.b": 99.5 })
    );
    let device = message("homeassistant/device/uplinkd_my_router_1/config");
    assert_eq!(device["device"]["sw_version"], "1.2.3");
    let parts = device["components"].as_object().expect("parts");
    let unique: BTreeSet<_> = parts
        .values()
        .map(|part| part["unique_id"].to_string())
        .collect();
    assert_eq!(
        (parts.len(), unique.len()),
        (1 + 4 * names.len(), parts.len())
    );
    for name in names {
        let part = &parts[&format!("{name}_connected")];
        assert_eq!(part["platform"], "binary_sensor");
        let template = part["value_template"].as_str().expect("a template");
        assert!(template.contains(&format!("'{name}'")), "{template}");
    }
    assert!(comes_true(|| desk.is_at_rest()), "it ends with the agent");
}
