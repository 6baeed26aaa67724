//! The broker under comparison: the same process as the `ottla` binary, built with this package so that its tests find it.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    ottla::cli::main()
}
