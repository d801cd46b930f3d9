//! The offline root and the issuing intermediates: who may make which certificate, and for how long.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use holm_model::Millis;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType, SerialNumber,
};
use ring::rand::{SecureRandom as _, SystemRandom};
use rustls_pki_types::CertificateDer;
use zeroize::Zeroizing;

use crate::bundle::{Bundle, DEFAULT_REFRESH_S};
use crate::cert::{Cert, Place};
use crate::clock::{show, utc};
use crate::error::SvidError;
use crate::id::{SpiffeId, TrustDomain};
use crate::key::{IssuerRequest, KeyError, NodeKey, SpkiHash, SubjectPublicKey};
use crate::path::{check_signer, parse_chain, validate};

/// How far back a certificate's begin lies, so that a peer whose clock is behind accepts it at once.
pub const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);
/// Lifetime of a root: 10 years.
pub const ROOT_LIFETIME: Duration = Duration::from_secs(3653 * 86_400);
/// Lifetime of an issuing intermediate: 1 year.
pub const ISSUER_LIFETIME: Duration = Duration::from_secs(365 * 86_400);
/// Default lifetime of an SVID: 7 days, the longest disconnection promised.
pub const SVID_LIFETIME: Duration = Duration::from_secs(7 * 86_400);
/// Longest lifetime of an SVID or web certificate: what browsers still accept of a private CA.
pub const MAX_LEAF_LIFETIME: Duration = Duration::from_secs(398 * 86_400);
/// Most DNS names plus IP addresses in one web certificate.
pub const MAX_WEB_NAMES: usize = 64;

/// id-ce-nameConstraints (RFC 5280 §4.2.1.10).
const OID_NAME_CONSTRAINTS: [u64; 4] = [2, 5, 29, 30];
const CERTIFICATE_TAG: &str = "CERTIFICATE";

/// Why a certificate was not issued, or an authority not loaded. Nothing was issued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// The certificate could not be built.
    #[error("the certificate for {what} could not be built: {reason}")]
    Build {
        /// For whom.
        what: String,
        /// Why.
        reason: String,
    },
    /// The identity belongs to another trust domain.
    #[error(
        "{id} is not of trust domain {domain}, for which this node issues; ask an issuer of its own domain"
    )]
    ForeignDomain {
        /// The identity asked for.
        id: SpiffeId,
        /// The issuer's domain.
        domain: TrustDomain,
    },
    /// The issuer's own certificate is over.
    #[error("the issuing certificate ended at {}; sign a new one with the root (`holm issuer request`, `holm mesh sign-issuer`, `holm issuer install`)", show(*not_after))]
    IssuerExpired {
        /// Its end.
        not_after: Millis,
    },
    /// The certificate does not make this key an issuer of this mesh.
    #[error("the issuing certificate cannot be used: {0}")]
    IssuerCertificate(#[from] SvidError),
    /// The certificate is for another key.
    #[error(
        "the {what} belongs to another key than the one beside it; keep the pair that was made together"
    )]
    KeyMismatch {
        /// Which certificate.
        what: &'static str,
    },
    /// A key failed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A lifetime out of range.
    #[error("a lifetime of {} s is not between 1 minute and 398 days", .0.as_secs())]
    Lifetime(Duration),
    /// A leaf without a path.
    #[error("{0} names a trust domain only; a node's identity needs /site/<site>/node/<node>")]
    NoPath(SpiffeId),
    /// A PEM file that is not what it should be.
    #[error("the {what} cannot be read: {reason}")]
    Pem {
        /// Which.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// Not a usable name for a web certificate.
    #[error("a web certificate cannot be made for {name:?}: {reason}")]
    WebName {
        /// The name.
        name: String,
        /// Why.
        reason: &'static str,
    },
}

/// The mesh's root: a key that is made once, kept by the operator, and needed only to make issuers.
#[derive(Debug)]
pub struct RootAuthority {
    trust_domain: TrustDomain,
    key: NodeKey,
    certificate: CertificateDer<'static>,
}

