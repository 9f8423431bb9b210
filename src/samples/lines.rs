//! Samples as lines of text, for pictures that are drawn elsewhere.

use std::fmt::Write;
use std::time::SystemTime;

use super::{Account, Figure, SampleBook};

/// The names of the columns. A figure that is not known is empty.
pub const HEAD: &str = "from,lasts,uplink,state,carried,rtt_ms,rtt_p95_ms,loss_percent\n";

/// The samples that overlap a time, oldest first, each a line: when its slot begins in seconds since 1970 and how long
/// it is, the uplink, the worst that it was, and the share of the slot in which it carried the traffic.
pub fn within(book: &SampleBook, [from, to]: [SystemTime; 2]) -> String {
    let mut lines = HEAD.to_owned();
    for one in book.within(from, to) {
        let begin = one.from.duration_since(SystemTime::UNIX_EPOCH);
        let mut accounts = Account::ALL.into_iter().rev();
        let worst = accounts.find(|account| one.sample.share(*account) > 0.0);
        let _ = write!(
            lines,
            "{},{},{},{},{:.3}",
            begin.unwrap_or_default().as_secs(),
            one.lasts.as_secs(),
            one.uplink,
            word(worst.unwrap_or(Account::Idle)),
            one.sample.carried()
        );
        for figure in [Figure::Rtt, Figure::RttP95, Figure::Loss] {
            lines.push(',');
            if let Some(value) = one.sample.figure(figure) {
                let _ = write!(lines, "{value:.1}");
            }
        }
        lines.push('\n');
    }
    lines
}

const fn word(account: Account) -> &'static str {
    match account {
        Account::Idle => "idle",
        Account::Up => "up",
        Account::Degraded => "degraded",
        Account::Planned => "planned",
        Account::Outage => "outage",
    }
}
