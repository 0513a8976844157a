//! The testnet as a whole: what it publishes against what its engines hold.

use std::fmt::Write as _;

use super::*;
use crate::book::{Book, Outcome};
use crate::decimal::Step;
use crate::event::{EventKind, SEQ_NONE, Side};
use crate::l3::OrderBook;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

const START_NS: i64 = 1_704_067_200_000_000_000;

fn params(seed: u64, duration_s: i64) -> TestnetParams {
    let venue = |tick: &str, lot: &str, basis, activity, depth_every_ns, least_ns| VenueParams {
        tick: Step::parse(tick).unwrap(),
        lot: Step::parse(lot).unwrap(),
        basis,
        depth_every_ns,
        latency: feed::Latency {
            least_ns,
            jitter_ns: 700_000.0,
        },
        publishes_orders: false,
        flow: flow::FlowParams::with_activity(activity),
    };
    TestnetParams {
        seed,
        start_ns: START_NS,
        duration_ns: duration_s * 1_000_000_000,
        fair: FairParams::default(),
        venues: vec![
            venue("0.1", "0.001", 0.0, 1.0, 100_000_000, 4_000_000),
            venue("0.5", "0.00001", -5e-5, 0.5, 30_000_000, 0),
        ],
    }
}

/// The same, with single orders.
fn params_with_orders(seed: u64, duration_s: i64) -> TestnetParams {
    let mut params = params(seed, duration_s);
    for venue in &mut params.venues {
        venue.publishes_orders = true;
    }
    params
}

/// All rows of a run, by (venue, stream).
fn all_rows(params: &TestnetParams, rows_min: usize) -> Vec<[Vec<Event>; 4]> {
    let mut testnet = Testnet::new(params).unwrap();
    let mut rows = vec![[const { Vec::new() }; 4]; params.venues.len()];
    while let Some(batches) = testnet.next_batches(rows_min) {
        for batch in batches {
            rows[batch.venue][batch.kind as usize].extend(batch.rows);
        }
    }
    rows
}

fn messages(rows: &[Event]) -> impl Iterator<Item = &[Event]> {
    rows.chunk_by(|row, _| !row.is_last())
}

/// A book that follows a venue's depth rows.
struct Follower {
    book: Book,
    seen: usize,
}

impl Follower {
    /// Applies what was published since the last call; whether that was anything.
    fn follow(&mut self, rows: &[Event]) -> bool {
        let fresh = &rows[self.seen..];
        for message in messages(fresh) {
            assert!(message[0].is_first() && message[message.len() - 1].is_last());
            let outcome = self.book.apply_message(message);
            assert!(
                matches!(outcome, Outcome::Applied | Outcome::Recovered),
                "{outcome:?}"
            );
        }
        self.seen = rows.len();
        !fresh.is_empty()
    }

    fn assert_holds(&self, venue: &Venue) {
        for side in [Side::Bid, Side::Ask] {
            assert!(self.book.levels(side).eq(venue.engine().levels(side)));
        }
        assert!(self.book.is_trusted());
    }
}

