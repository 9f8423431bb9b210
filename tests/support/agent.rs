//! An agent of which only the control socket is real.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};
use uplinkd::control::socket::{Server, Watchers};
use uplinkd::control::ubus::Ubus;
use uplinkd::control::ubus::netifd::{Networks, Order};
use uplinkd::control::ubus::session::Offer;
use uplinkd::control::{Request, Response};
use uplinkd::engine::command::{Command, CommandRefusal};
use uplinkd::engine::event::record::EventRecord;
use uplinkd::engine::event::{EventKind, Side};
use uplinkd::engine::status::Status;
use uplinkd::units::Timestamp;
use uplinkd::units::sorted::SortedSet;

/// Answers every request for the status with the same one, and refuses to reload.
pub(crate) struct Agent {
    directory: TempDir,
    events: mpsc::Sender<u64>,
    /// What netifd said, each time that is something else.
    pub(crate) networks: std::sync::mpsc::Receiver<Networks>,
    orders: mpsc::Sender<Order>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Agent {
    /// Starts it, on ubus as well if there is a path.
    pub(crate) fn start(status: Status, bus: Option<PathBuf>) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("control.sock");
        let (events, told) = mpsc::channel(1);
        let (stop, stopped) = oneshot::channel();
        let (told_networks, networks) = std::sync::mpsc::channel();
        let (orders, ordered) = mpsc::channel(1);
        let (ready, is_ready) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let server = Server::bind(&path).expect("a socket");
                let mut ubus =
                    bus.map(|bus| Ubus::start(Some(bus), Offer::Mwan3, server.caller.clone()));
                ready.send(()).expect("someone waits");
                tokio::select! {
                    () = serve(server, &status, told, stopped) => {}
                    () = relay(ubus.as_mut(), &told_networks, ordered) => {}
                }
            });
        });
        is_ready.recv().expect("a running agent");
        Self {
            directory,
            events,
            networks,
            orders,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Where it answers.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("control.sock")
    }

    /// Asks netifd for something.
    pub(crate) fn order(&self, order: Order) {
        self.orders.blocking_send(order).expect("a running agent");
    }

    /// Lets so many events happen.
    pub(crate) fn happen(&self, count: u64) {
        self.events.blocking_send(count).expect("a running agent");
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().expect("a clean end");
        }
    }
}

/// The same, as far as it concerns netifd.
async fn relay(
    ubus: Option<&mut Ubus>,
    networks: &std::sync::mpsc::Sender<Networks>,
    mut orders: mpsc::Receiver<Order>,
) {
    let Some(ubus) = ubus else {
        return std::future::pending().await;
    };
    loop {
        tokio::select! {
            told = ubus.networks() => drop(networks.send(told)),
            Some(order) = orders.recv() => assert!(ubus.order(order)),
        }
    }
}

/// A drill that lasts no longer is answered at once.
const SHORT: Duration = Duration::from_secs(60);

/// The daemon's loop, as far as it concerns the socket.
async fn serve(
    mut server: Server,
    status: &Status,
    mut told: mpsc::Receiver<u64>,
    mut stopped: oneshot::Receiver<()>,
) {
    let mut watchers = Watchers::default();
    // A long drill ends with the next command.
    let mut drills = Vec::new();
    loop {
        tokio::select! {
            _ = &mut stopped => return,
            Some(count) = told.recv() => {
                for number in 0..count {
                    watchers.publish(&event(number), status);
                }
            }
            Some(call) = server.calls.recv() => match &call.request {
                Request::Status => call.answer(Response::Status(Box::new(status.clone()))),
                Request::Watch => watchers.add(call, status),
                Request::Command(
                    Command::Switch { uplink, .. }
                    | Command::Disable { uplink, .. }
                    | Command::Enable { uplink }
                    | Command::Drill { uplink, .. }
                    | Command::Forget { uplink },
                ) if uplink.as_str() != "lte" => {
                    let refusal = CommandRefusal::NoSuchUplink {
                        name: uplink.clone(),
                        known: ["fiber", "lte"].map(|name| name.parse().expect("a name")).into(),
                    };
                    call.answer(refusal.into());
                }
                Request::Command(Command::Drill { lasts, .. }) if lasts.span() > SHORT => {
                    drills.push(call);
                }
                Request::Command(Command::Drill { .. }) => call.answer(drilled()),
                Request::Command(command) => {
                    for drill in drills.drain(..) {
                        drill.answer(Response::Done("the drill".to_owned()));
                    }
                    let done = Response::Done(command.to_string());
                    call.answer(done);
                }
                Request::History { since, .. } => {
                    let count = since.map_or(2, |since| since.as_secs());
                    call.answer(Response::History((0..count).map(event).collect()));
                }
                Request::Samples => call.answer(Response::Refused("no samples".to_owned())),
                Request::Mwan3 { section, interface } => {
                    let asked = serde_json::json!({ "section": section, "interface": interface });
                    call.answer(Response::Mwan3(asked));
                }
                Request::Day => call.answer(Response::Samples("a day".to_owned())),
                Request::Reload => call.answer(Response::Refused("not now".to_owned())),
            },
        }
    }
}

/// A drill of lte that was passed.
fn drilled() -> Response {
    let side = |name: &str| Side::Uplinks(vec![name.parse().expect("a name")]);
    Response::Event(Box::new(EventRecord {
        event: EventKind::Drill,
        from: Some(side("lte")),
        to: Some(side("fiber")),
        reason: "passed: traffic recovered in 529 ms".to_owned(),
        ..event(0)
    }))
}

/// The event with this number.
pub(crate) fn event(number: u64) -> EventRecord {
    EventRecord {
        group: None,
        family: None,
        at: Timestamp(SystemTime::UNIX_EPOCH),
        event: EventKind::Switch,
        uplink: None,
        interface: None,
        network: None,
        from: None,
        to: None,
        reason: number.to_string(),
        prefixes: SortedSet::default(),
        cause: None,
        took_us: None,
        recovery_ms: None,
        flows_moved: None,
        drill: None,
        broken_at: None,
    }
}
