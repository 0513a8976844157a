//! Whole runs on data made by hand: order of time, latencies, answers, ends.

use super::*;
use crate::event::{EventKind, Side};
use crate::exchange::models::{ConstantLatency, L3Fifo, NoPartialFill, RiskAverseQueue, ValueFees};
use crate::instrument::ContractKind;
use crate::money::tests::instrument;
use crate::order::{NewOrder, RejectCode, Status};

const RECV_LAG: i64 = 5;

fn row(kind: EventKind, ts: i64, side: Side, px: i64, qty: i64, seq: u64) -> Event {
    Event {
        ts_event_ns: ts,
        ts_recv_ns: ts + RECV_LAG,
        ..crate::event::tests::row(kind, side, px, qty, seq)
    }
}

pub(super) fn group(mut rows: Vec<Event>) -> Vec<Event> {
    let last = rows.len() - 1;
    for (at, row) in rows.iter_mut().enumerate() {
        row.flags = u16::from(at == 0) | u16::from(at == last) << 1;
    }
    rows
}

/// Snapshot at 100 (bid 99 × 10, ask 101 × 10), then one delta every 100 up to `until`.
pub(super) fn depth(until: i64) -> Vec<Event> {
    let mut rows = group(vec![
        row(EventKind::Snapshot, 100, Side::Bid, 99, 10, 1),
        row(EventKind::Snapshot, 100, Side::Ask, 101, 10, 1),
    ]);
    for (seq, ts) in (2..).zip((200..=until).step_by(100)) {
        rows.push(row(
            EventKind::Delta,
            ts,
            Side::Bid,
            98,
            seq,
            seq.cast_unsigned(),
        ));
    }
    rows
}

pub(super) fn trades(rows: &[(i64, Side, i64, i64)]) -> Vec<Event> {
    rows.iter()
        .map(|&(ts, side, px, qty)| row(EventKind::Trade, ts, side, px, qty, 1))
        .collect()
}

fn kernel_from(begin_ns: Option<i64>, depth: Vec<Event>) -> Kernel {
    let mut kernel = kernel(20, 30, depth, vec![]);
    kernel.begin_ns = begin_ns;
    kernel
}

pub(super) fn kernel(entry: i64, response: i64, depth: Vec<Event>, trades: Vec<Event>) -> Kernel {
    let mut kernel = Kernel::new(settings(entry, response)).unwrap();
    feed(&mut kernel, depth, trades);
    kernel
}

pub(super) fn settings(entry: i64, response: i64) -> Settings {
    let instrument = instrument(ContractKind::Linear, "0.1", "0.001", "1");
    let rates = (instrument.maker_fee, instrument.taker_fee);
    Settings {
        markets: vec![MarketSettings {
            instrument,
            latency: Box::new(ConstantLatency::new(entry, response).unwrap()),
            queue: Box::new(RiskAverseQueue),
            fill: Box::new(NoPartialFill),
            self_trade: SelfTrade::Allow,
            leverage: 1,
            mark: MarkSource::Mid,
            position: None,
        }],
        fees: Box::new(ValueFees::new(vec![rates])),
        causal_responses: false,
        margin: Mode::None,
        risk: RiskSettings::none(1),
        cash: vec![("USD".into(), Money(1_000_000_000_000_000))],
        equity_every_ns: 1_000,
        begin_ns: None,
        fingerprint: "test".into(),
    }
}

pub(super) fn feed(kernel: &mut Kernel, depth: Vec<Event>, trades: Vec<Event>) {
    for (kind, rows) in [(StreamKind::Depth, depth), (StreamKind::Trades, trades)] {
        let stream = kernel.add_stream(0, kind).unwrap();
        // In small batches, to cross their seams.
        let mut rest = rows.as_slice();
        while !rest.is_empty() {
            let seam = rest.iter().position(Event::is_last).unwrap() + 1;
            kernel
                .feed(stream, Box::new(rest[..seam].to_vec()))
                .unwrap();
            rest = &rest[seam..];
        }
        kernel.end_stream(stream).unwrap();
    }
}

