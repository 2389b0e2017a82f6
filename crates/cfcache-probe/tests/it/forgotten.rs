//! Every test file is part of the test binary.

#[test]
fn every_file_here_is_a_module_of_main() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it");
    let main = include_str!("main.rs");
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let module = name.strip_suffix(".rs").unwrap();
        let declared = main.lines().any(|line| line == format!("mod {module};"));
        assert!(
            declared || module == "main",
            "`tests/it/{name}` is not declared in `main.rs`, so it never runs"
        );
    }
}
