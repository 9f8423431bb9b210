//! The error numbers that the kernel may answer, and what each means for each kind of request.

/// The kinds of requests for a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// `ip route add`
    AddRoute,
    /// `ip route replace`
    ReplaceRoute,
    /// `ip route del`
    DeleteRoute,
    /// `ip rule add`
    AddRule,
    /// `ip rule del`
    DeleteRule,
    /// `ip nexthop add`
    AddNextHop,
    /// `ip nexthop replace`
    ReplaceNextHop,
    /// `ip nexthop del`
    DeleteNextHop,
}

/// What an error number means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The kernel already holds what was requested.
    Held,
    /// The request may succeed later: after a change of a link, or when the kernel has memory again.
    Later,
    /// The request will not succeed on this machine.
    Never,
    /// This process lacks the capability.
    Forbidden,
}

/// A row of the table.
struct ErrnoLine {
    verbs: &'static [Verb],
    errno: i32,
    meaning: Meaning,
    reason: &'static str,
}

const ANY: &[Verb] = &[
    Verb::AddRoute,
    Verb::ReplaceRoute,
    Verb::DeleteRoute,
    Verb::AddRule,
    Verb::DeleteRule,
    Verb::AddNextHop,
    Verb::ReplaceNextHop,
    Verb::DeleteNextHop,
];
/// Requests that depend on the state of a link.
const ROUTE: &[Verb] = &[
    Verb::AddRoute,
    Verb::ReplaceRoute,
    Verb::AddNextHop,
    Verb::ReplaceNextHop,
];
const HELD: &[Verb] = &[Verb::ReplaceRoute, Verb::AddRule];
const ADD: &[Verb] = &[
    Verb::AddRoute,
    Verb::ReplaceRoute,
    Verb::AddRule,
    Verb::AddNextHop,
    Verb::ReplaceNextHop,
];
const DELETE: &[Verb] = &[Verb::DeleteRoute, Verb::DeleteRule, Verb::DeleteNextHop];

const fn line(
    verbs: &'static [Verb],
    errno: i32,
    meaning: Meaning,
    reason: &'static str,
) -> ErrnoLine {
    ErrnoLine {
        verbs,
        errno,
        meaning,
        reason,
    }
}

/// Every error number that is expected.
const TABLE: &[ErrnoLine] = &[
    line(HELD, libc::EEXIST, Meaning::Held, "an equal object exists"),
    line(
        &[Verb::AddRoute],
        libc::EEXIST,
        Meaning::Later,
        "a route of another program has this metric and is not replaced: choose another `routing.metric`",
    ),
    line(
        &[Verb::AddNextHop],
        libc::EEXIST,
        Meaning::Later,
        "another program has taken this number since the last look: the next one finds another",
    ),
    line(
        &[Verb::ReplaceNextHop],
        libc::ENOENT,
        Meaning::Later,
        "it was removed with its link",
    ),
    line(DELETE, libc::ESRCH, Meaning::Held, "it no longer exists"),
    line(DELETE, libc::ENOENT, Meaning::Held, "it no longer exists"),
    line(
        DELETE,
        libc::ENODEV,
        Meaning::Held,
        "its interface no longer exists",
    ),
    line(
        ROUTE,
        libc::ENETUNREACH,
        Meaning::Later,
        "the next hop is not on the link yet",
    ),
    line(
        ROUTE,
        libc::EHOSTUNREACH,
        Meaning::Later,
        "the next hop is not on the link yet",
    ),
    line(
        ROUTE,
        libc::ENETDOWN,
        Meaning::Later,
        "the interface is down",
    ),
    line(
        ADD,
        libc::ENODEV,
        Meaning::Later,
        "the interface does not exist",
    ),
    line(
        ROUTE,
        libc::EINVAL,
        Meaning::Later,
        "the next hop may become valid with an address on the link",
    ),
    line(
        ANY,
        libc::ENOBUFS,
        Meaning::Later,
        "the kernel is short of memory",
    ),
    line(
        ANY,
        libc::ENOMEM,
        Meaning::Later,
        "the kernel is short of memory",
    ),
    line(ANY, libc::EAGAIN, Meaning::Later, "the kernel is busy"),
    line(ANY, libc::EBUSY, Meaning::Later, "the kernel is busy"),
    line(
        ANY,
        libc::EINTR,
        Meaning::Later,
        "the request was interrupted",
    ),
    line(
        ANY,
        libc::EOPNOTSUPP,
        Meaning::Never,
        "this kernel does not support it",
    ),
    line(
        ANY,
        libc::EAFNOSUPPORT,
        Meaning::Never,
        "this kernel has no such address family or no policy routing",
    ),
    line(
        ANY,
        libc::EPERM,
        Meaning::Forbidden,
        "the capability CAP_NET_ADMIN is missing",
    ),
    line(
        ROUTE,
        libc::EACCES,
        Meaning::Later,
        "IPv6 is disabled on the interface",
    ),
];

/// What a positive error number means for a kind of request, and why. A number outside the table is
/// not expected to change.
pub(super) fn meaning(verb: Verb, errno: i32) -> (Meaning, Option<&'static str>) {
    TABLE
        .iter()
        .find(|line| line.errno == errno && line.verbs.contains(&verb))
        .map_or((Meaning::Never, None), |line| {
            (line.meaning, Some(line.reason))
        })
}

/// Whether a list that failed with this number is empty.
pub(super) fn means_nothing_there(errno: i32) -> bool {
    // ENOENT: a table without any route; the others: no such family, no policy routing.
    matches!(errno, libc::ENOENT | libc::EOPNOTSUPP | libc::EAFNOSUPPORT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_of_a_missing_family_are_not_repeated_and_its_lists_are_empty() {
        // The answers of rtnetlink_rcv_msg for routes and of fib_nl_newrule for rules.
        let answers = [
            (Verb::AddRoute, libc::EOPNOTSUPP),
            (Verb::ReplaceRoute, libc::EOPNOTSUPP),
            (Verb::AddRule, libc::EAFNOSUPPORT),
        ];
        for (verb, errno) in answers {
            assert_eq!(meaning(verb, errno).0, Meaning::Never, "{verb:?}");
            assert!(means_nothing_there(errno));
        }
    }

    #[test]
    fn an_ipv6_route_on_an_interface_without_ipv6_is_tried_again() {
        assert_eq!(meaning(Verb::ReplaceRoute, libc::EACCES).0, Meaning::Later);
    }
}
