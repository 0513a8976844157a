//! Random orders of every kind on random markets, through the whole kernel: whatever happens, the
//! books add up (the kernel tests that at every fill and ends with an error where they do not), no
//! order is told something that may not follow, and answers keep to causality where asked to.

use cobalt_core::Event;
use cobalt_core::decimal::Step as DecimalStep;
use cobalt_core::event::{EventKind, SEQ_NONE, Side, flags};
use cobalt_core::exchange::SelfTrade;
use cobalt_core::exchange::models::{
    BookWalk, ConstantLatency, Distribution, FeedLatency, FillModel, LatencyModel, NoPartialFill,
    PartialFill, Probability, ProbabilityQueue, QueueModel, RandomLatency, RiskAverseQueue,
    ValueFees,
};
use cobalt_core::instrument::{ContractKind, FeeRate, Instrument};
use cobalt_core::kernel::{
    Fill, Kernel, MarkSource, MarketSettings, RiskSettings, Settings, Step, StreamKind,
};
use cobalt_core::margin::{Bracket, Brackets, Mode};
use cobalt_core::money::{Money, Px, Rate};
use cobalt_core::order::{
    Change, NewOrder, OrderKind, Role, Status, TimeInForce, Trail, Trigger, TriggerBy, TriggerKind,
};
use cobalt_core::random::Random;
use cobalt_core::risk::Cause;
use proptest::prelude::*;
use std::collections::BTreeMap;

const MS: i64 = 1_000_000;
const START: i64 = 1_700_000_000_000_000_000;

fn pick<T: Copy>(random: &mut Random, choices: &[T]) -> T {
    choices[usize::try_from(random.below(choices.len() as u64)).unwrap()]
}

fn between(random: &mut Random, low: i64, high: i64) -> i64 {
    low + random.below((high - low + 1).unsigned_abs()).cast_signed()
}

/// Depth and trades of a market around 1,000 ticks, with ties and late rows, ending in silence.
fn market(random: &mut Random, messages: usize) -> (Vec<Event>, Vec<Event>) {
    let (mut depth, mut trades) = (Vec::new(), Vec::new());
    let (mut ts, mut seq, mut mid) = (START, 1u64, 1_000i64);
    let mut latest = [0i64; 2];
    let mut stamp = |random: &mut Random, ts: i64, stream: usize| {
        let recv = ts + pick(random, &[1, 1, 2, 5]) * MS;
        latest[stream] = latest[stream].max(recv);
        latest[stream]
    };
    for n in 0..messages {
        ts += pick(random, &[0, 1, 1, 3]) * MS;
        if n > 0 && random.chance(0.4) {
            let side = pick(random, &[Side::Bid, Side::Ask]);
            trades.push(Event {
                ts_event_ns: ts,
                ts_recv_ns: stamp(random, ts, 1),
                px_ticks: mid + between(random, -3, 3),
                qty_lots: between(random, 1, 12),
                seq: n as u64,
                prev_seq: SEQ_NONE,
                kind: EventKind::Trade as u8,
                side: side as u8,
                flags: flags::FIRST | flags::LAST,
                ..Event::default()
            });
            continue;
        }
        mid += between(random, -2, 2);
        let recv = stamp(random, ts, 0);
        let begin = depth.len();
        for distance in 1..=4 {
            for (side, px) in [(Side::Bid, mid - distance), (Side::Ask, mid + distance)] {
                depth.push(Event {
                    ts_event_ns: ts,
                    ts_recv_ns: recv,
                    px_ticks: px,
                    qty_lots: between(random, 1, 9),
                    seq,
                    prev_seq: SEQ_NONE,
                    kind: EventKind::Snapshot as u8,
                    side: side as u8,
                    ..Event::default()
                });
            }
        }
        seq += 1;
        depth[begin].flags |= flags::FIRST;
        depth.last_mut().unwrap().flags |= flags::LAST;
    }
    // A message without levels, long after everything, so that all answers arrive.
    let end = ts + 60_000 * MS;
    depth.push(Event {
        ts_event_ns: end,
        ts_recv_ns: end + 9 * MS,
        seq,
        prev_seq: SEQ_NONE,
        kind: EventKind::Delta as u8,
        side: Side::None as u8,
        flags: flags::FIRST | flags::LAST,
        ..Event::default()
    });
    (depth, trades)
}

