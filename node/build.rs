//! The console is embedded from `consoles/web/dist`; a build without it serves the API and says so.

fn main() -> std::io::Result<()> {
    println!("cargo::rerun-if-changed=../consoles/web/dist");
    std::fs::create_dir_all("../consoles/web/dist")
}
