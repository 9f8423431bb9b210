//! Probes that this machine refuses to send.
//!
//! A family is refused when the last probe to each of its targets was: one target that is an address of this
//! machine is refused alone, and says nothing about the others.

use super::places::Places;
use crate::engine::round::RoundProbe;
use crate::routing::Family;
use crate::units::Moment;

/// Whether this machine sends the probes of a family through an uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendState {
    /// None are to be sent.
    Unasked,
    /// Not known; since then some of its targets are refused.
    Unknown(Option<Moment>),
    /// A probe that was sent then left the machine.
    Sends(Moment),
    /// They are refused since then.
    Refused(Moment),
}

/// What a refusal says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RefusalScope {
    /// Others send: it is the uplink's own trouble.
    #[default]
    Own,
    /// Nothing yet: a standby that could show more is being brought up.
    Open,
    /// All uplinks are refused the same: nothing about this one.
    Everywhere,
}

/// What is refused of each family.
#[derive(Clone, Debug, Default)]
pub struct Refusals {
    of_families: [FamilyRefusals; Family::ROUTED.len()],
}

#[derive(Clone, Debug, Default)]
struct FamilyRefusals {
    refusal: Option<Box<Refusal>>,
    /// When the last probe was sent that left the machine.
    sent: Option<Moment>,
    scope: RefusalScope,
}

#[derive(Clone, Debug)]
struct Refusal {
    /// The targets whose last probe was refused.
    targets: Places,
    /// When the last of them was refused for the first time.
    since: Moment,
    why: String,
}

impl Refusals {
    /// A probe is refused; `counting`: the targets of its family that count. Whether that says something about the
    /// uplink.
    pub(super) fn refused(
        &mut self,
        probe: RoundProbe,
        counting: Places,
        why: &str,
        now: Moment,
    ) -> bool {
        let of = &mut self.of_families[probe.family as usize];
        let refusal = of.refusal.get_or_insert_with(|| {
            Box::new(Refusal {
                targets: Places::default(),
                since: now,
                why: String::new(),
            })
        });
        if !refusal.targets.contains(probe.target) {
            refusal.targets = refusal.targets.with(probe.target);
            refusal.since = now;
        }
        why.clone_into(&mut refusal.why);
        of.scope == RefusalScope::Own && refusal.targets.contains_all(counting)
    }

    /// A probe that was sent then left the machine.
    pub(super) fn sent(&mut self, probe: RoundProbe, at: Moment) {
        let of = &mut self.of_families[probe.family as usize];
        of.sent = of.sent.max(Some(at));
        let Some(refusal) = of.refusal.as_mut().filter(|refusal| refusal.since <= at) else {
            return;
        };
        refusal.targets = refusal.targets.without(probe.target);
        if refusal.targets.is_empty() {
            of.refusal = None;
        }
    }

    /// The targets or the link are others now.
    pub(super) fn forget(&mut self) {
        for of in &mut self.of_families {
            of.refusal = None;
        }
    }

    /// Whether a family's probes are sent, which are to be; `counting`: its targets that count.
    pub(super) fn state(&self, family: Family, counting: Places) -> SendState {
        let of = &self.of_families[family as usize];
        match (&of.refusal, of.sent) {
            (Some(refusal), _) if refusal.targets.contains_all(counting) => {
                SendState::Refused(refusal.since)
            }
            (Some(refusal), Some(sent)) if sent >= refusal.since => SendState::Sends(sent),
            (Some(refusal), _) => SendState::Unknown(Some(refusal.since)),
            (None, Some(sent)) => SendState::Sends(sent),
            (None, None) => SendState::Unknown(None),
        }
    }

    /// What the refusals of a family say. Whether that is news.
    pub(super) fn set_scope(&mut self, family: Family, scope: RefusalScope) -> bool {
        std::mem::replace(&mut self.of_families[family as usize].scope, scope) != scope
    }

    /// No probe of a family was sent since it was refused, whether or not any is to be sent.
    pub fn are_kept(&self, family: Family) -> bool {
        self.of_families[family as usize].refusal.is_some()
    }

    /// No family has any, and none was found to have some on all uplinks.
    pub fn are_none(&self) -> bool {
        let mut families = self.of_families.iter();
        families.all(|of| of.refusal.is_none() && of.scope == RefusalScope::Own)
    }

    /// It is open whether other uplinks are refused the same.
    pub fn are_open(&self) -> bool {
        let mut families = self.of_families.iter();
        families.any(|of| of.scope == RefusalScope::Open)
    }

    /// Why no probe can be sent, where that says nothing about the uplink.
    pub fn reason(&self) -> Option<&str> {
        let mut families = self.of_families.iter();
        families.find_map(|of| {
            let refusal = of.refusal.as_ref()?;
            (of.scope != RefusalScope::Own).then_some(&*refusal.why)
        })
    }
}