fn assert_conserved(venue: &Venue) {
    let engine = venue.engine();
    let resting: i64 = [Side::Bid, Side::Ask]
        .iter()
        .flat_map(|&side| engine.levels(side))
        .map(|(_, qty)| qty)
        .sum();
    let totals = engine.totals();
    assert!(totals.filled > 0 && totals.cancelled > 0);
    assert_eq!(totals.submitted, resting + totals.filled + totals.cancelled);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// At every message boundary the published rows give the engine's own book, which is never
    /// crossed, and no lot is lost.
    #[test]
    fn published_books_are_the_engines_books(seed in any::<u64>()) {
        let params = params(seed, 6);
        let mut testnet = Testnet::new(&params).unwrap();
        let mut followers: Vec<_> = (0..params.venues.len())
            .map(|_| Follower { book: Book::new(), seen: 0 })
            .collect();
        let mut compared = 0;
        while testnet.step < testnet.step_end {
            testnet.advance();
            for (venue, follower) in testnet.venues.iter().zip(&mut followers) {
                let engine = venue.engine();
                let touch = [Side::Bid, Side::Ask].map(|side| engine.best(side).unwrap().0);
                prop_assert!(touch[0] < touch[1]);
                let is_snapshot = testnet.step == 1;
                if follower.follow(venue.feed().waiting(StreamKind::Depth)) && !is_snapshot {
                    follower.assert_holds(venue);
                    compared += 1;
                }
            }
        }
        // One message for each interval in which something happened.
        prop_assert!((230..=60 + 200).contains(&compared), "{compared}");
        testnet.venues.iter().for_each(assert_conserved);
    }

    /// Single orders give the engine's queues, order by order, and show what traded.
    #[test]
    fn published_orders_are_the_engines_orders(seed in any::<u64>()) {
        let mut testnet = Testnet::new(&params_with_orders(seed, 4)).unwrap();
        let mut books = vec![(OrderBook::new(), 0, 0); testnet.venues.len()];
        while testnet.step < testnet.step_end {
            testnet.advance();
            for (venue, (book, seen, executed)) in testnet.venues.iter().zip(&mut books) {
                let rows = venue.feed().waiting(StreamKind::Orders);
                for row in &rows[*seen..] {
                    let before = book.order(row.seq).map_or(0, |order| order.qty_lots);
                    prop_assert_eq!(book.apply(row), None);
                    if row.kind == EventKind::OrderChange as u8
                        || row.kind == EventKind::OrderDelete as u8 && row.qty_lots == 0
                    {
                        *executed += before - row.qty_lots;
                    }
                }
                *seen = rows.len();
                for side in [Side::Bid, Side::Ask] {
                    let engine = venue.engine();
                    let theirs = engine
                        .queue(side)
                        .map(|(id, open)| (id.number(), open.px_ticks, open.qty_lots));
                    let mine = book.levels(side).flat_map(|(px, ..)| book.queue(side, px));
                    let mine = mine.map(|order| (order.id, order.px_ticks, order.qty_lots));
                    prop_assert!(*seen == 0 || mine.eq(theirs));
                }
                let trades = venue.feed().waiting(StreamKind::Trades);
                prop_assert_eq!(*executed, trades.iter().map(|row| row.qty_lots).sum::<i64>());
            }
        }
        prop_assert!(books.iter().all(|(book, _, executed)| book.len() > 50 && *executed > 0));
    }

    /// A quote with the update id of a depth message shows that book's best levels.
    #[test]
    fn quotes_agree_with_books(seed in any::<u64>()) {
        for [depth, _, quotes, _] in all_rows(&params(seed, 10), usize::MAX) {
            let mut book = Book::new();
            let mut aligned = 0;
            let mut quotes = messages(&quotes).peekable();
            for message in messages(&depth) {
                book.apply_message(message);
                while let Some(quote) = quotes.next_if(|quote| quote[0].seq <= book.seq()) {
                    if quote[0].seq == book.seq() {
                        let [bid, ask] = [0, 1].map(|i| (quote[i].px_ticks, quote[i].qty_lots));
                        prop_assert_eq!(book.best_bid(), Some(bid));
                        prop_assert_eq!(book.best_ask(), Some(ask));
                        aligned += 1;
                    }
                }
            }
            prop_assert!(aligned >= 10, "only {aligned} quotes could be compared");
        }
    }

    /// The clocks, flags, ids and sides of every row are as the event record demands.
    #[test]
    fn rows_are_well_formed(seed in any::<u64>()) {
        for (venue, streams) in all_rows(&params_with_orders(seed, 5), 1000).into_iter().enumerate() {
            for rows in &streams {
                assert_stream(rows, venue);
            }
            let [depth, trades, quotes, orders] = streams;
            prop_assert_eq!(orders[0].kind, EventKind::OrderClear as u8);
            prop_assert!(orders.iter().all(|row| row.is_first() && row.is_last()));
            prop_assert_eq!(depth[0].kind, EventKind::Snapshot as u8);
            prop_assert_eq!(depth[0].ts_event_ns, START_NS);
            let chain: Vec<_> = messages(&depth).map(|m| (m[0].prev_seq, m[0].seq)).collect();
            prop_assert_eq!(chain[0].0, SEQ_NONE);
            prop_assert!(chain.windows(2).all(|pair| pair[1].0 == pair[0].1));
            prop_assert!(trades.iter().zip(1..).all(|(trade, id)| trade.seq == id));
            prop_assert!(trades.iter().all(|t| t.is_first() && t.is_last() && t.qty_lots > 0));
            let ids: Vec<_> = messages(&quotes).map(|quote| quote[0].seq).collect();
            prop_assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
            for quote in messages(&quotes) {
                prop_assert_eq!([quote[0].side, quote[1].side], [1, 2]);
                prop_assert!(quote.len() == 2 && quote[0].px_ticks < quote[1].px_ticks);
            }
        }
    }
}

