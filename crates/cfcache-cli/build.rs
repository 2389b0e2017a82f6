//! Leaves out of the release binary what only unwinding needs, and links it so that it starts sooner.
#![expect(
    clippy::disallowed_methods,
    reason = "cargo tells a build script what it builds by the environment"
)]

use std::env;
use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=unwind.ld");
    println!("cargo::rerun-if-changed=start.order");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    // The profile `release` aborts when it panics, so that nothing reads the tables of the stack's frames; they would be a
    // tenth of the binary. Only tried with the linkers that rustc takes by itself there (LLVM's, and GNU's): not every
    // other one takes a script.
    let is_release = is("PROFILE", "release") && is("DEBUG", "false");
    let is_tried = is("TARGET", "x86_64-unknown-linux-gnu");
    let is_own_linker = env::var_os("RUSTC_LINKER").is_some()
        || env::var("CARGO_ENCODED_RUSTFLAGS").is_ok_and(|flags| flags.contains("link"));
    if is_release && is_tried && !is_own_linker {
        println!("cargo::rustc-link-arg-bins=-Wl,-T,{}/unwind.ld", env!("CARGO_MANIFEST_DIR"));
        // The standard library names functions for unwinding, so that the loader would map a library for them, and look
        // for every function of the C library there as well. In the binary they are 20 kB.
        println!("cargo::rustc-link-lib=gcc_eh");
        // The functions that a purge of one URL runs are placed next to each other. The kernel maps a program in pieces
        // of 16 pages on first use, so it maps only a third of them. `cargo xtask order` writes the list.
        // The compiler puts functions that it expects to run rarely into separate sections.
        let patterns = include_str!("start.order")
            .lines()
            .map(|name| format!("*(.text.{name} .text.unlikely.{name})\n"));
        let script =
            format!("SECTIONS {{ .text : {{\n{}}} }}\nINSERT AFTER .rodata;\n", patterns.collect::<String>());
        let path = Path::new(&env::var_os("OUT_DIR").expect("cargo sets it")).join("start.ld");
        std::fs::write(&path, script).expect("the folder is there to write to");
        println!("cargo::rustc-link-arg-bins=-Wl,-T,{}", path.display());
    }
}
