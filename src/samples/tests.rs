use std::fs;
use std::path::Path;

use super::file::{MOST_BYTES, SamplesError, from_text, keep, read, recall, to_text};
use super::gather::SampleGatherer;
use super::*;
use crate::engine::status::Status;
use crate::metrics::ProbeCounts;
use crate::units::sorted::SortedMap;
use crate::units::{Counters, Moment, Wall};

/// The begin of a day.
const BEGIN: u64 = 1_795_132_800;
const DAY: u64 = 86_400;

fn name(name: &str) -> UplinkName {
    name.parse().expect("a name")
}

fn at(second: u64) -> SystemTime {
    time(BEGIN + second)
}

/// A machine whose clocks are turned by hand.
struct Machine {
    gatherer: SampleGatherer,
    now: Moment,
    /// What the wall clock shows when the monotonic one begins.
    started: SystemTime,
    status: Status,
    counters: Counters,
    probes: ProbeCounts,
}

impl Machine {
    fn new(book: SampleBook, started: SystemTime, uplinks: &[&str]) -> Self {
        let now = Moment::START;
        let wall = Wall::reading(started, now);
        let of_uplink = |name: &&str| {
            serde_json::json!({
                "name": name, "interface": "eth1", "tier": 1, "weight": 1, "state": "up", "active": false, "score": 90,
                "loss_percent": 0.0, "rtt_ms": 12.34, "rtt_p95_ms": 20.0, "jitter_ms": 1.0,
                "since": "2026-11-20T10:00:00Z", "reason": "answers", "families": ["ipv4"], "targets": [],
            })
        };
        let status = serde_json::json!({
            "version": "1", "mode": "auto", "policy": "failover", "active": uplinks[..1], "since": null,
            "uplinks": uplinks.iter().map(of_uplink).collect::<Vec<_>>(), "last_switch": null,
        });
        let status = serde_json::from_value(status).expect("the contract's schema");
        Self {
            gatherer: SampleGatherer::new(book, wall),
            now,
            started,
            status,
            counters: Counters::default(),
            probes: ProbeCounts::default(),
        }
    }

    fn wall(&self) -> Wall {
        let at = self.started + self.now.since_start();
        Wall::reading(at, self.now)
    }

    /// So many seconds pass, in which each uplink gets 1 kB a second, and one of ten probes of a second is lost.
    fn pass(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while self.now < end {
            let step = (self.now + Duration::from_secs(10)).min(end);
            let lasted = step.since(self.now).as_secs();
            self.now = step;
            self.counters.rx_bytes += 1_000 * lasted;
            self.counters.tx_bytes += 100 * lasted;
            self.probes.sent += lasted;
            self.probes.answered += lasted * 9 / 10;
            self.probes.bytes += 84 * lasted;
            if self.gatherer.due() <= self.now {
                self.read();
            }
        }
    }

    fn read(&mut self) {
        let uplinks = self.status.uplinks.iter();
        let traffic = uplinks.map(|uplink| (uplink.name.clone(), self.counters));
        let (traffic, probes, wall) = (traffic.collect(), self.probes, self.wall());
        let traffic: SortedMap<_, _> = traffic;
        let figures = self.status.figures();
        self.gatherer.read(&figures, &traffic, |_| probes, wall);
    }

    /// The first uplink is in this state from now on.
    fn is_now(&mut self, state: State) {
        self.status.uplinks[0].state = state;
        let wall = self.wall();
        self.gatherer.follow(&self.status.figures(), wall);
    }

    fn book(&self) -> SampleBook {
        self.gatherer.book(self.wall())
    }
}

/// Seconds of a time that count as this for fiber.
fn seconds_of(book: &SampleBook, account: Account, [from, to]: [u64; 2]) -> f64 {
    let fiber = name("fiber");
    let within = book
        .within(at(from), at(to))
        .filter(|one| *one.uplink == fiber);
    let seconds = within.map(|one| one.sample.share(account) * one.lasts.as_secs_f64());
    seconds.sum()
}

