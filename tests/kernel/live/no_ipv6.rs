//! IPv6 switched off by sysctl: IPv4 works, and little is logged.

use std::fs;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use uplinkd::routing::{Gateway, Prefixes};

use super::netns::{self, World, sysctl};
use super::*;

/// Switches IPv6 off for good, on every interface that is or will be.
fn without_ipv6() {
    for of in ["all", "default", "lo"] {
        sysctl(&format!("ipv6/conf/{of}/disable_ipv6"), "1");
    }
}

/// Two uplinks, the first with IPv6 in the configuration all the same.
fn said_to_have_ipv6() -> [(&'static str, Hints); 2] {
    let hints = Hints {
        gateway6: Gateway::Address("2001:db8:1::1".parse().expect("an address")),
        prefixes: Prefixes::Listed(vec!["2001:db8:f1::/48".parse().expect("a prefix")]),
        ..Hints::default()
    };
    [(FIBER, hints), (LTE, Hints::default())]
}

/// Those of our routes and rules that are of IPv6.
async fn ours_of_ipv6(world: &World) -> usize {
    let ours = world.of_protocol(117).await.into_iter();
    ours.filter(|object| object.contains("Inet6")).count()
}

#[test]
fn where_ipv6_is_disabled_ipv4_moves_nothing_is_refused_and_nothing_is_left() {
    netns::run(async |world| {
        without_ipv6();
        two_uplinks(&world).await;
        let before = world.everything().await;
        let mut agent = Agent::start().await;
        for uplink in [FIBER, LTE, FIBER] {
            assert_eq!(agent.carry(uplink).await, []);
            let (way, _) = world.way_of(Packet::ANY).await.expect("a way");
            assert_eq!(way, uplink);
        }
        assert_eq!(ours_of_ipv6(&world).await, 0);
        agent.want(Desired::default());
        assert_eq!(agent.applied().await, []);
        assert_eq!(world.everything().await, before);
    });
}

#[test]
fn what_ipv6_is_configured_where_it_is_disabled_is_refused_once_and_ipv4_moves_all_the_same() {
    netns::run(async |world| {
        without_ipv6();
        two_uplinks(&world).await;
        let before = world.everything().await;
        let uplinks = said_to_have_ipv6();
        let mut agent =
            Agent::start_with(KernelAccess::Write, Numbering::default(), &uplinks).await;
        for (uplink, count) in [(FIBER, 2), (LTE, 1), (FIBER, 2)] {
            let refused = agent.carry(uplink).await;
            for refusal in &refused {
                assert!(refusal.operation.starts_with("ip -6 route"), "{refusal:?}");
                assert!(!refusal.is_permanent, "{refusal:?}");
            }
            assert_eq!(refused.len(), count, "{refused:?}");
            let (way, _) = world.way_of(Packet::ANY).await.expect("a way");
            assert_eq!(way, uplink);
        }
        let again = timeout(Duration::from_secs(2), agent.report()).await;
        assert!(again.is_err(), "no news, and yet {again:?}");
        agent.want(Desired::default());
        assert_eq!(agent.applied().await, []);
        assert_eq!(world.everything().await, before);
    });
}

#[test]
fn the_log_of_the_agent_speaks_of_disabled_ipv6_once_at_most() {
    netns::run(async |world| {
        without_ipv6();
        two_uplinks(&world).await;
        let before = world.everything().await;
        let files = tempfile::tempdir().expect("a directory");
        let path = |name: &str| files.path().join(name);
        let config = format!(
            "[agent]\ncontrol = {:?}\nstate_dir = {:?}\nlog = \"stderr\"\n\n\
             [probe]\ntargets = [\"10.1.0.1\", \"2001:db8::1\"]\n\n\
             [[uplink]]\nname = \"fiber\"\ninterface = \"fiber\"\ntier = 1\n\
             gateway6 = \"2001:db8:1::1\"\nprefixes = [\"2001:db8:f1::/48\"]\n\n\
             [[uplink]]\nname = \"lte\"\ninterface = \"lte\"\ntier = 2\n",
            path("control.sock"),
            path("state"),
        );
        fs::write(path("uplinkd.toml"), config).expect("the configuration is written");
        let log = fs::File::create(path("log")).expect("a log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_uplinkd"));
        command.args(["run", "--config"]).arg(path("uplinkd.toml"));
        let mut agent = command
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("run the agent");
        let has_routes = async || {
            while world.of_protocol(117).await.is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, has_routes())
            .await
            .expect("routes of IPv4");
        // Long enough for a retry to be logged again.
        tokio::time::sleep(Duration::from_secs(4)).await;
        kill(Pid::from_raw(agent.id().cast_signed()), Signal::SIGTERM).expect("SIGTERM");
        let status = agent.wait().expect("it ends");
        let log = fs::read_to_string(path("log")).expect("a log");
        assert!(status.success(), "{log}");
        let mut said: Vec<_> = { log.lines() }
            .filter(|line| line.contains("refused") || line.contains("ip -6"))
            .collect();
        let times = said.len();
        said.dedup();
        assert_eq!(said.len(), times, "{log}");
        assert!(
            times <= 2,
            "a line for the uplink and one for who carries: {log}"
        );
        assert_eq!(world.everything().await, before);
    });
}
