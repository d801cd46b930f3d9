//! A mesh made in memory, and certificates forged at will.

use std::time::Duration;

use holm_certs::{
    Bundle, BundleMap, CertificateRequest, Identity, Issuer, NodeKey, RevocationSet, RootAuthority,
    SVID_LIFETIME, SpiffeId, TrustDomain,
};
use holm_model::{Millis, NodeName, SiteId};
use rcgen::{
    CertificateParams, CustomExtension, DistinguishedName, ExtendedKeyUsagePurpose, IsCa,
    KeyUsagePurpose, SanType,
};
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;

pub(crate) type Chain = Vec<CertificateDer<'static>>;

/// 2026-11-21T03:37:49Z.
pub(crate) const NOW: Millis = Millis(1_795_232_269_000);
pub(crate) const HOUR: u64 = 3_600_000;
pub(crate) const DAY: u64 = 24 * HOUR;

pub(crate) fn domain() -> TrustDomain {
    TrustDomain::new("holm.test").expect("a trust domain")
}

pub(crate) fn node_id(site: &str, node: &str) -> SpiffeId {
    let site = SiteId::new(site).expect("a site");
    SpiffeId::node(&domain(), &site, &NodeName::new(node).expect("a node"))
}

pub(crate) struct Mesh {
    pub(crate) root: RootAuthority,
    pub(crate) issuer: Issuer,
    pub(crate) bundles: BundleMap,
}

impl Mesh {
    pub(crate) fn new() -> Self {
        Self::of(&domain(), NOW)
    }

    pub(crate) fn of(domain: &TrustDomain, now: Millis) -> Self {
        let root = RootAuthority::create(domain, now).expect("a root");
        let issuer = root.create_issuer(now).expect("an issuer");
        let bundles = BundleMap::of(root.bundle().expect("a bundle"));
        Self { root, issuer, bundles }
    }

    pub(crate) fn bundle(&self) -> Bundle {
        self.root.bundle().expect("a bundle")
    }

    pub(crate) fn svid(&self, key: &NodeKey, id: &SpiffeId, now: Millis) -> Chain {
        let request = CertificateRequest::new(key).expect("a request");
        let request = CertificateRequest::parse(request.der()).expect("is accepted");
        self.issuer.issue_svid(request.public_key(), id, SVID_LIFETIME, now).expect("an SVID")
    }

    pub(crate) fn identity(&self, site: &str, now: Millis) -> Identity {
        let key = NodeKey::generate().expect("a key");
        let chain = self.svid(&key, &node_id(site, "n1"), now);
        let revocations = RevocationSet::default();
        Identity::new(key, chain, self.bundles.clone(), revocations, now).expect("an identity")
    }

    /// The root's key and certificate, to forge with.
    pub(crate) fn root_ca(&self) -> Ca {
        let key = NodeKey::from_pem(&self.root.to_pem()).expect("the root's key");
        Ca { key, certificate: self.root.certificate().clone() }
    }

    /// The issuer's key and certificate, to forge with.
    pub(crate) fn issuer_ca(&self) -> Ca {
        let pem = self.issuer.to_pem();
        let key = NodeKey::from_pem(&pem).expect("the issuer's key");
        let blocks = pem::parse_many(&*pem).expect("pem");
        let certificate = blocks.iter().find(|b| b.tag() == "CERTIFICATE").expect("a certificate");
        Ca { key, certificate: certificate.contents().to_vec().into() }
    }
}

/// A signing key with its certificate.
pub(crate) struct Ca {
    pub(crate) key: NodeKey,
    pub(crate) certificate: CertificateDer<'static>,
}

impl Ca {
    pub(crate) fn sign(
        &self,
        params: &CertificateParams,
        key: &NodeKey,
    ) -> CertificateDer<'static> {
        let issuer =
            rcgen::Issuer::from_ca_cert_der(&self.certificate, &self.key).expect("an issuer");
        params.signed_by(key.public_key(), &issuer).expect("a certificate").into()
    }

    /// A leaf of these parameters on a new key, then this certificate.
    pub(crate) fn leaf(&self, params: &CertificateParams) -> Chain {
        let key = NodeKey::generate().expect("a key");
        vec![self.sign(params, &key), self.certificate.clone()]
    }

    /// A CA below this one.
    pub(crate) fn below(&self, params: &CertificateParams) -> Self {
        let key = NodeKey::generate().expect("a key");
        Self { certificate: self.sign(params, &key), key }
    }
}

pub(crate) fn utc(at: Millis) -> OffsetDateTime {
    let seconds = i64::try_from(at.0 / 1000).expect("in range");
    OffsetDateTime::from_unix_timestamp(seconds).expect("in range")
}

pub(crate) fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().expect("ASCII"))
}

fn params(uris: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = uris.iter().map(|text| uri(text)).collect();
    params.not_before = utc(NOW - HOUR);
    params.not_after = utc(NOW + DAY);
    params
}

/// What a good leaf has.
pub(crate) fn leaf_params(uris: &[&str]) -> CertificateParams {
    let mut params = params(uris);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params
}

/// What a good CA has.
pub(crate) fn ca_params(name: &str, uris: &[&str]) -> CertificateParams {
    let mut params = params(uris);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

pub(crate) fn extension(oid: &[u64], critical: bool, content: &[u8]) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(oid, content.to_vec());
    extension.set_criticality(critical);
    extension
}

pub(crate) fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}
