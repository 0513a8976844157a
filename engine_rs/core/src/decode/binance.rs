//! Binance spot, USD-M and COIN-M: one JSON message to event rows.
//!
//! Accepted are messages of a combined stream (`{"stream":…,"data":…}`), of a raw stream, and the
//! REST depth snapshot. A message either becomes rows as a whole or is refused as a whole.
//!
//! Ids: a futures delta continues from `pu`, a spot delta from `U - 1`. Times: futures messages and
//! spot trades carry `T`, spot deltas `E`, spot quotes and spot snapshots none.
//!
//! Spot keeps quantities to eight places, finer than most of its lots, and old orders of such sizes
//! rest in its books. They become the nearest lot, never none, and are counted.

use super::fields::{Fields, Key, LotRule, MessageSeed, Scalar, Scratch, price_rule, qty_rule};
use super::{DecodeError, MessageKind};
use crate::decimal::Step;
use crate::error::Error;
use crate::event::{Event, EventKind, SEQ_NONE, Side, TS_NONE, flags};

/// Largest update or trade id; Parquet and the venue's own clients hold them in signed 64 bits.
const ID_MAX: u64 = i64::MAX.cast_unsigned();
/// Most ids one delta may span. The venue sends one ten times a second and gives out some 10^5 ids
/// a second, so a wider span is damage, and believing it would make all that follows look old.
const SPAN_MAX: u64 = 1_000_000_000;
/// Decimal places of quantities on spot, whatever the lot.
const SPOT_PLACES: u32 = 8;
/// Largest distance between the venue's time and the time of receipt.
const SKEW_NS_MAX: u64 = 86_400_000_000_000;

/// Event types that are valid and of no use here.
const UNUSED: [&str; 18] = [
    "24hrMiniTicker",
    "24hrTicker",
    "1hTicker",
    "4hTicker",
    "1dTicker",
    "aggTrade",
    "assetIndexUpdate",
    "avgPrice",
    "compositeIndex",
    "continuous_kline",
    "contractInfo",
    "forceOrder",
    "indexPriceUpdate",
    "indexPrice_kline",
    "kline",
    "markPriceUpdate",
    "markPrice_kline",
    "serverShutdown",
];

/// Which of the venue's markets a message comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Market {
    /// Spot.
    Spot,
    /// Linear futures, margined in a stablecoin.
    UsdM,
    /// Inverse futures, margined in the base asset.
    CoinM,
}

impl Market {
    /// The market with this configuration name.
    pub fn parse(name: &str) -> Result<Self, Error> {
        match name {
            "binance_spot" => Ok(Self::Spot),
            "binance_usdm" => Ok(Self::UsdM),
            "binance_cm" => Ok(Self::CoinM),
            _ => Err(Error::invalid(
                "market",
                "binance_spot, binance_usdm or binance_cm",
                format!("{name:?}"),
            )),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Spot => "spot",
            Self::UsdM => "USD-M",
            Self::CoinM => "COIN-M",
        }
    }
}

/// The decoder for one instrument.
#[derive(Debug)]
pub struct Binance {
    market: Market,
    symbol: String,
    tick: Step,
    lot: LotRule,
    rounded: u64,
    scratch: Scratch,
}

/// The ids and times that all rows of a message share.
#[derive(Clone, Copy)]
struct Head {
    kind: EventKind,
    ts_event_ns: i64,
    ts_recv_ns: i64,
    seq: u64,
    prev_seq: u64,
}

impl Head {
    fn row(self, side: Side, px_ticks: i64, qty_lots: i64) -> Event {
        Event {
            ts_event_ns: self.ts_event_ns,
            ts_recv_ns: self.ts_recv_ns,
            px_ticks,
            qty_lots,
            seq: self.seq,
            prev_seq: self.prev_seq,
            instrument: 0,
            kind: self.kind as u8,
            side: side as u8,
            flags: 0,
            reserved: 0,
        }
    }
}

impl Binance {
    /// A decoder for messages of `symbol` (the venue's own name) with this tick and lot.
    pub fn new(market: Market, symbol: &str, tick: Step, lot: Step) -> Self {
        Self {
            market,
            symbol: symbol.to_owned(),
            tick,
            lot: LotRule {
                step: lot,
                places_finer: (market == Market::Spot).then_some(SPOT_PLACES),
            },
            rounded: 0,
            scratch: Scratch::default(),
        }
    }

