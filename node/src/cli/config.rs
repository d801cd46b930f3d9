//! `holm config`.

use std::path::{Path, PathBuf};

use super::ConfigCommand;
use crate::config::Config;
use crate::layout::Layout;

pub(super) fn run(command: ConfigCommand) -> anyhow::Result<()> {
    match command {
        ConfigCommand::Check { dir, config } => {
            let path = file(&dir, config);
            Config::load(&path, std::env::vars())?;
            println!("{} is valid", path.display());
        }
        ConfigCommand::Show { defaults: true, .. } => print!("{}", Config::default().to_toml()),
        ConfigCommand::Show { dir, config, defaults: false } => {
            print!("{}", Config::load(&file(&dir, config), std::env::vars())?.to_toml());
        }
    }
    Ok(())
}

fn file(dir: &Path, config: Option<PathBuf>) -> PathBuf {
    config.unwrap_or_else(|| Layout::new(dir).config())
}
