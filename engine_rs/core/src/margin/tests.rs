use super::*;
use crate::instrument::{ContractKind, Instrument};
use crate::money::tests::instrument;
use proptest::prelude::*;

fn money(text: &str) -> Money {
    Money::parse(text).unwrap()
}

/// A table from rows of cap, rate, amount and leverage.
fn table(rows: &[(&str, &str, &str, u32)]) -> Brackets {
    let mut floor = Money::ZERO;
    let mut brackets = Vec::new();
    for &(cap, rate, amount, leverage_max) in rows {
        brackets.push(Bracket {
            floor,
            cap: money(cap),
            rate: Rate::parse(rate).unwrap(),
            amount: money(amount),
            leverage_max,
        });
        floor = money(cap);
    }
    Brackets::new(brackets).unwrap()
}

/// Binance, "Leverage and Margin of USDⓈ-M Futures", BTCUSDT: the first seven brackets.
fn btcusdt() -> Brackets {
    table(&[
        ("50000", "0.004", "0", 125),
        ("600000", "0.005", "50", 100),
        ("3000000", "0.0065", "950", 75),
        ("12000000", "0.01", "11450", 50),
        ("70000000", "0.02", "131450", 25),
        ("100000000", "0.025", "481450", 20),
        ("230000000", "0.05", "2981450", 10),
    ])
}

fn linear() -> Instrument {
    instrument(ContractKind::Linear, "0.01", "0.001", "1")
}

fn inverse() -> Instrument {
    instrument(ContractKind::Inverse, "0.1", "1", "100")
}

fn bracket(rate: &str, amount: &str) -> Bracket {
    Bracket {
        floor: Money::ZERO,
        cap: money("1000000000"),
        rate: Rate::parse(rate).unwrap(),
        amount: money(amount),
        leverage_max: 20,
    }
}

/// A price as the venue shows it, to the cent.
fn cents(px: Money) -> String {
    let cent = 10i128.pow(10);
    format!("{:.2}", Money((px.0 + cent / 2) / cent * cent).to_f64())
}

/// A position of so many lots at an entry price in ticks.
struct Case {
    valuer: Valuer,
    brackets: Brackets,
    qty_lots: i64,
    entry_value: Money,
}

impl Case {
    fn new(instrument: &Instrument, brackets: Brackets, qty_lots: i64, px_ticks: i64) -> Self {
        let valuer = Valuer::new(instrument).unwrap();
        Self {
            entry_value: valuer.value(px_ticks, qty_lots).unwrap(),
            valuer,
            brackets,
            qty_lots,
        }
    }

    fn held(&self) -> Held<'_> {
        Held {
            valuer: &self.valuer,
            brackets: &self.brackets,
            qty_lots: self.qty_lots,
            entry_value: self.entry_value,
        }
    }
}

/// The figures of Binance's worked example of its USD-M liquidation price (the cross position, and
/// each position by itself), as quoted by freqtrade's tests.
#[test]
fn the_venues_worked_examples() {
    let wallet = money("1535443.01");
    let eth = Case::new(&linear(), Brackets::default(), 3_683_979, 145_684);
    let eth_bracket = bracket("0.1", "135365");
    let px = eth.held().liquidation_px_in(&eth_bracket, wallet).unwrap();
    assert_eq!(cents(px), "1114.78");

    let btc = Case::new(&linear(), Brackets::default(), 109_488, 3_248_198);
    let btc_bracket = bracket("0.025", "16300");
    let px = btc.held().liquidation_px_in(&btc_bracket, wallet).unwrap();
    assert_eq!(cents(px), "18778.73");

    // Cross: the wallet less the maintenance margin of the other position, plus its profit.
    let mark = Px(133_518_000_000);
    let value = eth.valuer.value_at(mark, eth.qty_lots).unwrap();
    let free = wallet - eth_bracket.maintenance(value) + (value - eth.entry_value);
    let px = btc.held().liquidation_px_in(&btc_bracket, free).unwrap();
    assert_eq!(cents(px), "26316.89");
}

