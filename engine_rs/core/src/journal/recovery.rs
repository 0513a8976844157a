//! What is left of a journal whose writer ended at any byte.

use super::frame::Hash;
use super::reader::{Reader, Segment};
use super::store::{Store, UNFINISHED, is_packed};
use crate::error::Result;

/// The end of a journal, as [`recover`] left it.
#[derive(Debug)]
pub struct Recovered {
    /// `seq` of the record to be written next; one less than it were found.
    pub next_seq: u64,
    /// What was cut from the end, if anything.
    pub cut: Option<Cut>,
    /// The segment to go on with; `None` where the last one was closed.
    pub(super) open: Option<Segment>,
    pub(super) last_number: u64,
    pub(super) last_hash: Hash,
}

/// Bytes at the end of a journal that were no whole record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The file.
    pub name: String,
    /// Where it ends now.
    pub offset: usize,
    /// How many bytes were behind it.
    pub bytes: usize,
    /// What was wrong with them.
    pub reason: String,
}

/// Verifies a whole journal, gives each segment to `visit`, and cuts what is torn at its end.
///
/// Raises [`crate::Error::Damaged`] for anything that is not the end of a write cut short, and
/// leaves everything as it is then.
pub fn recover(
    store: &mut dyn Store,
    mut visit: impl FnMut(&Segment) -> Result<()>,
) -> Result<Recovered> {
    let mut found = Recovered {
        next_seq: 1,
        cut: None,
        open: None,
        last_number: 0,
        last_hash: [0; 32],
    };
    let (mut unpacked, mut headless) = (Vec::new(), None);
    let mut reader = Reader::new(store)?;
    while let Some(segment) = reader.next_segment(store)? {
        visit(&segment)?;
        found.next_seq = segment.next_seq;
        found.cut = segment.torn.clone().map(|(bytes, reason)| Cut {
            name: store.describe(&segment.name),
            offset: segment.bytes.len(),
            bytes,
            reason,
        });
        if segment.bytes.is_empty() {
            // Not even its header: it is made again.
            headless = Some(segment.name);
            continue;
        }
        found.last_number = segment.number;
        if segment.is_sealed {
            found.last_hash = segment.hash();
            if !is_packed(&segment.name) {
                unpacked.push(segment.name);
            }
        } else {
            found.open = Some(segment);
        }
    }
    for name in store
        .list()?
        .iter()
        .filter(|name| name.ends_with(UNFINISHED))
    {
        store.remove(name)?;
    }
    if let Some(name) = headless {
        store.remove(&name)?;
    }
    if let Some(open) = &found.open {
        store.reopen(&open.name, open.bytes.len())?;
        store.sync()?;
    }
    unpacked.iter().try_for_each(|name| store.pack(name))?;
    store.settle()?;
    Ok(found)
}
