//! The choices of operators, and a real agent that is killed and started again.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::netns::{self, sysctl};
use super::*;
use crate::tracked::{Tracked, Tracking};

/// An agent of two uplinks with its files and its clients.
pub(super) struct Site {
    files: tempfile::TempDir,
    agent: Option<Child>,
}

impl Site {
    pub(super) fn new(state_dir: &str) -> Self {
        Self::with(state_dir, "", "")
    }

    /// With these keys of `[agent]`, and these sections.
    pub(super) fn with(state_dir: &str, agent: &str, more: &str) -> Self {
        let mut site = Self::prepared(state_dir, agent, more);
        site.start();
        site
    }

    /// The same, which does not run yet.
    pub(super) fn prepared(state_dir: &str, agent: &str, more: &str) -> Self {
        let files = tempfile::tempdir().expect("a directory");
        let config = format!(
            "[agent]\ncontrol = '{}'\nstate_dir = '{}'\nlog = \"stderr\"\n{agent}\n{more}\n\
             [[uplink]]\nname = \"fiber\"\ninterface = \"fiber\"\ntier = 1\n\n\
             [[uplink]]\nname = \"lte\"\ninterface = \"lte\"\ntier = 2\n",
            files.path().join("control.sock").display(),
            files.path().join(state_dir).display(),
        );
        fs::write(files.path().join("uplinkd.toml"), config).expect("the configuration");
        Self { files, agent: None }
    }

    /// The same, with these keys of lte.
    pub(super) fn with_keys_of_lte(self, keys: &str) -> Self {
        let path = self.path("uplinkd.toml");
        let text = fs::read_to_string(&path).expect("the configuration");
        fs::write(&path, text + keys).expect("the configuration");
        self
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).expect("a log")
    }

    pub(super) fn start(&mut self) {
        self.start_with(&[]);
    }

    fn start_with(&mut self, more: &[&str]) {
        let log = fs::File::create(self.path("log")).expect("a log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_uplinkd"));
        command
            .env("NOTIFY_SOCKET", self.path("notify"))
            .env("WATCHDOG_USEC", "600000")
            .args(["run", "--config"])
            .arg(self.path("uplinkd.toml"))
            .args(more)
            .stdin(Stdio::null())
            .stderr(log);
        self.agent = Some(command.spawn().expect("run the agent"));
    }

    fn signal(&self, signal: Signal) {
        let agent = self.agent.as_ref().expect("an agent");
        kill(Pid::from_raw(agent.id().cast_signed()), signal).expect("a signal");
    }

    pub(super) fn end(&mut self, signal: Signal) {
        self.signal(signal);
        let status = self
            .agent
            .take()
            .expect("an agent")
            .wait()
            .expect("it ends");
        assert!(status.success(), "{}", self.log());
    }

    pub(super) fn kill(&mut self) {
        let mut agent = self.agent.take().expect("an agent");
        agent.kill().expect("it is killed");
        agent.wait().expect("it ends");
    }

    pub(super) fn say(&self, words: &[&str]) -> Output {
        self.client(words).output().expect("the program")
    }

    /// The same, which is not waited for.
    pub(super) fn ask(&self, words: &[&str]) -> Child {
        self.client(words).spawn().expect("the program")
    }

    fn client(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_uplinkd"));
        command.args(words).arg("--socket");
        command.arg(self.path("control.sock"));
        command
    }

    /// The status, as soon as `is_so`.
    pub(super) async fn status(&self, is_so: impl Fn(&Value) -> bool) -> Value {
        let wait = async {
            loop {
                let told = self.say(&["status", "--json"]);
                let status: Option<Value> = serde_json::from_slice(&told.stdout).ok();
                if let Some(status) = status.filter(&is_so) {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let status = timeout(PATIENCE, wait).await;
        status.unwrap_or_else(|_| panic!("{}", self.log()))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            drop(agent.kill());
            drop(agent.wait());
        }
    }
}

fn is_disabled(status: &Value) -> bool {
    status["uplinks"][1]["state"] == "disabled"
}

fn text(output: &[u8]) -> String {
    String::from_utf8(output.to_vec()).expect("a text")
}

#[test]
fn a_second_agent_that_listens_elsewhere_says_that_it_is_one_too_many() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let site = Site::new("state");
        site.status(|_| true).await;
        let config = fs::read_to_string(site.path("uplinkd.toml")).expect("a configuration");
        let config = config.replace("control.sock", "other.sock");
        fs::write(site.path("other.toml"), config).expect("a configuration");
        let mut second = Command::new(env!("CARGO_BIN_EXE_uplinkd"));
        let second = second
            .args(["run", "--config"])
            .arg(site.path("other.toml"));
        let ended = second.output().expect("it ends");
        assert_eq!(ended.status.code(), Some(2), "{ended:?}");
        let said = text(&ended.stderr);
        assert!(said.contains("another agent is running here"), "{said}");
    });
}