pub(super) fn limit(side: Side, px: i64) -> NewOrder {
    NewOrder::limit(0, side, px, 5)
}

/// Runs to the end; `act` sees every step and the time.
pub(super) fn run(
    kernel: &mut Kernel,
    mut act: impl FnMut(&mut Kernel, &Step),
) -> Vec<(i64, Step)> {
    let mut steps = Vec::new();
    loop {
        let step = kernel.next(u64::MAX).unwrap();
        act(kernel, &step);
        steps.push((kernel.now_ns(), step));
        if step == Step::End {
            return steps;
        }
    }
}

#[test]
fn an_order_travels_rests_and_is_filled_by_a_trade_through_it() {
    let mut kernel = kernel(20, 30, depth(1_000), trades(&[(500, Side::Ask, 98, 1)]));
    let steps = run(&mut kernel, |kernel, step| {
        if *step == Step::Start {
            assert_eq!(kernel.now_ns(), 105);
            kernel.submit(limit(Side::Bid, 99));
        }
    });
    let told: Vec<(i64, Status)> = steps
        .iter()
        .filter_map(|(ts, step)| match step {
            Step::Order(order) => Some((*ts, order.status)),
            _ => None,
        })
        .collect();
    // Sent at 105, at the exchange at 125, answered at 155; filled at 500, known at 530.
    assert_eq!(told, [(155, Status::Open), (530, Status::Filled)]);
    let fills = kernel.take_records().fills;
    assert_eq!(fills.len(), 1);
    let fill = fills[0].fill;
    assert_eq!(
        (fill.ts_event_ns, fill.ts_recv_ns, fill.px_ticks),
        (500, 530, 99)
    );
    assert!(fill.maker);
    assert_eq!(kernel.ledger().account(0).position().qty_lots, 5);
}

#[test]
fn a_cancel_that_crosses_a_fill_comes_too_late() {
    let mut kernel = kernel(100, 100, depth(1_000), trades(&[(500, Side::Ask, 98, 1)]));
    let timer = std::cell::Cell::new(None);
    let steps = run(&mut kernel, |kernel, step| match step {
        Step::Start => {
            kernel.submit(limit(Side::Bid, 99));
            timer.set(Some(kernel.set_timer(450, None).unwrap()));
        }
        Step::Timer(id) => {
            assert_eq!(Some(*id), timer.get());
            // At 450 the fill of 500 has not happened; the cancel arrives at 550.
            assert!(kernel.cancel(1));
        }
        _ => {}
    });
    assert!(
        steps
            .iter()
            .any(|(ts, step)| *ts == 600 && matches!(step, Step::Fill(_)))
    );
    assert_eq!(kernel.counts().requests_too_late, 1);
    assert!(!kernel.cancel(1), "it is known to be done");
}

#[test]
fn orders_that_break_the_rules_are_refused_before_they_travel() {
    let mut kernel = kernel(20, 30, depth(300), vec![]);
    let steps = run(&mut kernel, |kernel, step| {
        if *step == Step::Start {
            kernel.submit(NewOrder {
                qty_lots: 0,
                ..limit(Side::Bid, 99)
            });
            kernel.submit(limit(Side::Bid, 0));
            kernel.submit(NewOrder {
                qty_lots: i64::MAX,
                ..limit(Side::Bid, 99)
            });
        }
    });
    let codes: Vec<(i64, Option<RejectCode>)> = steps
        .iter()
        .filter_map(|(ts, step)| match step {
            Step::Order(order) => Some((*ts, order.reject)),
            _ => None,
        })
        .collect();
    let expected = [
        RejectCode::QtyTooSmall,
        RejectCode::PxNotPositive,
        RejectCode::QtyTooLarge,
    ];
    assert_eq!(codes, expected.map(|code| (105, Some(code))));
    assert_eq!(kernel.counts().rejected, 3);
}

