//! The Debian package, made by `dpkg-deb` of a folder that is laid out as it will be installed.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::dist::{COMPLETIONS, Release, copy, succeed, write};
use crate::repo;

const MAINTAINER: &str = "cfcache maintainers <cfcache@users.noreply.github.com>";
const HOMEPAGE: &str = "https://github.com/cfcache/cfcache";

/// The revision of the package; a new one where only the packaging changed.
const REVISION: &str = "1";

/// Makes the package, and gives its name.
pub(super) fn package(release: &Release) -> Result<String> {
    let root = release.folder.join("debian");
    let at = |path: &str| root.join(path);
    let laid = |path: &str| release.layout.join(path);

    fs::create_dir_all(at("usr/bin"))?;
    copy(&laid("cfcache"), &at("usr/bin/cfcache"), 0o755)?;
    for (_, name, place) in COMPLETIONS {
        if let Some(place) = place {
            write(&at(place), fs::read(laid("completions").join(name))?)?;
        }
    }
    for page in fs::read_dir(laid("man/man1"))? {
        let page = page?;
        let place = at("usr/share/man/man1").join(page.file_name());
        write(&place, fs::read(page.path())?)?;
        gzip(&place)?;
    }
    let version = format!("{}-{REVISION}", release.version);
    let papers = at("usr/share/doc/cfcache");
    write(&papers.join("copyright"), copyright()?)?;
    write(&papers.join("changelog"), repo::read("CHANGELOG.md")?)?;
    gzip(&papers.join("changelog"))?;
    write(&papers.join("changelog.Debian"), changelog(&version, &release.epoch)?)?;
    gzip(&papers.join("changelog.Debian"))?;

    let architecture = capture(Command::new("dpkg").arg("--print-architecture"))?;
    let architecture = architecture.trim();
    let needs = needs(&capture(Command::new("objdump").arg("-p").arg(at("usr/bin/cfcache")))?)?;
    let files = files(&root)?;
    let bytes = files.iter().map(|file| Ok(fs::metadata(at(file))?.len())).sum::<Result<u64>>()?;
    let control = format!(
        "Package: cfcache\n\
         Version: {version}\n\
         Architecture: {architecture}\n\
         Maintainer: {MAINTAINER}\n\
         Installed-Size: {}\n\
         Depends: {needs}\n\
         Recommends: ca-certificates\n\
         Section: web\n\
         Priority: optional\n\
         Homepage: {HOMEPAGE}\n\
         Description: purge and manage Cloudflare's cache\n \
         Takes pages out of Cloudflare's cache from a shell or a CI job: everything,\n \
         URLs, tags, hosts and prefixes, at the fastest pace that the plan allows, and\n \
         reports item by item what was accepted. Manages the cache's settings too, and\n \
         serves the API on this machine to try all of it.\n",
        bytes.div_ceil(1024)
    );
    let mut sums = Command::new("md5sum");
    let sums = capture(sums.current_dir(&root).args(&files))?;
    write(&at("DEBIAN/control"), control)?;
    write(&at("DEBIAN/md5sums"), sums)?;

    let name = format!("cfcache_{version}_{architecture}.deb");
    let mut build = Command::new("dpkg-deb");
    build.current_dir(&release.folder).env("SOURCE_DATE_EPOCH", &release.epoch);
    build
        .args(["--root-owner-group", "-Zxz", "--build", "debian", &name])
        .stdout(std::process::Stdio::null());
    succeed(&mut build)?;
    fs::remove_dir_all(&root)?;
    Ok(name)
}

/// The files below a folder, by their paths in it, sorted; all of them readable by everybody.
fn files(root: &Path) -> Result<Vec<String>> {
    fn walk(root: &Path, folder: &Path, files: &mut Vec<String>) -> Result<()> {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                walk(root, &path, files)?;
            } else {
                files.push(path.strip_prefix(root)?.to_string_lossy().into_owned());
            }
        }
        Ok(())
    }
    let mut files = Vec::new();
    walk(root, root, &mut files)?;
    files.sort_unstable();
    succeed(Command::new("chmod").args(["-R", "u+rw,go=rX"]).arg(root))?;
    Ok(files)
}

