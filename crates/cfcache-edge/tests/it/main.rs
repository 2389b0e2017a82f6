//! Compares the edge with the documented and observed behavior.

#![expect(clippy::unwrap_used, reason = "a missing value fails the test")]

mod answers;
mod eligible;
mod keys;
mod limits;
mod properties;
mod purges;
mod stale;
mod storing;
mod support;
mod under_way;
mod vary;

/// A module that is not in the list above is never compiled.
#[test]
fn every_file_is_a_module() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let main = std::fs::read_to_string(directory.join("main.rs")).unwrap();
    for file in std::fs::read_dir(directory).unwrap() {
        let path = file.unwrap().path();
        let module = path.file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(module == "main" || main.contains(&format!("\nmod {module};\n")), "{module} is forgotten");
    }
}
