use super::*;
use crate::instrument::{ContractKind, FeeRate};
use crate::margin::Brackets;
use crate::money::Rate;

/// An instrument of 0.1 ticks and 0.001 lots, or of 100 USD contracts.
pub(crate) fn instrument(inverse: bool) -> Instrument {
    let step = |text| Step::parse(text).unwrap();
    Instrument {
        id: if inverse { "I.TEST" } else { "L.TEST" }.to_owned(),
        kind: if inverse {
            ContractKind::Inverse
        } else {
            ContractKind::Linear
        },
        tick: step("0.1"),
        lot: step(if inverse { "1" } else { "0.001" }),
        contract_size: step(if inverse { "100" } else { "1" }),
        qty_lots_min: 1,
        qty_lots_max: 1_000_000,
        notional_min: None,
        base: "X".to_owned(),
        quote: "USD".to_owned(),
        maker_fee: FeeRate(0),
        taker_fee: FeeRate(0),
        brackets: Brackets::default(),
        liquidation_fee: Rate::default(),
        px_band: None,
    }
}

mod brute_force {
    //! The same numbers from whole books and all samples so far, without any state in between.

    use super::super::*;
    use super::instrument;
    use crate::event::{Event, EventKind, SEQ_NONE, flags};
    use proptest::prelude::*;

    /// One thing that happens.
    #[derive(Clone, Debug)]
    enum Act {
        /// A message of a member: whether a snapshot, whether update ids are missing before it,
        /// and its rows as (whether a bid, price, lots).
        Message(usize, bool, bool, Vec<(bool, i64, i64)>),
        /// So many samples go by.
        Wait(usize),
    }

    fn rows(top: i64) -> impl Strategy<Value = Vec<(bool, i64, i64)>> {
        let px = prop_oneof![
            30 => 9_000i64..11_000,
            6 => top - 50..top + 50,
            1 => prop_oneof![Just(1i64 << 59), Just(1i64), Just(-5i64)],
        ];
        let lots = prop_oneof![3 => Just(0i64), 9 => 1i64..5_000, 1 => Just(1i64 << 53)];
        prop::collection::vec((any::<bool>(), px, lots), 1..12)
    }

    fn act() -> impl Strategy<Value = Act> {
        let snapshot = (0usize..3, 500i64..200_000).prop_flat_map(|(member, mid)| {
            let levels = prop::collection::vec((1i64..400, 1i64..5_000), 0..12);
            (levels.clone(), levels).prop_map(move |(bids, asks)| {
                let bids = bids.into_iter().map(|(by, lots)| (true, mid - by, lots));
                let asks = asks.into_iter().map(|(by, lots)| (false, mid + by, lots));
                Act::Message(member, true, false, bids.chain(asks).collect())
            })
        });
        prop_oneof![
            3 => snapshot,
            12 => (0usize..3, prop::bool::weighted(0.1), rows(20_000))
                .prop_map(|(member, gap, rows)| Act::Message(member, false, gap, rows)),
            6 => (1usize..8).prop_map(Act::Wait),
            1 => (50usize..700).prop_map(Act::Wait),
        ]
    }

    fn message(snapshot: bool, seq: u64, gap: bool, levels: &[(bool, i64, i64)]) -> Vec<Event> {
        let kind = if snapshot {
            EventKind::Snapshot
        } else {
            EventKind::Delta
        };
        let mut rows: Vec<Event> = levels
            .iter()
            .map(|&(is_bid, px, lots)| Event {
                prev_seq: if snapshot {
                    SEQ_NONE
                } else {
                    seq - 1 - u64::from(!gap)
                },
                flags: 0,
                ..crate::event::tests::row(
                    kind,
                    if is_bid { Side::Bid } else { Side::Ask },
                    px,
                    lots,
                    seq,
                )
            })
            .collect();
        if let Some(row) = rows.first_mut() {
            row.flags |= flags::FIRST;
        }
        if let Some(row) = rows.last_mut() {
            row.flags |= flags::LAST;
        }
        rows
    }