/// What the binary is linked with, as packages: from what `objdump -p` prints.
///
/// The symbols of the C library have the version that brought them, so the newest of them is the oldest that will do.
fn needs(dump: &str) -> Result<String> {
    let mut packages = Vec::new();
    for library in dump.lines().filter_map(|line| line.trim().strip_prefix("NEEDED")) {
        match library.trim() {
            "libgcc_s.so.1" => packages.push("libgcc-s1".to_owned()),
            library if is_of_libc(library) => {}
            library => bail!("the binary is linked with {library}, which no package is known for"),
        }
    }
    let version = dump
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("GLIBC_"))
        .filter_map(|version| version.split('.').map(|part| part.parse().ok()).collect::<Option<Vec<u32>>>());
    let version = version.max().context("the binary takes nothing from the C library")?;
    let version: Vec<String> = version.iter().map(u32::to_string).collect();
    packages.insert(0, format!("libc6 (>= {})", version.join(".")));
    Ok(packages.join(", "))
}

fn is_of_libc(library: &str) -> bool {
    ["libc.so", "libm.so", "libdl.so", "libpthread.so", "librt.so", "ld-linux"]
        .iter()
        .any(|name| library.starts_with(name))
}

/// Who may do what, in the form that Debian reads.
fn copyright() -> Result<String> {
    let license = repo::read("LICENSE-MIT")?;
    let mut holders = license.lines().filter_map(|line| line.strip_prefix("Copyright "));
    let holders = holders.next().context("LICENSE-MIT names no holder")?;
    let terms: String = license
        .lines()
        .skip_while(|line| !line.starts_with("Permission"))
        .map(|line| if line.is_empty() { " .\n".to_owned() } else { format!(" {line}\n") })
        .collect();
    Ok(format!(
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\
         Upstream-Name: cfcache\n\
         Source: {HOMEPAGE}\n\n\
         Files: *\n\
         Copyright: {holders}\n\
         License: Expat or Apache-2.0\n\n\
         License: Expat\n\
         {terms}\n\
         License: Apache-2.0\n \
         On Debian systems the full text of the Apache License, version 2.0, is in\n \
         /usr/share/common-licenses/Apache-2.0.\n"
    ))
}

fn changelog(version: &str, epoch: &str) -> Result<String> {
    let mut date = Command::new("date");
    let date = capture(date.env("LC_ALL", "C").args(["--utc", "--rfc-email", &format!("--date=@{epoch}")]))?;
    Ok(format!(
        "cfcache ({version}) unstable; urgency=medium\n\n  * What changed is in changelog.gz.\n\n -- {MAINTAINER}  {date}"
    ))
}

fn gzip(path: &Path) -> Result<()> {
    succeed(Command::new("gzip").args(["--no-name", "--best", "--force"]).arg(path))
}

fn capture(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot run {program}"))?;
    ensure!(
        output.status.success(),
        "{program} failed, {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    String::from_utf8(output.stdout).with_context(|| format!("{program} printed no UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_linked_becomes_packages() {
        let dump = "
Dynamic Section:
  NEEDED               libgcc_s.so.1
  NEEDED               libm.so.6
  NEEDED               libc.so.6
  NEEDED               ld-linux-x86-64.so.2

Version References:
  required from libgcc_s.so.1:
    0x0b792655 0x00 12 GCC_3.3
  required from libc.so.6:
    0x09691a75 0x00 08 GLIBC_2.2.5
    0x069691b3 0x00 07 GLIBC_2.33
    0x06969189 0x00 06 GLIBC_2.9
";
        assert_eq!(needs(dump).unwrap(), "libc6 (>= 2.33), libgcc-s1");
        assert!(
            needs("  NEEDED  libssl.so.3\n GLIBC_2.2.5").unwrap_err().to_string().contains("libssl.so.3")
        );
    }

    #[test]
    fn the_terms_are_those_of_the_license() {
        let copyright = copyright().unwrap();
        assert!(copyright.contains("\nCopyright: "), "{copyright}");
        assert!(copyright.contains("\n Permission is hereby granted"), "{copyright}");
        assert!(copyright.contains("\n .\n"), "{copyright}");
    }
}
