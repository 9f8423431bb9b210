//! From the words of the corpus to the engine's, and back. The one file here that knows the engine's types: what
//! they are called, and by how many inputs something is said, may change; what the corpus says of it may not.

use std::fmt::Write;
use std::time::{Duration, UNIX_EPOCH};

use uplinkd::engine::action::{Action, DepartureCause, DrainOrder, ProbeOrder};
use uplinkd::engine::command::{Command, IssuedCommand};
use uplinkd::engine::event::{Change, Errand, Event, Side};
use uplinkd::engine::input::{EarlierRun, Input, ProbeOutcome, SharedFamily};
use uplinkd::engine::settings::{self, Settings, Standby};
use uplinkd::engine::status::Choices;
use uplinkd::replay::{attached, attached_by_both};
use uplinkd::routing::traffic::Selector;
use uplinkd::routing::{self, Attachment, Desired, Family, Path};
use uplinkd::units::{self, Bytes, Counters, ProbeId, Score, Tier, UplinkName, Wall, Weight};

use super::cases::{Act, Link, Order, Policy, Reply, Setup, TARGETS, Trouble, UPLINKS};
use crate::support::{self, names};

pub(super) use uplinkd::engine::Engine;

/// Words of reasons that are others now: from the recorded ones to those of today. Emptied whenever the answers
/// are written anew.
pub(super) const REASONS: &[(&str, &str)] = &[(
    " to 1 target, 192.0.2.1: nobody else is asked",
    " to the only target, 192.0.2.1",
)];

/// How a line begins that is a reason.
pub(super) const REASON: &str = "    because ";

/// A time in nanoseconds since the start.
#[derive(Clone, Copy)]
pub(super) struct Moment(pub(super) u64);

impl From<Moment> for units::Moment {
    fn from(at: Moment) -> Self {
        Self::after_start(Duration::from_nanos(at.0))
    }
}

/// A recorded line in the words of today.
pub(super) fn renamed(line: &str) -> String {
    let is_reason = line.starts_with(REASON);
    let reasons = REASONS.iter().filter(|_| is_reason);
    reasons.fold(line.to_owned(), |line, (old, new)| line.replace(old, new))
}

// ---- settings ----

pub(super) fn engine(setup: &Setup) -> Engine {
    Engine::new(translated(setup), units::Moment::START)
}

fn policy(policy: Policy) -> settings::Policy {
    match policy {
        Policy::Failover => settings::Policy::Failover,
        Policy::Best => settings::Policy::Best,
        Policy::Balance => settings::Policy::Balance,
    }
}

fn translated(setup: &Setup) -> Settings {
    let mut settings = support::settings(&setup.uplinks);
    settings.seed = setup.seed;
    settings.failover.policy = policy(setup.policy);
    settings.failover.failback_after = Duration::from_secs(setup.failback_after);
    if setup.is_failback_manual {
        settings.failover.failback = settings::Failback::Manual;
    }
    settings.failover.best = settings::BestSettings {
        margin: Score(setup.best.0),
        after: Duration::from_secs(setup.best.1),
    };
    if let Some((half_life, longest)) = setup.damping {
        settings.failover.damping.half_life = Duration::from_secs(half_life);
        settings.failover.damping.longest = Duration::from_secs(longest);
    }
    if setup.is_main_mode {
        settings.numbering.mode = routing::RoutingMode::Main;
    }
    for (place, uplink) in settings.uplinks.iter_mut().enumerate() {
        uplink.probe = support::probe(&setup.targets);
        uplink.probe.quorum = setup.quorum;
        uplink.health.recover_after = Duration::from_secs(setup.recover_after);
        uplink.weight = Weight(u8::try_from(place + 1).expect("few uplinks"));
        if setup.is_flat {
            uplink.tier = Tier(1);
        }
    }
    if let Some((place, kilobytes)) = setup.metered {
        settings.uplinks[place].probe_budget = Some(Bytes(kilobytes * 1_000));
    }
    if let Some(place) = setup.warm {
        settings.uplinks[place].standby = Standby::Warm;
    }
    if let Some((place, [linger, ready_within, exercise_every])) = setup.cold {
        settings.uplinks[place].standby = Standby::Cold(settings::ColdSettings {
            linger: Duration::from_secs(linger),
            ready_within: Duration::from_secs(ready_within),
            exercise_every: (exercise_every > 0).then(|| Duration::from_secs(exercise_every)),
        });
    }
    if let Some((of_group, members)) = &setup.group {
        let members = members.iter();
        let members = members.map(|place| support::name(setup.uplinks[*place]));
        let group = support::group("voice", policy(*of_group), members.collect());
        settings.groups.push(group);
        let traffic = Selector {
            from: vec!["192.168.1.20/32".parse().expect("a prefix")],
            ..Selector::default()
        };
        settings.rules.push(support::rule("voice", traffic));
    }
    settings
}

