//! A raw recording, plain or gzip: both passes of the importer come to its end or to an error.

#![no_main]

use std::fs;

use cobalt_core::decimal::Step;
use cobalt_core::decode::{Binance, Market};
use cobalt_core::import::{Recording, Survey};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let path = std::env::temp_dir().join(format!("cobalt-fuzz-{}", std::process::id()));
    fs::write(&path, data).expect("the temporary folder takes it");
    let step = |text| Step::parse(text).expect("a plain step");
    let market = Market::parse("binance_usdm").expect("a market's name");
    let decoder = || Binance::new(market, "BTCUSDT", step("0.1"), step("0.001"));
    if let Ok(mut survey) = Survey::open(&path, decoder()) {
        while matches!(survey.advance(1 << 16), Ok(true)) {}
    }
    if let Ok(mut recording) = Recording::open(&path, decoder(), i64::MIN) {
        let mut rows = Vec::new();
        while matches!(recording.next_record(&mut rows), Ok(Some(_))) {}
    }
});
