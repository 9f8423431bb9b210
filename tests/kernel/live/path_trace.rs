//! Where the path of an uplink broke: a real agent, and routers on its way.

use std::net::Ipv4Addr;

use rtnetlink::RouteMessageBuilder;
use serde_json::Value;

use super::by_hand::Site;
use super::netns::{self, World, sysctl};
use super::*;
use crate::host::Host;

const TARGET: &str = "192.0.2.1";
/// The first path is learnt ten seconds after the start, and answers are awaited for one.
const LEARNT_WITHIN: Duration = Duration::from_secs(14);

/// A router whose interface on the side of the client has this name and address. The client's network is reached by
/// `back`. `next`: the host behind it, the name of the interface there, and the addresses of both on the wire between.
async fn router(
    world: World,
    next: Option<(&Host, [&str; 3])>,
    [side, own]: [&str; 2],
    back: Option<Ipv4Addr>,
) {
    sysctl("ipv4/ip_forward", "1");
    world.set_up(side, true).await;
    world.add_address(side, net(own)).await;
    if let Some(back) = back {
        let route = RouteMessageBuilder::<Ipv4Addr>::new();
        let route = route.destination_prefix([192, 168, 1, 0].into(), 24);
        world.add_route(route.gateway(back).build()).await;
    }
    if let Some((host, [far, address, via])) = next {
        world.wire_to("wan", far, host.descriptor()).await;
        world.add_address("wan", net(address)).await;
        let via = via.parse().expect("an address");
        let default = ForeignDefault { via, metric: 1 };
        world.add_default("wan", default).await;
    }
}

/// The client's modem, two routers of the provider, and the target behind them.
async fn internet(world: &World) -> [Host; 4] {
    let hosts = [(); 4].map(|()| Host::new());
    let [modem, access, core, target] = &hosts;
    world.wire_to(FIBER, "near", modem.descriptor()).await;
    world.add_address(FIBER, net("192.168.1.2/24")).await;
    let next = Some((access, ["access", "203.0.113.2/24", "203.0.113.1"]));
    modem.set_up(|world| router(world, next, ["near", "192.168.1.1/24"], None));
    let next = Some((core, ["core", "198.51.100.2/24", "198.51.100.1"]));
    let back = Some([203, 0, 113, 2].into());
    access.set_up(|world| router(world, next, ["access", "203.0.113.1/24"], back));
    let next = Some((target, ["near", "198.18.0.2/24", "198.18.0.1"]));
    let back = Some([198, 51, 100, 2].into());
    core.set_up(|world| router(world, next, ["core", "198.51.100.1/24"], back));
    let back = Some([198, 18, 0, 2].into());
    target.set_up(|world| async move {
        world.set_up("near", true).await;
        world
            .add_address("near", net(&format!("{TARGET}/32")))
            .await;
        router(world, None, ["near", "198.18.0.1/24"], back).await;
    });
    let via = [192, 168, 1, 1].into();
    world
        .add_default(FIBER, ForeignDefault { via, metric: 1 })
        .await;
    hosts
}

#[test]
fn an_outage_says_that_the_path_broke_between_the_modem_and_the_provider() {
    netns::run(async |world| {
        let [_modem, access, _core, _target] = &internet(&world).await;
        let probes = format!("[probe]\ntargets = [\"{TARGET}\"]\ninterval = \"200ms\"\n");
        let site = Site::with("state", "", &probes);
        site.status(|status| status["uplinks"][0]["state"] == "up")
            .await;
        tokio::time::sleep(LEARNT_WITHIN).await;
        access.set_up(|world| async move { world.set_up("access", false).await });
        let status = site
            .status(|status| status["uplinks"][0]["state"] == "down")
            .await;
        let fiber = &status["uplinks"][0];
        assert_eq!(
            fiber["broken_at"],
            "access_line",
            "{fiber:#}\n{}",
            site.log()
        );
        let history = site.say(&["history", "--json"]);
        let history: Value = serde_json::from_slice(&history.stdout).expect("a list");
        let mut events = history.as_array().expect("a list").iter();
        let is_outage = |event: &&Value| event["uplink"] == "fiber" && event["to"] == "down";
        let down = events.find(is_outage).expect("an outage");
        assert_eq!(down["broken_at"], "access_line", "{down:#}");
        let reason = down["reason"].as_str().expect("a text");
        assert!(
            reason.ends_with("; it broke on the access line"),
            "{reason}"
        );
    });
}
