//! The committed object is what its sources say.

use std::path::Path;

use ring::digest::{SHA256, digest};

#[test]
fn the_object_was_built_from_these_sources() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let record = std::fs::read_to_string(root.join("src/holm-host.bpf.sha256")).expect("recorded");
    let mut files = Vec::new();
    for line in record.lines() {
        let (expected, file) = line.split_once("  ").expect("a digest and a file");
        let bytes = std::fs::read(root.join(file)).expect("the file is there");
        let hex: String =
            digest(&SHA256, &bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected, "{file} changed: rebuild the object with `make ebpf`");
        files.push(file.to_owned());
    }
    files.sort_unstable();
    let mut sources: Vec<String> = std::fs::read_dir(root.join("ebpf/src"))
        .expect("the sources")
        .map(|entry| entry.expect("a file").file_name().to_string_lossy().into_owned())
        .map(|name| format!("ebpf/src/{name}"))
        .collect();
    sources.push("ebpf/Cargo.lock".into());
    sources.push("ebpf/Cargo.toml".into());
    sources.push("src/holm-host.bpf.o".into());
    sources.sort_unstable();
    assert_eq!(files, sources, "every source is recorded: rebuild with `make ebpf`");
}
