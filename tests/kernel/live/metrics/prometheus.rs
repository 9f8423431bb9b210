//! A real Prometheus that scrapes a real agent as the manual shows it, and what rests on its data: the alert rules
//! and each query of the dashboard.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::{Child, Stdio};
use std::time::SystemTime;

use serde_json::Value;

use super::netns::sysctl;
use super::*;
use crate::machine;

/// Where Prometheus answers.
const API: &str = "127.0.0.1:9090";
/// A busy machine scrapes and evaluates late, but it does.
const DEADLINE: Duration = Duration::from_secs(60);
/// The time that the dashboard shows.
const RANGE_SECONDS: u64 = 300;
/// The group of the alerts as they are shipped, and that of those which wait for a second only.
const SHIPPED: &str = "uplinkd";
const HASTY: &str = "hasty";

fn read(path: &str) -> String {
    let path = FilePath::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(path).expect("a file of the repository")
}

/// An agent, and the Prometheus that scrapes it.
struct Monitored {
    site: Site,
    files: tempfile::TempDir,
    prometheus: Child,
}

impl Monitored {
    fn start() -> Self {
        let files = tempfile::tempdir().expect("a directory");
        let path = |name: &str| files.path().join(name);
        let rules = read("config/prometheus/uplinkd.rules.yml");
        let global = "global:\n  scrape_interval: 1s\n  evaluation_interval: 500ms\n";
        let shown = shown_configuration();
        for (name, text) in [
            (
                "prometheus.yml",
                format!("{global}{shown}  - {HASTY}.rules.yml\n"),
            ),
            ("uplinkd.rules.yml", rules.clone()),
            ("hasty.rules.yml", hasty(&rules)),
        ] {
            fs::write(path(name), text).expect("a file");
        }
        let option = |name: &str, value: &FilePath| format!("--{name}={}", value.display());
        let log = fs::File::create(path("log")).expect("a log");
        let prometheus = Command::new("prometheus")
            .arg(option("config.file", &path("prometheus.yml")))
            .arg(option("storage.tsdb.path", &path("data")))
            .arg(format!("--web.listen-address={API}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        let site = Site::prepared("state", &format!("metrics = \"{AT}\"\n"), &drilled());
        let mut site = site.with_keys_of_lte("allowance = \"50GB\"\n");
        site.start();
        Self {
            site,
            prometheus: prometheus.expect("prometheus"),
            files,
        }
    }