#[test]
fn where_a_default_route_of_others_has_a_lower_metric_the_status_says_so() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let site = Site::new("state");
        site.status(|status| status["routes"] == "in_place").await;
        let mut config = fs::read_to_string(site.path("uplinkd.toml")).expect("a configuration");
        config.push_str("[routing]\nmode = \"main\"\nmetric = 40000\n");
        fs::write(site.path("uplinkd.toml"), config).expect("a configuration");
        assert!(site.say(&["reload"]).status.success());
        site.status(|status| status["routes"] == "overruled").await;
        let table = text(&site.say(&["status"]).stdout);
        assert!(table.contains("default route of"), "{table}");
    });
}

#[test]
fn a_hand_over_with_a_bad_configuration_leaves_the_routes_and_says_so() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let mut site = Site::new("state");
        site.status(|status| status["routes"] == "in_place").await;
        let ours = world.of_protocol(117).await;
        fs::write(site.path("uplinkd.toml"), "[[uplink]]\nteir = 1\n").expect("a typo");
        site.end(Signal::SIGUSR2);
        assert_eq!(world.of_protocol(117).await, ours);
        assert!(site.log().contains("the routes stay"));
    });
}

#[test]
fn what_was_disabled_by_hand_stays_so_when_the_agent_is_killed_and_says_by_whom_and_when() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let mut site = Site::new("state");
        site.status(|_| true).await;
        let told = site.say(&["disable", "lte"]);
        assert_eq!(
            text(&told.stdout),
            "lte carries no traffic until `enable`\n"
        );
        let before = site.status(is_disabled).await;
        site.kill();
        site.start();
        let after = site.status(is_disabled).await;
        assert_eq!(after["choices"], before["choices"]);
        let by = after["choices"]["disabled"]["lte"]["by"].as_str();
        assert!(by.is_some_and(|by| !by.is_empty()), "{after}");
        let shown = text(&site.say(&["status"]).stdout);
        assert!(shown.contains("disabled by "), "{shown}");
        assert!(site.log().contains("before a restart"), "{}", site.log());

        site.say(&["enable", "lte"]);
        site.kill();
        site.start();
        let after = site.status(|_| true).await;
        assert_eq!(after["choices"]["disabled"], serde_json::json!({}));
    });
}

#[test]
fn a_corrupt_file_of_choices_is_set_aside_and_said_and_the_agent_goes_on() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let mut site = Site::new("state");
        site.status(|_| true).await;
        site.say(&["disable", "lte"]);
        site.kill();
        let choices = site.path("state/choices.json");
        fs::write(&choices, "{\"switch\": 7").expect("it is spoilt");
        site.start();
        let status = site.status(|_| true).await;
        assert!(!is_disabled(&status), "{status}");
        assert!(site.log().contains("choices.corrupt"), "{}", site.log());
        assert!(Path::exists(&site.path("state/choices.corrupt")));
    });
}

