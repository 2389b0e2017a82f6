//! Creates archives and checksums that are identical on every system.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use flate2::{Compression, GzBuilder};
use ring::digest;
use tar::{Builder, Header};

/// Writes a `.tar.gz` with one folder: sorted, without owners, with `epoch` as time; only the program is executable.
pub(super) fn write(
    path: &Path,
    folder: &str,
    files: &BTreeMap<String, Vec<u8>>,
    program: &str,
    epoch: u64,
) -> Result<()> {
    let file = fs::File::create(path).with_context(|| format!("cannot make {}", path.display()))?;
    let mut archive = Builder::new(GzBuilder::new().write(file, Compression::best()));
    for (name, content) in files {
        let mut header = Header::new_ustar();
        header.set_mtime(epoch);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mode(if name == program { 0o755 } else { 0o644 });
        header.set_size(content.len().try_into()?);
        archive.append_data(&mut header, format!("{folder}/{name}"), &content[..])?;
    }
    archive.into_inner()?.finish()?;
    Ok(())
}

/// Writes `FILE.gz` next to a file, because Debian requires compressed man pages and `cargo-deb` does not do it.
pub(super) fn compress(path: &Path) -> Result<()> {
    let file = fs::File::create(format!("{}.gz", path.display()))?;
    let mut compressed = GzBuilder::new().write(file, Compression::best());
    compressed.write_all(&fs::read(path)?)?;
    compressed.finish()?;
    Ok(())
}

/// Returns the files of a folder, sorted, with their SHA-256.
pub(super) fn sums(folder: &Path) -> Result<BTreeMap<String, String>> {
    let mut sums = BTreeMap::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().into_string().ok().context("a file has a name that is not UTF-8")?;
        if entry.file_type()?.is_file() && name != "SHA256SUMS" {
            let sum = digest::digest(&digest::SHA256, &fs::read(entry.path())?);
            sums.insert(name, sum.as_ref().iter().map(|byte| format!("{byte:02x}")).collect());
        }
    }
    Ok(sums)
}

/// Writes `SHA256SUMS` for all files in a folder.
pub(super) fn write_sums(folder: &Path) -> Result<()> {
    let lines: String = sums(folder)?.iter().map(|(name, sum)| format!("{sum}  {name}\n")).collect();
    fs::write(folder.join("SHA256SUMS"), lines).context("cannot write SHA256SUMS")
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::repo;

    #[test]
    fn an_archive_has_no_owner_and_one_executable() {
        let path = repo::empty_folder(repo::target("archive-test").unwrap()).unwrap().join("tool.tar.gz");
        let files = BTreeMap::from([
            ("tool".to_owned(), b"run".to_vec()),
            ("man/tool.1".to_owned(), b"page".to_vec()),
        ]);
        write(&path, "tool-1.0", &files, "tool", 1_700_000_000).unwrap();
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(fs::File::open(&path).unwrap()));
        let mut entries = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let header = entry.header().clone();
            assert_eq!((header.uid().unwrap(), header.mtime().unwrap()), (0, 1_700_000_000));
            let mut content = String::new();
            entry.read_to_string(&mut content).unwrap();
            entries.push(format!(
                "{:o} {} {content}",
                header.mode().unwrap(),
                entry.path().unwrap().display()
            ));
        }
        assert_eq!(entries, ["644 tool-1.0/man/tool.1 page", "755 tool-1.0/tool run"]);
    }
}
