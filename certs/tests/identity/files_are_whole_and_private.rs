//! What is on disk comes back; secrets that others can read do not.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use holm_certs::files::{FileError, IdentityDir, load_operator_web};
use holm_certs::{
    Identity, NodeKey, Revocation, RevocationSet, SvidState, TenantAuthority, TokenLedger,
};
use holm_model::TenantId;

use crate::common::{DAY, Mesh, NOW, minutes, node_id};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("is there").permissions().mode() & 0o777
}

#[test]
fn a_node_starts_from_what_it_saved_even_when_its_svid_has_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = IdentityDir::create(&folder.path().join("identity")).expect("made");
    let mesh = Mesh::new();
    let key = NodeKey::generate().expect("a key");
    let chain = mesh.svid(&key, &node_id("berlin", "n1"), NOW);
    let mut revocations = RevocationSet::default();
    let other = NodeKey::generate().expect("a key").public_key().hash();
    let revocation = Revocation::sign(&mesh.issuer, other, &node_id("a", "b"), "x", NOW);
    revocations.insert(&revocation.expect("signed"), &mesh.bundles, NOW).expect("valid");

    let root = dir.save_root(&mesh.root).expect("saved");
    dir.save_issuer(&mesh.issuer).expect("saved");
    dir.save_node_key(&key).expect("saved");
    dir.save_svid(&chain).expect("saved");
    dir.save_bundles(&mesh.bundles).expect("saved");
    dir.save_revocations(&revocations).expect("saved");
    dir.save_tokens(&TokenLedger::default()).expect("saved");
    dir.save_node_key(&key).expect("saved again over itself");
    assert_eq!((mode(&root), mode(&dir.node_key_path())), (0o600, 0o600));
    assert_eq!(mode(&folder.path().join("identity")), 0o700);
    let names: Vec<_> = fs::read_dir(folder.path().join("identity")).expect("a folder").collect();
    assert_eq!(names.len(), 7, "nothing is left beside the files");

    let dir = IdentityDir::at(&folder.path().join("identity"));
    assert_eq!(dir.load_root().expect("loads").pin(), mesh.root.pin());
    let issuer = dir.load_issuer().expect("loads").expect("is there");
    assert_eq!(issuer.not_after(), mesh.issuer.not_after());
    assert_eq!(dir.load_svid().expect("loads"), chain);
    assert_eq!(dir.load_revocations().expect("loads"), revocations);
    assert_eq!(dir.load_tokens().expect("loads"), TokenLedger::default());
    let late = NOW + 30 * DAY;
    let (key, chain) = (dir.load_node_key().expect("loads"), dir.load_svid().expect("loads"));
    let bundles = dir.load_bundles().expect("loads");
    let node = Identity::new(key, chain, bundles, revocations, late).expect("starts");
    let since = NOW + 7 * DAY + 1000;
    assert_eq!(node.svid_state(late, 0.5), SvidState::Expired { since });
}

#[test]
fn missing_optional_files_are_no_error_and_missing_keys_say_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = IdentityDir::create(folder.path()).expect("made");
    assert!(dir.load_issuer().expect("no issuer").is_none());
    assert!(dir.load_revocations().expect("none").is_empty());
    assert_eq!(dir.load_tokens().expect("none").iter().count(), 0);
    let error = dir.load_node_key().expect_err("missing");
    assert!(error.is_missing());
    let text = error.to_string();
    assert!(text.contains("node-key.pem") && text.contains("holm join"), "{text}");
}

#[test]
fn a_secret_that_others_can_read_is_refused_with_the_remedy() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = IdentityDir::create(folder.path()).expect("made");
    dir.save_node_key(&NodeKey::generate().expect("a key")).expect("saved");
    for bits in [0o640, 0o604, 0o666] {
        fs::set_permissions(dir.node_key_path(), fs::Permissions::from_mode(bits)).expect("chmod");
        let error = dir.load_node_key().expect_err("readable");
        assert!(matches!(error, FileError::Readable { mode, .. } if mode == bits));
        let remedy = format!("chmod 600 {}", dir.node_key_path().display());
        assert!(error.to_string().contains(&remedy), "{error}");
    }
    fs::set_permissions(dir.node_key_path(), fs::Permissions::from_mode(0o400)).expect("chmod");
    dir.load_node_key().expect("stricter is fine");
}

