//! The link of an uplink: how it is attached, and whether a cold standby is up.

use super::absence::{AwayFamilies, PathAbsence};
use super::cold::{Aim, Cold, StandbyCall, StandbySight, StandbyTurn};
use super::health::{Health, Phase, Signal};
use crate::engine::event::Errand;
use crate::engine::settings::UplinkSettings;
use crate::engine::timer::sooner;
use crate::engine::wording::seconds;
use crate::routing::{Attachment, Trouble};
use crate::units::{InterfaceName, Moment};

/// The link of one uplink.
#[derive(Clone, Debug)]
pub(super) struct UplinkLink {
    pub(super) attachment: Attachment,
    /// A path of it is away for a moment.
    absence: Option<Box<PathAbsence>>,
    /// Of a cold standby: whether it is up, and why.
    cold: Option<Box<Cold>>,
}

/// What a look at a link shows.
#[derive(Clone, Debug)]
pub(super) enum LinkFinding {
    /// It is as it was.
    Same,
    /// The paths of these families are away, and may come back.
    PathsAway(AwayFamilies),
    /// They are back as they were.
    PathsBack,
    /// It is another one than before.
    Changed(LinkChange),
}

/// How a link differs from what it was before.
#[derive(Clone, Copy, Debug)]
pub(super) struct LinkChange {
    /// It is in order, and was not.
    pub(super) has_come: bool,
    /// A path of it was away, and nothing was probed meanwhile.
    pub(super) was_away: bool,
}

/// What follows from whether a cold standby is needed.
pub(super) enum StandbyStep {
    /// It is to be brought up or taken down, and why; what its link means meanwhile.
    Ordered(Errand, String, Option<Signal>),
    /// It was called and is not usable in time; the reason, where it is reported.
    Unready {
        said: Option<String>,
        signal: Signal,
    },
}

impl UplinkLink {
    /// A link of which nothing is known.
    pub(super) fn new(settings: &UplinkSettings, now: Moment) -> Self {
        Self {
            attachment: Attachment {
                trouble: Some(Trouble::Absent),
                ..Attachment::default()
            },
            absence: None,
            cold: Cold::of(settings, now),
        }
    }

    /// Takes changed settings; whether what the link is like means something else now.
    pub(super) fn adapt(&mut self, settings: &UplinkSettings, now: Moment) -> bool {
        let is_attached = self.attachment.trouble.is_none();
        let was_cold = self.cold.is_some();
        self.cold = Cold::adapted(self.cold.take(), settings, is_attached, now);
        was_cold != self.cold.is_some() && !is_attached
    }

    /// The link is found like this; `is_unknown`: nothing is known of its uplink.
    pub(super) fn attach(
        &mut self,
        found: Attachment,
        is_unknown: bool,
        now: Moment,
    ) -> LinkFinding {
        let absence = self.absence.take();
        let was_away = absence.is_some();
        if found == self.attachment && !is_unknown {
            return if was_away {
                LinkFinding::PathsBack
            } else {
                LinkFinding::Same
            };
        }
        let is_resting = self.cold.as_ref().is_some_and(|cold| cold.is_resting());
        if !is_resting {
            let next = PathAbsence::next(absence.as_deref(), &self.attachment, &found, now);
            self.absence = next.map(Box::new);
        }
        if let Some(absence) = &self.absence {
            return LinkFinding::PathsAway(absence.families());
        }
        let before = std::mem::replace(&mut self.attachment, found).trouble;
        let trouble = self.attachment.trouble;
        let has_come = before.is_some() && trouble.is_none();
        if let Some(cold) = &mut self.cold {
            let is_gone = matches!(trouble, Some(Trouble::Absent | Trouble::Down));
            cold.find(has_come || (is_unknown && !is_gone), is_gone, now);
        }
        LinkFinding::Changed(LinkChange { has_come, was_away })
    }

    /// How it was found when a path of it went away, if that has lasted too long.
    pub(super) fn overdue(&self, now: Moment) -> Option<Attachment> {
        let absence = self.absence.as_ref()?;
        let is_overdue = absence.until().is_some_and(|until| until <= now);
        is_overdue.then(|| absence.attachment().clone())
    }

    /// The machine slept.
    pub(super) fn wake(&mut self, now: Moment) {
        if let Some(cold) = &mut self.cold {
            cold.wake(now);
        }
    }