fn assert_stream(rows: &[Event], venue: usize) {
    assert!(!rows.is_empty());
    assert!(rows.windows(2).all(|p| p[0].ts_recv_ns <= p[1].ts_recv_ns));
    assert!(
        rows.windows(2)
            .all(|p| p[0].ts_event_ns <= p[1].ts_event_ns)
    );
    for row in rows {
        assert_eq!(usize::from(row.instrument), venue);
        assert_eq!(row.reserved, 0);
        assert_eq!(row.ts_event_ns % 1_000_000, 0);
        assert!(row.ts_recv_ns >= row.ts_event_ns && row.qty_lots >= 0);
    }
    for message in messages(rows) {
        let firsts = message.iter().filter(|row| row.is_first()).count();
        assert!(message[0].is_first() && firsts == 1 && message[message.len() - 1].is_last());
        assert!(message.iter().all(|row| row.seq == message[0].seq
            && row.prev_seq == message[0].prev_seq
            && row.ts_recv_ns == message[0].ts_recv_ns));
    }
}

#[test]
fn single_orders_change_no_other_stream() {
    let without = all_rows(&params(3, 5), 700);
    let with = all_rows(&params_with_orders(3, 5), 700);
    for (without, with) in without.iter().zip(&with) {
        assert_eq!(without[..3], with[..3]);
        assert!(without[3].is_empty() && !with[3].is_empty());
    }
}

#[test]
fn rows_do_not_depend_on_how_they_are_fetched() {
    let whole = all_rows(&params_with_orders(11, 8), usize::MAX);
    assert_eq!(whole, all_rows(&params_with_orders(11, 8), 1));
    let shorter = all_rows(&params_with_orders(11, 5), 700);
    for (long, short) in whole.iter().flatten().zip(shorter.iter().flatten()) {
        assert_eq!(long[..short.len()], short[..]);
    }
    assert_ne!(whole, all_rows(&params(12, 8), usize::MAX));
}

/// The bytes of one run, pinned. If a change of the model is meant, raise [`MODEL_VERSION`] and put
/// the new hash here; if this fails on some machine only, an operation in the model is not portable.
#[test]
fn same_seed_same_bytes_on_every_machine() {
    let mut hash = Sha256::new();
    for row in all_rows(&params(7, 30), 5000).iter().flatten().flatten() {
        for word in [
            row.ts_event_ns,
            row.ts_recv_ns,
            row.px_ticks,
            row.qty_lots,
            row.seq.cast_signed(),
            row.prev_seq.cast_signed(),
        ] {
            hash.update(word.to_le_bytes());
        }
        hash.update(row.instrument.to_le_bytes());
        hash.update([row.kind, row.side]);
        hash.update(row.flags.to_le_bytes());
    }
    let digest = hash.finalize();
    let hex = digest.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a string takes all that is written");
        hex
    });
    assert_eq!(MODEL_VERSION, 1);
    assert_eq!(
        hex,
        "40cd9abd3e7802719bf22e0467a755a773e77e45a7f13b9341f9c8c2a0a09cdc"
    );
}

#[test]
fn unusable_parameters_are_refused() {
    let refusal = |change: fn(&mut TestnetParams)| {
        let mut params = params(1, 1);
        change(&mut params);
        Testnet::new(&params).unwrap_err().to_string()
    };
    assert_eq!(
        refusal(|p| p.duration_ns = 0),
        "duration_ns: expected at least 10 ms, found 0"
    );
    assert!(refusal(|p| p.start_ns = -1).starts_with("start_ns: "));
    assert!(refusal(|p| p.venues.clear()).starts_with("venues: "));
    assert!(refusal(|p| p.venues[0].depth_every_ns = 15_000_000).starts_with("depth_every_ns: "));
    assert!(refusal(|p| p.venues[1].tick = Step::parse("100").unwrap()).starts_with("tick: "));
    assert!(refusal(|p| p.venues[1].basis = f64::NAN).starts_with("basis: "));
    assert!(refusal(|p| p.venues[0].latency.least_ns = -1).starts_with("latency: "));
    assert!(refusal(|p| p.fair.px_start = f64::NAN).starts_with("px_start: "));
    assert!(
        refusal(|p| p.venues[0].flow = flow::FlowParams::with_activity(0.0))
            .starts_with("activity: ")
    );
}
