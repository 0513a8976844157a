//! A journal in memory, whose disk can be full, tear writes and lose power: for simulation.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::store::Store;
use crate::error::{Error, Result};
use crate::random::Random;

/// What goes wrong, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The disk takes so many bytes more, and the write that would go beyond is cut short.
    Full(usize),
    /// The process ends after so many bytes more: whatever is done after it fails.
    Killed(usize),
}

/// Files in memory; clones share them, so that they survive the writer.
#[derive(Clone, Default)]
pub struct Memory(Arc<Mutex<Disk>>);

#[derive(Default)]
struct Disk {
    files: BTreeMap<String, Content>,
    open: String,
    fault: Option<Fault>,
}

#[derive(Clone, Default)]
struct Content {
    bytes: Vec<u8>,
    /// So many of them survive the loss of power.
    synced: usize,
}

impl Memory {
    /// No file at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets something go wrong from now on; `None` mends it.
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.disk().fault = fault;
    }

    /// A copy of the files that does not share them, and has no fault.
    #[must_use]
    pub fn copy(&self) -> Self {
        let files = self.disk().files.clone();
        Self(Arc::new(Mutex::new(Disk {
            files,
            ..Disk::default()
        })))
    }

    /// A copy of the files as they were when this one had so many bytes, and none was behind it.
    #[must_use]
    pub fn cut(&self, name: &str, len: usize) -> Self {
        let copy = self.copy();
        {
            let mut disk = copy.disk();
            disk.files.retain(|found, _| found.as_str() <= name);
            if let Some(content) = disk.files.get_mut(name) {
                content.bytes.truncate(len);
                content.synced = content.synced.min(len);
            }
        }
        copy
    }

    /// The power fails: of what was not synced, a beginning of any length is left in each file.
    pub fn lose_power(&self, random: &mut Random) {
        let mut disk = self.disk();
        disk.fault = None;
        for content in disk.files.values_mut() {
            let open = content.bytes.len() - content.synced;
            let left = usize::try_from(random.below(open as u64 + 1)).unwrap_or(0);
            content.bytes.truncate(content.synced + left);
            content.synced = content.bytes.len();
        }
    }

    /// Bytes of all files together.
    pub fn total_len(&self) -> usize {
        self.disk()
            .files
            .values()
            .map(|content| content.bytes.len())
            .sum()
    }

    /// Changes the bytes of a file.
    pub fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        if let Some(content) = self.disk().files.get_mut(name) {
            change(&mut content.bytes);
        }
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk {
    fn refuse_if_killed(&self) -> Result<()> {
        match self.fault {
            Some(Fault::Killed(0)) => Err(broken("the process has ended")),
            _ => Ok(()),
        }
    }
}

impl Store for Memory {
    fn list(&self) -> Result<Vec<String>> {
        Ok(self.disk().files.keys().cloned().collect())
    }

    fn read(&self, name: &str) -> Result<Vec<u8>> {
        let disk = self.disk();
        let found = disk.files.get(name).map(|content| content.bytes.clone());
        found.ok_or_else(|| broken("no such file"))
    }

    fn create(&mut self, name: &str) -> Result<()> {
        let mut disk = self.disk();
        disk.refuse_if_killed()?;
        disk.files.insert(name.to_owned(), Content::default());
        name.clone_into(&mut disk.open);
        Ok(())
    }

    fn reopen(&mut self, name: &str, len: usize) -> Result<()> {
        let mut disk = self.disk();
        disk.refuse_if_killed()?;
        if let Some(content) = disk.files.get_mut(name) {
            content.bytes.truncate(len);
            content.synced = content.synced.min(len);
        }
        name.clone_into(&mut disk.open);
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let mut disk = self.disk();
        let room = match disk.fault {
            None => bytes.len(),
            Some(Fault::Full(room) | Fault::Killed(room)) => room.min(bytes.len()),
        };
        match &mut disk.fault {
            None => {}
            Some(Fault::Full(left) | Fault::Killed(left)) => *left -= room,
        }
        let name = disk.open.clone();
        if let Some(content) = disk.files.get_mut(&name) {
            content.bytes.extend_from_slice(&bytes[..room]);
        }
        if room == bytes.len() {
            return Ok(());
        }
        Err(broken(match disk.fault {
            Some(Fault::Killed(_)) => "the process has ended",
            _ => "no space left on device",
        }))
    }

    fn sync(&mut self) -> Result<()> {
        let mut disk = self.disk();
        disk.refuse_if_killed()?;
        let name = disk.open.clone();
        if let Some(content) = disk.files.get_mut(&name) {
            content.synced = content.bytes.len();
        }
        Ok(())
    }

    fn pack(&mut self, _name: &str) -> Result<()> {
        self.disk().refuse_if_killed()
    }

    fn settle(&mut self) -> Result<()> {
        Ok(())
    }

    fn remove(&mut self, name: &str) -> Result<()> {
        let mut disk = self.disk();
        disk.refuse_if_killed()?;
        disk.files.remove(name);
        Ok(())
    }

    fn describe(&self, name: &str) -> String {
        name.to_owned()
    }
}

fn broken(what: &str) -> Error {
    Error::Io {
        path: "memory".to_owned(),
        source: std::io::Error::other(what),
    }
}
