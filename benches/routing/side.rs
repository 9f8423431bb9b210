//! The kernel side of the agent as the daemon runs it, driven from the same thread.

use std::fmt::Debug;
use std::net::Ipv6Addr;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tracing::field::{Field, Visit};
use tracing::span;
use tracing::{Event, Metadata, Subscriber};
use uplinkd::kernel::{self, Kernel, KernelAccess, KernelReport, Wanted};
use uplinkd::routing::attach::attach;
use uplinkd::routing::desired::{Carrying, TrafficRoutes, UplinkRoutes, desired};
use uplinkd::routing::{
    Attachment, Desired, Family, FlowMemory, Gateway, Hints, Link, Numbering, Observed,
};
use uplinkd::units::InterfaceName;
use uplinkd::units::sorted::SortedSet;

/// The families that switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Families {
    /// IPv4; IPv6 stays on the first uplink.
    Ipv4,
    /// Both.
    Both,
}

/// How long a switch took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Switch {
    /// Until the kernel acknowledged the last of its routes.
    pub(crate) acknowledged: Duration,
    /// Until it was seen to hold them.
    pub(crate) read_back: Duration,
}

/// The running side.
pub(crate) struct Side {
    numbering: Numbering,
    uplinks: [InterfaceName; 2],
    wanted: watch::Sender<Arc<Wanted>>,
    kernel: Kernel,
    observed: Arc<Observed>,
    /// Flows are remembered.
    remembers: bool,
}

impl Side {
    pub(crate) async fn start(uplinks: [&str; 2]) -> Self {
        listen();
        let numbering = Numbering::default();
        let uplinks = uplinks.map(|uplink| uplink.parse().expect("a name"));
        let (wanted, receiver) = watch::channel(Arc::new(Wanted {
            revision: 0,
            desired: None,
            interfaces: SortedSet::from(uplinks.clone()),
            numbering,
            flow_memory: None,
        }));
        let mut side = Self {
            numbering,
            uplinks,
            wanted,
            kernel: kernel::start(receiver, KernelAccess::Write).expect("netlink sockets"),
            observed: Arc::default(),
            remembers: false,
        };
        side.report().await;
        side
    }

    /// Makes the uplink at this place active.
    pub(crate) async fn carry(&mut self, place: usize, families: Families) -> Switch {
        let desired = self.desired(place, families);
        DONE.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let start = Instant::now();
        self.want(desired);
        self.applied().await;
        let read_back = start.elapsed();
        let done = DONE.lock().unwrap_or_else(PoisonError::into_inner);
        let last = done.last().expect("a switch takes an operation");
        Switch {
            acknowledged: *last - start,
            read_back,
        }
    }

    /// Has flows remembered by their uplinks, or not; the first uplink carries.
    pub(crate) async fn remember(&mut self, remembers: bool) {
        self.remembers = remembers;
        let memory = FlowMemory::new(&self.numbering, &self.uplinks.each_ref());
        let memory = memory.filter(|_| remembers);
        let is_asked = memory.is_some();
        self.wanted.send_modify(|wanted| {
            let mut next = Wanted::clone(wanted);
            next.flow_memory = memory;
            *wanted = Arc::new(next);
        });
        self.want(self.desired(0, Families::Both));
        self.applied().await;
        let revision = self.wanted.borrow().revision;
        let state = self.kernel.flow_memory_at(revision).await;
        assert_eq!(state.remembers(Family::Ipv4), is_asked, "{state:?}");
    }

    /// Removes all objects of ours.
    pub(crate) async fn stop(mut self) {
        self.want(Desired::default());
        self.applied().await;
    }

    pub(crate) async fn report(&mut self) -> KernelReport {
        let report = self.kernel.reports.recv().await.expect("the task lives");
        if let KernelReport::Observed(observed) = &report {
            self.observed = observed.clone();
        }
        report
    }

    /// When it is reported that an interface has a carrier, or none.
    pub(crate) async fn carrier_reported(&mut self, name: &str, has_carrier: bool) -> Instant {
        let name = name.parse().expect("a name");
        let is_so = |link: &Link| link.has_carrier == has_carrier;
        while !self.observed.link(&name).is_some_and(is_so) {
            self.report().await;
        }
        Instant::now()
    }

    pub(crate) fn numbering(&self) -> &Numbering {
        &self.numbering
    }

    pub(crate) fn interfaces(&self) -> SortedSet<InterfaceName> {
        SortedSet::from(self.uplinks.clone())
    }

    async fn applied(&mut self) {
        loop {
            let awaited = self.wanted.borrow().revision;
            match self.report().await {
                KernelReport::Applied {
                    revision, refused, ..
                } if revision == awaited => return assert_eq!(refused, []),
                KernelReport::Lost(error) => panic!("lost: {error}"),
                _ => {}
            }
        }
    }

    fn want(&self, desired: Desired) {
        self.wanted.send_modify(|wanted| {
            let mut next = Wanted::clone(wanted);
            next.revision += 1;
            next.desired = Some(desired);
            *wanted = Arc::new(next);
        });
    }

    fn desired(&self, place: usize, families: Families) -> Desired {
        let attachments: Vec<Attachment> = { self.uplinks.iter() }
            .zip(1..)
            .map(|(uplink, number)| {
                let via = Ipv6Addr::new(0x2001, 0xdb8, number, 0, 0, 0, 0, 1);
                let hints = Hints {
                    gateway6: Gateway::Address(via.into()),
                    ..Hints::default()
                };
                attach(self.observed.link(uplink), &hints, &[].into())
            })
            .collect();
        let uplinks: Vec<_> = (0..)
            .zip(&self.uplinks)
            .zip(&attachments)
            .map(|((position, interface), attachment)| UplinkRoutes {
                position,
                interface,
                attachment,
            })
            .collect();
        let place6 = match families {
            Families::Ipv4 => 0,
            Families::Both => place,
        };
        let carriers = [(Family::Ipv4, place), (Family::Ipv6, place6)];
        let carrying: Carrying = carriers
            .into_iter()
            .map(|(family, place)| (family, vec![attachments[place].paths[&family].clone()]))
            .collect();
        let mut traffic = TrafficRoutes::from(carrying);
        if self.remembers {
            let both = [0, 1]
                .into_iter()
                .flat_map(|place| Family::ROUTED.map(|family| (place, family)));
            traffic.remembered = both.collect();
        }
        desired(&self.numbering, &uplinks, &traffic)
    }
}

/// When each operation was acknowledged: the kernel side logs it at once.
static DONE: Mutex<Vec<Instant>> = Mutex::new(Vec::new());

fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing::subscriber::set_global_default(OperationLog).expect("the first listener");
    });
}

/// Records when operations are logged.
struct OperationLog;

impl Subscriber for OperationLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("uplinkd::kernel")
    }

    fn event(&self, event: &Event<'_>) {
        let now = Instant::now();
        let mut message = Message(false);
        event.record(&mut message);
        if message.0 {
            let mut done = DONE.lock().unwrap_or_else(PoisonError::into_inner);
            done.push(now);
        }
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// Whether the message of an event says that an operation is done.
struct Message(bool);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0 |= field.name() == "message" && format!("{value:?}") == "done";
    }
}
