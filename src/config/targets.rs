//! Targets: a text, or a table of a page and what it must answer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::addresses::is_global_host;
use super::document::{ConfigValue, Entries};
use super::error::{Fault, Hint};
use super::kinds::{Own, own, text};
use crate::units::{
    Host, HostName, HttpTarget, PageExpectation, Scheme, Target, TargetError, TargetFault,
};

/// A target that shows whether an uplink works.
pub(super) const TARGET: Own<Target> = own(
    "an address, or a target with a scheme such as tcp://HOST:PORT",
    target,
);

fn target(value: &ConfigValue) -> Result<Target, Fault> {
    let target: Target = match value.as_table() {
        Some(entries) => page(entries)?,
        None => parsed(text(value)?)?,
    };
    let useless = |reason| useless(&target.to_string(), reason);
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
        Host::Name(name) if is_this_machine(name.as_str()) => {
            Err(useless("is this machine itself"))
        }
        Host::Address(_) | Host::Name(_) => Ok(target),
    }
}

/// `localhost`, and every name below it (RFC 6761, 6.3).
fn is_this_machine(name: &str) -> bool {
    let last = name.trim_end_matches('.').rsplit('.').next();
    last.is_some_and(|last| last.eq_ignore_ascii_case("localhost"))
}

fn useless(target: &str, reason: impl Into<String>) -> Fault {
    Fault::UselessTarget {
        target: target.to_owned(),
        reason: reason.into(),
    }
}

/// A target of a text. What has no scheme is most often a name, or an address with a slip in it.
fn parsed(text: &str) -> Result<Target, Fault> {
    text.parse().map_err(|error: TargetError| {
        let is_without_scheme = error.fault == TargetFault::Address;
        if text.trim().is_empty() {
            return useless(text, "is empty: write an address such as 1.1.1.1");
        }
        if is_this_machine(text) {
            return useless(text, "is this machine itself");
        }
        if let Some(target) = near_scheme(text) {
            return useless(text, format!("has a slip in its scheme: write {target}"));
        }
        if let Some(address) = near_address(text) {
            return useless(text, format!("is no address: write {address}"));
        }
        if !is_without_scheme {
            return error.into();
        }
        let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
        let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let is_numeric = text.split('.').all(are_digits);
        let is_ipv6 = in_brackets(host).is_some();
        let is_host =
            is_ipv6 || host.parse::<Ipv4Addr>().is_ok() || HostName::parse(host).is_some();
        if is_numeric {
            useless(text, "is no address: four numbers from 0 to 255")
        } else if are_digits(port) && is_host {
            useless(text, format!("has no scheme: write tcp://{text}"))
        } else if text.matches(':').count() > 1 {
            let reason =
                "is no address: groups of up to four digits, 0 to 9 and a to f, with `:` between";
            useless(text, reason)
        } else if is_host && text.contains('.') {
            let text = text.trim_end_matches('.');
            let reason = format!(
                "is a name, and a ping goes to an address: write an address, tcp://{text}:443, \
                 http://{text}/ or dns://9.9.9.9/{text}"
            );
            useless(text, reason)
        } else {
            error.into()
        }
    })
}

/// The target in a text with a scheme in capitals, or without all of `://`.
fn near_scheme(text: &str) -> Option<Target> {
    let end = text.find(|c: char| !c.is_ascii_alphabetic())?;
    let (scheme, rest) = text.split_at(end);
    let rest = rest.trim_start_matches([':', '/', '\\']);
    let is_other = !text.starts_with(&format!("{scheme}://")) || scheme != scheme.to_lowercase();
    let meant = format!("{}://{rest}", scheme.to_lowercase());
    meant.parse().ok().filter(|_| is_other)
}

/// The address in a text that adds a length, brackets, spaces or the scheme of a ping, which has none.
fn near_address(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_end_matches('.');
    let bare = ["icmp://", "ping://"];
    let text = bare
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme))
        .unwrap_or(text);
    let (text, length) = text.split_once('/').unwrap_or((text, ""));
    let is_length = length.bytes().all(|byte| byte.is_ascii_digit());
    let address = text.parse().ok().or_else(|| in_brackets(text));
    address.filter(|_| is_length)
}

fn in_brackets(text: &str) -> Option<IpAddr> {
    let inside = text.strip_prefix('[')?.strip_suffix(']')?;
    inside.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
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
    let target = parsed(text(&url.value)?)?;
    let Target::Http(page) = &target else {
        return Err(useless(
            &target.to_string(),
            "is no web page: only http:// and https:// stand in a table",
        ));
    };
    let mut page = HttpTarget::clone(page);
    let fault = |fault| TargetError {
        target: target.to_string(),
        fault,
    };
    if let Some(status) = entries.get("status") {
        let ConfigValue::Integer(number) = status.value else {
            return Err(Fault::value(&status.value, "a status such as 200"));
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
