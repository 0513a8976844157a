use super::*;

fn bar(at: i64, high: i64, low: i64, close: i64, volume: i64) -> Candle {
    Candle {
        ts_start_ns: at * 3_600_000_000_000,
        high_ticks: high,
        low_ticks: low,
        close_ticks: close,
        volume_lots: volume,
        value_px_lots: None,
    }
}

fn run(name: &str, bars: &[Candle]) -> Vec<Vec<Option<f64>>> {
    let mut indicator = Indicator::parse(name).unwrap();
    bars.iter()
        .map(|bar| {
            indicator.push(bar);
            indicator.results().to_vec()
        })
        .collect()
}

#[test]
fn the_first_result_comes_when_ta_libs_does() {
    let bars: Vec<_> = (0..100)
        .map(|at| bar(at, 110 + at % 7, 90, 100 + at % 5, 3))
        .collect();
    for (name, first) in [
        ("sma:3", 2),
        ("ema:3", 2),
        ("rsi:14", 14),
        ("macd", 33),
        ("bbands:5,2", 4),
        ("atr:14", 14),
        ("adx:14", 27),
        ("stoch", 8),
        ("obv", 0),
        ("vwap", 0),
    ] {
        let found = run(name, &bars);
        let at = found
            .iter()
            .position(|results| results.iter().all(Option::is_some));
        assert_eq!(at, Some(first), "{name}");
        assert!(
            found[..first].iter().flatten().all(Option::is_none),
            "{name}"
        );
    }
}

#[test]
fn small_cases_by_hand() {
    let bars = [
        bar(0, 2, 1, 1, 10),
        bar(1, 4, 2, 4, 20),
        bar(2, 4, 3, 3, 30),
        bar(30, 3, 3, 3, 0),
    ];
    let last = |name| *run(name, &bars).last().unwrap().first().unwrap();
    assert_eq!(last("sma:3"), Some(10.0 / 3.0));
    // Seeded with 2.5, then 2/3 of the way to 3, and again.
    assert!((last("ema:2").unwrap() - (2.5 + 1.0 / 3.0 + 1.0 / 9.0)).abs() < 1e-15);
    assert_eq!(last("obv"), Some(0.0));
    assert_eq!(last("vwap"), None, "a new day without volume");
    let third = run("vwap", &bars)[2][0].unwrap();
    let expected = (4.0 / 3.0 * 10.0 + 10.0 / 3.0 * 20.0 + 10.0 / 3.0 * 30.0) / 60.0;
    assert!((third - expected).abs() < 1e-12);
    let flat = vec![bar(0, 5, 5, 5, 0); 40];
    assert_eq!(run("rsi", &flat)[39][0], Some(0.0));
    assert_eq!(run("stoch", &flat)[39], [Some(0.0), Some(0.0)]);
    assert_eq!(run("adx", &flat)[39], [Some(0.0); 3]);
}

#[test]
fn extremes_neither_wrap_nor_panic() {
    let (most, least) = (i64::MAX, i64::MIN);
    let bars: Vec<_> = (0..90)
        .map(|at| {
            if at % 2 == 0 {
                bar(at, most, least, most, most)
            } else {
                bar(at, most, least, least, most)
            }
        })
        .collect();
    for name in [
        "sma", "ema", "rsi", "macd", "bbands", "atr", "adx", "stoch", "obv", "vwap",
    ] {
        let found = run(name, &bars);
        assert!(
            found
                .iter()
                .flatten()
                .flatten()
                .all(|value| value.is_finite()),
            "{name}"
        );
    }
}

#[test]
fn names_are_checked() {
    assert_eq!(
        Indicator::parse("macd").unwrap().names()[1],
        "macd:12,26,9.signal"
    );
    assert_eq!(Indicator::parse("obv").unwrap().names(), ["obv"]);
    for wrong in [
        "",
        "sma:",
        "sma:0",
        "sma:1.5",
        "sma:1,2",
        "macd:26,12,9",
        "bbands:20,-1",
        "foo:3",
        "obv:1",
    ] {
        let message = Indicator::parse(wrong).unwrap_err().to_string();
        assert!(
            message.contains("indicator: expected"),
            "{wrong}: {message}"
        );
    }
}
