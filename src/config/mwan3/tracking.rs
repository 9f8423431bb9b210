//! By which method mwan3 tracks an address, and the target that does the same.

use super::source::note;
use crate::config::uci_text::UciSection;

/// How an address is tracked.
pub(super) enum TrackMethod {
    Ping,
    Connect { port: u16 },
    Lookup,
}

impl TrackMethod {
    pub(super) fn target(&self, address: &str) -> String {
        match self {
            Self::Ping => address.to_owned(),
            Self::Connect { port } => {
                let host = address.split('/').next().unwrap_or(address);
                let is_bare_ipv6 = host.matches(':').count() > 1 && !host.starts_with('[');
                let has_port =
                    !is_bare_ipv6 && host.rsplit(']').next().is_some_and(|end| end.contains(':'));
                match (is_bare_ipv6, has_port) {
                    (true, _) => format!("tcp://[{host}]:{port}"),
                    (false, true) => format!("tcp://{host}"),
                    (false, false) => format!("tcp://{host}:{port}"),
                }
            }
            Self::Lookup if address.contains(':') => format!("dns://[{address}]/www.google.com"),
            Self::Lookup => format!("dns://{address}/www.google.com"),
        }
    }
}

pub(super) fn method(interface: &UciSection, remarks: &mut Vec<String>) -> TrackMethod {
    let name = interface.get("track_method").unwrap_or("ping");
    let is_tls = interface.is_set("httping_ssl");
    let (method, remark) = match name {
        "ping" | "nping-icmp" => (TrackMethod::Ping, ""),
        "httping" => (
            TrackMethod::Connect {
                port: if is_tls { 443 } else { 80 },
            },
            "differently: that the server accepts or refuses a connection is an answer. Add a page, such \
             as http://HOST/generate_204, to detect a captive portal",
        ),
        "nping-tcp" => (
            TrackMethod::Connect { port: 80 },
            "as here: a connection to port 80",
        ),
        "nslookup" => (
            TrackMethod::Lookup,
            "as here: a question to each of these servers",
        ),
        "arping" | "nping-arp" => (
            TrackMethod::Ping,
            "no counterpart: pinged. A neighbour that answers does not mean that there is an internet \
             beyond it: take addresses out there",
        ),
        "nping-udp" => (TrackMethod::Ping, "no counterpart: pinged"),
        _ => (
            TrackMethod::Ping,
            "unknown to mwan3 2.12, which pings as well",
        ),
    };
    if !remark.is_empty() {
        note(
            remarks,
            format_args!("{}: {remark}.", interface.cite("track_method")),
        );
    }
    if is_tls && name != "httping" {
        remarks.push("httping_ssl: without httping of no effect, left out.".to_owned());
    } else if is_tls {
        let remark = "httping_ssl '1': the connection goes to port 443, without TLS.";
        remarks.push(remark.to_owned());
    }
    method
}
