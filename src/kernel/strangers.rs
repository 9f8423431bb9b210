//! Looking at what others have where we want to be, for `uplinkd check`. The agent itself never
//! asks.

use super::KernelError;
use super::message::{Dump, Entry};
use super::observe::Observer;
use crate::routing::{Family, Numbering, Route, Rule};
use crate::units::Protocol;

/// What others have in our way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strangers {
    /// The kernel knows policy rules at all (`CONFIG_IP_MULTIPLE_TABLES`).
    pub are_rules_known: bool,
    /// Every rule that does not carry our protocol number.
    pub rules: Vec<ForeignRule>,
    /// Every route in our tables that does not carry it.
    pub routes: Vec<ForeignRoute>,
}

/// Somebody else's rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignRule {
    /// Whose it is.
    pub protocol: Protocol,
    /// What it says, as far as a [`Rule`] can.
    pub rule: Rule,
    /// It says more than that, such as a mark or a port.
    pub says_more: bool,
}

/// Somebody else's route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignRoute {
    /// Whose it is.
    pub protocol: Protocol,
    /// The route.
    pub route: Route,
}

/// Looks once for what others have at our priorities and in our tables, with so many uplinks.
///
/// # Errors
/// If the kernel cannot be asked.
pub fn strangers(numbering: &Numbering, uplinks: u32) -> Result<Strangers, KernelError> {
    let mut observer = Observer::open()?;
    let mut strangers = Strangers::default();
    for family in Family::ROUTED {
        for entry in observer.list(Dump::Rules(family))? {
            let Entry::Rule(entry) = entry else { continue };
            strangers.are_rules_known = true;
            if entry.protocol != numbering.protocol {
                strangers.rules.push(ForeignRule {
                    protocol: entry.protocol,
                    rule: entry.rule,
                    says_more: !entry.is_plain,
                });
            }
        }
        let own = (0..uplinks).map(|position| numbering.uplink_table(position));
        for table in own.chain([numbering.table]) {
            for entry in observer.list(Dump::RoutesIn(family, table))? {
                let Entry::Route(entry) = entry else { continue };
                // A kernel before 4.20 does not filter.
                if entry.protocol != numbering.protocol && entry.route.table == table {
                    strangers.routes.push(ForeignRoute {
                        protocol: entry.protocol,
                        route: entry.route,
                    });
                }
            }
        }
    }
    Ok(strangers)
}
