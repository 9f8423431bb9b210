//! The desired state of the kernel, and its observed state.

use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::watch;
use tokio::time::timeout;

use super::reverse_path::StrictFilters;
use crate::config::Config;
use crate::control::socket::claim;
use crate::engine::action::ProbeOrder;
use crate::engine::input::Input;
use crate::engine::settings::{Settings, UplinkSettings};
use crate::engine::status::{FlowMemoryStatus, FlowMemoryWord, RoutesState, Status};
use crate::kernel::{
    self, CounterReader, FlowMemoryState, Kernel, KernelAccess, KernelReport, RefusedOperation,
    Restored, Wanted, boot_id,
};
use crate::probe::{ProbeExit, ProbeJob};
use crate::routing::attach::attach;
use crate::routing::nexthop::leads_alike;
use crate::routing::{
    Attachment, DeadEnd, Desired, Family, FlowMemory, Observed, Route, RoutingMode,
};
use crate::units::sorted::{SortedMap, SortedSet};
use crate::units::{BootId, Counters, InterfaceName, InterfaceReading, Moment, UplinkName};

/// How long a clean stop waits for the kernel.
const STOP_WITHIN: Duration = Duration::from_secs(5);
/// How long the routes count as contested after other software changed them once more.
const CONTESTED_FOR: Duration = Duration::from_secs(30);

/// The kernel, as the loop knows it.
pub(super) struct KernelSide {
    kernel: Kernel,
    /// None where the kernel does not show them: traffic is no evidence then.
    counters: Option<CounterReader>,
    boot: BootId,
    wanted: watch::Sender<Arc<Wanted>>,
    /// The newest revision of the desired state that the kernel holds.
    applied: u64,
    refused: SortedSet<String>,
    contested: Option<Moment>,
    /// The interface of ours whose default route from another program goes before ours.
    rival: Option<InterfaceName>,
    /// The dead end of another program that lookups end in.
    barrier: Option<DeadEnd>,
    attachments: SortedMap<UplinkName, Attachment>,
    observed: Option<Arc<Observed>>,
    filters: StrictFilters,
    /// The uplinks whose flows are remembered, as the engine knows it.
    remembering: SortedSet<(UplinkName, Family)>,
    is_observing: bool,
    /// The claim to our protocol number: two agents would remove each other's routes.
    _claim: Option<UnixListener>,
}

impl KernelSide {
    pub(super) fn start(config: &Config, is_observing: bool) -> anyhow::Result<Self> {
        let claimed = (!is_observing).then(|| claim(config.engine.numbering.protocol));
        let claimed = claimed.transpose()?.flatten();
        let (wanted, to_kernel) = watch::channel(Arc::new(wanted(config, 0, None)));
        let access = if is_observing {
            KernelAccess::Observe
        } else {
            KernelAccess::Write
        };
        let counters = CounterReader::open().inspect_err(|error| {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            tracing::warn!(%error, cause, "the traffic of the uplinks is no evidence");
        });
        Ok(Self {
            kernel: kernel::start(to_kernel, access)?,
            counters: counters.ok(),
            boot: boot_id(),
            wanted,
            applied: 0,
            refused: SortedSet::new(),
            contested: None,
            rival: None,
            barrier: None,
            attachments: SortedMap::new(),
            observed: None,
            filters: StrictFilters::default(),
            remembering: SortedSet::new(),
            is_observing,
            _claim: claimed,
        })
    }

    /// The next report of the kernel's tasks.
    pub(super) async fn report(&mut self) -> Option<KernelReport> {
        self.kernel.reports.recv().await
    }

    /// The kernel holds a revision, but for the routes that it refused.
    pub(super) fn applied(&mut self, revision: u64, refused: &[RefusedOperation]) {
        self.applied = revision;
        let said = std::mem::take(&mut self.refused);
        for refusal in refused {
            let line = format!("{}: {}", refusal.operation, refusal.reason);
            if !said.contains(&line) {
                tracing::warn!(
                    operation = refusal.operation,
                    why = refusal.reason,
                    "refused by the kernel"
                );
            }
            self.refused.insert(line);
        }
    }

    /// Other software changed routes or rules of ours.
    pub(super) fn reasserted(&mut self, restored: &Restored, now: Moment) {
        if restored.is_again {
            self.contested = Some(now);
        }
        if let [what, others @ ..] = restored.what.as_slice() {
            let more = Some(others.len()).filter(|more| *more > 0);
            tracing::warn!(
                what,
                more,
                "others changed what is ours in the kernel; put back"
            );
        }
    }

