//! Which uplink each flow goes by, as bits of its connection mark. Pure.

use super::numbering::Numbering;
use super::traffic::Marks;
use crate::units::sorted::SortedMap;
use crate::units::{InterfaceName, Mark};

/// The uplinks whose flows are remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowMemory {
    /// The bits of a mark that are used for it.
    pub mask: Mark,
    /// The interface of each uplink, and the value of these bits for its flows.
    pub uplinks: Vec<(InterfaceName, Mark)>,
}

impl FlowMemory {
    /// For the uplinks on these interfaces, in the order of the configuration. An interface of two uplinks does
    /// not tell them apart: their flows are not remembered.
    pub fn new(numbering: &Numbering, interfaces: &[&InterfaceName]) -> Option<Self> {
        let mask = numbering.flow_mark(0)?.mask;
        let is_alone = |name: &InterfaceName| {
            let mut same = interfaces.iter().filter(|other| **other == name);
            same.nth(1).is_none()
        };
        let uplinks = (0..).zip(interfaces.iter().copied());
        let uplinks = uplinks.filter(|(_, name)| is_alone(name));
        let uplinks = uplinks.filter_map(|(position, name)| {
            let marks = numbering.flow_mark(position)?;
            Some((name.clone(), marks.mark))
        });
        Some(Self {
            mask,
            uplinks: uplinks.collect(),
        })
    }

    /// The marks that no longer mean the interface that they meant in `earlier`.
    pub fn outdated(&self, earlier: &Self) -> Vec<Marks> {
        let meant: SortedMap<_, _> = self
            .uplinks
            .iter()
            .map(|(name, mark)| (mark, name))
            .collect();
        let is_outdated = |name: &InterfaceName, mark: &Mark| {
            self.mask != earlier.mask || meant.get(mark) != Some(&name)
        };
        let outdated = earlier.uplinks.iter();
        let outdated = outdated.filter(|(name, mark)| is_outdated(name, mark));
        let marks = outdated.map(|(_, mark)| Marks {
            mark: *mark,
            mask: earlier.mask,
        });
        marks.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(interfaces: &[&str]) -> FlowMemory {
        let interfaces: Vec<InterfaceName> = interfaces
            .iter()
            .map(|name| name.parse().expect("a name"))
            .collect();
        FlowMemory::new(
            &Numbering::default(),
            &interfaces.iter().collect::<Vec<_>>(),
        )
        .expect("a memory")
    }

    #[test]
    fn an_interface_of_two_uplinks_is_left_out_and_the_others_keep_their_marks() {
        let uplinks = memory(&["a", "b", "a", "c"]).uplinks;
        let marks: Vec<_> = { uplinks.iter() }
            .map(|(name, mark)| (name.to_string(), mark.0 >> 24))
            .collect();
        assert_eq!(marks, [("b".to_owned(), 2), ("c".to_owned(), 4)]);
    }

    #[test]
    fn a_mark_is_outdated_when_it_means_another_interface_or_none() {
        let marks = |now: &[&str]| -> Vec<u32> {
            let outdated = memory(now).outdated(&memory(&["a", "b"])).into_iter();
            outdated.map(|marks| marks.mark.0 >> 24).collect()
        };
        assert_eq!(marks(&["a", "b", "c"]), [0; 0]);
        assert_eq!(marks(&["b", "a"]), [1, 2]);
        assert_eq!(marks(&["a"]), [2]);
    }

    #[test]
    fn marks_fill_their_bits_and_no_others() {
        let with = |mask: u32| Numbering {
            flow_mask: Some(Mark(mask)),
            ..Numbering::default()
        };
        let mark = |mask, position| with(mask).flow_mark(position).map(|marks| marks.mark.0);
        assert_eq!(mark(0x0c00, 2), Some(0x0c00));
        assert_eq!(mark(0x0c00, 3), None, "no bits are left");
        assert_eq!(mark(0xff00_0000, 254), Some(0xff00_0000));
        assert_eq!(mark(0xff00_0000, 255), None);
        assert_eq!(mark(u32::MAX, 0), Some(1));
    }
}