/// A short, worked by hand from the venue's formula with the bracket found in the table: 10 BTC sold
/// at 30,000 with a wallet of 20,000 USDT. At the price sought the notional is about 315,000 USDT,
/// in the bracket up to 600,000: rate 0.5 %, amount 50.
/// (20,000 + 50 + 10 × 30,000) ÷ (10 × 0.005 + 10) = 320,050 ÷ 10.05 = 31,845.7711…
#[test]
fn a_short_by_hand() {
    let short = Case::new(&linear(), btcusdt(), -10_000, 3_000_000);
    let px = short.held().liquidation_px(money("20000")).unwrap();
    assert_eq!(cents(px), "31845.77");
    assert_eq!(px, money("31845.771144278607"));
    // Without maintenance margin: (20,000 + 300,000) ÷ 10.
    let px = short.held().bankruptcy_px(money("20000")).unwrap();
    assert_eq!(px, money("32000"));
}

/// Inverse contracts, worked by hand from the venue's COIN-M formula with a rate of 0.4 % and no
/// amount: 1,000 contracts of 100 USD at 50,000 are 2 BTC; the wallet holds 0.1 BTC.
/// Long: 1,000 × (0.004 + 1) ÷ (0.1 ÷ 100 + 1,000 ÷ 50,000) = 1,004 ÷ 0.021 = 47,809.5238…
/// Short: 1,000 × (0.004 − 1) ÷ (0.1 ÷ 100 − 1,000 ÷ 50,000) = −996 ÷ −0.019 = 52,421.0526…
#[test]
fn inverse_by_hand() {
    let brackets = || table(&[("5", "0.004", "0", 125)]);
    let long = Case::new(&inverse(), brackets(), 1_000, 500_000);
    let px = long.held().liquidation_px(money("0.1")).unwrap();
    assert_eq!(px, money("47809.523809523810"));
    let short = Case::new(&inverse(), brackets(), -1_000, 500_000);
    let px = short.held().liquidation_px(money("0.1")).unwrap();
    assert_eq!(px, money("52421.052631578947"));
    // A short covered by as much of the base asset cannot be liquidated by any price.
    assert_eq!(short.held().liquidation_px(money("2")), None);
    // Nor can a long of a linear contract that is paid in full.
    let paid = Case::new(&linear(), btcusdt(), 1_000, 3_000_000);
    assert_eq!(paid.held().liquidation_px(money("30000")), None);
    let flat = Case::new(&linear(), btcusdt(), 0, 3_000_000);
    assert_eq!(flat.held().liquidation_px(money("1")), None);
}

#[test]
fn margins_by_bracket() {
    let brackets = btcusdt();
    for (notional, maintenance, initial_20, initial_125) in [
        // 30,000 × 0.4 %; up to 125-fold.
        ("30000", "120", "1500", "240"),
        ("50000", "200", "2500", "400"),
        // 100,000 × 0.5 % − 50; at most 100-fold.
        ("100000", "450", "5000", "1000"),
        // 20,000,000 × 2 % − 131,450; at most 25-fold.
        ("20000000", "268550", "1000000", "800000"),
        // 200,000,000 × 5 % − 2,981,450; at most 10-fold.
        ("200000000", "7018550", "20000000", "20000000"),
    ] {
        let notional = money(notional);
        assert_eq!(brackets.maintenance(notional), money(maintenance));
        assert_eq!(brackets.initial(notional, 20), money(initial_20));
        assert_eq!(brackets.initial(notional, 125), money(initial_125));
    }
    // Beyond the table nothing is opened; what is held there is kept by the last rule.
    let beyond = money("300000000");
    assert_eq!(brackets.of(beyond), None);
    assert_eq!(brackets.initial(beyond, 1), beyond);
    assert_eq!(brackets.maintenance(beyond), money("12018550"));
    // Rounded up, so that margin never falls short.
    assert_eq!(brackets.initial(Money(100), 3), Money(34));
    assert_eq!(Brackets::default().maintenance(beyond), Money::ZERO);
}

