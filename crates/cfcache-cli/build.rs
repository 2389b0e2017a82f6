//! Leaves out of the release binary what only unwinding needs.
#![expect(
    clippy::disallowed_methods,
    reason = "cargo tells a build script what it builds by the environment"
)]

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=unwind.ld");
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
    }
}
