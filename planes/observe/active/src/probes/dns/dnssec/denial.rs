//! That something is not there (RFC 4035 §5.4, RFC 5155 §8, RFC 9824).

use hickory_proto::dnssec::rdata::{DNSSECRData, NSEC, NSEC3};
use hickory_proto::rr::{Name, Record, RecordType, RecordTypeSet};

use super::signed::{Keys, Set};
use super::{MAX_DENIALS, MAX_HASHES, MAX_ITERATIONS, Spent, Trust, Verdict, data};

/// "There is no such name", where an NSEC is made for it (RFC 9824 §3.4).
const NXNAME: u16 = 128;

/// What a zone denies, every record of it signed by the zone.
pub(super) struct Denials {
    zone: Name,
    nsec: Vec<(Name, NSEC)>,
    nsec3: Vec<(Vec<u8>, NSEC3)>,
    /// Why records that were there do not count.
    passed_over: Option<String>,
}

/// Where a name stands among the records.
enum At<'a> {
    /// It has these types.
    Types(&'a RecordTypeSet),
    /// It lies between two names, and is not there. `opt_out`: but it may be a zone that is not signed.
    Gap {
        opt_out: bool,
    },
    Unknown,
}

impl Denials {
    /// The zone that signed what is denied of `name`.
    pub(super) fn signer(section: &[Record], name: &Name, of_kind: RecordType) -> Option<Name> {
        let of = |record: &Record| match data(record) {
            Some(DNSSECRData::RRSIG(signature)) => {
                let (kind, zone) = (signature.input().type_covered, &signature.input().signer_name);
                let denies = matches!(kind, RecordType::NSEC | RecordType::NSEC3 | RecordType::SOA);
                // Of its DS a zone itself knows nothing.
                let is_own = of_kind == RecordType::DS && zone == name;
                (denies && zone.zone_of(name) && !is_own).then(|| zone.clone())
            }
            _ => None,
        };
        section.iter().filter_map(of).max_by_key(Name::num_labels)
    }

    /// What the records of `section` deny that `zone` signed.
    pub(super) fn of(
        section: &[Record],
        zone: &Name,
        keys: &Keys,
        now_s: u32,
        spent: &mut Spent,
    ) -> Result<Self, Verdict> {
        let mut this =
            Self { zone: zone.clone(), nsec: Vec::new(), nsec3: Vec::new(), passed_over: None };
        let mut seen: Vec<(Name, RecordType)> = Vec::new();
        for record in section {
            let kind = record.record_type();
            let denies = matches!(kind, RecordType::NSEC | RecordType::NSEC3);
            if !denies || seen.iter().any(|(name, of)| *name == record.name && *of == kind) {
                continue;
            }
            if seen.len() == MAX_DENIALS {
                this.passed_over = Some(format!("more than {MAX_DENIALS} records deny something"));
                break;
            }
            seen.push((record.name.clone(), kind));
            let Some(set) = Set::of(section, &record.name, kind) else { continue };
            match set.verify(zone, keys, now_s, spent) {
                // What was made from a wildcard denies nothing (RFC 4592 §4.7).
                Ok(labels) if usize::from(labels) < set.name.num_labels().into() => continue,
                Ok(_) => {}
                Err(verdict) if verdict.trust == Trust::Indeterminate => return Err(verdict),
                Err(verdict) => {
                    this.passed_over = Some(verdict.reason);
                    continue;
                }
            }
            for record in &set.records {
                match data(record) {
                    Some(DNSSECRData::NSEC(nsec)) if zone.zone_of(&record.name) => {
                        this.nsec.push((record.name.clone(), nsec.clone()));
                    }
                    Some(DNSSECRData::NSEC3(nsec3)) if record.name.base_name() == *zone => {
                        if nsec3.iterations() > MAX_ITERATIONS {
                            let why = format!(
                                "its NSEC3 records are hashed {} times more than once, and at most {MAX_ITERATIONS} are computed (RFC 9276)",
                                nsec3.iterations()
                            );
                            return Err(Verdict::new(Trust::Insecure, zone, why));
                        }
                        let label = record.name.iter().next().unwrap_or_default();
                        if let Some(hash) = base32hex(label) {
                            this.nsec3.push((hash, nsec3.clone()));
                        }
                    }
                    _ => {}
                }
            }
        }
        Ok(this)
    }

    /// That `name` has nothing of `kind`, or that it is not there at all.
    pub(super) fn deny(
        &self,
        name: &Name,
        kind: RecordType,
        nothing_at_all: bool,
        spent: &mut Spent,
    ) -> Result<(), Verdict> {
        match self.at(name, spent)? {
            At::Types(types) if nothing_at_all => {
                if types.contains(RecordType::from(NXNAME)) {
                    return Ok(());
                }
                Err(self.bogus(format!("{name} is there by its own zone, and was denied")))
            }
            At::Types(types) => self.has_none(types, name, kind),
            At::Gap { opt_out: true } => Err(self.opted_out(name)),
            At::Gap { .. } if self.is_between(name) => match nothing_at_all {
                // It has no records, and names below it.
                false => Ok(()),
                true => Err(self.bogus(format!("{name} is there by its own zone, and was denied"))),
            },
            At::Gap { .. } => self.beside_wildcard(name, kind, nothing_at_all, spent),
            At::Unknown => Err(self.unproven(format!("that {name} has no {kind}"))),
        }
    }