// ---- in ----

pub(super) fn next_timeout(engine: &Engine) -> Option<u64> {
    let at = engine.poll_timeout()?.since_start().as_nanos();
    Some(u64::try_from(at).expect("centuries"))
}

pub(super) fn timeout(engine: &mut Engine, now: Moment) {
    engine.handle_timeout(now.into());
}

pub(super) fn answer(engine: &mut Engine, now: Moment, asked: &Asked, reply: Reply) {
    let outcome = match reply {
        Reply::Right(micros) => ProbeOutcome::Reply(Duration::from_micros(micros)),
        Reply::Unreachable => ProbeOutcome::Unreachable("no route".to_owned()),
        Reply::Wrong => ProbeOutcome::Wrong("an error".to_owned()),
        Reply::Captive => ProbeOutcome::Captive("a landing page".to_owned()),
        Reply::NotSent => ProbeOutcome::NotSent("no buffer".to_owned()),
    };
    let ProbeOrder { uplink, id, .. } = asked.order.clone();
    engine.handle_input(
        now.into(),
        Input::Probe {
            uplink,
            id,
            outcome,
        },
    );
}

fn uplink(place: usize) -> UplinkName {
    support::name(UPLINKS[place])
}

fn attachment(link: Link, uplink: usize) -> Attachment {
    let trouble = match link.trouble {
        Trouble::None => None,
        Trouble::Absent => Some(routing::Trouble::Absent),
        Trouble::Down => Some(routing::Trouble::Down),
        Trouble::NoCarrier => Some(routing::Trouble::NoCarrier),
        Trouble::NoAddress => Some(routing::Trouble::NoAddress),
        Trouble::NoNextHop => Some(routing::Trouble::NoNextHop),
    };
    if link.trouble == Trouble::Absent {
        return Attachment {
            trouble,
            ..Attachment::default()
        };
    }
    let at = u8::try_from(uplink + 1).expect("few uplinks") + 10 * link.address;
    let mut attachment = if link.has_ipv6 {
        attached_by_both(at)
    } else {
        attached(at)
    };
    if link.has_prefix {
        let prefix = format!("2001:db8:{at:x}00::/56").parse().expect("a prefix");
        attachment.prefixes.insert(prefix);
    }
    Attachment {
        trouble,
        ..attachment
    }
}

/// Tells the engine something.
pub(super) fn tell(engine: &mut Engine, now: Moment, act: &Act) {
    let input = match act {
        Act::Link(place, link) => Input::Attachment {
            uplink: uplink(*place),
            attachment: attachment(*link, *place),
        },
        Act::Moved(place, interface) => Input::Moved {
            uplink: uplink(*place),
            interface: interface.parse().expect("a name"),
            gateway: routing::Gateway::Auto,
            gateway6: routing::Gateway::Auto,
        },
        Act::Order(order) => Input::Command(IssuedCommand::from(match *order {
            Order::Switch(place) => Command::switch(uplink(place)),
            Order::Pin(place) => Command::pin(uplink(place)),
            Order::Auto => Command::Auto {},
            Order::Disable(place) => Command::disable(uplink(place)),
            Order::Drain(place) => Command::Disable {
                uplink: uplink(place),
                drain: Some("10m".parse().expect("a limit")),
                force: false,
            },
            Order::Enable(place) => Command::enable(uplink(place)),
        })),
        Act::Reload(setup) => Input::Settings(Box::new(translated(setup))),
        Act::Stray(place, id) => Input::Probe {
            uplink: uplink(*place),
            id: ProbeId(*id),
            outcome: ProbeOutcome::Reply(Duration::from_millis(9)),
        },
        Act::Counters(place, [rx_packets, tx_packets, rx_bytes, tx_bytes]) => Input::Counters {
            uplink: uplink(*place),
            counters: Counters {
                rx_packets: *rx_packets,
                tx_packets: *tx_packets,
                rx_bytes: *rx_bytes,
                tx_bytes: *tx_bytes,
            },
        },
        Act::Flows(place, count) => Input::FlowsCounted {
            uplink: uplink(*place),
            flows: *count,
        },
        Act::Remembered(places) => {
            let places = places.iter().map(|place| uplink(*place));
            let keys = places.flat_map(|name| Family::ROUTED.map(|family| (name.clone(), family)));
            Input::FlowsRemembered(keys.collect())
        }
        Act::Wire(..)
        | Act::Traffic(..)
        | Act::Sleep(_)
        | Act::Back(_)
        | Act::Late(..)
        | Act::Restart => {
            unreachable!("the engine is not told of it")
        }
    };
    engine.handle_input(now.into(), input);
}

