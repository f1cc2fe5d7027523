//! The product with three more tools, which count what they do.

use alma_tests::counting::tools;
use hephaestus::Hephaestus;
use std::process::ExitCode;

fn main() -> ExitCode {
    app::main_with(|| Hephaestus::with_tools(tools()))
}
