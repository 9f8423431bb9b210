//! The default of every key, and the bounds within which its value must lie.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::{AgentSettings, LogSink, UbusPlace};
use crate::engine::settings::{
    Band, BestSettings, ColdSettings, DampingSettings, Failback, FailoverSettings, HealthSettings,
    Policy, ProbeSettings, ScoreBand,
};
use crate::routing::nexthop::NUMBERS;
use crate::units::{Bytes, Loss, Target, Weight};

/// The control socket.
pub const CONTROL: &str = "/run/uplinkd/control.sock";

/// Where what was learnt is kept.
pub const STATE_DIR: &str = "/var/lib/uplinkd";

/// The programs that are run when something happens.
pub const HOOKS: &str = "/etc/uplinkd/hooks.d";

/// `[agent]`
pub fn agent() -> AgentSettings {
    AgentSettings {
        control: PathBuf::from(CONTROL),
        state_dir: PathBuf::from(STATE_DIR),
        log: LogSink::default(),
        hooks: PathBuf::from(HOOKS),
        record: None,
        ubus: UbusPlace::Auto,
    }
}

/// `[probe]`
///
/// Three resolvers of three operators, each reached by anycast: no single failure out there looks
/// like ours. With one of them enough, a filtered target changes nothing.
pub fn probe() -> ProbeSettings {
    let targets = [[1, 1, 1, 1], [8, 8, 8, 8], [9, 9, 9, 9]];
    ProbeSettings {
        targets: targets
            .into_iter()
            .map(|octets| Target::Icmp(Ipv4Addr::from(octets).into()))
            .collect(),
        resolvers: Vec::new(),
        quorum: 1,
        interval: Duration::from_secs(1),
        // A fifth of the probes, and still known dead within seconds before anyone needs it; what
        // happens between two probes is found out when it is woken.
        standby_interval: Duration::from_secs(5),
        confirm_interval: Duration::from_millis(50),
        timeout: Duration::from_secs(1),
    }
}

/// `[health]`
pub fn health() -> HealthSettings {
    HealthSettings {
        false_alarm_every: BALANCED,
        outage_within: Duration::from_secs(10),
        recover_after: Duration::from_secs(3),
        window: Duration::from_secs(30),
        loss: Band {
            enter: Loss::from_percent(20.0),
            exit: Loss::from_percent(5.0),
        },
        latency: Band {
            enter: Duration::from_millis(500),
            exit: Duration::from_millis(300),
        },
        jitter: Band {
            enter: Duration::from_millis(100),
            exit: Duration::from_millis(50),
        },
        score: ScoreBand::default(),
        dwell: Duration::from_secs(10),
    }
}

/// `[failover]`
pub fn failover() -> FailoverSettings {
    FailoverSettings {
        policy: Policy::default(),
        failback: Failback::default(),
        failback_after: Duration::from_secs(60),
        best: BestSettings::default(),
        damping: DampingSettings::default(),
    }
}

/// `weight` of an uplink.
pub const WEIGHT: Weight = Weight(1);

/// `probe_budget` of a metered uplink, for 30 days: some percent of the smallest plans, and a probe of
/// a pinged target every 16 seconds.
pub const PROBE_BUDGET: Bytes = Bytes(50_000_000);

/// `probe.standby_interval` of a warm standby, a sixtieth of that of a hot one.
pub const WARM_INTERVAL: Duration = Duration::from_secs(300);

/// Of a cold uplink: a failback that does not hold finds it still up; a modem takes up to a minute.
pub const COLD: ColdSettings = ColdSettings {
    linger: Duration::from_secs(300),
    ready_within: Duration::from_secs(60),
    exercise_every: None,
};

const DAY: Duration = Duration::from_secs(24 * 3600);
const HOUR: Duration = Duration::from_secs(3600);

/// `sensitivity = "fast"`: one false verdict of an outage a day is borne.
pub const FAST: Duration = DAY;
/// `sensitivity = "balanced"`: one in 30 days.
pub const BALANCED: Duration = Duration::from_secs(30 * 24 * 3600);
/// `sensitivity = "patient"`: one a year.
pub const PATIENT: Duration = Duration::from_secs(365 * 24 * 3600);

