//! Real links: what the shipped decisions cost on recordings that do not belong to the repository.
//!
//! `UPLINKD_TRACES=DIR cargo test --test engine traces -- --ignored` reads `DIR/*.csv.gz`. A recording of one uplink is given a
//! standby that always answers in 40 ms; the first uplink is preferred.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use serde_json::Value;

/// What a switch costs, in seconds without traffic.
const SWITCH_COST: f64 = 2.0;
/// Felt cost of all recordings and their switches, at most.
const MOST_FELT: f64 = 110.0;
const MOST_SWITCHES: usize = 60;
/// Over the cost of the best fixed age of a recording, at most.
const MOST_OVER_BEST: f64 = 4.0;
/// An outage that is longer is left at the latest so long after the best fixed age of its recording: its age counts
/// from the first probe in it, and steady probes are up to so far apart.
const LONG: f64 = 3.0;
const MOST_AFTER_BEST: f64 = 1.2;

/// Ages at which a fixed rule moves.
const FIXED: [f64; 11] = [0.3, 0.45, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 99.0];

/// From the first unanswered probe to the next answered one.
type Span = (f64, f64);

/// The probes of a recording, by uplink in the order of their first appearance.
struct Trace {
    uplinks: Vec<String>,
    silences: BTreeMap<String, Vec<Span>>,
    end: f64,
    csv: String,
}

/// What the shipped decisions make of a recording.
struct Replayed {
    felt: f64,
    switches: usize,
    /// The age at which each long outage was left, or ended, that began on the first uplink.
    left: Vec<f64>,
}

#[test]
#[ignore = "needs recordings of real links: the folder that UPLINKD_TRACES names"]
#[expect(clippy::print_stderr, reason = "the figures are worth reading")]
fn real_links_cost_little_more_than_the_best_fixed_age_known_by_hindsight() {
    let folder =
        env::var_os("UPLINKD_TRACES").expect("UPLINKD_TRACES names a folder of recordings");
    let folder = PathBuf::from(folder);
    let (mut felt, mut switches, mut table) = (0.0, 0, String::new());
    let (mut over, mut late) = (Vec::new(), Vec::new());
    let files = recordings(&folder);
    assert!(!files.is_empty(), "no *.csv.gz in {}", folder.display());
    for file in files {
        let trace = Trace::read(&file, 0.0);
        let replayed = trace.replayed();
        let (best, age) = trace.best_fixed();
        let name = file.file_name().expect("a file").display();
        writeln!(
            table,
            "{name}: felt {:.1} s, best fixed {best:.1} s at {age} s, {} switches, left {:.2?}",
            replayed.felt, replayed.switches, replayed.left
        )
        .expect("a text");
        if replayed.felt > best + MOST_OVER_BEST {
            over.push(name.to_string());
        }
        if replayed
            .left
            .iter()
            .any(|left| *left > age + MOST_AFTER_BEST)
        {
            late.push(name.to_string());
        }
        felt += replayed.felt;
        switches += replayed.switches;
    }
    eprintln!("{table}in all: felt {felt:.1} s, {switches} switches");
    assert!(
        felt <= MOST_FELT && switches <= MOST_SWITCHES,
        "{felt:.1} s, {switches}\n{table}"
    );
    assert!(over.is_empty(), "{over:?}\n{table}");
    assert!(late.is_empty(), "{late:?}\n{table}");
}

#[test]
#[ignore = "needs recordings of real links: the folder that UPLINKD_TRACES names"]
#[expect(clippy::print_stderr, reason = "the figures are worth reading")]
fn at_whatever_phase_they_are_probed_real_links_cost_less_than_at_the_best_fixed_age() {
    let folder =
        env::var_os("UPLINKD_TRACES").expect("UPLINKD_TRACES names a folder of recordings");
    let files = recordings(Path::new(&folder));
    for phase in 0..10 {
        // A replay probes each second from the first line on.
        let skipped = f64::from(phase) / 10.0;
        let traces = files.iter().map(|file| Trace::read(file, skipped));
        let replayed: Vec<_> = traces.map(|trace| trace.replayed()).collect();
        let felt: f64 = replayed.iter().map(|replayed| replayed.felt).sum();
        let switches: usize = replayed.iter().map(|replayed| replayed.switches).sum();
        for (file, replayed) in files.iter().zip(&replayed) {
            let name = file.file_name().expect("a file").display();
            eprintln!(
                "  {name}: felt {:.1} s, left {:.2?}",
                replayed.felt, replayed.left
            );
        }
        eprintln!("from {skipped} s on: felt {felt:.1} s, {switches} switches");
        assert!(felt <= MOST_FELT && switches <= MOST_SWITCHES);
    }
}

