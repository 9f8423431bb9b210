//! From a value in the file to the type that stands for it, or to what is wrong with it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ipnet::{IpNet, Ipv6Net};

use super::error::Hint;
use super::raw::{Entries, Value};
use super::{Fault, UbusPlace};
use crate::routing::traffic::{Marks, Ports};
use crate::routing::{Gateway, Prefixes};
use crate::units::{
    Bytes, Host, HttpTarget, IpProtocol, Loss, Mark, PageExpectation, Scheme, Target, TargetError,
};

/// A text.
pub(super) fn text(value: &Value) -> Result<&str, Fault> {
    value
        .as_text()
        .ok_or_else(|| kind("a text in quotes", value))
}

/// A name of any kind.
pub(super) fn name<T>(value: &Value) -> Result<T, Fault>
where
    T: FromStr,
    Fault: From<T::Err>,
{
    Ok(text(value)?.parse()?)
}

/// A name, or an empty text for none.
pub(super) fn name_or_none<T>(value: &Value) -> Result<Option<T>, Fault>
where
    T: FromStr,
    Fault: From<T::Err>,
{
    if text(value)?.is_empty() {
        return Ok(None);
    }
    name(value).map(Some)
}

/// A whole number within bounds.
pub(super) fn integer<T: TryFrom<i64>>(
    bounds: &[RangeInclusive<i64>],
) -> impl Fn(&Value) -> Result<T, Fault> {
    move |value| {
        let number = value.as_integer();
        let number = number.ok_or_else(|| kind("a whole number", value))?;
        let is_within = bounds.iter().any(|range| range.contains(&number));
        T::try_from(number)
            .ok()
            .filter(|_| is_within)
            .ok_or_else(|| {
                let ranges: Vec<_> = bounds
                    .iter()
                    .map(|range| format!("{} to {}", range.start(), range.end()))
                    .collect();
                bound(value, ranges.join(" or "))
            })
    }
}

/// A duration with a unit, within bounds.
pub(super) fn duration(
    bounds: RangeInclusive<Duration>,
) -> impl Fn(&Value) -> Result<Duration, Fault> {
    const EXPECTED: &str = "a duration with a unit, such as \"1s\" or \"250ms\"";
    move |value| {
        let duration = (value.as_text())
            .and_then(|text| humantime::parse_duration(text).ok())
            .ok_or_else(|| kind(EXPECTED, value))?;
        if bounds.contains(&duration) {
            return Ok(duration);
        }
        let (low, high) = (show(*bounds.start()), show(*bounds.end()));
        Err(bound(value, format!("{low} to {high}")))
    }
}

/// An amount of data with a unit, within bounds.
pub(super) fn bytes(bounds: RangeInclusive<Bytes>) -> impl Fn(&Value) -> Result<Bytes, Fault> {
    const EXPECTED: &str = "an amount of data with a unit, such as \"50MB\"";
    move |value| {
        let bytes = value.as_text().and_then(|text| text.parse().ok());
        let bytes = bytes.ok_or_else(|| kind(EXPECTED, value))?;
        if bounds.contains(&bytes) {
            return Ok(bytes);
        }
        let (low, high) = (bounds.start(), bounds.end());
        Err(bound(value, format!("{low} to {high}")))
    }
}

/// Yes or no.
pub(super) fn boolean(value: &Value) -> Result<bool, Fault> {
    let answer = value.as_boolean();
    answer.ok_or_else(|| kind("true or false", value))
}