fn instrument(kind: ContractKind) -> Instrument {
    Instrument {
        id: "X.TEST".into(),
        kind,
        tick: DecimalStep::parse("0.1").unwrap(),
        lot: DecimalStep::parse("1").unwrap(),
        contract_size: DecimalStep::parse("10").unwrap(),
        qty_lots_min: 1,
        qty_lots_max: 1_000,
        notional_min: None,
        base: "X".into(),
        quote: "USD".into(),
        maker_fee: FeeRate(-1_000),
        taker_fee: FeeRate(50_000),
        brackets: Brackets::new(vec![Bracket {
            floor: Money::ZERO,
            cap: Money::MAX,
            rate: Rate::parse("0.005").unwrap(),
            amount: Money::ZERO,
            leverage_max: 100,
        }])
        .unwrap(),
        liquidation_fee: Rate::parse("0.01").unwrap(),
        px_band: None,
    }
}

/// Mark prices near those of the depth messages, and fundings, received late.
fn rates(random: &mut Random, depth: &[Event]) -> (Vec<Event>, Vec<Event>) {
    let (mut marks, mut fundings) = (Vec::new(), Vec::new());
    let heads = depth.iter().filter(|row| row.is_first());
    for head in heads.filter(|row| row.kind == EventKind::Snapshot as u8) {
        let tick = 10_000_000;
        let row = Event {
            ts_recv_ns: head.ts_event_ns + 9 * MS,
            px_ticks: (head.px_ticks + between(random, -2, 2)) * tick + between(random, 0, tick),
            kind: EventKind::Mark as u8,
            side: Side::None as u8,
            flags: flags::FIRST | flags::LAST,
            qty_lots: 0,
            ..*head
        };
        if random.chance(0.1) {
            fundings.push(Event {
                kind: EventKind::Funding as u8,
                qty_lots: between(random, -300_000, 300_000),
                ..row
            });
        } else {
            marks.push(row);
        }
    }
    (marks, fundings)
}

fn settings(random: &mut Random, case: &Case) -> Settings {
    let instrument = instrument(if case.inverse {
        ContractKind::Inverse
    } else {
        ContractKind::Linear
    });
    let mark = pick(
        random,
        &[MarkSource::Mid, MarkSource::Last, MarkSource::Recorded],
    );
    let currency = instrument.settlement().to_owned();
    let begun = if case.margin == Mode::None {
        "5000"
    } else if case.inverse {
        "0.02"
    } else {
        "200"
    };
    let held = random.chance(0.2) && case.margin != Mode::None;
    let fill: Box<dyn FillModel> = match random.below(3) {
        0 => Box::new(NoPartialFill),
        1 => Box::new(PartialFill),
        _ => Box::new(BookWalk::default()),
    };
    let queue: Box<dyn QueueModel> = if random.chance(0.5) {
        Box::new(RiskAverseQueue)
    } else {
        Box::new(ProbabilityQueue::new(Probability::Power(2.0), instrument.lot).unwrap())
    };
    let latency: Box<dyn LatencyModel> = match random.below(3) {
        0 => Box::new(ConstantLatency::new(2 * MS, MS).unwrap()),
        1 => Box::new(FeedLatency::new((1.0, 0), (2.0, MS)).unwrap()),
        _ => {
            let moments = (4 * MS, 3 * MS);
            let random = Random::new(random.below(1_000), 1);
            Box::new(
                RandomLatency::new(Distribution::LogNormal, moments, moments, 0, random).unwrap(),
            )
        }
    };
    let self_trade = pick(
        random,
        &[
            SelfTrade::Allow,
            SelfTrade::ExpireTaker,
            SelfTrade::ExpireMaker,
            SelfTrade::ExpireBoth,
        ],
    );
    let rates = (instrument.maker_fee, instrument.taker_fee);
    Settings {
        markets: vec![MarketSettings {
            instrument,
            latency,
            queue,
            fill,
            self_trade,
            leverage: 100,
            mark,
            position: held.then(|| (between(random, -9, 9), Px(10_000_000_000))),
        }],
        fees: Box::new(ValueFees::new(vec![rates])),
        causal_responses: case.causal_responses,
        margin: case.margin,
        risk: RiskSettings::none(1),
        cash: vec![(currency, Money::parse(begun).unwrap())],
        equity_every_ns: 1_000 * MS,
        begin_ns: None,
        fingerprint: String::new(),
    }
}

