//! The book against sorted maps and the rules of sequence numbers written out plainly, over
//! messages that no sane venue sends.

use std::collections::BTreeMap;

use cobalt_core::book::{Book, BookCounts, Doubt, Outcome};
use cobalt_core::event::{SEQ_NONE, flags};
use cobalt_core::{Event, EventKind, Side};
use proptest::prelude::*;

/// The highest price, and the lowest negated, that is not damage.
const PX_MAX: i64 = 1 << 60;

#[derive(Clone, Debug)]
struct Level {
    side: Side,
    /// In ticks from the centre of the message, or as it is where it is at an end of an `i64`.
    px_ticks: i64,
    qty_lots: i64,
}

#[derive(Clone, Copy, Debug)]
enum Chain {
    /// Continues from the book's id.
    Follows,
    /// Continues from an id that the book never saw.
    Leaps,
    /// Begins before the book's id and ends after it.
    Overlaps,
    /// Ends at or before the book's id.
    Repeats,
    /// Carries no id to continue from.
    Unlinked,
    /// Carries no id at all.
    Unnumbered,
}

#[derive(Clone, Debug)]
struct Message {
    is_snapshot: bool,
    chain: Chain,
    step: u64,
    centre: i64,
    levels: Vec<Level>,
}

fn levels() -> impl Strategy<Value = Level> {
    let side = prop_oneof![4 => Just(Side::Bid), 4 => Just(Side::Ask), 1 => Just(Side::None)];
    let away = prop_oneof![
        30 => 0i64..12,
        6 => 0i64..60_000,
        1 => 0i64..(1 << 40),
    ];
    let qty = prop_oneof![
        10 => 1i64..50,
        8 => Just(0i64),
        1 => prop_oneof![Just(i64::MAX), Just(1 << 62), Just(-1i64), Just(i64::MIN)],
    ];
    // Now and then a level lies on the wrong side of the centre, so that books cross.
    (side, away, qty, 0u8..60).prop_map(|(side, away, qty_lots, dice)| Level {
        side,
        px_ticks: if (side == Side::Ask) == (dice > 0) {
            away + 1
        } else {
            -away
        },
        qty_lots,
    })
}

fn messages() -> impl Strategy<Value = Message> {
    let chain = prop_oneof![
        30 => Just(Chain::Follows),
        2 => Just(Chain::Leaps),
        3 => Just(Chain::Overlaps),
        3 => Just(Chain::Repeats),
        1 => Just(Chain::Unlinked),
        1 => Just(Chain::Unnumbered),
    ];
    // The market stays for a while, moves by more than a ladder's window, or ends up where only
    // damage or a test would be.
    let centre = prop_oneof![
        30 => Just(600_000i64),
        3 => Just(640_000i64),
        3 => 500_000i64..700_000,
        1 => prop_oneof![Just(PX_MAX - 5), Just(-PX_MAX + 5), Just(i64::MAX), Just(i64::MIN), Just(0)],
    ];
    (
        prop::bool::weighted(0.06),
        chain,
        prop_oneof![4 => 1u64..4, 1 => 1u64..1000],
        centre,
        prop::collection::vec(levels(), 1..12),
    )
        .prop_map(|(is_snapshot, chain, step, centre, levels)| Message {
            is_snapshot,
            chain,
            step,
            centre,
            levels,
        })
}

impl Message {
    fn rows(&self, book_seq: u64) -> Vec<Event> {
        let at = if book_seq == SEQ_NONE {
            5_000
        } else {
            book_seq
        };
        let (seq, prev_seq) = match self.chain {
            Chain::Follows => (at + self.step, at),
            Chain::Leaps => (at + 1 + self.step, at + 1),
            Chain::Overlaps => (at + self.step, at.saturating_sub(self.step)),
            Chain::Repeats => (
                at.saturating_sub(self.step - 1),
                at.saturating_sub(self.step),
            ),
            Chain::Unlinked => (at + self.step, SEQ_NONE),
            Chain::Unnumbered => (SEQ_NONE, SEQ_NONE),
        };
        let count = self.levels.len();
        let rows = self.levels.iter().enumerate().map(|(i, level)| Event {
            ts_event_ns: 0,
            ts_recv_ns: 0,
            px_ticks: self.centre.saturating_add(level.px_ticks),
            qty_lots: level.qty_lots,
            seq,
            prev_seq: if self.is_snapshot { SEQ_NONE } else { prev_seq },
            instrument: 0,
            kind: if self.is_snapshot {
                EventKind::Snapshot
            } else {
                EventKind::Delta
            } as u8,
            side: level.side as u8,
            flags: if i == 0 { flags::FIRST } else { 0 }
                | if i + 1 == count { flags::LAST } else { 0 },
            reserved: 0,
        });
        rows.collect()
    }
}