#[test]
fn the_lines_of_a_time_have_the_worst_of_each_slot_and_leave_empty_what_was_not_measured() {
    let mut machine = Machine::new(SampleBook::default(), at(0), &["fiber", "lte"]);
    machine.status.uplinks[1].rtt_ms = None;
    machine.read();
    machine.pass(400);
    machine.is_now(State::Down);
    machine.pass(7);
    machine.is_now(State::Up);
    machine.pass(800);
    let lines = lines::within(&machine.book(), [at(300), at(900)]);
    let expected = format!(
        "{}{},300,fiber,outage,1.000,12.3,20.0,10.1\n{},300,lte,up,0.000,,20.0,10.1\n\
         {},300,fiber,up,1.000,12.3,20.0,10.0\n{},300,lte,up,0.000,,20.0,10.0\n",
        lines::HEAD,
        BEGIN + 300,
        BEGIN + 300,
        BEGIN + 600,
        BEGIN + 600
    );
    assert_eq!(lines, expected);
}

#[track_caller]
fn assert_close(value: f64, expected: f64, tolerance: f64) {
    assert!(
        (value - expected).abs() <= tolerance,
        "{value}, not {expected}"
    );
}

#[test]
fn an_outage_between_two_readings_is_in_the_sample_to_the_second() {
    let mut machine = Machine::new(SampleBook::default(), at(0), &["fiber", "lte"]);
    machine.read();
    machine.pass(900);
    machine.pass(4);
    machine.is_now(State::Down);
    machine.pass(7);
    machine.is_now(State::Recovering);
    machine.pass(1_000);
    let book = machine.book();
    assert_close(seconds_of(&book, Account::Outage, [0, DAY]), 7.0, 0.1);
    assert_close(seconds_of(&book, Account::Up, [0, DAY]), 1_904.0, 0.1);
    let bytes = |traffic| book.bytes(&name("fiber"), [at(0), at(DAY)], traffic);
    let read = 1_911 / 30 * 30 + 11;
    let received = bytes(Traffic::Received).expect("known");
    assert!(received.abs_diff(read * 1_000) <= 31_000, "{received}");
    let probes = bytes(Traffic::Probes).expect("known");
    assert!(probes.abs_diff(read * 84) <= 31 * 84, "{probes}");
    let one = book.within(at(300), at(600)).next().expect("a sample");
    assert_eq!(one.sample.figure(Figure::Rtt), Some(12.3));
    assert_eq!(one.sample.figure(Figure::RttP95), Some(20.0));
    assert_eq!(one.sample.figure(Figure::Loss), Some(10.0));
    assert_eq!(one.sample.score(), Some(90));
    assert_close(one.sample.carried(), 1.0, 1e-3);
}

#[test]
#[expect(clippy::print_stdout, reason = "the figures")]
fn a_year_of_four_uplinks_takes_300_kib_of_memory_and_512_kib_of_flash_and_is_whole() {
    let uplinks = ["fiber", "dsl", "lte", "sat"];
    let mut machine = Machine::new(SampleBook::default(), at(0), &uplinks);
    let (mut memory, mut writes) = (0, 0);
    for _ in 0..380 * 288 {
        machine.now = machine.now + Duration::from_secs(300);
        machine.counters.rx_bytes += 300_000;
        machine.read();
        if machine.gatherer.is_due_to_write(machine.wall()) {
            drop(machine.gatherer.to_write(machine.wall()));
            writes += 1;
        }
        memory = machine.gatherer.memory().max(memory);
    }
    println!(
        "samples of four uplinks take {} KiB of memory, {writes} writes in 380 days",
        memory / 1024
    );
    assert!(memory <= 300 * 1024, "{memory}");
    assert!(writes <= 4 * 380, "{writes}");
    let directory = tempfile::tempdir().expect("a directory");
    let book = machine.book();
    keep(&book, directory.path()).expect("kept");
    let length = fs::metadata(directory.path().join("samples.bin"))
        .expect("a file")
        .len();
    println!("and {} KiB of flash", length / 1024);
    assert!(length <= MOST_BYTES as u64 / 2, "{length}");
    assert_eq!(recall(directory.path()).expect("read"), book);
    let end = 380 * DAY;
    let year = seconds_of(&book, Account::Up, [end - 365 * DAY, end]);
    let days = year / 86_400.0;
    assert!((364.9..=366.1).contains(&days), "{days}");
    let received = book.bytes(
        &name("sat"),
        [at(end - 30 * DAY), at(end)],
        Traffic::Received,
    );
    let expected = 30.0 * 86_400.0 * 1_000.0;
    #[expect(clippy::cast_precision_loss, reason = "some gigabytes")]
    let received = received.expect("known") as f64;
    assert!(
        (expected..expected * 1.05).contains(&received),
        "{received}"
    );
}

