//! The product with three more tools, which count what they do.

use std::process::ExitCode;

fn main() -> ExitCode {
    app::main_with(alma_tests::counting::tools)
}