    /// Appends the rows of one message to `rows` and says what it was. `ts_recv_ns` is the time of
    /// receipt as it was recorded. After an error `rows` is as it was.
    pub fn decode(
        &mut self,
        json: &[u8],
        ts_recv_ns: i64,
        rows: &mut Vec<Event>,
    ) -> Result<MessageKind, DecodeError> {
        let text = std::str::from_utf8(json).map_err(|error| DecodeError::NotText {
            at: error.valid_up_to(),
        })?;
        let fields = self.read(text)?;
        let start = rows.len();
        let kind = self.classify(&fields)?;
        match kind {
            MessageKind::Depth => self.depth(&fields, ts_recv_ns, rows)?,
            MessageKind::Snapshot => self.snapshot(&fields, ts_recv_ns, rows)?,
            MessageKind::Quote => self.quote(&fields, ts_recv_ns, rows)?,
            MessageKind::Trade | MessageKind::OffBookTrade => {
                rows.push(self.trade(&fields, kind, ts_recv_ns)?);
            }
            MessageKind::Other(_) => return Ok(kind),
        }
        self.rounded += self.scratch.rounded;
        rows[start].flags |= flags::FIRST;
        if let Some(last) = rows.last_mut() {
            last.flags |= flags::LAST;
        }
        Ok(kind)
    }

    /// Quantities that were rounded to a lot so far.
    pub fn rounded(&self) -> u64 {
        self.rounded
    }