/// A duration as a person writes it.
pub(super) fn show(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// A number, whole or not, within bounds.
pub(super) fn number(bounds: RangeInclusive<f64>) -> impl Fn(&Value) -> Result<f64, Fault> {
    move |value| {
        let number = value.as_number().ok_or_else(|| kind("a number", value))?;
        if bounds.contains(&number) {
            return Ok(number);
        }
        Err(bound(
            value,
            format!("{} to {}", bounds.start(), bounds.end()),
        ))
    }
}

/// A share in percent.
pub(super) fn percent(value: &Value) -> Result<Loss, Fault> {
    let number = value.as_number();
    let number = number.ok_or_else(|| kind("a number of percent", value))?;
    (0.0..=100.0)
        .contains(&number)
        .then(|| Loss::from_percent(number))
        .ok_or_else(|| bound(value, "0 to 100 percent".to_owned()))
}

/// One of these names.
pub(super) fn one_of<T: FromStr + PartialEq + std::fmt::Display>(
    known: &[&T],
) -> impl Fn(&Value) -> Result<T, Fault>
where
    Fault: From<T::Err>,
{
    move |value| {
        let name: T = name(value)?;
        if known.contains(&&name) {
            return Ok(name);
        }
        let quoted: Vec<_> = known.iter().map(|one| format!("\"{one}\"")).collect();
        Err(Fault::Choice {
            value: value.to_string(),
            choices: if quoted.is_empty() {
                "the name of a group, and there is none".to_owned()
            } else {
                quoted.join(" or ")
            },
            hint: Hint::None,
        })
    }
}

/// A prefix or an address, or a list of them.
pub(super) fn nets(value: &Value) -> Result<Vec<IpNet>, Fault> {
    match value.as_items(0).as_deref() {
        Some([]) => Err(kind("a prefix or a list of them", value)),
        Some(nodes) => nodes.iter().map(|node| net(&node.value)).collect(),
        None => Ok(vec![net(value)?]),
    }
}

fn net(value: &Value) -> Result<IpNet, Fault> {
    let text = text(value)?;
    let address = text.parse::<IpAddr>().ok().map(IpNet::from);
    let net = text.parse().ok().or(address);
    // One of no length is everything, which the kernel does not list as a prefix.
    let is_whole = |net: &IpNet| net.addr() == net.network() && net.prefix_len() > 0;
    net.filter(is_whole).ok_or_else(|| {
        let expected = "a prefix such as \"192.168.1.0/24\", or an address";
        bound(value, expected.to_owned())
    })
}

/// The protocols whose packets have ports: TCP, UDP, DCCP and SCTP.
pub(super) const WITH_PORTS: [u8; 4] = [6, 17, 33, 132];

/// A transport protocol by its name or number.
pub(super) fn protocol(value: &Value) -> Result<IpProtocol, Fault> {
    const NAMES: &[(&str, u8)] = &[
        ("tcp", 6),
        ("udp", 17),
        ("icmp", 1),
        ("icmpv6", 58),
        ("sctp", 132),
        ("dccp", 33),
        ("gre", 47),
        ("esp", 50),
        ("ah", 51),
    ];
    match value.as_integer() {
        Some(_) => integer(&[1..=255])(value).map(IpProtocol),
        None => word(NAMES)(value).map(IpProtocol),
    }
}

/// `443`, `"443"` or `"5060-5080"`.
pub(super) fn ports(value: &Value) -> Result<Ports, Fault> {
    let text = number_or_text(value);
    let text = text.ok_or_else(|| kind("a port or a range such as \"5060-5080\"", value))?;
    let (first, last) = text.split_once('-').unwrap_or((&text, &text));
    let port = |text: &str| text.trim().parse().ok().filter(|port: &u16| *port > 0);
    match (port(first), port(last)) {
        (Some(first), Some(last)) if first <= last => Ok(Ports { first, last }),
        (_, _) => {
            let expected = "a port from 1 to 65535, or a range such as \"5060-5080\"";
            Err(bound(value, expected.to_owned()))
        }
    }
}

/// `"0x10"`, or with the bits that count: `"0x10/0xff"`.
pub(super) fn marks(value: &Value) -> Result<Marks, Fault> {
    let given = number_or_text(value);
    let given = given.ok_or_else(|| kind("a mark such as \"0x10\" or \"0x10/0xff\"", value))?;
    let (mark, bits) = given.split_once('/').unwrap_or((&given, "0xffffffff"));
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    match (number(mark), number(bits)) {
        (Some(mark), Some(bits)) if mark != 0 && mark & bits == mark => Ok(Marks {
            mark: Mark(mark),
            mask: Mark(bits),
        }),
        (_, _) => {
            let expected =
                "a mark such as \"0x10\", or \"0x10/0xff\" with all its bits in the mask";
            Err(bound(value, expected.to_owned()))
        }
    }
}

/// What may be written either way.
fn number_or_text(value: &Value) -> Option<String> {
    match value.as_text() {
        Some(text) => Some(text.to_owned()),
        None => value.as_integer().map(|number| number.to_string()),
    }
}

/// One of several words.
pub(super) fn word<T: Copy>(
    choices: &'static [(&'static str, T)],
) -> impl Fn(&Value) -> Result<T, Fault> {
    move |value| {
        let given = text(value)?;
        if let Some((_, meaning)) = choices.iter().find(|(word, _)| *word == given) {
            return Ok(*meaning);
        }
        let words = || choices.iter().map(|(word, _)| *word);
        let quoted: Vec<_> = words().map(|word| format!("\"{word}\"")).collect();
        Err(Fault::Choice {
            value: value.to_string(),
            choices: quoted.join(" or "),
            hint: Hint::nearest(given, words()),
        })
    }
}