    /// That a name made from a wildcard with `labels` labels has nothing nearer.
    pub(super) fn nothing_nearer(
        &self,
        name: &Name,
        labels: u8,
        spent: &mut Spent,
    ) -> Result<(), Verdict> {
        let nearer = name.trim_to(usize::from(labels) + 1);
        let gap = match self.nsec.is_empty() {
            // RFC 5155 §8.8: the name one label longer than what the wildcard stands below.
            false => self.gap(name).map(|_| false),
            true => self.hashed_gap(&nearer, spent)?,
        };
        match gap {
            Some(false) => Ok(()),
            Some(true) => Err(self.opted_out(name)),
            None => Err(self.unproven(format!(
                "that {name}, which was made from a wildcard, is not there itself"
            ))),
        }
    }

    /// That `child` has no DS; the reason if it is a zone all the same, one that is not signed.
    pub(super) fn no_ds(&self, child: &Name, spent: &mut Spent) -> Result<Option<String>, Verdict> {
        match self.at(child, spent)? {
            At::Types(types) if types.contains(RecordType::DS) => {
                Err(self.bogus(format!("{child} has a DS by its parent, and it was left out")))
            }
            At::Types(types)
                if types.contains(RecordType::NS) && !types.contains(RecordType::SOA) =>
            {
                Ok(Some("its parent has no DS for it: it is not signed".into()))
            }
            At::Gap { opt_out: true } => Ok(Some(
                "its parent does not tell its unsigned zones (NSEC3 opt-out): it is not signed"
                    .into(),
            )),
            At::Types(_) | At::Gap { .. } => Ok(None),
            At::Unknown => Err(self.unproven(format!("that {child} has no DS"))),
        }
    }

    fn has_none(
        &self,
        types: &RecordTypeSet,
        name: &Name,
        kind: RecordType,
    ) -> Result<(), Verdict> {
        if types.contains(kind) || types.contains(RecordType::CNAME) {
            return Err(
                self.bogus(format!("{name} has {kind} by its own zone, and it was left out"))
            );
        }
        let is_parents = types.contains(RecordType::NS) && !types.contains(RecordType::SOA);
        if is_parents && kind != RecordType::DS {
            return Err(
                self.unproven(format!("that {name} has no {kind}: its parent does not know"))
            );
        }
        Ok(())
    }

    /// A name that is not there: a wildcard could have stood in for it.
    fn beside_wildcard(
        &self,
        name: &Name,
        kind: RecordType,
        nothing_at_all: bool,
        spent: &mut Spent,
    ) -> Result<(), Verdict> {
        let Some(encloser) = self.encloser(name, spent)? else {
            return Err(self.unproven(format!("what stands nearest above {name}")));
        };
        let wildcard = encloser
            .prepend_label("*")
            .map_err(|_| self.unproven(format!("that no wildcard stands in for {name}")))?;
        match self.at(&wildcard, spent)? {
            At::Types(types) if !nothing_at_all => self.has_none(types, &wildcard, kind),
            At::Gap { opt_out: false } => Ok(()),
            At::Gap { opt_out: true } => Err(self.opted_out(name)),
            _ => Err(self.unproven(format!("that no wildcard stands in for {name}"))),
        }
    }