/// An order of any kind around the mid.
fn order(random: &mut Random, mid: i64, now_ns: i64) -> NewOrder {
    let side = pick(random, &[Side::Bid, Side::Ask]);
    let qty = between(random, 1, 15);
    let mut order = NewOrder::limit(0, side, mid + between(random, -4, 4), qty);
    order.reduce_only = random.chance(0.2);
    match random.below(8) {
        0 => order = NewOrder::market(0, side, qty),
        1 => order.tif = TimeInForce::Ioc,
        2 => order.tif = TimeInForce::Fok,
        3 => order.post_only = true,
        4 => {
            order.tif = TimeInForce::Gtd;
            order.expire_ns = Some(now_ns + between(random, 0, 40) * MS);
        }
        5 => order.display_lots = Some(between(random, 1, qty)),
        _ => {}
    }
    if random.chance(0.3) {
        let kind = match random.below(4) {
            0 => TriggerKind::Stop,
            1 => TriggerKind::TakeProfit,
            2 => TriggerKind::Trailing(Trail::Ticks(between(random, 1, 4))),
            _ => TriggerKind::Trailing(Trail::Rate(300_000)),
        };
        let by = pick(
            random,
            &[TriggerBy::Last, TriggerBy::BidAsk, TriggerBy::Mark],
        );
        let px_ticks = mid + between(random, -5, 5);
        order.trigger = Some(Trigger { kind, by, px_ticks });
    }
    order
}

fn act(kernel: &mut Kernel, random: &mut Random, plain: bool) {
    let mid = kernel.markets[0].book.mid_px_x2().unwrap_or(2_000) / 2;
    let live: Vec<u64> = kernel.live_orders().map(|order| order.id).collect();
    let now_ns = kernel.now_ns();
    let order = |random: &mut Random| {
        let order = order(random, mid, now_ns);
        NewOrder {
            reduce_only: order.reduce_only && !plain,
            ..order
        }
    };
    match random.below(10) {
        0..=3 => {
            kernel.submit(order(random));
        }
        4 if !plain => {
            let (side, qty) = (pick(random, &[Side::Bid, Side::Ask]), between(random, 1, 9));
            let away = if side == Side::Bid { -1 } else { 1 };
            let exit = if side == Side::Bid {
                Side::Ask
            } else {
                Side::Bid
            };
            let stop = NewOrder {
                trigger: Some(Trigger {
                    kind: TriggerKind::Stop,
                    by: TriggerBy::Last,
                    px_ticks: mid + away * between(random, 1, 5),
                }),
                reduce_only: true,
                kind: pick(random, &[OrderKind::Market, OrderKind::Limit]),
                ..NewOrder::limit(0, exit, mid + away * 6, qty)
            };
            let profit = NewOrder {
                reduce_only: true,
                ..NewOrder::limit(0, exit, mid - away * between(random, 1, 5), qty)
            };
            let entry = NewOrder::limit(0, side, mid + away * between(random, -2, 2), qty);
            kernel.submit_list(
                &[
                    (entry, Role::Entry),
                    (stop, Role::Exit),
                    (profit, Role::Exit),
                ],
                None,
            );
        }
        5 => {
            let (first, second) = (order(random), order(random));
            kernel.submit_list(&[(first, Role::Oco), (second, Role::Oco)], None);
        }
        6 | 7 if !live.is_empty() => {
            let change = Change {
                px_ticks: random.chance(0.5).then(|| mid + between(random, -4, 4)),
                qty_lots: random.chance(0.5).then(|| between(random, 1, 15)),
                trigger_px_ticks: random.chance(0.1).then(|| mid + between(random, -5, 5)),
                replace: random.chance(0.2),
            };
            kernel.modify(pick(random, &live), change);
        }
        8 if !live.is_empty() => {
            kernel.cancel(pick(random, &live));
        }
        9 if random.chance(0.1) => {
            kernel.cancel_all(0);
        }
        9 if random.chance(0.005) => {
            kernel.kill(Cause::Operator, "drill", random.chance(0.5));
        }
        _ => {}
    }
}

/// A random run.
#[derive(Clone, Copy, Debug, Default)]
struct Case {
    seed: u64,
    inverse: bool,
    causal_responses: bool,
    /// How positions are backed; with margin there are marks and fundings too.
    margin: Mode,
    /// Without reduce-only orders and brackets.
    plain: bool,
    /// A limit on the position.
    position_lots_max: Option<i64>,
    /// The end of trading, with all positions closed, so long after the start.
    kill_after_ns: Option<i64>,
}

/// Runs random commands over a random market; returns the kernel at its end, and its fills.
fn run(seed: u64, inverse: bool, causal_responses: bool) -> (Kernel, Vec<Fill>) {
    run_case(Case {
        seed,
        inverse,
        causal_responses,
        ..Case::default()
    })
}

