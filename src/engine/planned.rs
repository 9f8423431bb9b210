//! Planned switches: those that an operator or a schedule brings about, while what carries the traffic is healthy.
//!
//! There is time before such a switch: hooks may do what has to be done before it. What would bring it about is
//! therefore looked at before it is an input. Nothing is held in here: until it is one, all goes on as if it were not
//! there, and an outage meanwhile is acted on at once.

use super::Engine;
use super::candidate::Fitness;
use super::command::Command;
use super::event::{Change, Event, PlannedSwitch};
use super::group::AskedFor;
use super::group::carriers::names;
use super::group::draft::ManualChoice;
use super::ids::UplinkId;
use super::manual;
use super::uplink::Uplink;
use super::view::EngineView;
use crate::routing::Family;
use crate::units::{Moment, ZonedTime};

/// What the default group would be decided by.
struct SwitchTerms {
    by_hand: Option<ManualChoice>,
    is_asked: bool,
    /// The uplink that would be out of use.
    out: Option<UplinkId>,
    why: String,
}

impl Engine {
    /// The planned switch that a command would bring about.
    pub fn planned_by(&self, command: &Command, now: Moment) -> Option<Event> {
        self.check_at(command, now).ok()?;
        let view = self.view();
        let by_hand = self.groups.default_group().by_hand();
        let plan = |by_hand, is_asked, out| SwitchTerms {
            by_hand,
            is_asked,
            out,
            why: format!("`{command}`"),
        };
        let plan = match command {
            Command::Switch { uplink, pin } => {
                let uplink = self.id(uplink)?;
                let is_pinned = *pin;
                plan(Some(ManualChoice { uplink, is_pinned }), true, None)
            }
            Command::Auto => {
                let is_asked = manual::sent_by_auto(view) != AskedFor::Nothing;
                plan(None, is_asked, None)
            }
            Command::Disable { uplink, .. } | Command::Drill { uplink, .. } => {
                plan(by_hand, false, Some(self.id(uplink)?))
            }
            Command::Enable { .. } | Command::Forget { .. } | Command::Allowance { .. } => {
                return None;
            }
        };
        planned(view, plan, now)
    }

    /// The planned switch that this time of the wall clock would bring about: a failback or a drill.
    pub fn planned_at(&self, time: ZonedTime, now: Moment) -> Option<Event> {
        let mut clock = self.clock;
        clock.take(time, &self.settings, now);
        let settings = &self.settings;
        let view = EngineView::of(clock, settings, &self.uplinks, &self.groups, &self.flaps);
        let by_hand = self.groups.default_group().by_hand();
        let plan = |out, why: &str| SwitchTerms {
            by_hand,
            is_asked: false,
            out,
            why: why.to_owned(),
        };
        if let Some(drilled) = self.drills.due_at(view, time, now) {
            return planned(view, plan(Some(drilled), "`drill.schedule`"), now);
        }
        let is_opening = clock.is_within(&settings.failback_window)
            && !self.clock.is_within(&settings.failback_window);
        is_opening.then(|| planned(view, plan(None, "`failback_window`"), now))?
    }
}

/// The event of it, if the traffic would leave uplinks that are all healthy.
fn planned(view: EngineView<'_>, plan: SwitchTerms, now: Moment) -> Option<Event> {
    let default_group = view.groups.default_group();
    let is_healthy = |id: &UplinkId| {
        view.uplink(*id).is_some_and(|uplink| {
            let is_suspected = uplink.candidate().is_suspected;
            view.fitness(uplink) == Fitness::Good && !is_suspected
        })
    };
    let before = default_group.carriers(view.uplinks);
    if before.is_empty() || !before.iter().all(is_healthy) {
        return None;
    }
    let view_of_group = view.of_groups(now);
    let choice = (plan.by_hand, plan.is_asked);
    let is_out = |uplink: &Uplink, _: Family| Some(uplink.id()) == plan.out;
    let after = default_group.carriers_by_choice(view_of_group, choice, is_out);
    let mut to: Vec<UplinkId> = Vec::new();
    for id in after.into_iter().flatten() {
        if !to.contains(&id) {
            to.push(id);
        }
    }
    if to.is_empty() || to == before {
        return None;
    }
    let [from, to] = [before, to].map(|side| names(&side, view.uplinks));
    let change = Change::PlannedSwitch(PlannedSwitch { from, to });
    Some(Event::new(now, change, plan.why))
}