/// `mark`, as any that is not 0.
pub(super) const MARK: RangeInclusive<i64> = 1..=0xffff_ffff;

/// 0 is before everybody's. The uplinks' own metrics follow it at a distance.
pub(super) const METRIC: RangeInclusive<i64> = 1..=1_000_000_000;

pub(super) const INTERVAL: RangeInclusive<Duration> = Duration::from_millis(50)..=HOUR;
pub(super) const CONFIRM_INTERVAL: RangeInclusive<Duration> =
    Duration::from_millis(20)..=Duration::from_secs(60);
pub(super) const TIMEOUT: RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_secs(60);
pub(super) const OUTAGE_WITHIN: RangeInclusive<Duration> =
    Duration::from_millis(200)..=Duration::from_secs(600);
pub(super) const RECOVER_AFTER: RangeInclusive<Duration> = Duration::ZERO..=HOUR;
pub(super) const WINDOW: RangeInclusive<Duration> = Duration::from_secs(1)..=HOUR;
/// Of latency and jitter, where they are too much.
pub(super) const DELAY: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(60);
pub(super) const SCORE: RangeInclusive<i64> = 0..=100;
pub(super) const DWELL: RangeInclusive<Duration> = Duration::ZERO..=HOUR;
pub(super) const BUDGET: RangeInclusive<Bytes> = Bytes(1_000_000)..=Bytes(1_000_000_000_000);
pub(super) const LINGER: RangeInclusive<Duration> = Duration::ZERO..=DAY;
pub(super) const READY_WITHIN: RangeInclusive<Duration> = Duration::from_secs(1)..=HOUR;
/// Nothing is never.
pub(super) const EXERCISE_EVERY: RangeInclusive<Duration> =
    Duration::ZERO..=Duration::from_secs(30 * 24 * 3600);
/// Routine probes of a metered uplink must not be rarer.
pub(super) const RAREST: Duration = HOUR;
pub(super) const FAILBACK_AFTER: RangeInclusive<Duration> = Duration::ZERO..=DAY;
pub(super) const BEST_MARGIN: RangeInclusive<i64> = 1..=100;
pub(super) const BEST_AFTER: RangeInclusive<Duration> = Duration::from_secs(10)..=DAY;
pub(super) const HALF_LIFE: RangeInclusive<Duration> = Duration::from_secs(1)..=DAY;
pub(super) const LONGEST: RangeInclusive<Duration> = Duration::ZERO..=DAY;
/// Of `suppress` and `reuse`, in falls.
pub(super) const PENALTY: RangeInclusive<f64> = 0.1..=1000.0;
pub(super) const TIER: RangeInclusive<i64> = 1..=1000;
pub(super) const WEIGHTS: RangeInclusive<i64> = 1..=255;
/// 0 to 4 are the kernel's own (`include/uapi/linux/rtnetlink.h`: unspec, redirect, kernel, boot,
/// static).
pub(super) const PROTOCOL: RangeInclusive<i64> = 5..=255;
/// 0 is unspec and 253 to 255 are default, main and local: these two ranges leave them out.
pub(super) const TABLE: [RangeInclusive<i64>; 2] = [1..=252, 256..=0xffff_fffe];
/// A rule of priority 0 looks up the local table, 32766 main and 32767 default.
pub(super) const RULE: RangeInclusive<i64> = 1..=32_765;
/// So many numbers from it on are ours.
pub(super) const NEXTHOP: RangeInclusive<i64> = 1..=0xffff_ffff - NUMBERS as i64;
/// Each has a table.
pub(super) const MAX_GROUPS: usize = 64;
/// The kernel looks at them one after the other.
pub(super) const MAX_RULES: usize = 256;
/// More than any router has ports and modems for.
pub(super) const MAX_UPLINKS: usize = 64;
/// Targets take turns, and all are asked at once in doubt.
pub(super) const MAX_TARGETS: usize = 16;
/// They are asked one after the other.
pub(super) const MAX_RESOLVERS: usize = 8;