#[test]
fn damaged_files_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = IdentityDir::create(folder.path()).expect("made");
    let mesh = Mesh::new();
    dir.save_node_key(&NodeKey::generate().expect("a key")).expect("saved");
    dir.save_bundles(&mesh.bundles).expect("saved");
    dir.save_revocations(&RevocationSet::default()).expect("saved");
    for name in ["node-key.pem", "bundles.json", "revocations.bin"] {
        let path = folder.path().join(name);
        let whole = fs::read(&path).expect("is there");
        fs::write(&path, [&whole[..whole.len() / 2], b"\xff\x00{"].concat()).expect("damaged");
    }
    let errors = [
        dir.load_node_key().expect_err("damaged").to_string(),
        dir.load_bundles().expect_err("damaged").to_string(),
        dir.load_revocations().expect_err("damaged").to_string(),
    ];
    for (error, name) in errors.iter().zip(["node-key.pem", "bundles.json", "revocations.bin"]) {
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn a_failed_write_leaves_the_old_file_and_no_rest() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = IdentityDir::at(folder.path());
    // A folder in the place of the file: the rename fails on every user, root included.
    fs::create_dir(folder.path().join("svid.pem")).expect("made");
    let error = dir.save_svid(&[]).expect_err("cannot rename");
    assert!(error.to_string().contains("svid.pem"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
}

#[test]
fn web_certificates_load_from_the_mesh_and_from_the_operator() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = IdentityDir::create(folder.path()).expect("made");
    let (mesh, key) = (Mesh::new(), NodeKey::generate().expect("a key"));
    let names = ["n1.example".to_owned()];
    let chain = mesh.issuer.issue_web(key.public_key(), &names, &[], minutes(60), NOW);
    let chain = chain.expect("a web certificate");
    dir.save_web_key(&key).expect("saved");
    dir.save_web_chain(&chain).expect("saved");
    assert_eq!(dir.load_web().expect("loads").chain(), chain);
    let (chain_path, key_path) = (folder.path().join("web.pem"), folder.path().join("web-key.pem"));
    let web = || dir.load_web().expect("loads");
    let operator = load_operator_web(web(), &chain_path, &key_path).expect("loads");
    assert_eq!(operator.chain(), chain, "the mesh's is still there");
    dir.save_node_key(&NodeKey::generate().expect("a key")).expect("saved");
    let other = dir.node_key_path();
    let error = load_operator_web(web(), &chain_path, &other).expect_err("another key");
    assert!(error.to_string().contains("do not belong together"), "{error}");
}

#[test]
fn a_tenants_authority_is_written_once_and_for_its_owner_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = IdentityDir::create(folder.path()).expect("made");
    let acme = TenantId::new("acme").expect("a name");
    assert!(dir.load_tenant_authority(&acme).expect("none yet").is_none());
    let authority = TenantAuthority::create(acme.clone()).expect("an authority");
    let path = dir.save_tenant_authority(&authority).expect("saved");
    assert_eq!((path.clone(), mode(&path)), (dir.tenant_authority_path(&acme), 0o600));
    let other = TenantAuthority::create(acme.clone()).expect("an authority");
    let refused = dir.save_tenant_authority(&other).expect_err("there is one");
    assert!(matches!(refused, FileError::Exists(_)), "{refused}");
    assert!(refused.to_string().contains("tenant-acme.pem"), "{refused}");
    let loaded = dir.load_tenant_authority(&acme).expect("loads").expect("is there");
    assert_eq!((loaded.tag(), loaded.tenant()), (authority.tag(), &acme));
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing beside it");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("changed");
    let refused = dir.load_tenant_authority(&acme).expect_err("others can read it");
    assert!(matches!(refused, FileError::Readable { .. }), "{refused}");
}
