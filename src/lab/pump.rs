//! The pump: one thread that carries the frames of all wires between their ends.
//!
//! ```text
//!   TAP ends ──frame──> WireLane::handle_frame ──due──> heap ──at its time──> the other TAP end
//!                            ^
//!   set, carrier ──order─────┘ (answered with the moment from which it holds)
//! ```

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::prctl;

use crate::lab::chance::Chance;
use crate::lab::clock;
use crate::lab::lane::{FrameOutcome, Impairment, Towards, WireLane};
use crate::lab::shutdown::{self, Shutdown, ShutdownHandle};
use crate::lab::sys;
use crate::lab::tap::Tap;
use crate::units::Moment;

/// The largest frame: an MTU of 1500 and the Ethernet header, with room for a VLAN tag.
const LARGEST_FRAME: usize = 1522;
/// Frames taken from one end before the others have their turn.
const BATCH: usize = 32;
/// Frames under way at most; a real line holds no more either.
const MOST_UNDER_WAY: usize = 65_536;

/// The two ends of a wire.
#[derive(Debug)]
pub(super) struct WireEnds {
    /// The end nearer to the client.
    pub(super) client: Tap,
    /// The end nearer to the internet.
    pub(super) internet: Tap,
}

/// Which wire, in the order in which they were handed to the pump.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WireId(pub(super) usize);

/// The owner's handle; the pump stops when it is dropped.
#[derive(Debug)]
pub(super) struct Pump {
    orders: Sender<(WireOrder, SyncSender<Moment>)>,
    handle: Option<ShutdownHandle>,
    thread: Option<JoinHandle<PumpState>>,
}

#[derive(Clone, Copy, Debug)]
enum WireOrder {
    Impair(WireId, Towards, Impairment),
    Carrier(WireId, bool),
}

impl Pump {
    /// Carries frames between the ends of each wire from now on, perfectly at first.
    pub(super) fn start(wires: Vec<WireEnds>, chance: &Chance) -> io::Result<Self> {
        let (orders, inbox) = channel();
        let (handle, shutdown) = shutdown::pair()?;
        let mut room = PumpState::new(wires, chance);
        let thread = thread::Builder::new()
            .name("pump".to_owned())
            .spawn(move || {
                room.run(&inbox, &shutdown);
                room
            })?;
        Ok(Self {
            orders,
            handle: Some(handle),
            thread: Some(thread),
        })
    }

    /// Sets one direction of a wire and returns the moment from which this holds.
    pub(super) fn impair(
        &self,
        wire: WireId,
        towards: Towards,
        impairment: Impairment,
    ) -> io::Result<Moment> {
        self.order(WireOrder::Impair(wire, towards, impairment))
    }

    /// Plugs or pulls the cable of a wire at both ends.
    pub(super) fn set_carrier(&self, wire: WireId, up: bool) -> io::Result<Moment> {
        self.order(WireOrder::Carrier(wire, up))
    }

    /// Carries no frame any more. The interfaces live until what this returns is dropped.
    pub(super) fn stop(&mut self) -> Option<impl Sized + use<>> {
        self.handle = None;
        // A pump that panicked has said so on stderr already.
        self.thread.take()?.join().ok()
    }

    fn order(&self, order: WireOrder) -> io::Result<Moment> {
        let stopped = || io::Error::other("the pump has stopped");
        let (done, is_done) = sync_channel(1);
        self.orders.send((order, done)).map_err(|_| stopped())?;
        self.handle.as_ref().ok_or_else(stopped)?.wake()?;
        is_done.recv().map_err(|_| stopped())
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        drop(self.stop());
    }
}

/// What the pump's thread owns.
struct PumpState {
    wires: Vec<PumpedWire>,
    under_way: BinaryHeap<Reverse<DueFrame>>,
    /// Numbers the frames, so that those due at one moment keep their order.
    entered: u64,
}

struct PumpedWire {
    ends: WireEnds,
    to_internet: WireLane,
    to_client: WireLane,
    has_carrier: bool,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct DueFrame {
    at: Moment,
    number: u64,
    wire: WireId,
    to_internet: bool,
    frame: Vec<u8>,
}

impl PumpState {
    fn new(wires: Vec<WireEnds>, chance: &Chance) -> Self {
        let plug = |(ends, number): (_, u64)| PumpedWire {
            ends,
            to_internet: WireLane::new(chance.fork(2 * number)),
            to_client: WireLane::new(chance.fork(2 * number + 1)),
            has_carrier: true,
        };
        Self {
            wires: wires.into_iter().zip(1..).map(plug).collect(),
            under_way: BinaryHeap::new(),
            entered: 0,
        }
    }

