//! Rows of events as a file or a strategy's own feed may hold them: the kernel runs to their end or
//! to an error.

#![no_main]

use cobalt_core::decimal::Step as DecimalStep;
use cobalt_core::exchange::SelfTrade;
use cobalt_core::exchange::models::{BookWalk, ConstantLatency, RiskAverseQueue, ValueFees};
use cobalt_core::instrument::{ContractKind, FeeRate, Instrument};
use cobalt_core::kernel::{
    Kernel, MarkSource, MarketSettings, RiskSettings, Settings, Step, StreamKind,
};
use cobalt_core::margin::{Brackets, Mode};
use cobalt_core::money::{Money, Rate};
use cobalt_core::order::NewOrder;
use cobalt_core::{Event, Side};
use libfuzzer_sys::fuzz_target;

const ROW: usize = 24;

/// A row of small numbers, or of any.
fn row(bytes: &[u8]) -> Event {
    let word = |at: usize| i64::from(i32::from_le_bytes(bytes[at..at + 4].try_into().expect("4")));
    let wild = bytes[22] & 1 == 1;
    let scale = |value: i64| if wild { value << 31 } else { value % 2_000 };
    Event {
        ts_event_ns: scale(word(0)),
        ts_recv_ns: scale(word(4)),
        px_ticks: scale(word(8)),
        qty_lots: scale(word(12)),
        seq: u64::from(bytes[16]),
        prev_seq: u64::from(bytes[17]),
        instrument: 0,
        kind: bytes[18] % 20,
        side: bytes[19] % 4,
        flags: u16::from(bytes[20] % 4),
        reserved: 0,
    }
}

fn settings() -> Settings {
    let step = |text| DecimalStep::parse(text).expect("a plain step");
    let rate = |text| FeeRate::parse(text).expect("a plain rate");
    let instrument = Instrument {
        id: "X.FUZZ".to_owned(),
        kind: ContractKind::Linear,
        tick: step("0.1"),
        lot: step("0.001"),
        contract_size: step("1"),
        qty_lots_min: 1,
        qty_lots_max: 1_000_000,
        notional_min: None,
        base: "X".to_owned(),
        quote: "USD".to_owned(),
        maker_fee: rate("0.0002"),
        taker_fee: rate("0.0005"),
        brackets: Brackets::default(),
        liquidation_fee: Rate::default(),
        px_band: None,
    };
    Settings {
        markets: vec![MarketSettings {
            latency: Box::new(ConstantLatency::new(5, 7).expect("plain times")),
            queue: Box::new(RiskAverseQueue),
            fill: Box::new(BookWalk::default()),
            self_trade: SelfTrade::ExpireTaker,
            leverage: 1,
            mark: MarkSource::Recorded,
            position: None,
            instrument,
        }],
        fees: Box::new(ValueFees::new(vec![(rate("0.0002"), rate("0.0005"))])),
        causal_responses: false,
        margin: Mode::None,
        risk: RiskSettings::none(1),
        cash: vec![("USD".to_owned(), Money(1_000_000_000_000_000))],
        equity_every_ns: 1_000_000_000,
        begin_ns: None,
        fingerprint: String::new(),
    }
}

fn run(kernel: &mut Kernel, rows: &[Event]) -> cobalt_core::Result<()> {
    const KINDS: [StreamKind; 4] = [
        StreamKind::Depth,
        StreamKind::Trades,
        StreamKind::Marks,
        StreamKind::Funding,
    ];
    for kind in KINDS {
        let stream = kernel.add_stream(0, kind)?;
        let mine: Vec<Event> = rows
            .iter()
            .filter(|row| match kind {
                StreamKind::Depth => row.kind <= 2,
                StreamKind::Trades => row.kind == 3,
                StreamKind::Marks => row.kind == 6,
                _ => row.kind >= 7,
            })
            .copied()
            .collect();
        kernel.feed(stream, Box::new(mine))?;
        kernel.end_stream(stream)?;
    }
    // A venue's clock that lies far ahead makes many samples due.
    for turn in 0..2_000_u32 {
        kernel.take_records();
        match kernel.next(1_000)? {
            Step::Start => {
                kernel.subscribe_book(0, None)?;
                kernel.subscribe_trades(0);
            }
            Step::End => return Ok(()),
            _ if turn % 3 == 0 => {
                kernel.submit(NewOrder::limit(0, Side::Bid, 1_000, 5));
            }
            _ if turn % 7 == 0 => {
                kernel.submit(NewOrder::market(0, Side::Ask, 5));
            }
            _ => {}
        }
    }
    Ok(())
}

fuzz_target!(|data: &[u8]| {
    let rows: Vec<Event> = data.chunks_exact(ROW).map(row).collect();
    let mut kernel = Kernel::new(settings()).expect("plain settings");
    // An error names what was wrong; a panic is what is looked for.
    let _ = run(&mut kernel, &rows);
});
