//! Whose fault is it? What one uplink cannot know, all of them together can.
//!
//! An uplink that would blame a target, or be blamed for what one target says or no longer says,
//! appeals. The other uplinks that ask the same target are its witnesses, and are made to ask it now.
//! A target that answers through any of them is well, so the uplink is at fault; one that none of them
//! hears rightly is at fault itself: it is set aside for all, said once, and retried. Where nobody can
//! tell, because the others are dead or ask other targets, the uplink is judged by its own evidence.

use std::time::Duration;

use crate::engine::event::{Change, Event};
use crate::engine::outage::Silence;
use crate::engine::state::State;
use crate::engine::uplink::{Outbox, Uplink};
use crate::units::{Moment, Target, UplinkName};

/// For so long the witnesses are waited for. Nothing waits for them where an uplink is silent
/// altogether: some target always answers through one that appeals.
const PATIENCE: Duration = Duration::from_secs(1);

/// What an uplink has to say to all of them.
#[derive(Clone, Debug)]
pub enum Notice {
    /// It may not be to blame.
    Appeal(Appeal),
    /// A target that was set aside for all answers again.
    AnswersAgain(Target),
}

/// A question of blame.
#[derive(Clone, Debug)]
pub struct Appeal {
    /// The uplink that asks.
    pub uplink: UplinkName,
    /// The target in question.
    pub target: Target,
    /// What it is about.
    pub charge: Charge,
    /// Only what was asked from then on tells.
    pub since: Moment,
}

/// What becomes of the uplink if it is to blame.
#[derive(Clone, Debug)]
pub enum Charge {
    /// It set the target aside, and now says so.
    SetAside(String),
    /// Too few of its targets answer: it is down.
    Outage(Silence),
    /// Somebody answers in the target's place: it is down.
    Captive(String),
}

/// What an uplink knows about a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Testimony {
    /// It answers.
    Heard,
    /// Something else answers.
    Wrong,
    /// It does not answer, while others do.
    Silent,
    /// That will be known soon.
    Open,
}

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ruling {
    Targets,
    Uplinks,
    Open,
}

/// The open cases.
#[derive(Clone, Debug, Default)]
pub struct Docket {
    cases: Vec<Case>,
}

#[derive(Clone, Debug)]
struct Case {
    appeal: Appeal,
    until: Moment,
}

impl Docket {
    /// When a case must be ruled.
    pub fn next_timeout(&self) -> Option<Moment> {
        self.cases.iter().map(|case| case.until).min()
    }

    /// Takes what the uplinks have to say, and rules what can be ruled.
    pub fn hear(&mut self, uplinks: &mut [Uplink], now: Moment, out: &mut Outbox) {
        let has_nothing = out.notices.is_empty() && self.cases.is_empty();
        if has_nothing {
            return;
        }
        for notice in std::mem::take(&mut out.notices) {
            match notice {
                Notice::Appeal(appeal) => self.open(appeal, uplinks, now),
                Notice::AnswersAgain(target) => reinstate(&target, uplinks, now, out),
            }
        }
        let mut open = std::mem::take(&mut self.cases);
        while let Some(case) = open.pop() {
            match case.rule(uplinks, now) {
                Ruling::Open => self.cases.push(case),
                Ruling::Uplinks => case.blame_uplink(uplinks, now, out),
                Ruling::Targets => {
                    // With it the target is ruled upon for everybody.
                    let is_other = |other: &Case| other.appeal.target != case.appeal.target;
                    open.retain(is_other);
                    self.cases.retain(is_other);
                    case.blame_target(uplinks, now, out);
                }
            }
        }
    }

    fn open(&mut self, appeal: Appeal, uplinks: &mut [Uplink], now: Moment) {
        let mut cases = self.cases.iter_mut().map(|case| &mut case.appeal);
        if let Some(known) = cases.find(|known| known.is_same_as(&appeal)) {
            known.charge = appeal.charge;
            return;
        }
        for witness in uplinks.iter_mut().filter(|u| appeal.may_ask(u)) {
            if witness.testify(&appeal.target, appeal.since) == Some(Testimony::Open) {
                witness.summon(now);
            }
        }
        let until = now + PATIENCE;
        self.cases.push(Case { appeal, until });
    }
}

impl Appeal {
    fn is_same_as(&self, other: &Self) -> bool {
        let is_alike =
            std::mem::discriminant(&self.charge) == std::mem::discriminant(&other.charge);
        is_alike && self.uplink == other.uplink && self.target == other.target
    }

    fn may_ask(&self, uplink: &Uplink) -> bool {
        uplink.settings().name != self.uplink
    }
}

impl Case {
    fn rule(&self, uplinks: &[Uplink], now: Moment) -> Ruling {
        let Appeal { target, since, .. } = &self.appeal;
        let witnesses = uplinks.iter().filter(|uplink| self.appeal.may_ask(uplink));
        let testimonies = witnesses.filter_map(|witness| witness.testify(target, *since));
        let (mut is_open, mut is_against) = (false, false);
        for testimony in testimonies {
            match (testimony, &self.appeal.charge) {
                (Testimony::Heard, _) => return Ruling::Uplinks,
                (Testimony::Open, _) => is_open = now < self.until,
                // A target that is filtered there may still be shadowed here.
                (Testimony::Silent, Charge::Captive(_)) => {}
                (Testimony::Wrong | Testimony::Silent, _) => is_against = true,
            }
        }
        match (is_open, is_against) {
            (true, _) => Ruling::Open,
            (false, true) => Ruling::Targets,
            (false, false) => Ruling::Uplinks,
        }
    }

    fn blame_uplink(self, uplinks: &mut [Uplink], now: Moment, out: &mut Outbox) {
        let Appeal {
            uplink: name,
            target,
            charge,
            ..
        } = self.appeal;
        let Some(uplink) = uplinks.iter_mut().find(|u| u.settings().name == name) else {
            return;
        };
        uplink.found_at_fault(target, charge, now, out);
    }

    fn blame_target(self, uplinks: &mut [Uplink], now: Moment, out: &mut Outbox) {
        let target = self.appeal.target;
        let why = match self.appeal.charge {
            Charge::SetAside(_) | Charge::Outage(_) => "answers rightly on no uplink".to_owned(),
            Charge::Captive(what) => format!("says the same on every uplink ({what})"),
        };
        for uplink in uplinks {
            uplink.excuse(&target, &why, now);
        }
        let reason = format!("{target} {why}: its own fault, set aside, asked again later");
        tell_of_all(target, [State::Up, State::Down], reason, now, out);
    }
}

fn reinstate(target: &Target, uplinks: &mut [Uplink], now: Moment, out: &mut Outbox) {
    let mut is_news = false;
    for uplink in uplinks {
        is_news |= uplink.reinstate(target);
    }
    if is_news {
        let reason = format!("{target} answers again");
        tell_of_all(target.clone(), [State::Down, State::Up], reason, now, out);
    }
}

fn tell_of_all(
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
