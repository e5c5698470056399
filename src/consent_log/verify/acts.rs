//! What is missing or marked in the tables against the acts in the log: a record is only ever erased by an act
//! that stands behind it and names it, and the tables say nothing that no act says.

use std::collections::BTreeMap;

use crate::consent_log::{
    act::{Act, Deed, Indices, On},
    store::Marks,
};

/// Records that one finding after another would be listed for.
const LISTED_MAX: u64 = 50;

/// What was met in the walk so far.
#[derive(Default)]
pub(super) struct Acts {
    /// Leaves without a record that no act has named yet: first, last, and the act that the tables name.
    missing: Vec<(u64, u64, u64)>,
    /// Leaves that are no decisions: first and last.
    others: Vec<(u64, u64)>,
    /// Restricted records, and the act that says so.
    restricted: BTreeMap<u64, u64>,
}

/// A record that the walk saw, or passed, and that an act says was erased.
pub(super) enum Unlike {
    /// The record is looked at again: it may have been erased since it was passed.
    Recheck(u64),
    /// Something is wrong.
    Finding(u64, String),
}

impl Acts {
    /// A leaf whose record is not there; `act` is what the tables say of it.
    pub(super) fn missing(&mut self, index: u64, act: u64) {
        match self.missing.last_mut() {
            Some((_, last, of)) if *last + 1 == index && *of == act => *last = index,
            _ => self.missing.push((index, index, act)),
        }
    }

    /// A leaf that is no decision.
    pub(super) fn other(&mut self, index: u64) {
        match self.others.last_mut() {
            Some((_, last)) if *last + 1 == index => *last = index,
            _ => self.others.push((index, index)),
        }
    }

    /// An act, in the order of the log.
    pub(super) fn act(&mut self, index: u64, act: &Act) -> Vec<Unlike> {
        let Some(On { indices, .. }) = act.on() else { return Vec::new() };
        let mut unlike = Vec::new();
        if indices.is_empty() || indices.last().is_some_and(|last| last >= index) {
            // Nothing that it says of them is believed.
            return vec![Unlike::Finding(index, "it names records that do not stand before it".to_owned())];
        }
        if indices.ranges().iter().any(|range| self.names_other(*range)) {
            unlike.push(Unlike::Finding(index, "it names a leaf that is no consent record".to_owned()));
        }
        match &act.deed {
            Deed::Erase(_) | Deed::Retain(_) => {
                let rest = self.take(indices, index);
                unlike.extend(rest.iter().take(LISTED_MAX as usize).map(|index| Unlike::Recheck(*index)));
                self.restricted.retain(|record, _| !indices.contains(*record));
            }
            Deed::Restrict(_) => self.restricted.extend(indices.iter().map(|record| (record, index))),
            Deed::Unrestrict(_) => {
                let held = indices.iter().filter(|index| self.restricted.remove(index).is_none()).count();
                if held > 0 {
                    unlike.push(Unlike::Finding(index, "it lifts a restriction that no act set".to_owned()));
                }
            }
            Deed::Read { .. } | Deed::Restore { .. } | Deed::RotateKey { .. } => {}
        }
        unlike
    }

    /// What is left at the end: missing records that no act names, and marks that no act made. `marks` were read
    /// when every act that they could come from had been met.
    pub(super) fn finish(self, marks: &Marks) -> Vec<(u64, String)> {
        let mut wrong: Vec<(u64, String)> = Vec::new();
        for (first, last, _) in self.missing {
            let more = if first == last { String::new() } else { format!(", nor those up to index {last}") };
            wrong.push((first, format!("its record is missing, and no act behind it says that it was erased{more}")));
        }
        let mut marked = BTreeMap::new();
        for (record, act) in &marks.restricted {
            match record {
                Some(record) => drop(marked.insert(*record, *act)),
                None => wrong.push((*act, "a record is marked as restricted that is not in the log".to_owned())),
            }
        }
        for (record, act) in &self.restricted {
            if marked.get(record) != Some(act) {
                wrong.push((*record, format!("the act at index {act} restricted it, and the tables do not say so")));
            }
        }
        for (record, act) in marked.iter().filter(|(record, _)| !self.restricted.contains_key(record)) {
            wrong.push((*record, format!("the tables say that the act at index {act} restricted it, and no act says so")));
        }
        wrong.extend(marks.stray.iter().map(|act| (*act, "a record is marked as erased that is not in the log".to_owned())));
        wrong
    }

    fn names_other(&self, (first, last): (u64, u64)) -> bool {
        let before = self.others.partition_point(|(start, _)| *start <= last);
        before > 0 && self.others[before - 1].1 >= first
    }

    /// Takes out what an act names and the tables say the same of; returns what is left of the act's indices.
    fn take(&mut self, named: &Indices, act: u64) -> Vec<u64> {
        let mut left = Vec::new();
        for (first, last) in named.ranges() {
            let start = self.missing.partition_point(|(_, end, _)| end < first);
            let end = self.missing.partition_point(|(begin, _, _)| begin <= last);
            let met = self.missing[start..end.max(start)].to_vec();
            let mut kept = Vec::new();
            let mut next = *first;
            for (begin, end, of) in met {
                if of != act {
                    kept.push((begin, end, of));
                    continue;
                }
                if begin < *first {
                    kept.push((begin, first - 1, of));
                }
                if end > *last {
                    kept.push((last + 1, end, of));
                }
                left.extend((next..begin.max(*first)).take(LISTED_MAX as usize));
                next = end.min(*last) + 1;
            }
            left.extend((next..=*last).take(LISTED_MAX as usize));
            self.missing.splice(start..end.max(start), kept);
        }
        left
    }
}
