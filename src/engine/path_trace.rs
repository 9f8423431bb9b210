//! Where the path of an uplink broke: its first hops are learnt while it is healthy, and asked again in doubt.
//!
//! ```text
//!  healthy ── once an hour, one uplink at a time ──> KnownPath ── a doubt ──> asked ── silent hops ──> BrokenAt
//! ```
//! No verdict hangs on it: what is found goes into the reason of the event and into the status, and nothing else reads
//! it. Each hop is asked by an echo whose time to live ends there; the time at which an order is due is looked at when
//! the engine runs anyway. A metered uplink is never asked.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use super::action::TraceOrder;
use super::event::Change;
use super::event::broken_at::BrokenAt;
use super::ids::UplinkId;
use super::input::{TracedHops, TracedPath};
use super::state::State;
use super::status::Status;
use super::uplink::{Outbox, Uplink};
use crate::routing::{Attachment, Family};
use crate::units::{Moment, Target, UplinkName};

/// The first path is learnt so long after the start.
const FIRST_AFTER: Duration = Duration::from_secs(10);
/// Between two orders of one uplink to learn, at least.
const LEARN_EVERY: Duration = Duration::from_secs(3_600);
/// Between two looks whose path is to be learnt.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How long answers are awaited while all is well.
const LEARN_FOR: Duration = Duration::from_secs(1);
/// The same in doubt, beyond twice the slowest answer: it should be known by the verdict.
const ASK_MARGIN: Duration = Duration::from_millis(50);
/// Between two doubts of one uplink in which it is asked: a link that keeps losing packets is not asked all the time.
const ASK_EVERY: Duration = Duration::from_secs(10);

/// The paths of all uplinks.
#[derive(Clone, Debug)]
pub(super) struct PathTraces {
    /// When the next uplink is asked to learn its path.
    due: Moment,
    /// Whose turn that is.
    turn: usize,
    known: Vec<KnownPath>,
    /// Not taken yet.
    orders: VecDeque<TraceOrder>,
}

/// What is known of the path of an uplink.
#[derive(Clone, Debug)]
struct KnownPath {
    uplink: UplinkName,
    /// Who answered at each distance when all was well.
    hops: TracedHops,
    learnt: Moment,
    /// When it was asked in doubt.
    asked: Option<Moment>,
    doubt: Doubted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubted {
    No,
    /// Its hops were asked, and may still answer; what they said before.
    Asked(Option<BrokenAt>),
    /// That says nothing: all of the path answers.
    Whole,
    Broken(BrokenAt),
}

impl PathTraces {
    /// Of an engine that starts now.
    pub(super) fn new(started: Moment) -> Self {
        Self {
            due: started + FIRST_AFTER,
            turn: 0,
            known: Vec::new(),
            orders: VecDeque::new(),
        }
    }

    /// What the daemon is to do.
    pub(super) fn take_order(&mut self) -> Option<TraceOrder> {
        self.orders.pop_front()
    }

    /// The status, with where the paths of uplinks broke that are down.
    pub(super) fn shown(&self, mut status: Status) -> Status {
        for uplink in &mut status.uplinks {
            if uplink.state == State::Down
                && let Some(at) = self.broken_at(&uplink.name)
            {
                uplink.broken_at = Some(at);
                uplink.reason = with_place(&uplink.reason, at);
            }
        }
        status
    }

    fn broken_at(&self, uplink: &UplinkName) -> Option<BrokenAt> {
        let known = self.known.iter().find(|known| known.uplink == *uplink)?;
        match known.doubt {
            Doubted::Broken(at) | Doubted::Asked(Some(at)) => Some(at),
            Doubted::No | Doubted::Asked(None) | Doubted::Whole => None,
        }
    }

    /// A link was looked at: of another one than before nothing is known.
    pub(super) fn attached(&mut self, uplink: &Uplink, found: &Attachment) {
        if uplink.attachment() != found {
            let name = &uplink.settings().name;
            self.known.retain(|known| known.uplink != *name);
        }
    }

    /// Takes who answered.
    pub(super) fn take(&mut self, path: TracedPath, uplinks: &[Uplink], now: Moment) {
        let TracedPath {
            uplink: name,
            in_doubt,
            hops,
        } = path;
        let uplink = uplinks.iter().find(|one| one.settings().name == name);
        let is_healthy = uplink.is_some_and(is_healthy);
        let known = self.known.iter_mut().find(|known| known.uplink == name);
        match known {
            Some(known) if in_doubt => {
                if let (Doubted::Asked(_), Some(uplink)) = (known.doubt, uplink) {
                    known.doubt = known.compare(&hops, is_behind_a_router(uplink.attachment()));
                }
            }
            _ if in_doubt || !is_healthy => {}
            Some(known) => (known.hops, known.learnt) = (hops, now),
            None => self.known.push(KnownPath {
                uplink: name,
                hops,
                learnt: now,
                asked: None,
                doubt: Doubted::No,
            }),
        }
    }

