//! A drill: the path of the uplink that carries the traffic fails on purpose, and the agent has to notice.
//!
//! ```text
//!  Readying ── the path is cut ──> Cut ── the time is over, or it is aborted ──> Ending ── its uplink answers ──> over
//! ```
//! The daemon cuts the path, on order, and lets a stream measure what that is like; the engine decides when it ends,
//! and whether it is passed. Everything else goes on as in any outage, with these exceptions: the uplink is announced
//! neither as down nor as back, no penalty is added, and once it answers again it is what it was before: what the
//! failure has taught is forgotten, and the traffic goes back at once. An uplink that does not answer afterwards has
//! an outage of its own.

mod earlier;
mod expense;
mod result;
mod schedule;

use std::collections::VecDeque;
use std::time::Duration;

use expense::cannot_pay;
pub use expense::stream_cost;
use schedule::DrillSchedule;

use super::action::DrillOrder;
use super::candidate::Fitness;
use super::command::{CommandRefusal, DrillSpan};
use super::event::{Change, Event};
use super::group::carriers::names;
use super::ids::UplinkId;
use super::input::{DrillNews, StreamMeasure};
use super::settings::DrillSettings;
use super::state::State;
use super::status::Status;
use super::uplink::{BeforeDrill, Outbox, Uplink};
use super::view::EngineView;
use super::wording::{in_state, seconds};
use crate::routing::Attachment;
use crate::units::{Counters, InterfaceName, LocalMinute, Moment, Target, UplinkName, ZonedTime};

/// So soon after the order the path is cut, or it is said why not.
const READY_WITHIN: Duration = Duration::from_secs(15);
/// So soon after a drill its uplink answers, or it has an outage of its own.
const RETURN_WITHIN: Duration = Duration::from_secs(10);

/// The drill that goes on, if one does.
#[derive(Clone, Debug)]
pub struct Drills {
    running: Option<Box<Drill>>,
    /// Not taken yet.
    orders: VecDeque<DrillOrder>,
    started: Moment,
    schedule: DrillSchedule,
}

#[derive(Clone, Debug)]
struct Drill {
    id: UplinkId,
    uplink: UplinkName,
    interface: InterfaceName,
    lasts: Duration,
    stage: DrillStage,
    /// From the cut until its uplink is what it was.
    before: Option<BeforeDrill>,
    /// The counters of its interface when the path was cut: what arrives since then is dropped.
    counters: Option<Counters>,
    failed_for: Duration,
    carried_by: Vec<UplinkName>,
    measured: Option<StreamMeasure>,
    aborted: Option<String>,
    /// Why it was due and did not begin.
    skipped: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DrillStage {
    /// The path is to be cut by then.
    Readying { until: Moment },
    /// It is cut.
    Cut { since: Moment, until: Moment },
    /// It is to be whole again, and its uplink to answer by then.
    Ending { until: Moment },
}

/// A drill that is over.
pub(super) struct EndedDrill {
    /// Its uplink is what it was.
    pub(super) has_returned: bool,
}

impl Drills {
    /// Of an engine that starts now.
    pub(super) fn new(started: Moment) -> Self {
        Self {
            running: None,
            orders: VecDeque::new(),
            started,
            schedule: DrillSchedule::default(),
        }
    }

    /// The uplink whose path fails on purpose, or did just now.
    pub(super) fn uplink(&self) -> Option<UplinkId> {
        self.running.as_ref().map(|drill| drill.id)
    }

    /// The same, as soon as its state is not its own.
    pub(super) fn failing(&self) -> Option<UplinkId> {
        let drill = self.running.as_ref()?;
        drill.before.is_some().then_some(drill.id)
    }

    /// The status, with the uplink whose state is not its own: its path was cut, and it is not yet what it was.
    pub(super) fn shown(&self, mut status: Status) -> Status {
        let place = self.failing().map(UplinkId::index);
        if let Some(uplink) = place.and_then(|place| status.uplinks.get_mut(place)) {
            uplink.in_drill = true;
            uplink.reason.insert_str(0, "in a drill: ");
        }
        status
    }

    /// Whether a drill of an uplink can begin.
    pub(super) fn check(
        &self,
        view: EngineView<'_>,
        uplink: &Uplink,
        now: Moment,
    ) -> Result<(), CommandRefusal> {
        let name = &uplink.settings().name;
        match self.obstacle(view, uplink, now) {
            Some(why) => Err(CommandRefusal::NoDrill {
                uplink: name.clone(),
                why,
            }),
            None => Ok(()),
        }
    }

