//! The binary `alma`.

use std::process::ExitCode;

fn main() -> ExitCode {
    app::main_with(Vec::new)
}
