//! The internet: a few hosts that answer ICMP (the kernel does), UDP echo, DNS, TCP and HTTP.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};

use crate::lab::error::{Doing, LabError};
use crate::lab::namespace::Namespace;
use crate::lab::shutdown::{self, Shutdown, ShutdownHandle};

/// The hosts that uplinks are probed with (RFC 5737).
pub const TARGETS: [Ipv4Addr; 3] = [
    Ipv4Addr::new(192, 0, 2, 1),
    Ipv4Addr::new(198, 51, 100, 1),
    Ipv4Addr::new(203, 0, 113, 1),
];
/// The host that echoes the client's stream; no target, so that filtering one leaves it alone.
pub const ECHO: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 80);
/// The same hosts by IPv6 (RFC 3849).
pub const TARGETS6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0x2001, 0xdb8, 0xff, 1, 0, 0, 0, 1),
    Ipv6Addr::new(0x2001, 0xdb8, 0xff, 2, 0, 0, 0, 1),
    Ipv6Addr::new(0x2001, 0xdb8, 0xff, 3, 0, 0, 0, 1),
];
/// The host that echoes the client's stream, by IPv6.
pub const ECHO6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xff, 3, 0, 0, 0, 0x80);
/// UDP echo (RFC 862).
pub const ECHO_PORT: u16 = 7;

const DNS_PORT: u16 = 53;
const TCP_PORTS: [u16; 3] = [53, 80, 443];
/// How long a TCP client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(1);

/// Runs the services until the handles are dropped.
pub(super) fn serve(internet: &Namespace) -> Result<Vec<ShutdownHandle>, LabError> {
    let start = || -> io::Result<Vec<ShutdownHandle>> {
        let (udp_line, udp_shutdown) = shutdown::pair()?;
        let (tcp_line, tcp_shutdown) = shutdown::pair()?;
        let bind = |host: IpAddr, port| internet.run(|| UdpSocket::bind((host, port)));
        let echo = [ECHO.into(), ECHO6.into()].map(|host| bind(host, ECHO_PORT));
        let echo = echo.into_iter().collect::<io::Result<Vec<_>>>()?;
        let targets = TARGETS.map(IpAddr::from).into_iter();
        let targets = targets.chain(TARGETS6.map(IpAddr::from));
        let dns = targets.map(|host| bind(host, DNS_PORT));
        let dns = dns.collect::<io::Result<Vec<_>>>()?;
        // It hears IPv4 as well.
        let tcp =
            TCP_PORTS.map(|port| internet.run(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))));
        let tcp = tcp.into_iter().collect::<io::Result<Vec<_>>>()?;
        internet.spawn("udp", move || serve_udp(&echo, &dns, &udp_shutdown))?;
        internet.spawn("tcp", move || serve_tcp(&tcp, &tcp_shutdown))?;
        Ok(vec![udp_line, tcp_line])
    };
    start().doing(|| "start the services of the internet".to_owned())
}

fn serve_udp(echo: &[UdpSocket], dns: &[UdpSocket], shutdown: &Shutdown) {
    let sockets: Vec<_> = echo.iter().chain(dns).collect();
    if sockets.iter().any(|s| s.set_nonblocking(true).is_err()) {
        return;
    }
    let mut buffer = [0; 1500];
    while wait(&sockets, shutdown) {
        for socket in echo {
            while let Ok((length, client)) = socket.recv_from(&mut buffer) {
                // A reply that cannot be sent is a lost packet.
                drop(socket.send_to(&buffer[..length], client));
            }
        }
        for socket in dns {
            answer_dns(socket, &mut buffer);
        }
    }
}

fn answer_dns(socket: &UdpSocket, buffer: &mut [u8]) {
    while let Ok((length, client)) = socket.recv_from(buffer) {
        if let Some(answer) = dns_answer(&buffer[..length]) {
            drop(socket.send_to(&answer, client));
        }
    }
}

/// The answer of a server for which every name has the address [`ECHO`] (RFC 1035).
fn dns_answer(query: &[u8]) -> Option<Vec<u8>> {
    const HEADER: usize = 12;
    let name = query
        .get(HEADER..)?
        .iter()
        .position(|length| *length == 0)?;
    let question = query.get(HEADER..HEADER + name + 5)?;
    let mut answer = query.get(..2)?.to_vec();
    // Response, recursion desired and available; one question, one answer.
    answer.extend([0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
    answer.extend(question);
    // The name of the question, type A, class IN, 60 s, four bytes.
    answer.extend([0xC0, 0x0C, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
    answer.extend(ECHO.octets());
    Some(answer)
}

fn serve_tcp(listeners: &[TcpListener], shutdown: &Shutdown) {
    if listeners.iter().any(|l| l.set_nonblocking(true).is_err()) {
        return;
    }
    let listeners: Vec<_> = listeners.iter().collect();
    while wait(&listeners, shutdown) {
        for listener in &listeners {
            while let Ok((client, _)) = listener.accept() {
                // A client that goes away in the middle harms only itself.
                drop(answer_http(&client));
            }
        }
    }
}

fn answer_http(mut client: &TcpStream) -> io::Result<()> {
    let is_http = client.local_addr().as_ref().map(SocketAddr::port).ok() == Some(80);
    if !is_http {
        return Ok(());
    }
    client.set_nonblocking(false)?;
    client.set_read_timeout(Some(PATIENCE))?;
    let mut request = [0; 1024];
    let length = client.read(&mut request)?;
    let wants_nothing = request[..length].starts_with(b"GET /generate_204 ");
    let answer: &[u8] = if wants_nothing {
        b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
    } else {
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nlab"
    };
    client.write_all(answer)
}

/// Waits until there is something to do; false when the owner has gone.
pub(super) fn wait<S: AsFd>(sockets: &[&S], shutdown: &Shutdown) -> bool {
    let mut watched: Vec<_> = sockets
        .iter()
        .map(|socket| socket.as_fd())
        .chain([shutdown.as_fd()])
        .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
        .collect();
    let polled = ppoll(&mut watched, None, None);
    matches!(polled, Ok(_) | Err(Errno::EINTR)) && !shutdown.is_requested()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_one_address_and_garbage_gets_no_answer() {
        let mut query = vec![0xAB, 0xCD, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        query.extend(b"\x03lab\x04test\x00\x00\x01\x00\x01");
        let answer = dns_answer(&query).expect("a question of one name");
        assert_eq!(answer[..2], [0xAB, 0xCD]);
        assert!(answer.ends_with(&ECHO.octets()));
        for length in 0..query.len() {
            assert_eq!(dns_answer(&query[..length]), None);
        }
    }
}