#[test]
fn pipes_and_links_in_place_of_the_files_of_the_agent_are_named_and_harmless() {
    const FILES: [&str; 4] = [
        "learnt.json",
        "choices.json",
        "history.jsonl",
        "samples.bin",
    ];
    netns::run(async |world| {
        two_uplinks(&world).await;
        let mut site = Site::prepared("state", "", "");
        let precious = site.path("precious");
        fs::write(&precious, "precious").expect("a file");
        fs::create_dir(site.path("state")).expect("a directory");
        for file in FILES {
            let path = site.path("state").join(file);
            nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
            std::os::unix::fs::symlink(&precious, path.with_extension("new")).expect("a link");
        }
        site.start();
        site.status(|_| true).await;
        site.say(&["disable", "lte"]);
        site.status(is_disabled).await;
        site.end(Signal::SIGTERM);
        for file in FILES {
            assert!(site.log().contains(file), "{file}: {}", site.log());
        }
        assert_eq!(fs::read(&precious).expect("there"), b"precious");
        let kept = fs::read_to_string(site.path("state").join("choices.json"));
        assert!(kept.expect("kept").contains("lte"), "a choice is kept");
    });
}

#[test]
fn a_choice_that_cannot_be_kept_is_obeyed_and_the_answer_says_so() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        // A directory cannot be made below a file, by root neither.
        let site = Site::new("uplinkd.toml/state");
        site.status(|_| true).await;
        let told = site.say(&["disable", "lte"]);
        let said = text(&told.stdout);
        assert!(
            said.contains("a restart will forget it: cannot write"),
            "{said}"
        );
        assert!(told.status.success());
        site.status(is_disabled).await;
    });
}

#[test]
fn what_an_operator_has_the_agent_forget_stays_forgotten_after_a_power_cut() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let mut site = Site::new("state");
        site.status(|_| true).await;
        site.end(Signal::SIGTERM);
        let learnt = site.path("state/learnt.json");
        let text = fs::read(&learnt).expect("it is kept");
        let mut memory: Value = serde_json::from_slice(&text).expect("JSON");
        let of_fiber = &mut memory["learnt"]["fiber"];
        (of_fiber["probes"], of_fiber["isolated"]) = (1_000.into(), 500.into());
        fs::write(&learnt, memory.to_string()).expect("it is written");
        let loss = |status: &Value| status["uplinks"][0]["learnt"]["loss_percent"].as_f64();
        site.start();
        site.status(|status| loss(status) > Some(20.0)).await;
        assert!(site.say(&["forget", "fiber"]).status.success());
        site.kill();
        site.start();
        // It has begun, and nothing answers.
        let is_down = |status: &Value| status["uplinks"][0]["state"] == "down";
        let after = site.status(is_down).await;
        assert!(loss(&after) < Some(5.0), "{after}");
    });
}

#[test]
fn an_agent_that_only_observes_answers_a_command_with_that() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let mut site = Site::new("state");
        site.status(|_| true).await;
        site.end(Signal::SIGTERM);
        site.start_with(&["--observe"]);
        site.status(|_| true).await;
        let told = site.say(&["disable", "lte"]);
        let said = text(&told.stdout);
        assert!(
            said.contains("this agent only observes: the kernel keeps its routes"),
            "{said}"
        );
        assert!(world.of_protocol(117).await.is_empty());
    });
}

#[test]
fn an_agent_that_only_observes_logs_its_plan_once_and_then_its_decisions() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let mut site = Site::prepared("state", "", "");
        site.start_with(&["--observe"]);
        // Nothing answers, and then its link fails.
        let is = |status: &Value, why: &str| {
            let reason = status["uplinks"][0]["reason"].as_str();
            reason.is_some_and(|reason| reason.contains(why))
        };
        site.status(|status| is(status, "no answer")).await;
        world.set_up(FIBER, false).await;
        site.status(|status| is(status, "is set down")).await;
        world.set_up(FIBER, true).await;
        world.add_default(FIBER, VIA_FIBER).await;
        site.status(|status| !is(status, "is set down")).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        site.end(Signal::SIGTERM);
        let log = site.log();
        let lines = |of: &str| log.lines().filter(|line| line.contains(of)).count();
        assert!(lines("not written: ") > 0, "{log}");
        let mut after = log.lines().skip_while(|line| !line.contains("uplink.down"));
        assert!(!after.any(|line| line.contains("not written: ")), "{log}");
        assert!(lines("uplink.down") > 0, "{log}");
    });
}

