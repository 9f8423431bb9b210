//! What an engine goes on with: an earlier run, other settings, the time of the wall clock.

use super::Engine;
use super::allowance::AllowanceCount;
use super::drill::Drills;
use super::event::{Change, Event};
use super::input::EarlierRun;
use super::reload::uplinks_of;
use super::settings::Settings;
use super::uplink::{AllowanceNews, Uplink};
use super::view::EngineView;
use crate::units::sorted::SortedMap;
use crate::units::{Moment, UplinkName, ZonedTime};

impl Engine {
    /// Goes on where an earlier run ended.
    pub(super) fn resume(&mut self, earlier: EarlierRun, now: Moment) {
        self.groups.adopt(&earlier, &self.uplinks, now);
        if let Some(drill) = earlier.drill {
            let (uplinks, carriers) = (&self.uplinks, self.carriers());
            let told = Drills::end_earlier(drill, uplinks, carriers, self.settings.drill, now);
            self.outbox.events.extend(told);
        }
        self.routes.adopt(earlier.remembered);
        self.stale_flows.kept.adopt(earlier.kept, now);
        self.recall_allowances(earlier.allowances);
        for issued in earlier.chosen {
            self.restore(issued, now);
        }
        for (name, learner) in earlier.learnt {
            self.on(&name, |one, _| one.recall(learner));
        }
        for (name, left) in earlier.unspent {
            let uplink = self.id(&name).map(|id| &mut self.uplinks[id.index()]);
            if let Some(purse) = uplink.and_then(Uplink::purse_mut) {
                purse.recall(left);
            }
        }
    }

    pub(super) fn reload(&mut self, settings: Settings, now: Moment) {
        let why = "the configuration was read again";
        self.drills.abandon(why.to_owned(), &mut self.uplinks, now);
        let carrying = self.groups.default_group().carrying(&self.uplinks);
        let counted = self.allowances();
        let (wanted, settings) = settings.split();
        let old = std::mem::take(&mut self.uplinks);
        let (uplinks, renumbering) = uplinks_of(wanted, &settings, old, now);
        (self.settings, self.uplinks) = (settings, uplinks);
        self.clock.adapt(&self.settings, now);
        self.recall_allowances(counted);
        let damping = self.settings.failover.damping;
        self.flaps.adapt(damping, |old| renumbering.new_id(old));
        self.stale_flows.rename(&renumbering.renamed);
        let groups = &mut self.groups;
        let moved = groups.adapt(&self.settings, &self.uplinks, carrying, &renumbering, now);
        let reloaded = Event::new(now, Change::ConfigReloaded, why.to_owned());
        self.outbox.events.push(reloaded);
        self.outbox.events.extend(moved);
    }

    /// Takes what the wall clock shows.
    pub(super) fn take_time(&mut self, time: ZonedTime, now: Moment) {
        self.clock.take(time, &self.settings, now);
        self.is_stale |= self.settings.has_hours();
        let view = EngineView::of(
            self.clock,
            &self.settings,
            &self.uplinks,
            &self.groups,
            &self.flaps,
        );
        let skipped = self.drills.at_time(view, time, now);
        self.outbox.events.extend(skipped);
        for uplink in &mut self.uplinks {
            let news = AllowanceNews::Time(time);
            uplink.take_allowance_news(news, now, &mut self.outbox);
        }
    }

    fn recall_allowances(&mut self, counted: SortedMap<UplinkName, AllowanceCount>) {
        for (name, count) in counted {
            if let Some(id) = self.id(&name) {
                self.uplinks[id.index()].recall_allowance(count);
            }
        }
    }
}
