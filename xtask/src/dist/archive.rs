//! Files to archives, byte by byte the same on every system.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use flate2::{Compression, GzBuilder};
use ring::digest;
use tar::{Builder, EntryType, Header};

/// Writes a folder as `FOLDER.tar.gz` beside it: sorted, owned by nobody, as old as `epoch` says. Only one file is
/// executable.
pub(super) fn write(folder: &Path, program: &Path, epoch: u64) -> Result<()> {
    let name = folder.file_name().context("the folder has no name")?;
    let path = folder.with_file_name(format!("{}.tar.gz", name.display()));
    let file = fs::File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
    let mut archive = Builder::new(GzBuilder::new().write(file, Compression::best()));
    let mut entries = vec![PathBuf::new()];
    list(folder, Path::new(""), &mut entries)?;
    entries.sort();
    for entry in entries {
        let source = folder.join(&entry);
        let mut header = Header::new_ustar();
        header.set_mtime(epoch);
        header.set_uid(0);
        header.set_gid(0);
        if source.is_dir() {
            header.set_entry_type(EntryType::Directory);
            header.set_mode(0o755);
            header.set_size(0);
            archive.append_data(&mut header, Path::new(name).join(&entry), std::io::empty())?;
        } else {
            let content = fs::read(&source)?;
            header.set_mode(if entry == program { 0o755 } else { 0o644 });
            header.set_size(content.len().try_into()?);
            archive.append_data(&mut header, Path::new(name).join(&entry), &content[..])?;
        }
    }
    archive.into_inner()?.finish()?;
    Ok(())
}

/// Lists what is below a folder, relative to it.
fn list(folder: &Path, below: &Path, entries: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        entries.push(path.clone());
        if entry.file_type()?.is_dir() {
            list(folder, &path, entries)?;
        }
    }
    Ok(())
}

/// Copies a folder and all that is in it.
pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    let mut entries = Vec::new();
    list(from, Path::new(""), &mut entries)?;
    for entry in entries {
        if from.join(&entry).is_dir() {
            fs::create_dir_all(to.join(entry))?;
        } else {
            fs::copy(from.join(&entry), to.join(entry))?;
        }
    }
    Ok(())
}

/// Packs man pages as Debian has them, each as `PAGE.gz`.
pub(super) fn pack_pages(folder: &Path) -> Result<()> {
    let mut pages = Vec::new();
    list(folder, Path::new(""), &mut pages)?;
    ensure!(!pages.is_empty(), "there are no man pages in {}", folder.display());
    for page in pages.iter().map(|page| folder.join(page)) {
        let packed = fs::File::create(format!("{}.gz", page.display()))?;
        let mut packed = GzBuilder::new().write(packed, Compression::best());
        packed.write_all(&fs::read(&page)?)?;
        packed.finish()?;
        fs::remove_file(page)?;
    }
    Ok(())
}

/// The lines of `sha256sum` for the files of a folder, sorted by name.
pub(super) fn sums(folder: &Path) -> Result<Vec<(String, String)>> {
    let mut sums = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().into_string().ok().context("a file has a name that is no UTF-8")?;
        if entry.file_type()?.is_file() && name != "SHA256SUMS" {
            let sum = digest::digest(&digest::SHA256, &fs::read(entry.path())?);
            sums.push((name, sum.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()));
        }
    }
    sums.sort();
    Ok(sums)
}

/// Writes `SHA256SUMS` of all files in the folder.
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
    fn an_archive_depends_on_names_and_contents_alone() {
        let top = repo::target().unwrap().join("archive-test");
        let files = [("bin/tool", "run"), ("README.md", "read"), ("man/man1/tool.1", "page")];
        let pack = |folder: &str, files: &[(&str, &str)]| {
            let folder = top.join(folder).join("tool-1.0");
            for (path, content) in files {
                fs::create_dir_all(folder.join(path).parent().unwrap()).unwrap();
                fs::write(folder.join(path), content).unwrap();
            }
            write(&folder, Path::new("bin/tool"), 1_700_000_000).unwrap();
            fs::read(folder.with_file_name("tool-1.0.tar.gz")).unwrap()
        };
        let _none = fs::remove_dir_all(&top);
        let (one, other) = (pack("one", &files), pack("another", &[files[2], files[1], files[0]]));
        assert_eq!(one, other);

        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&one[..]));
        let mut entries = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let header = entry.header().clone();
            assert_eq!((header.uid().unwrap(), header.mtime().unwrap()), (0, 1_700_000_000));
            let mut content = String::new();
            entry.read_to_string(&mut content).unwrap();
            let path = entry.path().unwrap().display().to_string().trim_end_matches('/').to_owned();
            entries.push((path, header.mode().unwrap(), content));
        }
        let wanted = [
            ("tool-1.0", 0o755, ""),
            ("tool-1.0/README.md", 0o644, "read"),
            ("tool-1.0/bin", 0o755, ""),
            ("tool-1.0/bin/tool", 0o755, "run"),
            ("tool-1.0/man", 0o755, ""),
            ("tool-1.0/man/man1", 0o755, ""),
            ("tool-1.0/man/man1/tool.1", 0o644, "page"),
        ];
        assert_eq!(entries, wanted.map(|(path, mode, text)| (path.to_owned(), mode, text.to_owned())));
        fs::remove_dir_all(&top).unwrap();
    }
}
