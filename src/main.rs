//! The `passbridge` program. All its code is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    passbridge::cli::main(std::env::args_os())
}