#[test]
fn history_says_by_which_command_of_whom_an_uplink_was_disabled() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let site = Site::new("state");
        site.status(|_| true).await;
        assert!(site.say(&["disable", "lte"]).status.success());
        site.status(is_disabled).await;
        assert!(site.say(&["enable", "lte"]).status.success());
        let history = text(&site.say(&["history"]).stdout);
        for command in ["disable lte", "enable lte"] {
            let given = format!(" (`{command}` by ");
            assert!(history.contains(&given), "{history}");
        }
        // One command explains its own events only.
        assert_eq!(history.matches("(`").count(), 2, "{history}");
    });
}

#[test]
fn check_beside_a_running_agent_finds_what_it_found_before_and_nothing_of_its_own() {
    for mode in ["table", "main"] {
        netns::run(async move |world| {
            two_uplinks(&world).await;
            let more = format!("[routing]\nmode = \"{mode}\"\n");
            let mut site = Site::prepared("state", "", &more);
            let findings = |site: &Site| -> Value {
                let mut command = Command::new(env!("CARGO_BIN_EXE_uplinkd"));
                command.args(["check", "--json", "--config"]);
                let output = command.arg(site.path("uplinkd.toml")).output();
                serde_json::from_slice(&output.expect("the program").stdout).expect("JSON")
            };
            let before = findings(&site);
            site.start();
            site.status(|status| status["routes"] == "in_place").await;
            let beside = findings(&site);
            assert_eq!(beside["findings"], before["findings"], "{mode}");
        });
    }
}

#[test]
fn flows_are_not_held_for_an_uplink_that_is_not_there() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let site = Site::new("state");
        site.status(|_| true).await;
        let told = site.say(&["disable", "backup", "--drain"]);
        let said = text(&told.stderr);
        assert!(
            said.contains("no uplink `backup`; there are fiber, lte"),
            "{said}"
        );
        assert_eq!(told.status.code(), Some(2));
        let told = site.say(&["disable", "lte", "--drain=5s"]);
        let said = text(&told.stdout);
        assert!(
            said.starts_with("lte carries no traffic until `enable`: no flow was established"),
            "{said}"
        );
        site.status(is_disabled).await;
    });
}

#[test]
fn hundreds_of_flows_of_a_drained_uplink_stay_without_a_rule_for_each() {
    const ESTABLISHED: usize = 600;
    netns::run(async |world| {
        two_uplinks(&world).await;
        let site = Site::new("state");
        site.status(|status| status["flow_memory"]["state"] == "on")
            .await;
        let [from, to, by] = [[10, 0, 0, 7], [203, 0, 113, 80], [198, 51, 100, 10]];
        let mark = Numbering::default().flow_mark(1).expect("a mark").mark.0;
        let flows = (1..).take(ESTABLISHED).map(|port| Tracked {
            from: from.into(),
            to: to.into(),
            translated_to: by.into(),
            port,
            mark,
        });
        Tracking::open().add_all(&flows.collect::<Vec<_>>());
        let told = site.say(&["disable", "lte", "--drain"]);
        let said = text(&told.stdout);
        assert!(
            said.contains("; 600 established ones go on for 10m at most"),
            "{said}"
        );
        let ours = world.of_protocol(117).await.len();
        assert!(ours < 50, "no rule for each: {ours}");
    });
}

