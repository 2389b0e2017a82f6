//! Tests of the crate as a program uses it, without arguments and without a terminal.

mod run;
