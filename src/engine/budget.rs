//! What the probes of a metered uplink may cost, and what that buys.
//!
//! A token bucket that holds a tenth of the budget at most, begins nearly empty and fills at a steady
//! rate. What it can hold, what flows into it in 30 days and what a hundred starts without memory
//! begin with are the budget together: no 30 days can cost more, whatever happens in them. Each probe
//! is paid for when it is ordered, at the most that it can cost in both directions.
//!
//! Routine probes are spaced so that they leave three tenths of the rate over, and never take the last of
//! the bucket: that is for the moment when the uplink that carries the traffic may be dead. Questions of
//! quality get the upper half.

use std::time::Duration;

use crate::engine::settings::{ProbeSettings, UplinkSettings};
use crate::units::{Bytes, DnsTarget, Host, Moment, Target, WireCost};

/// The time for which a budget is given.
pub const PERIOD: Duration = Duration::from_secs(30 * 86_400);

/// Of the budget, what the bucket holds at most.
const CAPACITY: f64 = 0.1;
/// What a bucket of which nothing is remembered begins with.
const START: f64 = 1.0 / 5_000.0;
/// So many such starts in 30 days are provided for.
const STARTS: f64 = 100.0;
/// Of the rate, what routine probes use.
const ROUTINE_SHARE: f64 = 0.7;
/// Of the budget, what routine leaves in the bucket.
const LAST: f64 = 1.0 / 10_000.0;
/// What may be spent beyond what is written down: a killed agent begins with that much less.
const AHEAD: f64 = 1.0 / 500.0;
/// Steady probes come up to a fifth later than their spacing.
const LATEST: f64 = 1.2;

/// What a probe is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Does it still work? Does it work again?
    Routine,
    /// Has it become worse?
    Quality,
    /// Is it dead?
    Verdict,
}

/// What is left to spend.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    limit: f64,
    level: f64,
    at: Moment,
    /// Since it was last written down.
    unkept: f64,
    is_recalled: bool,
}

impl Budget {
    /// A budget of which nothing is remembered.
    pub fn new(limit: Bytes, now: Moment) -> Self {
        let limit = number(limit);
        Self {
            limit,
            level: limit * START,
            at: now,
            unkept: 0.0,
            is_recalled: false,
        }
    }

    /// Another limit; what has been spent stays spent.
    pub fn adapt(&mut self, limit: Bytes, now: Moment) {
        self.fill(now);
        self.limit = number(limit);
        self.level = self.level.min(self.limit * CAPACITY);
    }

    /// What an earlier run left. Only the first word counts.
    pub fn recall(&mut self, left: Bytes) {
        if !self.is_recalled {
            self.is_recalled = true;
            self.level = number(left).min(self.limit * CAPACITY);
            self.unkept = self.limit * AHEAD;
        }
    }

    /// What a later run may begin with, wherever this one is killed before it is asked again.
    pub fn keep(&mut self) -> Bytes {
        self.unkept = 0.0;
        bytes(self.level - self.limit * AHEAD)
    }

    /// What is in the bucket.
    pub fn left(&self) -> Bytes {
        bytes(self.level)
    }

    /// Enough has been spent since [`Budget::keep`] to say so again.
    pub fn is_unkept(&self) -> bool {
        self.unkept > self.limit * AHEAD / 2.0
    }

    /// What may be spent now.
    pub fn available(&mut self, purpose: Purpose, now: Moment) -> u64 {
        self.fill(now);
        bytes(self.level - self.floor(purpose)).0
    }

    /// Whether there is anything for this, as far as is known.
    pub fn is_enough(&self, purpose: Purpose) -> bool {
        self.level > self.floor(purpose)
    }

    /// Spends what is available.
    pub fn spend(&mut self, cost: u64) {
        let cost = number(Bytes(cost));
        self.level -= cost;
        self.unkept += cost;
    }

    /// When so much will be available; later than `now`.
    pub fn ready(&self, cost: u64, purpose: Purpose, now: Moment) -> Moment {
        let missing = number(Bytes(cost)) + self.floor(purpose) - self.level;
        let seconds = (missing / rate(self.limit)).clamp(0.05, 3_600.0);
        now + Duration::from_secs_f64(seconds)
    }

    fn floor(&self, purpose: Purpose) -> f64 {
        match purpose {
            Purpose::Routine => self.limit * LAST,
            Purpose::Quality => self.limit * CAPACITY / 2.0,
            Purpose::Verdict => 0.0,
        }
    }

    fn fill(&mut self, now: Moment) {
        let earned = rate(self.limit) * now.since(self.at).as_secs_f64();
        self.level = (self.level + earned).min(self.limit * CAPACITY);
        self.at = self.at.max(now);
    }
}

/// In bytes a second.
fn rate(limit: f64) -> f64 {
    limit * (1.0 - CAPACITY - START * STARTS) / PERIOD.as_secs_f64()
}

/// What a budget buys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The bytes that one round of probes to as many targets as must answer costs at most.
    pub round: Bytes,
    /// The time between two routine rounds.
    pub every: Duration,
    /// An outage is suspected so long after it began, at the latest, while no traffic tells sooner.
    pub suspected_within: Duration,
}