    /// When it wants to be looked at again.
    pub(super) fn due(&self) -> Option<Moment> {
        let cold = self.cold.as_ref().and_then(|cold| cold.due());
        let absence = self.absence.as_deref().and_then(PathAbsence::until);
        sooner(cold, absence)
    }

    /// It is a cold standby that was called, and may still become usable in time.
    pub(super) fn is_coming_up(&self) -> bool {
        self.cold.as_ref().is_some_and(|cold| cold.is_coming_up())
    }

    /// It is a cold standby that would be tried if it were called, or is being tried for the first time.
    pub(super) fn may_be_woken(&self) -> bool {
        let is_up = self.attachment.trouble.is_none();
        let cold = self.cold.as_ref();
        cold.is_some_and(|cold| cold.may_be_tried() && (!is_up || cold.is_coming_up()))
    }

    /// What it means that the link is not in order, if it is not: nothing where a cold standby need not
    /// be.
    pub(super) fn failed(&self, interface: &InterfaceName) -> Option<Signal> {
        let trouble = self.attachment.trouble?;
        let why = explain(trouble, interface.as_str());
        let resting = self.cold.as_ref().filter(|cold| cold.is_resting());
        Some(match resting.map(|cold| cold.rests_as(&why)) {
            Some(Ok(why)) => Signal::Rests(Phase::Cold, why),
            Some(Err(unready)) => Signal::Rests(self.unusable(), unready),
            None => Signal::LinkFailed(trouble, why),
        })
    }

    /// Takes whether a cold standby is needed; to be called until nothing follows.
    pub(super) fn wake_standby(
        &mut self,
        call: &StandbyCall,
        sight: StandbySight,
        health: &Health,
        interface: &InterfaceName,
        now: Moment,
    ) -> Option<StandbyStep> {
        loop {
            let (errand, reason) = match self.cold.as_mut()?.take_turn(call, sight, now)? {
                StandbyTurn::Quiet | StandbyTurn::Ready => continue,
                StandbyTurn::Unready(aim) => {
                    let before = match aim {
                        Aim::Exercise => "exercise: ",
                        Aim::Need | Aim::Return => "",
                    };
                    let (reason, signal) = self.unready(before, health, interface)?;
                    let said = Some(reason);
                    return Some(StandbyStep::Unready { said, signal });
                }
                StandbyTurn::StillUnready => {
                    let (_, signal) = self.unready("", health, interface)?;
                    return Some(StandbyStep::Unready { said: None, signal });
                }
                StandbyTurn::Up(reason) => (Errand::Up, reason),
                StandbyTurn::Down(reason) => (Errand::Down, reason),
            };
            let failed = self.failed(interface);
            return Some(StandbyStep::Ordered(errand, reason, failed));
        }
    }

    /// It was called and is not usable in time: why, and what that means.
    fn unready(
        &mut self,
        before: &str,
        health: &Health,
        interface: &InterfaceName,
    ) -> Option<(String, Signal)> {
        let phase = self.unusable();
        let cold = self.cold.as_mut()?;
        let within = seconds(cold.ready_within());
        let what = match (health.phase(), self.attachment.trouble) {
            (_, Some(trouble)) => explain(trouble, interface.as_str()),
            (Phase::Unknown, None) => format!("{interface} is up, no answer"),
            (_, None) => health.reason().to_owned(),
        };
        let reason = format!("{before}not usable within {within}: {what}");
        cold.found_unready(&reason);
        Some((reason.clone(), Signal::Unready(phase, reason)))
    }

    /// What an uplink is that cannot be used, by the trouble with its link.
    fn unusable(&self) -> Phase {
        match self.attachment.trouble {
            Some(Trouble::Absent) => Phase::Absent,
            Some(Trouble::Down | Trouble::NoCarrier | Trouble::NoAddress | Trouble::NoNextHop)
            | None => Phase::Down,
        }
    }
}

fn explain(trouble: Trouble, interface: &str) -> String {
    match trouble {
        Trouble::Absent => format!("no interface {interface}"),
        Trouble::Down => format!("{interface} is set down"),
        Trouble::NoCarrier => format!("{interface} has no carrier"),
        Trouble::NoAddress => format!("{interface} has no address"),
        Trouble::NoNextHop => format!(
            "no next hop on {interface}: no default route goes through it and no `gateway` is set"
        ),
    }
}