/// An absolute path that a Unix socket can be bound to.
pub(super) fn socket_path(value: &Value) -> Result<PathBuf, Fault> {
    // `sun_path` (unix(7)) holds 108 bytes with the final zero.
    const MAX_BYTES: usize = 107;
    let path = text(value)?;
    let is_absolute = path.starts_with('/') && !path.ends_with('/') && !path.contains('\0');
    if is_absolute && path.len() <= MAX_BYTES {
        Ok(PathBuf::from(path))
    } else {
        let expected = format!("an absolute path of at most {MAX_BYTES} bytes");
        Err(bound(value, expected))
    }
}

/// An absolute path of a directory.
pub(super) fn directory(value: &Value) -> Result<PathBuf, Fault> {
    let path = text(value)?;
    if path.starts_with('/') && !path.contains('\0') {
        Ok(PathBuf::from(path))
    } else {
        Err(bound(value, "an absolute path".to_owned()))
    }
}

/// The absolute path of a file, or none.
pub(super) fn file_or_off(value: &Value) -> Result<Option<PathBuf>, Fault> {
    match text(value)? {
        "off" => Ok(None),
        path if path.starts_with('/') && !path.ends_with('/') && !path.contains('\0') => {
            Ok(Some(PathBuf::from(path)))
        }
        _ => Err(bound(
            value,
            "\"off\" or the absolute path of a file".to_owned(),
        )),
    }
}

/// The path of the socket of ubusd, or how it is found.
pub(super) fn ubus(value: &Value) -> Result<UbusPlace, Fault> {
    match text(value)? {
        "auto" => Ok(UbusPlace::Auto),
        "off" => Ok(UbusPlace::Off),
        _ => socket_path(value).map(UbusPlace::At).map_err(|_| {
            let expected = "\"auto\", \"off\" or the absolute path of a socket";
            bound(value, expected.to_owned())
        }),
    }
}

/// An IPv4 next hop, or where it comes from.
pub(super) fn gateway(value: &Value) -> Result<Gateway, Fault> {
    match text(value)? {
        "auto" => Ok(Gateway::Auto),
        "none" => Ok(Gateway::None),
        address => match address.parse::<Ipv4Addr>() {
            Ok(address) if is_host(address) => Ok(Gateway::Address(address.into())),
            Ok(_) | Err(_) => Err(bound(
                value,
                "\"auto\", \"none\" or the IPv4 address of a router".to_owned(),
            )),
        },
    }
}

/// An IPv6 next hop, or where it comes from.
pub(super) fn gateway6(value: &Value) -> Result<Gateway, Fault> {
    match text(value)? {
        "auto" => Ok(Gateway::Auto),
        "none" => Ok(Gateway::None),
        address => match address.parse::<Ipv6Addr>() {
            Ok(address) if is_router(address) => Ok(Gateway::Address(address.into())),
            Ok(_) | Err(_) => Err(bound(
                value,
                "\"auto\", \"none\" or the IPv6 address of a router".to_owned(),
            )),
        },
    }
}

fn is_router(address: Ipv6Addr) -> bool {
    let is_nobody = address.is_unspecified() || address.is_multicast() || address.is_loopback();
    !is_nobody && address.to_ipv4_mapped().is_none()
}

/// The IPv6 prefixes that a provider delegates, or where they are learnt.
pub(super) fn prefixes(value: &Value) -> Result<Prefixes, Fault> {
    const EXPECTED: &str = "\"auto\" or a list of IPv6 prefixes";
    if value.as_text() == Some("auto") {
        return Ok(Prefixes::Auto);
    }
    let nodes = value.as_items(0).ok_or_else(|| kind(EXPECTED, value))?;
    let prefixes = nodes.iter().map(|node| prefix(&node.value));
    Ok(Prefixes::Listed(prefixes.collect::<Result<_, _>>()?))
}