#[test]
fn a_reverse_path_filter_that_looks_at_marks_from_now_on_is_noticed_by_a_reload() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let key = |key: &str| format!("ipv4/conf/lte/{key}");
        sysctl(&key("rp_filter"), "1");
        let site = Site::new("state");
        let reason = |status: &Value| status["flow_memory"]["reason"].clone();
        let is_on = |status: &Value| status["flow_memory"]["state"] == "on";
        let before = site.status(is_on).await;
        let remedy = "net.ipv4.conf.lte.src_valid_mark=1";
        assert!(reason(&before).to_string().contains(remedy), "{before}");
        assert!(site.log().contains(remedy), "{}", site.log());
        let fate = |status: &Value| status["uplinks"][1]["flows_on_failback"].clone();
        sysctl(&key("src_valid_mark"), "1");
        site.say(&["reload"]);
        site.status(|status| reason(status).is_null() && fate(status) == "keep")
            .await;
    });
}

#[test]
fn a_reverse_path_filter_that_drops_answers_to_probes_is_named_by_log_and_status() {
    const REMEDY: &str = "net.ipv4.conf.lte.rp_filter=2";
    let reason = |status: &Value| status["uplinks"][1]["reason"].to_string();
    netns::run(async move |world| {
        two_uplinks(&world).await;
        sysctl("ipv4/conf/lte/rp_filter", "1");
        let in_main = Site::with("state", "", "[routing]\nmode = \"main\"\n");
        in_main
            .status(|status| reason(status).contains(REMEDY))
            .await;
        assert!(in_main.log().contains(REMEDY), "{}", in_main.log());
        drop(in_main);
        // A rule for the address of each leads answers back.
        let site = Site::new("table");
        let status = site
            .status(|status| status["flow_memory"]["state"] == "on")
            .await;
        assert!(!reason(&status).contains("rp_filter"), "{status}");
    });
}

#[test]
fn an_agent_that_hands_over_leaves_its_routes_to_the_next_and_one_that_stops_removes_them() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let before = world.everything().await;
        let mut site = Site::new("state");
        let held = async |site: &Site| {
            let wait = async {
                loop {
                    let held = world.of_protocol(117).await;
                    if held.len() > 5 {
                        return held;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            let held = timeout(PATIENCE, wait).await;
            held.unwrap_or_else(|_| panic!("{}", site.log()))
        };
        site.status(|_| true).await;
        held(&site).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let ours = held(&site).await;
        // A supervisor may send both signals: the hand-over counts.
        site.signal(Signal::SIGSTOP);
        site.signal(Signal::SIGUSR2);
        site.signal(Signal::SIGTERM);
        site.end(Signal::SIGCONT);
        assert_eq!(world.of_protocol(117).await, ours);
        site.start();
        site.status(|_| true).await;
        assert_eq!(held(&site).await, ours);
        site.end(Signal::SIGTERM);
        assert_eq!(world.everything().await, before);
    });
}

#[test]
fn a_supervisor_hears_that_the_agent_is_ready_reloads_stops_and_whether_its_loop_is_stuck() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let mut site = Site::new("state");
        site.kill();
        let ear = UnixDatagram::bind(site.path("notify")).expect("a socket");
        ear.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        let hear = || {
            let mut buffer = [0; 256];
            let length = ear.recv(&mut buffer).expect("a word");
            String::from_utf8(buffer[..length].to_vec()).expect("a text")
        };
        let hear_until = |word: &str| while !hear().starts_with(word) {};
        site.start();
        hear_until("READY=1");
        for _ in 0..5 {
            hear_until("WATCHDOG=1");
        }
        site.signal(Signal::SIGHUP);
        hear_until("RELOADING=1\nMONOTONIC_USEC=");
        hear_until("READY=1");
        site.signal(Signal::SIGSTOP);
        let limit = Duration::from_millis(700);
        ear.set_read_timeout(Some(limit)).expect("a time limit");
        let mut buffer = [0; 256];
        while ear.recv(&mut buffer).is_ok() {}
        ear.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        site.signal(Signal::SIGCONT);
        hear_until("WATCHDOG=1");
        site.end(Signal::SIGTERM);
        hear_until("STOPPING=1");
    });
}