    /// Orders what is due, and says in the events of outages where they are. `drilled`: a failure on purpose.
    pub(super) fn follow(
        &mut self,
        uplinks: &[Uplink],
        drilled: Option<UplinkId>,
        out: &mut Outbox,
        now: Moment,
    ) {
        let is_any_doubted = self.known.iter().any(|known| known.doubt != Doubted::No);
        let may_be_doubted = is_any_doubted || uplinks.iter().any(Uplink::has_missed);
        let doubted = uplinks.iter().filter(|_| may_be_doubted);
        for uplink in doubted.filter(|uplink| drilled != Some(uplink.id())) {
            let is_healthy = is_healthy(uplink);
            if is_healthy && !is_any_doubted {
                continue;
            }
            let name = &uplink.settings().name;
            let Some(known) = self.known.iter_mut().find(|known| known.uplink == *name) else {
                continue;
            };
            if is_healthy {
                known.doubt = Doubted::No;
            } else if known.may_be_asked(now) && is_in_doubt(uplink) {
                let said = match known.doubt {
                    Doubted::Broken(at) => Some(at),
                    Doubted::Asked(said) => said,
                    Doubted::No | Doubted::Whole => None,
                };
                (known.doubt, known.asked) = (Doubted::Asked(said), Some(now));
                let listen_for = known.hops.slowest * 2 + ASK_MARGIN;
                self.orders.extend(order(uplink, listen_for, true));
            }
        }
        if now >= self.due {
            self.learn(uplinks, drilled, now);
        }
        for event in &mut out.events {
            if let Change::Uplink {
                uplink,
                to: State::Down,
                broken_at,
                ..
            } = &mut event.change
                && let Some(at) = self.broken_at(uplink)
            {
                *broken_at = Some(at);
                event.reason = with_place(&event.reason, at);
            }
        }
    }

    /// The next uplink in turn that is healthy and whose path is not known, or was learnt long ago.
    fn learn(&mut self, uplinks: &[Uplink], drilled: Option<UplinkId>, now: Moment) {
        self.due = now + LOOK_EVERY;
        for _ in uplinks {
            let uplink = &uplinks[self.turn % uplinks.len()];
            self.turn = self.turn.wrapping_add(1);
            let known = (self.known.iter()).find(|known| known.uplink == uplink.settings().name);
            let is_fresh = known.is_some_and(|known| now.since(known.learnt) < LEARN_EVERY);
            if !is_fresh
                && is_healthy(uplink)
                && drilled != Some(uplink.id())
                && let Some(order) = order(uplink, LEARN_FOR, false)
            {
                self.orders.push_back(order);
                return;
            }
        }
    }
}

impl KnownPath {
    /// A hop answers while all is well. In an outage they are asked again and again: it may move.
    fn may_be_asked(&self, now: Moment) -> bool {
        let is_due = (self.asked).is_none_or(|asked| now.since(asked) >= ASK_EVERY);
        is_due && self.hops.between().iter().any(Option::is_some)
    }

    /// What it says that these answer now. A hop beyond which another one answers is not broken, only silent. The
    /// target, which is asked by all probes, is no hop; where no other one is known, nothing is.
    fn compare(&self, now: &TracedHops, is_behind_a_router: bool) -> Doubted {
        let hops = { 0.. }.zip(self.hops.between());
        let known = hops.filter_map(|(place, hop)| Some((place, (*hop)?)));
        let known: Vec<(usize, IpAddr)> = known.collect();
        let Some((nearest, address)) = known.first().copied() else {
            return Doubted::Whole;
        };
        if now.has_arrived {
            return Doubted::Whole;
        }
        let answers = |place: usize| now.hops.get(place).is_some_and(Option::is_some);
        let last = known.iter().rposition(|(place, _)| answers(*place));
        let silent = last.map_or(0, |last| last + 1);
        let of_site = nearest == 0 && is_of_a_site(address) && is_behind_a_router;
        let of_site = usize::from(of_site);
        Doubted::Broken(if silent == known.len() {
            BrokenAt::Beyond
        } else if silent < of_site {
            BrokenAt::OwnSide
        } else if silent == of_site {
            BrokenAt::AccessLine
        } else {
            BrokenAt::Provider
        })
    }
}

fn with_place(reason: &str, at: BrokenAt) -> String {
    format!("{reason}; it broke {}", at.words())
}

fn is_healthy(uplink: &Uplink) -> bool {
    let candidate = uplink.candidate();
    let works = match candidate.state {
        State::Up | State::Degraded | State::Recovering => true,
        State::Unknown | State::Down | State::Disabled | State::Absent | State::Cold => false,
    };
    works && !candidate.is_suspected
}

/// Its link is in order, and it may not work.
fn is_in_doubt(uplink: &Uplink) -> bool {
    let candidate = uplink.candidate();
    let may_fail = candidate.state == State::Down || candidate.is_suspected;
    may_fail && uplink.attachment().trouble.is_none()
}

/// A modem or a router of the same site may be before it: it has no address of a provider.
fn is_behind_a_router(attachment: &Attachment) -> bool {
    let mut addresses = attachment.addresses.iter().filter(|one| one.is_ipv4());
    let is_by_ipv4 = attachment.paths.contains_key(&Family::Ipv4);
    !is_by_ipv4 || addresses.any(|address| is_of_a_site(*address))
}

/// An address that a modem or a router of the same site has.
fn is_of_a_site(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private() || address.is_link_local(),
        IpAddr::V6(address) => address.is_unique_local() || address.is_unicast_link_local(),
    }
}

/// By the first of its targets that is an address of a family that it has, and of IPv4 where there is one: only its
/// addresses tell a router of the site from one of the provider. None if it is metered or there is none.
fn order(uplink: &Uplink, listen_for: Duration, in_doubt: bool) -> Option<TraceOrder> {
    let settings = uplink.settings();
    let paths = &uplink.attachment().paths;
    let targets = settings.probe.targets.iter().filter_map(Target::address);
    let asked = targets.filter(|target| paths.contains_key(&Family::of(*target)));
    let target = asked.min_by_key(|target| Family::of(*target))?;
    settings.probe_budget.is_none().then(|| TraceOrder {
        uplink: settings.name.clone(),
        target,
        listen_for,
        in_doubt,
    })
}
