//! The sample that is shipped says what the program does.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use uplinkd::config::{Config, defaults, schema};
use uplinkd::routing::{Gateway, Numbering, Prefixes};

const SAMPLE: &str = include_str!("../../config/uplinkd.toml");

/// The sample with its defaults in force: `#key = value` and `#[section]` lose their `#`.
fn uncommented() -> String {
    let uncomment = |line: &str| match line.strip_prefix('#') {
        Some(setting) if setting.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => {
            setting.to_owned()
        }
        Some(_) | None => line.to_owned(),
    };
    SAMPLE.lines().map(|line| uncomment(line) + "\n").collect()
}

#[test]
fn every_commented_key_of_the_sample_stands_at_its_default() {
    let untouched = Config::parse(SAMPLE, "uplinkd.toml").expect("the sample");
    let mut explicit = Config::parse(&uncommented(), "uplinkd.toml").expect("the sample");
    // By default there is no group.
    let group = explicit.engine.groups.pop().expect("an example");
    assert_eq!(group.policy, untouched.engine.failover.policy);
    assert_eq!(
        explicit.engine.rules.pop().map(|rule| rule.group),
        Some(group.name)
    );
    assert_eq!(explicit, untouched);
}

#[test]
fn the_sample_is_the_defaults_and_two_uplinks() {
    let Config { agent, engine, .. } = Config::parse(SAMPLE, "uplinkd.toml").expect("the sample");
    assert_eq!(agent, defaults::agent());
    assert_eq!(engine.failover, defaults::failover());
    assert_eq!(engine.numbering, Numbering::default());
    assert_eq!(engine.uplinks.len(), 2);
    for uplink in engine.uplinks {
        assert_eq!(uplink.probe, defaults::probe());
        assert_eq!(uplink.health, defaults::health());
        assert_eq!(uplink.weight, defaults::WEIGHT);
        assert_eq!(uplink.gateway, Gateway::Auto);
        assert_eq!(uplink.gateway6, Gateway::Auto);
        assert_eq!(uplink.prefixes, Prefixes::Auto);
    }
}

#[test]
fn every_key_of_the_schema_is_in_the_sample_and_no_other() {
    let mut shown: BTreeSet<(String, String)> = BTreeSet::new();
    let mut section = String::new();
    for line in uncommented().lines() {
        if line.starts_with('[') {
            line.clone_into(&mut section);
        } else if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            shown.insert((section.clone(), key.to_owned()));
        }
    }
    // Sections of an uplink are shown by one key each: their keys are those of the common sections.
    shown.retain(|(section, _)| !section.starts_with("[uplink."));
    let schema = schema();
    let keys = schema.keys().iter();
    let known = keys.filter(|key| key.is_supported && !key.section().starts_with("[uplink."));
    let known: BTreeSet<_> = known
        .map(|key| (key.section(), key.name().to_owned()))
        .collect();
    assert_eq!(shown, known);
}

#[test]
fn every_example_is_a_good_configuration() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples");
    let mut count = 0;
    for entry in fs::read_dir(directory).expect("the examples") {
        let path = entry.expect("an example").path();
        Config::load(&path).expect("a good example");
        count += 1;
    }
    assert_eq!(count, 3);
}
