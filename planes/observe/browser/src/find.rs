//! Where the browser is.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What it is called, in the order in which it is looked for.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// The browser of this machine: `configured`, or the first that `PATH` has.
///
/// # Errors
/// `off: no browser`, with what would change it.
pub fn find(configured: &str, path: Option<&std::ffi::OsStr>) -> Result<PathBuf, String> {
    if !configured.is_empty() {
        let configured = PathBuf::from(configured);
        return if is_program(&configured) {
            Ok(configured)
        } else {
            Err(format!(
                "off: no browser: planes.active.browser: {} is no program",
                configured.display()
            ))
        };
    }
    let folders: Vec<PathBuf> = path.iter().flat_map(std::env::split_paths).collect();
    let all = NAMES.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    let mut found = all.filter(|program| program.is_absolute() && is_program(program));
    found.next().ok_or_else(|| {
        "off: no browser: install chromium, or say where it is in planes.active.browser".to_owned()
    })
}

fn is_program(path: &Path) -> bool {
    std::fs::metadata(path)
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_program_is_a_browser() {
        let folder = tempfile::tempdir().expect("made");
        let file = folder.path().join("google-chrome");
        std::fs::write(&file, "#!/bin/sh\n").expect("written");
        let path = Some(folder.path().as_os_str());
        let why = find("", path).expect_err("it may not be run");
        assert!(why.starts_with("off: no browser") && why.contains("planes.active.browser"));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).expect("set");
        assert_eq!(find("", path), Ok(file.clone()));
        assert!(find("/nowhere/chromium", path).expect_err("configured").contains("/nowhere"));
        assert_eq!(find(file.to_str().expect("text"), None), Ok(file));
        assert!(find("", None).is_err());
    }
}