#[test]
fn no_number_of_uplinks_makes_the_file_longer_than_its_bound() {
    let names: Vec<_> = (0..64)
        .map(|number| format!("uplink-of-a-good-length-{number}"))
        .collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut machine = Machine::new(SampleBook::default(), at(0), &names);
    for _ in 0..4 * 288 {
        machine.now = machine.now + Duration::from_secs(300);
        machine.read();
    }
    let directory = tempfile::tempdir().expect("a directory");
    keep(&machine.book(), directory.path()).expect("kept");
    let kept = read(directory.path()).expect("read");
    assert_eq!(kept, Some(machine.book()));
}

#[test]
fn a_power_cut_costs_what_was_not_written_and_a_torn_or_foreign_file_is_set_aside() {
    let mut machine = Machine::new(SampleBook::default(), at(0), &["fiber"]);
    machine.read();
    machine.pass(7_200);
    let directory = tempfile::tempdir().expect("a directory");
    keep(&machine.gatherer.to_write(machine.wall()), directory.path()).expect("kept");
    machine.pass(7_200);
    let after = recall(directory.path()).expect("read");
    assert_close(seconds_of(&after, Account::Up, [0, DAY]), 7_200.0, 1.0);

    let path = directory.path().join("samples.bin");
    let whole = fs::read(&path).expect("a file");
    let mut flipped = whole.clone();
    flipped[40] ^= 1;
    let foreign = b"#!/bin/sh\n".to_vec();
    for damaged in [&whole[..whole.len() / 2], &[], &flipped, &foreign] {
        fs::write(&path, damaged).expect("a file");
        assert_eq!(read(directory.path()).expect("read"), None);
        let error = recall(directory.path()).expect_err("damaged");
        assert!(matches!(error, SamplesError::Damaged { .. }), "{error}");
        let aside = fs::read(directory.path().join("samples.corrupt")).expect("it is aside");
        assert_eq!(aside, damaged);
        assert_eq!(
            recall(directory.path()).expect("none"),
            SampleBook::default()
        );
    }
    fs::write(directory.path().join("precious"), "precious").expect("a file");
    std::os::unix::fs::symlink(directory.path().join("precious"), &path).expect("a link");
    recall(directory.path()).expect_err("a link");
    keep(&after, directory.path()).expect("kept");
    let precious = fs::read_to_string(directory.path().join("precious"));
    assert_eq!(precious.expect("a file"), "precious");
}

#[test]
fn a_book_goes_through_text_unchanged_and_other_text_is_none() {
    let mut machine = Machine::new(SampleBook::default(), at(0), &["fiber", "lte"]);
    machine.read();
    machine.pass(4_000);
    let text = to_text(&machine.book());
    assert_eq!(from_text(&text), Some(machine.book()));
    for other in ["", "zz", &text[2..], &text[..text.len() - 1], "\u{e4}"] {
        assert_eq!(from_text(other), None, "{other}");
    }
}

#[test]
fn what_was_measured_before_the_clock_was_set_is_filed_under_its_true_time() {
    let decades_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
    let mut machine = Machine::new(SampleBook::default(), decades_ago, &["fiber"]);
    machine.read();
    machine.pass(3_000);
    machine.is_now(State::Down);
    machine.pass(600);
    machine.is_now(State::Up);
    machine.pass(6 * 3_600);
    assert!(!machine.gatherer.is_due_to_write(machine.wall()));
    assert_eq!(machine.book(), SampleBook::default());
    machine.started = at(1_000);
    machine.pass(600);
    assert!(machine.gatherer.is_due_to_write(machine.wall()));
    let book = machine.book();
    let outage = seconds_of(&book, Account::Outage, [3_600, 5_100]);
    assert_close(outage, 600.0, 1.0);
    assert_close(seconds_of(&book, Account::Outage, [0, DAY]), 600.0, 1.0);
}

