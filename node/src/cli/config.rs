//! `holm config`.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::ConfigCommand;
use crate::config::Config;
use crate::layout::Layout;

pub(super) fn run(command: ConfigCommand) -> anyhow::Result<()> {
    match command {
        ConfigCommand::Check { dir, config } => {
            let path = file(&dir, config);
            check(&path)?;
            println!("{} is valid", path.display());
        }
        ConfigCommand::Show { defaults: true, .. } => print!("{}", Config::default().to_toml()),
        ConfigCommand::Show { dir, config, defaults: false } => {
            print!("{}", Config::load(&file(&dir, config), std::env::vars())?.to_toml());
        }
    }
    Ok(())
}

/// Whether a node would start with the configuration.
pub(super) fn check(path: &Path) -> anyhow::Result<()> {
    let config = Config::load(path, std::env::vars())?;
    let (cert, key) = (&config.api.tls_cert, &config.api.tls_key);
    if cert.as_os_str().is_empty() {
        return Ok(());
    }
    // As at the start; without an identity beside it only whether the files can be read.
    match crate::identity::directory(&Layout::new(&config.node.data_dir)).load_web() {
        Ok(web) => drop(holm_certs::files::load_operator_web(web, cert, key)?),
        Err(_) => {
            for path in [cert, key] {
                std::fs::File::open(path)
                    .with_context(|| format!("{}: cannot be read", path.display()))?;
            }
        }
    }
    Ok(())
}

fn file(dir: &Path, config: Option<PathBuf>) -> PathBuf {
    config.unwrap_or_else(|| Layout::new(dir).config())
}
