//! Soft failover: new connections go by another uplink, established ones stay.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use uplinkd::kernel::{UnansweredFlows, end_unanswered};

use super::*;

/// The server hears and says nothing there.
const SILENT: SocketAddr = SocketAddr::new(IpAddr::V4(SERVER), 7001);

/// In nanoseconds since 1970.
fn now() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_REALTIME).expect("the clock");
    u64::try_from(Duration::from(now).as_nanos()).expect("fits")
}

/// What becomes of flows on fiber at a soft move, where the kernel notes when they began or not.
async fn begins_anew(world: World, notes_time: bool) {
    let mut site = Site::new(world, Nat::Masquerade).await;
    let to = serve(&site.internet);
    let silent = Host::run(&site.internet, || {
        UdpSocket::bind(SILENT).expect("a socket")
    });
    silent.set_read_timeout(Some(SOON)).expect("a timeout");
    let [fiber, lte] = [0, 1].map(marks_of);
    let switch = if notes_time { "1" } else { "0" };
    sysctl("netfilter/nf_conntrack_timestamp", switch);
    let unanswered = |site: &Site| {
        let flow = Udp::open(&site.client, SILENT);
        send(&flow.0);
        assert!(silent.recv(&mut [0; 8]).is_ok(), "it is heard");
        flow
    };
    site.carry(LTE, &[FIBER, LTE]).await;
    let elsewhere = unanswered(&site);
    site.carry(FIBER, &[FIBER, LTE]).await;
    let established = Udp::open(&site.client, to);
    assert_eq!(established.ask(), Some(BY_FIBER));
    let older = unanswered(&site);
    let own = UdpSocket::bind((BY_FIBER, 0)).expect("a socket");
    own.send_to(b"?", SILENT).expect("it is sent");
    assert!(silent.recv(&mut [0; 8]).is_ok(), "it is heard");
    let doubt = now();
    let young = unanswered(&site);
    let marks = [fiber.mark.0; 4].into_iter().chain([lte.mark.0]);
    has_marks(&mut Tracking::open(), &marks.collect::<Vec<_>>()).await;

    site.carry(LTE, &[FIBER, LTE]).await;
    let ended = end_unanswered(&UnansweredFlows {
        marks: [(Family::Ipv4, fiber)].into(),
        addresses: [BY_FIBER.into()].into(),
        since: doubt,
    });
    let ended = ended.expect("the kernel tracks connections");
    assert_eq!(ended, if notes_time { 1 } else { 2 });
    assert_eq!(established.ask(), Some(BY_FIBER), "it stays");
    let seen_from = |flow: &Udp| {
        send(&flow.0);
        let (_, from) = silent.recv_from(&mut [0; 8]).expect("it is heard");
        from.ip()
    };
    assert_eq!(seen_from(&young), BY_LTE, "sent again");
    let older_by = if notes_time { BY_FIBER } else { BY_LTE };
    assert_eq!(seen_from(&older), older_by, "from before the doubt");
    assert_eq!(seen_from(&elsewhere), BY_LTE);
    own.send_to(b"?", SILENT).expect("it is sent");
    let (_, from) = silent.recv_from(&mut [0; 8]).expect("it is heard");
    assert_eq!(from.ip(), BY_FIBER, "of the router itself");
}

#[test]
fn what_began_since_the_doubt_without_an_answer_begins_anew_by_the_standby_and_all_else_stays() {
    netns::run(async |world| begins_anew(world, true).await);
}

#[test]
fn where_the_kernel_does_not_note_when_flows_began_all_without_an_answer_begin_anew() {
    netns::run(async |world| begins_anew(world, false).await);
}

