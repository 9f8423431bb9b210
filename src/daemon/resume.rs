//! Resumption of an earlier run, by the routes that the kernel still holds and the files that it left.

use super::clock::Clock;
use super::decisions::Decisions;
use super::kept_state::KeptState;
use crate::config::Config;
use crate::engine::input::{EarlierDrill, EarlierRun, Input, KeptSpan, SharedFamily};
use crate::engine::settings::Settings;
use crate::memory::Memory;
use crate::routing::{Family, Observed, Path, RoutePlace, RuleStage};
use crate::units::UplinkName;
use crate::units::sorted::{SortedMap, SortedSet};

/// Resumes an earlier run; what has carried the default group since then.
pub(super) fn resume(
    decisions: &mut Decisions,
    state: &mut KeptState,
    config: &Config,
    observed: &Observed,
    clock: Clock,
) -> Vec<UplinkName> {
    let memory = Memory::recall(&config.agent.state_dir).unwrap_or_else(|error| {
        let why = format!("{:#}", anyhow::Error::from(error));
        tracing::warn!(why, "starts without what an earlier run learnt");
        None
    });
    let now = clock.wall().at(clock.now());
    let remembered = memory.as_ref().and_then(|m| m.recent_carrier(now.0));
    let drilled = memory.as_ref().and_then(|m| m.recent_drill(now.0));
    let is_configured = |name: &&UplinkName| {
        let mut uplinks = config.engine.uplinks.iter();
        uplinks.any(|uplink| uplink.name == **name)
    };
    let drilled = drilled.filter(is_configured);
    let found = default_group(&config.engine, observed, remembered.cloned());
    let place = config.engine.numbering.carrier_place();
    let is_held = !found_carrying(&config.engine, place, observed).is_empty();
    let mut carriers = match drilled.filter(|_| !is_held) {
        // The routes were removed, and the first ones lead here.
        Some(uplink) => vec![uplink.clone()],
        None => carriers(&found),
    };
    carriers.retain(|uplink| is_configured(&uplink));
    let ended_in = memory.as_ref().filter(|_| !state.is_observing);
    let ended_in = ended_in.and_then(|m| Some((m.drilled.as_ref().filter(is_configured)?, m)));
    let drill = ended_in.map(|(uplink, memory)| EarlierDrill {
        uplink: uplink.clone(),
        carried_by: { carriers.iter() }
            .filter(|one| *one != uplink)
            .cloned()
            .collect(),
        is_announced: memory.has_stopped,
    });
    let mut earlier = match drilled {
        Some(uplink) => before_drill(uplink),
        None => goes_on(found),
    };
    earlier.drill = drill;
    earlier.shared.extend(groups(&config.engine, observed));
    earlier.remembered = remembered_flows(&config.engine, observed);
    earlier.chosen = state.recall_choices(config);
    earlier.allowances = state.allowances.recall(&config.agent.state_dir);
    if let Some(mut memory) = memory {
        memory.fade(now.0);
        if memory.is_of_older_form() {
            tracing::info!(
                "an earlier version learnt how long silences last from outages too; they are learnt anew"
            );
        }
        earlier.learnt = memory.learnt;
        earlier.unspent = memory.unspent;
        // Not of before a boot.
        let kept = memory.kept_flows.into_iter();
        let is_led = |kept: &KeptSpan| {
            let key = (kept.uplink.clone(), kept.family);
            earlier.remembered.contains(&key)
        };
        earlier.kept = kept.filter(is_led).collect();
    }
    decisions.tell(Input::Resume(Box::new(earlier)));
    let chosen = decisions.engine.choices();
    state.note_choices(chosen, None, &config.agent.state_dir);
    carriers
}

/// Each uplink to which the kernel leads traffic of the default group, the leader first.
fn carriers(found: &EarlierRun) -> Vec<UplinkName> {
    let shared = found.shared.iter().flat_map(|shared| &shared.uplinks);
    let mut carriers = Vec::new();
    for uplink in found
        .carrying
        .iter()
        .chain(found.apart.values())
        .chain(shared)
    {
        if !carriers.contains(uplink) {
            carriers.push(uplink.clone());
        }
    }
    carriers
}