/// A new engine that goes on where another one ended, as after a restart of the agent.
pub(super) fn restarted(old: &mut Engine, setup: &Setup, now: Moment) -> Engine {
    let wall = Wall::reading(UNIX_EPOCH, now.into());
    let status = old.status(wall);
    let mut engine = Engine::new(translated(setup), now.into());
    let mut earlier = EarlierRun {
        carrying: old.carrier().cloned(),
        learnt: old.learnt(),
        unspent: old.unspent(),
        ..EarlierRun::default()
    };
    for family in Family::ROUTED {
        let carries = |name: &&UplinkName| {
            let mut uplinks = status.uplinks.iter();
            uplinks.any(|uplink| uplink.name == **name && uplink.carries.contains(&family))
        };
        let uplinks: Vec<_> = status.active.iter().filter(carries).cloned().collect();
        let is_led = old.carrier().is_some_and(|led| uplinks.contains(led));
        let apart = uplinks.first().filter(|_| !is_led).cloned();
        earlier.apart.extend(apart.map(|uplink| (family, uplink)));
        if uplinks.len() > 1 {
            earlier.shared.push(SharedFamily {
                group: None,
                family,
                uplinks,
            });
        }
    }
    let groups = status.groups.into_iter();
    earlier.shared.extend(groups.map(|group| SharedFamily {
        group: Some(group.name),
        family: Family::Ipv4,
        uplinks: group.active,
    }));
    let Choices { switch, disabled } = old.choices();
    let switch = switch.map(|chosen| Command::Switch {
        uplink: chosen.uplink,
        pin: chosen.pinned,
    });
    let chosen = switch.into_iter().chain(
        disabled
            .into_iter()
            .map(|(uplink, _)| Command::disable(uplink)),
    );
    earlier.chosen.extend(chosen.map(IssuedCommand::from));
    engine.handle_input(now.into(), Input::Resume(Box::new(earlier)));
    engine
}

// ---- out ----

/// A probe that the engine asked for.
#[derive(Clone)]
pub(super) struct Asked {
    /// The place of its uplink among all there are.
    pub(super) uplink: Option<usize>,
    /// The place of its target among all there are.
    pub(super) place: usize,
    pub(super) is_ipv6: bool,
    pub(super) listen_micros: u64,
    order: ProbeOrder,
}

/// Something that the engine wants.
pub(super) enum Answer {
    Probe(Asked),
    Count(usize),
    /// An event that a modem follows.
    Dial(usize, bool),
    /// Anything else, in words, and the reason if it has one.
    Other {
        words: String,
        reason: Option<String>,
    },
}

impl Answer {
    pub(super) fn is_quiet(&self) -> bool {
        match self {
            Self::Probe(_) | Self::Count(_) => true,
            Self::Dial(..) | Self::Other { .. } => false,
        }
    }

