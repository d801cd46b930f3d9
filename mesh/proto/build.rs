//! Compiles the protobuf description of the mesh's messages without a system `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = "proto/holm/mesh/v1.proto";
    println!("cargo:rerun-if-changed={file}");
    let descriptors = protox::compile([file], ["proto"])?;
    prost_build::Config::new().compile_fds(descriptors)?;
    Ok(())
}
