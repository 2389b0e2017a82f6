//! The images of `Dockerfile`, as far as they can be made without an engine.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use super::{Product, succeed};
use crate::repo;

/// A stage: what it begins with, and its other instructions with what follows them.
#[derive(Debug)]
struct Stage {
    name: String,
    from: String,
    steps: Vec<(String, String)>,
}

/// An image: what its last stage says.
#[derive(Debug, Default)]
struct Image {
    /// Where from, where to, and whether it belongs to the image's user.
    copies: Vec<(String, String, bool)>,
    variables: Vec<(String, String)>,
    entry_point: Vec<String>,
    user: String,
    work_folder: String,
}

/// Puts the files of a product's image together, and runs its binary among them as the image's user.
pub(super) fn runs(product: &Product, binary: &Path) -> Result<()> {
    let image = image(&parse(&repo::read("Dockerfile")?)?, product)?;
    if repo::capture("id", ["-u"])?.trim() != "0" {
        println!("not root, so the image of {} is not tried", product.binary);
        return Ok(());
    }
    let root = repo::target()?.join("dist-image");
    if root.exists() {
        fs::remove_dir_all(&root)?;
    }
    let inside = |path: &str| root.join(path.trim_start_matches('/'));
    for (from, to, is_users) in &image.copies {
        let to = inside(to);
        fs::create_dir_all(to.parent().context("a copy to nowhere")?)?;
        match from.strip_prefix("/out/") {
            Some("data") => fs::create_dir_all(&to)?,
            Some(_) => drop(fs::copy(binary, &to)?),
            // An engine has those of the image that it builds in; here, this machine's are as good.
            None => {
                ensure!(Path::new(from).exists(), "{from} is not here (Debian: ca-certificates)");
                fs::copy(from, &to)?;
            }
        }
        if *is_users {
            succeed(Command::new("chown").arg(&image.user).arg(&to))?;
        }
    }
    let certificates = fs::read_to_string(inside("/etc/ssl/certs/ca-certificates.crt"))?;
    ensure!(certificates.contains("-----BEGIN CERTIFICATE-----"), "the image has no certificates");
    ensure!(inside(&image.work_folder).is_dir(), "the image has no folder {}", image.work_folder);

    let mut run = Command::new("chroot");
    run.arg(format!("--userspec={}", image.user)).arg(&root).args(&image.entry_point);
    run.args(product.trial).stdin(Stdio::null()).env_clear();
    run.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").envs(image.variables);
    let output = run.output().context("cannot run chroot")?;
    ensure!(
        output.status.success(),
        "{:?} fails in its image, {}: {}",
        product.trial,
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    println!("ran {} {} in its image as {}", product.binary, product.trial.join(" "), image.user);
    fs::remove_dir_all(&root).context("cannot clear the folder of the image")
}

/// Reads stages; what an image may be made by is known, and everything else is refused.
fn parse(text: &str) -> Result<Vec<Stage>> {
    let mut stages: Vec<Stage> = Vec::new();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    for line in lines.join("\n").replace("\\\n", " ").lines().filter(|line| !line.trim().is_empty()) {
        let (instruction, rest) = line.split_once(' ').with_context(|| format!("`{line}`: with what?"))?;
        let rest = rest.split_whitespace().collect::<Vec<_>>().join(" ");
        match (instruction, stages.last_mut()) {
            ("FROM", _) => {
                let (from, name) =
                    rest.split_once(" AS ").with_context(|| format!("`{line}` has no name"))?;
                stages.push(Stage { name: name.to_owned(), from: from.to_owned(), steps: Vec::new() });
            }
            (_, None) => bail!("`{line}` comes before FROM"),
            (_, Some(stage)) => stage.steps.push((instruction.to_owned(), rest)),
        }
    }
    Ok(stages)
}

/// The image of a product, which begins with nothing and copies from stages that build it as a release does.
fn image(stages: &[Stage], product: &Product) -> Result<Image> {
    let find = |name: &str| {
        let stage = stages.iter().find(|stage| stage.name == name);
        stage.with_context(|| format!("Dockerfile has no stage {name}"))
    };
    let last = find(product.binary)?;
    ensure!(last.from == "scratch", "the image of {} begins with {}", product.binary, last.from);
    let mut image = Image::default();
    for (instruction, rest) in &last.steps {
        match instruction.as_str() {
            "COPY" => {
                let words: Vec<&str> = rest.split(' ').collect();
                let (flags, paths): (Vec<&str>, Vec<&str>) =
                    words.iter().partition(|word| word.starts_with("--"));
                let [from, to] = paths[..] else { bail!("`COPY {rest}` copies no one thing") };
                let stage = flags.iter().find_map(|flag| flag.strip_prefix("--from="));
                let stage = find(stage.with_context(|| format!("`COPY {rest}` is of no stage"))?)?;
                if from == format!("/out/{}", product.binary) {
                    let build = ("RUN".to_owned(), format!("cargo xtask binary {} {from}", product.binary));
                    ensure!(stage.steps.contains(&build), "no `RUN {}` in {}", build.1, stage.name);
                    let base = find(&stage.from)?;
                    ensure!(base.steps.contains(&("COPY".to_owned(), ". .".to_owned())), "no sources");
                }
                let is_users = flags.iter().any(|flag| flag.starts_with("--chown="));
                image.copies.push((from.to_owned(), to.to_owned(), is_users));
            }
            "ENV" => {
                let (name, value) = rest.split_once('=').with_context(|| format!("`ENV {rest}`"))?;
                image.variables.push((name.to_owned(), value.to_owned()));
            }
            "ENTRYPOINT" => {
                image.entry_point = serde_json::from_str(rest).context("ENTRYPOINT is no list")?;
            }
            "USER" => image.user.clone_from(rest),
            "WORKDIR" => image.work_folder.clone_from(rest),
            "LABEL" | "EXPOSE" | "VOLUME" | "CMD" => {}
            other => bail!("the image of {} is made by {other}, which is not known here", product.binary),
        }
    }
    let ids: Vec<u32> = image.user.split(':').filter_map(|id| id.parse().ok()).collect();
    ensure!(ids.len() == 2 && !ids.contains(&0), "`USER {}` is no other than root, by number", image.user);
    ensure!(image.entry_point == [format!("/{}", product.binary)], "another ENTRYPOINT");
    for label in ["title", "description", "source", "licenses"] {
        let label = format!("org.opencontainers.image.{label}=");
        let has_it = last.steps.iter().any(|(name, rest)| name == "LABEL" && rest.contains(&label));
        ensure!(has_it, "the image of {} has no label {label}", product.binary);
    }
    Ok(image)
}

/// Builds a binary as releases have it, for this machine, and puts it somewhere: a step of the images.
pub(crate) fn binary(name: &str, to: &Path) -> Result<()> {
    let product = super::PRODUCTS.iter().find(|product| product.binary == name);
    let product = product.with_context(|| format!("`{name}` is none of the binaries of a release"))?;
    let built = super::build(product, &super::host()?)?;
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::copy(built, to).with_context(|| format!("cannot write {}", to.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_images_are_made_of_what_a_release_is_made_of() {
        let stages = parse(&repo::read("Dockerfile").unwrap()).unwrap();
        for product in super::super::PRODUCTS {
            let image = image(&stages, product).unwrap();
            assert_eq!(image.user, "65532:65532");
            assert!(image.copies.iter().any(|(_, to, _)| *to == image.entry_point[0]), "{image:?}");
        }
        // What a build reads is not left out of its context.
        let ignored = repo::read(".dockerignore").unwrap();
        let ignored: Vec<&str> = ignored.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(ignored, ["/.git", "/target", "**/fuzz/target", "/docs", "/fixtures/captured"]);
    }

    #[test]
    fn an_image_that_is_not_as_said_is_refused() {
        let product = &super::super::PRODUCTS[0];
        let good = repo::read("Dockerfile").unwrap();
        for (from, to, error) in [
            ("FROM scratch AS cfcache\n", "FROM debian AS cfcache\n", "begins with debian"),
            ("USER 65532:65532", "USER 0:0", "no other than root"),
            ("USER 65532:65532", "USER nobody", "no other than root"),
            ("cargo xtask binary cfcache ", "cargo build ", "no `RUN cargo xtask binary cfcache"),
            ("WORKDIR /data", "RUN true", "is made by RUN"),
            ("org.opencontainers.image.licenses", "licenses", "no label"),
            ("COPY --from=build-cfcache", "COPY", "is of no stage"),
        ] {
            assert!(good.contains(from), "{from}");
            let stages = parse(&good.replace(from, to)).unwrap();
            let found = image(&stages, product).unwrap_err().to_string();
            assert!(found.contains(error), "{found}");
        }
    }
}
