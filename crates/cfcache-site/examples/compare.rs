//! Prints what changed from one manifest of `sha256sum` to another, with the URLs that show it:
//!
//! ```text
//! compare https://www.example.com before.sha256 after.sha256
//! ```

use std::error::Error;
use std::fs::File;
use std::io::{BufReader, BufWriter, Write as _, stdout};

use cfcache_site::difference::difference;
use cfcache_site::io::records;
use cfcache_site::mapping::{Site, SiteUrl};
use cfcache_site::path::{Root, display};
use cfcache_site::snapshot::Snapshot;
use cfcache_site::snapshot::manifest::Manifest;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, before, after] = arguments.as_slice() else { return Err("URL BEFORE AFTER".into()) };
    let site = Site::new(vec![SiteUrl::parse(url)?]);
    let (before, after) = (read(before, &site)?, read(after, &site)?);
    let mut difference = difference(Some(before.kind()), &after);
    for entry in before.iter() {
        difference.push_old(entry);
    }
    let (changes, counts) = difference.finish();
    let mut output = BufWriter::new(stdout());
    for change in &changes {
        writeln!(output, "{} {}", change.kind.letter(), display(&change.path))?;
        let mut failed = None;
        site.for_each_target(&change.path, &mut |target| {
            failed = writeln!(output, "    {}", target.text()).err().or(failed.take());
        });
        failed.map_or(Ok(()), Err)?;
    }
    writeln!(output, "{} files are as they were", counts.unchanged)?;
    Ok(output.flush()?)
}

fn read(path: &str, site: &Site) -> Result<Snapshot, Box<dyn Error>> {
    let mut manifest = Manifest::new(Root::none());
    records::for_each(BufReader::new(File::open(path)?), b'\n', |number, line| {
        manifest.push(line, &|path| site.ignores(path)).map_err(|error| format!("{path}:{number}: {error}"))
    })??;
    Ok(manifest.finish()?)
}
