//! What limits cost: `cargo test --release -p cobalt-core --test risk_speed -- --ignored --nocapture`.
//! There is nothing to measure in a debug build.

#![cfg(not(debug_assertions))]

use std::hint::black_box;
use std::time::Instant;

use cobalt_core::decimal::Step;
use cobalt_core::event::Side;
use cobalt_core::instrument::{ContractKind, FeeRate, Instrument};
use cobalt_core::margin::Brackets;
use cobalt_core::money::Money;
use cobalt_core::order::NewOrder;
use cobalt_core::risk::{
    Concentration, InstrumentLimits, Limits, OrderRate, Rate, RiskEngine, Share, View,
};

const MID_X2: i64 = 2 * 614_965 + 1;
const ROUNDS: usize = 25;
const CALLS: u64 = 20_000;

struct Scene;

impl View for Scene {
    fn now_ns(&self) -> i64 {
        0
    }
    fn mid_px_x2(&self, _instrument: usize) -> Option<i64> {
        Some(MID_X2)
    }
    fn quote_usd(&self, _instrument: usize) -> Option<Rate> {
        Some(Rate::ONE)
    }
    fn entry_value(&self, _instrument: usize) -> Money {
        usd(100)
    }
    fn unrealized(&self, _instrument: usize) -> Option<Money> {
        Some(usd(-1))
    }
    fn equity_usd(&self) -> Option<Money> {
        Some(usd(1_000))
    }
}

fn usd(dollars: i128) -> Money {
    Money(dollars * 1_000_000_000_000)
}

/// `BTCUSDT-PERP.BINANCE` as its venue defines it.
fn instrument() -> Instrument {
    Instrument {
        id: "BTCUSDT-PERP.BINANCE".into(),
        kind: ContractKind::Linear,
        tick: Step::parse("0.1").unwrap(),
        lot: Step::parse("0.001").unwrap(),
        contract_size: Step::parse("1").unwrap(),
        qty_lots_min: 1,
        qty_lots_max: 1_000_000,
        notional_min: Some(Step::parse("5").unwrap()),
        base: "BTC".into(),
        quote: "USDT".into(),
        maker_fee: FeeRate(20_000),
        taker_fee: FeeRate(50_000),
        brackets: Brackets::default(),
        liquidation_fee: cobalt_core::money::Rate::default(),
        px_band: None,
    }
}

/// Every limit, none of which is met.
fn all_limits(instruments: usize) -> Limits {
    let each = InstrumentLimits {
        order_lots_max: Some(1_000_000),
        order_notional_max: Some(usd(1_000_000_000)),
        px_through_max: Some(Share(1_000_000)),
        px_away_max: Some(Share(10_000_000)),
        orders_open_max: Some(1_000_000),
        position_lots_max: Some(1_000_000_000),
        exposure_max: Some(usd(1_000_000_000_000)),
        stop_loss: Some(usd(1_000_000)),
        stop_loss_share: Some(Share(50_000_000)),
    };
    Limits {
        instruments: vec![each; instruments],
        orders_open_max: Some(1_000_000),
        order_rates: vec![OrderRate {
            orders: 1_000,
            interval_ns: 1,
        }],
        gross_max: Some(usd(1_000_000_000_000)),
        net_max: Some(usd(1_000_000_000_000)),
        concentration: Some(Concentration {
            share: Share(100_000_000),
            floor: usd(1),
        }),
        drawdown_share_max: Some(Share(50_000_000)),
        daily_loss_share_max: Some(Share(50_000_000)),
        ..Limits::none(instruments)
    }
}

/// The median over rounds of the time of one call, in ns.
#[allow(clippy::cast_precision_loss, reason = "a time for people")]
fn median_ns(mut call: impl FnMut(u64)) -> f64 {
    let mut rounds: Vec<u128> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            (0..CALLS).for_each(&mut call);
            began.elapsed().as_nanos()
        })
        .collect();
    rounds.sort_unstable();
    rounds[ROUNDS / 2] as f64 / CALLS as f64
}

#[test]
#[ignore = "a measurement"]
fn limits_cost_well_under_a_microsecond() {
    for (instruments, open, is_limited) in [
        (1, 10, false),
        (1, 10, true),
        (1, 1_000, true),
        (10, 100, true),
    ] {
        let limits = if is_limited {
            all_limits(instruments)
        } else {
            Limits::none(instruments)
        };
        let all = vec![instrument(); instruments];
        let mut risk = RiskEngine::new(&all, limits).unwrap();
        for at in 0..instruments {
            risk.on_position(at, 5, Money::ZERO);
        }
        let order = NewOrder::limit(0, Side::Bid, 614_960, 10);
        for id in 0..open {
            risk.on_submit(id, &order, -1);
        }
        let check = median_ns(|_| {
            assert_eq!(
                black_box(&risk).check(black_box(&order), 0, true, &Scene),
                None
            );
        });
        let life = median_ns(|call| {
            risk.on_submit(open + call, &order, -1);
            risk.on_fill(open + call, 5);
            risk.on_done(open + call);
        });
        let mut actions = Vec::new();
        let look = median_ns(|_| risk.evaluate(black_box(&Scene), &mut actions));
        assert!(actions.is_empty());
        println!(
            "{instruments} instruments, {open} open orders, limits {is_limited}: \
             check {check:.0} ns, life of an order {life:.0} ns, look at the account {look:.0} ns"
        );
        assert!(check < 1_000.0, "a loaded machine, or slow");
    }
}