    fn run(&mut self, inbox: &Receiver<(WireOrder, SyncSender<Moment>)>, shutdown: &Shutdown) {
        // Without it frames are up to 50 us later: no reason to stop.
        prctl::set_timerslack(1).unwrap_or(());
        sys::hurry();
        let mut buffer = [0; LARGEST_FRAME];
        while !shutdown.is_requested() {
            while let Ok((order, done)) = inbox.try_recv() {
                self.obey(order);
                // An owner that has gone meanwhile waits for no answer.
                done.send(clock::now()).unwrap_or(());
            }
            self.collect(&mut buffer);
            self.deliver();
            if self.wait(shutdown).is_err() {
                return;
            }
        }
    }

    fn obey(&mut self, order: WireOrder) {
        match order {
            WireOrder::Impair(wire, towards, impairment) => {
                self.wires[wire.0].lane(towards).set(impairment);
            }
            WireOrder::Carrier(wire, up) => {
                let wire = &mut self.wires[wire.0];
                wire.has_carrier = up;
                for towards in Towards::BOTH {
                    // It fails only on a device that was never attached; these are.
                    drop(wire.end(towards).set_carrier(up));
                }
            }
        }
    }

    fn collect(&mut self, buffer: &mut [u8]) {
        for index in 0..self.wires.len() {
            for towards in Towards::BOTH {
                for _ in 0..BATCH {
                    let sender = self.wires[index].end(towards.opposite());
                    let Ok(Some(frame)) = sender.receive(buffer) else {
                        break;
                    };
                    self.take(WireId(index), towards, frame);
                }
            }
        }
    }

    fn take(&mut self, id: WireId, towards: Towards, frame: &[u8]) {
        let now = clock::now();
        let wire = &mut self.wires[id.0];
        let FrameOutcome::Arrives { at, twice } = wire.lane(towards).handle_frame(now, frame)
        else {
            return;
        };
        for _ in 0..=u8::from(twice) {
            let has_room = self.under_way.len() < MOST_UNDER_WAY;
            if has_room && self.wires[id.0].has_carrier {
                self.entered += 1;
                self.under_way.push(Reverse(DueFrame {
                    at,
                    number: self.entered,
                    wire: id,
                    to_internet: towards == Towards::Internet,
                    frame: frame.to_vec(),
                }));
            }
        }
    }

    fn deliver(&mut self) {
        while let Some(Reverse(next)) = self.under_way.peek() {
            if next.at > clock::now() {
                return;
            }
            let Some(Reverse(due)) = self.under_way.pop() else {
                return;
            };
            let wire = &self.wires[due.wire.0];
            let towards = if due.to_internet {
                Towards::Internet
            } else {
                Towards::Client
            };
            if wire.has_carrier {
                // An interface that is down does not take frames: they are lost, as on any wire.
                drop(wire.end(towards).send(&due.frame));
            }
        }
    }

    fn wait(&self, shutdown: &Shutdown) -> nix::Result<()> {
        let taps = self.wires.iter().flat_map(|wire| {
            [&wire.ends.client, &wire.ends.internet]
                .into_iter()
                .map(AsFd::as_fd)
        });
        let mut watched: Vec<_> = taps
            .chain([shutdown.as_fd()])
            .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
            .collect();
        let next = self.under_way.peek();
        let timeout = next.map(|Reverse(due)| due.at.since(clock::now()));
        match ppoll(&mut watched, timeout.map(Duration::into), None) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}

impl PumpedWire {
    fn lane(&mut self, towards: Towards) -> &mut WireLane {
        match towards {
            Towards::Internet => &mut self.to_internet,
            Towards::Client => &mut self.to_client,
        }
    }

    /// The end at which frames `towards` there leave the wire.
    fn end(&self, towards: Towards) -> &Tap {
        match towards {
            Towards::Internet => &self.ends.internet,
            Towards::Client => &self.ends.client,
        }
    }
}