fn run_case(case: Case) -> (Kernel, Vec<Fill>) {
    let causal_responses = case.causal_responses;
    let mut random = Random::new(case.seed, 0);
    let (depth, trades) = market(&mut random, 250);
    let (marks, fundings) = rates(&mut random, &depth);
    let mut settings = settings(&mut random, &case);
    settings.risk.limits.instruments[0].position_lots_max = case.position_lots_max;
    let mut held = settings.markets[0].position.map_or(0, |(lots, _)| lots);
    let mut kernel = Kernel::new(settings).unwrap();
    let mut streams = vec![(StreamKind::Depth, depth), (StreamKind::Trades, trades)];
    if case.margin != Mode::None {
        streams.extend([(StreamKind::Marks, marks), (StreamKind::Funding, fundings)]);
    }
    for (kind, rows) in streams {
        let stream = kernel.add_stream(0, kind).unwrap();
        kernel.feed(stream, Box::new(rows)).unwrap();
        kernel.end_stream(stream).unwrap();
    }
    let mut fills = Vec::new();
    // The latest venue time of what was received; reduce-only orders by id.
    let mut seen_ns = 0;
    let mut reducing: BTreeMap<u64, bool> = BTreeMap::new();
    loop {
        match kernel.next(u64::MAX).unwrap() {
            Step::Start => {
                kernel.subscribe_book(0, None).unwrap();
                kernel.subscribe_trades(0);
                kernel.set_timer(0, Some(2 * MS)).unwrap();
            }
            Step::Trade(_, row) => seen_ns = seen_ns.max(row.ts_event_ns),
            Step::Book(_) | Step::Timer(_) => {
                seen_ns = seen_ns.max(kernel.event_ns());
                if case
                    .kill_after_ns
                    .is_some_and(|after| kernel.now_ns() >= START + after)
                {
                    kernel.kill(Cause::Operator, "enough", true);
                }
                if kernel.now_ns() < START + 2_000 * MS {
                    act(&mut kernel, &mut random, case.plain);
                }
            }
            Step::Order(order) => {
                reducing.insert(order.id, order.request.reduce_only);
                assert!(order.filled_lots <= order.request.qty_lots, "{order:?}");
                // An exit that has closed all waits for what its entry may still fill.
                let is_spent = order.leaves_lots() == 0 && order.request.link.is_none();
                let is_filled = order.status == Status::Filled;
                assert!(!is_filled || order.leaves_lots() == 0, "{order:?}");
                assert!(!is_spent || is_filled, "{order:?}");
            }
            Step::Fill(fill) => {
                seen_ns = seen_ns.max(kernel.event_ns());
                if causal_responses {
                    let waited = kernel.now_ns() - fill.ts_event_ns >= 1_000 * MS;
                    assert!(fill.ts_event_ns <= seen_ns || waited, "{fill:?} {seen_ns}");
                }
                if reducing[&fill.order] {
                    assert!(fill.position_lots.abs() < i64::abs(held), "{fill:?} {held}");
                }
                held = fill.position_lots;
                fills.push(fill);
            }
            Step::Liquidation(told) => {
                assert_eq!(
                    kernel.ledger().account(0).position().qty_lots,
                    0,
                    "{told:?}"
                );
                let left = kernel.wallets()[0].balance;
                assert!(
                    case.margin == Mode::Isolated || left >= Money::ZERO,
                    "{told:?} {left}"
                );
            }
            Step::End => break,
            _ => {}
        }
    }
    (kernel, fills)
}

proptest! {
    #[test]
    fn whatever_is_ordered_the_books_add_up(seed: u64, inverse: bool, causal: bool) {
        let (kernel, fills) = run(seed, inverse, causal);
        let sum: i64 = fills.iter().map(|fill| fill.side.signed(fill.qty_lots)).sum();
        prop_assert_eq!(sum, kernel.ledger().account(0).position().qty_lots);
        let at_exchange = kernel.markets[0].position_at_exchange_lots();
        prop_assert_eq!(sum, at_exchange, "every answer has arrived");
        prop_assert_eq!(run(seed, inverse, causal).0.result_sha256(), kernel.result_sha256());
    }
}

