//! A set of the cgroups seen last, of bounded size.

use std::collections::{BTreeSet, VecDeque};

use crate::model::CgroupId;

/// More than are removed while one walk of the tree is under way.
const MAX: usize = 4096;

/// The oldest goes first.
#[derive(Debug, Default)]
pub(super) struct Recent {
    set: BTreeSet<CgroupId>,
    order: VecDeque<CgroupId>,
}

impl Recent {
    pub(super) fn insert(&mut self, id: CgroupId) {
        if self.set.insert(id) {
            self.order.push_back(id);
        }
        if self.order.len() > MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.set.remove(&oldest);
        }
    }

    pub(super) fn remove(&mut self, id: CgroupId) {
        if self.set.remove(&id) {
            self.order.retain(|other| *other != id);
        }
    }

    pub(super) fn contains(&self, id: CgroupId) -> bool {
        self.set.contains(&id)
    }
}
