//! The life of an order: its states, and which may follow which.

use serde::{Deserialize, Serialize};

use super::Answer;

/// Where an order is in its life, as far as its owner has been told.
///
/// | from \ answer | accepted | waiting | triggered | fill | last fill | canceled | expired | rejected |
/// | --- | --- | --- | --- | --- | --- | --- | --- | --- |
/// | submitted | open | untriggered | – | partially filled | filled | canceled | expired | rejected |
/// | untriggered | open | untriggered | open | – | – | canceled | expired | – |
/// | open | open | untriggered | – | partially filled | filled | canceled | expired | – |
/// | partially filled | partially filled | untriggered | – | partially filled | filled | canceled | expired | – |
/// | filled, canceled, expired, rejected | – | – | – | – | – | – | – | – |
///
/// A dash is illegal: [`Status::after`] answers `None`. The refusal of a cancel or a modification
/// is legal while an order lives and changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Status {
    /// On its way to the exchange.
    Submitted = 0,
    /// Resting in the exchange's book, nothing filled.
    Open = 1,
    /// Completely filled.
    Filled = 2,
    /// Cancelled: on request, with its list, or by the venue.
    Canceled = 3,
    /// Ended by its own terms or the venue's rules.
    Expired = 4,
    /// Never accepted; [`super::Order::reject`] says why.
    Rejected = 5,
    /// Accepted, and waiting for its trigger or for its entry's fill.
    Untriggered = 6,
    /// Resting in the exchange's book, or taking, with a part filled.
    PartiallyFilled = 7,
}

impl Status {
    /// All states.
    pub const ALL: [Self; 8] = [
        Self::Submitted,
        Self::Open,
        Self::Filled,
        Self::Canceled,
        Self::Expired,
        Self::Rejected,
        Self::Untriggered,
        Self::PartiallyFilled,
    ];

    /// Whether nothing can happen to the order any more.
    #[inline]
    pub fn is_done(self) -> bool {
        matches!(
            self,
            Self::Filled | Self::Canceled | Self::Expired | Self::Rejected
        )
    }

    /// The name that users see.
    pub fn name(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Untriggered => "untriggered",
            Self::Open => "open",
            Self::PartiallyFilled => "partially_filled",
            Self::Filled => "filled",
            Self::Canceled => "canceled",
            Self::Expired => "expired",
            Self::Rejected => "rejected",
        }
    }

    /// The state after an answer of the exchange; `None` where it may not follow.
    pub fn after(self, answer: &Answer) -> Option<Self> {
        if self.is_done() {
            return None;
        }
        let is_fresh = self == Self::Submitted;
        let waits = self == Self::Untriggered;
        Some(match answer {
            Answer::Accepted { .. } if self == Self::PartiallyFilled => self,
            Answer::Accepted { .. } => Self::Open,
            Answer::Waiting { .. } => Self::Untriggered,
            Answer::Triggered if waits => Self::Open,
            Answer::Filled { .. } if waits => return None,
            Answer::Filled { complete: true, .. } => Self::Filled,
            Answer::Filled { .. } => Self::PartiallyFilled,
            Answer::Canceled(_) => Self::Canceled,
            Answer::Expired(_) => Self::Expired,
            Answer::Rejected(_) if is_fresh => Self::Rejected,
            Answer::RequestRejected(_) => self,
            Answer::Triggered | Answer::Rejected(_) => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Side;
    use crate::order::RejectCode;

    /// The tables of [`Status`] and of `docs/exchange.md` equal [`Status::after`].
    #[test]
    fn the_documented_tables_are_the_code() {
        let written = include_str!("status.rs").replace("/// |", "|");
        check(&written);
        check(include_str!("../../../../docs/exchange.md"));
    }

    fn check(text: &str) {
        let fill = |complete| Answer::Filled {
            side: Side::Bid,
            px_ticks: 1,
            qty_lots: 1,
            maker: true,
            complete,
        };
        let (px_ticks, qty_lots) = (1, 1);
        let answers = [
            Answer::Accepted { px_ticks, qty_lots },
            Answer::Waiting {
                trigger_px_ticks: 1,
                px_ticks,
                qty_lots,
            },
            Answer::Triggered,
            fill(false),
            fill(true),
            Answer::Canceled(None),
            Answer::Expired(None),
            Answer::Rejected(RejectCode::BookSuspect),
        ];
        let mut checked = 0;
        let rows = text
            .lines()
            .skip_while(|line| !line.starts_with("| from \\ answer"))
            .map_while(|line| line.strip_prefix("| "));
        for row in rows {
            let cells: Vec<&str> = row.trim_end_matches(" |").split(" | ").collect();
            for from in cells[0].split(", ") {
                let named = |name: &str| {
                    Status::ALL
                        .into_iter()
                        .find(|status| status.name().replace('_', " ") == name)
                };
                let Some(from) = named(from) else { continue };
                for (answer, cell) in answers.iter().zip(&cells[1..]) {
                    assert_eq!(from.after(answer), named(cell), "{from:?} {answer:?}");
                    checked += 1;
                }
                let refused = Answer::RequestRejected(RejectCode::OrderNotOpen);
                assert_eq!(from.after(&refused), (!from.is_done()).then_some(from));
            }
        }
        assert_eq!(checked, 8 * 8, "all states and answers were in the table");
    }
}