    /// Sets the desired state.
    pub(super) fn want(&mut self, config: &Config, desired: Option<Desired>) {
        let wanted = wanted(config, self.revision() + 1, desired);
        self.wanted.send_replace(Arc::new(wanted));
    }

    /// Has the kernel hold the same on the interfaces of a changed configuration; what was seen, if that
    /// is still all there is to see.
    pub(super) fn want_elsewhere(&mut self, config: &Config) -> Option<Arc<Observed>> {
        let before = self.wanted.borrow().clone();
        self.want(config, before.desired.clone());
        // Other interfaces have to be looked at first: what was seen does not show their routes.
        let is_same_scope = before.interfaces == self.wanted.borrow().interfaces;
        self.observed.clone().filter(|_| is_same_scope)
    }

    /// The newest revision of the desired state.
    pub(super) fn revision(&self) -> u64 {
        self.wanted.borrow().revision
    }

    /// The newest revision that needs no more waiting for.
    pub(super) fn held_revision(&self) -> u64 {
        if self.is_observing {
            u64::MAX
        } else {
            self.applied
        }
    }

    /// The kernel was looked at.
    pub(super) fn is_known(&self) -> bool {
        self.observed.is_some()
    }

    /// Takes the observed state; returns the attachments that changed.
    pub(super) fn observe(&mut self, settings: &Settings, observed: Arc<Observed>) -> Vec<Input> {
        let mut inputs = Vec::new();
        for (position, uplink) in (0..).zip(&settings.uplinks) {
            let attachment = attachment(settings, (position, uplink), &observed);
            let before = self.attachments.get(&uplink.name);
            if before != Some(&attachment) {
                let uplink = uplink.name.clone();
                self.attachments.insert(uplink.clone(), attachment.clone());
                inputs.push(Input::Attachment { uplink, attachment });
            }
        }
        self.filters.look(settings, &self.attachments);
        self.watch_rival(settings, &observed);
        self.watch_barrier(settings, &observed);
        self.observed = Some(observed);
        inputs
    }

    /// Logs once when a foreign default route carries the traffic instead of ours.
    fn watch_rival(&mut self, settings: &Settings, observed: &Observed) {
        let rival = observed.rival(&settings.numbering).cloned();
        if let Some(interface) = rival.as_ref().filter(|_| rival != self.rival) {
            tracing::warn!(
                %interface,
                ours = %settings.numbering.metric,
                "a default route of others has a lower metric than ours: the traffic follows it"
            );
        }
        self.rival = rival;
    }

    /// Logs once when our lookups end in a dead end of another program.
    fn watch_barrier(&mut self, settings: &Settings, observed: &Observed) {
        let barrier = observed.barrier(&settings.numbering);
        if let Some(dead_end) = barrier.filter(|_| barrier != self.barrier) {
            tracing::warn!(
                family = %dead_end.family,
                metric = %dead_end.metric,
                "a default route in main leads nowhere and goes before one of an uplink: it stops the probes of those \
                 behind it, and all traffic that finds no default route before it"
            );
        }
        self.barrier = barrier;
    }

    /// What is known of an uplink's attachment no longer holds; none: of all.
    pub(super) fn forget_attachment(&mut self, uplink: Option<&UplinkName>) {
        match uplink {
            Some(uplink) => drop(self.attachments.remove(uplink)),
            None => self.attachments.clear(),
        }
    }

    /// What has gone through an uplink's interface.
    pub(super) fn counters(&mut self, uplink: &UplinkName) -> Option<Counters> {
        let index = self.attachments.get(uplink)?.index?;
        let link = self.observed.as_ref()?.links.get(&index)?;
        self.counters.as_mut()?.read(&link.name)
    }

    /// The same of all uplinks, by one reading.
    pub(super) fn all_counters(&mut self) -> SortedMap<UplinkName, Counters> {
        let (Some(reader), Some(observed)) = (&mut self.counters, &self.observed) else {
            return SortedMap::new();
        };
        if reader.read_table().is_none() {
            return SortedMap::new();
        }
        let attachments = self.attachments.iter();
        let counters = attachments.filter_map(|(uplink, attachment)| {
            let link = observed.links.get(&attachment.index?)?;
            Some((uplink.clone(), reader.last_read(&link.name)?))
        });
        counters.collect()
    }

    /// The counters of an uplink's interface, with which interface it is.
    pub(super) fn reading(
        &self,
        uplink: &UplinkName,
        counters: Counters,
    ) -> Option<InterfaceReading> {
        let newest = self.observed.as_ref()?.links.keys().max()?;
        Some(InterfaceReading {
            counters,
            index: self.attachments.get(uplink)?.index?,
            newest: *newest,
            boot: self.boot,
        })
    }

