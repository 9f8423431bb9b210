//! Blocking netlink, for setting up nodes and for asking their kernels.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use netlink_packet_route::neighbour::{NeighbourAttribute, NeighbourMessage, NeighbourState};
use netlink_packet_route::route::{RouteAttribute, RouteMessage, RouteProtocol, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use rtnetlink::{AddressMessageBuilder, LinkUnspec, RouteMessageBuilder};

use crate::units::{IfIndex, Metric};

/// A group of interfaces (`ip link set group`); the kernel uses 0 itself.
const GROUP: u32 = 1;

/// An address with the length of its prefix.
#[derive(Clone, Copy, Debug)]
pub(super) struct AddressPrefix(pub(super) IpAddr, pub(super) u8);

/// A packet whose route is looked up.
#[derive(Clone, Copy, Debug)]
pub(super) struct RouteQuery {
    /// The sender.
    pub(super) source: IpAddr,
    /// The receiver.
    pub(super) destination: IpAddr,
    /// Through which interface it came in.
    pub(super) input: IfIndex,
}

/// A conversation with the kernel about the network namespace in which it was opened.
pub(super) struct Netlink {
    socket: Socket,
    sequence: u32,
}

impl Netlink {
    /// Opens it in the namespace of this thread.
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self {
            socket,
            sequence: 0,
        })
    }

    /// Sets an interface up.
    pub(super) fn set_up(&mut self, index: IfIndex) -> io::Result<()> {
        let link = LinkUnspec::new_with_index(index.get()).up().build();
        self.ask(RouteNetlinkMessage::SetLink(link), NLM_F_ACK)?;
        Ok(())
    }

    /// Makes an interface one of those that [`remove_grouped`](Self::remove_grouped) removes.
    pub(super) fn group(&mut self, index: IfIndex) -> io::Result<()> {
        let mut link = LinkUnspec::new_with_index(index.get()).build();
        link.attributes.push(LinkAttribute::Group(GROUP));
        self.ask(RouteNetlinkMessage::SetLink(link), NLM_F_ACK)?;
        Ok(())
    }

    /// Removes these interfaces with one request. The kernel holds its one lock for the routes of all
    /// namespaces while it waits for all processors, several times for each request: on a busy machine
    /// that takes a tenth of a second.
    pub(super) fn remove_grouped(&mut self) -> io::Result<()> {
        let mut link = LinkMessage::default();
        link.attributes.push(LinkAttribute::Group(GROUP));
        self.ask(RouteNetlinkMessage::DelLink(link), NLM_F_ACK)?;
        Ok(())
    }

    /// Sets an interface down.
    pub(super) fn set_down(&mut self, index: IfIndex) -> io::Result<()> {
        let link = LinkUnspec::new_with_index(index.get()).down().build();
        self.ask(RouteNetlinkMessage::SetLink(link), NLM_F_ACK)?;
        Ok(())
    }

    /// Waits for the kernel's lock for links and routes: a change of the loopback that changes nothing.
    pub(super) fn wait_for_lock(&mut self) -> io::Result<()> {
        /// Of the loopback, in every namespace.
        const INDEX: u32 = 1;
        let link = LinkUnspec::new_with_index(INDEX).build();
        self.ask(RouteNetlinkMessage::SetLink(link), NLM_F_ACK)
            .map(drop)
    }

    /// Gives an interface an address.
    pub(super) fn add_address(&mut self, index: IfIndex, address: AddressPrefix) -> io::Result<()> {
        let address = address_message(index, address);
        self.create(RouteNetlinkMessage::NewAddress(address))
    }

    /// Takes an address from an interface.
    pub(super) fn remove_address(
        &mut self,
        index: IfIndex,
        address: AddressPrefix,
    ) -> io::Result<()> {
        let address = address_message(index, address);
        self.ask(RouteNetlinkMessage::DelAddress(address), NLM_F_ACK)
            .map(drop)
    }

    /// Has the kernel send what goes to an address of the link to this link-layer address for ever.
    pub(super) fn pin_neighbour(
        &mut self,
        index: IfIndex,
        address: IpAddr,
        link_layer: [u8; 6],
    ) -> io::Result<()> {
        let mut message = NeighbourMessage::default();
        message.header.family = if address.is_ipv4() {
            AddressFamily::Inet
        } else {
            AddressFamily::Inet6
        };
        message.header.ifindex = index.get();
        message.header.state = NeighbourState::Permanent;
        message.header.kind = RouteType::Unicast;
        message.attributes = vec![
            NeighbourAttribute::Destination(address.into()),
            NeighbourAttribute::LinkLayerAddress(link_layer.to_vec()),
        ];
        let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
        self.ask(RouteNetlinkMessage::NewNeighbour(message), flags)?;
        Ok(())
    }

    /// Adds a route as a DHCP client would.
    pub(super) fn add_route(
        &mut self,
        destination: AddressPrefix,
        gateway: IpAddr,
        metric: Metric,
    ) -> io::Result<()> {
        let route = route_message(destination, gateway, metric)?;
        self.create(RouteNetlinkMessage::NewRoute(route))
    }

    /// The same in place of the route of the same destination and metric.
    pub(super) fn replace_route(
        &mut self,
        destination: AddressPrefix,
        gateway: IpAddr,
        metric: Metric,
    ) -> io::Result<()> {
        let route = route_message(destination, gateway, metric)?;
        let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
        self.ask(RouteNetlinkMessage::NewRoute(route), flags)?;
        Ok(())
    }

    /// The interface through which the kernel would forward `packet` now; none if there is no
    /// route.
    pub(super) fn exit_for(&mut self, packet: RouteQuery) -> io::Result<Option<IfIndex>> {
        let whole = if packet.source.is_ipv4() { 32 } else { 128 };
        let mut question = RouteMessageBuilder::<IpAddr>::new()
            .source_prefix(packet.source, whole)
            .and_then(|question| question.destination_prefix(packet.destination, whole))
            .map_err(io::Error::other)?
            .input_interface(packet.input.get())
            .build();
        // Of a question the kernel wants the addresses only (`inet_rtm_valid_getroute_req`).
        question.header.protocol = RouteProtocol::Unspec;
        question.header.scope = netlink_packet_route::route::RouteScope::Universe;
        question.header.kind = netlink_packet_route::route::RouteType::Unspec;
        question.header.table = 0;
        match self.ask(RouteNetlinkMessage::GetRoute(question), 0) {
            Ok(answer) => Ok(answer.and_then(output_interface)),
            Err(error) if is_no_route(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn create(&mut self, message: RouteNetlinkMessage) -> io::Result<()> {
        let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
        self.ask(message, flags).map(drop)
    }

    /// Sends one request and returns the one answer to it, if it has content.
    fn ask(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> io::Result<Option<RouteNetlinkMessage>> {
        self.sequence += 1;
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | flags;
        request.header.sequence_number = self.sequence;
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        let (answer, _) = self.socket.recv_from_full()?;
        let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer)
            .map_err(|error| io::Error::other(error.to_string()))?;
        match answer.payload {
            NetlinkPayload::InnerMessage(message) => Ok(Some(message)),
            NetlinkPayload::Error(error) if error.code.is_some() => Err(error.to_io()),
            NetlinkPayload::Error(_)
            | NetlinkPayload::Done(_)
            | NetlinkPayload::Noop
            | NetlinkPayload::Overrun(_)
            | _ => Ok(None),
        }
    }
}

fn route_message(
    destination: AddressPrefix,
    gateway: IpAddr,
    metric: Metric,
) -> io::Result<RouteMessage> {
    let route = RouteMessageBuilder::<IpAddr>::new()
        .destination_prefix(destination.0, destination.1)
        .and_then(|route| route.gateway(gateway))
        .map_err(io::Error::other)?;
    let route = route.priority(metric.0).protocol(RouteProtocol::Dhcp);
    Ok(route.build())
}

fn address_message(index: IfIndex, address: AddressPrefix) -> AddressMessage {
    let AddressPrefix(address, length) = address;
    match address {
        IpAddr::V4(address) => AddressMessageBuilder::<Ipv4Addr>::new()
            .index(index.get())
            .address(address, length)
            .build(),
        IpAddr::V6(address) => {
            let mut message = AddressMessageBuilder::<Ipv6Addr>::new()
                .index(index.get())
                .address(address, length)
                .build();
            // Else it is tentative until a worker of the kernel has seen it, even on the loopback,
            // and no socket can bind to it.
            let at_once = AddressAttribute::Flags(AddressFlags::Nodad);
            message.attributes.push(at_once);
            message
        }
    }
}

fn output_interface(answer: RouteNetlinkMessage) -> Option<IfIndex> {
    let RouteNetlinkMessage::NewRoute(route) = answer else {
        return None;
    };
    route.attributes.iter().find_map(|attribute| {
        if let RouteAttribute::Oif(index) = attribute {
            IfIndex::new(*index)
        } else {
            None
        }
    })
}

fn is_no_route(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENETUNREACH | libc::EHOSTUNREACH)
    )
}
