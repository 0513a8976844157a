//! A journal's records one by one, from the first on.

use super::frame::{self, HEADER_LEN, Record, SEAL};
use super::reader::{Reader, Segment};
use super::store::Store;
use crate::error::Result;

/// Reads a journal without changing it. A segment is in memory at a time.
pub struct Records {
    store: Box<dyn Store>,
    reader: Reader,
    /// The reader as it was before the segment.
    before: Reader,
    segment: Option<Segment>,
    /// Where the next record begins in the segment.
    at: usize,
    torn: Option<(String, usize, String)>,
}

impl Records {
    /// The records of a journal.
    pub fn new(store: Box<dyn Store>) -> Result<Self> {
        let reader = Reader::new(&*store)?;
        Ok(Self {
            store,
            before: reader.clone(),
            reader,
            segment: None,
            at: 0,
            torn: None,
        })
    }

    /// The next record; `None` behind the last whole one. Damage is an error, as in
    /// [`super::recover`].
    #[allow(
        clippy::should_implement_trait,
        reason = "a record is lent until the next call"
    )]
    pub fn next(&mut self) -> Result<Option<Record<'_>>> {
        let Some(len) = self.find_next()? else {
            return Ok(None);
        };
        self.at += len;
        Ok(self.record_at(self.at - len))
    }

    /// The record that [`Self::next`] gives the next time.
    pub fn peek(&mut self) -> Result<Option<Record<'_>>> {
        Ok(match self.find_next()? {
            Some(_) => self.record_at(self.at),
            None => None,
        })
    }

    /// Goes to the next record, in the next segment if need be; its length, if there is one.
    fn find_next(&mut self) -> Result<Option<usize>> {
        loop {
            if let Some(len) = self.length_of_next() {
                return Ok(Some(len));
            }
            let before = self.reader.clone();
            let Some(segment) = self.reader.next_segment(&*self.store)? else {
                return Ok(None);
            };
            (self.before, self.at) = (before, HEADER_LEN);
            self.take(segment);
        }
    }

    fn record_at(&self, at: usize) -> Option<Record<'_>> {
        let rest = self.segment.as_ref()?.bytes.get(at..)?;
        frame::decode_verified(rest).map(|(record, _)| record)
    }

    /// Looks whether more was written since the end was reached.
    pub fn catch_up(&mut self) -> Result<()> {
        self.reader.refresh(&*self.store)?;
        if self.segment.as_ref().is_some_and(|found| !found.is_sealed) {
            let mut reader = self.before.clone();
            reader.refresh(&*self.store)?;
            if let Some(segment) = reader.next_segment(&*self.store)? {
                self.reader = reader;
                self.take(segment);
            }
        }
        Ok(())
    }

    fn take(&mut self, segment: Segment) {
        self.torn = segment.torn.clone().map(|(bytes, reason)| {
            let name = self.store.describe(&segment.name);
            (name, bytes, reason)
        });
        self.segment = Some(segment);
    }

    /// File, number of bytes and what is wrong with them, where the end of what was read is the
    /// beginning of a record that was cut short.
    pub fn torn(&self) -> Option<&(String, usize, String)> {
        self.torn.as_ref()
    }

    /// Bytes of the next record in the segment, if there is one and it is not the seal.
    fn length_of_next(&self) -> Option<usize> {
        let rest = self.segment.as_ref()?.bytes.get(self.at..)?;
        let (record, len) = frame::decode_verified(rest)?;
        (record.kind != SEAL).then_some(len)
    }
}