    /// What `look` finds, as soon as it finds something.
    async fn found<T>(&self, look: impl Fn() -> Result<T, String>) -> T {
        let mut last = String::new();
        let wait = async {
            loop {
                match look() {
                    Ok(found) => return found,
                    Err(why) => last = why,
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let found = timeout(DEADLINE, wait).await;
        found.unwrap_or_else(|_| {
            let log = fs::read_to_string(self.files.path().join("log"));
            panic!("{last}\n{}\n{}", self.site.log(), log.unwrap_or_default())
        })
    }

    /// Waits until these are the alerts of both groups, with their uplinks.
    async fn alerts(&self, expected: &[(&str, &str)]) {
        for (group, state) in [(SHIPPED, "pending"), (HASTY, "firing")] {
            let expected = expected.iter().map(|(alert, uplink)| {
                let words = [*alert, *uplink, state];
                words.map(str::to_owned)
            });
            let expected: BTreeSet<_> = expected.collect();
            let as_expected = || {
                let alerts = active_alerts(group)?;
                let differs = || format!("{group}: {alerts:?} instead of {expected:?}");
                (alerts == expected).then_some(()).ok_or_else(differs)
            };
            self.found(as_expected).await;
        }
    }
}

/// Probes, and a failover test that is not due before tomorrow.
fn drilled() -> String {
    const DAYS: [&str; 7] = ["thu", "fri", "sat", "sun", "mon", "tue", "wed"];
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let today = since.expect("a time after 1970").as_secs() / 86_400;
    let place = usize::try_from((today + 3) % 7).expect("a day");
    let schedule = format!("schedule = \"{} 03:30\"", DAYS[place]);
    format!("{}[drill]\nafter_start = \"0s\"\n{schedule}\n", probes())
}

impl Drop for Monitored {
    fn drop(&mut self) {
        drop(self.prometheus.kill());
        drop(self.prometheus.wait());
    }
}

/// What the manual shows of the configuration. It ends with the list of the files of rules.
fn shown_configuration() -> String {
    let manual = read("docs/operations.md");
    let mut blocks = manual.split("```text\n").skip(1);
    let block = blocks.find(|block| block.starts_with("scrape_configs:"));
    let block = block.and_then(|block| block.split("```").next());
    block.expect("a configuration").to_owned()
}

/// The same alerts after a second, in a group of their own.
fn hasty(rules: &str) -> String {
    let line = |line: &str| match line.split_once("for: ") {
        Some((indent, _)) if indent.trim().is_empty() => format!("{indent}for: 1s\n"),
        _ => line.replace("- name: uplinkd", "- name: hasty") + "\n",
    };
    rules.lines().map(line).collect()
}

/// What a path of the API answers. It may not answer yet, or have nothing yet; a wrong question stays wrong.
fn ask(path: &str, parameters: &[(&str, &str)]) -> Result<Value, String> {
    let mut question = String::new();
    for (key, value) in parameters {
        let _ = write!(question, "{}={}&", escaped(key), escaped(value));
    }
    let request = format!("GET /api/v1/{path}?{question} HTTP/1.0\r\n\r\n");
    let answer = exchange(API, request.as_bytes()).ok_or("prometheus does not answer")?;
    let (_, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
    let mut answer: Value = serde_json::from_str(body).map_err(|error| error.to_string())?;
    let fault = answer["errorType"].as_str().unwrap_or_default();
    assert!(
        !matches!(fault, "bad_data" | "execution"),
        "{parameters:?}: {answer}"
    );
    match answer["status"].as_str() {
        Some("success") => Ok(answer["data"].take()),
        _ => Err(answer.to_string()),
    }
}

/// As it stands in the query of a URL.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut escaped, byte| {
        if byte.is_ascii_alphanumeric() {
            escaped.push(byte.into());
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
        escaped
    })
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The series of an instant query; it is an error if there are none.
fn series(query: &str) -> Result<Vec<Value>, String> {
    let data = ask("query", &[("query", query)])?;
    let series = list(&data["result"]).to_vec();
    let is_some = !series.is_empty();
    is_some.then_some(series).ok_or(format!("no {query}"))
}

/// The manual describes exactly the metrics of the target, with their types, and each has a series.
fn every_metric() -> Result<(), String> {
    let target = "{job=\"uplinkd\"}";
    let known = ask("targets/metadata", &[("match_target", target)])?;
    let known = list(&known).iter();
    let known: BTreeSet<_> = known
        .map(|metric| (word(&metric["metric"]), word(&metric["type"])))
        .collect();
    let manual = read("docs/operations.md");
    let rows = manual
        .lines()
        .filter(|line| line.starts_with("| `uplinkd_"));
    let described: BTreeSet<_> = rows
        .map(|row| {
            let mut cells = row.trim_start_matches("| ").split(" | ");
            let mut cell = || {
                cells
                    .next()
                    .unwrap_or_default()
                    .trim_matches('`')
                    .to_owned()
            };
            (cell(), cell())
        })
        .collect();
    if known != described {
        let differing: Vec<_> = known.symmetric_difference(&described).collect();
        return Err(format!("described or known only: {differing:?}"));
    }
    let names = series("group by (__name__) ({job=\"uplinkd\"})")?;
    let names = names
        .iter()
        .map(|series| word(&series["metric"]["__name__"]));
    let names: BTreeSet<_> = names.collect();
    let has_series = |name: &str| names.contains(name) || names.contains(&format!("{name}_bucket"));
    match described.iter().find(|(name, _)| !has_series(name)) {
        Some((name, _)) => Err(format!("no series of {name}")),
        None => Ok(()),
    }
}

/// Alert, uplink and state of what is pending or firing in a group, whose rules all work.
fn active_alerts(group: &str) -> Result<BTreeSet<[String; 3]>, String> {
    let data = ask("rules", &[("type", "alert")])?;
    let mut groups = list(&data["groups"]).iter();
    let group = groups.find(|one| one["name"] == group).ok_or("no group")?;
    let mut active = BTreeSet::new();
    for rule in list(&group["rules"]) {
        if rule["health"] != "ok" {
            return Err(rule.to_string());
        }
        for alert in list(&rule["alerts"]) {
            let values = [&rule["name"], &alert["labels"]["uplink"], &alert["state"]];
            active.insert(values.map(word));
        }
    }
    Ok(active)
}

/// A query of the dashboard as Grafana sends it.
#[derive(Debug)]
struct DashboardQuery {
    text: String,
    is_instant: bool,
}

impl DashboardQuery {
    /// With the values that variables have.
    fn new(target: &Value, uplinks: &str) -> Self {
        let range = format!("{RANGE_SECONDS}s");
        let values = [
            ("$__rate_interval", "15s"),
            ("$__range", &*range),
            ("$instance", AT),
            ("$uplink", uplinks),
        ];
        let expression = word(&target["expr"]);
        let text = values.iter().fold(expression, |text, (variable, value)| {
            text.replace(variable, value)
        });
        assert!(!text.is_empty() && !text.contains('$'), "{target}");
        Self {
            text,
            is_instant: target["instant"] == true,
        }
    }

    /// It is an error if no sample is a finite number.
    fn has_data(&self) -> Result<(), String> {
        let (path, parameters) = if self.is_instant {
            ("query", Vec::new())
        } else {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            let end = now.expect("a time after 1970").as_secs();
            let times = [("start", end - RANGE_SECONDS), ("end", end), ("step", 1)];
            (
                "query_range",
                times.map(|(key, value)| (key, value.to_string())).to_vec(),
            )
        };
        let mut parameters: Vec<_> = parameters
            .iter()
            .map(|(key, value)| (*key, &**value))
            .collect();
        parameters.push(("query", self.text.as_str()));
        let data = ask(path, &parameters)?;
        let series = list(&data["result"]).iter();
        let mut samples =
            series.flat_map(|series| list(&series["values"]).iter().chain([&series["value"]]));
        let is_finite = |sample: &Value| word(&sample[1]).parse().is_ok_and(f64::is_finite);
        samples
            .any(is_finite)
            .then_some(())
            .ok_or_else(|| format!("no data of {self:?}: {data}"))
    }
}

/// All queries of panels and annotations. A row that is repeated asks for one uplink after the other.
fn dashboard_queries(dashboard: &Value) -> Vec<DashboardQuery> {
    let all = format!("({FIBER}|{LTE})");
    let mut queries = Vec::new();
    let mut uplinks = vec![&*all];
    for panel in list(&dashboard["panels"]) {
        if panel["type"] == "row" {
            let is_repeated = panel["repeat"] == "uplink";
            uplinks = if is_repeated {
                vec![FIBER, LTE]
            } else {
                vec![&*all]
            };
        }
        for target in list(&panel["targets"]) {
            let of_uplinks = uplinks
                .iter()
                .map(|uplinks| DashboardQuery::new(target, uplinks));
            queries.extend(of_uplinks);
        }
    }
    let annotations = list(&dashboard["annotations"]["list"]).iter();
    queries.extend(annotations.map(|annotation| DashboardQuery::new(annotation, &all)));
    queries
}

/// The values that a variable of the dashboard offers.
fn offered(variable: &Value) -> Result<Vec<String>, String> {
    let query = word(&variable["query"]["query"]).replace("$instance", AT);
    let query = query.strip_prefix("label_values(");
    let query = query.and_then(|query| query.strip_suffix(')'));
    let (metric, label) = query
        .and_then(|query| query.rsplit_once(", "))
        .expect("a query of labels");
    let values = ask(&format!("label/{label}/values"), &[("match[]", metric)])?;
    Ok(list(&values).iter().map(word).collect())
}

#[test]
fn prometheus_scrapes_the_agent_alerts_follow_an_outage_and_each_query_of_the_dashboard_has_data() {
    if !machine::has("prometheus", &["--version"]) {
        return;
    }
    netns::run(async |world| {
        let [behind_fiber, _behind_lte] = answered(&world).await;
        let mut here = Monitored::start();
        here.found(|| series("up{job=\"uplinkd\"} == 1")).await;
        let both_are_up = || series("count(uplinkd_uplink_up == 1) == 2");
        here.found(both_are_up).await;
        let drill = here.site.say(&["drill", FIBER, "--for", "2s", "--yes"]);
        assert!(drill.status.success(), "{drill:?}\n{}", here.site.log());
        here.found(|| series("uplinkd_drills_total{result=\"passed\"} == 1"))
            .await;
        here.found(both_are_up).await;
        here.found(every_metric).await;
        here.alerts(&[]).await;
        // What Prometheus derives from two scrapes needs both of them before the outage.
        for uplink in [FIBER, LTE] {
            let answers =
                format!("rate(uplinkd_uplink_rtt_seconds_count{{uplink=\"{uplink}\"}}[15s]) > 0");
            here.found(|| series(&answers)).await;
        }

        behind_fiber.run(|| sysctl("ipv4/icmp_echo_ignore_all", "1"));
        for query in [
            "uplinkd_uplink_state{uplink=\"fiber\",state=\"down\"} == 1",
            "uplinkd_uplink_up{uplink=\"fiber\"} == 0",
            "uplinkd_uplink_active{uplink=\"lte\"} == 1",
            "uplinkd_switches_total{from=\"fiber\",to=\"lte\",reason=\"down\"} == 1",
            "uplinkd_switch_recovery_seconds_count >= 1",
        ] {
            here.found(|| series(query)).await;
        }
        here.alerts(&[("UplinkdUplinkDown", FIBER)]).await;

        let dashboard = read("config/grafana/uplinkd.json");
        let dashboard: Value = serde_json::from_str(&dashboard).expect("JSON");
        let queries = dashboard_queries(&dashboard);
        assert!(queries.len() > 20, "{queries:?}");
        for query in &queries {
            here.found(|| query.has_data()).await;
        }
        let variables = list(&dashboard["templating"]["list"]).iter();
        let asked = variables.filter(|variable| variable["type"] == "query");
        let values: Vec<_> = asked.map(offered).collect();
        let expected = [vec![AT], vec![FIBER, LTE]];
        let expected = expected
            .map(|values| Ok::<Vec<_>, String>(values.into_iter().map(str::to_owned).collect()));
        assert_eq!(values, expected);

        behind_fiber.run(|| sysctl("ipv4/icmp_echo_ignore_all", "0"));
        here.alerts(&[]).await;
        here.site.kill();
        here.alerts(&[("UplinkdAgentSilent", "")]).await;
    });
}
