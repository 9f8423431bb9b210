//! An uplink with several next hops.

use uplinkd::units::HopPlace;

use super::netns::{self, Packet};
use super::*;

const SECOND: ForeignDefault = ForeignDefault {
    via: Ipv4Addr::new(10, 1, 0, 254),
    metric: 101,
};

/// Fiber goes by this next hop.
fn by(agent: &Agent, hop: HopPlace) -> Desired {
    agent.desired_with(|attachments| {
        let path = attachments[0].next_hops[&Family::Ipv4][usize::from(hop.0)].clone();
        Carrying::from([(Family::Ipv4, vec![path])]).into()
    })
}

#[test]
fn probes_by_each_next_hop_take_it_while_the_traffic_moves_to_the_other_and_a_stop_leaves_nothing()
{
    netns::run(async |world| {
        two_uplinks(&world).await;
        world.add_default(FIBER, SECOND).await;
        let before = world.everything().await;
        let mut agent = Agent::start().await;
        let hops = [VIA_FIBER.via, SECOND.via];
        for turn in [0, 1, 0] {
            agent.want(by(&agent, HopPlace(turn)));
            assert_eq!(agent.applied().await, []);
            let way = |via: Ipv4Addr| Some((FIBER.to_owned(), Some(via.into())));
            for (hop, via) in (0..).map(HopPlace).zip(hops) {
                let probe = Packet {
                    mark: Some(agent.numbering.hop_mark(0, hop).0),
                    out_of: Some(FIBER),
                    ..Packet::ANY
                };
                assert_eq!(world.way_of(probe).await, way(via));
            }
            let traffic = world.way_of(Packet::ANY).await;
            assert_eq!(traffic, way(hops[usize::from(turn)]));
        }
        agent.want(Desired::default());
        assert_eq!(agent.applied().await, []);
        assert_eq!(world.everything().await, before);
        assert!(agent.put_back.is_empty());
    });
}