    /// Why none can begin.
    fn obstacle(&self, view: EngineView<'_>, uplink: &Uplink, now: Moment) -> Option<String> {
        if let Some(running) = &self.running {
            return Some(format!("a drill of {} is going on", running.uplink));
        }
        let ready = self.started + view.settings.drill.after_start;
        if now < ready {
            let left = seconds(ready.since(now));
            return Some(format!("the agent has only just started; in {left}"));
        }
        let default_group = view.groups.default_group();
        if default_group.by_hand().is_some() {
            return Some("the traffic was switched by hand: `auto` first".to_owned());
        }
        let carriers = default_group.carriers(view.uplinks);
        if carriers != [uplink.id()] {
            let carriers = names(&carriers, view.uplinks);
            let carriers: Vec<_> = carriers.iter().map(UplinkName::as_str).collect();
            let carriers = carriers.join(", ");
            return Some(format!(
                "the traffic goes by {carriers}, and a drill needs one uplink that carries all of it"
            ));
        }
        if view.fitness(uplink) < Fitness::Poor || uplink.candidate().is_suspected {
            let state = in_state(uplink.state(), ": ", &uplink.reason());
            return Some(format!("it does not work as it is ({state})"));
        }
        let others = view.uplinks.iter().filter(|one| one.id() != uplink.id());
        let interface = &uplink.settings().interface;
        let mut beside = others.filter(|one| one.settings().interface == *interface);
        if let Some(beside) = beside.next() {
            let beside = &beside.settings().name;
            return Some(format!("{beside} goes by {interface} as well"));
        }
        let is_ready = |other: &Uplink| view.fitness(other) >= Fitness::Poor;
        lacks_standby(view.uplinks, uplink.id(), is_ready)
    }

    /// Begins one that can begin.
    pub(super) fn begin(&mut self, uplink: &Uplink, lasts: Duration, now: Moment) {
        let settings = uplink.settings();
        let probed = settings.probe.targets.iter();
        self.orders.push_back(DrillOrder::Cut {
            uplink: settings.name.clone(),
            interface: settings.interface.clone(),
            targets: probed.filter_map(Target::address).collect(),
        });
        self.running = Some(Box::new(Drill::of(uplink, lasts, now)));
    }

    /// The uplink whose drill this time would begin.
    pub(super) fn due_at(
        &self,
        view: EngineView<'_>,
        time: ZonedTime,
        now: Moment,
    ) -> Option<UplinkId> {
        let mut schedule = self.schedule;
        let is_due = schedule.is_due(view.settings.drill.schedule, time, now);
        let leader = view.groups.default_group().leader().filter(|_| is_due)?;
        let is_hindered = self.obstacle(view, view.uplink(leader)?, now).is_some();
        (!is_hindered).then_some(leader)
    }

    /// Takes what the wall clock shows, and begins a drill that is due; the event of one that cannot begin.
    pub(super) fn at_time(
        &mut self,
        view: EngineView<'_>,
        time: ZonedTime,
        now: Moment,
    ) -> Option<Event> {
        let settings = view.settings.drill;
        if !self.schedule.is_due(settings.schedule, time, now) {
            return None;
        }
        let leader = view.groups.default_group().leader();
        let uplink = leader.and_then(|leader| view.uplink(leader));
        let uplink = uplink.or(view.uplinks.first())?;
        let lasts = DrillSpan::default().span();
        let obstacle = self.obstacle(view, uplink, now);
        let Some(why) = obstacle.or_else(|| cannot_pay(view.uplinks, uplink.id(), lasts, now))
        else {
            self.begin(uplink, lasts, now);
            return None;
        };
        let mut skipped = Drill::of(uplink, lasts, now);
        skipped.skipped = Some(why);
        Some(skipped.event(settings, now))
    }

    /// The uplink whose path fails on purpose, or is about to.
    pub fn running(&self) -> Option<&UplinkName> {
        self.running.as_ref().map(|drill| &drill.uplink)
    }

    /// When the next drill is due by itself; none while the clock is not known.
    pub fn next(&self, settings: DrillSettings) -> Option<LocalMinute> {
        self.schedule.next(settings.schedule)
    }

