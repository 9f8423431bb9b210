//! From a configuration of mwan3 2.12 to one of uplinkd.
//!
//! mwan3 tracks interfaces, each of one family, and gives traffic that matches a rule to a policy,
//! which names members: interfaces with a metric and a weight. Here an interface and its IPv6 twin are
//! one uplink. The policy of the rule that takes everything becomes the tiers and weights of the
//! uplinks; each other policy that a rule names becomes a group.
//!
//! Every option of the file is accounted for: as a setting, or in a remark that says what is different
//! or has no counterpart.

mod links;
mod network;
mod policies;
mod rules;

use std::fmt;

use super::raw;
use super::uci::{self, File, Item, Section};
use super::write::{self, Draft, Setting};
use super::{ConfigError, Fault, Problem};
use links::Link;
use policies::Order;

/// The files to read: each with what errors call it, and its text.
#[derive(Clone, Copy, Debug)]
pub struct Files<'a> {
    /// The configuration of mwan3.
    pub mwan3: (&'a str, &'a str),
    /// That of the network, which tells the devices of interfaces, if there is one.
    pub network: Option<(&'a str, &'a str)>,
}

/// The configuration that does what one of mwan3 does, as far as there is one.
pub fn import(files: Files<'_>) -> Result<Draft, ConfigError> {
    let source = Source::parse(files.mwan3, "mwan3")?;
    let network = files.network.map(|file| Source::parse(file, "network"));
    let network = network.transpose()?;
    let mut draft = Draft {
        remarks: introduction(files.mwan3.0),
        sections: Vec::new(),
    };
    let links = links::links(&source, network.as_ref(), &mut draft.remarks);
    if links.is_empty() {
        let what = "one with `option enabled '1'`: there is nothing to take over";
        let fault = Fault::Missing(what);
        return Err(refused(files.mwan3.0, vec![problem(1, "interface", fault)]));
    }
    let mut globals = write::Section::new("globals", None);
    of_globals(&source, &mut draft.remarks);
    links::flushes(&links, &mut draft.remarks);
    let policies = policies::Policies::new(&source, &links, &mut draft.remarks);
    let walk = rules::walk(&source, &policies, network.as_ref(), &mut draft.remarks);
    let order = &walk.rest;
    if order.is_shared() {
        let remark = format!("{}: members of one metric share the traffic.", order.name);
        globals.set("failover.policy", text("balance"), &remark);
    }
    links::verdicts(&links, &mut globals, &mut draft.remarks);
    if !globals.entries.is_empty() {
        draft.sections.push(globals);
    }
    let uplinks = links.iter().enumerate();
    draft
        .sections
        .extend(uplinks.map(|(at, link)| link.section(at, order)));
    let groups = rules::groups(&walk.rules, &links, &mut draft.remarks);
    draft.sections.extend(groups);
    Ok(draft)
}