/// The book's rules as `book.rs` words them, on sorted maps.
#[derive(Default)]
struct Plain {
    bids: BTreeMap<i64, i64>,
    asks: BTreeMap<i64, i64>,
    seq: Option<u64>,
    has_snapshot: bool,
    doubt: Option<Doubt>,
    counts: BookCounts,
}

impl Plain {
    fn doubt(&mut self, doubt: Doubt) {
        // The first reason stands until the next snapshot.
        self.doubt = self.doubt.or(Some(doubt));
    }

    fn apply(&mut self, rows: &[Event]) -> Outcome {
        let head = rows[0];
        let seq = (head.seq != SEQ_NONE).then_some(head.seq);
        let prev_seq = (head.prev_seq != SEQ_NONE).then_some(head.prev_seq);
        let was_trusted = self.has_snapshot && self.doubt.is_none();
        if head.kind == EventKind::Snapshot as u8 {
            (self.bids, self.asks) = (BTreeMap::new(), BTreeMap::new());
            (self.has_snapshot, self.doubt) = (true, None);
        } else if !self.has_snapshot {
            self.counts.unready += 1;
            return Outcome::Unready;
        } else if let (Some(mine), Some(its)) = (self.seq, seq) {
            if its <= mine {
                self.counts.stale += 1;
                return Outcome::Stale;
            }
            if let Some(found) = prev_seq.filter(|&found| found > mine) {
                self.counts.gaps += 1;
                self.doubt(Doubt::Gap {
                    expected: mine,
                    found,
                });
            }
        }
        self.seq = seq;
        self.counts.applied += 1;
        for row in rows {
            self.set(row);
        }
        self.check_crossed();
        match (was_trusted, self.doubt) {
            (true, Some(_)) => Outcome::Suspected,
            (false, None) => Outcome::Recovered,
            _ => Outcome::Applied,
        }
    }

    fn set(&mut self, row: &Event) {
        let (px_ticks, qty_lots) = (row.px_ticks, row.qty_lots);
        if qty_lots < 0 || !(-PX_MAX..=PX_MAX).contains(&px_ticks) {
            self.counts.impossible += 1;
            self.doubt(Doubt::Impossible { px_ticks, qty_lots });
            return;
        }
        let side = match Side::from_u8(row.side) {
            Some(Side::Bid) => &mut self.bids,
            Some(Side::Ask) => &mut self.asks,
            _ => return,
        };
        side.insert(px_ticks, qty_lots);
        side.retain(|_, qty| *qty != 0);
    }

    fn check_crossed(&mut self) {
        let (Some((&bid, _)), Some((&ask, _))) =
            (self.bids.last_key_value(), self.asks.first_key_value())
        else {
            return;
        };
        if bid >= ask {
            // A book that is suspect already may well be crossed; only a trusted one counts.
            self.counts.crossed += u64::from(self.doubt.is_none());
            self.doubt(Doubt::Crossed { bid, ask });
        }
    }

    fn levels(&self, side: Side) -> Vec<(i64, i64)> {
        let pairs = |(&px, &qty): (&i64, &i64)| (px, qty);
        if side == Side::Bid {
            self.bids.iter().rev().map(pairs).collect()
        } else {
            self.asks.iter().map(pairs).collect()
        }
    }
}

fn compare(book: &Book, plain: &Plain, taken: i64) -> Result<(), TestCaseError> {
    prop_assert_eq!(book.counts(), plain.counts);
    prop_assert_eq!(
        book.is_trusted(),
        plain.has_snapshot && plain.doubt.is_none()
    );
    if plain.has_snapshot {
        prop_assert_eq!(book.doubt(), plain.doubt);
    } else {
        prop_assert_eq!(book.doubt(), Some(Doubt::NoSnapshot));
    }
    prop_assert_eq!(book.seq(), plain.seq.unwrap_or(SEQ_NONE));
    let best = [Side::Bid, Side::Ask].map(|side| plain.levels(side).first().copied());
    prop_assert_eq!([book.best_bid(), book.best_ask()], best);
    prop_assert_eq!(
        [book.best_bid_px(), book.best_ask_px()],
        best.map(|b| b.map(|b| b.0))
    );
    let mid_x2 = best[0].zip(best[1]).map(|(bid, ask)| bid.0 + ask.0);
    prop_assert_eq!(book.mid_px_x2(), mid_x2);
    for side in [Side::Bid, Side::Ask] {
        let levels = plain.levels(side);
        prop_assert_eq!(&book.levels(side).collect::<Vec<_>>(), &levels);
        prop_assert_eq!(book.level_count(side), levels.len());
        for &(px, qty) in levels.iter().take(3) {
            prop_assert_eq!(book.qty_at(side, px), qty);
            if !levels.iter().any(|level| level.0 == px + 1) {
                prop_assert_eq!(book.qty_at(side, px + 1), 0);
            }
        }
        let sum: i128 = levels.iter().take(4).map(|level| i128::from(level.1)).sum();
        if let Ok(sum) = i64::try_from(sum) {
            prop_assert_eq!(book.depth(side, 4), sum);
        }
        prop_assert_eq!(book.cost_to_take(side, taken), cost(&levels, taken));
    }
    Ok(())
}