    /// Everything in words.
    pub(super) fn full(&self) -> String {
        match self {
            Self::Probe(asked) => {
                let ProbeOrder {
                    id,
                    uplink,
                    target,
                    hop,
                    listen_for,
                } = &asked.order;
                let by = hop.map(|hop| format!(" by {}", hop.0));
                format!(
                    "  probe {} {uplink} {target} {}{}",
                    id.0,
                    listen_for.as_nanos(),
                    by.unwrap_or_default()
                )
            }
            Self::Count(place) => format!("  count {}", UPLINKS[*place]),
            Self::Dial(..) => String::new(),
            Self::Other { words, reason } => {
                let reason = reason.as_ref().map(|reason| format!("\n{REASON}{reason}"));
                format!("  {words}{}", reason.unwrap_or_default())
            }
        }
    }

    /// What is kept in words beside other answers.
    pub(super) fn lines(&self) -> Vec<String> {
        match self {
            Self::Probe(asked) => vec![format!("  probe {} {}", asked.order.uplink, asked.place)],
            Self::Count(_) => vec![self.full()],
            Self::Dial(..) => Vec::new(),
            Self::Other { words, .. } if words.starts_with("route") => {
                let brief = words.lines().next().unwrap_or_default();
                vec![format!("  {brief}")]
            }
            Self::Other { .. } => self.full().lines().map(str::to_owned).collect(),
        }
    }
}

/// Takes everything that the engine wants now.
pub(super) fn answers(engine: &mut Engine) -> Vec<Answer> {
    let mut answers = Vec::new();
    while let Some(action) = engine.poll_action() {
        match action {
            Action::Probe(order) => answers.push(Answer::Probe(asked(order))),
            Action::Count(name) => answers.push(Answer::Count(place(&name).expect("an uplink"))),
            Action::Route(desired) => answers.push(other(route(&desired), None)),
            Action::Leave(departure) => {
                let addresses: Vec<_> = departure
                    .addresses
                    .iter()
                    .map(ToString::to_string)
                    .collect();
                let is_voluntary = departure.cause != DepartureCause::Failed;
                answers.push(other(
                    format!("leave {} voluntary {is_voluntary}", addresses.join(",")),
                    None,
                ));
            }
            Action::Drain(uplink, order) => answers.push(other(drain(&uplink, &order), None)),
            // No path is asked there.
            Action::Trace(_) => {}
            Action::Drill(order) => answers.push(other(format!("{order:?}"), None)),
            Action::Event(event) => {
                answers.extend(dial(&event));
                answers.push(other(told(&event), Some(event.reason)));
            }
        }
    }
    answers
}

fn drain(uplink: &UplinkName, order: &DrainOrder) -> String {
    match order {
        DrainOrder::CountFlows(families) => {
            let families: Vec<_> = families.iter().map(ToString::to_string).collect();
            format!("drain {uplink} count {}", families.join(","))
        }
        DrainOrder::Begun { flows, limit } => {
            format!("drain {uplink} begun {flows} {}", limit.as_secs())
        }
        DrainOrder::Failed(why) => format!("drain {uplink} failed {why}"),
        DrainOrder::Over => format!("drain {uplink} over"),
    }
}

fn other(words: String, reason: Option<String>) -> Answer {
    Answer::Other { words, reason }
}

fn place(name: &UplinkName) -> Option<usize> {
    UPLINKS.iter().position(|uplink| name.as_str() == *uplink)
}

fn asked(order: ProbeOrder) -> Asked {
    let address = order.target.address().expect("an address");
    let target = address.to_string();
    Asked {
        uplink: place(&order.uplink),
        place: TARGETS
            .iter()
            .position(|known| *known == target)
            .expect("a target"),
        is_ipv6: address.is_ipv6(),
        listen_micros: u64::try_from(order.listen_for.as_micros()).expect("a short time"),
        order,
    }
}

fn dial(event: &Event) -> Option<Answer> {
    let Change::Standby { uplink, errand, .. } = &event.change else {
        return None;
    };
    match errand {
        Errand::Up => Some(Answer::Dial(place(uplink)?, true)),
        Errand::Down => Some(Answer::Dial(place(uplink)?, false)),
        Errand::Unready => None,
    }
}