fn introduction(file: &str) -> Vec<String> {
    [
        &format!("From {}, the configuration of mwan3, by `uplinkd import mwan3`.", show(file)),
        "What is not a remark is in force; what is not here is at its default. Look it over, try it \
         with `uplinkd check` and `uplinkd run --observe`, and stop mwan3 before uplinkd runs: both \
         steer by rules.",
        "In general: an uplink carries IPv4 and IPv6 alike. One that fails is left within a second \
         and taken back after `failover.failback_after`; one that is bad but works is `degraded` and \
         yields to a better one.",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// A file of UCI.
pub(super) struct Source {
    sections: Vec<Section>,
}

impl Source {
    /// As libuci takes it: sections of one name are one.
    fn parse((name, text): (&str, &str), package: &str) -> Result<Self, ConfigError> {
        let file = File::parse(text).map_err(|problems| refused(name, problems))?;
        if let Some((other, line)) = file.package.filter(|(other, _)| other != package) {
            let fault = Fault::Bound {
                value: format!("package {other:?}"),
                bound: format!("{package:?}"),
            };
            return Err(refused(name, vec![problem(line, "", fault)]));
        }
        let mut names = file.sections.iter().map(|section| section.name.as_deref());
        let firsts = uci::firsts(&mut names);
        let mut sections: Vec<Section> = Vec::new();
        // Where each of the file has gone.
        let mut places = Vec::new();
        for (mut section, first) in file.sections.into_iter().zip(firsts) {
            let place = first.map_or(sections.len(), |first| places[first]);
            places.push(place);
            match sections.get_mut(place) {
                Some(first) => first.options.append(&mut section.options),
                None => sections.push(section),
            }
        }
        Ok(Self { sections })
    }

    fn all<'a>(&'a self, kind: &'static str) -> impl Iterator<Item = &'a Section> {
        self.sections
            .iter()
            .filter(move |section| section.kind == kind)
    }

    fn find(&self, kind: &'static str, name: &str) -> Option<&Section> {
        self.all(kind)
            .find(|section| section.name.as_deref() == Some(name))
    }
}

impl Section {
    fn title(&self) -> String {
        match &self.name {
            Some(name) => format!("{} {name}", self.kind),
            None => format!("the {} on line {}", self.kind, self.line),
        }
    }

    /// The value of an option. One without a value is not there.
    fn get(&self, name: &str) -> Option<&str> {
        let mut items = self.options.iter().rev();
        let item = items.find(|item| item.name == name)?;
        Some(item.value.as_str()).filter(|value| !value.is_empty())
    }

    fn number(&self, name: &str) -> Option<u32> {
        self.get(name)?.parse().ok()
    }

    fn is_set(&self, name: &str) -> bool {
        self.get(name).and_then(raw::boolean).unwrap_or_default()
    }

    /// The items of a list; an option is the list of its words.
    fn list<'a>(&'a self, name: &'static str) -> impl Iterator<Item = &'a str> {
        let items = self.options.iter().filter(move |item| item.name == name);
        items.flat_map(|item| item.value.split_whitespace())
    }

    /// `option 'value'`, to be pointed at.
    fn cite(&self, name: &'static str) -> String {
        let items = self.options.iter().filter(|item| item.name == name);
        let values = items.map(|item| format!(" '{}'", show(&item.value)));
        format!("{name}{}", values.collect::<String>())
    }

    /// Remarks on the options that are in a table of them, and on those that mwan3 does not know.
    fn remark(&self, notes: &[(&'static str, &str)], known: &[&str], remarks: &mut Vec<String>) {
        for (option, meaning) in notes {
            if self.get(option).is_some() {
                note(remarks, format_args!("{}: {meaning}.", self.cite(option)));
            }
        }
        let mut strangers: Vec<&str> = Vec::new();
        for Item { name, .. } in &self.options {
            let name = name.as_str();
            let is_known = known.contains(&name) || notes.iter().any(|(option, _)| *option == name);
            if !is_known && !strangers.contains(&name) {
                strangers.push(name);
            }
        }
        if !strangers.is_empty() {
            let (title, names) = (self.title(), strangers.join(", "));
            note(
                remarks,
                format_args!("{title}: {names}: unknown to mwan3 2.12, left out."),
            );
        }
    }
}

/// All that mwan3 has.
const KINDS: [&str; 5] = ["globals", "interface", "member", "policy", "rule"];

/// What it has to say beside rules and interfaces.
fn of_globals(source: &Source, remarks: &mut Vec<String>) {
    const NOTES: [(&str, &str); 7] = [
        (
            "mmx_mask",
            "no counterpart: nothing but uplinkd's own probes is marked (`routing.mark`); a firewall \
             that looks at mwan3's marks must find another way",
        ),
        (
            "logging",
            "no counterpart: no packets are logged; what happens and why is in the log and in \
             `uplinkd history`",
        ),
        ("loglevel", "no counterpart, as there is no log of packets"),
        (
            "source_routing",
            "always so: what comes from an uplink's address or delegated prefix goes through it",
        ),
        (
            "rt_table_lookup",
            "no counterpart here: what is nearer than the internet is looked up in main only. For \
             each of these tables netifd can have a rule before ours: `lookup`, `priority` 31000 and \
             `suppress_prefixlength` 0 in /etc/config/network",
        ),
        (
            "rtmon_interval",
            "no counterpart, and none in mwan3 2.12: routes are followed as they change",
        ),
        (
            "local_source",
            "no counterpart, and none in mwan3 2.12: what the router itself sends goes as all else",
        ),
    ];
    for section in source.all("globals") {
        section.remark(&NOTES, &["iface_max"], remarks);
    }
    for section in &source.sections {
        if !KINDS.contains(&section.kind.as_str()) {
            let title = show(&section.title());
            note(
                remarks,
                format_args!("{title}: unknown to mwan3 2.12, left out."),
            );
        }
    }
}

fn problem(line: usize, key: &str, fault: Fault) -> Problem {
    Problem {
        line,
        section: String::new(),
        key: key.to_owned(),
        fault,
    }
}

fn refused(file: &str, problems: Vec<Problem>) -> ConfigError {
    let file = file.to_owned();
    ConfigError::Refused { file, problems }
}

/// Adds a remark.
fn note(remarks: &mut Vec<String>, remark: fmt::Arguments<'_>) {
    remarks.push(remark.to_string());
}

/// A value in a remark, which must stay on its line.
fn show(value: &str) -> String {
    value.escape_debug().take(200).collect()
}

fn text(value: impl Into<String>) -> Setting {
    Setting::Text(value.into())
}

fn plain(value: u32) -> Setting {
    Setting::Plain(value.to_string())
}

/// `a, b and c`
fn join(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [name] => (*name).to_owned(),
        [names @ .., last] => format!("{} and {last}", names.join(", ")),
    }
}

impl Order {
    /// Where an uplink stands in it.
    fn tier(&self, link: usize) -> Option<(u32, u32)> {
        let mut places = self.places.iter();
        let place = places.find(|place| place.link == link)?;
        Some((place.metric, place.weight))
    }
}