    fn at(&self, name: &Name, spent: &mut Spent) -> Result<At<'_>, Verdict> {
        if let Some((_, nsec)) = self.nsec.iter().find(|(owner, _)| owner == name) {
            return Ok(At::Types(nsec.type_set()));
        }
        if self.gap(name).is_some() {
            return Ok(At::Gap { opt_out: false });
        }
        if self.nsec3.is_empty() {
            return Ok(At::Unknown);
        }
        if let Some(nsec3) = self.hashed(name, spent)? {
            return Ok(At::Types(nsec3.type_set()));
        }
        // RFC 5155 §8.3: what stands nearest above it is there, and the next name towards it is not.
        let Some(encloser) = self.hashed_encloser(name, spent)? else { return Ok(At::Unknown) };
        let next = name.trim_to(encloser.iter().count() + 1);
        let opt_out = self.hashed_gap(&next, spent)?;
        // Below a zone of its own, or what stands elsewhere, its parent denies nothing but its DS.
        let above = self.hashed(&encloser, spent)?.map(|nsec3| nsec3.type_set());
        let leads_on = above.is_some_and(leads_on);
        Ok(match opt_out {
            Some(opt_out) if !leads_on => At::Gap { opt_out },
            _ => At::Unknown,
        })
    }

    /// Whether `name` has no records of its own, and names below it.
    fn is_between(&self, name: &Name) -> bool {
        self.gap(name).is_some_and(|nsec| name.zone_of(nsec.next_domain_name()))
    }

    /// The gap between two names of the zone that `name` lies in.
    fn gap(&self, name: &Name) -> Option<&NSEC> {
        let covers = |(owner, nsec): &&(Name, NSEC)| {
            let next = nsec.next_domain_name();
            let inside = if owner < next {
                owner < name && name < next
            } else {
                // The last one leads back to the zone's own name.
                owner < name && self.zone.zone_of(name)
            };
            // RFC 6840 §4.1: below a zone of its own the parent denies nothing.
            let is_others = owner.zone_of(name) && leads_on(nsec.type_set());
            inside && !is_others
        };
        self.nsec.iter().find(covers).map(|(_, nsec)| nsec)
    }

    /// The nearest name above `name` that is there.
    fn encloser(&self, name: &Name, spent: &mut Spent) -> Result<Option<Name>, Verdict> {
        let covers = |name: &Name| {
            self.nsec.iter().find(|(owner, nsec)| {
                let next = nsec.next_domain_name();
                owner < name && (name < next || next <= owner)
            })
        };
        let Some((owner, nsec)) = covers(name) else { return self.hashed_encloser(name, spent) };
        let common = |other: &Name| {
            (0..name.iter().count()).rev().map(|n| name.trim_to(n)).find(|up| up.zone_of(other))
        };
        let both = [common(owner), common(nsec.next_domain_name())];
        Ok(both.into_iter().flatten().max_by_key(|up| up.iter().count()))
    }

    fn hashed_encloser(&self, name: &Name, spent: &mut Spent) -> Result<Option<Name>, Verdict> {
        let (most, least) = (name.iter().count(), self.zone.iter().count());
        for labels in (least..most).rev() {
            let up = name.trim_to(labels);
            if self.hashed(&up, spent)?.is_some() {
                return Ok(Some(up));
            }
        }
        Ok(None)
    }

    /// The NSEC3 of a name.
    fn hashed(&self, name: &Name, spent: &mut Spent) -> Result<Option<&NSEC3>, Verdict> {
        let Some((_, like)) = self.nsec3.first() else { return Ok(None) };
        let hash = self.hash(name, like, spent)?;
        Ok(self.alike().find(|(owner, _)| *owner == hash).map(|(_, nsec3)| nsec3))
    }

    /// Whether the hash of a name lies in a gap, and whether zones that are not signed are left out there.
    fn hashed_gap(&self, name: &Name, spent: &mut Spent) -> Result<Option<bool>, Verdict> {
        let Some((_, like)) = self.nsec3.first() else { return Ok(None) };
        let hash = self.hash(name, like, spent)?;
        let covers = |(owner, nsec3): &&(Vec<u8>, NSEC3)| {
            let next = nsec3.next_hashed_owner_name();
            match owner.as_slice() < next {
                true => owner < &hash && hash.as_slice() < next,
                false => owner < &hash || hash.as_slice() < next,
            }
        };
        Ok(self.alike().find(covers).map(|(_, nsec3)| nsec3.opt_out()))
    }

    /// Those that are hashed like the first: all of an answer are (RFC 5155 §8.2).
    fn alike(&self) -> impl Iterator<Item = &(Vec<u8>, NSEC3)> {
        let like = self.nsec3.first().map(|(_, of)| (of.iterations(), of.salt()));
        self.nsec3.iter().filter(move |(_, of)| Some((of.iterations(), of.salt())) == like)
    }

    fn hash(&self, name: &Name, like: &NSEC3, spent: &mut Spent) -> Result<Vec<u8>, Verdict> {
        if spent.hashes == MAX_HASHES {
            let why = format!("more than {MAX_HASHES} names would be hashed");
            return Err(Verdict::new(Trust::Indeterminate, &self.zone, why));
        }
        spent.hashes += 1;
        let hash = like.hash_algorithm().hash(like.salt(), name, like.iterations());
        let hash = hash.map_err(|error| self.unproven(format!("{name}: {error}")))?;
        Ok(hash.as_ref().to_vec())
    }

    fn bogus(&self, why: String) -> Verdict {
        Verdict::new(Trust::Bogus, &self.zone, why)
    }

    fn unproven(&self, what: String) -> Verdict {
        let more = self.passed_over.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        self.bogus(format!("it is not shown {what}{more}"))
    }

    fn opted_out(&self, name: &Name) -> Verdict {
        let why = format!("its zone leaves out what is not signed around {name} (NSEC3 opt-out)");
        Verdict::new(Trust::Insecure, &self.zone, why)
    }
}

/// Whether what stands below is told by another zone, or stands elsewhere.
fn leads_on(types: &RecordTypeSet) -> bool {
    types.contains(RecordType::DNAME)
        || (types.contains(RecordType::NS) && !types.contains(RecordType::SOA))
}

/// The bytes of a hash as it stands in names (RFC 4648 §7).
fn base32hex(label: &[u8]) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0_u32);
    for letter in label {
        let value = match letter.to_ascii_lowercase() {
            digit @ b'0'..=b'9' => digit - b'0',
            letter @ b'a'..=b'v' => letter - b'a' + 10,
            _ => return None,
        };
        (held, bits) = ((held << 5 | u32::from(value)) & 0xfff, bits + 5);
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
        }
    }
    Some(bytes)
}