impl RootAuthority {
    /// Makes a new root for `trust_domain`, valid [`ROOT_LIFETIME`].
    ///
    /// # Errors
    /// [`IssueError`] if the machine gives no randomness.
    pub fn create(trust_domain: &TrustDomain, now: Millis) -> Result<Self, IssueError> {
        let key = NodeKey::generate()?;
        let mut params = signing_params(trust_domain, "root", &key, now)?;
        // RFC 5280 §4.2.1.9: one issuing intermediate below the root and no more.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
        params.not_after = utc(now + millis(ROOT_LIFETIME));
        let certificate =
            params.self_signed(&key).map_err(|error| build_error(trust_domain.as_str(), &error))?;
        Ok(Self { trust_domain: trust_domain.clone(), key, certificate: certificate.into() })
    }

    /// Reads what [`RootAuthority::to_pem`] wrote.
    ///
    /// # Errors
    /// [`IssueError`] if it is damaged or the two do not belong together.
    pub fn from_pem(text: &str) -> Result<Self, IssueError> {
        let (key, mut certificates) = key_and_certificates("root", text)?;
        if certificates.len() != 1 {
            let reason = format!("it has {} certificates, not 1", certificates.len());
            return Err(IssueError::Pem { what: "root", reason });
        }
        let certificate = certificates.swap_remove(0);
        let trust_domain = signing_domain(&certificate, &key, "root certificate")?;
        Ok(Self { trust_domain, key, certificate })
    }

    /// Key and certificate as PEM. A secret: wiped when dropped.
    pub fn to_pem(&self) -> Zeroizing<String> {
        to_pem(&self.key, [&self.certificate])
    }

    /// The trust domain.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The self-signed certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// What a join token pins: the hash of the root's key.
    pub fn pin(&self) -> SpkiHash {
        self.key.public_key().hash()
    }

    /// The bundle of a mesh with this one root: sequence 1.
    ///
    /// # Errors
    /// [`IssueError::Build`] if the certificate is not usable as a root.
    pub fn bundle(&self) -> Result<Bundle, IssueError> {
        Bundle::new(&self.trust_domain, vec![self.certificate.clone()], 1, DEFAULT_REFRESH_S)
            .map_err(|error| build_error("the bundle", &error))
    }

    /// Signs an issuing intermediate for a key made elsewhere: the chain to install there,
    /// intermediate first, then the root. Valid [`ISSUER_LIFETIME`], never longer than the root.
    ///
    /// # Errors
    /// [`IssueError`] if the root has ended or building fails.
    pub fn sign_issuer(
        &self,
        request: &IssuerRequest,
        now: Millis,
    ) -> Result<Vec<CertificateDer<'static>>, IssueError> {
        let key = request.public_key();
        let mut params = signing_params(&self.trust_domain, "issuer", key, now)?;
        // RFC 5280 §4.2.1.9: pathLenConstraint 0, only leaves below.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        // X509-SVID §4.2: name constraints "limit the blast radius of a compromised signing
        // certificate to the named trust domain". No DNS or IP constraint: web certificates bear
        // whatever names the sites have.
        let constraint = name_constraint_der(&self.trust_domain)
            .ok_or_else(|| build_error("the issuer", &"the trust domain is too long"))?;
        let mut extension = CustomExtension::from_oid_content(&OID_NAME_CONSTRAINTS, constraint);
        extension.set_criticality(true);
        params.custom_extensions.push(extension);
        params.not_after = utc(end(&self.certificate, now, ISSUER_LIFETIME)?);
        let certificate = sign(&params, key, &self.certificate, &self.key, "the issuer")?;
        Ok(vec![certificate, self.certificate.clone()])
    }

    /// Makes an issuer with a key of its own: what `holm mesh init` gives the first node.
    ///
    /// # Errors
    /// As [`RootAuthority::sign_issuer`].
    pub fn create_issuer(&self, now: Millis) -> Result<Issuer, IssueError> {
        let key = NodeKey::generate()?;
        let chain = self.sign_issuer(&IssuerRequest::new(&key)?, now)?;
        Issuer::install(key, chain, now)
    }

    pub(crate) fn key(&self) -> &NodeKey {
        &self.key
    }
}

/// An issuing intermediate: makes SVIDs and web certificates of one trust domain.
pub struct Issuer {
    trust_domain: TrustDomain,
    key: NodeKey,
    certificate: CertificateDer<'static>,
    root: CertificateDer<'static>,
    not_after: Millis,
}