#[test]
fn two_hundred_soft_moves_and_back_lose_no_packet_of_established_flows() {
    netns::run(async |world| {
        let mut site = Site::new(world, Nat::Masquerade).await;
        let to = serve(&site.internet);
        site.carry(FIBER, &[FIBER, LTE]).await;
        let mut connection = Tcp::open(&site.client, to);
        assert_eq!(connection.ask(), Some(BY_FIBER));
        let flow = Udp::open(&site.client, to);
        assert_eq!(flow.ask(), Some(BY_FIBER));
        let is_over = Arc::new(AtomicBool::new(false));
        let (sender, answers) = mpsc::channel();
        let stream = {
            let is_over = is_over.clone();
            thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    sender.send(flow.ask()).expect("they are read");
                }
            })
        };
        for _ in 0..200 {
            site.carry(LTE, &[FIBER, LTE]).await;
            site.carry(FIBER, &[FIBER, LTE]).await;
        }
        is_over.store(true, Ordering::Relaxed);
        stream.join().expect("it ends");
        let answers: Vec<_> = answers.iter().collect();
        let lost = answers.iter().filter(|answer| answer.is_none()).count();
        eprintln!(
            "200 soft moves and back: {lost} of {} packets lost",
            answers.len()
        );
        assert!(
            answers.iter().all(|by| *by == Some(BY_FIBER)),
            "{answers:?}"
        );
        assert!(answers.len() > 200, "{}", answers.len());
        assert_eq!(connection.ask(), Some(BY_FIBER));
    });
}

/// The internet answers nothing that comes by fiber, or does again.
fn break_fiber(internet: &Host, is_broken: bool) {
    internet.run(|| {
        let mut batch = NetfilterBatch::default();
        if is_broken {
            batch.add_table(THEIRS);
            batch.add_chain(THEIRS, &PREROUTING);
            let steps = [
                NetfilterStep::Load(PacketField::InputName),
                NetfilterStep::Is(padded("to-fiber")),
                NetfilterStep::Drop,
            ];
            batch.add_rule(THEIRS, &PREROUTING, "broken", &steps);
        } else {
            batch.delete_table(THEIRS);
        }
        commit(&batch).expect("the internet changes");
    });
}

/// Lets fiber fall silent until new connections go by lte.
async fn doubt_fiber(agent: &Running, internet: &Host) {
    break_fiber(internet, true);
    let is_told = async {
        while !agent.log().contains("switch.soft") {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let told = tokio::time::timeout(super::super::PATIENCE, is_told).await;
    assert!(told.is_ok(), "{}", agent.log());
}

#[test]
fn an_agent_that_ends_while_new_connections_go_elsewhere_leaves_nothing_stuck() {
    netns::run(async |world| {
        let (client, internet) = network(&world, Nat::Masquerade).await;
        let to = serve(&internet);
        let before = world.everything().await;
        let soon = format!("{PROBED}[failover]\nfailback_after = \"1s\"\n");
        let mut agent = Running::with("state", "", &soon);
        agent.status(carries(FIBER)).await;
        let as_always = world.everything().await;
        let old = Udp::open(&client, to);
        assert_eq!(old.ask(), Some(BY_FIBER));
        for signal in [Signal::SIGKILL, Signal::SIGUSR2, Signal::SIGTERM] {
            let mut tries = 0..10;
            // The verdict must not have come before the end of the agent.
            while tries.next().is_some() {
                doubt_fiber(&agent, &internet).await;
                if signal == Signal::SIGKILL {
                    agent.kill();
                } else {
                    agent.end(signal);
                }
                let log = agent.log();
                break_fiber(&internet, false);
                if signal != Signal::SIGTERM {
                    assert_eq!(old.ask(), Some(BY_FIBER), "without an agent, {signal}");
                }
                agent.start();
                let status = agent.status(carries(FIBER)).await;
                assert_eq!(status["new_connections"], Value::Null);
                assert_eq!(world.everything().await, as_always, "after {signal}");
                assert_eq!(old.ask(), Some(BY_FIBER), "after {signal}");
                assert_eq!(Udp::open(&client, to).ask(), Some(BY_FIBER), "a new one");
                if !log.contains("uplink.down") {
                    break;
                }
            }
            assert!(
                tries.next().is_some(),
                "the verdict was always first, {signal}"
            );
        }
        agent.end(Signal::SIGTERM);
        assert_eq!(rules().len(), 0);
        assert_eq!(world.everything().await, before);
    });
}
