//! Signed zones of these tests, and who answers from them as a resolver would that was told not to validate.

use std::collections::BTreeMap;
use std::time::Duration;

use hickory_proto::dnssec::crypto::{EcdsaSigningKey, Ed25519SigningKey};
use hickory_proto::dnssec::rdata::{DNSKEY, DNSSECRData, DS, NSEC, NSEC3, RRSIG, SigInput};
use hickory_proto::dnssec::{
    Algorithm, DigestType, DnssecSigner, Nsec3HashAlgorithm, SigningKey, TBS,
};
use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME, NS};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType, SerialNumber};

use super::super::Anchors;

/// The moment of these tests, in seconds since 1970, and how long signatures are valid around it.
pub(super) const NOW_S: u32 = 1_800_000_000;
const AROUND_S: u32 = 3_600;

pub(super) fn name(text: &str) -> Name {
    Name::from_ascii(text).expect(text)
}

/// How a zone denies.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Denies {
    Nsec,
    Nsec3 { iterations: u16, opt_out: bool },
}

pub(super) struct Zone {
    pub(super) name: Name,
    signer: DnssecSigner,
    pub(super) denies: Denies,
    pub(super) records: Vec<Record>,
    /// When its signatures begin and end.
    pub(super) valid_s: (u32, u32),
}

impl Zone {
    pub(super) fn new(text: &str, algorithm: Algorithm, denies: Denies) -> Self {
        let key: Box<dyn SigningKey> = match algorithm {
            Algorithm::ED25519 => {
                let der = Ed25519SigningKey::generate_pkcs8().expect("made");
                Box::new(Ed25519SigningKey::from_pkcs8(&der).expect("a key"))
            }
            other => {
                let der = EcdsaSigningKey::generate_pkcs8(other).expect("made");
                Box::new(EcdsaSigningKey::from_pkcs8(&der, other).expect("a key"))
            }
        };
        let dnskey = DNSKEY::from_key(&key.to_public_key().expect("public"));
        let own = name(text);
        let signer =
            DnssecSigner::new(dnskey.clone(), key, own.clone(), Duration::from_secs(3_600));
        let mut zone = Self {
            name: own.clone(),
            signer,
            denies,
            records: Vec::new(),
            valid_s: (NOW_S - AROUND_S, NOW_S + AROUND_S),
        };
        zone.add(&own, RData::DNSSEC(DNSSECRData::DNSKEY(dnskey)));
        zone.add(&own, RData::NS(NS(name("ns.example."))));
        let soa = hickory_proto::rr::rdata::SOA::new(
            name("ns.example."),
            name("h.example."),
            1,
            2,
            3,
            4,
            5,
        );
        zone.add(&own, RData::SOA(soa));
        zone
    }

    pub(super) fn add(&mut self, owner: &Name, data: RData) {
        self.records.push(Record::from_rdata(owner.clone(), 60, data));
    }

    pub(super) fn address(&mut self, owner: &str) {
        self.add(&name(owner), RData::A(A::new(192, 0, 2, 7)));
    }

    pub(super) fn alias(&mut self, owner: &str, to: &str) {
        self.add(&name(owner), RData::CNAME(CNAME(name(to))));
    }

    pub(super) fn ds(&self) -> DS {
        let digest =
            self.signer.dnskey().to_digest(&self.name, DigestType::SHA256).expect("a digest");
        let tag = self.signer.calculate_key_tag().expect("a tag");
        DS::new(tag, self.signer.key().algorithm(), DigestType::SHA256, digest.as_ref().to_vec())
    }

    /// Signs a set that was made from `signed_as`, its own name or a wildcard.
    pub(super) fn sign(&self, set: &[Record], signed_as: &Name) -> Record {
        let input = SigInput {
            type_covered: set[0].record_type(),
            algorithm: self.signer.key().algorithm(),
            num_labels: signed_as.num_labels(),
            original_ttl: 60,
            sig_expiration: SerialNumber::new(self.valid_s.1),
            sig_inception: SerialNumber::new(self.valid_s.0),
            key_tag: self.signer.calculate_key_tag().expect("a tag"),
            signer_name: self.name.clone(),
        };
        let tbs = TBS::from_input(&set[0].name, DNSClass::IN, &input, set.iter()).expect("written");
        let signature = RRSIG::from_sig(input, self.signer.sign(&tbs).expect("signed"));
        let data = RData::DNSSEC(DNSSECRData::RRSIG(signature));
        Record::from_rdata(set[0].name.clone(), 60, data)
    }