/// What the budget of an uplink buys, if it is metered.
pub fn plan(uplink: &UplinkSettings) -> Option<Plan> {
    let probe = &uplink.probe;
    let limit = number(uplink.probe_budget?);
    let total: u64 = probe.targets.iter().map(|target| cost(target, probe)).sum();
    #[expect(clippy::cast_precision_loss, reason = "a few kilobytes and targets")]
    let round = total as f64 * probe.quorum as f64 / probe.targets.len().max(1) as f64;
    let seconds = round / (rate(limit) * ROUTINE_SHARE);
    let every = Duration::try_from_secs_f64(seconds)
        .unwrap_or(PERIOD)
        .clamp(probe.interval, PERIOD);
    Some(Plan {
        round: bytes(round),
        every,
        suspected_within: every.mul_f64(LATEST) + probe.timeout,
    })
}

/// The headers of Ethernet with a VLAN tag, and its check sequence.
const LINK: u64 = 22;
/// The header of IPv6.
const IPV6: u64 = 40;
/// The header of TCP with all the options of a SYN.
const TCP: u64 = 40;
/// Packets of a connection that comes to its end, each way, with those that are sent again.
const CLOSING: u64 = 12;
/// Servers that are asked for a name where none are configured.
const RESOLVERS: u64 = 10;

/// The bytes that one probe costs at most, both ways, as they are on the wire.
pub fn cost(target: &Target, probe: &ProbeSettings) -> u64 {
    let WireCost {
        is_connection,
        sent,
        received,
    } = target.wire_cost();
    let exchange = if is_connection {
        sent * attempts(probe) + received + connection(probe)
    } else {
        let header = target.address().map_or(IPV6, WireCost::ip_header);
        2 * (LINK + header) + sent + received
    };
    exchange + lookup(&target.host(), probe)
}

/// Opening, with what is sent again for want of an answer (RFC 6298: each wait twice the last), and
/// closing.
fn connection(probe: &ProbeSettings) -> u64 {
    let packet = LINK + IPV6 + TCP;
    2 * packet * attempts(probe) + packet * CLOSING
}

fn attempts(probe: &ProbeSettings) -> u64 {
    let waits = (probe.timeout.as_secs() * 2 + 2).ilog2();
    2 + u64::from(waits)
}

/// A name may have to be asked for, for both families.
fn lookup(host: &Host, probe: &ProbeSettings) -> u64 {
    match host {
        Host::Address(_) => 0,
        Host::Name(name) => {
            let servers = match probe.resolvers.len() {
                0 => RESOLVERS,
                some => some as u64,
            };
            let query = DnsTarget::QUERY_BYTES + name.as_str().len() as u64;
            servers * 2 * (2 * (LINK + IPV6) + query + DnsTarget::ANSWER_BYTES)
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact below 9 petabytes")]
fn number(bytes: Bytes) -> f64 {
    bytes.0 as f64
}

/// Rounded down.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float becomes the nearest whole number that there is"
)]
fn bytes(number: f64) -> Bytes {
    Bytes(number.max(0.0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Bytes = Bytes(50_000_000);

    fn at(seconds: u64) -> Moment {
        Moment::after_start(Duration::from_secs(seconds))
    }

    /// Takes all that there is, now.
    fn drain(budget: &mut Budget, now: Moment) -> u64 {
        let all = budget.available(Purpose::Verdict, now);
        budget.spend(all);
        all
    }

    #[test]
    fn no_thirty_days_cost_more_than_the_budget_even_if_all_is_spent_at_once() {
        let month = PERIOD.as_secs();
        let mut budget = Budget::new(LIMIT, at(0));
        let full_at = month * 10;
        let mut spent = drain(&mut budget, at(full_at));
        for hour in 1..=30 * 24 {
            spent += drain(&mut budget, at(full_at + hour * 3_600));
        }
        assert!(spent <= LIMIT.0, "{spent}");
        assert!(spent > LIMIT.0 * 9 / 10, "{spent}: the rest is lost");
    }

    #[test]
    fn a_clock_that_is_set_back_earns_nothing() {
        let mut budget = Budget::new(LIMIT, at(1_000_000));
        drain(&mut budget, at(1_000_000));
        for _ in 0..100 {
            assert_eq!(drain(&mut budget, at(0)), 0);
            assert_eq!(drain(&mut budget, at(1_000_000)), 0);
        }
    }

    #[test]
    fn a_killed_agent_is_never_given_back_what_it_had_spent() {
        let now = at(PERIOD.as_secs() * 10);
        let mut budget = Budget::new(LIMIT, at(0));
        let full = budget.available(Purpose::Verdict, now);
        let mut spent = 0;
        let mut kept = budget.keep();
        for _ in 0..200 {
            budget.spend(10_000);
            spent += 10_000;
            let mut next = Budget::new(LIMIT, now);
            next.recall(kept);
            assert!(
                next.left().0 <= full - spent,
                "{:?} after {spent}",
                next.left()
            );
            if budget.is_unkept() {
                kept = budget.keep();
            }
        }
    }

    #[test]
    fn only_the_first_memory_counts() {
        let mut budget = Budget::new(LIMIT, at(0));
        budget.recall(Bytes(1_000_000));
        drain(&mut budget, at(0));
        budget.recall(Bytes(u64::MAX));
        assert_eq!(drain(&mut budget, at(0)), 0);
    }

    #[test]
    fn routine_leaves_enough_for_a_verdict() {
        let mut budget = Budget::new(LIMIT, at(0));
        let routine = budget.available(Purpose::Routine, at(0));
        budget.spend(routine);
        assert_eq!(budget.available(Purpose::Routine, at(0)), 0);
        assert_eq!(budget.available(Purpose::Quality, at(0)), 0);
        assert!(budget.available(Purpose::Verdict, at(0)) >= 20 * 192);
    }
}