impl Issuer {
    /// Puts together the key that made an [`IssuerRequest`] and the chain that
    /// [`RootAuthority::sign_issuer`] gave for it. The whole path is checked.
    ///
    /// # Errors
    /// [`IssueError`] if they do not belong together or the chain is not that of an issuer.
    pub fn install(
        key: NodeKey,
        chain: Vec<CertificateDer<'static>>,
        now: Millis,
    ) -> Result<Self, IssueError> {
        let issuer = Self::assemble(key, chain)?;
        let path = [issuer.certificate.clone(), issuer.root.clone()];
        let bundle = Bundle::new(&issuer.trust_domain, vec![issuer.root.clone()], 1, 1)
            .map_err(|error| build_error("the issuer", &error))?;
        let certs = parse_chain(&path, Place::Signer)?;
        for cert in &certs {
            check_signer(cert)?;
        }
        validate(&certs, &bundle, now)?;
        Ok(issuer)
    }

    fn assemble(key: NodeKey, chain: Vec<CertificateDer<'static>>) -> Result<Self, IssueError> {
        let [certificate, root] = <[_; 2]>::try_from(chain).map_err(|chain| IssueError::Pem {
            what: "issuer's chain",
            reason: format!("it has {} certificates, not 2 (issuer, root)", chain.len()),
        })?;
        let trust_domain = signing_domain(&certificate, &key, "issuing certificate")?;
        let not_after = Cert::parse(&certificate, Place::Signer(0))?.not_after();
        Ok(Self { trust_domain, key, certificate, root, not_after })
    }

    /// Reads what [`Issuer::to_pem`] wrote. An issuer whose certificate has ended loads, so that
    /// a node starts and says so; it issues nothing.
    ///
    /// # Errors
    /// [`IssueError`] if it is damaged or key and certificate do not belong together.
    pub fn from_pem(text: &str) -> Result<Self, IssueError> {
        let (key, chain) = key_and_certificates("issuer", text)?;
        Self::assemble(key, chain)
    }

    /// Key, certificate and root as PEM. A secret: wiped when dropped.
    pub fn to_pem(&self) -> Zeroizing<String> {
        to_pem(&self.key, [&self.certificate, &self.root])
    }

    /// The trust domain it issues for.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The end of its own certificate.
    pub fn not_after(&self) -> Millis {
        self.not_after
    }

    /// What a join token pins: the hash of the root's key.
    ///
    /// # Errors
    /// [`IssueError`] if the root cannot be parsed.
    pub fn pin(&self) -> Result<SpkiHash, IssueError> {
        Ok(Cert::parse(&self.root, Place::Root)?.spki_hash())
    }

