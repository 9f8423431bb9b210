//! The cases: what befalls an engine, in the corpus' own words.

use super::rig::Chance;
use super::scenarios::lab;

/// The uplinks of all setups.
pub(super) const UPLINKS: [&str; 3] = ["fiber", "lte", "backup"];

/// The targets of all setups.
pub(super) const TARGETS: [&str; 5] = [
    "192.0.2.1",
    "198.51.100.1",
    "203.0.113.1",
    "2001:db8:a::1",
    "2001:db8:b::1",
];

pub(super) const FIBER: usize = 0;
pub(super) const LTE: usize = 1;
pub(super) const BACKUP: usize = 2;

/// One case.
pub(super) struct Case {
    /// Its name; the first word is the file of its answers.
    pub(super) name: String,
    pub(super) setup: Setup,
    pub(super) seed: u64,
    /// What happens, and when, in milliseconds.
    pub(super) script: Vec<(u64, Act)>,
    pub(super) until: u64,
    /// How long a cold uplink takes to come up; none: it never does.
    pub(super) dials_for: Option<u64>,
}

/// The settings of an engine. Spans in seconds.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) uplinks: Vec<&'static str>,
    pub(super) targets: Vec<&'static str>,
    pub(super) quorum: usize,
    pub(super) policy: Policy,
    pub(super) is_failback_manual: bool,
    pub(super) failback_after: u64,
    /// The margin, and for how long.
    pub(super) best: (u8, u64),
    /// Half-life and longest.
    pub(super) damping: Option<(u64, u64)>,
    pub(super) recover_after: u64,
    /// All uplinks are of one tier.
    pub(super) is_flat: bool,
    pub(super) is_main_mode: bool,
    /// Its probes may cost so many kilobytes in 30 days.
    pub(super) metered: Option<(usize, u64)>,
    pub(super) warm: Option<usize>,
    /// Linger, ready within, exercise every (0: never).
    pub(super) cold: Option<(usize, [u64; 3])>,
    /// One host's traffic goes by these.
    pub(super) group: Option<(Policy, Vec<usize>)>,
    pub(super) seed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    Failover,
    Best,
    Balance,
}

/// Something that happens.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// The link of an uplink is like this.
    Link(usize, Link),
    /// What lies behind it is like this.
    Wire(usize, Wire),
    /// So many packets a second go through it both ways.
    Traffic(usize, u64),
    /// Its interface has another name.
    Moved(usize, &'static str),
    Order(Order),
    Reload(Box<Setup>),
    /// The agent starts again.
    Restart,
    /// It has so many established flows, while it is drained.
    Flows(usize, usize),
    /// The kernel remembers the flows of these, and of no others.
    Remembered(&'static [usize]),
    /// An answer to the last probe but so many, whether or not it was answered before.
    Late(usize, Reply),
    /// An answer to a probe that never was.
    Stray(usize, u64),
    /// Packets received and sent, bytes received and sent.
    Counters(usize, [u64; 4]),
    /// The engine is not called for so many milliseconds.
    Sleep(u64),
    /// The clock is set back by so many milliseconds.
    Back(u64),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    Switch(usize),
    Pin(usize),
    Auto,
    Disable(usize),
    Drain(usize),
    Enable(usize),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub(super) trouble: Trouble,
    pub(super) has_ipv6: bool,
    pub(super) has_prefix: bool,
    /// Another number is another address.
    pub(super) address: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    None,
    Absent,
    Down,
    NoCarrier,
    NoAddress,
    NoNextHop,
}

impl Link {
    pub(super) const fn up() -> Self {
        Self::of(Trouble::None)
    }

    pub(super) const fn absent() -> Self {
        Self::of(Trouble::Absent)
    }

    pub(super) const fn of(trouble: Trouble) -> Self {
        Self {
            trouble,
            has_ipv6: false,
            has_prefix: false,
            address: 0,
        }
    }

    pub(super) const fn dual() -> Self {
        Self {
            has_ipv6: true,
            ..Self::up()
        }
    }
}

/// What lies behind an uplink. Times in microseconds.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    pub(super) rtt: u64,
    pub(super) jitter: u64,
    /// Of IPv4 and of IPv6, in thousandths.
    pub(super) loss: [u16; 2],
    pub(super) process: Process,
    pub(super) reply: Reply,
    /// This target is not reached.
    pub(super) deaf_to: Option<usize>,
}

