//! Time × price from the samples of a group.

use super::frame::{BUCKETS, Row};
use crate::error::{Error, Result};

/// Most cells of a matrix.
const CELLS_MAX: usize = 1 << 24;

/// What the cells of a heatmap show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeatmapKind {
    /// Bid quantity.
    Bid,
    /// Ask quantity.
    Ask,
    /// (bid − ask) / (bid + ask).
    Imbalance,
    /// Bid and ask quantity together.
    Total,
}

impl HeatmapKind {
    /// The kind with this name.
    pub fn parse(name: &str) -> Result<Self> {
        match name {
            "bid" => Ok(Self::Bid),
            "ask" => Ok(Self::Ask),
            "imbalance" => Ok(Self::Imbalance),
            "total" => Ok(Self::Total),
            _ => Err(Error::invalid(
                "kind",
                "bid, ask, imbalance or total",
                format!("{name:?}"),
            )),
        }
    }

    #[inline]
    fn of(self, row: &Row, index: usize) -> f64 {
        match self {
            Self::Bid => row.bid[index],
            Self::Ask => row.ask[index],
            Self::Imbalance => row.imbalance[index],
            Self::Total => row.bid[index] + row.ask[index],
        }
    }
}

/// A matrix of `steps` times and `buckets` prices, row by row, from samples on multiples of
/// `every_ns`: the last row is the latest multiple at or before `now_ns`, and column 0 the bucket
/// `first`. NaN where no sample was taken, or the bucket was outside its window.
pub fn matrix(
    kind: HeatmapKind,
    rows: &[Row],
    now_ns: i64,
    every_ns: i64,
    steps: usize,
    (first, buckets): (i64, usize),
) -> Result<Vec<f64>> {
    if steps == 0 || buckets == 0 || steps.saturating_mul(buckets) > CELLS_MAX {
        let expected = format!("1 to {CELLS_MAX} cells");
        let found = format!("{steps} × {buckets}");
        return Err(Error::invalid("heatmap", expected, found));
    }
    let mut cells = vec![f64::NAN; steps * buckets];
    let last_ns = now_ns - now_ns.rem_euclid(every_ns);
    for row in rows {
        let back = (last_ns - row.ts_ns) / every_ns;
        let Some(step) = usize::try_from(back)
            .ok()
            .and_then(|back| (steps - 1).checked_sub(back))
        else {
            continue;
        };
        let line = &mut cells[step * buckets..(step + 1) * buckets];
        // Column of the sample's first bucket.
        let shift = row.first.saturating_sub(first);
        for index in 0..BUCKETS {
            let column = shift.saturating_add(index.cast_signed() as i64);
            if let Some(cell) = usize::try_from(column)
                .ok()
                .and_then(|column| line.get_mut(column))
            {
                *cell = kind.of(row, index);
            }
        }
    }
    Ok(cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_at_their_time_and_price() {
        let sample = |ts_ns, first| Row {
            ts_ns,
            first,
            bid: [1.0; BUCKETS],
            ask: [3.0; BUCKETS],
            imbalance: [-0.5; BUCKETS],
            ..Row::default()
        };
        // Nothing was sampled at 20; the sample at 30 lies two buckets higher.
        let rows = [sample(10, 100), sample(30, 102)];
        let cells = matrix(HeatmapKind::Total, &rows, 39, 10, 4, (100, 3)).unwrap();
        let nan = f64::NAN;
        let expected = [
            [nan, nan, nan],
            [4.0, 4.0, 4.0],
            [nan, nan, nan],
            [nan, nan, 4.0],
        ];
        assert_eq!(format!("{cells:?}"), format!("{:?}", expected.concat()));
        assert!(matrix(HeatmapKind::Bid, &rows, 39, 10, 0, (100, 3)).is_err());
        assert!(matrix(HeatmapKind::Bid, &rows, 39, 10, usize::MAX, (100, 3)).is_err());
        assert!(HeatmapKind::parse("depth").is_err());
    }
}
