//! A headless Chromium, driven over the pipe of its `DevTools` protocol.
#![expect(
    clippy::disallowed_methods,
    reason = "a browser shows things when it does"
)]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// The names that a distribution gives it.
const PROGRAMS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
/// Far more than any answer takes.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at the page.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A browser with one page.
pub(crate) struct Browser {
    process: Child,
    commands: ChildStdin,
    messages: Receiver<Value>,
    session: Option<Value>,
    last: u64,
    /// What it reported and no answer was.
    reports: Vec<Value>,
    _profile: TempDir,
}

impl Browser {
    /// The program, if it is here.
    pub(crate) fn program() -> Option<&'static str> {
        let is_here = |program: &&str| {
            let version = Command::new(program).arg("--version").output();
            version.is_ok_and(|output| output.status.success())
        };
        PROGRAMS.into_iter().find(is_here)
    }

    /// Starts it in the namespaces of this thread.
    pub(crate) fn start(program: &str) -> Self {
        let profile = tempfile::tempdir().expect("a directory");
        // It reads commands from descriptor 3 and writes to 4. Root has no use of its sandbox.
        let script = "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null";
        let mut process = Command::new("sh")
            .args(["-c", script, "sh", program])
            .args(["--headless", "--no-sandbox", "--disable-gpu"])
            .args(["--no-first-run", "--disable-background-networking"])
            .arg("--remote-debugging-pipe")
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .env("HOME", profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a browser");
        let commands = process.stdin.take().expect("a pipe");
        let output = process.stdout.take().expect("a pipe");
        let (sender, messages) = channel();
        thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut message = Vec::new();
            while output
                .read_until(0, &mut message)
                .is_ok_and(|read| read > 0)
            {
                message.pop();
                let message = serde_json::from_slice(&std::mem::take(&mut message));
                if message.is_ok_and(|message| sender.send(message).is_err()) {
                    break;
                }
            }
        });
        let mut browser = Self {
            process,
            commands,
            messages,
            session: None,
            last: 0,
            reports: Vec::new(),
            _profile: profile,
        };
        let page = browser.command("Target.createTarget", &json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": page["targetId"], "flatten": true });
        let attached = browser.command("Target.attachToTarget", &attach);
        browser.session = Some(attached["sessionId"].clone());
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.command(&format!("{domain}.enable"), &json!({}));
        }
        browser
    }

    /// The page is shown by a device with a screen of this size, which scales nothing.
    pub(crate) fn screen(&mut self, [width, height]: [u32; 2], is_mobile: bool) {
        let screen = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_mobile });
        self.command("Emulation.setDeviceMetricsOverride", &screen);
    }

    /// Goes to an address.
    pub(crate) fn open(&mut self, address: &str) {
        let answer = self.command("Page.navigate", &json!({ "url": address }));
        assert_eq!(answer["errorText"], Value::Null, "{address}");
    }

    /// The value of an expression in the page.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let evaluate = json!({ "expression": expression, "returnByValue": true });
        let mut answer = self.command("Runtime.evaluate", &evaluate);
        assert_eq!(answer["exceptionDetails"], Value::Null, "{expression}");
        answer["result"]["value"].take()
    }

    /// Looks until an expression is true, and tells how long that took.
    pub(crate) fn until(&mut self, expression: &str) -> Duration {
        let begun = Instant::now();
        while self.value(expression) != Value::Bool(true) {
            let text = || "document.body.innerText".to_owned();
            assert!(
                begun.elapsed() < PATIENCE,
                "not {expression}: {}\n{:?}",
                self.value(&text()),
                self.reports
            );
            thread::sleep(LOOK_EVERY);
        }
        begun.elapsed()
    }

    /// What the page complained of, and where it asked for something.
    pub(crate) fn complaints(&mut self, origin: &str) -> Vec<Value> {
        self.value("0");
        let is_complaint = |report: &Value| match report["method"].as_str() {
            Some("Runtime.consoleAPICalled") => {
                matches!(
                    report["params"]["type"].as_str(),
                    Some("error" | "warning" | "assert")
                )
            }
            Some("Runtime.exceptionThrown") => true,
            Some("Log.entryAdded") => report["params"]["entry"]["level"] != "verbose",
            Some("Network.requestWillBeSent") => {
                let url = report["params"]["request"]["url"].as_str();
                url.is_none_or(|url| !url.starts_with(origin) && !url.starts_with("data:"))
            }
            Some(_) | None => false,
        };
        let reports = std::mem::take(&mut self.reports).into_iter();
        reports.filter(is_complaint).collect()
    }

    fn command(&mut self, method: &str, parameters: &Value) -> Value {
        self.last += 1;
        let mut message = json!({ "id": self.last, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = session.clone();
        }
        let mut message = message.to_string().into_bytes();
        message.push(0);
        self.commands.write_all(&message).expect("it reads");
        loop {
            let mut answer = self.messages.recv_timeout(PATIENCE).expect("an answer");
            if answer["id"] == self.last {
                assert_eq!(answer["error"], Value::Null, "{method}");
                return answer["result"].take();
            }
            self.reports.push(answer);
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its processes end when it does; a killed one leaves its profile in use for a moment.
        drop(
            self.commands
                .write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0"),
        );
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(5) {
            if self.process.try_wait().is_ok_and(|ended| ended.is_some()) {
                return;
            }
            thread::sleep(LOOK_EVERY);
        }
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
