//! The mid of our book when a fill was received and at some times after: what it turned out to be
//! worth. Nothing else in a run looks at it, so no result depends on it.
//!
//! A look is due like a timer: after everything received up to its time. The mid changes only with
//! depth messages, so it is enough to look before one is applied and at the end. A book that is not
//! trusted or has one side has no mid, and a time behind the end of the data was never seen; both
//! are `None`.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::Fill;

/// Times after a fill at which the mid is noted, on our clock, ascending.
pub const HORIZONS_NS: [i64; 4] = [100_000_000, 1_000_000_000, 10_000_000_000, 60_000_000_000];

/// A fill with the mids around it, each as best bid plus best ask in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FillRow {
    /// The fill.
    pub fill: Fill,
    /// When it was received.
    pub mid_px_x2: Option<i64>,
    /// After each of [`HORIZONS_NS`].
    pub later_mid_px_x2: [Option<i64>; HORIZONS_NS.len()],
}

/// Fills on their way to the records: in order of receipt, each until its last look.
#[derive(Debug)]
pub(super) struct Markouts {
    waiting: VecDeque<FillRow>,
    /// How many rows from the front have had their look at each horizon.
    looked: [usize; HORIZONS_NS.len()],
    due_ns: i64,
}

impl Default for Markouts {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            looked: [0; HORIZONS_NS.len()],
            due_ns: i64::MAX,
        }
    }
}

impl Markouts {
    /// A fill that was just received, and the mid now.
    pub fn push(&mut self, fill: Fill, mid_px_x2: Option<i64>) {
        self.due_ns = self
            .due_ns
            .min(fill.ts_recv_ns.saturating_add(HORIZONS_NS[0]));
        self.waiting.push_back(FillRow {
            fill,
            mid_px_x2,
            later_mid_px_x2: [None; HORIZONS_NS.len()],
        });
    }

    /// Whether a look is due before a time.
    #[inline]
    pub fn is_due_before(&self, ts_ns: i64) -> bool {
        self.due_ns < ts_ns
    }

    /// Takes all looks that are due before `ts_ns`, with the mid that each instrument has now; rows
    /// that have had their last one go to `done`.
    pub fn look(&mut self, ts_ns: i64, mid: impl Fn(u16) -> Option<i64>, done: &mut Vec<FillRow>) {
        self.due_ns = i64::MAX;
        for (at, horizon_ns) in HORIZONS_NS.into_iter().enumerate() {
            while let Some(row) = self.waiting.get_mut(self.looked[at]) {
                let due_ns = row.fill.ts_recv_ns.saturating_add(horizon_ns);
                if due_ns >= ts_ns {
                    self.due_ns = self.due_ns.min(due_ns);
                    break;
                }
                row.later_mid_px_x2[at] = mid(row.fill.instrument);
                self.looked[at] += 1;
            }
        }
        let complete = self.looked[HORIZONS_NS.len() - 1];
        done.extend(self.waiting.drain(..complete));
        for count in &mut self.looked {
            *count -= complete;
        }
    }

    /// Gives up the looks that are left: the data is at its end.
    pub fn finish(&mut self, done: &mut Vec<FillRow>) {
        done.extend(std::mem::take(self).waiting);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{depth, kernel, limit, run, trades};
    use super::*;
    use crate::event::Side;
    use crate::kernel::Step;
    use crate::money::Money;
    use proptest::prelude::*;

    fn fill(ts_recv_ns: i64) -> Fill {
        Fill {
            order: 1,
            instrument: 0,
            side: Side::Bid,
            px_ticks: 1,
            qty_lots: 1,
            maker: true,
            ts_event_ns: 0,
            ts_recv_ns,
            fee: Money::ZERO,
            realized: Money::ZERO,
            position_lots: 1,
        }
    }

    #[test]
    fn an_order_notes_the_mid_it_was_given_at_and_its_first_rest() {
        let mut kernel = kernel(20, 30, depth(1_000), trades(&[(500, Side::Ask, 98, 1)]));
        run(&mut kernel, |kernel, step| {
            if *step == Step::Start {
                kernel.submit(limit(Side::Bid, 99));
            }
        });
        let records = kernel.take_records();
        // Given before the first row was applied; at the exchange at 125.
        assert_eq!(records.orders[0].arrival_mid_px_x2, None);
        assert_eq!(records.orders[0].ts_accept_ns, Some(125));
        assert_eq!(records.fills.len(), 1);
        assert_eq!(records.fills[0].mid_px_x2, Some(200));
        assert_eq!(records.fills[0].later_mid_px_x2, [None; 4]);
    }

    proptest! {
        /// Fills and changes of the mid at random times; each look sees the last change up to its
        /// time, and nothing where the data ended before.
        #[test]
        fn each_look_sees_the_last_mid_up_to_its_time(
            gaps in prop::collection::vec((0i64..40, any::<bool>()), 1..200),
        ) {
            const STEP_NS: i64 = 100_000_000;
            let (mut now, mut mids, mut received) = (0, vec![], vec![]);
            let (mut markouts, mut done) = (Markouts::default(), vec![]);
            let mid_at = |mids: &[(i64, Option<i64>)], ts: i64| {
                mids.iter().rev().find(|(at, _)| *at <= ts).and_then(|(_, mid)| *mid)
            };
            for (index, (gap, is_fill)) in gaps.into_iter().enumerate() {
                now += gap * STEP_NS;
                if is_fill {
                    markouts.push(fill(now), mid_at(&mids, now));
                    received.push(now);
                    continue;
                }
                if markouts.is_due_before(now) {
                    markouts.look(now, |_| mid_at(&mids, i64::MAX), &mut done);
                }
                let px = i64::try_from(index).unwrap();
                mids.push((now, (index % 5 > 0).then_some(px)));
            }
            markouts.look(now + 1, |_| mid_at(&mids, i64::MAX), &mut done);
            markouts.finish(&mut done);
            prop_assert_eq!(done.len(), received.len());
            for (row, ts) in done.iter().zip(received) {
                prop_assert_eq!(row.fill.ts_recv_ns, ts);
                for (at, horizon_ns) in HORIZONS_NS.into_iter().enumerate() {
                    let due_ns = ts + horizon_ns;
                    let seen = if due_ns > now { None } else { mid_at(&mids, due_ns) };
                    prop_assert_eq!(row.later_mid_px_x2[at], seen);
                }
            }
        }
    }
}
