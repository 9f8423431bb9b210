//! What is probed: a host on the internet and how.

mod dns;
mod fault;
mod host;
mod http;
mod wire_cost;

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use dns::{DnsTarget, RecordType};
pub use fault::{TargetError, TargetFault};
pub use host::{Endpoint, Host, HostName};
pub use http::{HttpTarget, PageExpectation, Scheme};
pub use wire_cost::WireCost;

/// A probe target as the configuration writes it: a bare address is an ICMP echo, anything else
/// names its scheme. Its text parses back to the same target. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Target {
    /// `192.0.2.1`: ICMP echo request and reply.
    Icmp(IpAddr),
    /// `tcp://192.0.2.1:443`: a TCP connection, accepted or refused: both are answers of the far end.
    Tcp(Endpoint),
    /// `http://192.0.2.80/generate_204`: a web page that must be the expected one. The landing page of a
    /// captive portal is not.
    Http(Arc<HttpTarget>),
    /// `dns://192.0.2.53/example.com`: a query that a resolver must answer without an error.
    Dns(DnsTarget),
}

impl Target {
    /// The destination of its probes.
    pub fn host(&self) -> Host {
        match self {
            Self::Icmp(address) => Host::Address(*address),
            Self::Tcp(endpoint) => endpoint.host.clone(),
            Self::Http(target) => target.endpoint.host.clone(),
            Self::Dns(target) => Host::Address(target.server.ip()),
        }
    }

    /// The address of the destination; none if a name has to be resolved.
    pub fn address(&self) -> Option<IpAddr> {
        match self.host() {
            Host::Address(address) => Some(address),
            Host::Name(_) => None,
        }
    }

    /// What a probe puts on the wire at most.
    pub fn wire_cost(&self) -> WireCost {
        match self {
            Self::Icmp(address) => WireCost::echo(*address),
            Self::Tcp(_) => WireCost::CONNECTION,
            Self::Http(target) => target.wire_cost(),
            Self::Dns(target) => target.wire_cost(),
        }
    }
}

type Parse = fn(&str) -> Result<Target, TargetFault>;

/// The schemes of targets, and how the text behind `://` is read.
const SCHEMES: [(&str, Parse); 4] = [
    ("tcp", |rest| Endpoint::parse(rest, None).map(Target::Tcp)),
    ("http", |rest| http(Scheme::Http, rest)),
    ("https", |rest| http(Scheme::Https, rest)),
    ("dns", |rest| DnsTarget::parse(rest).map(Target::Dns)),
];

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let parsed = match text.split_once("://") {
            None => { text.parse().map(Self::Icmp) }.map_err(|_| TargetFault::Address),
            Some((scheme, rest)) => match SCHEMES.iter().find(|(known, _)| *known == scheme) {
                Some((_, parse)) => parse(rest),
                None => Err(TargetFault::scheme(
                    scheme,
                    &SCHEMES.map(|(known, _)| known),
                )),
            },
        };
        parsed.map_err(|fault| TargetError {
            target: text.to_owned(),
            fault,
        })
    }
}

fn http(scheme: Scheme, rest: &str) -> Result<Target, TargetFault> {
    HttpTarget::parse(scheme, rest).map(|target| Target::Http(Arc::new(target)))
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Icmp(address) => address.to_string(),
            Self::Tcp(endpoint) => format!("tcp://{endpoint}"),
            Self::Http(target) => target.to_string(),
            Self::Dns(target) => target.to_string(),
        };
        f.pad(&text)
    }
}

impl TryFrom<String> for Target {
    type Error = TargetError;