    /// The event of a drill that goes on at the end of the agent.
    pub fn at_stop(&self, settings: DrillSettings, now: Moment) -> Option<Event> {
        let mut drill = self.running.as_deref()?.clone();
        drill.aborted.get_or_insert("the agent stops".to_owned());
        Some(drill.event(settings, now))
    }

    /// Takes what the daemon reports of it.
    pub(super) fn heard(&mut self, news: DrillNews, uplinks: &mut [Uplink], now: Moment) {
        let Some(drill) = &mut self.running else {
            return;
        };
        let uplink = &mut uplinks[drill.id.index()];
        match news {
            DrillNews::Cut => {
                if let DrillStage::Readying { .. } = drill.stage {
                    drill.before = Some(uplink.before_drill());
                    let until = now + drill.lasts;
                    drill.stage = DrillStage::Cut { since: now, until };
                }
            }
            DrillNews::Abort(why) => self.abort(why, now),
            DrillNews::Whole(measured) => {
                drill.measured = Some(measured);
                uplink.probe_now(now);
                // At most: what was sent before the switch went by the path that failed.
                let cost = stream_cost(measured.sent);
                let carried =
                    |uplink: &&mut Uplink| drill.carried_by.contains(&uplink.settings().name);
                let carried = uplinks.iter_mut().filter(carried);
                { carried.filter_map(Uplink::purse_mut) }.for_each(|purse| purse.spend(cost));
                self.end(now);
            }
        }
    }

    /// It ends early.
    fn abort(&mut self, why: String, now: Moment) {
        if let Some(drill) = &mut self.running {
            drill.aborted.get_or_insert(why);
            self.end(now);
        }
    }

    /// The path is to be whole again.
    fn end(&mut self, now: Moment) {
        let Some(drill) = &mut self.running else {
            return;
        };
        let until = now + RETURN_WITHIN;
        match drill.stage {
            DrillStage::Readying { .. } => {}
            DrillStage::Cut { since, .. } => drill.failed_for = now.since(since),
            DrillStage::Ending { .. } => return,
        }
        drill.stage = DrillStage::Ending { until };
        self.orders.push_back(DrillOrder::Mend);
    }

    /// It ends early, and its uplink is at once what it was: an operator decides otherwise, or the configuration is
    /// another.
    pub(super) fn abandon(&mut self, why: String, uplinks: &mut [Uplink], now: Moment) {
        self.abort(why, now);
        if let Some(drill) = &mut self.running
            && let Some(before) = drill.before.take()
        {
            uplinks[drill.id.index()].after_drill(before, now);
        }
    }

    /// The link of an uplink is like this now: another one than before ends its drill.
    pub(super) fn attached(&mut self, uplink: &mut Uplink, link: &Attachment, now: Moment) {
        if let Some(drill) = &mut self.running
            && drill.id == uplink.id()
            && uplink.attachment() != link
        {
            if let Some(before) = drill.before.take() {
                uplink.recall(before.learnt());
            }
            self.abort("its link has changed".to_owned(), now);
        }
    }

    /// The counters of an uplink as they would be if nothing arrived: what is dropped is counted, too.
    pub(super) fn as_if_cut(&mut self, uplink: &UplinkName, counters: Counters) -> Counters {
        let Some(drill) = &mut self.running else {
            return counters;
        };
        match drill.stage {
            DrillStage::Cut { .. } if drill.uplink == *uplink => {
                let begun = drill.counters.get_or_insert(counters);
                Counters {
                    rx_packets: begun.rx_packets,
                    rx_bytes: begun.rx_bytes,
                    ..counters
                }
            }
            DrillStage::Readying { .. } | DrillStage::Cut { .. } | DrillStage::Ending { .. } => {
                counters
            }
        }
    }

    /// Takes out what is no news of a drilled uplink, and what would be held against it.
    #[inline]
    pub(super) fn hush(&self, out: &mut Outbox) {
        let drill = self.running.as_ref();
        if let Some(drill) = drill.filter(|drill| drill.before.is_some()) {
            drill.hush(out);
        }
    }