#[test]
fn tables_with_a_slip_are_refused() {
    let row = |floor, cap, rate, amount, leverage_max| Bracket {
        floor: money(floor),
        cap: money(cap),
        rate: Rate::parse(rate).unwrap(),
        amount: money(amount),
        leverage_max,
    };
    let first = row("0", "50000", "0.004", "0", 125);
    for (second, told) in [
        (
            row("60000", "600000", "0.005", "50", 100),
            "a bracket from 50000",
        ),
        (
            row("50000", "50000", "0.005", "50", 100),
            "a cap above the floor",
        ),
        (row("50000", "600000", "0.004", "0", 100), "a rising rate"),
        (
            row("50000", "600000", "0.005", "50", 126),
            "a leverage from 1 to 125",
        ),
        (
            row("50000", "600000", "0.005", "50", 0),
            "a leverage from 1 to 125",
        ),
        (
            row("50000", "600000", "0.005", "500", 100),
            "an amount of 50,",
        ),
    ] {
        let error = Brackets::new(vec![first, second]).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
    assert!(Brackets::new(vec![row("1", "2", "0.1", "0", 1)]).is_err());
}

/// The test for liquidation and the liquidation price are two ways to the same place: just above
/// the price a long stands, just below it falls.
#[test]
fn an_account_falls_at_its_liquidation_price() {
    let long = Case::new(&linear(), btcusdt(), 10_000, 3_000_000);
    let wallet = money("20000");
    let held = long.held();
    let px = held.liquidation_px(wallet).unwrap();
    let at = |px: i128| {
        let mark = Px(i64::try_from(px / 10_000).unwrap());
        let account = Solvency::of_wallet(wallet).with(&held, Some(mark));
        account.is_liquidatable()
    };
    assert!(!at(px.0 + 20_000));
    assert!(at(px.0 - 20_000));
    assert!(!Solvency::of_wallet(Money(-1)).is_liquidatable());
}

proptest! {
    /// For any position the account is liquidatable on one side of the price and not on the other,
    /// whichever bracket it falls in.
    #[test]
    fn price_and_test_agree(
        qty in prop_oneof![1i64..5_000_000, -5_000_000i64..-1],
        entry in 100_000i64..10_000_000,
        wallet in 1i64..20_000_000,
        is_inverse: bool,
    ) {
        let case = if is_inverse {
            let brackets = table(&[
                ("5", "0.004", "0", 125),
                ("10", "0.005", "0.005", 100),
                ("50", "0.01", "0.055", 50),
                ("500", "0.025", "0.805", 20),
            ]);
            Case::new(&inverse(), brackets, qty, entry)
        } else {
            Case::new(&linear(), btcusdt(), qty, entry)
        };
        let wallet = Money(i128::from(wallet) * if is_inverse { 10i128.pow(8) } else { 10i128.pow(12) });
        let held = case.held();
        let solvency = |px: i64| Solvency::of_wallet(wallet).with(&held, Some(Px(px)));
        match held.liquidation_px(wallet) {
            Some(px) if px.0 / 10_000 < i128::from(i64::MAX / 4) && px.0 > 40_000_000 => {
                let px = i64::try_from(px.0 / 10_000).unwrap();
                let slack = (px / 1_000_000).max(2);
                let (safe, fallen) = if qty > 0 { (px + slack, px - slack) } else { (px - slack, px + slack) };
                prop_assert!(!solvency(safe).is_liquidatable());
                prop_assert!(solvency(fallen).is_liquidatable());
            }
            Some(_) => {}
            None => {
                for px in [1_000i64, 100_000_000, 10_000_000_000_000] {
                    prop_assert!(!solvency(px).is_liquidatable(), "at {px}");
                }
            }
        }
    }

    /// Maintenance margin is the sum of each slice of the notional at its own rate.
    #[test]
    fn maintenance_is_the_sum_of_slices(notional in 0i128..230_000_000) {
        let brackets = btcusdt();
        let notional = Money(notional * 10i128.pow(12));
        let sum: i128 = brackets
            .rows()
            .iter()
            .map(|row| (notional.min(row.cap).0 - row.floor.0).max(0) / 100_000_000 * i128::from(row.rate.0))
            .sum();
        prop_assert_eq!(brackets.maintenance(notional), Money(sum));
    }
}