    fn try_from(text: String) -> Result<Self, TargetError> {
        text.parse()
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::cases::cases;

    #[test]
    fn the_text_of_a_target_parses_back_to_it() {
        for text in [
            "192.0.2.1",
            "2001:db8::1",
            "tcp://192.0.2.1:443",
            "tcp://[2001:db8::1]:443",
            "tcp://www.example.com:443",
            "http://192.0.2.80/generate_204",
            "http://192.0.2.80:8080/a/b?c=d",
            "http://[2001:db8::1]/",
            "http://www.example.com/connecttest.txt#text=Microsoft%20Connect%20Test",
            "http://www.example.com/#status=301",
            "http://www.example.com/#status=200&text=%26%23%C3%A4",
            "https://www.example.com/generate_204",
            "dns://192.0.2.53/example.com",
            "dns://192.0.2.53:5353/.?type=NS",
            "dns://[2001:db8::53]/example.com?type=AAAA",
        ] {
            let target: Target = text.parse().expect(text);
            assert_eq!(target.to_string(), text);
        }
    }

    #[test]
    fn the_text_of_a_target_leaves_out_what_is_default() {
        for (long, short) in [
            ("http://WWW.Example.com.:80", "http://www.example.com/"),
            ("https://192.0.2.1:443/#", "https://192.0.2.1/"),
            (
                "dns://192.0.2.53:53/Example.COM.?type=a",
                "dns://192.0.2.53/example.com",
            ),
            ("http://192.0.2.1?x=y", "http://192.0.2.1/?x=y"),
        ] {
            let target: Target = long.parse().expect(long);
            assert_eq!(target.to_string(), short);
        }
    }

    #[test]
    fn generate_204_must_answer_204_and_other_pages_200_to_299() {
        let expected = |text: &str| match text.parse() {
            Ok(Target::Http(target)) => [200, 204, 302].map(|status| target.is_status(status)),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(
            expected("http://192.0.2.1/generate_204"),
            [false, true, false]
        );
        assert_eq!(expected("http://192.0.2.1/gen_204?x"), [true, true, false]);
        assert_eq!(expected("http://192.0.2.1/"), [true, true, false]);
        assert_eq!(
            expected("http://192.0.2.1/#status=302"),
            [false, false, true]
        );
    }

    #[test]
    fn a_bad_target_is_refused_with_what_is_allowed() {
        for (text, says) in [
            ("example", "is no address and has no scheme such as tcp://"),
            ("htp://192.0.2.1/", "scheme `htp`"),
            ("htp://192.0.2.1/", "did you mean `http://`?"),
            ("tcp://192.0.2.1", "needs a port"),
            ("tcp://192.0.2.1:0", "port `0`: must be 1 to 65535"),
            ("tcp://192.0.2.1:65536", "port `65536`: must be 1 to 65535"),
            ("tcp://2001:db8::1:443", "as in [2001:db8::1]:443"),
            ("tcp://2001:db8::1", "as in [2001:db8::1]:443"),
            ("tcp://:443", "`` is no host"),
            ("tcp://1.2.3:443", "`1.2.3` is no host"),
            ("tcp://me@example.com:443", "`me@example.com` is no host"),
            ("tcp://example.com:443/x", "port `443/x`"),
            ("http:///generate_204", "`` is no host"),
            ("http://192.0.2.1/a b", "must be written as %XX"),
            ("http://192.0.2.1/\r\nX: y", "must be written as %XX"),
            (
                "http://192.0.2.1/#stauts=200",
                "unknown expectation `stauts`",
            ),
            ("http://192.0.2.1/#stauts=200", "did you mean `status`?"),
            (
                "http://192.0.2.1/#status=100",
                "status `100`: must be 200 to 599",
            ),
            ("http://192.0.2.1/#status=200&status=204", "twice"),
            ("http://192.0.2.1/#text=", "text ``: must be 1 to 256 bytes"),
            (
                "http://192.0.2.1/#text=%zz",
                "text `%zz`: must be 1 to 256 bytes",
            ),
            ("dns://example.com/example.com", "needs a numeric server"),
            ("dns://192.0.2.53", "needs a name to query"),
            ("dns://192.0.2.53/", "needs a name to query"),
            ("dns://192.0.2.53/a..b", "`a..b` is no name"),
            ("dns://192.0.2.53/example.com?type=AAA", "type `AAA`"),
            ("dns://192.0.2.53/example.com?typ=A", "unknown option `typ`"),
        ] {
            let error = text.parse::<Target>().expect_err(text).to_string();
            assert!(error.contains(says), "{error:?} does not say {says:?}");
            assert!(error.contains(text), "{error:?} does not name the target");
        }
    }

    /// Pieces that targets are made of, and some that they are not.
    const PIECES: [&str; 32] = [
        "http://",
        "https://",
        "tcp://",
        "dns://",
        "192.0.2.1",
        "[2001:db8::1]",
        "[",
        "]",
        ":",
        "80",
        "443",
        "53",
        "0",
        "/",
        "?",
        "#",
        "&",
        "=",
        "status=200",
        "text=",
        "type=",
        "AAAA",
        "%41",
        "%",
        "%c3%a4",
        "a",
        "Www.Example",
        ".",
        "..",
        "-_~",
        "@",
        "\u{e4} ",
    ];

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn a_target_that_parses_is_the_same_after_a_round_trip(
            pieces in prop::collection::vec(select(&PIECES[..]), 0..10),
        ) {
            if let Ok(target) = pieces.concat().parse::<Target>() {
                prop_assert_eq!(target.to_string().parse(), Ok(target));
            }
        }

        #[test]
        fn a_page_and_its_expectation_are_the_same_after_a_round_trip(
            status in prop::option::of(200..600_u16),
            text in prop::option::of(prop::collection::vec(any::<char>(), 1..64)),
        ) {
            let expect = PageExpectation { status, text: text.map(String::from_iter) };
            let page = HttpTarget::parse(Scheme::Http, "192.0.2.1/").expect("a page");
            let page = page.expecting(expect).expect("nothing twice");
            let target = Target::Http(Arc::new(page));
            prop_assert_eq!(target.to_string().parse(), Ok(target));
        }
    }
}