impl Default for Wire {
    fn default() -> Self {
        Self {
            rtt: 10_000,
            jitter: 2_000,
            loss: [0; 2],
            process: Process::Calm,
            reply: Reply::Right(0),
            deaf_to: None,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Process {
    Calm,
    /// One burst in each span of `every` milliseconds.
    Bursts {
        every: u64,
        mean: u64,
    },
    Handover,
    Starlink,
    Evening,
}

/// What a probe is answered with.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reply {
    /// After so many microseconds.
    Right(u64),
    Unreachable,
    Wrong,
    Captive,
    NotSent,
}

pub(super) fn losing(share: u16) -> Wire {
    Wire {
        loss: [share; 2],
        ..Wire::default()
    }
}

pub(super) fn dead() -> Wire {
    losing(1_000)
}

pub(super) fn well() -> Wire {
    Wire::default()
}

pub(super) fn setup(count: usize) -> Setup {
    Setup {
        uplinks: UPLINKS[..count].to_vec(),
        targets: TARGETS[..3].to_vec(),
        quorum: 1,
        policy: Policy::Failover,
        is_failback_manual: false,
        failback_after: 10,
        best: (10, 300),
        damping: None,
        recover_after: 3,
        is_flat: false,
        is_main_mode: false,
        metered: None,
        warm: None,
        cold: None,
        group: None,
        seed: 1,
    }
}

pub(super) fn dual(count: usize) -> Setup {
    Setup {
        targets: TARGETS.to_vec(),
        ..setup(count)
    }
}

pub(super) fn balanced() -> Setup {
    Setup {
        policy: Policy::Balance,
        is_flat: true,
        ..dual(3)
    }
}

/// A case in which every link comes up at the start, and `script` (in seconds) follows.
pub(super) fn case(name: &str, setup: Setup, until: f64, script: Vec<(f64, Act)>) -> Case {
    let has_ipv6 = setup.targets.len() > 3;
    let link = if has_ipv6 { Link::dual() } else { Link::up() };
    let links = (0..setup.uplinks.len()).map(|uplink| (0, Act::Link(uplink, link)));
    let script = script.into_iter().map(|(at, act)| (millis(at), act));
    Case {
        name: name.to_owned(),
        seed: name
            .bytes()
            .fold(7, |seed, byte| (seed * 31 + u64::from(byte)) % 1_000_003),
        script: links.chain(script).collect(),
        until: millis(until),
        dials_for: Some(2_000),
        setup,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "scripts are short and begin at 0"
)]
fn millis(seconds: f64) -> u64 {
    (seconds * 1_000.0).round() as u64
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = lab();
    cases.extend(links());
    cases.extend((1..=24).map(life));
    cases
}

/// The simulated links of the bench, in short, each with an outage at the end.
fn links() -> Vec<Case> {
    let calm = Process::Calm;
    let links: [(&str, u16, Process, u64); 8] = [
        ("calm", 0, calm, 0),
        ("loses-1", 10, calm, 0),
        ("loses-5", 50, calm, 50),
        ("loses-20", 200, calm, 0),
        (
            "bursts",
            0,
            Process::Bursts {
                every: 20_000,
                mean: 400,
            },
            0,
        ),
        ("handovers", 2, Process::Handover, 0),
        ("starlink", 2, Process::Starlink, 50),
        ("evening", 1, Process::Evening, 0),
    ];
    links
        .into_iter()
        .map(|(name, loss, process, packets)| {
            let wire = Wire {
                process,
                ..losing(loss)
            };
            let script = vec![
                (0.0, Act::Wire(FIBER, wire.clone())),
                (2.0, Act::Traffic(FIBER, packets)),
                (300.0, Act::Wire(FIBER, dead())),
                (310.0, Act::Wire(FIBER, wire)),
            ];
            case(&format!("link-{name}"), setup(2), 330.0, script)
        })
        .collect()
}

/// Whatever may happen, in no sensible order.
fn life(seed: u64) -> Case {
    let mut chance = Chance(seed);
    let setup = some_setup(&mut chance, 3);
    let has_clock = seed.is_multiple_of(3);
    let mut script = Vec::new();
    let mut at = 1_000;
    while at < 70_000 {
        at += chance.below(3_000);
        script.push((at, some_act(&mut chance, has_clock)));
    }
    let mut case = case(&format!("life-{seed:02}"), setup, 75.0, Vec::new());
    case.script.extend(script);
    case
}

fn some_setup(chance: &mut Chance, count: usize) -> Setup {
    let mut once_in = |times| chance.below(times) == 0;
    let is_dual = once_in(2);
    let is_failback_manual = once_in(4);
    let is_flat = once_in(2);
    let (metered, cold, warm) = (once_in(3), once_in(3), once_in(4));
    let has_group = once_in(2) && count > 1;
    let mut policy = || match chance.below(3) {
        0 => Policy::Failover,
        1 => Policy::Best,
        _ => Policy::Balance,
    };
    let (of_rest, of_group) = (policy(), policy());
    let settings = if is_dual { dual(count) } else { setup(count) };
    let last = count - 1;
    Setup {
        policy: of_rest,
        is_failback_manual,
        is_flat,
        failback_after: chance.below(20),
        best: (3, 10 + chance.below(10)),
        damping: (chance.below(2) == 0).then(|| (10 + chance.below(60), chance.below(60))),
        recover_after: chance.below(5),
        metered: (metered && count > 1).then_some((LTE, 1_000)),
        cold: (cold && count > 1).then(|| (last, [chance.below(20), 20, 30])),
        warm: (warm && !cold && count > 1).then_some(last),
        group: has_group.then(|| (of_group, (1..count).collect())),
        seed: chance.below(1_000),
        ..settings
    }
}

fn some_act(chance: &mut Chance, has_clock: bool) -> Act {
    let uplink = usize::try_from(chance.below(3)).expect("few uplinks");
    match chance.below(40) {
        0..6 => Act::Wire(uplink, dead()),
        6..12 => Act::Wire(uplink, well()),
        12..16 => Act::Wire(uplink, some_wire(chance)),
        16..22 => Act::Link(uplink, some_link(chance)),
        22..25 => Act::Traffic(uplink, 10 * chance.below(20)),
        25..29 => Act::Order(some_order(chance, uplink)),
        29..31 => {
            let count = 1 + usize::try_from(chance.below(3)).expect("few uplinks");
            Act::Reload(Box::new(some_setup(chance, count)))
        }
        31 => Act::Restart,
        32..35 => {
            let back = usize::try_from(chance.below(40)).expect("few");
            Act::Late(back, some_reply(chance))
        }
        35 => Act::Stray(uplink, chance.next()),
        36 => Act::Counters(uplink, [(); 4].map(|()| chance.next() >> chance.below(60))),
        37 => Act::Sleep(chance.below(9_000)),
        38 if has_clock => Act::Back(chance.below(3_000)),
        _ => Act::Link(uplink, Link::dual()),
    }
}

fn some_wire(chance: &mut Chance) -> Wire {
    Wire {
        rtt: 5_000 + chance.below(400_000),
        jitter: chance.below(100_000),
        loss: [0; 2].map(|_: u16| u16::try_from(chance.below(1_001)).expect("a share")),
        process: Process::Calm,
        reply: some_reply(chance),
        deaf_to: (chance.below(2) == 0).then(|| usize::try_from(chance.below(5)).expect("few")),
    }
}

fn some_reply(chance: &mut Chance) -> Reply {
    match chance.below(12) {
        0 => Reply::Unreachable,
        1 => Reply::Wrong,
        2 => Reply::Captive,
        3 => Reply::NotSent,
        _ => Reply::Right(chance.below(3_000_000)),
    }
}

fn some_link(chance: &mut Chance) -> Link {
    let trouble = match chance.below(12) {
        0 => Trouble::Absent,
        1 => Trouble::Down,
        2 | 3 => Trouble::NoCarrier,
        4 => Trouble::NoAddress,
        5 => Trouble::NoNextHop,
        _ => Trouble::None,
    };
    Link {
        trouble,
        has_ipv6: chance.below(2) == 0,
        has_prefix: chance.below(3) == 0,
        address: u8::try_from(chance.below(3)).expect("few"),
    }
}

fn some_order(chance: &mut Chance, uplink: usize) -> Order {
    match chance.below(8) {
        0 | 1 => Order::Switch(uplink),
        2 => Order::Pin(uplink),
        3 | 4 => Order::Auto,
        5 => Order::Disable(uplink),
        _ => Order::Enable(uplink),
    }
}
