use super::*;
use crate::event::EventKind;

fn step(text: &str) -> Step {
    Step::parse(text).unwrap()
}

fn flow() -> Flow {
    Flow::new(step("0.1"), step("10")).unwrap()
}

fn trade(ts_ns: i64, side: Side, px: i64, lots: i64) -> Event {
    Event {
        ts_event_ns: ts_ns,
        ts_recv_ns: ts_ns,
        ..crate::event::tests::row(EventKind::Trade, side, px, lots, 1)
    }
}

#[test]
fn a_window_ends_at_the_nanosecond() {
    let mut flow = flow();
    flow.trade(&trade(7, Side::Bid, 1_000, 5));
    flow.trade(&trade(7, Side::Ask, 1_000, 3));
    flow.trade(&trade(8, Side::None, 1_000, 9));
    for (window, span_ns) in WINDOWS_NS.into_iter().enumerate() {
        flow.advance(6 + span_ns);
        let inside = flow.window(window);
        assert_eq!((inside.lots, inside.trades), ([9, 5, 3], [1, 1, 1]));
        assert!((inside.ratio() - 0.25).abs() < f64::EPSILON);
        flow.advance(7 + span_ns);
        assert_eq!(flow.window(window).lots, [9, 0, 0]);
        assert!(flow.window(window).ratio().abs() < f64::EPSILON);
        flow.advance(8 + span_ns);
        assert_eq!(flow.window(window), Volume::default());
    }
    assert_eq!(flow.since_start().delta(), 2);
    assert!(flow.entries.is_empty());
}

#[test]
fn a_session_ends_at_midnight() {
    let mut flow = flow();
    assert_eq!(flow.session_start_ns(), None);
    flow.trade(&trade(SESSION_NS - 1, Side::Bid, 1_099, 5));
    assert_eq!(flow.session_start_ns(), Some(0));
    assert_eq!(
        flow.profile().buckets().collect::<Vec<_>>(),
        [(10, [0, 5, 0])]
    );
    flow.advance(SESSION_NS);
    assert_eq!(flow.session_start_ns(), Some(SESSION_NS));
    assert_eq!(flow.profile().buckets().len(), 0);
    flow.trade(&trade(SESSION_NS, Side::Ask, 1_100, 2));
    assert_eq!(
        flow.profile().buckets().collect::<Vec<_>>(),
        [(11, [0, 0, 2])]
    );
    assert_eq!(
        (flow.session().delta(), flow.since_start().delta()),
        (-2, 3)
    );
    assert_eq!(flow.window(3).lots, [0, 5, 2], "windows know no midnight");
}

#[test]
fn a_flood_of_trades_stays_within_its_bound() {
    let mut flow = flow();
    // 20,000 trades a second and side, three sides, for two minutes.
    let mut trades = 0u64;
    for tick in 0..2_400_000i64 {
        for side in [Side::None, Side::Bid, Side::Ask] {
            flow.trade(&trade(tick * 50_000, side, 1_000, 1));
            trades += 1;
        }
        assert!(flow.entries.len() <= ENTRIES_MAX);
        if tick % 99_991 == 0 {
            // A trade a tick is inside for 1 s, give or take what an edge is off.
            let inside = flow.window(0).lots[1];
            let exact = i128::from((tick + 1).min(20_000));
            assert!(
                (exact - 20..=exact).contains(&inside),
                "{inside} of {exact}"
            );
        }
    }
    assert!(flow.early_trades() > 0);
    assert!(flow.bytes() <= WINDOWS_BYTES_MAX + 1_000);
    assert_eq!(flow.since_start().trades.iter().sum::<u64>(), trades);
    flow.advance(i64::MAX);
    assert_eq!(flow.window(3), Volume::default(), "what came in went out");
}

#[test]
fn a_profile_has_an_end_and_loses_nothing() {
    let mut flow = flow();
    let last = i64::try_from(BUCKETS_MAX).unwrap();
    for px in 0..=last {
        flow.trade(&trade(0, Side::Bid, px * 100, 1));
    }
    flow.trade(&trade(0, Side::Ask, 0, 2));
    flow.trade(&trade(0, Side::Ask, last * 100, 4));
    let profile = flow.profile();
    assert_eq!(profile.buckets().len(), BUCKETS_MAX);
    assert_eq!(profile.buckets().next(), Some((0, [0, 1, 2])));
    assert_eq!(profile.outside(), [0, 1, 4]);
}

#[test]
fn what_no_venue_sends_is_counted_all_the_same() {
    let mut flow = flow();
    for ts_ns in [i64::MIN, 0, i64::MAX, i64::MIN] {
        for (px, lots) in [(i64::MAX, i64::MAX), (i64::MIN, i64::MIN), (0, -1)] {
            let mut row = trade(ts_ns, Side::Ask, px, lots);
            flow.trade(&row);
            row.side = 77;
            flow.trade(&row);
        }
    }
    assert_eq!(flow.now_ns(), i64::MAX);
    assert_eq!(flow.since_start().lots, [-8, 0, -8]);
    assert_eq!(flow.window(0).lots, [-4, 0, -4]);
}

fn numbered(ts_ns: i64, seq: u64, side: Side, px: i64) -> Event {
    Event {
        seq,
        ..trade(ts_ns, side, px, 2)
    }
}

#[test]
fn an_order_is_over_with_the_first_trade_of_another() {
    let first = numbered(5, 1, Side::Bid, 100);
    let continued = numbered(5, 2, Side::Bid, 101);
    for (other, what) in [
        (numbered(5, 3, Side::Ask, 101), "the other side"),
        (numbered(5, 3, Side::Bid, 100), "the other direction"),
        (numbered(5, 4, Side::Bid, 101), "an id left out"),
        (numbered(5, SEQ_NONE, Side::Bid, 101), "no id"),
        (numbered(6, 3, Side::Bid, 101), "another time"),
        (numbered(5, 3, Side::None, 101), "no side"),
    ] {
        let mut orders = AggressorOrders::default();
        assert_eq!(orders.trade(&first), None);
        assert_eq!(orders.trade(&continued), None);
        let order = orders.trade(&other).expect(what);
        assert_eq!((order.trades, order.levels, order.lots), (2, 2, 4));
        assert_eq!(order.value_px_lots, 402);
        assert!(order.is_sweep());
        let rest = orders.advance(i64::MAX).expect(what);
        assert_eq!((rest.trades, rest.px_first_ticks), (1, other.px_ticks));
        assert!(!rest.is_sweep());
        assert_eq!(orders.advance(i64::MAX), None);
    }
}

#[test]
fn an_order_is_over_after_a_while() {
    let mut orders = AggressorOrders::default();
    assert_eq!(orders.over_ns(), None);
    orders.trade(&numbered(5, 1, Side::Ask, 100));
    assert_eq!(orders.over_ns(), Some(5 + ORDER_OVER_NS));
    assert_eq!(orders.advance(4 + ORDER_OVER_NS), None);
    let late = Event {
        ts_recv_ns: 5 + ORDER_OVER_NS,
        ..numbered(5, 2, Side::Ask, 99)
    };
    let mut looked = orders.clone();
    let order = looked.advance(5 + ORDER_OVER_NS);
    assert_eq!(order.map(|order| order.trades), Some(1));
    assert_eq!(looked.trade(&late), None);
    assert_eq!(orders.trade(&late), order, "whether anybody looked or not");
}

const SEQ_NONE: u64 = crate::event::SEQ_NONE;