    fn read<'a>(&mut self, text: &'a str) -> Result<Fields<'a>, DecodeError> {
        self.scratch.bids.clear();
        self.scratch.asks.clear();
        self.scratch.rounded = 0;
        self.scratch.error = None;
        let mut fields = Fields::default();
        let mut json = serde_json::Deserializer::from_str(text);
        let seed = MessageSeed {
            fields: &mut fields,
            scratch: &mut self.scratch,
            tick: self.tick,
            lot: self.lot,
            inner: false,
        };
        let read = serde::de::DeserializeSeed::deserialize(seed, &mut json);
        match read.and_then(|()| json.end()) {
            Ok(()) => Ok(fields),
            Err(error) => Err(self.scratch.error.take().unwrap_or_else(|| {
                // The line number is always 1 here; the reader of the file knows the real one.
                let detail = error.to_string().replace(" at line 1 column", " at column");
                DecodeError::NotJson { detail }
            })),
        }
    }

    fn classify(&self, fields: &Fields) -> Result<MessageKind, DecodeError> {
        let is_snapshot = [Key::SnapshotId, Key::SnapshotBids, Key::SnapshotAsks]
            .iter()
            .any(|&key| fields.has(key));
        if is_snapshot {
            // A stream of partial books has the fields of a snapshot but only its best levels.
            return Ok(if fields.wrapped {
                MessageKind::Other("partial depth")
            } else {
                MessageKind::Snapshot
            });
        }
        match fields.get(Key::EventType) {
            Scalar::Text(name) => match name.as_ref() {
                "depthUpdate" => Ok(MessageKind::Depth),
                "bookTicker" => Ok(MessageKind::Quote),
                "trade" => Ok(match fields.get(Key::Execution) {
                    Scalar::Absent => MessageKind::Trade,
                    Scalar::Text(kind) if kind == "MARKET" => MessageKind::Trade,
                    Scalar::Text(_) => MessageKind::OffBookTrade,
                    _ => return Err(fields.unexpected(Key::Execution, "text such as \"MARKET\"")),
                }),
                name => UNUSED
                    .iter()
                    .find(|&&unused| unused == name)
                    .map(|&unused| MessageKind::Other(unused))
                    .ok_or_else(|| fields.unexpected(Key::EventType, "a known event type")),
            },
            Scalar::Absent if self.is_spot_quote(fields) => Ok(MessageKind::Quote),
            Scalar::Absent if fields.has(Key::Reply) && !fields.wrapped => {
                Ok(MessageKind::Other("reply"))
            }
            _ => Err(fields.unexpected(Key::EventType, "an event type such as \"depthUpdate\"")),
        }
    }

    /// Spot's bookTicker is the one message without an event type.
    fn is_spot_quote(&self, fields: &Fields) -> bool {
        let named = match fields.get(Key::Stream) {
            Scalar::Text(stream) => stream.ends_with("bookTicker"),
            _ => [Key::Bids, Key::BidQty, Key::Asks, Key::AskQty]
                .iter()
                .all(|&key| fields.has(key)),
        };
        self.market == Market::Spot && named
    }

    fn depth(
        &self,
        fields: &Fields,
        ts_recv_ns: i64,
        rows: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        self.check_symbol(fields, Key::Symbol)?;
        let (first, last) = (id(fields, Key::FirstId)?, id(fields, Key::LastId)?);
        if first > last || last - first > SPAN_MAX {
            let expected = format!("an id from 0 to {SPAN_MAX} above U {first}");
            return Err(fields.unexpected(Key::LastId, expected));
        }
        let (prev_seq, time) = if self.market == Market::Spot {
            if fields.has(Key::PrevId) {
                return Err(fields.unexpected(Key::PrevId, "no such field on spot"));
            }
            let Some(prev) = first.checked_sub(1) else {
                return Err(fields.unexpected(Key::FirstId, "an id above 0"));
            };
            (prev, Key::EventTime)
        } else {
            (id(fields, Key::PrevId)?, Key::TradeTime)
        };
        if prev_seq >= last {
            return Err(fields.unexpected(Key::PrevId, format!("an id below u {last}")));
        }
        let head = Head {
            kind: EventKind::Delta,
            ts_event_ns: venue_time(fields, time, ts_recv_ns)?,
            ts_recv_ns,
            seq: last,
            prev_seq,
        };
        self.levels(fields, head, [Key::Bids, Key::Asks], rows)
    }

    fn snapshot(
        &self,
        fields: &Fields,
        ts_recv_ns: i64,
        rows: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        if fields.has(Key::SnapshotSymbol) {
            self.check_symbol(fields, Key::SnapshotSymbol)?;
        }
        let ts_event_ns = if fields.has(Key::TradeTime) {
            venue_time(fields, Key::TradeTime, ts_recv_ns)?
        } else {
            TS_NONE
        };
        let head = Head {
            kind: EventKind::Snapshot,
            ts_event_ns,
            ts_recv_ns,
            seq: id(fields, Key::SnapshotId)?,
            prev_seq: SEQ_NONE,
        };
        self.levels(fields, head, [Key::SnapshotBids, Key::SnapshotAsks], rows)
    }

    /// One row a level; a message without any becomes one row of no side, which carries the ids.
    fn levels(
        &self,
        fields: &Fields,
        head: Head,
        [bids, asks]: [Key; 2],
        rows: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        for key in [bids, asks] {
            if *fields.get(key) != Scalar::Levels {
                return Err(fields.unexpected(key, "an array of [price, quantity]"));
            }
        }
        let (bids, asks) = (&self.scratch.bids, &self.scratch.asks);
        rows.reserve(bids.len() + asks.len() + 1);
        rows.extend(bids.iter().map(|&(px, qty)| head.row(Side::Bid, px, qty)));
        rows.extend(asks.iter().map(|&(px, qty)| head.row(Side::Ask, px, qty)));
        if bids.is_empty() && asks.is_empty() {
            rows.push(head.row(Side::None, 0, 0));
        }
        Ok(())
    }

    fn trade(
        &mut self,
        fields: &Fields,
        kind: MessageKind,
        ts_recv_ns: i64,
    ) -> Result<Event, DecodeError> {
        self.check_symbol(fields, Key::Symbol)?;
        // An insurance fund or liquidation record may carry a price and a quantity of 0.
        let on_book = kind == MessageKind::Trade;
        let least = i64::from(on_book);
        let px = self.price(fields, Key::Price, least)?;
        let qty = self.quantity(fields, Key::Qty, least)?;
        let side = match fields.get(Key::BuyerIsMaker) {
            Scalar::Bool(true) => Side::Ask,
            Scalar::Bool(false) => Side::Bid,
            _ => return Err(fields.unexpected(Key::BuyerIsMaker, "true or false")),
        };
        let head = Head {
            kind: if on_book {
                EventKind::Trade
            } else {
                EventKind::OffBookTrade
            },
            ts_event_ns: venue_time(fields, Key::TradeTime, ts_recv_ns)?,
            ts_recv_ns,
            seq: id(fields, Key::TradeId)?,
            prev_seq: SEQ_NONE,
        };
        Ok(head.row(side, px, qty))
    }

    /// Two rows; a side on which the book is empty (price and quantity 0) has none, and if both are
    /// empty one row of no side carries the id.
    fn quote(
        &mut self,
        fields: &Fields,
        ts_recv_ns: i64,
        rows: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        self.check_symbol(fields, Key::Symbol)?;
        let ts_event_ns = if self.market == Market::Spot {
            TS_NONE
        } else {
            venue_time(fields, Key::TradeTime, ts_recv_ns)?
        };
        let head = Head {
            kind: EventKind::Quote,
            ts_event_ns,
            ts_recv_ns,
            seq: id(fields, Key::LastId)?,
            prev_seq: SEQ_NONE,
        };
        let bid = self.quote_side(fields, Key::Bids, Key::BidQty)?;
        let ask = self.quote_side(fields, Key::Asks, Key::AskQty)?;
        rows.extend(bid.map(|(px, qty)| head.row(Side::Bid, px, qty)));
        rows.extend(ask.map(|(px, qty)| head.row(Side::Ask, px, qty)));
        if bid.is_none() && ask.is_none() {
            rows.push(head.row(Side::None, 0, 0));
        }
        Ok(())
    }

    fn quote_side(
        &mut self,
        fields: &Fields,
        px_key: Key,
        qty_key: Key,
    ) -> Result<Option<(i64, i64)>, DecodeError> {
        let px = self.price(fields, px_key, 0)?;
        let qty = self.quantity(fields, qty_key, 0)?;
        match (px, qty) {
            (0, 0) => Ok(None),
            (0, _) => Err(fields.unexpected(px_key, price_rule(self.tick))),
            (_, 0) => Err(fields.unexpected(qty_key, "a quantity above 0 beside a price")),
            level => Ok(Some(level)),
        }
    }

    fn price(&self, fields: &Fields, key: Key, least: i64) -> Result<i64, DecodeError> {
        text(fields, key)
            .and_then(|text| self.tick.count(text).ok())
            .filter(|&ticks| ticks >= least)
            .ok_or_else(|| fields.unexpected(key, price_rule(self.tick)))
    }

    fn quantity(&mut self, fields: &Fields, key: Key, least: i64) -> Result<i64, DecodeError> {
        let (lots, rounded) = text(fields, key)
            .and_then(|text| self.lot.count(text).ok())
            .filter(|&(lots, _)| lots >= least)
            .ok_or_else(|| fields.unexpected(key, qty_rule(self.lot.step)))?;
        self.scratch.rounded += u64::from(rounded);
        Ok(lots)
    }

    fn check_symbol(&self, fields: &Fields, key: Key) -> Result<(), DecodeError> {
        match fields.get(key) {
            Scalar::Text(symbol) if *symbol == self.symbol => Ok(()),
            Scalar::Text(symbol) => Err(DecodeError::OtherSymbol {
                field: key.name(),
                expected: self.symbol.clone(),
                found: super::clip(symbol),
            }),
            _ => Err(fields.unexpected(
                key,
                format!("the symbol {} of {}", self.symbol, self.market.name()),
            )),
        }
    }
}