#[test]
fn rows_before_the_beginning_only_build_the_books() {
    let mut rows = depth(500);
    rows[3].prev_seq += 1;
    let mut kernel = kernel_from(Some(450), rows.clone());
    let steps = run(&mut kernel, |kernel, step| {
        if *step == Step::Start {
            // The row received at 505 is the first of the run and has not been seen yet.
            assert_eq!(kernel.markets[0].book.counts().applied, 4);
            kernel.subscribe_book(0, None).unwrap();
        }
    });
    // The gap in the run-up is not told, but the book stays suspect and is not shown.
    assert_eq!(steps, [(505, Step::Start), (505, Step::End)]);
    assert_eq!((kernel.start_ns(), kernel.counts().events), (505, 1));
    let mut late = kernel_from(Some(9_000), rows);
    assert_eq!(
        run(&mut late, |_, _| ()).len(),
        1,
        "the end, and no beginning"
    );
    assert_eq!(late.counts(), Counts::default());
}

#[test]
fn nothing_can_be_sent_after_the_end() {
    let mut kernel = kernel(20, 30, depth(300), vec![]);
    run(&mut kernel, |_, _| ());
    kernel.take_records();
    kernel.submit(limit(Side::Bid, 99));
    let orders = kernel.take_records().orders;
    assert_eq!(orders[0].reject, Some(RejectCode::RunEnded));
    assert_eq!(kernel.counts().rejected, 1);
}

#[test]
fn the_book_is_shown_on_a_grid_or_on_every_message() {
    for (every, expected) in [
        (Some(250), vec![250, 500, 750, 1_000]),
        (None, (2..=10).map(|n| n * 100 + 5).collect()),
    ] {
        let mut kernel = kernel(20, 30, depth(1_000), vec![]);
        let steps = run(&mut kernel, |kernel, step| {
            if *step == Step::Start {
                kernel.subscribe_book(0, every).unwrap();
            }
        });
        let mut shown: Vec<i64> = steps
            .iter()
            .filter_map(|(ts, step)| (*step == Step::Book(0)).then_some(*ts))
            .collect();
        if every.is_none() {
            assert_eq!(shown.remove(0), 105, "the snapshot itself");
        }
        assert_eq!(shown, expected);
    }
}

#[test]
fn bars_come_before_the_trade_that_completes_them() {
    let second = 1_000_000_000;
    let rows = [(second, Side::Bid, 100, 1), (3 * second, Side::Bid, 101, 1)];
    let mut kernel = kernel(20, 30, depth(100), trades(&rows));
    let steps = run(&mut kernel, |kernel, step| {
        if *step == Step::Start {
            let chart = kernel.add_chart(0, second).unwrap();
            kernel.subscribe_bars(0, chart);
            kernel.subscribe_trades(0);
        }
    });
    let names: Vec<&str> = steps
        .iter()
        .filter_map(|(_, step)| match step {
            Step::Trade(..) => Some("trade"),
            Step::Bar(..) => Some("bar"),
            _ => None,
        })
        .collect();
    assert_eq!(names, ["trade", "bar", "bar", "trade"]);
}

#[test]
fn a_gap_is_told_and_so_is_its_end() {
    let mut rows = depth(300);
    rows.push(row(EventKind::Delta, 400, Side::Bid, 97, 1, 50));
    rows.push(row(EventKind::Snapshot, 600, Side::Bid, 90, 1, 60));
    let mut kernel = kernel(20, 30, rows, vec![]);
    let steps = run(&mut kernel, |_, _| ());
    let gaps: Vec<(i64, Step)> = steps
        .into_iter()
        .filter(|(_, step)| matches!(step, Step::Gap(..)))
        .collect();
    assert_eq!(
        gaps,
        [(405, Step::Gap(0, false)), (605, Step::Gap(0, true))]
    );
}

