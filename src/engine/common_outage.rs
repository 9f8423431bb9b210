//! When several uplinks fall silent at once.

use crate::engine::candidate::SPENT;
use crate::engine::ids::UplinkId;
use crate::engine::state::State;
use crate::engine::uplink::Uplink;

/// The carrier is down, and these have not answered since either, though they are not yet called down.
/// A target that all of them probe may be down, or all of them are: to move there would be a guess.
pub fn as_silent_as(carrier: &Uplink, uplinks: &[Uplink]) -> Vec<UplinkId> {
    let silent_since = carrier.silent_since_round();
    let Some(since) = silent_since.filter(|_| carrier.state() == State::Down) else {
        return Vec::new();
    };
    let others = uplinks.iter();
    let silent = others.filter(|uplink| uplink.is_alive_but_silent_since(since));
    silent.map(Uplink::id).collect()
}

/// Why no uplink can carry the traffic. One target that no uplink hears is as likely to have died as all
/// uplinks at once.
pub fn explain_no_usable(uplinks: &[Uplink]) -> String {
    let routes = "no uplink is usable: the routes stay as they are, probing goes on";
    if let Some(off) = uplinks.iter().find(|uplink| uplink.is_off()) {
        let name = &off.settings().name;
        return format!("no uplink is usable, probing goes on; {name}: {SPENT}");
    }
    let silent = uplinks.iter().filter(|u| u.silent_since_round().is_some());
    let mut asked = silent.map(|uplink| &*uplink.settings().probe.targets);
    match (asked.next(), asked.next()) {
        (Some([only]), Some(second)) if second == [only.clone()] && asked.all(|t| t == second) => {
            format!("{routes}; all were asked for {only} alone, which may itself be at fault")
        }
        (_, _) => routes.to_owned(),
    }
}
