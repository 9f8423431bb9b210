//! What was last seen of the kernel.

use std::sync::Arc;

use super::error::KernelError;
use super::observe::Observer;
use super::report::Wanted;
use super::survey::{Survey, SurveyReport};
use crate::routing::{Desired, Observed};
use crate::units::sorted::SortedSet;
use crate::units::{InterfaceName, TableId};

/// What was last seen of the kernel.
#[derive(Default)]
pub(super) struct KernelView {
    observed: Option<Arc<Observed>>,
    /// The interfaces of the last look.
    scope: SortedSet<InterfaceName>,
    /// What the last survey found.
    survey: Survey,
    /// Where routes of ours may be.
    tables: SortedSet<TableId>,
}

/// What a look saw.
pub(super) struct LookResult {
    pub(super) observed: Arc<Observed>,
    /// It is another than before, or of other interfaces.
    pub(super) is_news: bool,
    pub(super) have_links_changed: bool,
}

impl KernelView {
    /// What the last look saw.
    pub(super) fn observed(&self) -> Option<Arc<Observed>> {
        self.observed.clone()
    }

    /// This is about to be written.
    pub(super) fn expect(&mut self, target: &Desired) {
        self.tables.extend(target.tables());
    }

    /// Takes a survey; whether it found anything else than the last one. `target`: what was last written.
    pub(super) fn take(&mut self, report: SurveyReport, target: &Desired) -> bool {
        let is_elsewhere = !report.tables.is_subset(&self.tables);
        self.tables = target.tables().chain(report.tables).collect();
        let before = std::mem::replace(&mut self.survey, report.survey);
        is_elsewhere || before != self.survey
    }

    /// Looks at what is ours, and adds what the last survey found.
    pub(super) fn look(
        &mut self,
        observer: &mut Observer,
        wanted: &Wanted,
    ) -> Result<LookResult, KernelError> {
        let mut now = observer.look(&wanted.numbering, &self.tables)?;
        self.survey.add_to(&mut now, &wanted.interfaces);
        let now = Arc::new(now);
        let before = self.observed.replace(now.clone());
        let is_other_scope = self.scope != wanted.interfaces;
        if is_other_scope {
            self.scope.clone_from(&wanted.interfaces);
        }
        let before = before.as_ref();
        Ok(LookResult {
            is_news: is_other_scope || before != Some(&now),
            have_links_changed: before.is_none_or(|before| before.links != now.links),
            observed: now,
        })
    }
}
