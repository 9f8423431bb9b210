//! What the kernel's refusals mean, verb by verb.

/// What can be asked of the kernel; each may fail in ways of its own.
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

/// What to do about an error number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// What was asked for is so already.
    Held,
    /// It may succeed later: with the next change of a link, or when the kernel has room again.
    Later,
    /// It will not succeed on this machine, or not as it was asked; do without.
    Never,
    /// This process may not do it, now or later.
    Forbidden,
}

/// One line of the table: for these verbs, this number means this, because.
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
/// What needs a link that is fit for it.
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
    line(HELD, libc::EEXIST, Meaning::Held, "an equal one is there"),
    line(
        &[Verb::AddRoute],
        libc::EEXIST,
        Meaning::Later,
        "somebody else's route has this metric, and is left alone: choose another `routing.metric`",
    ),
    line(
        &[Verb::AddNextHop],
        libc::EEXIST,
        Meaning::Never,
        "somebody else's nexthop object has this number, and is left alone: choose another \
         `routing.nexthop`",
    ),
    line(
        &[Verb::ReplaceNextHop],
        libc::ENOENT,
        Meaning::Later,
        "it went away with its link",
    ),
    line(DELETE, libc::ESRCH, Meaning::Held, "it is gone already"),
    line(DELETE, libc::ENOENT, Meaning::Held, "it is gone already"),
    line(
        DELETE,
        libc::ENODEV,
        Meaning::Held,
        "its interface is gone, and it with it",
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
    line(ADD, libc::ENODEV, Meaning::Later, "the interface is gone"),
    line(
        ROUTE,
        libc::EINVAL,
        Meaning::Later,
        "an address on the link may make the next hop valid",
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
        "this kernel was built without it",
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

/// What an error number (positive) means for a verb, and why. One that the table does not know is
/// not expected to go away by itself.
pub(super) fn meaning(verb: Verb, errno: i32) -> (Meaning, Option<&'static str>) {
    TABLE
        .iter()
        .find(|line| line.errno == errno && line.verbs.contains(&verb))
        .map_or((Meaning::Never, None), |line| {
            (line.meaning, Some(line.reason))
        })
}

/// Whether a dump that failed with this number merely says that there is nothing of the kind.
pub(super) fn means_nothing_there(errno: i32) -> bool {
    // ENOENT: a table that nobody has written to; the others: no such family, no policy routing.
    matches!(errno, libc::ENOENT | libc::EOPNOTSUPP | libc::EAFNOSUPPORT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_ipv6_is_asked_for_nothing_of_it_twice_and_has_nothing_of_it() {
        // Routes of a family that is not there find nobody to take them (rtnetlink_rcv_msg), rules
        // nobody to keep them (fib_nl_newrule).
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
    fn a_route_by_ipv6_where_it_is_disabled_waits_until_it_is_enabled() {
        assert_eq!(meaning(Verb::ReplaceRoute, libc::EACCES).0, Meaning::Later);
    }
}
