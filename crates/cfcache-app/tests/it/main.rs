//! Tests of the crate as a program uses it: no arguments, no terminal.

mod run;
