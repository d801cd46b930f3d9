//! What lies in the folder of policies.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use holm_model::{Millis, TenantId};
use holm_policy::MAX_FILE_BYTES;

use super::content::{Content, named, read};

/// Most files that are read.
const MAX_FILES: usize = 2_000;

/// A file as it lies there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) path: String,
    full: PathBuf,
    pub(super) tenant: Result<TenantId, String>,
    length: u64,
    modified_ns: u128,
    /// Why it cannot be looked at.
    fault: Option<String>,
}

/// The files of a folder, of every tenant.
///
/// # Errors
/// It cannot be read, or has too many.
pub(super) fn files(folder: &Path, first: &TenantId) -> Result<Vec<Found>, String> {
    let mut found = Vec::new();
    list(folder, "", &Ok(first.clone()), &mut found)?;
    let entries = std::fs::read_dir(folder).map_err(|error| error.to_string())?;
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let full = entry.path();
        if name.starts_with('.') {
            continue;
        }
        let tenant = TenantId::new(&name).map_err(|error| error.to_string());
        match std::fs::metadata(&full) {
            Ok(meta) if meta.is_dir() => {}
            // A link to nowhere, or one that may not be followed: what it held is not known.
            Err(error) if full.symlink_metadata().is_ok() && !is_wanted(&full) => {
                found.push(Found::faulty(name, full, tenant, &error));
                continue;
            }
            _ => continue,
        }
        list(&entry.path(), &format!("{name}/"), &tenant, &mut found)?;
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    if found.len() > MAX_FILES {
        return Err(format!("it has {} files, {MAX_FILES} are read at most", found.len()));
    }
    Ok(found)
}

fn list(
    folder: &Path,
    before: &str,
    tenant: &Result<TenantId, String>,
    found: &mut Vec<Found>,
) -> Result<(), String> {
    let entries = std::fs::read_dir(folder).map_err(|error| error.to_string())?;
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let full = entry.path();
        if name.starts_with('.') || !is_wanted(&full) {
            continue;
        }
        // Followed: what is mounted or checked out is often a link.
        let meta = match std::fs::metadata(&full) {
            Ok(meta) => meta,
            Err(error) if full.symlink_metadata().is_ok() => {
                let path = format!("{before}{name}");
                found.push(Found::faulty(path, full, tenant.clone(), &error));
                continue;
            }
            // Removed while it was looked.
            Err(_) => continue,
        };
        if !meta.is_file() {
            continue;
        }
        let modified = meta.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        found.push(Found {
            path: format!("{before}{name}"),
            full,
            tenant: tenant.clone(),
            length: meta.len(),
            modified_ns: modified.map_or(0, |at| at.as_nanos()),
            fault: None,
        });
    }
    Ok(())
}

/// Whether it is a file of policies by its name.
fn is_wanted(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| matches!(extension, "yaml" | "yml" | "json"))
}

impl Found {
    /// What is there and cannot be looked at.
    fn faulty(
        path: String,
        full: PathBuf,
        tenant: Result<TenantId, String>,
        error: &std::io::Error,
    ) -> Self {
        let fault = match full.is_symlink() {
            true => format!("it is a link that leads nowhere: {error}"),
            false => format!("it cannot be read: {error}"),
        };
        Self { path, full, tenant, length: 0, modified_ns: 0, fault: Some(fault) }
    }
}

/// What it says; why it is refused.
pub(super) fn content(found: &Found, now: Millis) -> Result<Content, Vec<String>> {
    if let Some(fault) = &found.fault {
        return Err(vec![fault.clone()]);
    }
    if found.length > MAX_FILE_BYTES as u64 {
        return Err(vec![format!("it has {} bytes, the most are {MAX_FILE_BYTES}", found.length)]);
    }
    let bytes =
        std::fs::read(&found.full).map_err(|error| vec![format!("it cannot be read: {error}")])?;
    let text = String::from_utf8(bytes).map_err(|error| vec![not_utf8(&error)])?;
    read(&text, now).map_err(|refused| refused.0.iter().take(20).map(ToString::to_string).collect())
}

/// Where a text is none.
fn not_utf8(error: &std::string::FromUtf8Error) -> String {
    let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
    let last = before.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = String::from_utf8_lossy(last).chars().count() + 1;
    format!(
        "line {line}, column {column}: what stands there is not UTF-8; save the file in that encoding"
    )
}

/// What a file names that is refused.
pub(super) fn named_in(found: &Found) -> Vec<String> {
    if found.fault.is_some() || found.length > MAX_FILE_BYTES as u64 {
        return Vec::new();
    }
    std::fs::read_to_string(&found.full).map(|text| named(&text)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_that_is_no_text_is_told_with_its_place() {
        let told =
            |bytes: &[u8]| not_utf8(&String::from_utf8(bytes.to_vec()).expect_err("not UTF-8"));
        assert!(told(b"kind: Test\ntitle: caf\xe9\n").starts_with("line 2, column 11: "));
        assert!(told(b"\xff").starts_with("line 1, column 1: "));
        assert!(
            told("é\n€\n".bytes().chain([0x80]).collect::<Vec<_>>().as_slice())
                .starts_with("line 3, column 1: ")
        );
    }

    #[test]
    fn a_folder_is_listed_by_tenant_without_what_is_hidden() {
        let dir = tempfile::tempdir().expect("a folder");
        let write = |path: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().expect("inside")).expect("made");
            std::fs::write(path, "x").expect("written");
        };
        ["b.yaml", "a.json", "note.txt", ".git/x.yaml", "acme/c.yml", "Odd Name/d.yaml"]
            .into_iter()
            .for_each(write);
        let first = TenantId::new("default").expect("valid");
        let found = files(dir.path(), &first).expect("listed");
        let paths: Vec<&str> = found.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["Odd Name/d.yaml", "a.json", "acme/c.yml", "b.yaml"]);
        assert!(found.iter().all(|file| file.fault.is_none()));
        assert!(found[0].tenant.is_err());
        assert_eq!(found[2].tenant, Ok(TenantId::new("acme").expect("valid")));
        assert!(files(&dir.path().join("nowhere"), &first).is_err());
        // Links that lead nowhere are there: a file's, and that of a tenant's folder.
        for link in ["e.yaml", "lima"] {
            std::os::unix::fs::symlink("nowhere", dir.path().join(link)).expect("made");
        }
        let found = files(dir.path(), &first).expect("listed");
        for path in ["e.yaml", "lima"] {
            let file = found.iter().find(|file| file.path == path).expect("it is there");
            let problems = content(file, Millis(0)).expect_err("it cannot be read");
            assert!(problems[0].contains("a link that leads nowhere"), "{problems:?}");
        }
    }
}