proptest! {
    /// With marks, fundings, margin and liquidations the books add up as well: what the strategy
    /// was told is what the venue did, a liquidated account owes nothing, and nothing is lost.
    #[test]
    fn margin_and_funding_add_up(seed: u64, inverse: bool, causal: bool, isolated: bool) {
        let margin = if isolated { Mode::Isolated } else { Mode::Cross };
        let case = Case { seed, inverse, causal_responses: causal, margin, ..Case::default() };
        let (mut kernel, _) = run_case(case);
        prop_assert_eq!(
            kernel.ledger().account(0).position().qty_lots,
            kernel.markets[0].position_at_exchange_lots()
        );
        let position = *kernel.ledger().account(0).position();
        let wallet = &kernel.wallets()[0];
        prop_assert_eq!(wallet.balance, wallet.initial + position.cash());
        let paid: i128 = kernel.take_records().fundings.iter().map(|row| row.amount.0).sum();
        prop_assert_eq!(position.funding, Money(paid));
        prop_assert_eq!(run_case(case).0.result_sha256(), kernel.result_sha256());
    }

    /// Whatever changes, crosses and fills on the way, a limit on the position holds.
    #[test]
    fn a_position_limit_holds_through_every_race(
        seed: u64,
        inverse: bool,
        causal: bool,
        most in 0i64..20,
    ) {
        let (_, fills) = run_case(Case {
            seed,
            inverse,
            causal_responses: causal,
            plain: true,
            position_lots_max: Some(most),
            ..Case::default()
        });
        for fill in fills {
            prop_assert!(fill.position_lots.abs() <= most, "{:?}", fill);
        }
    }

    /// After the end of trading everything is cancelled and closed, and stays so.
    #[test]
    fn the_kill_switch_leaves_nothing(
        seed: u64,
        inverse: bool,
        causal: bool,
        after in 0i64..200 * MS,
    ) {
        let (kernel, fills) = run_case(Case {
            seed,
            inverse,
            causal_responses: causal,
            kill_after_ns: Some(after),
            ..Case::default()
        });
        prop_assert_eq!(kernel.markets[0].position_at_exchange_lots(), 0);
        let known = fills.last().map_or(0, |fill| fill.position_lots);
        prop_assert_eq!(known, 0);
    }
}

/// The harness does what it is for: a few runs together meet what margin and funding bring.
#[test]
fn the_random_orders_are_liquidated_and_refused() {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for seed in 0..60 {
        let margin = if seed % 2 == 0 {
            Mode::Cross
        } else {
            Mode::Isolated
        };
        let (mut kernel, _) = run_case(Case {
            seed,
            inverse: seed % 3 == 0,
            margin,
            ..Case::default()
        });
        let records = kernel.take_records();
        *seen.entry("fundings".into()).or_default() += records.fundings.len();
        let position = kernel.ledger().account(0).position();
        let charged = position.liquidation_fees > Money::ZERO;
        *seen.entry("liquidation fees".into()).or_default() += usize::from(charged);
        let insured = position.insurance > Money::ZERO;
        *seen.entry("insurance".into()).or_default() += usize::from(insured);
        for order in records.orders {
            let code = order.reject.map_or("", |code| code.name());
            *seen
                .entry(format!("{} {code}", order.status.name()))
                .or_default() += 1;
        }
    }
    for expected in [
        "fundings",
        "liquidation fees",
        "insurance",
        "filled LIQUIDATION",
        "canceled LIQUIDATION",
        "rejected MARGIN_INSUFFICIENT",
        "rejected RISK_FUNDS",
    ] {
        let count = seen.get(expected).copied().unwrap_or(0);
        assert!(count > 0, "no {expected} in {seen:?}");
    }
}

/// The harness does what it is for: a few runs together meet fills, lists, races and every status.
#[test]
fn the_random_orders_meet_everything() {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for seed in 0..40 {
        let (mut kernel, _) = run(seed, seed % 2 == 0, seed % 3 == 0);
        for order in kernel.take_records().orders {
            let code = order.reject.map_or("", |code| code.name());
            *seen
                .entry(format!("{} {code}", order.status.name()))
                .or_insert(0) += 1;
        }
    }
    for expected in [
        "filled ",
        "canceled ",
        "canceled LIST_ENDED",
        "canceled QTY_BELOW_FILLED",
        "expired ",
        "expired NO_LIQUIDITY",
        "expired REDUCE_ONLY",
        "expired SELF_TRADE",
        "expired TIME_EXPIRED",
        "rejected POST_ONLY_WOULD_TAKE",
        "rejected REDUCE_ONLY",
        "rejected WOULD_TRIGGER",
    ] {
        assert!(seen.contains_key(expected), "{expected}: {seen:?}");
    }
}
