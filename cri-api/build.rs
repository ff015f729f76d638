//! Generates the client from `proto/api.proto`, without protoc.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    // Without source information there are no comments: they are not written for rustdoc.
    let files =
        protox::Compiler::new(["proto"])?.include_source_info(false).open_file("api.proto")?.file_descriptor_set();
    tonic_prost_build::configure().build_server(false).compile_fds(files)?;
    Ok(())
}
