//! The `extapp` binary: see `extapp --help`.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    extapp::cli::main(std::env::args_os())
}