    /// Issues an SVID for `spiffe_id` on `key`: leaf and intermediate.
    ///
    /// Valid from `now` − [`CLOCK_SKEW`] to `now` + `lifetime`, never longer than the issuer itself.
    ///
    /// # Errors
    /// [`IssueError`] for a foreign domain, an ID without a path, a lifetime out of range or an
    /// issuer that has ended.
    pub fn issue_svid(
        &self,
        key: &SubjectPublicKey,
        spiffe_id: &SpiffeId,
        lifetime: Duration,
        now: Millis,
    ) -> Result<Vec<CertificateDer<'static>>, IssueError> {
        if *spiffe_id.trust_domain() != self.trust_domain {
            let (id, domain) = (spiffe_id.clone(), self.trust_domain.clone());
            return Err(IssueError::ForeignDomain { id, domain });
        }
        if spiffe_id.path().is_empty() {
            return Err(IssueError::NoPath(spiffe_id.clone()));
        }
        let what = spiffe_id.to_string();
        let mut params = self.leaf_params(lifetime, now)?;
        params.subject_alt_names = vec![uri(&what)?];
        // X509-SVID §4.4: both purposes.
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let leaf = sign(&params, key, &self.certificate, &self.key, &what)?;
        Ok(vec![leaf, self.certificate.clone()])
    }

    /// Issues a web certificate: serverAuth only, no URI, no common name, so that it can never pass
    /// for an SVID. Leaf, intermediate and root: an enrolling node looks for the pinned root.
    ///
    /// # Errors
    /// [`IssueError`] if there is no name, too many, or a bad one; lifetimes as for SVIDs.
    pub fn issue_web(
        &self,
        key: &SubjectPublicKey,
        dns_names: &[String],
        ips: &[IpAddr],
        lifetime: Duration,
        now: Millis,
    ) -> Result<Vec<CertificateDer<'static>>, IssueError> {
        let refuse = |name: &str, reason| IssueError::WebName { name: name.to_owned(), reason };
        let count = dns_names.len() + ips.len();
        if count == 0 || count > MAX_WEB_NAMES {
            return Err(refuse("", "it needs 1 to 64 DNS names and IP addresses"));
        }
        let mut params = self.leaf_params(lifetime, now)?;
        for name in dns_names {
            let valid = rustls_pki_types::DnsName::try_from(name.as_str())
                .map_err(|_| refuse(name, "it is not a DNS name"))?;
            let name = valid.as_ref().to_ascii_lowercase();
            let ascii = name.as_str().try_into().map_err(|_| refuse(&name, "it is not ASCII"))?;
            params.subject_alt_names.push(SanType::DnsName(ascii));
        }
        params.subject_alt_names.extend(ips.iter().map(|&ip| SanType::IpAddress(ip)));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let leaf = sign(&params, key, &self.certificate, &self.key, "the web server")?;
        Ok(vec![leaf, self.certificate.clone(), self.root.clone()])
    }

    fn leaf_params(
        &self,
        lifetime: Duration,
        now: Millis,
    ) -> Result<CertificateParams, IssueError> {
        if lifetime < Duration::from_secs(60) || lifetime > MAX_LEAF_LIFETIME {
            return Err(IssueError::Lifetime(lifetime));
        }
        let mut params = base_params(now)?;
        // X509-SVID §4.1: "leaf certificates MUST set the cA field to false".
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.not_after = utc(end(&self.certificate, now, lifetime)?);
        Ok(params)
    }

    pub(crate) fn key(&self) -> &NodeKey {
        &self.key
    }

    pub(crate) fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Issuer({}, until {})", self.trust_domain, show(self.not_after))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn build_error(what: &str, reason: &dyn fmt::Display) -> IssueError {
    IssueError::Build { what: what.to_owned(), reason: reason.to_string() }
}

/// What every certificate has: a random serial, a begin a little in the past, an authority key id,
/// an empty subject.
fn base_params(now: Millis) -> Result<CertificateParams, IssueError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.use_authority_key_identifier_extension = true;
    params.not_before = utc(now - millis(CLOCK_SKEW));
    // RFC 5280 §4.1.2.2: positive, unique per issuer, at most 20 bytes: 127 random bits.
    let mut serial = [0; 16];
    SystemRandom::new()
        .fill(&mut serial)
        .map_err(|_| KeyError::Crypto { action: "making of a serial number" })?;
    serial[0] = serial[0] & 0x7f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(params)
}

fn signing_params(
    trust_domain: &TrustDomain,
    role: &str,
    key: &impl rcgen::PublicKeyData,
    now: Millis,
) -> Result<CertificateParams, IssueError> {
    let mut params = base_params(now)?;
    // RFC 5280 §4.1.2.6: a CA's subject must not be empty. The key's hash keeps two of them apart.
    let hash = SpkiHash::of(&key.subject_public_key_info()).to_string();
    let name = format!("Holm {role} {}", hash.get(..16).unwrap_or(&hash));
    params.distinguished_name.push(DnType::CommonName, name);
    // X509-SVID §3.2: a signing certificate's SPIFFE ID has no path.
    params.subject_alt_names = vec![uri(&trust_domain.id().to_string())?];
    // cRLSign: it also signs revocations (see `revocation`).
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn uri(text: &str) -> Result<SanType, IssueError> {
    let ascii = text.try_into().map_err(|error| build_error(text, &error))?;
    Ok(SanType::URI(ascii))
}

/// `now` + `lifetime`, cut at the end of the issuer's own certificate.
fn end(issuer: &CertificateDer<'_>, now: Millis, lifetime: Duration) -> Result<Millis, IssueError> {
    let not_after = Cert::parse(issuer, Place::Signer(0))?.not_after();
    if not_after <= now {
        return Err(IssueError::IssuerExpired { not_after });
    }
    Ok((now + millis(lifetime)).min(not_after))
}

fn sign(
    params: &CertificateParams,
    key: &SubjectPublicKey,
    issuer: &CertificateDer<'_>,
    issuer_key: &NodeKey,
    what: &str,
) -> Result<CertificateDer<'static>, IssueError> {
    let issuer = rcgen::Issuer::from_ca_cert_der(issuer, issuer_key)
        .map_err(|error| build_error(what, &error))?;
    let certificate = params.signed_by(key, &issuer).map_err(|error| build_error(what, &error))?;
    Ok(certificate.into())
}