    fn of(&self, owner: &Name, kind: RecordType) -> Vec<Record> {
        let fits = |r: &&Record| r.name == *owner && r.record_type() == kind;
        self.records.iter().filter(fits).cloned().collect()
    }

    /// All names and their types.
    fn names(&self) -> BTreeMap<Name, Vec<RecordType>> {
        let mut names: BTreeMap<Name, Vec<RecordType>> = BTreeMap::new();
        for record in &self.records {
            names.entry(record.name.clone()).or_default().push(record.record_type());
            if matches!(self.denies, Denies::Nsec3 { .. }) {
                // RFC 5155 §7.1: what has only names below it has a record too.
                let mut up = record.name.base_name();
                while self.name.zone_of(&up) && up != self.name {
                    names.entry(up.clone()).or_default();
                    up = up.base_name();
                }
            }
        }
        names
    }

    fn hash(&self, of: &Name) -> Vec<u8> {
        let Denies::Nsec3 { iterations, .. } = self.denies else { panic!("no NSEC3") };
        let hash = Nsec3HashAlgorithm::SHA1.hash(b"salt", of, iterations).expect("hashed");
        hash.as_ref().to_vec()
    }

    /// The record that has `at`, or the gap that it lies in.
    fn denial(&self, at: &Name) -> Vec<Record> {
        let signed_types = |mut types: Vec<RecordType>| {
            let unsigned = types.contains(&RecordType::NS)
                && !types.contains(&RecordType::DS)
                && !types.contains(&RecordType::SOA);
            if !types.is_empty() && !unsigned {
                types.push(RecordType::RRSIG);
            }
            types
        };
        let record = match self.denies {
            Denies::Nsec => {
                let names = self.names();
                let (owner, types) = names.range(..=at).next_back().expect("the zone itself");
                let next = names.range(owner..).nth(1).map_or(&self.name, |(next, _)| next);
                let mut types = signed_types(types.clone());
                types.push(RecordType::NSEC);
                let nsec = NSEC::new(next.clone(), types);
                Record::from_rdata(owner.clone(), 60, RData::DNSSEC(DNSSECRData::NSEC(nsec)))
            }
            Denies::Nsec3 { iterations, opt_out } => {
                let hashed: BTreeMap<Vec<u8>, Vec<RecordType>> = self
                    .names()
                    .into_iter()
                    .filter(|(_, types)| {
                        let unsigned = types.contains(&RecordType::NS)
                            && !types.contains(&RecordType::DS)
                            && !types.contains(&RecordType::SOA);
                        !(opt_out && unsigned)
                    })
                    .map(|(name, types)| (self.hash(&name), types))
                    .collect();
                let hash = self.hash(at);
                let last = || hashed.iter().next_back().expect("the zone itself");
                let (owner, types) = hashed.range(..=hash).next_back().unwrap_or_else(last);
                let next = hashed.range(owner.clone()..).nth(1);
                let next = next.unwrap_or_else(|| hashed.iter().next().expect("the zone itself")).0;
                let nsec3 = NSEC3::new(
                    Nsec3HashAlgorithm::SHA1,
                    opt_out,
                    iterations,
                    b"salt".to_vec(),
                    next.clone(),
                    signed_types(types.clone()),
                );
                let label = base32hex(owner);
                let owner = self.name.prepend_label(label.as_str()).expect("a name");
                Record::from_rdata(owner, 60, RData::DNSSEC(DNSSECRData::NSEC3(nsec3)))
            }
        };
        let signature = self.sign(std::slice::from_ref(&record), &record.name);
        vec![record, signature]
    }

    fn soa(&self) -> Vec<Record> {
        let soa = self.of(&self.name, RecordType::SOA);
        let signature = self.sign(&soa, &self.name);
        [soa, vec![signature]].concat()
    }

    fn is_there(&self, at: &Name) -> bool {
        self.records.iter().any(|record| at.zone_of(&record.name))
    }

    fn encloser(&self, at: &Name) -> Name {
        let mut up = at.base_name();
        while !self.is_there(&up) {
            up = up.base_name();
        }
        up
    }

