//! Every key that a configuration may hold. A key stands here only if something acts on it.

/// A section and its keys. `[uplink.probe]` and `[uplink.health]` take the keys of `[probe]` and
/// `[health]` and are not repeated.
#[derive(Clone, Copy, Debug)]
pub struct SectionKeys {
    /// As it is written in the file.
    pub title: &'static str,
    /// The keys that take a value.
    pub keys: &'static [&'static str],
    /// The names of the sections within it.
    pub sections: &'static [&'static str],
    /// Keys of the contract that this version does not act on: refused, so that nobody relies on
    /// them. A version that acts on one takes it off this list.
    pub not_yet: &'static [&'static str],
}

impl SectionKeys {
    /// Every option of a section of UCI, which takes all below it: `health_loss_enter` with the path
    /// `health`, `loss`, `enter`.
    pub fn options(&self) -> Vec<(String, Vec<&'static str>)> {
        let own = self.keys.iter().chain(self.not_yet);
        let mut options: Vec<_> = own.map(|key| ((*key).to_owned(), vec![*key])).collect();
        for name in self.sections {
            let below = self.section(name).map(Self::options);
            for (option, mut path) in below.unwrap_or_default() {
                path.insert(0, name);
                options.push((format!("{name}_{option}"), path));
            }
        }
        options
    }

    /// The section of this name within this one, which may be there once.
    fn section(&self, name: &str) -> Option<&'static Self> {
        let parent = self.title.trim_matches(['[', ']']);
        let titles = [format!("[{parent}.{name}]"), format!("[{name}]")];
        let mut known = SECTIONS.into_iter();
        known.find(|keys| titles.iter().any(|title| keys.title == title))
    }
}

/// The top of the file; the section `globals` of UCI.
pub const TOP: SectionKeys = SectionKeys {
    title: "",
    keys: &[],
    sections: &[
        "agent", "probe", "health", "failover", "routing", "uplink", "group", "rule",
    ],
    not_yet: &[],
};

/// `[agent]`
pub const AGENT: SectionKeys = SectionKeys {
    title: "[agent]",
    keys: &["control", "state_dir", "log", "hooks", "record", "ubus"],
    sections: &[],
    not_yet: &["metrics"],
};

/// `[probe]`
pub const PROBE: SectionKeys = SectionKeys {
    title: "[probe]",
    keys: &[
        "targets",
        "resolvers",
        "quorum",
        "interval",
        "standby_interval",
        "confirm_interval",
        "timeout",
    ],
    sections: &[],
    not_yet: &[],
};

/// `[health]`
pub const HEALTH: SectionKeys = SectionKeys {
    title: "[health]",
    keys: &[
        "sensitivity",
        "outage_within",
        "recover_after",
        "window",
        "dwell",
    ],
    sections: &["loss", "latency", "jitter", "score"],
    not_yet: &[],
};

/// `[health.loss]`
pub const LOSS: SectionKeys = band("[health.loss]");

/// `[health.latency]`
pub const LATENCY: SectionKeys = band("[health.latency]");

/// `[health.jitter]`
pub const JITTER: SectionKeys = band("[health.jitter]");

/// `[health.score]`
pub const SCORE: SectionKeys = band("[health.score]");

const fn band(title: &'static str) -> SectionKeys {
    SectionKeys {
        title,
        keys: &["enter", "exit"],
        sections: &[],
        not_yet: &[],
    }
}

/// `[failover]`
pub const FAILOVER: SectionKeys = SectionKeys {
    title: "[failover]",
    keys: &[
        "policy",
        "best_margin",
        "best_after",
        "failback",
        "failback_after",
    ],
    sections: &["damping"],
    not_yet: &[],
};

/// `[failover.damping]`
pub const DAMPING: SectionKeys = SectionKeys {
    title: "[failover.damping]",
    keys: &["half_life", "suppress", "reuse", "longest"],
    sections: &[],
    not_yet: &[],
};

/// `[routing]`
pub const ROUTING: SectionKeys = SectionKeys {
    title: "[routing]",
    keys: &[
        "mode",
        "flows",
        "flows_on_failback",
        "local_sockets",
        "on_stop",
        "protocol",
        "table",
        "group_table",
        "rule",
        "default_rule",
        "mark",
        "metric",
        "nexthop",
    ],
    sections: &[],
    not_yet: &[],
};

/// `[[uplink]]`
pub const UPLINK: SectionKeys = SectionKeys {
    title: "[[uplink]]",
    keys: &[
        "name",
        "interface",
        "network",
        "tier",
        "weight",
        "gateway",
        "gateway6",
        "prefixes",
        "metered",
        "probe_budget",
        "standby",
        "standby_linger",
        "ready_within",
        "exercise_every",
    ],
    sections: &["probe", "health"],
    not_yet: &[],
};

/// `[[group]]`
pub const GROUP: SectionKeys = SectionKeys {
    title: "[[group]]",
    keys: &["name", "policy", "uplinks"],
    sections: &[],
    not_yet: &[],
};

/// `[[rule]]`
pub const RULE: SectionKeys = SectionKeys {
    title: "[[rule]]",
    keys: &[
        "group", "from", "to", "iif", "protocol", "sport", "dport", "fwmark",
    ],
    sections: &[],
    not_yet: &[],
};

/// Every section, in the order of the sample.
pub const SECTIONS: [&SectionKeys; 14] = [
    &TOP, &AGENT, &PROBE, &HEALTH, &LOSS, &LATENCY, &JITTER, &SCORE, &FAILOVER, &DAMPING, &ROUTING,
    &UPLINK, &GROUP, &RULE,
];