#[test]
fn a_clock_that_jumps_makes_no_time_up_and_forgets_none() {
    let mut machine = Machine::new(SampleBook::default(), at(0), &["fiber"]);
    machine.read();
    machine.pass(2 * DAY);
    let before = machine.gatherer.to_write(machine.wall());
    // A restart before the time is known, with that of the last file that was written.
    let mut machine = Machine::new(before, at(DAY), &["fiber"]);
    machine.read();
    machine.pass(600);
    drop(machine.gatherer.to_write(machine.wall()));
    machine.started = at(2 * DAY + 3_600);
    machine.pass(3_600);
    let book = machine.book();
    let up = seconds_of(&book, Account::Up, [0, 3 * DAY]);
    let lasted = 2.0 * 86_400.0 + 3_600.0;
    assert!((lasted - 700.0..=lasted + 700.0).contains(&up), "{up}");
    // Years ahead for a while, then back.
    let mut machine = Machine::new(book, at(4_000 * DAY), &["fiber"]);
    machine.read();
    machine.pass(600);
    drop(machine.gatherer.to_write(machine.wall()));
    machine.started = at(2 * DAY + 20_000);
    machine.pass(600);
    let book = machine.gatherer.to_write(machine.wall());
    let up = seconds_of(&book, Account::Up, [0, 2 * DAY]);
    assert_close(up, 2.0 * 86_400.0, 700.0);
    assert_close(
        seconds_of(&book, Account::Up, [2 * DAY + 15_000, 5_000 * DAY]),
        1_200.0,
        301.0,
    );
}

#[test]
fn a_start_with_the_time_of_the_firmware_or_of_years_ahead_drops_no_sample_of_the_year() {
    let year = a_year(at(365 * DAY), &["fiber"]);
    let whole = seconds_of(&year, Account::Up, [0, 365 * DAY]);
    for wrong in [200 * DAY, 4_000 * DAY] {
        // Stopped before the time is known, and started again.
        let mut machine = Machine::new(year.clone(), at(wrong), &["fiber"]);
        machine.read();
        machine.pass(1_800);
        let book = machine.gatherer.to_write(machine.wall());
        assert_eq!(book, year);
        let mut machine = Machine::new(book, at(wrong), &["fiber"]);
        machine.read();
        machine.pass(7 * 3_600);
        drop(machine.gatherer.to_write(machine.wall()));
        // The time is known, and what was measured before is filed under its own.
        machine.started = at(365 * DAY);
        machine.pass(600);
        let book = machine.gatherer.to_write(machine.wall());
        let up = seconds_of(&book, Account::Up, [0, 366 * DAY]);
        assert_close(up, whole + 7.0 * 3_600.0 + 600.0, 86_400.0);
        let of_day = seconds_of(&book, Account::Up, [365 * DAY, 366 * DAY]);
        assert_close(of_day, 7.0 * 3_600.0 + 600.0, 1.0);
    }
}

#[test]
fn a_clock_that_contradicts_the_samples_for_half_a_day_is_believed() {
    let year = a_year(at(365 * DAY), &["fiber"]);
    // The machine was off for two months.
    let mut machine = Machine::new(year, at(425 * DAY), &["fiber"]);
    machine.read();
    machine.pass(600);
    let shown = seconds_of(&machine.book(), Account::Up, [425 * DAY, 426 * DAY]);
    assert_close(shown, 600.0, 1.0);
    machine.pass(13 * 3_600);
    let book = machine.gatherer.to_write(machine.wall());
    let kept = seconds_of(&book, Account::Up, [425 * DAY, 426 * DAY]);
    assert_close(kept, 13.0 * 3_600.0 + 600.0, 1.0);
}

#[test]
fn a_drill_is_planned_time_and_no_outage() {
    let mut machine = Machine::new(SampleBook::default(), at(0), &["fiber"]);
    machine.read();
    machine.status.uplinks[0].in_drill = true;
    machine.is_now(State::Down);
    machine.pass(30);
    machine.status.uplinks[0].in_drill = false;
    machine.is_now(State::Up);
    machine.pass(600);
    let book = machine.book();
    assert_close(seconds_of(&book, Account::Planned, [0, DAY]), 30.0, 0.1);
    assert_close(seconds_of(&book, Account::Outage, [0, DAY]), 0.0, 0.0);
}

#[test]
fn whatever_is_in_the_place_of_the_file_is_set_aside_and_a_failed_write_leaves_nothing() {
    let mut machine = Machine::new(SampleBook::default(), at(0), &["fiber"]);
    machine.read();
    machine.pass(600);
    let book = machine.book();
    let directory = tempfile::tempdir().expect("a directory");
    let directory = directory.path();
    let path = directory.join("samples.bin");
    let in_place: [fn(&Path); 4] = [
        |path| fs::create_dir(path).expect("a directory"),
        |path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).expect("a pipe"),
        |path| fs::write(path, vec![0; 2 * MOST_BYTES]).expect("a file"),
        |path| fs::create_dir(path).expect("a directory"),
    ];
    for put in in_place {
        put(&path);
        recall(directory).expect_err("no samples");
        assert!(!path.exists());
        if directory.join("samples.corrupt").is_dir() {
            fs::remove_dir(directory.join("samples.corrupt")).expect("it is empty");
        }
    }
    keep(&book, directory).expect("kept");
    assert_eq!(recall(directory).expect("read"), book);
    // A directory cannot be replaced by a file.
    fs::remove_file(&path).expect("a file");
    fs::create_dir(&path).expect("a directory");
    fs::write(path.join("other"), "").expect("a file");
    keep(&book, directory).expect_err("a directory is in its place");
    assert!(!directory.join("samples.new").exists());
}