    /// What it answers; the alias that the answer leads on to.
    fn answer(&self, asked: &Name, kind: RecordType, message: &mut Message) -> Option<Name> {
        let encloser = self.encloser(asked);
        let wildcard = encloser.prepend_label("*").expect("a name");
        let from = if self.is_there(asked) { asked } else { &wildcard };
        for kind in [kind, RecordType::CNAME] {
            let mut set = self.of(from, kind);
            if set.is_empty() {
                continue;
            }
            for record in &mut set {
                record.name = asked.clone();
            }
            let signature = self.sign(&set, from);
            if from != asked {
                let next = asked.trim_to(encloser.iter().count() + 1);
                let at = if self.denies == Denies::Nsec { asked } else { &next };
                message.authorities.extend(self.denial(at));
            }
            let alias = match &set[0].data {
                RData::CNAME(to) if kind == RecordType::CNAME => Some(to.0.clone()),
                _ => None,
            };
            message.answers.extend(set);
            message.answers.push(signature);
            return alias;
        }
        message.authorities.extend(self.soa());
        let mut denials = Vec::new();
        if self.is_there(asked) {
            denials.push(asked.clone());
        } else {
            let next = asked.trim_to(encloser.iter().count() + 1);
            denials.extend([encloser, next, wildcard.clone()]);
            if !self.is_there(&wildcard) {
                message.metadata.response_code = ResponseCode::NXDomain;
            }
            if self.denies == Denies::Nsec {
                denials = vec![asked.clone(), wildcard];
            }
        }
        for at in denials {
            let more = self.denial(&at);
            if !message
                .authorities
                .iter()
                .any(|known| known.name == more[0].name && known.data == more[0].data)
            {
                message.authorities.extend(more);
            }
        }
        None
    }
}

fn base32hex(bytes: &[u8]) -> String {
    let (mut text, mut held, mut bits) = (String::new(), 0_u64, 0);
    for byte in bytes {
        (held, bits) = (held << 8 | u64::from(*byte), bits + 8);
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(
                b"0123456789abcdefghijklmnopqrstuv"[(held >> bits & 31) as usize],
            ));
        }
    }
    text
}

/// All zones.
pub(super) struct World {
    pub(super) zones: Vec<Zone>,
}

impl World {
    /// `.`, `example.` (signed), `below.example.` (signed, as is said), `plain.example.` (not signed).
    pub(super) fn new(denies: Denies) -> Self {
        let mut root = Zone::new(".", Algorithm::ECDSAP256SHA256, Denies::Nsec);
        let mut example = Zone::new("example.", Algorithm::ED25519, denies);
        let mut below = Zone::new("below.example.", Algorithm::ECDSAP384SHA384, denies);
        below.address("www.below.example.");
        below.address("a.b.below.example.");
        below.alias("to.below.example.", "www.example.");
        below.address("*.wild.below.example.");
        example.address("www.example.");
        example.alias("out.example.", "host.plain.example.");
        example.add(&name("below.example."), RData::NS(NS(name("ns.example."))));
        example.add(&name("below.example."), RData::DNSSEC(DNSSECRData::DS(below.ds())));
        example.add(&name("plain.example."), RData::NS(NS(name("ns.example."))));
        root.add(&name("example."), RData::NS(NS(name("ns.example."))));
        root.add(&name("example."), RData::DNSSEC(DNSSECRData::DS(example.ds())));
        Self { zones: vec![root, example, below] }
    }

    pub(super) fn zone(&mut self, text: &str) -> &mut Zone {
        let wanted = name(text);
        self.zones.iter_mut().find(|zone| zone.name == wanted).expect(text)
    }

    pub(super) fn anchors(&self) -> Anchors {
        Anchors(vec![self.zones[0].ds()])
    }

    /// What a resolver answers.
    pub(super) fn reply(&self, asked: &Name, kind: RecordType) -> Message {
        let mut message = Message::response(1, OpCode::Query);
        let mut at = asked.clone();
        loop {
            if name("plain.example.").zone_of(&at)
                && !(kind == RecordType::DS && at == name("plain.example."))
            {
                let data = RData::A(A::new(192, 0, 2, 9));
                message.answers.push(Record::from_rdata(at, 60, data));
                return message;
            }
            let responsible = |zone: &&Zone| {
                zone.name.zone_of(&at)
                    && (kind != RecordType::DS || zone.name != at || at.is_root())
            };
            let zone =
                self.zones.iter().filter(responsible).max_by_key(|zone| zone.name.num_labels());
            match zone.expect("the root").answer(&at, kind, &mut message) {
                Some(to) => at = to,
                None => return message,
            }
        }
    }
}