fn told(event: &Event) -> String {
    let record = event.record(Wall::reading(UNIX_EPOCH, event.at));
    let of_target = if let Change::Target { target, .. } = &event.change {
        Some(target.to_string())
    } else {
        None
    };
    let of_all = of_target.as_ref().map(|_| "all".to_owned());
    let has_interface = !matches!(
        event.change,
        Change::Target { .. }
            | Change::Prefix { .. }
            | Change::Stranded { .. }
            | Change::Drained { .. }
    );
    let interface = record.interface.filter(|_| has_interface);
    let sides = match (record.from, record.to) {
        (Some(Side::Uplinks(from)), Some(Side::Uplinks(to))) => {
            Some(format!("{} -> {}", names(&from), names(&to)))
        }
        (Some(from), Some(to)) => Some(format!("{from}>{to}")),
        (_, _) => None,
    };
    let prefixes: Vec<_> = record.prefixes.iter().map(ToString::to_string).collect();
    let parts = [
        record.group.map(|group| format!("{group}:")),
        record.family.map(|family| format!("{family}:")),
        record.uplink.map(|uplink| uplink.to_string()).or(of_all),
        of_target,
        interface.map(|interface| interface.to_string()),
        sides,
        Some(prefixes.join(",")),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    format!("event {} {}", record.event, parts.join(" "))
        .trim_end()
        .to_owned()
}

/// What the kernel is to hold: the default routes in a line, then everything.
fn route(desired: &Desired) -> String {
    let path = |path: &Path| {
        let gateway = path
            .gateway
            .map_or_else(|| "-".to_owned(), |gateway| gateway.to_string());
        format!(
            "{}/{gateway}/{}/{}",
            path.index.0,
            path.weight.0,
            u8::from(path.onlink)
        )
    };
    let paths = |paths: &[Path]| paths.iter().map(path).collect::<Vec<_>>().join("+");
    let mut brief = String::from("route");
    let mut lines = Vec::new();
    for route in &desired.routes {
        let (table, metric) = (route.table.0, route.metric.0);
        let group = route
            .group
            .map(|group| format!(" group {}", group.0))
            .unwrap_or_default();
        let ways = paths(&route.paths);
        let line = format!("{table} {} {metric} {ways}{group}", route.destination);
        lines.push(line);
        write!(brief, " {table}:{ways}{group}").expect("a string");
    }
    for rule in &desired.rules {
        lines.push(format!(
            "rule {} {} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {} {:?}",
            rule.priority.0,
            rule.family,
            rule.from.map(|net| net.to_string()),
            rule.to.map(|net| net.to_string()),
            rule.iif.as_ref().map(ToString::to_string),
            rule.protocol.map(|protocol| protocol.0),
            rule.sport.map(|ports| (ports.first, ports.last)),
            rule.dport.map(|ports| (ports.first, ports.last)),
            rule.mark.map(|mark| mark.0),
            rule.mask.map(|mask| mask.0),
            rule.oif.as_ref().map(ToString::to_string),
            rule.table.0,
            rule.suppress_prefix_length
        ));
    }
    lines.push(format!(
        "nexthops {:?}",
        desired.nexthops.keys().map(|id| id.0).collect::<Vec<_>>()
    ));
    format!(
        "{brief}, {} rules\n      {}",
        desired.rules.len(),
        lines.join("\n      ")
    )
}

/// How it stands at the end.
pub(super) fn end(engine: &Engine) -> Vec<String> {
    let status = engine.status(Wall::reading(UNIX_EPOCH, units::Moment::START));
    let mut lines = Vec::new();
    for uplink in &status.uplinks {
        let carries: Vec<_> = uplink.carries.iter().map(ToString::to_string).collect();
        let targets = uplink.targets.iter().map(|target| target.state.to_string());
        let targets: Vec<_> = targets.collect();
        lines.push(format!(
            "  end {} {} loss {:?} rtt {:?} targets {} carries {}",
            uplink.name,
            uplink.state,
            uplink.loss_percent,
            uplink.rtt_ms,
            targets.join(","),
            carries.join(",")
        ));
        lines.push(format!("{REASON}{}", uplink.reason));
    }
    lines.push(format!("  end active {}", names(&status.active)));
    for group in &status.groups {
        lines.push(format!(
            "  end {} active {}",
            group.name,
            names(&group.active)
        ));
    }
    lines
}