    /// Goes on; the drill that is over, if one is. `carriers`: what carries the default group.
    pub(super) fn advance(
        &mut self,
        uplinks: &mut [Uplink],
        carriers: &[UplinkName],
        now: Moment,
    ) -> Option<EndedDrill> {
        let drill = self.running.as_mut()?;
        match drill.stage {
            DrillStage::Readying { until } if now >= until => {
                self.abort("its stream does not begin".to_owned(), now);
                None
            }
            DrillStage::Readying { .. } => None,
            DrillStage::Cut { until, .. } => {
                if !carriers.contains(&drill.uplink) {
                    drill.carried_by = carriers.to_vec();
                }
                let drilled = drill.id;
                let is_ready = |other: &Uplink| other.candidate().fitness() > Fitness::Unusable;
                if let Some(why) = lacks_standby(uplinks, drilled, is_ready) {
                    self.abort(why, now);
                } else if now >= until {
                    self.end(now);
                }
                None
            }
            DrillStage::Ending { until } => {
                let is_late = now >= until;
                if drill.measured.is_none() && !is_late {
                    return None;
                }
                let uplink = &mut uplinks[drill.id.index()];
                let answers = uplink.candidate().fitness() > Fitness::Unusable;
                if !answers && drill.before.is_some() && !is_late {
                    return None;
                }
                match drill.before.take() {
                    Some(before) if answers => uplink.after_drill(before, now),
                    Some(before) => uplink.recall(before.learnt()),
                    None => {}
                }
                if !answers && uplink.state() != State::Disabled {
                    uplink.fail_after_drill(now);
                }
                Some(EndedDrill {
                    has_returned: answers,
                })
            }
        }
    }

    /// The events of a drill that is over, when the traffic is where it belongs.
    pub(super) fn finish(
        &mut self,
        ended: &EndedDrill,
        uplinks: &[Uplink],
        settings: DrillSettings,
        now: Moment,
    ) -> Vec<Event> {
        let Some(drill) = self.running.take() else {
            return Vec::new();
        };
        let uplink = &uplinks[drill.id.index()];
        let mut events = Vec::new();
        if !ended.has_returned && uplink.state() != State::Disabled {
            // It was not announced as down while that was on purpose. Maintenance was.
            events.push(Event {
                at: now,
                change: Change::Uplink {
                    uplink: drill.uplink.clone(),
                    interface: drill.interface.clone(),
                    from: State::Up,
                    to: uplink.state(),
                    broken_at: None,
                },
                reason: format!("does not answer after a drill: {}", uplink.reason()),
            });
        }
        events.push(drill.event(settings, now));
        events
    }

    /// When to go on at the latest.
    pub(super) fn next_timeout(&self) -> Option<Moment> {
        self.running.as_ref().map(|drill| match drill.stage {
            DrillStage::Readying { until }
            | DrillStage::Cut { until, .. }
            | DrillStage::Ending { until } => until,
        })
    }

    /// What the daemon is to do.
    pub(super) fn take_order(&mut self) -> Option<DrillOrder> {
        self.orders.pop_front()
    }
}

impl Drill {
    fn hush(&self, out: &mut Outbox) {
        let is_own = |change: &Change| {
            let is_of_state = matches!(change, Change::Uplink { .. } | Change::Target { .. });
            is_of_state && change.uplink() == Some(&self.uplink)
        };
        out.events.retain(|event| !is_own(&event.change));
        out.turns.retain(|turn| turn.uplink != self.id);
    }

    fn of(uplink: &Uplink, lasts: Duration, now: Moment) -> Self {
        let until = now + READY_WITHIN;
        Self {
            id: uplink.id(),
            uplink: uplink.settings().name.clone(),
            interface: uplink.settings().interface.clone(),
            lasts,
            stage: DrillStage::Readying { until },
            before: None,
            counters: None,
            failed_for: Duration::ZERO,
            carried_by: Vec::new(),
            measured: None,
            aborted: None,
            skipped: None,
        }
    }
}

/// Why no other uplink could take over.
fn lacks_standby(
    uplinks: &[Uplink],
    drilled: UplinkId,
    is_ready: impl Fn(&Uplink) -> bool,
) -> Option<String> {
    let others = uplinks.iter().filter(|other| other.id() != drilled);
    if { others.clone() }.any(|other| is_ready(other) || other.may_be_woken()) {
        return None;
    }
    let states = others.map(|other| {
        let state = in_state(other.state(), ": ", &other.reason());
        format!("{} {state}", other.settings().name)
    });
    let states = states.collect::<Vec<_>>().join("; ");
    let what = "no other uplink is usable";
    Some(if states.is_empty() {
        what.to_owned()
    } else {
        format!("{what}: {states}")
    })
}