fn id(fields: &Fields, key: Key) -> Result<u64, DecodeError> {
    match fields.get(key) {
        Scalar::Uint(value) if *value <= ID_MAX => Ok(*value),
        _ => Err(fields.unexpected(key, format!("a whole number from 0 to {ID_MAX}"))),
    }
}

fn text<'f>(fields: &'f Fields, key: Key) -> Option<&'f [u8]> {
    match fields.get(key) {
        Scalar::Text(text) => Some(text.as_bytes()),
        _ => None,
    }
}

/// Milliseconds of the venue's clock as nanoseconds, if they are near the time of receipt.
fn venue_time(fields: &Fields, key: Key, ts_recv_ns: i64) -> Result<i64, DecodeError> {
    if let Scalar::Uint(ms) = fields.get(key)
        && let Some(ns) = i64::try_from(*ms)
            .ok()
            .and_then(|ms| ms.checked_mul(1_000_000))
        && ns.abs_diff(ts_recv_ns) <= SKEW_NS_MAX
    {
        return Ok(ns);
    }
    let expected = format!(
        "a time in ms within a day of the receive time {} ms",
        ts_recv_ns / 1_000_000
    );
    Err(fields.unexpected(key, expected))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RECV_NS: i64 = 1_723_161_600_000_000_000;
    const DEPTH: &str = r#"{"stream":"btcusdt@depth@0ms","data":{"e":"depthUpdate","E":1723161600001,"T":1723161600000,"s":"BTCUSDT","U":11,"u":20,"pu":10,"b":[["61496.50","0.010"],["61510.90","0.000"]],"a":[["61800.3","2"]]}}"#;

    fn decoder(market: Market) -> Binance {
        let step = |text| Step::parse(text).unwrap();
        Binance::new(market, "BTCUSDT", step("0.1"), step("0.001"))
    }

    fn decode(market: Market, text: &str) -> Result<(MessageKind, Vec<Event>), DecodeError> {
        let mut rows = Vec::new();
        let kind = decoder(market).decode(text.as_bytes(), RECV_NS, &mut rows)?;
        Ok((kind, rows))
    }

    #[test]
    fn a_delta() {
        let (kind, rows) = decode(Market::UsdM, DEPTH).unwrap();
        assert_eq!(kind, MessageKind::Depth);
        let seen: Vec<_> = rows
            .iter()
            .map(|row| (row.side, row.px_ticks, row.qty_lots, row.flags))
            .collect();
        let expected = [
            (1, 614_965, 10, 1),
            (1, 615_109, 0, 0),
            (2, 618_003, 2000, 2),
        ];
        assert_eq!(seen, expected);
        assert!(rows.iter().all(|row| (row.seq, row.prev_seq) == (20, 10)));
        assert!(
            rows.iter()
                .all(|row| row.ts_event_ns == RECV_NS && row.ts_recv_ns == RECV_NS)
        );
    }

    #[test]
    fn the_order_of_fields_and_escapes_do_not_matter() {
        let text = r#"{"data":{"a":[],"b":[["6149\u0036.50","0.010"]],"pu":10,"u":20,"U":11,
            "s":"BTC\u0055SDT","T":1723161600000,"x":{"y":[1,{}]},"e":"depthUpdate"},"stream":"s"}"#;
        let (_, rows) = decode(Market::UsdM, text).unwrap();
        assert_eq!((rows.len(), rows[0].px_ticks), (1, 614_965));
    }

    #[test]
    fn a_refused_message_leaves_no_row() {
        let mut decoder = decoder(Market::UsdM);
        let mut rows = Vec::new();
        decoder
            .decode(DEPTH.as_bytes(), RECV_NS, &mut rows)
            .unwrap();
        let before = rows.clone();
        let bad = DEPTH.replace("61800.3", "61800.33");
        let error = decoder
            .decode(bad.as_bytes(), RECV_NS, &mut rows)
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "a[0] price: expected a positive multiple of the tick 0.1 as decimal text, \
             found \"61800.33\""
        );
        assert_eq!(rows, before);
    }

    #[test]
    fn a_spot_quote_without_type_or_time() {
        let text = r#"{"u":7,"s":"BTCUSDT","b":"1.0","B":"2","a":"1.1","A":"3"}"#;
        let (kind, rows) = decode(Market::Spot, text).unwrap();
        assert_eq!(kind, MessageKind::Quote);
        assert!(rows.iter().all(|row| row.ts_event_ns == TS_NONE));
        assert!(decode(Market::UsdM, text).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut rows = Vec::new();
            if decoder(Market::UsdM).decode(&bytes, RECV_NS, &mut rows).is_err() {
                prop_assert!(rows.is_empty());
            }
        }

        /// One byte of a sound message changed, or the message cut: it is refused, or it is whole
        /// rows in range.
        #[test]
        fn damage_is_refused_or_harmless(at in 0usize..DEPTH.len(), byte in any::<u8>(), cut in any::<bool>()) {
            let mut bytes = DEPTH.as_bytes().to_vec();
            if cut {
                bytes.truncate(at);
            } else {
                bytes[at] = byte;
            }
            let mut rows = Vec::new();
            let result = decoder(Market::UsdM).decode(&bytes, RECV_NS, &mut rows);
            prop_assert!(!cut || result.is_err());
            if let (Some(first), Some(last)) = (rows.first(), rows.last()) {
                prop_assert!(first.is_first() && last.is_last());
                prop_assert!(rows.iter().all(|row| row.px_ticks > 0 && row.qty_lots >= 0));
                prop_assert!(rows.iter().all(|row| row.prev_seq < row.seq));
            }
        }

        #[test]
        fn levels_come_through_exactly(levels in prop::collection::vec((1i64..10_000_000, 0i64..10_000_000), 0..20)) {
            let text: Vec<_> = levels
                .iter()
                .map(|(px, qty)| format!(r#"["{}.{}","{}.{:03}"]"#, px / 10, px % 10, qty / 1000, qty % 1000))
                .collect();
            let message = format!(
                r#"{{"e":"depthUpdate","T":1723161600000,"s":"BTCUSDT","U":11,"u":20,"pu":10,"b":[{}],"a":[]}}"#,
                text.join(",")
            );
            let (_, rows) = decode(Market::UsdM, &message).unwrap();
            let seen: Vec<_> = rows
                .iter()
                .filter(|row| row.side == Side::Bid as u8)
                .map(|row| (row.px_ticks, row.qty_lots))
                .collect();
            prop_assert_eq!(seen, levels);
        }
    }
}