/// `NameConstraints ::= SEQUENCE { permittedSubtrees [0] { { uniformResourceIdentifier [6] } } }`.
fn name_constraint_der(trust_domain: &TrustDomain) -> Option<Vec<u8>> {
    fn wrap(tag: u8, content: &[u8]) -> Option<Vec<u8>> {
        let header = match content.len() {
            length @ 0..=0x7f => vec![tag, u8::try_from(length).ok()?],
            length @ 0x80..=0xff => vec![tag, 0x81, u8::try_from(length).ok()?],
            length => {
                let [high, low] = u16::try_from(length).ok()?.to_be_bytes();
                vec![tag, 0x82, high, low]
            }
        };
        Some([&header, content].concat())
    }
    let host = wrap(0x86, trust_domain.as_str().as_bytes())?;
    wrap(0x30, &wrap(0xa0, &wrap(0x30, &host)?)?)
}

fn to_pem<'a>(
    key: &NodeKey,
    certificates: impl IntoIterator<Item = &'a CertificateDer<'static>>,
) -> Zeroizing<String> {
    let mut text = key.to_pem();
    // Reserved at once: growing would leave a copy of the key behind.
    let mut whole = Zeroizing::new(String::with_capacity(text.len() + 3 * 2048));
    whole.push_str(&text);
    text.clear();
    whole.push_str(&certificates_to_pem(certificates));
    whole
}

/// PEM blocks "CERTIFICATE", in order.
pub(crate) fn certificates_to_pem<'a>(
    certificates: impl IntoIterator<Item = &'a CertificateDer<'static>>,
) -> String {
    let blocks = certificates.into_iter().map(|der| pem::Pem::new(CERTIFICATE_TAG, der.to_vec()));
    blocks.map(|block| pem::encode(&block)).collect()
}

/// Every "CERTIFICATE" block of `text`, in order; other blocks are passed over.
pub(crate) fn certificates_from_pem(
    what: &'static str,
    text: &str,
) -> Result<Vec<CertificateDer<'static>>, IssueError> {
    let blocks = pem::parse_many(text)
        .map_err(|error| IssueError::Pem { what, reason: error.to_string() })?;
    let certificates = blocks.into_iter().filter(|block| block.tag() == CERTIFICATE_TAG);
    Ok(certificates.map(|block| CertificateDer::from(block.into_contents())).collect())
}

fn key_and_certificates(
    what: &'static str,
    text: &str,
) -> Result<(NodeKey, Vec<CertificateDer<'static>>), IssueError> {
    Ok((NodeKey::from_pem(text)?, certificates_from_pem(what, text)?))
}

/// The trust domain of a signing certificate, after checking that `key` is its key.
fn signing_domain(
    certificate: &CertificateDer<'_>,
    key: &NodeKey,
    what: &'static str,
) -> Result<TrustDomain, IssueError> {
    let cert = Cert::parse(certificate, Place::Signer(0))?;
    check_signer(&cert)?;
    if cert.spki() != key.public_key().as_der() {
        return Err(IssueError::KeyMismatch { what });
    }
    let [uri] = cert.uris()[..] else {
        return Err(IssueError::Pem { what, reason: "it has no SPIFFE ID".to_owned() });
    };
    let id = SpiffeId::parse(uri)
        .map_err(|error| IssueError::Pem { what, reason: error.to_string() })?;
    Ok(id.trust_domain().clone())
}
