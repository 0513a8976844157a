//! A journal in a folder of the file system.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};

use super::store::{Store, UNFINISHED, is_packed, packed_name};
use crate::error::{Error, Result};

/// Level of the compression: the fastest of the usual ones, so that it keeps up with the writer.
const LEVEL: i32 = 1;

/// A folder that holds a journal. Segments are compressed beside the work, by a thread.
pub struct Folder {
    path: PathBuf,
    open: Option<(PathBuf, File)>,
    packer: Option<Packer>,
}

/// A thread that compresses one segment after the other, and ends with the first that it cannot.
struct Packer {
    names: Sender<PathBuf>,
    thread: JoinHandle<Result<()>>,
}

impl Folder {
    /// The folder at a path, which is made if it is not there.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        fs::create_dir_all(&path).map_err(|source| failed(&path, source))?;
        Self::open(path)
    }

    /// The folder at a path.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        if !path.is_dir() {
            return Err(Error::invalid("journal", "a folder", path.display()));
        }
        Ok(Self {
            path,
            open: None,
            packer: None,
        })
    }

    fn open_file(&mut self) -> Result<&mut (PathBuf, File)> {
        let path = &self.path;
        self.open
            .as_mut()
            .ok_or_else(|| Error::invalid("journal", "an open segment", path.display()))
    }

    /// The folder's list of files is on the disk when this returns.
    fn sync_names(&self) -> Result<()> {
        sync_folder(&self.path).map_err(|source| failed(&self.path, source))
    }
}

impl Store for Folder {
    fn list(&self) -> Result<Vec<String>> {
        let names = || -> io::Result<Vec<String>> {
            fs::read_dir(&self.path)?
                .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
                .collect()
        };
        names().map_err(|source| failed(&self.path, source))
    }

    fn read(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.path.join(name);
        let bytes = fs::read(&path).map_err(|source| failed(&path, source))?;
        if !is_packed(name) {
            return Ok(bytes);
        }
        let mut content = Vec::new();
        let unpacked = zstd::Decoder::new(bytes.as_slice())
            .and_then(|mut decoder| decoder.read_to_end(&mut content));
        unpacked.map_err(|found| Error::Damaged {
            name: path.display().to_string(),
            offset: 0,
            expected: "a whole zstd frame".to_owned(),
            found: format!("{found} after {} bytes of its content", content.len()),
        })?;
        Ok(content)
    }

    fn create(&mut self, name: &str) -> Result<()> {
        let path = self.path.join(name);
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .open(&path)
            .map_err(|source| failed(&path, source))?;
        self.open = Some((path, file));
        self.sync_names()
    }

    fn reopen(&mut self, name: &str, len: usize) -> Result<()> {
        let path = self.path.join(name);
        let reopened = || -> io::Result<File> {
            let mut file = OpenOptions::new().write(true).open(&path)?;
            file.set_len(len as u64)?;
            file.seek(SeekFrom::End(0))?;
            Ok(file)
        };
        let file = reopened().map_err(|source| failed(&path, source))?;
        self.open = Some((path, file));
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let (path, file) = self.open_file()?;
        file.write_all(bytes).map_err(|source| failed(path, source))
    }

    fn sync(&mut self) -> Result<()> {
        let (path, file) = self.open_file()?;
        file.sync_data().map_err(|source| failed(path, source))
    }

    fn pack(&mut self, name: &str) -> Result<()> {
        let packer = match self.packer.take() {
            Some(packer) => packer,
            None => start_packer().map_err(|source| failed(&self.path, source))?,
        };
        // Where the thread has ended, `settle` tells why.
        let is_sent = packer.names.send(self.path.join(name)).is_ok();
        self.packer = Some(packer);
        if is_sent { Ok(()) } else { self.settle() }
    }

    fn settle(&mut self) -> Result<()> {
        let Some(Packer { names, thread }) = self.packer.take() else {
            return Ok(());
        };
        drop(names);
        thread
            .join()
            .unwrap_or_else(|_| Err(failed(&self.path, io::Error::other("compressing panicked"))))
    }

    fn remove(&mut self, name: &str) -> Result<()> {
        let path = self.path.join(name);
        fs::remove_file(&path).map_err(|source| failed(&path, source))?;
        self.sync_names()
    }

    fn describe(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What was being compressed is whole without it; a recovery does it again.
        let _ = self.settle();
    }
}

fn start_packer() -> io::Result<Packer> {
    let (names, due) = mpsc::channel::<PathBuf>();
    let thread = thread::Builder::new()
        .name("journal".to_owned())
        .spawn(move || {
            due.iter()
                .try_for_each(|path| compress(&path).map_err(|source| failed(&path, source)))
        })?;
    Ok(Packer { names, thread })
}

/// Puts a compressed file in the place of a complete one. At any moment one of them is whole.
fn compress(path: &Path) -> io::Result<()> {
    let beside = |name: &str| path.with_file_name(name);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let packed = beside(&packed_name(&name));
    let unfinished = beside(&format!("{}{UNFINISHED}", packed_name(&name)));
    let written = || -> io::Result<()> {
        let mut encoder = zstd::Encoder::new(File::create(&unfinished)?, LEVEL)?;
        encoder.include_checksum(true)?;
        io::copy(&mut File::open(path)?, &mut encoder)?;
        encoder.finish()?.sync_data()?;
        fs::rename(&unfinished, &packed)
    };
    if let Err(error) = written() {
        let _ = fs::remove_file(&unfinished);
        return Err(error);
    }
    sync_folder(packed.parent().unwrap_or(Path::new(".")))?;
    fs::remove_file(path)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn failed(path: &Path, source: io::Error) -> Error {
    Error::Io {
        path: path.display().to_string(),
        source,
    }
}
