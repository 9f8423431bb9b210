//! The drill in which an earlier run ended.

use std::time::Duration;

use super::{Drill, Drills};
use crate::engine::event::cause::SwitchCause;
use crate::engine::event::{Change, Event};
use crate::engine::input::EarlierDrill;
use crate::engine::settings::DrillSettings;
use crate::engine::uplink::Uplink;
use crate::units::{Moment, UplinkName};

impl Drills {
    /// What is to be announced of it: the switch back, if the kernel leads the traffic elsewhere than to `carriers`, and
    /// what came of it.
    pub fn end_earlier(
        earlier: EarlierDrill,
        uplinks: &[Uplink],
        carriers: Vec<UplinkName>,
        settings: DrillSettings,
        now: Moment,
    ) -> Vec<Event> {
        let mut events = Vec::new();
        let has_moved = !earlier.carried_by.is_empty() && earlier.carried_by != carriers;
        if has_moved && carriers.contains(&earlier.uplink) {
            let change = Change::Switch {
                group: None,
                family: None,
                from: earlier.carried_by.clone(),
                to: carriers.clone(),
                active: carriers,
                cause: SwitchCause::Drill,
                outage_ms: None,
            };
            let text = format!("drill: over, the path of {} is whole", earlier.uplink);
            events.push(Event::new(now, change, text));
        }
        let mut known = uplinks.iter();
        let uplink = known.find(|uplink| uplink.settings().name == earlier.uplink);
        if let Some(uplink) = uplink.filter(|_| !earlier.is_announced) {
            let mut drill = Drill::of(uplink, Duration::ZERO, now);
            drill.aborted = Some("the agent was killed".to_owned());
            drill.carried_by = earlier.carried_by;
            events.push(drill.event(settings, now));
        }
        events
    }
}
