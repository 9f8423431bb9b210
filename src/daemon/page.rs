//! The status page: what it consists of, and who may read it.

use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;

use crate::engine::event::record::EventRecord;
use crate::engine::status::Status;
use crate::history;
use crate::report::{Period, Subject, UplinkLimits, html};
use crate::samples::gather::SampleGatherer;
use crate::units::Wall;
use crate::web::{PageRequest, PageStatus, WebPage};

const PAGE: &str = include_str!("page/page.html");
const SCRIPT: &str = include_str!("page/page.js");
const HTML_TYPE: &str = "text/html; charset=utf-8";
/// Names of this machine in the network of a home or an office end with one of these.
const LOCAL_DOMAINS: [&str; 5] = ["", ".lan", ".local", ".home.arpa", ".internal"];

/// What pictures are made of.
pub(super) struct PictureSnapshot {
    pub(super) status: Status,
    pub(super) samples: SampleGatherer,
    /// Events that are not written yet.
    pub(super) waiting: Vec<EventRecord>,
    pub(super) state_dir: PathBuf,
    pub(super) limits: Vec<UplinkLimits>,
    pub(super) wall: Wall,
}

impl PictureSnapshot {
    /// The pictures of the last day. Reads the history: not for the loop.
    pub(super) fn day(&self) -> String {
        let stored = history::read(&self.state_dir).map(|stored| stored.events);
        let mut events = stored.unwrap_or_default();
        let is_written =
            |event: &EventRecord| events.iter().rev().take(256).any(|one| one == event);
        let waiting: Vec<_> = self
            .waiting
            .iter()
            .filter(|event| !is_written(event))
            .collect();
        let waiting: Vec<_> = waiting.into_iter().cloned().collect();
        events.extend(waiting);
        let uplinks = self.status.uplinks.iter();
        let running: Vec<_> = uplinks.map(|uplink| uplink.name.clone()).collect();
        let now = self.wall.at(self.wall.now()).0;
        let subject = Subject {
            events: &events,
            // The pictures have a period of their own.
            period: Period { from: now, to: now },
            running: Some(&running),
            samples: &self.samples.book(self.wall),
            rto: None,
        };
        html::day_pictures(&subject, &self.limits)
    }
}

/// Why a client gets none of the page, if so. A name that any owner of a domain may lead here is refused: a page of
/// that owner could read this one.
pub(super) fn refusal(request: &PageRequest, allow: &[IpNet]) -> Option<PageStatus> {
    let is_allowed =
        |peer: IpAddr| peer.is_loopback() || allow.iter().any(|network| network.contains(&peer));
    if !request.peer.is_none_or(is_allowed) {
        Some(PageStatus::Forbidden)
    } else if request
        .host
        .as_deref()
        .is_none_or(|host| !is_own(host, &own_name()))
    {
        Some(PageStatus::Misdirected)
    } else {
        None
    }
}

fn own_name() -> String {
    let name = nix::unistd::gethostname().ok();
    name.and_then(|name| name.into_string().ok())
        .unwrap_or_default()
}

/// A `Host` that is an address, or a name of this machine.
fn is_own(host: &str, own: &str) -> bool {
    let (name, port) = host.rsplit_once(':').unwrap_or((host, ""));
    let is_port = port.chars().all(|c| c.is_ascii_digit());
    let name = if is_port && !(host.contains('[') && host.ends_with(']')) {
        name
    } else {
        host
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    let is_named = |domain: &&str| {
        let short = name
            .len()
            .checked_sub(domain.len())
            .and_then(|length| name.split_at_checked(length));
        short.is_some_and(|(short, end)| {
            end.eq_ignore_ascii_case(domain) && short.eq_ignore_ascii_case(own)
        })
    };
    address.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || !own.is_empty() && LOCAL_DOMAINS.iter().any(is_named)
}

/// The parts that are the same for ever.
pub(super) fn fixed(path: &str) -> Option<WebPage> {
    let (media_type, body) = match path {
        "/" => (HTML_TYPE, PAGE),
        "/page.js" => ("text/javascript; charset=utf-8", SCRIPT),
        "/style.css" => ("text/css; charset=utf-8", html::STYLE),
        _ => return None,
    };
    Some(found(media_type, body))
}

/// The status, as `uplinkd status --json` has it.
pub(super) fn status(status: &Status) -> WebPage {
    serde_json::to_string(status).map_or_else(
        |_| WebPage::none(PageStatus::Unavailable),
        |text| found("application/json", &text),
    )
}

/// The pictures of the last day.
pub(super) fn day(pictures: &str) -> WebPage {
    found(HTML_TYPE, pictures)
}

fn found(media_type: &'static str, body: &str) -> WebPage {
    WebPage {
        status: PageStatus::Found,
        media_type,
        body: body.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_an_address_or_a_name_of_this_machine_and_no_name_that_others_own() {
        for host in [
            "127.0.0.1:9465",
            "127.0.0.1",
            "[::1]:9465",
            "[fd00::1]",
            "localhost:9465",
            "OpenWrt",
            "openwrt.lan:80",
            "openwrt.local",
            "openwrt.home.arpa",
        ] {
            assert!(is_own(host, "OpenWrt"), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "openwrt.evil.example",
            "127.0.0.1.evil.example:9465",
            "lan",
            "x.lan",
        ] {
            assert!(!is_own(host, "OpenWrt"), "{host}");
            assert!(!is_own(host, ""), "{host}");
        }
    }

    #[test]
    fn the_page_has_no_outside_resource_and_fits_12_kb_even_without_compression() {
        let all = [PAGE, SCRIPT, html::STYLE].concat();
        assert!(all.len() <= 12 * 1024, "{}", all.len());
        for outside in ["http:", "https:", "//", "@import"] {
            assert!(!all.contains(outside), "{outside}");
        }
    }
}
