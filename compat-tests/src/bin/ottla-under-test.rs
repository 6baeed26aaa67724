//! The broker as the tests start it: the same process as the `ottla` binary, built with this package so that every test finds it.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    ottla::cli::main()
}
