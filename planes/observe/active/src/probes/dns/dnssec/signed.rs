//! Whether a set of records is signed by one of a zone's keys (RFC 4035 §5.3).

use hickory_proto::dnssec::rdata::{DNSKEY, DNSSECRData, RRSIG};
use hickory_proto::dnssec::{PublicKey, Verifier};
use hickory_proto::rr::{DNSClass, Name, Record, RecordType};

use super::{MAX_KEYS, MAX_SIGNATURES, MAX_TRIES, Spent, Trust, Verdict, data};

/// A zone's keys, with their tags.
#[derive(Debug, Clone, Default)]
pub(super) struct Keys(Vec<(u16, DNSKEY)>);

impl Keys {
    /// Those that may sign: of zones, not revoked (RFC 5011 §2.1).
    pub(super) fn of(records: &[Record]) -> Self {
        let keys = records.iter().take(MAX_KEYS).filter_map(|record| match data(record) {
            Some(DNSSECRData::DNSKEY(key)) if key.zone_key() && !key.revoke() => {
                Some((key.calculate_key_tag().ok()?, key.clone()))
            }
            _ => None,
        });
        Self(keys.collect())
    }

    /// Those of them that `is` picks.
    pub(super) fn that(&self, mut is: impl FnMut(u16, &DNSKEY) -> bool) -> Self {
        Self(self.0.iter().filter(|(tag, key)| is(*tag, key)).cloned().collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// All records of one name and type.
#[derive(Debug, Clone)]
pub(super) struct Set<'a> {
    pub(super) name: Name,
    pub(super) kind: RecordType,
    pub(super) records: Vec<Record>,
    pub(super) signatures: Vec<&'a RRSIG>,
}

impl<'a> Set<'a> {
    /// The set of this name and type; `None` if there is none.
    pub(super) fn of(section: &'a [Record], name: &Name, kind: RecordType) -> Option<Self> {
        let of_name = || section.iter().filter(|r| r.dns_class == DNSClass::IN && r.name == *name);
        let mut records: Vec<Record> = Vec::new();
        for record in of_name().filter(|record| record.record_type() == kind) {
            // RFC 4034 §6.3: each once. The time that it may be kept is the signature's.
            if !records.iter().any(|known| known.data == record.data) {
                let mut record = record.clone();
                record.ttl = 0;
                records.push(record);
            }
        }
        let signatures = of_name().filter_map(|record| match data(record) {
            Some(DNSSECRData::RRSIG(of)) if of.input().type_covered == kind => Some(of),
            _ => None,
        });
        let signatures = signatures.collect();
        (!records.is_empty()).then(|| Self { name: name.clone(), kind, records, signatures })
    }

    /// Who says that it signed this: a zone that the name is in. A DS is the parent's to sign.
    pub(super) fn signer(&self) -> Option<Name> {
        let in_zone = |zone: &Name| {
            zone.zone_of(&self.name) && (self.kind != RecordType::DS || *zone != self.name)
        };
        let signers = self.signatures.iter().map(|of| &of.input().signer_name);
        // Where two zones sign, the lower one is the one that is responsible.
        signers.filter(|zone| in_zone(zone)).max_by_key(|zone| zone.num_labels()).cloned()
    }

    /// The labels that the name was signed with, if one of the zone's keys signed this, now. Fewer than the name has:
    /// it was made from a wildcard.
    pub(super) fn verify(
        &self,
        zone: &Name,
        keys: &Keys,
        now_s: u32,
        spent: &mut Spent,
    ) -> Result<u8, Verdict> {
        let what = format!("{} {}", self.name, self.kind);
        let bogus = |why: String| Verdict::new(Trust::Bogus, zone, why);
        let mut why = format!("{what} is not signed by {zone}");
        let mut tried = 0;
        for signature in &self.signatures {
            let input = signature.input();
            if input.signer_name != *zone || input.num_labels > self.name.num_labels() {
                continue;
            }
            if let Err(when) = is_valid_at(now_s, signature) {
                why = format!("the signature of {what} {when}");
                continue;
            }
            let fitting = |(tag, key): &&(u16, DNSKEY)| {
                *tag == input.key_tag && key.public_key().algorithm() == input.algorithm
            };
            let mut fitting = keys.0.iter().filter(fitting).peekable();
            if fitting.peek().is_none() {
                why = format!(
                    "{what} is signed with the key {} of algorithm {}, which is none of {zone}'s",
                    input.key_tag,
                    u8::from(input.algorithm)
                );
            }
            for (tag, key) in fitting {
                if tried == MAX_TRIES {
                    return Err(bogus(format!(
                        "{what}: none of {MAX_TRIES} signatures is right, and no more are tried"
                    )));
                }
                if spent.signatures == MAX_SIGNATURES {
                    let why = format!("more than {MAX_SIGNATURES} signatures would be tried");
                    return Err(Verdict::new(Trust::Indeterminate, zone, why));
                }
                (tried, spent.signatures) = (tried + 1, spent.signatures + 1);
                let records = self.records.iter();
                if key.verify_rrsig(&self.name, DNSClass::IN, signature, records).is_ok() {
                    let ends = input.sig_expiration.get();
                    let sooner = |known: u32| ends.wrapping_sub(known) as i32 <= 0;
                    if spent.ends_s.is_none_or(sooner) {
                        spent.ends_s = Some(ends);
                    }
                    return Ok(input.num_labels);
                }
                why = format!("the signature of {what} by the key {tag} is wrong");
            }
        }
        Err(bogus(why))
    }
}

/// Whether a signature is valid now; times go round (RFC 4034 §3.1.5, RFC 1982).
fn is_valid_at(now_s: u32, signature: &RRSIG) -> Result<(), String> {
    let input = signature.input();
    let (from, to) = (input.sig_inception.get(), input.sig_expiration.get());
    let hours = |seconds: i32| f64::from(seconds) / 3_600.0;
    let early = from.wrapping_sub(now_s) as i32;
    let late = now_s.wrapping_sub(to) as i32;
    if early > 0 {
        return Err(format!(
            "is valid in {:.1} h only: this node's clock, or the signer's, is wrong",
            hours(early)
        ));
    }
    if late > 0 {
        return Err(format!("ended {:.1} h ago", hours(late)));
    }
    Ok(())
}