    fn close(a: f64, b: f64) -> bool {
        (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-12 * a.abs().max(b.abs()) + 1e-300
    }

    #[allow(clippy::cast_precision_loss)]
    fn base_qty(instrument: &Instrument, px: i64, lots: i64) -> f64 {
        match (instrument.kind, px) {
            (crate::instrument::ContractKind::Inverse, ..=0) => 0.0,
            (crate::instrument::ContractKind::Inverse, _) => {
                lots as f64 * 100.0 / (px as f64 / 10.0)
            }
            _ => lots as f64 / 1000.0,
        }
    }

    /// Bid, ask, value and presence of every bucket of a book, by absolute number.
    type Buckets = std::collections::BTreeMap<i64, (f64, f64, f64, bool)>;

    fn buckets(book: &Book, instrument: &Instrument) -> Buckets {
        let mut found = Buckets::new();
        for side in [Side::Bid, Side::Ask] {
            for (px, lots) in book.levels(side) {
                // Ticks of 0.1 in buckets of 10.
                let cell = found.entry(px.div_euclid(100)).or_default();
                let qty = base_qty(instrument, px, lots);
                let sum = if side == Side::Bid {
                    &mut cell.0
                } else {
                    &mut cell.1
                };
                *sum += qty;
                #[allow(clippy::cast_precision_loss)]
                let px = px as f64 / 10.0;
                cell.2 += qty * px;
                cell.3 |= qty > 0.0;
            }
        }
        found
    }

    /// Time and imbalance by absolute bucket of each sample so far.
    type Samples = Vec<(i64, i64, [f64; BUCKETS])>;

    struct World {
        instruments: [Instrument; 3],
        books: [Book; 3],
        recv: [Option<i64>; 3],
        weights: [f64; 3],
        samples: Samples,
    }

    impl World {
        fn check(&self, cob: &mut Cob, now: i64) -> Result<(), TestCaseError> {
            let has_mid = cob.refresh(now, |market| &self.books[market]);
            let is_in: Vec<bool> = (0..3)
                .map(|m| {
                    self.books[m].is_trusted()
                        && self.recv[m].is_some_and(|recv| now - recv <= STALE_NS)
                })
                .collect();
            prop_assert_eq!(
                &is_in,
                &cob.members().iter().map(Member::is_in).collect::<Vec<_>>()
            );
            let (mut top, mut bottom) = (0.0, 0.0);
            for m in (0..3).filter(|&m| is_in[m]) {
                let book = &self.books[m];
                if let (Some((bid, bid_lots)), Some((ask, ask_lots))) =
                    (book.best_bid(), book.best_ask())
                {
                    let of = &self.instruments[m];
                    let weight = self.weights[m]
                        * (base_qty(of, bid, bid_lots) + base_qty(of, ask, ask_lots));
                    #[allow(clippy::cast_precision_loss)]
                    let mid = (bid + ask) as f64 / 20.0;
                    top += weight * mid;
                    bottom += weight;
                }
            }
            prop_assert_eq!(has_mid, bottom > 0.0);
            let Some(row) = cob.row().copied() else {
                return Ok(());
            };
            prop_assert!(close(row.mid, top / bottom), "{} {}", row.mid, top / bottom);
            prop_assert_eq!(row.first, bucket_of(row.mid, cob.group.size) - 20);
            let all: Vec<Buckets> = (0..3)
                .map(|m| buckets(&self.books[m], &self.instruments[m]))
                .collect();
            let detail = cob.detail(|market| &self.books[market]).unwrap();
            let mut depths = [0.0; 3];
            for index in 0..BUCKETS {
                let (mut bid, mut ask, mut value, mut venues) = (0.0, 0.0, 0.0, 0u8);
                for m in (0..3).filter(|&m| is_in[m]) {
                    let bucket = row.first + index.cast_signed() as i64;
                    let cell = all[m].get(&bucket).copied().unwrap_or_default();
                    bid += self.weights[m] * cell.0;
                    ask += self.weights[m] * cell.1;
                    value += self.weights[m] * cell.2;
                    venues += u8::from(cell.3);
                    depths[m] += self.weights[m] * (cell.0 + cell.1);
                }
                prop_assert!(close(row.bid[index], bid) && close(row.ask[index], ask));
                prop_assert!(close(detail.vwap[index], value / (bid + ask)));
                prop_assert_eq!(detail.venues[index], venues);
                let expected = if bid + ask == 0.0 {
                    0.0
                } else {
                    (bid - ask) / (bid + ask)
                };
                prop_assert!((row.imbalance[index] - expected).abs() < 1e-12);
            }
            let total: f64 = depths.iter().sum();
            for (share, depth) in detail.shares.iter().zip(depths) {
                let expected = if total > 0.0 { depth / total } else { 0.0 };
                prop_assert!(close(*share, expected));
            }
            self.check_crossings(cob, &is_in)
        }

        /// Unit by unit of the coarsest kind there is: whole levels, the best first.
        fn check_crossings(&self, cob: &Cob, is_in: &[bool]) -> Result<(), TestCaseError> {
            let mut expected = Vec::new();
            for buy in 0..3 {
                for sell in 0..3 {
                    if buy == sell || !is_in[buy] || !is_in[sell] {
                        continue;
                    }
                    let asks: Vec<_> = self.books[buy].levels(Side::Ask).collect();
                    let bids: Vec<_> = self.books[sell].levels(Side::Bid).collect();
                    let (Some(ask), Some(bid)) = (asks.first(), bids.first()) else {
                        continue;
                    };
                    if ask.0 > bid.0 {
                        continue;
                    }
                    // The most that can be taken at a bid no lower and an ask no higher than any
                    // price between is the least of what both sides offer there, at its greatest.
                    let offered = |px: i64| -> f64 {
                        asks.iter()
                            .filter(|level| level.0 <= px)
                            .map(|level| base_qty(&self.instruments[buy], level.0, level.1))
                            .sum()
                    };
                    let wanted = |px: i64| -> f64 {
                        bids.iter()
                            .filter(|level| level.0 >= px)
                            .map(|level| base_qty(&self.instruments[sell], level.0, level.1))
                            .sum()
                    };
                    let prices = asks.iter().chain(&bids).map(|level| level.0);
                    let qty =
                        prices.fold(0.0, |most: f64, px| most.max(offered(px).min(wanted(px))));
                    expected.push((buy, sell, ask.0 == bid.0, qty));
                }
            }
            let found = cob.crossings(|market| &self.books[market]);
            prop_assert_eq!(found.len(), expected.len());
            for (found, (buy, sell, locked, qty)) in found.iter().zip(expected) {
                prop_assert_eq!(
                    (found.buy, found.sell, found.is_locked()),
                    (buy, sell, locked)
                );
                prop_assert!(
                    (found.qty - qty).abs() <= 1e-12 * qty,
                    "{} {}",
                    found.qty,
                    qty
                );
                prop_assert!(locked || found.profit >= 0.0);
            }
            Ok(())
        }

        fn check_averages(&self, cob: &mut Cob, now: i64) -> Result<(), TestCaseError> {
            let Some(row) = cob.row().copied() else {
                return Ok(());
            };
            for (found, span) in cob.averages().iter().zip(WINDOWS_NS) {
                for (index, found) in found.iter().enumerate() {
                    let bucket = row.first + (AVERAGED_FIRST + index).cast_signed() as i64;
                    let seen: Vec<f64> = self
                        .samples
                        .iter()
                        .filter(|(ts, ..)| *ts > now - span)
                        .filter_map(|(_, first, values)| {
                            let at = usize::try_from(bucket - first).ok()?;
                            values.get(at).copied()
                        })
                        .collect();
                    #[allow(clippy::cast_precision_loss)]
                    let mean = seen.iter().sum::<f64>() / seen.len() as f64;
                    let found = found.expect("the latest sample has it");
                    prop_assert!((found - mean).abs() < 1e-12, "{found} {mean}");
                }
            }
            Ok(())
        }
    }

    const STALE_NS: i64 = 3_000_000_000;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn equals_the_incremental_one(acts in prop::collection::vec(act(), 1..60)) {
            let mut world = World {
                instruments: [instrument(false), instrument(true), instrument(false)],
                books: std::array::from_fn(|_| Book::new()),
                recv: [None; 3],
                weights: [1.0, 0.5, 2.0],
                samples: Vec::new(),
            };
            let group = Group {
                name: "X".to_owned(),
                members: world.weights.iter().copied().enumerate().collect(),
                size: Step::parse("10").unwrap(),
                stale_ns: STALE_NS,
            };
            let mut cob = Cob::new(group, &world.instruments.each_ref()).unwrap();
            prop_assert!(cob.bytes() <= 1_900_000, "what docs/market_state.md says");
            let mut now = 1_700_000_000_000_000_000;
            let mut seq = 10;
            for act in acts {
                match act {
                    Act::Message(member, snapshot, gap, levels) => {
                        seq += 2;
                        let rows = message(snapshot, seq, gap, &levels);
                        if rows.is_empty() {
                            continue;
                        }
                        let book = &mut world.books[member];
                        if snapshot {
                            cob.clear(member);
                        }
                        let outcome = book.apply_message_with(&rows, |side, key, old, new| {
                            let px = crate::ladder::Ladder::key(side, key);
                            cob.cells(member).change(side, px, old, new);
                        });
                        if outcome == crate::book::Outcome::Unready {
                            continue;
                        }
                        world.recv[member] = Some(now);
                        let before = cob.members()[member].absence;
                        let changed = cob.after_message(member, &world.books[member], now);
                        prop_assert_eq!(changed, before != cob.members()[member].absence);
                        world.check(&mut cob, now)?;
                    }
                    Act::Wait(samples) => {
                        for _ in 0..samples {
                            now += SAMPLE_NS;
                            cob.drop_stale(now);
                            if cob.refresh(now, |market| &world.books[market]) {
                                let row = cob.row().unwrap();
                                world.samples.push((now, row.first, row.imbalance));
                            }
                            cob.sample();
                        }
                        world.check(&mut cob, now)?;
                        if !samples.is_multiple_of(3) {
                            world.check_averages(&mut cob, now)?;
                        }
                        let kept = cob.samples();
                        let tail = &world.samples[world.samples.len() - kept.len()..];
                        for (row, sample) in kept.iter().zip(tail) {
                            prop_assert_eq!((row.ts_ns, row.first), (sample.0, sample.1));
                        }
                        prop_assert!(cob.seconds().iter().all(|row| row.ts_ns % 1_000_000_000 == 0));
                    }
                }
            }
            // A book that is taken in whole is the book that grew level by level.
            let mut other = Cob::new(cob.group.clone(), &world.instruments.each_ref()).unwrap();
            for (member, book) in world.books.iter().enumerate() {
                other.attach(member, book, world.recv[member], now);
            }
            cob.drop_stale(now);
            prop_assert_eq!(
                other.refresh(now, |market| &world.books[market]),
                cob.refresh(now, |market| &world.books[market])
            );
            prop_assert_eq!(other.row(), cob.row());
        }
    }
}