#[test]
fn coarse_samples_are_made_of_fine_ones_and_the_same_after_a_restart() {
    let run = |restarts: bool| {
        let mut machine = Machine::new(SampleBook::default(), at(0), &["fiber"]);
        machine.read();
        for hour in 0..96 {
            if hour == 30 {
                machine.is_now(State::Down);
            } else if hour == 31 {
                machine.is_now(State::Up);
            }
            machine.pass(3_600);
            if machine.gatherer.is_due_to_write(machine.wall()) {
                drop(machine.gatherer.to_write(machine.wall()));
            }
            if restarts && hour % 5 == 0 {
                let book = machine.gatherer.to_write(machine.wall());
                machine.gatherer = SampleGatherer::new(book, machine.wall());
                machine.read();
            }
        }
        machine.book()
    };
    let (whole, pieces) = (run(false), run(true));
    for book in [&whole, &pieces] {
        assert_close(
            seconds_of(book, Account::Outage, [0, 4 * DAY]),
            3_600.0,
            10.0,
        );
        assert_close(
            seconds_of(book, Account::Up, [0, 4 * DAY]),
            95.0 * 3_600.0,
            60.0,
        );
        let received = book.bytes(&name("fiber"), [at(0), at(4 * DAY)], Traffic::Received);
        let expected = 4 * 86_400_000;
        assert!(
            received.expect("known").abs_diff(expected) < 700_000,
            "{received:?}"
        );
        let oldest = book.within(at(0), at(4 * DAY)).next().expect("a sample");
        assert_eq!(oldest.lasts, Duration::from_secs(3_600));
    }
    let day = whole.levels[Level::Day as usize][1];
    assert_close(day.share(Account::Outage) * 86_400.0, 3_600.0, 2.0);
    assert_eq!(day.figure(Figure::Rtt), Some(12.3));
}

#[test]
fn the_name_of_an_uplink_that_has_no_samples_any_more_is_forgotten() {
    let mut machine = Machine::new(SampleBook::default(), at(0), &["dsl", "fiber"]);
    machine.read();
    machine.pass(DAY);
    let book = machine.gatherer.to_write(machine.wall());
    assert_eq!(book.names.len(), 2);
    let mut machine = Machine::new(book, at(DAY), &["fiber"]);
    machine.read();
    for _ in 0..400 {
        machine.now = machine.now + Duration::from_secs(DAY);
        machine.read();
        drop(machine.gatherer.to_write(machine.wall()));
    }
    let book = machine.book();
    assert_eq!(book.names, [name("fiber")]);
    assert_close(
        seconds_of(&book, Account::Up, [36 * DAY, 400 * DAY]) / 86_400.0,
        364.0,
        2.0,
    );
}

/// The samples of a year until `end`, for tests of what is made of them.
pub(crate) fn a_year(end: SystemTime, uplinks: &[&str]) -> SampleBook {
    let mut book = SampleBook::default();
    for day in (0..365).rev() {
        let begin = end - Duration::from_secs(86_400) * (day + 1);
        let samples = (0..288_u32).flat_map(|slot| {
            let at = begin + Duration::from_secs(300) * slot;
            uplinks.iter().zip(1_u16..).map(move |(uplink, number)| {
                let mut sample = SlotSample::NOTHING;
                let wave = f64::from(slot) / 20.0;
                sample.set(Figure::Rtt, Some(10.0 * f64::from(number) + wave));
                sample.set(Figure::RttP95, Some(15.0 * f64::from(number) + wave * 2.0));
                let loss = if slot % 97 == 0 { 8.0 } else { 0.0 };
                sample.set(Figure::Loss, Some(loss));
                sample.shares[Account::Up as usize] = WHOLE;
                sample.shares[CARRIED] = if number == 1 { WHOLE } else { 0 };
                sample.bytes = [3e6, 3e5, 3e4];
                (uplink.parse().expect("a name"), at, sample)
            })
        });
        book.file(samples, Timestamp(begin + Duration::from_secs(86_400)));
    }
    book
}
