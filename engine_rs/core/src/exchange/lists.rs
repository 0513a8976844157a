//! Orders that depend on one another: one-cancels-the-other, and brackets.

use std::collections::BTreeMap;

use crate::order::{Link, Role};

/// A list as far as the exchange knows it.
#[derive(Debug, Default)]
struct List {
    /// Ids and roles of the members that arrived and live.
    live: Vec<(u64, Role)>,
    /// Members that have not arrived yet.
    to_come: u8,
    /// Nothing of it may be accepted any more.
    is_over: bool,
    /// Bracket: lots that the entry has filled, and whether it has ended.
    entry_lots: i64,
    entry_ended: bool,
    /// Bracket: lots that the exits have filled.
    exit_lots: i64,
}

/// The lists of one instrument.
#[derive(Debug, Default)]
pub struct Lists {
    lists: BTreeMap<u64, List>,
}

impl Lists {
    /// A member arrives: `false` where its list is over.
    pub fn arrive(&mut self, id: u64, link: Link) -> bool {
        let list = self.lists.entry(link.list).or_insert_with(|| List {
            to_come: link.of,
            ..List::default()
        });
        list.to_come = list.to_come.saturating_sub(1);
        let welcome = !list.is_over;
        if welcome {
            list.live.push((id, link.role));
        }
        self.forget_if_done(link.list);
        welcome
    }

    /// A member was filled: adds the members that this concerns to `others`.
    pub fn on_fill(&mut self, id: u64, link: Link, lots: i64, others: &mut Vec<u64>) {
        let Some(list) = self.lists.get_mut(&link.list) else {
            return;
        };
        match link.role {
            Role::Oco => list.is_over = true,
            Role::Entry => list.entry_lots += lots,
            Role::Exit => list.exit_lots += lots,
        }
        others.extend(list.others(id));
    }

    /// A one-cancels-the-other member was triggered, which ends all others.
    pub fn on_triggered(&mut self, id: u64, link: Link, others: &mut Vec<u64>) {
        if link.role == Role::Oco
            && let Some(list) = self.lists.get_mut(&link.list)
        {
            list.is_over = true;
            others.extend(list.others(id));
        }
    }

    /// A member ended: adds the members that this concerns to `others`.
    pub fn on_end(&mut self, id: u64, link: Link, others: &mut Vec<u64>) {
        let Some(list) = self.lists.get_mut(&link.list) else {
            return;
        };
        list.live.retain(|(member, _)| *member != id);
        // An order that ends because its list is over ends no other.
        if !list.is_over {
            match link.role {
                Role::Oco => list.is_over = true,
                Role::Entry => {
                    list.entry_ended = true;
                    list.is_over = list.entry_lots == 0;
                }
                Role::Exit => {}
            }
            others.extend(list.others(id));
        }
        self.forget_if_done(link.list);
    }

    /// Whether everything of this list is to be cancelled.
    pub fn is_over(&self, link: Link) -> bool {
        self.lists.get(&link.list).is_none_or(|list| list.is_over)
    }

    /// Bracket: lots that an exit may still fill, and whether the entry may fill more.
    pub fn exit_room(&self, link: Link) -> (i64, bool) {
        self.lists.get(&link.list).map_or((0, false), |list| {
            (list.entry_lots - list.exit_lots, !list.entry_ended)
        })
    }

    fn forget_if_done(&mut self, list: u64) {
        if self
            .lists
            .get(&list)
            .is_some_and(|list| list.to_come == 0 && list.live.is_empty())
        {
            self.lists.remove(&list);
        }
    }
}

impl List {
    fn others(&self, id: u64) -> impl Iterator<Item = u64> {
        self.live
            .iter()
            .map(|(member, _)| *member)
            .filter(move |member| *member != id)
    }
}
