//! A message of Binance: rows of one whole group that a book takes, or an error and no row.

#![no_main]

use cobalt_core::book::Book;
use cobalt_core::decimal::Step;
use cobalt_core::decode::{Binance, Market, MessageKind};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((market, json)) = data.split_first() else {
        return;
    };
    let market = ["binance_spot", "binance_usdm", "binance_cm"][usize::from(*market) % 3];
    let market = Market::parse(market).expect("a market's name");
    let step = |text| Step::parse(text).expect("a plain step");
    let mut decoder = Binance::new(market, "BTCUSDT", step("0.1"), step("0.001"));
    let mut rows = Vec::new();
    match decoder.decode(json, 1_700_000_000_000_000_000, &mut rows) {
        Ok(MessageKind::Depth | MessageKind::Snapshot) => {
            assert!(rows[0].is_first() && rows[rows.len() - 1].is_last());
            let mut book = Book::new();
            book.apply_message(&rows);
            book.apply_message(&rows);
        }
        Ok(_) => {}
        Err(_) => assert!(rows.is_empty()),
    }
});