/// The kernel leads the traffic where a drill had moved it, whose path is whole by now.
fn before_drill(uplink: &UplinkName) -> EarlierRun {
    tracing::info!(%uplink, "carried the traffic before a drill that did not come to its end; goes on with it");
    EarlierRun {
        carrying: Some(uplink.clone()),
        ..EarlierRun::default()
    }
}

/// The traffic goes on as the kernel leads it.
fn goes_on(found: EarlierRun) -> EarlierRun {
    if let Some(uplink) = &found.carrying {
        tracing::info!(%uplink, "carried the traffic before; goes on with it");
    }
    for (family, uplink) in &found.apart {
        tracing::info!(%uplink, %family, "carried it before; goes on with it");
    }
    found
}

/// What the kernel holds for the default group.
fn default_group(
    settings: &Settings,
    observed: &Observed,
    remembered: Option<UplinkName>,
) -> EarlierRun {
    let mut earlier = EarlierRun::default();
    let found = found_carrying(settings, settings.numbering.carrier_place(), observed);
    let first = |found: &[UplinkName]| found.first().cloned();
    let is_found = |uplink: &UplinkName| {
        found.is_empty() || found.values().any(|found| found.contains(uplink))
    };
    let leader = remembered.filter(is_found);
    let leader = leader.or_else(|| found.values().find_map(|found| first(found)));
    for (family, uplinks) in found {
        let is_led = leader
            .as_ref()
            .is_some_and(|leader| uplinks.contains(leader));
        if let Some(uplink) = first(&uplinks).filter(|_| !is_led) {
            earlier.apart.insert(family, uplink);
        }
        if uplinks.len() > 1 {
            earlier.shared.push(SharedFamily {
                group: None,
                family,
                uplinks,
            });
        }
    }
    earlier.carrying = leader;
    earlier
}

/// What it holds for each group of the configuration.
fn groups(settings: &Settings, observed: &Observed) -> Vec<SharedFamily> {
    let mut shared = Vec::new();
    for (position, group) in (0..).zip(&settings.groups) {
        let place = settings.numbering.group_place(position);
        for (family, uplinks) in found_carrying(settings, place, observed) {
            shared.push(SharedFamily {
                group: Some(group.name.clone()),
                family,
                uplinks,
            });
        }
    }
    shared
}

/// The uplinks to which the kernel leads the flows that are remembered as theirs.
fn remembered_flows(settings: &Settings, observed: &Observed) -> SortedSet<(UplinkName, Family)> {
    let numbering = &settings.numbering;
    let stage = numbering.priority_of(RuleStage::FlowMark);
    let rules = observed.rules.iter().filter(|rule| rule.priority == stage);
    let found = rules.filter_map(|rule| {
        let mut uplinks = (0..).zip(&settings.uplinks);
        let is_led = |position| numbering.uplink_table(position) == rule.table;
        let (_, uplink) = uplinks.find(|(position, _)| is_led(*position))?;
        Some((uplink.name.clone(), rule.family))
    });
    found.collect()
}

/// Through which uplinks an earlier run left the traffic of each family that is led by a place.
fn found_carrying(
    settings: &Settings,
    place: RoutePlace,
    observed: &Observed,
) -> SortedMap<Family, Vec<UplinkName>> {
    let carried = observed.own_shares(place).into_iter();
    let found = carried.map(|(family, paths)| {
        let uplinks = paths.into_iter();
        let uplinks = uplinks.filter_map(|path| uplink_of(settings, &path, observed));
        (family, uplinks.collect::<Vec<_>>())
    });
    found.filter(|(_, uplinks)| !uplinks.is_empty()).collect()
}

/// The uplink whose path this is; the interface may have several.
fn uplink_of(settings: &Settings, path: &Path, observed: &Observed) -> Option<UplinkName> {
    let link = observed.links.get(&path.index)?;
    (0..)
        .zip(&settings.uplinks)
        .filter(|(_, uplink)| uplink.interface == link.name)
        .max_by_key(|(position, _)| {
            let own = observed.own_paths(settings.numbering.uplink_place(*position));
            own.values()
                .any(|own| (own.index, own.gateway) == (path.index, path.gateway))
        })
        .map(|(_, uplink)| uplink.name.clone())
}
