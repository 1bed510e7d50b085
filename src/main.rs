//! The `passbridge` program; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    passbridge::cli::main(std::env::args_os())
}