fn prefix(value: &Value) -> Result<Ipv6Net, Fault> {
    let is_delegated = |net: &Ipv6Net| {
        let is_whole = net.addr() == net.network() && net.prefix_len() > 0;
        is_whole && is_router(net.addr()) && !net.addr().is_unicast_link_local()
    };
    let prefix = text(value)?.parse().ok();
    prefix.filter(is_delegated).ok_or_else(|| {
        let expected = "the prefix of a network, such as \"2001:db8:1::/48\"";
        bound(value, expected.to_owned())
    })
}

/// A target that a probe through an uplink can tell something about: a text, or a table of a page
/// and what it must answer.
pub(super) fn target(value: &Value) -> Result<Target, Fault> {
    let target: Target = match value.as_table() {
        Some(entries) => page(entries)?,
        None => name(value)?,
    };
    let useless = |reason| Fault::UselessTarget {
        target: target.to_string(),
        reason,
    };
    let needs_tls = matches!(&target, Target::Http(page) if page.scheme == Scheme::Https);
    if needs_tls && !cfg!(feature = "tls") {
        return Err(useless(
            "is https, which needs a build with the feature tls",
        ));
    }
    match target.host() {
        Host::Address(address) if address.is_loopback() => Err(useless("is this machine itself")),
        Host::Address(address) if !is_global_host(address) => {
            Err(useless("is not the address of one host on the internet"))
        }
        Host::Address(_) | Host::Name(_) => Ok(target),
    }
}

/// `{ url = "http://…", status = 200, text = "Success" }`
fn page(entries: &Entries) -> Result<Target, Fault> {
    const KEYS: [&str; 3] = ["url", "status", "text"];
    if let Some(key) = entries.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(Fault::TargetKey {
            key: key.clone(),
            hint: Hint::nearest(key, KEYS),
        });
    }
    let url = entries.get("url").ok_or(Fault::Missing(
        "the `url` of the target, as in { url = \"http://example.com/\", status = 200 }",
    ))?;
    let target = name::<Target>(&url.value)?;
    let Target::Http(page) = &target else {
        return Err(Fault::UselessTarget {
            target: target.to_string(),
            reason: "is no web page: only http:// and https:// stand in a table",
        });
    };
    let mut page = HttpTarget::clone(page);
    let fault = |fault| TargetError {
        target: target.to_string(),
        fault,
    };
    if let Some(status) = entries.get("status") {
        let Value::Integer(number) = status.value else {
            return Err(kind("a status such as 200", &status.value));
        };
        let expect = PageExpectation::of_status(&number.to_string());
        page = page.expecting(expect.map_err(fault)?)?;
    }
    if let Some(node) = entries.get("text") {
        let expect = PageExpectation::of_text(text(&node.value)?.to_owned());
        page = page.expecting(expect.map_err(fault)?)?;
    }
    Ok(Target::Http(page.into()))
}

/// The address of a name server.
pub(super) fn resolver(value: &Value) -> Result<IpAddr, Fault> {
    match text(value)?.parse() {
        Ok(address) if is_global_host(address) => Ok(address),
        Ok(_) | Err(_) => Err(bound(
            value,
            "the address of a name server beyond this machine".to_owned(),
        )),
    }
}

fn is_global_host(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_host(address),
        IpAddr::V6(address) => {
            let is_nobody = address.is_unspecified() || address.is_multicast();
            let is_local = address.is_loopback() || address.is_unicast_link_local();
            !is_nobody && !is_local && address.to_ipv4_mapped().is_none()
        }
    }
}

fn is_host(address: Ipv4Addr) -> bool {
    let is_nobody = address.octets()[0] == 0;
    !(is_nobody || address.is_multicast() || address.is_broadcast() || address.is_loopback())
}

fn kind(expected: &'static str, found: &Value) -> Fault {
    let found = found.to_string();
    Fault::Kind { expected, found }
}

fn bound(value: &Value, bound: String) -> Fault {
    let value = value.to_string();
    Fault::Bound { value, bound }
}