fn recordings(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder of recordings");
    let files = entries.map(|entry| entry.expect("an entry").path());
    let mut files: Vec<_> = files
        .filter(|file| file.to_string_lossy().ends_with(".csv.gz"))
        .collect();
    files.sort();
    files
}

impl Trace {
    /// Without what it has of the first `skipped` seconds.
    fn read(file: &Path, skipped: f64) -> Self {
        let unpacked = Command::new("gzip")
            .arg("-dc")
            .arg(file)
            .output()
            .expect("gzip");
        let text = String::from_utf8(unpacked.stdout).expect("a text");
        let mut lines = text.lines();
        let mut csv = lines.next().expect("a header").to_owned() + "\n";
        let mut rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
        let time = |row: &Vec<&str>| row[0].parse::<f64>().expect("a time");
        let from = rows.first().map_or(0.0, time) + skipped;
        rows.retain(|row| time(row) >= from);
        let mut trace = Self {
            uplinks: Vec::new(),
            silences: BTreeMap::new(),
            end: 0.0,
            csv: String::new(),
        };
        let mut begun = BTreeMap::<&str, f64>::new();
        for row in &rows {
            let (at, uplink) = (row[0].parse().expect("a time"), row[1]);
            if !trace.uplinks.iter().any(|known| known == uplink) {
                trace.uplinks.push(uplink.to_owned());
            }
            if row[3] == "lost" {
                begun.entry(uplink).or_insert(at);
            } else if let Some(from) = begun.remove(uplink) {
                trace
                    .silences
                    .entry(uplink.to_owned())
                    .or_default()
                    .push((from, at));
            }
            trace.end = at;
        }
        for (uplink, from) in begun {
            trace
                .silences
                .entry(uplink.to_owned())
                .or_default()
                .push((from, trace.end));
        }
        let is_alone = trace.uplinks.len() == 1;
        for row in &rows {
            csv += &(row.join(",") + "\n");
            if is_alone {
                writeln!(csv, "{},standby,{},40.0", row[0], row[2]).expect("a text");
            }
        }
        trace.csv = csv;
        trace
    }

    fn replayed(&self) -> Replayed {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("trace.csv");
        fs::write(&file, &self.csv).expect("a file");
        let mut replay = Command::new(env!("CARGO_BIN_EXE_uplinkd"));
        let replay = replay
            .args(["replay", "--json"])
            .arg(&file)
            .stderr(Stdio::null());
        let output = replay.output().expect("uplinkd");
        let replayed: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let switches = replayed["switches"].as_array().expect("switches");
        let stays: Vec<(f64, &str)> = switches
            .iter()
            .map(|switch| {
                (
                    switch["at"].as_f64().expect("a time"),
                    switch["to"][0].as_str().unwrap_or(""),
                )
            })
            .collect();
        let ends = stays.iter().skip(1).map(|(at, _)| *at).chain([self.end]);
        let spans = stays.iter().zip(ends);
        let spans: Vec<_> = spans.map(|((from, on), to)| (*on, (*from, to))).collect();
        let silent: f64 = spans.iter().map(|(on, span)| self.silent(on, *span)).sum();
        let first = self.uplinks[0].as_str();
        let left = stays
            .windows(2)
            .filter(|pair| pair[0].1 == first && pair[1].1 != first);
        let moves = left.fold(0.0, |moves, _| moves + 1.0);
        let silences = self.silences.get(first).into_iter().flatten();
        let long = silences.filter(|(began, ended)| ended - began > LONG);
        let left = long.filter_map(|(began, ended)| {
            let mut on_it = spans.iter().filter(|(on, _)| *on == first);
            let (_, (_, to)) = on_it.find(|(_, (from, to))| (*from..*to).contains(began))?;
            Some(to.min(*ended) - began)
        });
        Replayed {
            felt: silent + moves * SWITCH_COST,
            switches: stays.len().saturating_sub(1),
            left: left.collect(),
        }
    }

    /// For how long an uplink was silent in a span.
    fn silent(&self, uplink: &str, (from, to): Span) -> f64 {
        let silences = self.silences.get(uplink).into_iter().flatten();
        silences
            .map(|(began, ended)| (ended.min(to) - began.max(from)).max(0.0))
            .sum()
    }

    /// What the best rule costs that leaves the first uplink at a fixed age of a silence, known by hindsight; and that
    /// age.
    fn best_fixed(&self) -> (f64, f64) {
        let cost = |age: f64| {
            let silences = self.silences.get(&self.uplinks[0]).into_iter().flatten();
            let cost = |(began, ended): &Span| {
                let lasts = ended - began;
                if lasts > age {
                    age + SWITCH_COST
                } else {
                    lasts
                }
            };
            silences.map(cost).sum::<f64>()
        };
        let costs = FIXED.into_iter().map(|age| (cost(age), age));
        costs
            .min_by(|one, other| one.0.total_cmp(&other.0))
            .expect("an age")
    }
}
