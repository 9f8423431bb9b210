//! The kernel side against a real kernel, each test in a network namespace of its own.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the netlink crates' enums are open"
)]

#[path = "support/netns.rs"]
mod netns;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ipnet::Ipv4Net;
use tokio::sync::watch;
use tokio::time::timeout;
use uplinkd::kernel::{self, Kernel, KernelError, Mode, Refusal, Report, Wanted};
use uplinkd::routing::attach::attach;
use uplinkd::routing::desired::{UplinkRoutes, table_mode};
use uplinkd::routing::{Attachment, Desired, Family, Gateway, Numbering, Observed};
use uplinkd::units::InterfaceName;

use netns::{ForeignDefault, World};

/// Far more than any of this takes, so that only what never happens fails.
const PATIENCE: Duration = Duration::from_secs(10);
const FIBER: &str = "fiber";
const LTE: &str = "lte";

/// Runs the kernel side, with two uplinks whose next hops are learnt.
struct Agent {
    numbering: Numbering,
    wanted: watch::Sender<Arc<Wanted>>,
    kernel: Kernel,
    observed: Arc<Observed>,
    put_back: Vec<String>,
}

impl Agent {
    async fn start() -> Self {
        Self::start_in(Mode::Write).await
    }

    async fn start_in(mode: Mode) -> Self {
        let numbering = Numbering::default();
        let (wanted, receiver) = watch::channel(Arc::new(Wanted {
            revision: 0,
            desired: None,
            interfaces: [name(FIBER), name(LTE)].into(),
            protocol: numbering.protocol,
        }));
        let mut agent = Self {
            numbering,
            wanted,
            kernel: kernel::start(receiver, mode).expect("netlink sockets"),
            observed: Arc::default(),
            put_back: Vec::new(),
        };
        agent.observed(|_| true).await;
        agent
    }

    async fn report(&mut self) -> Report {
        let report = timeout(PATIENCE, self.kernel.reports.recv()).await;
        let report = report.expect("a report in time").expect("the task lives");
        match &report {
            Report::Observed(observed) => self.observed = observed.clone(),
            Report::Reasserted { what } => self.put_back.push(what.clone()),
            Report::Applied { .. } | Report::Lost(_) => {}
        }
        report
    }

    /// Waits until the kernel looks like this.
    async fn observed(&mut self, is_so: impl Fn(&Observed) -> bool) {
        loop {
            let report = self.report().await;
            if matches!(report, Report::Observed(observed) if is_so(&observed)) {
                return;
            }
        }
    }

    async fn applied(&mut self) -> Vec<Refusal> {
        loop {
            match self.report().await {
                Report::Applied {
                    refused, revision, ..
                } if revision == self.wanted.borrow().revision => return refused,
                Report::Lost(error) => panic!("lost: {error}"),
                _ => {}
            }
        }
    }

    async fn put_back(&mut self, count: usize) {
        while self.put_back.len() < count {
            self.report().await;
        }
    }

    fn attachment(&self, uplink: &str, position: u32) -> Attachment {
        let link = self.observed.link(&name(uplink));
        let table = self.numbering.uplink_table(position);
        let own = link.map(|link| self.observed.own_paths(table, link.index));
        attach(link, Gateway::Auto, &own.unwrap_or_default())
    }

    /// What should be so that this uplink carries.
    fn desired(&self, carrying: &str) -> Desired {
        let (names, mut uplinks) = ([name(FIBER), name(LTE)], Vec::new());
        let attachments: Vec<Attachment> = (0..)
            .zip([FIBER, LTE])
            .map(|(position, uplink)| self.attachment(uplink, position))
            .collect();
        for ((position, interface), attachment) in (0..).zip(&names).zip(&attachments) {
            uplinks.push(UplinkRoutes {
                position,
                interface,
                attachment,
            });
        }
        let carrier = uplinks
            .iter()
            .find(|uplink| uplink.interface.as_str() == carrying);
        let paths = carrier
            .map(|uplink| uplink.attachment.paths.clone())
            .unwrap_or_default();
        let carrying = paths.into_iter().map(|(family, path)| (family, vec![path]));
        table_mode(&self.numbering, &uplinks, &carrying.collect())
    }

    fn want(&self, desired: Desired) {
        self.wanted.send_modify(|wanted| {
            let mut next = Wanted::clone(wanted);
            next.revision += 1;
            next.desired = Some(desired);
            *wanted = Arc::new(next);
        });
    }

    async fn carry(&mut self, uplink: &str) -> Vec<Refusal> {
        self.want(self.desired(uplink));
        self.applied().await
    }
}

fn name(text: &str) -> InterfaceName {
    text.parse().expect("a name")
}

fn ip(text: &str) -> Ipv4Addr {
    text.parse().expect("an address")
}

fn net(text: &str) -> Ipv4Net {
    text.parse().expect("a prefix")
}

const VIA_FIBER: ForeignDefault = ForeignDefault {
    via: Ipv4Addr::new(10, 1, 0, 1),
    metric: 100,
};
const VIA_LTE: ForeignDefault = ForeignDefault {
    via: Ipv4Addr::new(10, 2, 0, 1),
    metric: 200,
};

/// Two uplinks with an address each, and default routes as DHCP clients write them.
async fn two_uplinks(world: &World) {
    world.wire(FIBER).await;
    world.wire(LTE).await;
    world.add_address(FIBER, net("10.1.0.2/24")).await;
    world.add_address(LTE, net("10.2.0.2/24")).await;
    world.add_default(FIBER, VIA_FIBER).await;
    world.add_default(LTE, VIA_LTE).await;
}

#[test]
fn the_traffic_goes_where_it_is_wanted_and_a_clean_up_leaves_nothing() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let before = world.everything().await;
        let mut agent = Agent::start().await;
        let base = agent.numbering.table.0;
        assert_eq!(agent.carry(FIBER).await, []);
        assert_eq!(world.default_in(base).await, Some(ip("10.1.0.1").into()));
        assert_eq!(
            world.default_in(base + 1).await,
            Some(ip("10.1.0.1").into())
        );
        assert_eq!(
            world.default_in(base + 2).await,
            Some(ip("10.2.0.1").into())
        );
        assert_eq!(world.of_protocol(117).await.len(), 3 + 6);
        assert_eq!(agent.carry(LTE).await, []);
        assert_eq!(world.default_in(base).await, Some(ip("10.2.0.1").into()));
        agent.want(Desired::default());
        assert_eq!(agent.applied().await, []);
        assert_eq!(world.everything().await, before);
        assert!(agent.put_back.is_empty());
    });
}
