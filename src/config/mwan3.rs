//! From a configuration of mwan3 2.12 to one of uplinkd.
//!
//! mwan3 tracks interfaces, each of one family, and gives traffic that matches a rule to a policy,
//! which names members: interfaces with a metric and a weight. Here an interface and its IPv6 twin are
//! one uplink. The policy of the rule that takes everything becomes the tiers and weights of the
//! uplinks; each other policy that a rule names becomes a group.
//!
//! Every option of the file is accounted for: as a setting, or in a remark that says what is different
//! or has no counterpart.

mod groups;
mod links;
mod network;
mod order;
mod policies;
mod rules;
mod source;
mod tracking;

use super::error::{ConfigError, Fault};
use super::write::{self, ConfigDraft};
use source::{Mwan3File, note, problem, refused, show, text};

/// The files to read: each with what errors call it, and its text.
#[derive(Clone, Copy, Debug)]
pub struct Mwan3Files<'a> {
    /// The configuration of mwan3.
    pub mwan3: (&'a str, &'a str),
    /// The network configuration, which names the devices of interfaces, if there is one.
    pub network: Option<(&'a str, &'a str)>,
}

/// The configuration that does what one of mwan3 does, as far as there is one.
pub fn import(files: Mwan3Files<'_>) -> Result<ConfigDraft, ConfigError> {
    let source = Mwan3File::parse(files.mwan3, "mwan3")?;
    let network = files.network.map(|file| Mwan3File::parse(file, "network"));
    let network = network.transpose()?;
    let mut draft = ConfigDraft {
        remarks: introduction(files.mwan3.0),
        sections: Vec::new(),
    };
    let links = links::links(&source, network.as_ref(), &mut draft.remarks);
    if links.is_empty() {
        let what = "one with `option enabled '1'`: there is nothing to take over";
        let fault = Fault::Missing(what);
        return Err(refused(files.mwan3.0, vec![problem(1, "interface", fault)]));
    }
    let mut globals = write::DraftSection::new("globals", None);
    of_globals(&source, &mut draft.remarks);
    links::flushes(&links, &mut draft.remarks);
    let policies = policies::Policies::new(&source, &links, &mut draft.remarks);
    let walk = rules::walk(&source, &policies, network.as_ref(), &mut draft.remarks);
    let order = &walk.default_order;
    if order.is_shared() {
        let remark = format!("{}: members of one metric share the traffic.", order.name);
        globals.set("failover.policy", text("balance"), &remark);
    }
    links::verdicts(&links, &mut globals, &mut draft.remarks);
    if !globals.entries.is_empty() {
        draft.sections.push(globals);
    }
    let uplinks = links.iter().enumerate();
    let uplinks = uplinks.map(|(at, link)| link.section(at, order, walk.weight(at)));
    draft.sections.extend(uplinks);
    let groups = groups::groups(&walk, &links, &mut draft.remarks);
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

/// All that mwan3 has.
const KINDS: [&str; 5] = ["globals", "interface", "member", "policy", "rule"];

/// What it has to say beside rules and interfaces.
fn of_globals(source: &Mwan3File, remarks: &mut Vec<String>) {
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