#[test]
fn data_is_asked_for_and_bad_groups_are_named() {
    let mut kernel = kernel(20, 30, vec![], vec![]);
    assert_eq!(kernel.next(u64::MAX).unwrap(), Step::End, "no data, no run");
    let mut kernel = super::tests::kernel(20, 30, depth(100), vec![]);
    assert!(
        kernel.feed(0, Box::new(depth(100))).is_err(),
        "after the end"
    );
    assert!(kernel.add_stream(7, StreamKind::Depth).is_err());

    let mut fresh = Kernel::new(settings(0, 0)).unwrap();
    let stream = fresh.add_stream(0, StreamKind::Depth).unwrap();
    assert_eq!(fresh.next(u64::MAX).unwrap(), Step::NeedData(stream));
    let mut torn = depth(100);
    torn.truncate(1);
    let message = fresh.feed(stream, Box::new(torn)).unwrap_err().to_string();
    assert!(message.contains("without a last row"), "{message}");
}

#[test]
fn equal_runs_have_equal_hashes_and_others_do_not() {
    let hash = |entry: i64| {
        let mut kernel = kernel(entry, 30, depth(5_000), trades(&[(500, Side::Ask, 98, 1)]));
        run(&mut kernel, |kernel, step| {
            if *step == Step::Start {
                kernel.submit(limit(Side::Bid, 99));
            }
        });
        assert_eq!(
            kernel.take_records().equity.len(),
            6,
            "five on the grid and the last"
        );
        kernel.result_sha256()
    };
    assert_eq!(hash(20), hash(20));
    assert_ne!(hash(20), hash(21));
}

/// Our bid at 99 behind an order of 10 and before one of 5, of which 3 are executed at 700.
fn kernel_by_orders(causal_responses: bool) -> Kernel {
    let mut settings = settings(20, 30);
    settings.markets[0].queue = Box::new(L3Fifo);
    settings.causal_responses = causal_responses;
    let mut kernel = Kernel::new(settings).unwrap();
    feed(&mut kernel, depth(1_000), vec![]);
    let stream = kernel.add_stream(0, StreamKind::Orders).unwrap();
    for (kind, ts, qty, id) in [
        (EventKind::OrderClear, 50, 0, 0),
        (EventKind::OrderAdd, 50, 10, 1),
        (EventKind::OrderAdd, 300, 5, 2),
        (EventKind::OrderDelete, 400, 0, 1),
        (EventKind::OrderChange, 700, 2, 2),
        (EventKind::OrderDelete, 1_500, 2, 2),
    ] {
        let rows = vec![row(kind, ts, Side::Bid, 99, qty, id)];
        kernel.feed(stream, Box::new(rows)).unwrap();
    }
    kernel.end_stream(stream).unwrap();
    kernel
}

#[test]
fn single_orders_happen_at_the_exchange_and_are_shown_to_nobody() {
    for (causal, filled_ns, end_ns) in [(false, 730, 1_005), (true, 730, 1_505)] {
        let mut kernel = kernel_by_orders(causal);
        let steps = run(&mut kernel, |kernel, step| {
            if *step == Step::Start {
                assert_eq!(kernel.now_ns(), 105, "the first row of the book");
                kernel.submit(limit(Side::Bid, 99));
            }
        });
        let fills: Vec<_> = steps
            .iter()
            .filter_map(|(_, step)| match step {
                Step::Fill(fill) => Some((fill.ts_event_ns, fill.ts_recv_ns)),
                _ => None,
            })
            .collect();
        assert_eq!(fills, [(700, filled_ns)]);
        assert_eq!((kernel.counts().messages, kernel.counts().events), (10, 11));
        assert_eq!(kernel.now_ns(), end_ns);
    }
}

#[test]
fn a_damaged_time_is_an_error_and_not_an_endless_wait() {
    let mut rows = depth(300);
    rows.last_mut().unwrap().ts_recv_ns += 400 * 86_400_000_000_000;
    let mut kernel = Kernel::new(settings(20, 30)).unwrap();
    let stream = kernel.add_stream(0, StreamKind::Depth).unwrap();
    kernel.feed(stream, Box::new(rows)).unwrap();
    kernel.end_stream(stream).unwrap();
    let error = loop {
        match kernel.next(u64::MAX) {
            Ok(step) => assert_ne!(step, Step::End),
            Err(error) => break error.to_string(),
        }
    };
    assert!(
        error.contains("depth within 366 days of the row before"),
        "{error}"
    );
}