    /// How often the kernel had more events than its buffer holds.
    pub(super) fn overruns(&self) -> u32 {
        self.kernel.overruns()
    }

    /// A probe with the interface and the mark by which it leaves.
    pub(super) fn job(&self, settings: &Settings, probe: ProbeOrder) -> Option<ProbeJob> {
        let (position, uplink) = place_of(settings, &probe.uplink)?;
        let mut exit = self.exit_at(settings, position, uplink)?;
        if let Some(hop) = probe.hop {
            exit.mark = settings.numbering.hop_mark(position, hop);
        }
        Some(ProbeJob {
            probe,
            exit,
            resolvers: uplink.probe.resolvers.clone(),
        })
    }

    /// The interface and the mark by which probes of an uplink leave.
    pub(super) fn exit(&self, settings: &Settings, uplink: &UplinkName) -> Option<ProbeExit> {
        let (position, uplink) = place_of(settings, uplink)?;
        self.exit_at(settings, position, uplink)
    }

    fn exit_at(
        &self,
        settings: &Settings,
        position: u32,
        uplink: &UplinkSettings,
    ) -> Option<ProbeExit> {
        Some(ProbeExit {
            interface: uplink.interface.clone(),
            index: self.attachments.get(&uplink.name)?.index?,
            mark: settings.numbering.uplink_mark(position),
        })
    }

    /// The uplinks whose flows are remembered, if they are others than before.
    pub(super) fn remembering(&mut self, settings: &Settings) -> Option<Input> {
        let state = self.kernel.flow_memory();
        let wanted = self.wanted.borrow().flow_memory.clone();
        let in_memory = |uplink: &UplinkSettings| {
            let mut known = wanted.iter().flat_map(|memory| &memory.uplinks);
            known.any(|(interface, _)| *interface == uplink.interface)
        };
        let mut now = SortedSet::new();
        for uplink in settings.uplinks.iter().filter(|uplink| in_memory(uplink)) {
            let passes = self.filters.passes_flows(&uplink.interface);
            let sees = |family| family != Family::Ipv4 || passes;
            let families = Family::ROUTED.into_iter();
            let families = families.filter(|family| state.remembers(*family) && sees(*family));
            now.extend(families.map(|family| (uplink.name.clone(), family)));
        }
        let has_changed = now != self.remembering;
        self.remembering.clone_from(&now);
        has_changed.then_some(Input::FlowsRemembered(now))
    }

    /// The status, with what the kernel does to uplinks that do not answer.
    pub(super) fn with_remarks(&self, mut status: Status) -> Status {
        let uplinks = status.uplinks.iter_mut();
        uplinks.for_each(|uplink| self.filters.remark(uplink));
        status
    }

    /// Whether flows are remembered, and why not all of them.
    pub(super) fn flow_memory(&self, settings: &Settings) -> FlowMemoryStatus {
        let off = |reason: &str| FlowMemoryStatus {
            state: FlowMemoryWord::Off,
            reason: Some(reason.to_owned()),
        };
        if settings.numbering.mode == RoutingMode::Main {
            return off("routing.mode is \"main\"");
        } else if settings.numbering.flow_mask.is_none() {
            return off("routing.flow_memory is \"off\"");
        } else if self.is_observing {
            return off("the agent only observes");
        }
        let (state, reasons) = match self.kernel.flow_memory() {
            FlowMemoryState::Off => return off("nothing is decided yet"),
            FlowMemoryState::On { lacks } => {
                let lacks = lacks.map(|lack| lack.to_string());
                let reasons: Vec<_> = lacks.into_iter().chain(self.filters.remedies()).collect();
                (FlowMemoryWord::On, reasons)
            }
            FlowMemoryState::Without(why) => (FlowMemoryWord::Without, vec![why]),
        };
        let reason = Some(reasons.join("; ")).filter(|reason| !reason.is_empty());
        FlowMemoryStatus { state, reason }
    }

    /// Whether the kernel holds what was decided.
    pub(super) fn routes_state(&self, now: Moment) -> RoutesState {
        let is_recent = |at: Moment| now.since(at) < CONTESTED_FOR;
        if self.is_observing {
            RoutesState::Observing
        } else if self.contested.is_some_and(is_recent) {
            RoutesState::Contested
        } else if !self.refused.is_empty() {
            RoutesState::Refused
        } else if self.applied < self.revision() || self.wanted.borrow().desired.is_none() {
            RoutesState::Pending
        } else if self.rival.is_some() || self.barrier.is_some() {
            RoutesState::Overruled
        } else {
            RoutesState::InPlace
        }
    }