/// Lot by lot would take for ever; level by level in 128 bits cannot go wrong.
fn cost(levels: &[(i64, i64)], wanted: i64) -> (i128, i64) {
    let (mut left, mut cost) = (wanted, 0);
    for &(px, qty) in levels {
        let here = qty.min(left);
        cost += i128::from(px) * i128::from(here);
        left -= here;
    }
    (cost, wanted - left)
}

proptest! {
    #[test]
    fn equals_sorted_maps(
        messages in prop::collection::vec(messages(), 0..80),
        taken in prop_oneof![1i64..500, Just(i64::MAX)],
    ) {
        let mut book = Book::new();
        let mut plain = Plain::default();
        for message in messages {
            let rows = message.rows(book.seq());
            let mut told = Vec::new();
            let before = plain.levels_by_key();
            let outcome = book.apply_message_with(&rows, |side, px, old, new| {
                told.push((side, px, old, new));
            });
            prop_assert_eq!(outcome, plain.apply(&rows));
            check_told(&told, &rows, outcome, before)?;
            compare(&book, &plain, taken)?;
        }
    }
}

type ByKey = BTreeMap<(u8, i64), i64>;

impl Plain {
    fn levels_by_key(&self) -> ByKey {
        [Side::Bid, Side::Ask]
            .into_iter()
            .flat_map(|side| {
                self.levels(side)
                    .into_iter()
                    .map(move |(px, qty)| ((side as u8, px), qty))
            })
            .collect()
    }
}

/// Each level set is told once, in order, with the sizes before and after; `key` is the price.
fn check_told(
    told: &[(Side, i64, i64, i64)],
    rows: &[Event],
    outcome: Outcome,
    mut sizes: ByKey,
) -> Result<(), TestCaseError> {
    if matches!(outcome, Outcome::Stale | Outcome::Unready) {
        prop_assert!(told.is_empty());
        return Ok(());
    }
    if rows[0].kind == EventKind::Snapshot as u8 {
        sizes.clear();
    }
    let sound = rows.iter().filter(|row| {
        row.side != 0 && row.qty_lots >= 0 && (-PX_MAX..=PX_MAX).contains(&row.px_ticks)
    });
    let mut expected = Vec::new();
    for row in sound {
        let key = if row.side == Side::Ask as u8 {
            !row.px_ticks
        } else {
            row.px_ticks
        };
        let old = sizes
            .insert((row.side, row.px_ticks), row.qty_lots)
            .unwrap_or(0);
        expected.push((Side::from_u8(row.side).unwrap(), key, old, row.qty_lots));
    }
    prop_assert_eq!(told, &expected[..]);
    Ok(())
}

/// The oracle must be able to say no: a book that misses one delta is found out.
#[test]
fn a_missed_message_is_found_out() {
    let message = |is_snapshot, chain, px_ticks, qty_lots| Message {
        is_snapshot,
        chain,
        step: 1,
        centre: 100,
        levels: vec![Level {
            side: Side::Bid,
            px_ticks,
            qty_lots,
        }],
    };
    let (mut book, mut plain) = (Book::new(), Plain::default());
    for (index, message) in [
        message(true, Chain::Follows, -1, 5),
        message(false, Chain::Follows, -2, 7),
        message(false, Chain::Follows, -3, 9),
    ]
    .iter()
    .enumerate()
    {
        let rows = message.rows(plain.seq.unwrap_or(SEQ_NONE));
        plain.apply(&rows);
        if index != 1 {
            book.apply_message(&rows);
        }
    }
    assert!(compare(&book, &plain, 10).is_err());
    assert!(matches!(
        book.doubt(),
        Some(Doubt::Gap {
            expected: 5001,
            found: 5002
        })
    ));
    assert_eq!(plain.doubt, None);
}
