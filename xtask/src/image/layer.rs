//! The only layer: a compressed tar file with the program in it.

use std::io::Write;

use anyhow::{Context, Result};
use flate2::{Compression, GzBuilder};
use jiff::Timestamp;
use tar::{Builder, EntryType, Header};

/// A layer.
pub(super) struct Layer {
    /// As it is stored.
    pub(super) compressed: Vec<u8>,
    /// As it is unpacked; images name both.
    pub(super) plain: Vec<u8>,
}

/// Packs one program to the root of an empty file system.
pub(super) fn pack(name: &str, program: &[u8], time: Timestamp) -> Result<Layer> {
    let mut tar = Builder::new(Vec::with_capacity(program.len() + 4096));
    append(&mut tar, name, program, 0o755, time)?;
    let plain = tar.into_inner().context("cannot finish the layer")?;
    // No name and no time in the header: they would only make a difference where there is none.
    let mut gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    gzip.write_all(&plain).context("cannot compress the layer")?;
    let compressed = gzip.finish().context("cannot compress the layer")?;
    Ok(Layer { compressed, plain })
}

/// Adds a file that belongs to root.
pub(super) fn append(tar: &mut Builder<Vec<u8>>, name: &str, bytes: &[u8], mode: u32, time: Timestamp) -> Result<()> {
    let mut header = header(EntryType::Regular, mode, time);
    header.set_size(bytes.len().try_into().context("a file is too large")?);
    tar.append_data(&mut header, name, bytes).with_context(|| format!("cannot pack {name}"))
}

/// Adds a folder.
pub(super) fn append_folder(tar: &mut Builder<Vec<u8>>, name: &str, time: Timestamp) -> Result<()> {
    let mut header = header(EntryType::Directory, 0o755, time);
    tar.append_data(&mut header, name, [].as_slice()).with_context(|| format!("cannot pack {name}"))
}

fn header(kind: EntryType, mode: u32, time: Timestamp) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(time.as_second().try_into().unwrap_or(0));
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    header
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;
    use tar::Archive;

    use super::*;

    #[test]
    fn the_program_is_all_there_is() {
        let time = Timestamp::from_second(1_700_000_000).unwrap();
        let layer = pack("gracetrace", b"program", time).unwrap();
        let mut plain = Vec::new();
        GzDecoder::new(&layer.compressed[..]).read_to_end(&mut plain).unwrap();
        assert_eq!(plain, layer.plain);
        let mut archive = Archive::new(&plain[..]);
        let mut entries = archive.entries().unwrap();
        let mut entry = entries.next().unwrap().unwrap();
        assert_eq!(entry.path().unwrap().to_str(), Some("gracetrace"));
        let header = entry.header().clone();
        assert_eq!((header.mode().unwrap(), header.uid().unwrap(), header.gid().unwrap()), (0o755, 0, 0));
        assert_eq!(header.mtime().unwrap(), 1_700_000_000);
        let mut program = Vec::new();
        entry.read_to_end(&mut program).unwrap();
        assert_eq!(program, b"program");
        assert!(entries.next().is_none());
        assert_eq!(pack("gracetrace", b"program", time).unwrap().compressed, layer.compressed);
    }
}
