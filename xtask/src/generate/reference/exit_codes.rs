//! `exit-codes.md`, from the command line's enum.

use anyhow::{Result, bail, ensure};

use crate::generate::reference::{begin, table};
use crate::{repo, source};

const EXIT: &str = "crates/cfcache-cli/src/exit.rs";

/// Whoever waits for a process that ends by a signal sees no code, so it ends with one; and that a shell takes for a
/// failure like any other (<https://www.cons.org/cracauer/sigint.html>).
const INTERRUPTED: &str = "
## Ctrl-C in a script

An interrupted run accounts for what is in flight, and ends with the code 130 rather than by the signal.
A shell takes that for a failure like any other, and goes on with its script.
A script that runs it in a loop, or something else where it fails, ends itself:

```sh
for list in *.txt; do
  cfcache purge urls --from \"$list\" || if [ $? -eq 130 ]; then exit 130; fi
done
```
";

pub(super) fn page() -> Result<String> {
    let mut page = begin("Exit codes", &format!("`{EXIT}`"));
    page.push_str(
        "The numbers do not change: scripts lean on them.\n\
         Where several apply, the highest wins.\n\n",
    );
    let rows: Vec<_> =
        rows(&repo::read(EXIT)?)?.into_iter().map(|(code, docs)| [code.to_string(), docs]).collect();
    page.push_str(&table(["Code", "When"], rows));
    page.push_str(INTERRUPTED);
    Ok(page)
}

/// The codes with the comments of their variants.
fn rows(text: &str) -> Result<Vec<(u8, String)>> {
    let lines = source::lines(text);
    let is_enum = |line: &&source::Line| line.code.ends_with("enum Exit {");
    let variants = lines.iter().skip_while(|line| !is_enum(line)).skip(1).take_while(|line| line.code != "}");
    let mut rows = Vec::new();
    for variant in variants {
        let name = variant.code.trim_end_matches(',');
        let arm = format!("Self::{name} => ");
        let number =
            lines.iter().find_map(|line| line.code.strip_prefix(&arm)?.strip_suffix(',')?.parse().ok());
        match number {
            Some(number) => rows.push((number, variant.docs.clone())),
            None => bail!("{EXIT}: no line `{arm}…,` gives the code"),
        }
    }
    ensure!(!rows.is_empty(), "{EXIT}: no `enum Exit`");
    rows.sort_unstable();
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_the_comment_of_its_variant() {
        let text = "
            enum Exit {
                /// It failed.
                Failed,
                /// It went well.
                Done,
            }
            Self::Done => 0,
            Self::Failed => 1,
        ";
        assert_eq!(rows(text).unwrap(), [(0, "It went well.".to_owned()), (1, "It failed.".to_owned())]);
        assert!(rows("").is_err());
    }
}
