//! Fault isolation: what one uplink cannot know, all of them together can.
//!
//! An uplink that cannot tell whether a target or its own link is at fault says so. The other uplinks
//! that probe the same target are asked what they see of it, and probe it now. A target that answers
//! through any of them is healthy, so the uplink is at fault; one that answers rightly through none of
//! them is at fault itself: it is set aside for all, reported once, and retried. Where no other uplink
//! can tell, because the others are down or probe other targets, the uplink is judged by its own
//! evidence.

use std::time::Duration;

use crate::engine::event::{Change, Event};
use crate::engine::state::State;
use crate::engine::suspicion::{Observation, SuspectedFault, Suspicion, TargetNotice};
use crate::engine::uplink::{Outbox, Uplink};
use crate::units::{Moment, Target};

/// For so long the other uplinks are waited for. An uplink that is silent altogether does not wait:
/// some target answers through every one that suspects another.
const WAIT: Duration = Duration::from_secs(1);

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FaultRuling {
    Targets,
    Uplinks,
    Open,
}

/// The suspicions that are not settled.
#[derive(Clone, Debug, Default)]
pub struct FaultIsolation {
    open: Vec<OpenSuspicion>,
}

#[derive(Clone, Debug)]
struct OpenSuspicion {
    suspicion: Suspicion,
    until: Moment,
}

impl FaultIsolation {
    /// When a case must be ruled.
    pub fn next_timeout(&self) -> Option<Moment> {
        self.open.iter().map(|case| case.until).min()
    }

    /// Takes what the uplinks have to say, and rules what can be ruled.
    pub fn hear(&mut self, uplinks: &mut [Uplink], now: Moment, out: &mut Outbox) {
        let has_nothing = out.notices.is_empty() && self.open.is_empty();
        if has_nothing {
            return;
        }
        for notice in std::mem::take(&mut out.notices) {
            match notice {
                TargetNotice::Suspected(suspicion) => self.open(suspicion, uplinks, now),
                TargetNotice::AnswersAgain(target) => reinstate(&target, uplinks, now, out),
            }
        }
        let mut open = std::mem::take(&mut self.open);
        while let Some(case) = open.pop() {
            match case.rule(uplinks, now) {
                FaultRuling::Open => self.open.push(case),
                FaultRuling::Uplinks => case.blame_uplink(uplinks, now, out),
                FaultRuling::Targets => {
                    // With it the target is ruled upon for all uplinks.
                    let is_other =
                        |other: &OpenSuspicion| other.suspicion.target != case.suspicion.target;
                    open.retain(is_other);
                    self.open.retain(is_other);
                    case.blame_target(uplinks, now, out);
                }
            }
        }
    }

    fn open(&mut self, suspicion: Suspicion, uplinks: &mut [Uplink], now: Moment) {
        let mut open = self.open.iter_mut().map(|case| &mut case.suspicion);
        if let Some(known) = open.find(|known| known.is_same_as(&suspicion)) {
            known.fault = suspicion.fault;
            return;
        }
        for other in uplinks.iter_mut().filter(|u| suspicion.may_ask(u)) {
            if other.observation(&suspicion.target, suspicion.since) == Some(Observation::Open) {
                other.probe_now(now);
            }
        }
        let until = now + WAIT;
        self.open.push(OpenSuspicion { suspicion, until });
    }
}

impl Suspicion {
    fn is_same_as(&self, other: &Self) -> bool {
        let is_alike = std::mem::discriminant(&self.fault) == std::mem::discriminant(&other.fault);
        is_alike && self.uplink == other.uplink && self.target == other.target
    }

    fn may_ask(&self, uplink: &Uplink) -> bool {
        uplink.settings().name != self.uplink
    }
}

impl OpenSuspicion {
    fn rule(&self, uplinks: &[Uplink], now: Moment) -> FaultRuling {
        let Suspicion { target, since, .. } = &self.suspicion;
        let others = uplinks
            .iter()
            .filter(|uplink| self.suspicion.may_ask(uplink));
        let observations = others.filter_map(|other| other.observation(target, *since));
        let (mut is_open, mut is_against) = (false, false);
        for observation in observations {
            match (observation, &self.suspicion.fault) {
                (Observation::Answers, _) => return FaultRuling::Uplinks,
                (Observation::Open, _) => is_open = now < self.until,
                // A target that is filtered there may still be shadowed here.
                (Observation::Silent, SuspectedFault::Captive(_)) => {}
                (Observation::Wrong | Observation::Silent, _) => is_against = true,
            }
        }
        match (is_open, is_against) {
            (true, _) => FaultRuling::Open,
            (false, true) => FaultRuling::Targets,
            (false, false) => FaultRuling::Uplinks,
        }
    }

    fn blame_uplink(self, uplinks: &mut [Uplink], now: Moment, out: &mut Outbox) {
        let Suspicion {
            uplink: name,
            target,
            fault,
            ..
        } = self.suspicion;
        let Some(uplink) = uplinks.iter_mut().find(|u| u.settings().name == name) else {
            return;
        };
        uplink.found_at_fault(target, fault, now, out);
    }

    fn blame_target(self, uplinks: &mut [Uplink], now: Moment, out: &mut Outbox) {
        let target = self.suspicion.target;
        let why = match self.suspicion.fault {
            SuspectedFault::SetAside(_) | SuspectedFault::Outage(_) => {
                "answers rightly on no uplink".to_owned()
            }
            SuspectedFault::Captive(what) => format!("says the same on every uplink ({what})"),
        };
        for uplink in uplinks {
            uplink.excuse(&target, &why, now);
        }
        let reason = format!("{target} {why}: its own fault, set aside, asked again later");
        report_to_all(target, [State::Up, State::Down], reason, now, out);
    }
}

fn reinstate(target: &Target, uplinks: &mut [Uplink], now: Moment, out: &mut Outbox) {
    let mut is_news = false;
    for uplink in uplinks {
        is_news |= uplink.reinstate(target);
    }
    if is_news {
        let reason = format!("{target} answers again");
        report_to_all(target.clone(), [State::Down, State::Up], reason, now, out);
    }
}

fn report_to_all(
    target: Target,
    [from, to]: [State; 2],
    reason: String,
    at: Moment,
    out: &mut Outbox,
) {
    let change = Change::Target {
        uplink: None,
        interface: None,
        target,
        from,
        to,
    };
    out.events.push(Event { at, change, reason });
}