    /// What the kernel held when it was last looked at.
    pub(super) fn observed(&self) -> Option<&Observed> {
        self.observed.as_deref()
    }

    /// The kernel was seen to hold the default routes of the active uplinks. What was wanted since then
    /// is not looked for: it has events of its own.
    pub(super) fn holds_default_routes(&self, settings: &Settings, revision: u64) -> bool {
        let wanted = self.wanted.borrow();
        let (Some(desired), Some(observed)) = (&wanted.desired, &self.observed) else {
            return true;
        };
        let numbering = &settings.numbering;
        let groups = (0..).zip(&settings.groups);
        let groups = groups.map(|(place, _)| numbering.group_place(place));
        let places: Vec<_> = groups.chain([numbering.carrier_place()]).collect();
        let is_carrier = |route: &&Route| places.iter().any(|place| place.holds(route));
        // A kernel without nexthop groups holds the same paths, as far as it can.
        let flattened = desired.flattened();
        let held = (desired.routes.iter().chain(&flattened.routes))
            .filter(is_carrier)
            .filter(|wanted| {
                let mut held = observed.routes.iter();
                held.any(|held| {
                    held.is_in_the_place_of(wanted)
                        && leads_alike((held, &observed.nexthops), (wanted, &desired.nexthops))
                })
            });
        let held: Vec<_> = held.collect();
        let mut routes = desired.routes.iter().filter(is_carrier);
        let is_held = |route: &Route| held.iter().any(|held| held.is_in_the_place_of(route));
        self.is_observing || wanted.revision != revision || routes.all(is_held)
    }

    /// Removes all routes and rules of ours, and waits until they are gone.
    pub(super) async fn remove_all(&mut self, config: &Config) -> anyhow::Result<()> {
        let revision = self.revision() + 1;
        let nothing = Wanted {
            flow_memory: None,
            ..wanted(config, revision, Some(Desired::default()))
        };
        self.wanted.send_replace(Arc::new(nothing));
        let removed = async {
            self.wait_for(revision).await?;
            match self.kernel.flow_memory_at(revision).await {
                FlowMemoryState::Off => Ok(()),
                FlowMemoryState::On { .. } => {
                    anyhow::bail!("the table that remembers flows is still there")
                }
                FlowMemoryState::Without(why) => anyhow::bail!(why),
            }
        };
        timeout(STOP_WITHIN, removed)
            .await
            .context("the kernel did not remove our routes and rules in time")?
    }

    async fn wait_for(&mut self, awaited: u64) -> anyhow::Result<()> {
        loop {
            match self.kernel.reports.recv().await {
                Some(KernelReport::Applied {
                    revision, refused, ..
                }) if revision >= awaited => {
                    self.applied(revision, &refused);
                    anyhow::ensure!(
                        refused.is_empty(),
                        "the kernel did not let go of everything"
                    );
                    return Ok(());
                }
                Some(KernelReport::Lost(error)) => return Err(error.into()),
                Some(
                    KernelReport::Applied { .. }
                    | KernelReport::FlowMemory
                    | KernelReport::Observed(_)
                    | KernelReport::Reasserted(_),
                ) => {}
                None => anyhow::bail!("the kernel task has ended"),
            }
        }
    }
}

fn attachment(
    settings: &Settings,
    (position, uplink): (u32, &UplinkSettings),
    observed: &Observed,
) -> Attachment {
    let mut links = observed.links.values();
    let link = links.find(|link| link.name == uplink.interface);
    let own = link.map(|link| observed.held_paths(&settings.numbering, position, link.index));
    attach(link, &uplink.hints(), &own.unwrap_or_default())
}

fn place_of<'a>(settings: &'a Settings, name: &UplinkName) -> Option<(u32, &'a UplinkSettings)> {
    let mut uplinks = (0..).zip(&settings.uplinks);
    uplinks.find(|(_, uplink)| uplink.name == *name)
}

fn wanted(config: &Config, revision: u64, desired: Option<Desired>) -> Wanted {
    let uplinks = config.engine.uplinks.iter();
    let interfaces: Vec<_> = uplinks.map(|uplink| &uplink.interface).collect();
    let numbering = config.engine.numbering;
    Wanted {
        revision,
        desired,
        flow_memory: FlowMemory::new(&numbering, &interfaces),
        interfaces: interfaces.into_iter().cloned().collect(),
        numbering,
    }
}
